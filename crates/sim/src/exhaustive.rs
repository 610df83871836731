//! Every short sequence of operations, cut at every request, with subsets of what was not flushed.
//!
//! What random runs may pass over for years, a short sequence shows at once: most faults of file systems take
//! no more than two operations and a cut. A sequence ends with a sync, so that all of it reaches the disks. Before
//! each write and flush of it the power is cut; of the writes that were not flushed then every subset arrives,
//! or, where there are too many, none, all, and a sample.

use pegasus_base::Time;
use pegasus_disk::{Op, SimDisk, SimModel};
use serde::Serialize;

use crate::plan::Plan;
use crate::streams::Camera;
use crate::tree::Programs;
use crate::world::World;
use crate::{Finding, must};

/// Of so many unflushed writes at most every subset is tried.
const ALL_SUBSETS_OF: usize = 4;
/// Subsets tried of more, besides none and all.
const SAMPLED_SUBSETS: usize = 8;

/// What a sequence is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A file is made.
    Make,
    /// A few bytes are written over the beginning of a file.
    Write,
    /// 200 kB are written to a file: content segments.
    Bulk,
    /// A file is cut short.
    Truncate,
    /// A file is put in the place of another.
    Rename,
    /// A file is deleted.
    Unlink,
    /// Files are made durable.
    Sync,
    /// A second is recorded and made durable.
    Record,
    /// A recording is deleted.
    Delete,
    /// A checkpoint is written.
    Checkpoint,
    /// The cleaner makes a pass.
    Clean,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Make,
        Self::Write,
        Self::Bulk,
        Self::Truncate,
        Self::Rename,
        Self::Unlink,
        Self::Sync,
        Self::Record,
        Self::Delete,
        Self::Checkpoint,
        Self::Clean,
    ];
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exhausted {
    /// Sequences.
    pub sequences: u64,
    /// Points at which the power was cut.
    pub cuts: u64,
    /// Stores opened after a cut, and compared.
    pub states: u64,
}

/// A store in the middle of a sequence, with what should be in it.
struct Bench {
    world: World,
    camera: Camera,
    programs: Programs,
    rng: fastrand::Rng,
}

/// Tries `sequence` on an array of `data` + `parity` disks, and every cut of it.
///
/// # Errors
/// What the store did wrong.
pub fn exhaust(data: u8, parity: u8, sequence: &[Operation]) -> Result<Exhausted, Finding> {
    let name = |Finding(what)| Finding(format!("{data}+{parity}, {sequence:?}: {what}"));
    let mut bench = Bench::new(data, parity).map_err(name)?;
    let mut done = Exhausted { sequences: 1, ..Exhausted::default() };
    for operation in sequence.iter().chain([&Operation::Sync]) {
        bench.step(*operation, &mut done).map_err(name)?;
    }
    bench.world.abandon();
    Ok(done)
}

impl Bench {
    /// A store with two files and a recording, all of it durable.
    fn new(data: u8, parity: u8) -> Result<Self, Finding> {
        let mut rng = fastrand::Rng::with_seed(1);
        let plan = Plan {
            data,
            parity,
            disk_bytes: 16 << 20,
            unit_bytes: 64 << 10,
            pending_bytes: 8 << 20,
            harm: 0,
            cuts: 0,
            tight: false,
            model: SimModel::default(),
        };
        let world = World::new(plan, &mut rng)?;
        let programs = Programs::new(&world.store().files, 0);
        let camera = Camera::new("/cam/door", (500, 3_000));
        let mut bench = Self { world, camera, programs, rng };
        for name in [b"a", b"b"] {
            bench.make(name)?;
            bench.write(name, 0, 50_000)?;
        }
        must("syncing", bench.world.store().files.sync())?;
        bench.act(Operation::Record)?;
        bench.acknowledge(Operation::Record);
        bench.act(Operation::Checkpoint)?;
        bench.programs.synced();
        Ok(bench)
    }

    /// Does `operation`, and looks at every cut in its course.
    fn step(&mut self, operation: Operation, done: &mut Exhausted) -> Result<(), Finding> {
        self.world.disks.iter().for_each(SimDisk::record);
        self.act(operation)?;
        let mut cuts: Vec<u64> = self
            .world
            .disks
            .iter()
            .flat_map(SimDisk::ops)
            .collect::<Vec<_>>()
            .into_iter()
            .filter(|record| record.op != Op::Read)
            .map(|record| record.number)
            .collect();
        cuts.sort_unstable();
        for op in cuts {
            done.cuts += 1;
            self.cut(op, done)?;
        }
        self.acknowledge(operation);
        done.cuts += 1;
        self.cut(self.world.next_op(), done)
    }

    fn cut(&mut self, op: u64, done: &mut Exhausted) -> Result<(), Finding> {
        let counts: Vec<usize> =
            self.world.disks.iter().map(|disk| disk.unflushed_before(op)).collect();
        let writes: usize = counts.iter().sum();
        let subsets: Vec<Vec<bool>> = if writes <= ALL_SUBSETS_OF {
            (0..1_u32 << writes)
                .map(|set| (0..writes).map(|at| set >> at & 1 == 1).collect())
                .collect()
        } else {
            let sampled =
                (0..SAMPLED_SUBSETS).map(|_| (0..writes).map(|_| self.rng.bool()).collect());
            [vec![false; writes], vec![true; writes]].into_iter().chain(sampled).collect()
        };
        for subset in subsets {
            done.states += 1;
            let arrived = format!("request {op}, writes that arrived {subset:?}");
            self.compare(op, &counts, &subset)
                .map_err(|Finding(what)| Finding(format!("{what} (cut before {arrived})")))?;
        }
        Ok(())
    }

    /// Opens the store as the cut leaves it, and compares.
    fn compare(&self, op: u64, counts: &[usize], subset: &[bool]) -> Result<(), Finding> {
        let mut first = 0;
        let mut disks = Vec::new();
        for (disk, count) in self.world.disks.iter().zip(counts) {
            disks.push(disk.image_keeping(op, |at| subset[first + at]));
            first += count;
        }
        let mut world = self.world.on(disks);
        world.open(&[])?;
        let (mut camera, mut programs) = (self.camera.model(), self.programs.clone());
        camera.adopt(&world.store().store)?;
        programs.adopt(&world.store().files)?;
        world.abandon();
        Ok(())
    }

    fn act(&mut self, operation: Operation) -> Result<(), Finding> {
        match operation {
            Operation::Make => self.make(b"c"),
            Operation::Write => self.write(b"a", 10, 100),
            Operation::Bulk => self.write(b"b", 16_384, 200_000),
            Operation::Truncate => {
                self.on_file(b"a", |files, tree, ino| tree.resize(files, ino, 20_000))
            }
            Operation::Rename => self.on_file(b"a", |files, tree, _| {
                let root = tree.root();
                tree.rename(files, (root, b"a"), (root, b"b"))
            }),
            Operation::Unlink => self.on_file(b"b", |files, tree, _| {
                let root = tree.root();
                tree.unlink(files, root, b"b")
            }),
            Operation::Sync => must("syncing", self.world.store().files.sync()),
            Operation::Record => self.record(),
            Operation::Delete => {
                self.camera.hang_up();
                must("committing", self.world.store().tick())?;
                self.camera.delete(&self.world.store().store)
            }
            Operation::Checkpoint => {
                self.world.store().store.request_checkpoint();
                must("committing", self.world.store().tick())
            }
            Operation::Clean => {
                must("cleaning", self.world.store().log.clean(1 << 20))?;
                self.act(Operation::Checkpoint)
            }
        }
    }

    fn acknowledge(&mut self, operation: Operation) {
        match operation {
            Operation::Sync => self.programs.synced(),
            Operation::Record | Operation::Checkpoint | Operation::Clean => {
                self.camera.acknowledge()
            }
            Operation::Delete => self.camera.deleted(),
            _ => {}
        }
    }

    fn record(&mut self) -> Result<(), Finding> {
        let store = &self.world.store().store;
        let now = Time::from_ns(self.world.now().as_ns() + 1_000_000);
        let until = self.camera.push(store, now, &mut self.rng)?;
        self.world.clock.set(until);
        must("committing", self.world.store().tick())
    }

    fn make(&mut self, name: &[u8]) -> Result<(), Finding> {
        let files = &self.world.store().files;
        let made = self.programs.apply(|tree| match tree.at_root(name) {
            Some(_) => Ok(()),
            None => tree.make(files, tree.root(), name, false),
        });
        made.map(|_| ())
    }

    fn write(&mut self, name: &[u8], at: usize, len: usize) -> Result<(), Finding> {
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes);
        self.on_file(name, |files, tree, ino| tree.write(files, ino, at, &bytes))
    }

    /// Does something with a file, if it is there still.
    fn on_file(
        &mut self,
        name: &[u8],
        what: impl FnOnce(
            &pegasus_files::Files,
            &mut crate::tree::Tree,
            pegasus_files::Ino,
        ) -> Result<(), pegasus_files::FilesError>,
    ) -> Result<(), Finding> {
        let files = &self.world.store().files;
        let done = self.programs.apply(|tree| match tree.at_root(name) {
            Some(ino) => what(files, tree, ino),
            None => Ok(()),
        });
        done.map(|_| ())
    }
}
