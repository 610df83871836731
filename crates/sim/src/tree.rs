//! Programs that work with files, and what should be in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_files::{
    Attributes, Errno, Files, FilesError, Ino, Limits, Listed, NewInode, RenameMode, SetAttributes,
    View,
};

use crate::quotas::Quotas;
use crate::{Finding, ensure, must};

const DIR: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
/// Copies of whole blocks of so many bytes are borrowed.
const BLOCK: usize = 16 << 10;

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

/// A volume now, or as it was.
#[derive(Clone, Copy)]
enum Look<'a> {
    Now(&'a Files),
    Then(View<'a>),
}

impl Look<'_> {
    fn attributes(self, ino: Ino) -> Result<Attributes, FilesError> {
        match self {
            Self::Now(files) => files.attributes(ino),
            Self::Then(view) => view.attributes(ino),
        }
    }

    fn read(self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, FilesError> {
        match self {
            Self::Now(files) => files.read(ino, offset, len),
            Self::Then(view) => view.read(ino, offset, len),
        }
    }

    fn list(self, dir: Ino, cookie: u64) -> Result<Vec<Listed>, FilesError> {
        match self {
            Self::Now(files) => files.list(dir, cookie),
            Self::Then(view) => view.list(dir, cookie),
        }
    }
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

    /// Gives a directory a quota, or takes it away.
    fn quota(
        &mut self,
        files: &Files,
        len_max: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<&'static str>, FilesError> {
        let tops = self.quotas.tops();
        if let Some(dir) = rng.choice(&tops).filter(|_| rng.bool()) {
            files.remove_quota(*dir)?;
            self.quotas.remove(*dir);
            return Ok(Some("quota removed"));
        }
        let dir = self.any_dir(rng);
        let below = self.below(dir);
        if tops.iter().any(|top| below.contains(top) || self.below(*top).contains(&dir)) {
            return Ok(None);
        }
        let limits = Limits {
            bytes: Some(rng.u64(..4 * len_max as u64 + 1)),
            files: rng.bool().then(|| rng.u64(1..20)),
        };
        files.set_quota(dir, limits)?;
        self.quotas.set(dir, limits, below);
        Ok(Some("quota set"))
    }

    /// What a quota says to a file of this length.
    fn refusal(&self, ino: Ino, len: usize) -> Option<Errno> {
        let more = len.saturating_sub(self.len(ino)) as u64;
        self.quotas.refusal(ino, (more, 0), |ino| self.len(ino))
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

    /// Copies whole blocks of a file to another, which borrows them.
    fn copy(
        &mut self,
        files: &Files,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<&'static str>, FilesError> {
        let is_file: fn(&Node) -> bool = |node| matches!(node, Node::File(_));
        let (Some(from), Some(to)) = (self.any(rng, is_file), self.any(rng, is_file)) else {
            return Ok(None);
        };
        let blocks = self.len(from) / BLOCK;
        if blocks < 2 || from == to {
            return Ok(None);
        }
        let first = rng.usize(..blocks - 1);
        let count = rng.usize(2..=blocks - first);
        let (at, into, len) = (first * BLOCK, rng.usize(..4) * BLOCK, count * BLOCK);
        let refused = self.refusal(to, into + len);
        let copied = files.copy((from, at as u64), (to, into as u64), len as u64);
        if self.quotas.agree(copied, refused)?.is_none() {
            return Ok(None);
        }
        let source = self.bytes(from)[at..at + len].to_vec();
        let target = self.bytes(to);
        target.resize(target.len().max(into + len), 0);
        target[into..into + len].copy_from_slice(&source);
        Ok(Some("blocks borrowed"))
    }

    /// Makes a snapshot, or removes the one of this name.
    fn snapshot(
        &mut self,
        files: &Files,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<&'static str>, FilesError> {
        let name = if rng.bool() { "one" } else { "other" }.to_owned();
        if self.past.contains_key(&name) {
            files.remove_snapshot(&name)?;
            self.past.remove(&name);
            return Ok(Some("snapshot removed"));
        }
        if rng.bool() {
            files.finish_removals()?; // what a cut left
        }
        files.create_snapshot(&name)?;
        self.past.insert(name, Arc::new(self.nodes.clone()));
        Ok(Some("snapshot made"))
    }

    /// A random operation.
    fn change(
        &mut self,
        files: &Files,
        len_max: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<(), FilesError> {
        let dir = self.any_dir(rng);
        let name = format!("f{}", rng.u8(..12)).into_bytes();
        let any_file = self.any(rng, |node| matches!(node, Node::File(_)));
        match (rng.u8(..20), self.at(dir, &name), any_file) {
            (0..5, None, _) => self.make(files, dir, &name, false),
            (5, None, _) if self.nodes.len() < 40 => self.make(files, dir, &name, true),
            (6 | 7, Some(ino), _) if !self.is_dir(ino) => self.unlink(files, dir, &name),
            (8, Some(ino), _) if self.is_dir(ino) && self.entries(ino).is_empty() => {
                files.rmdir(dir, &name)?;
                self.remove(dir, &name);
                Ok(())
            }
            (9 | 10, Some(ino), _) if !self.is_dir(ino) => {
                let to = (self.any_dir(rng), format!("f{}", rng.u8(..12)).into_bytes());
                self.rename(files, (dir, &name), (to.0, &to.1))
            }
            (11, None, Some(ino)) => self.link(files, ino, dir, &name),
            (12, _, Some(ino)) => self.resize(files, ino, rng.usize(..len_max)),
            (_, _, Some(ino)) => {
                let at = match rng.u8(..3) {
                    0 => 0,
                    1 => self.len(ino).min(len_max),
                    _ => rng.usize(..len_max),
                };
                let most = if rng.u8(..4) == 0 { len_max / 2 } else { 3_000 };
                let mut bytes = vec![0; rng.usize(1..most)];
                rng.fill(&mut bytes);
                self.write(files, ino, at, &bytes)
            }
            _ => Ok(()),
        }
    }

    /// Makes a file or a directory.
    pub(crate) fn make(
        &mut self,
        files: &Files,
        dir: Ino,
        name: &[u8],
        is_dir: bool,
    ) -> Result<(), FilesError> {
        let (mode, node) = match is_dir {
            true => (DIR, Node::Dir(BTreeMap::new())),
            false => (FILE, Node::File(Arc::default())),
        };
        let refused = self.quotas.refusal(dir, (0, 1), |ino| self.len(ino));
        let made = files.make(dir, name, &NewInode::new(mode, 0, 0));
        let Some(made) = self.quotas.agree(made, refused)? else { return Ok(()) };
        let ino = made.ino;
        self.nodes.insert(ino, node);
        self.quotas.made(dir, ino);
        self.entries(dir).insert(name.to_vec(), ino);
        Ok(())
    }

    pub(crate) fn unlink(
        &mut self,
        files: &Files,
        dir: Ino,
        name: &[u8],
    ) -> Result<(), FilesError> {
        files.unlink(dir, name)?;
        self.remove(dir, name);
        Ok(())
    }

    pub(crate) fn link(
        &mut self,
        files: &Files,
        ino: Ino,
        dir: Ino,
        name: &[u8],
    ) -> Result<(), FilesError> {
        let refused = self.quotas.between(ino, dir);
        if self.quotas.agree(files.link(ino, dir, name), refused)?.is_none() {
            return Ok(());
        }
        self.entries(dir).insert(name.to_vec(), ino);
        Ok(())
    }

    /// Renames a file, unless a directory or the file itself is there.
    pub(crate) fn rename(
        &mut self,
        files: &Files,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
    ) -> Result<(), FilesError> {
        let moved = self.at(from.0, from.1).expect("it was chosen because it is there");
        if self.at(to.0, to.1).is_some_and(|there| self.is_dir(there) || there == moved) {
            return Ok(());
        }
        let refused = self.quotas.between(from.0, to.0);
        let renamed = files.rename(from, to, RenameMode::Replace);
        if self.quotas.agree(renamed, refused)?.is_none() {
            return Ok(());
        }
        self.remove(to.0, to.1);
        self.entries(to.0).insert(to.1.to_vec(), moved);
        self.entries(from.0).remove(from.1);
        Ok(())
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

    pub(crate) fn resize(
        &mut self,
        files: &Files,
        ino: Ino,
        size: usize,
    ) -> Result<(), FilesError> {
        let refused = self.refusal(ino, size);
        let set = files.set(ino, &SetAttributes { size: Some(size as u64), ..Default::default() });
        if self.quotas.agree(set, refused)?.is_none() {
            return Ok(());
        }
        self.bytes(ino).resize(size, 0);
        Ok(())
    }

    pub(crate) fn write(
        &mut self,
        files: &Files,
        ino: Ino,
        at: usize,
        written: &[u8],
    ) -> Result<(), FilesError> {
        let refused = self.refusal(ino, at + written.len());
        let done = files.write(ino, at as u64, written);
        if self.quotas.agree(done, refused)?.is_none() {
            return Ok(());
        }
        let (bytes, end) = (self.bytes(ino), at + written.len());
        bytes.resize(bytes.len().max(end), 0);
        bytes[at..end].copy_from_slice(written);
        Ok(())
    }

    /// The root, and what has a name there.
    pub(crate) fn root(&self) -> Ino {
        self.root
    }

    pub(crate) fn at_root(&self, name: &[u8]) -> Option<Ino> {
        self.at(self.root, name)
    }

    /// What is on the volume.
    fn read(files: &Files) -> Result<Self, Finding> {
        let nodes = Self::read_all(Look::Now(files), files.root())?;
        let mut past = BTreeMap::new();
        for snapshot in files.snapshots() {
            let nodes = Self::read_all(Look::Then(files.at(snapshot.id)), files.root())?;
            past.insert(snapshot.name, Arc::new(nodes));
        }
        let quotas = Quotas::read(files, nodes.keys())?;
        Ok(Self { root: files.root(), nodes, past, quotas })
    }

    fn read_all(look: Look<'_>, root: Ino) -> Result<BTreeMap<Ino, Node>, Finding> {
        let mut nodes = BTreeMap::new();
        let mut todo = vec![root];
        while let Some(ino) = todo.pop() {
            if nodes.contains_key(&ino) {
                continue;
            }
            let attributes = must("looking at an inode", look.attributes(ino))?;
            let node = match attributes.mode {
                DIR => {
                    let entries = list(look, ino)?;
                    todo.extend(entries.values());
                    Node::Dir(entries)
                }
                _ => {
                    let len = attributes.size as usize;
                    Node::File(Arc::new(must("reading a file", look.read(ino, 0, len))?))
                }
            };
            nodes.insert(ino, node);
        }
        Ok(nodes)
    }
}

fn list(look: Look<'_>, dir: Ino) -> Result<BTreeMap<Vec<u8>, Ino>, Finding> {
    let (mut cookie, mut entries) = (2, BTreeMap::new());
    loop {
        let listed = must("listing a directory", look.list(dir, cookie))?;
        let Some(last) = listed.last() else { return Ok(entries) };
        cookie = last.cookie;
        entries.extend(listed.into_iter().map(|entry| (entry.name, entry.ino)));
    }
}
