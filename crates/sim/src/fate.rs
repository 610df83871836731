//! What happens to a store: power cuts, disks that lie, die, go and come back; and the operator's repairs.

use std::sync::Arc;

use pegasus_disk::{Disk, Effect, Fault, Op, SimDisk, TearAt, Trigger};
use pegasus_log::{DiskIndex, DiskState};

use crate::atlas::Harm;
use crate::run::{Acknowledged, Action, Run};
use crate::world::World;
use crate::{Finding, ensure, must};

/// What may happen to a disk, and its name in the coverage.
const FAULTS: [(Fault, &str); 9] = [
    (Fault::ReadError, "failed read"),
    (Fault::BadSector, "unreadable sectors"),
    (Fault::BitRot, "bit rot"),
    (Fault::WriteError, "failed write"),
    (Fault::LostWrite, "lost write"),
    (Fault::MisdirectedWrite, "misdirected write"),
    (Fault::TornWrite, "torn write"),
    (Fault::FlushError, "failed flush"),
    (Fault::Death, "disk died"),
];

impl Run {
    /// Power is cut somewhere in the course of `action`, and perhaps again in the recovery.
    pub(crate) fn cut_in(&mut self, action: Action) -> Result<(), Finding> {
        self.note_effects();
        self.world.disks.iter().for_each(SimDisk::record);
        let first = self.world.next_op();
        let before = self.atlas.clone();
        self.recording = true;
        let acknowledged = self.act(action)?;
        self.recording = false;
        let last = self.world.next_op();
        self.note_effects();
        let op = if self.rng.u8(..4) == 0 { last } else { self.rng.u64(first..=last) };
        if op == last {
            self.acknowledge(acknowledged);
        } else if action == Action::Repair {
            self.atlas = before; // what was repaired may not be
        }
        self.coverage.note("power cut");
        match action {
            Action::Clean => self.coverage.note("power cut in cleaning"),
            Action::Repair if op < last => self.coverage.note("power cut in repair"),
            Action::Evacuate if op < last => self.coverage.note("power cut in a removal"),
            Action::Add if op < last => self.coverage.note("power cut in adding a disk"),
            _ => {}
        }
        let mut next = self.images(op);
        while self.rng.u8(..3) == 0 {
            next = self.cut_recovery(next)?;
            self.coverage.note("cut in recovery");
        }
        self.requests += self.world.next_op();
        std::mem::replace(&mut self.world, next).abandon();
        let mut without = self.absent_at_opening();
        let newcomer = self.forgotten_newcomer(op < last);
        without.extend(newcomer);
        self.world.open(&without)?;
        self.adopt()?;
        let listed = self.world.disk_status();
        if let Some(at) = newcomer.filter(|at| listed.iter().any(|d| usize::from(d.index.0) == *at))
        {
            self.lies(at);
        }
        self.look_at_disks()
    }

    /// The disks as a cut before request `op` may leave them.
    fn images(&mut self, op: u64) -> World {
        let (tear, name) = match self.rng.bool() {
            true => (TearAt::Bytes512, "power cut, torn at 512"),
            false => (TearAt::Bytes4096, "power cut, torn at 4096"),
        };
        self.coverage.note(name);
        let unflushed: usize = self.world.disks.iter().map(|disk| disk.unflushed_before(op)).sum();
        self.coverage.add("unflushed writes at a cut", unflushed as u64);
        let rng = &mut self.rng;
        let disks = self.world.disks.iter().map(|disk| disk.image_at(op, tear, rng));
        self.world.on(disks.collect())
    }

    /// Begins to open the store on `world`, and cuts that short.
    fn cut_recovery(&mut self, mut world: World) -> Result<World, Finding> {
        world.disks.iter().for_each(SimDisk::record);
        let first = world.next_op();
        world.open(&[])?;
        let op = self.rng.u64(first..=world.next_op());
        let rng = &mut self.rng;
        let disks = world.disks.iter().map(|disk| disk.image_at(op, TearAt::Bytes512, rng));
        let next = world.on(disks.collect());
        world.abandon();
        Ok(next)
    }

    /// A disk that was being added when power was cut, and that nobody remembers when the store is opened: if it
    /// belongs to the array by then, it is one that is away.
    fn forgotten_newcomer(&mut self, is_cut: bool) -> Option<usize> {
        let at = self.world.disks.len() - 1;
        let known = self.atlas.members().contains(&at) || self.world.removed.contains(&at);
        let may = is_cut && !known && self.atlas.has_room() && self.rng.bool();
        may.then_some(at)
    }

    /// Disks that are not there when the store is opened, if any may be harmed.
    pub(crate) fn absent_at_opening(&mut self) -> Vec<usize> {
        self.world.shows_all = self.rng.u8(..3) == 0;
        if self.world.shows_all && !self.world.removed.is_empty() {
            self.coverage.note("removed disk given");
        }
        if self.world.shows_all && !self.world.strangers.is_empty() {
            self.coverage.note("disk given that was not added");
        }
        if self.world.plan.harm == 0 || self.rng.u8(..6) != 0 {
            return Vec::new();
        }
        let mut absent = Vec::new();
        while let Some(disk) = self.atlas.liar(&mut self.rng) {
            self.tell(|| format!("disk {disk} is not there"));
            self.coverage.note("disk gone at opening");
            self.atlas.lies(disk);
            self.gone(disk);
            absent.push(disk);
            if self.world.plan.parity < 2 || self.rng.bool() {
                break;
            }
        }
        if absent.len() > 1 {
            self.coverage.note("two disks gone at opening");
        }
        absent
    }

    /// A disk is away; whether that was to be expected.
    fn gone(&mut self, disk: usize) -> bool {
        let expected = self.atlas.gone(disk);
        if self.atlas.with(Harm::Gone).len() > 1 {
            self.coverage.note("two disks gone at once");
        }
        expected
    }

    fn adopt(&mut self) -> Result<(), Finding> {
        let open = self.world.store();
        for camera in &mut self.cameras {
            camera.adopt(&open.store)?;
        }
        self.coverage.note("checked: recordings after a cut");
        self.programs.adopt(&open.files)?;
        self.coverage.note("checked: files after a cut");
        Ok(())
    }

    /// Harms a disk that may be harmed.
    pub(crate) fn harm(&mut self) -> Result<(), Finding> {
        let Some(at) = self.atlas.liar(&mut self.rng) else {
            return Ok(());
        };
        let disk = self.world.disks[at].clone();
        let op = self.world.next_op();
        match self.rng.u8(..16) {
            kind @ 0..9 => {
                let (fault, name) = FAULTS[usize::from(kind)];
                let lasting = fault != Fault::Death && self.rng.bool();
                let trigger = match lasting {
                    true => Trigger::Chance { per_million: self.rng.u32(1_000..200_000) },
                    false => Trigger::Once { from_op: op + self.rng.u64(..20) },
                };
                self.tell(|| format!("disk {at}: {name} {trigger:?}"));
                disk.inject(fault, trigger);
                self.note_effects();
                disk.record(); // to see what it does
            }
            9 | 10 => {
                let bits = self.rng.usize(1..400);
                disk.rot(0..disk.size(), bits);
                self.coverage.note("bit rot");
                self.tell(|| format!("disk {at}: {bits} bits rot"));
            }
            11 => self.spoil(&disk),
            12 => self.overwrite(&disk),
            13 => {
                disk.inject(
                    Fault::Slow { by_us: 500_000 },
                    Trigger::Chance { per_million: 300_000 },
                );
                self.coverage.note("slow disk");
                return Ok(()); // late is not wrong: another may lie meanwhile
            }
            14 => self.back_in_time(at)?,
            _ => {
                disk.kill();
                self.tell(|| format!("disk {at}: dead"));
                self.coverage.note("disk died");
            }
        }
        self.lies(at);
        Ok(())
    }

    /// A disk may hold anything from now on.
    fn lies(&mut self, disk: usize) {
        self.atlas.lies(disk);
        if self.atlas.with(Harm::Lies).len() > 1 {
            self.coverage.note("two disks harmed at once");
        }
    }

    fn spoil(&mut self, disk: &SimDisk) {
        let from = self.rng.u64(..disk.size());
        let len = self.rng.u64(1..1 << 20);
        disk.spoil(from..(from + len).min(disk.size()));
        self.coverage.note("unreadable sectors");
        self.tell(|| format!("{}: {len} bytes from {from} on can't be read", disk.label()));
    }

    fn overwrite(&mut self, disk: &SimDisk) {
        let len = self.rng.u64(1..256) * 4096;
        let from = self.rng.u64(..(disk.size() - len) / 4096) * 4096;
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        disk.overwrite(from, &bytes);
        self.coverage.note("overwritten");
        self.tell(|| format!("{}: {len} bytes from {from} on overwritten", disk.label()));
    }

    /// The store is worked with for a while; then power is cut, and one disk is what it was before.
    fn back_in_time(&mut self, at: usize) -> Result<(), Finding> {
        let tear = TearAt::Bytes512;
        let old = self.world.disks[at].crash(tear, &mut self.rng);
        for _ in 0..self.rng.u32(1..4) {
            for action in [Action::Push, Action::Files, Action::Tick, Action::Sync] {
                let acknowledged = self.act(action)?;
                self.acknowledge(acknowledged);
            }
        }
        self.coverage.note("disk back in time");
        self.tell(|| format!("disk {at} is what it was before"));
        // What was acknowledged is on the others; the cut is without mercy for what was not.
        let rng = &mut self.rng;
        let mut disks: Vec<SimDisk> =
            self.world.disks.iter().map(|disk| disk.crash(tear, rng)).collect();
        disks[at] = old;
        let next = self.world.on(disks);
        self.requests += self.world.next_op();
        std::mem::replace(&mut self.world, next).abandon();
        self.lies(at);
        self.world.open(&[])?;
        self.adopt()
    }

    /// Compares what the store says of its disks with what was done to them.
    pub(crate) fn look_at_disks(&mut self) -> Result<(), Finding> {
        let listed = self.world.disk_status();
        for disk in &listed {
            let at = usize::from(disk.index.0);
            let away = matches!(disk.state, DiskState::Failed | DiskState::Missing);
            if away {
                let expected = self.gone(at);
                ensure(expected, || {
                    format!("the store gave up disk {at}, to which nothing was done")
                })?;
            } else if self.atlas.is_gone(at) {
                self.coverage.note("disk back after it was away");
                self.atlas.back(at);
            }
        }
        match self.recording {
            true => Ok(()), // a cut may undo it yet
            false => self.settle_members(&listed),
        }
    }

    /// The operator replaces what has failed, and has everything gone over.
    pub(crate) fn repair(&mut self) -> Result<Acknowledged, Finding> {
        let recording = self.recording;
        if !recording {
            self.note_effects();
            self.world.disks.iter().for_each(SimDisk::record);
        }
        self.world.disks.iter().for_each(SimDisk::heal);
        self.world.store().log.probe();
        self.look_at_disks()?;
        // One that is dead and leaves need not be replaced.
        let stay = self.rng.bool();
        self.replace_gone(stay)?;
        self.world.store().store.scrub(None);
        if !self.tend()? {
            self.replace_gone(true)?;
            self.world.store().store.scrub(None);
            let tended = self.tend()?;
            ensure(tended, || "disks leave though all were to stay".to_owned())?;
        }
        let disks = self.world.disk_status();
        ensure(disks.iter().all(|disk| disk.state == DiskState::Ok), || {
            format!(
                "after a repair the disks are {:?}",
                disks.iter().map(|d| d.state).collect::<Vec<_>>()
            )
        })?;
        self.coverage.note("repaired");
        self.atlas.repaired();
        self.look_at_disks()?;
        if !recording && self.rng.u8(..3) == 0 {
            self.check_offline()?;
            return Ok(Acknowledged::ALL);
        }
        Ok(Acknowledged::default())
    }

    /// New disks for those that are gone, also, if so, for those that were to be removed: all disks stay then.
    fn replace_gone(&mut self, stay: bool) -> Result<(), Finding> {
        for at in self.atlas.leaving().clone() {
            let leaves =
                self.world.store().log.leaving().iter().any(|l| usize::from(l.disk.0) == at);
            if stay && leaves {
                self.keep_disk(at)?;
            }
        }
        let leaving = self.world.store().log.leaving();
        let leaves = |at: usize| leaving.iter().any(|l| usize::from(l.disk.0) == at);
        let listed = self.world.disk_status();
        let away = listed
            .iter()
            .filter(|disk| matches!(disk.state, DiskState::Failed | DiskState::Missing));
        let gone: Vec<usize> =
            away.map(|disk| usize::from(disk.index.0)).filter(|at| !leaves(*at)).collect();
        if gone.len() > 1 {
            self.coverage.note("two disks replaced");
        }
        for at in gone {
            let new = self.blank_disk(self.world.disks[at].size());
            let new = new.counted_by(self.world.disks[0].counter());
            if self.recording {
                new.record();
            }
            self.world.disks[at] = new.clone();
            let replaced =
                self.world.store().store.replace_disk(DiskIndex(at as u16), Arc::new(new), None);
            must("replacing a disk", replaced)?;
            self.coverage.note("disk replaced");
        }
        Ok(())
    }

    /// What the faults did.
    fn note_effects(&mut self) {
        for record in self.world.disks.iter().flat_map(SimDisk::ops) {
            let what = match (record.effect, record.op) {
                (Effect::Failed, Op::Read) => "failed read",
                (Effect::Failed, Op::Write) => "failed write",
                (Effect::Failed, Op::Flush) => "failed flush",
                (Effect::Lost, _) => "lost write",
                (Effect::Misdirected { .. }, _) => "misdirected write",
                (Effect::Torn, _) => "torn write",
                _ => continue,
            };
            self.coverage.note(what);
        }
    }
}
