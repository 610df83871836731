//! The loop: one step after another, until the seed has had its say.

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pegasus_base::Time;
use serde::Serialize;

use crate::atlas::Atlas;
use crate::plan::{Plan, Settings};
use crate::streams::Camera;
use crate::tree::{Outcome, Programs};
use crate::world::World;
use crate::{Coverage, Finding, ensure};

/// What a clean run was like. Two runs of one seed have equal reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub steps: u32,
    /// Requests to the disks.
    pub requests: u64,
    /// Seconds of virtual time.
    pub virtual_s: u64,
    /// What happened.
    pub coverage: Coverage,
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) rng: fastrand::Rng,
    pub(crate) world: World,
    pub(crate) atlas: Atlas,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) programs: Programs,
    pub(crate) coverage: Coverage,
    /// Requests to disks that are gone.
    pub(crate) requests: u64,
    settings: Settings,
    steps: u32,
    pub(crate) disks_made: usize,
    /// The disks record what is done to them, because a cut will follow.
    pub(crate) recording: bool,
    /// Disks that a step in which power was cut wanted removed, or kept.
    pub(crate) in_doubt: BTreeSet<usize>,
    /// Segments the cleaner looked through, and bytes it moved.
    pub(crate) cleaned: (u64, u64),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Push,
    Tick,
    Files,
    Sync,
    Read,
    Checkpoint,
    Clean,
    Delete(usize),
    HangUp(usize),
    Reopen,
    Harm,
    Repair,
    Add,
    Remove(usize),
    Keep(usize),
    Evacuate,
}

/// What a step made durable, if no cut came before its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) streams: bool,
    pub(crate) files: bool,
    pub(crate) deleted: Option<usize>,
}

impl Acknowledged {
    pub(crate) const ALL: Self = Self { streams: true, files: true, deleted: None };
}

/// Runs `seed` to its end.
///
/// # Errors
/// What the store did wrong, with the step at which it did. A panic of the store's is a finding too.
pub fn run(seed: u64, settings: &Settings) -> Result<Report, Finding> {
    let mut step = 0;
    let done = catch_unwind(AssertUnwindSafe(|| go(seed, settings, &mut step)));
    let found = match done {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(Finding(what))) => what,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("it panicked: {}", text.unwrap_or("no words"))
        }
    };
    Err(Finding(format!("seed {seed}, step {step}: {found}")))
}

fn go(seed: u64, settings: &Settings, step: &mut u32) -> Result<Report, Finding> {
    let mut run = Run::new(seed, *settings)?;
    while run.steps < settings.steps {
        run.steps += 1;
        *step = run.steps;
        run.step()?;
    }
    run.last_checks()?;
    let begin = Time::from_secs(1_700_000_000);
    Ok(Report {
        seed,
        steps: run.steps,
        requests: run.requests + run.world.next_op(),
        virtual_s: run.world.now().since(begin).as_secs(),
        coverage: run.coverage,
    })
}

impl Run {
    fn new(seed: u64, settings: Settings) -> Result<Self, Finding> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = Plan::of(seed, &mut rng);
        let world = World::new(plan, &mut rng)?;
        let len_max = if rng.bool() { 60_000 } else { 600_000 };
        let mut programs = Programs::new(&world.store().files, len_max);
        // Counting takes several steps, and may find no room in a store made too small.
        programs.limits = !world.plan.tight;
        let cameras = vec![
            Camera::new("/cam/door", (100, 900)),
            Camera::new("/cam/yard", (2_000, 7_000)),
            // Key units, four times as long, must fit into a segment, also when disks are missing.
            Camera::new(
                "/cam/stage",
                (3_000, 9_000 * usize::from(plan.data.saturating_sub(plan.parity.max(1))).max(1)),
            ),
        ];
        let mut run = Self {
            rng,
            world,
            atlas: Atlas::new(plan.data, plan.parity),
            cameras,
            programs,
            coverage: Coverage::default(),
            requests: 0,
            settings,
            steps: 0,
            disks_made: plan.disks(),
            recording: false,
            in_doubt: BTreeSet::new(),
            cleaned: (0, 0),
        };
        run.tell(|| format!("seed {seed}: {plan:?}"));
        Ok(run)
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.settings.verbose {
            // Nobody to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{:4} {}", self.steps, what());
        }
    }

    fn step(&mut self) -> Result<(), Finding> {
        let action = self.choose();
        let cuts = match action {
            Action::Harm => 0,
            // Rare, and long: a cut is worth more.
            Action::Evacuate | Action::Add => 4 * self.world.plan.cuts,
            _ => self.world.plan.cuts,
        };
        let cut = self.rng.u16(..1_000) < cuts;
        self.tell(|| format!("{action:?}{}", if cut { ", cut" } else { "" }));
        if self.world.plan.tight {
            self.cameras.iter_mut().for_each(Camera::may_be_eaten);
        }
        if cut {
            return self.cut_in(action);
        }
        let acknowledged = self.act(action)?;
        self.acknowledge(acknowledged);
        self.look_at_disks()
    }

    fn choose(&mut self) -> Action {
        if self.rng.u16(..1_000) < self.world.plan.harm {
            return Action::Harm;
        }
        let camera = self.rng.usize(..self.cameras.len());
        match self.rng.u8(..104) {
            0..28 => Action::Push,
            28..45 => Action::Tick,
            45..72 => Action::Files,
            72..78 => Action::Sync,
            78..87 => Action::Read,
            87..90 => Action::Checkpoint,
            90..93 => Action::Clean,
            93 => Action::Delete(camera),
            94 => Action::HangUp(camera),
            95 | 96 => Action::Reopen,
            100.. => self.choose_for_disks(),
            _ => Action::Repair,
        }
    }

    /// Does it. What it makes durable counts only when it has come to its end.
    pub(crate) fn act(&mut self, action: Action) -> Result<Acknowledged, Finding> {
        match action {
            Action::Push => self.push(),
            Action::Tick => self.tick(),
            Action::Files => self.work_on_files(),
            Action::Sync => self.sync(),
            Action::Read => self.read(),
            Action::Checkpoint => {
                self.coverage.note("checkpoint");
                self.world.store().store.request_checkpoint();
                self.tick()
            }
            Action::Clean => self.clean(),
            Action::Delete(camera) => self.delete(camera),
            Action::HangUp(camera) => {
                self.cameras[camera].hang_up();
                Ok(Acknowledged::default())
            }
            Action::Reopen => self.reopen(),
            Action::Harm => self.harm().map(|()| Acknowledged::default()),
            Action::Repair => self.repair(),
            Action::Add => self.add_disk(),
            Action::Remove(disk) => self.remove_disk(disk),
            Action::Keep(disk) => self.keep_disk(disk),
            Action::Evacuate => self.evacuate(),
        }
    }

    pub(crate) fn acknowledge(&mut self, what: Acknowledged) {
        if what.streams {
            self.cameras.iter_mut().for_each(Camera::acknowledge);
        }
        if what.files {
            self.programs.synced();
        }
        if let Some(camera) = what.deleted {
            self.cameras[camera].deleted();
        }
    }

    fn push(&mut self) -> Result<Acknowledged, Finding> {
        let camera = self.rng.usize(..self.cameras.len());
        let (store, now) = (&self.world.store().store, self.world.now());
        let until = self.cameras[camera].push(store, now, &mut self.rng)?;
        self.world.clock.set(until);
        Ok(Acknowledged::default())
    }

    pub(crate) fn tick(&mut self) -> Result<Acknowledged, Finding> {
        match self.world.store().tick() {
            Ok(()) => {
                self.check_ingest()?;
                Ok(Acknowledged { streams: true, ..Acknowledged::default() })
            }
            Err(pegasus_continuous::Error::Full) if self.world.plan.tight => {
                self.coverage.note("full for recordings");
                Ok(Acknowledged::default())
            }
            Err(error) => Err(Finding(format!("committing failed: {error}"))),
        }
    }

    fn work_on_files(&mut self) -> Result<Acknowledged, Finding> {
        for _ in 0..self.rng.u32(1..10) {
            let files = &self.world.store().files;
            if self.programs.step(files, &mut self.rng)? == Outcome::Full {
                let tight = self.world.plan.tight;
                ensure(tight, || "files do not fit into a store with room".to_owned())?;
                self.coverage.note("full for files");
            }
        }
        for what in std::mem::take(&mut self.programs.done) {
            self.coverage.note(what);
        }
        Ok(Acknowledged::default())
    }

    pub(crate) fn sync(&mut self) -> Result<Acknowledged, Finding> {
        match self.world.store().files.sync() {
            Ok(()) => {
                self.coverage.note("files synced");
                Ok(Acknowledged { files: true, ..Acknowledged::default() })
            }
            Err(error) => Err(Finding(format!("syncing files failed: {error}"))),
        }
    }

    fn read(&mut self) -> Result<Acknowledged, Finding> {
        let camera = self.rng.usize(..self.cameras.len());
        let open = self.world.store();
        if self.cameras[camera].read_some(&open.store, &mut self.rng)? {
            self.coverage.note("checked: recordings read back");
        }
        if self.programs.read_some(&open.files, &mut self.rng)? {
            self.coverage.note("checked: files read back");
        }
        Ok(Acknowledged::default())
    }

    pub(crate) fn clean(&mut self) -> Result<Acknowledged, Finding> {
        let budget = self.rng.u64(..4 << 20);
        let log = &self.world.store().log;
        let before = log.status().cleaner.moved_pieces;
        match log.clean(budget) {
            Ok(done) => {
                self.cleaned.0 += done.segments;
                self.cleaned.1 += done.moved_bytes;
            }
            Err(pegasus_log::LogError::Full { .. }) if self.world.plan.tight => {}
            Err(error) => return Err(Finding(format!("cleaning failed: {error}"))),
        }
        self.coverage.note("cleaned");
        let moved = log.status().cleaner.moved_pieces - before;
        self.coverage.add("segments moved by the cleaner", moved);
        self.check_cleaner()?;
        self.world.store().store.request_checkpoint();
        self.tick()
    }

    fn delete(&mut self, camera: usize) -> Result<Acknowledged, Finding> {
        self.cameras[camera].hang_up();
        if !self.tick()?.streams {
            return Ok(Acknowledged::default());
        }
        let store = &self.world.store().store;
        self.cameras[camera].delete(store)?;
        self.coverage.note("stream deleted");
        Ok(Acknowledged { streams: true, deleted: Some(camera), ..Acknowledged::default() })
    }

    fn reopen(&mut self) -> Result<Acknowledged, Finding> {
        self.close()?;
        self.coverage.note("clean close");
        let without = self.absent_at_opening();
        self.world.open(&without)?;
        Ok(Acknowledged::ALL)
    }

    /// Closes the store in good order; what was recorded is durable then.
    pub(crate) fn close(&mut self) -> Result<(), Finding> {
        self.cameras.iter_mut().for_each(Camera::hang_up);
        if !self.tick()?.streams {
            // Files take all the room, and what was recorded has none: somebody has to delete something.
            self.programs.clear(&self.world.store().files)?;
            self.sync()?;
            let room = self.tick()?.streams;
            let status = self.world.store().log.status();
            ensure(room, || {
                format!("there is no room for recordings though all files were deleted: {status:?}")
            })?;
        }
        self.world.close()
    }
}
