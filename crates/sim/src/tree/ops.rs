//! What programs do to files.

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_files::{Allocate, Files, FilesError, Ino, NewInode, RenameMode, SetAttributes};

use super::{DIR, Node, Tree};

const FILE: u32 = 0o100_644;
/// Copies of whole blocks of so many bytes are borrowed.
const BLOCK: usize = 16 << 10;

impl Tree {
    /// Copies whole blocks of a file to another, which borrows them.
    pub(super) fn copy(
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
    pub(super) fn snapshot(
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

    /// Makes a part of a file nothing; one that goes over its end may make it longer.
    pub(super) fn punch(
        &mut self,
        files: &Files,
        len_max: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<&'static str>, FilesError> {
        let Some(ino) = self.any(rng, |node| matches!(node, Node::File(_))) else {
            return Ok(None);
        };
        let (at, len) = (rng.usize(..len_max), rng.usize(1..len_max));
        let what = if rng.bool() { Allocate::Punch } else { Allocate::Zero };
        let size = match what {
            Allocate::Zero => self.len(ino).max(at + len),
            _ => self.len(ino),
        };
        let refused = self.refusal(ino, size);
        let punched = files.allocate(ino, at as u64, len as u64, what);
        if self.quotas.agree(punched, refused)?.is_none() {
            return Ok(None);
        }
        let bytes = self.bytes(ino);
        bytes.resize(size, 0);
        bytes[at.min(size)..(at + len).min(size)].fill(0);
        Ok(Some("hole punched"))
    }

    /// A random operation.
    pub(super) fn change(
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
}
