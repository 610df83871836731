//! Programs that work with files, and what should be in them.

mod look;
mod ops;
mod quota;

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_files::{Errno, Files, FilesError, Ino};

use self::look::Look;
use crate::quotas::Quotas;
use crate::{Finding, ensure, must};

const DIR: u32 = 0o040_755;

/// What an inode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Dir(BTreeMap<Vec<u8>, Ino>),
    File(Arc<Vec<u8>>),
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    root: Ino,
    nodes: BTreeMap<Ino, Node>,
    /// What it was, by the names of snapshots.
    past: BTreeMap<String, Arc<BTreeMap<Ino, Node>>>,
    quotas: Quotas,
}

/// The volume, and all it may be found as after a cut: as it was when it was synced last, and after each
/// operation since.
#[derive(Clone)]
pub(crate) struct Programs {
    pub(crate) now: Tree,
    moments: Vec<Tree>,
    /// Most bytes of a file.
    len_max: usize,
    /// Whether they set quotas.
    pub(crate) limits: bool,
    /// What they have done that is worth counting.
    pub(crate) done: Vec<&'static str>,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// There was no room, and nothing changed.
    Full,
}

impl Programs {
    pub(crate) fn new(files: &Files, len_max: usize) -> Self {
        let root = files.root();
        let nodes = [(root, Node::Dir(BTreeMap::new()))].into();
        let now = Tree { root, nodes, past: BTreeMap::new(), quotas: Quotas::default() };
        Self { moments: vec![now.clone()], now, len_max, limits: false, done: Vec::new() }
    }

    /// A random operation.
    pub(crate) fn step(
        &mut self,
        files: &Files,
        rng: &mut fastrand::Rng,
    ) -> Result<Outcome, Finding> {
        let (len_max, limits) = (self.len_max, self.limits);
        let refusals = self.now.quotas.refusals;
        let mut done = None;
        let outcome = self.apply(|tree| match rng.u8(..12) {
            0 => tree.copy(files, rng).map(|what| done = what),
            1 => tree.snapshot(files, rng).map(|what| done = what),
            2 if limits => tree.quota(files, len_max, rng).map(|what| done = what),
            3 => tree.punch(files, len_max, rng).map(|what| done = what),
            _ => tree.change(files, len_max, rng),
        })?;
        let refused = self.now.quotas.refusals > refusals;
        self.done.extend(refused.then_some("refused by a quota"));
        self.done.extend(done.filter(|_| outcome == Outcome::Done));
        Ok(outcome)
    }

    /// An operation on both the volume and its model.
    pub(crate) fn apply(
        &mut self,
        operation: impl FnOnce(&mut Tree) -> Result<(), FilesError>,
    ) -> Result<Outcome, Finding> {
        let mut after = self.now.clone();
        match operation(&mut after) {
            Ok(()) => {
                self.now = after;
                self.moments.push(self.now.clone());
                Ok(Outcome::Done)
            }
            Err(error) if error.errno() == Errno::NOSPC => Ok(Outcome::Full),
            Err(error) => Err(Finding(format!("an operation on files failed: {error}"))),
        }
    }

    /// Everything was made durable.
    pub(crate) fn synced(&mut self) {
        self.moments = vec![self.now.clone()];
    }

    /// Reads a random file, and compares.
    pub(crate) fn read_some(
        &self,
        files: &Files,
        rng: &mut fastrand::Rng,
    ) -> Result<bool, Finding> {
        let snapshots = files.snapshots();
        let then = if rng.bool() { rng.choice(&snapshots) } else { None };
        let (nodes, look) = match then {
            Some(snapshot) => {
                let nodes = self.now.past.get(&snapshot.name);
                let unknown = || Finding(format!("nobody made the snapshot {:?}", snapshot.name));
                (&**nodes.ok_or_else(unknown)?, Look::Then(files.at(snapshot.id)))
            }
            None => (&self.now.nodes, Look::Now(files)),
        };
        let all: Vec<Ino> = nodes
            .iter()
            .filter(|(_, node)| matches!(node, Node::File(_)))
            .map(|(ino, _)| *ino)
            .collect();
        let Some(ino) = rng.choice(&all).copied() else { return Ok(false) };
        let Node::File(bytes) = &nodes[&ino] else { unreachable!("a file was chosen") };
        let from = rng.usize(..bytes.len() + 1);
        let len = rng.usize(..100_000).min(bytes.len() - from);
        let read = must("reading a file", look.read(ino, from as u64, len))?;
        ensure(read == bytes[from..from + len], || {
            format!("{ino}: {len} bytes from {from} on are not what was written")
        })?;
        Ok(true)
    }

    /// After a cut: the volume is as it was at one of the moments. From then on it is that.
    pub(crate) fn adopt(&mut self, files: &Files) -> Result<(), Finding> {
        let found = Tree::read(files)?;
        let known = self.moments.contains(&found);
        ensure(known, || {
            let (moments, nodes) = (self.moments.len(), found.nodes.len());
            format!("the files ({nodes} inodes) are what they were at none of {moments} moments")
        })?;
        self.now = found;
        self.synced();
        Ok(())
    }

    /// Removes every file and directory. Stops early if there is no room even for that.
    pub(crate) fn clear(&mut self, files: &Files) -> Result<(), Finding> {
        must("removing snapshots", files.finish_removals())?;
        while let Some((name, _)) = self.now.past.pop_first() {
            must("removing a snapshot", files.remove_snapshot(&name))?;
            self.moments.push(self.now.clone());
        }
        for dir in self.now.quotas.tops() {
            must("removing a quota", files.remove_quota(dir))?;
            self.now.quotas.remove(dir);
            self.moments.push(self.now.clone());
        }
        while let Some((dir, name, is_dir)) = self.now.some_leaf() {
            let gone = match is_dir {
                true => files.rmdir(dir, &name),
                false => files.unlink(dir, &name),
            };
            must("removing a file", gone)?;
            self.now.remove(dir, &name);
            self.moments.push(self.now.clone());
        }
        Ok(())
    }
}

impl Tree {
    fn any(&self, rng: &mut fastrand::Rng, fits: fn(&Node) -> bool) -> Option<Ino> {
        let fitting: Vec<Ino> =
            self.nodes.iter().filter(|(_, node)| fits(node)).map(|(ino, _)| *ino).collect();
        (!fitting.is_empty()).then(|| fitting[rng.usize(..fitting.len())])
    }

    fn any_dir(&self, rng: &mut fastrand::Rng) -> Ino {
        self.any(rng, |node| matches!(node, Node::Dir(_))).expect("there is the root")
    }

    fn entries(&mut self, dir: Ino) -> &mut BTreeMap<Vec<u8>, Ino> {
        match self.nodes.get_mut(&dir) {
            Some(Node::Dir(entries)) => entries,
            _ => panic!("{dir} is a directory"),
        }
    }

    fn at(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        match &self.nodes[&dir] {
            Node::Dir(entries) => entries.get(name).copied(),
            Node::File(_) => None,
        }
    }

    fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.nodes[&ino], Node::Dir(_))
    }

    fn is_named(&self, ino: Ino) -> bool {
        self.nodes
            .values()
            .any(|node| matches!(node, Node::Dir(entries) if entries.values().any(|at| *at == ino)))
    }

    /// Takes a name away, and the inode if it was its last.
    fn remove(&mut self, dir: Ino, name: &[u8]) {
        let gone = self.entries(dir).remove(name);
        if let Some(ino) = gone.filter(|ino| !self.is_named(*ino)) {
            self.nodes.remove(&ino);
            self.quotas.forget(ino);
        }
    }

    /// All inodes of a tree.
    fn below(&self, dir: Ino) -> Vec<Ino> {
        let (mut all, mut at) = (vec![dir], 0);
        while let Some(ino) = all.get(at) {
            if let Node::Dir(entries) = &self.nodes[ino] {
                all.extend(entries.values());
            }
            at += 1;
        }
        all
    }

    /// A name of a file, or of an empty directory.
    fn some_leaf(&self) -> Option<(Ino, Vec<u8>, bool)> {
        self.nodes.iter().find_map(|(dir, node)| {
            let Node::Dir(entries) = node else { return None };
            entries.iter().find_map(|(name, ino)| match &self.nodes[ino] {
                Node::File(_) => Some((*dir, name.clone(), false)),
                Node::Dir(below) => below.is_empty().then(|| (*dir, name.clone(), true)),
            })
        })
    }

    fn bytes(&mut self, ino: Ino) -> &mut Vec<u8> {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(bytes)) => Arc::make_mut(bytes),
            _ => panic!("{ino} is a file"),
        }
    }

    fn len(&self, ino: Ino) -> usize {
        match &self.nodes[&ino] {
            Node::File(bytes) => bytes.len(),
            Node::Dir(_) => 0,
        }
    }

    /// The root, and what has a name there.
    pub(crate) fn root(&self) -> Ino {
        self.root
    }

    pub(crate) fn at_root(&self, name: &[u8]) -> Option<Ino> {
        self.at(self.root, name)
    }
}
