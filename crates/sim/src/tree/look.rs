//! A volume as it is found: now, or as a snapshot kept it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_files::{Attributes, Files, FilesError, Ino, Listed, View};

use super::{DIR, Node, Tree};
use crate::quotas::Quotas;
use crate::{Finding, must};

/// A volume now, or as it was.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
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

    pub(super) fn read(self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, FilesError> {
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

impl Tree {
    /// What is on the volume.
    pub(super) fn read(files: &Files) -> Result<Self, Finding> {
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
