//! The offline check of a volume: every name leads somewhere, every count is right, and nothing is there
//! that nothing leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::{ManualClock, PnodeId, Time};
use pegasus_log::Log;

use crate::cache::{Kind, Node};
use crate::dir::Listed;
use crate::extents::{BLOCK, Run};
use crate::format::attr::{Attr, Role};
use crate::format::volume::Head;
use crate::names::is_dir;
use crate::open::{find_head, prepare};
use crate::quota::Known;
use crate::snapshot::parse_key;
use crate::volume::{Inner, Settings};
use crate::{FilesError, Ino};

mod quotas;

/// Checks the volume of a log that nobody writes to; what is wrong, a sentence each. Nothing is wrong with a
/// store that has no volume. Reads all of it but content; takes some hundred bytes of memory for each inode.
#[must_use]
pub fn check(log: &Arc<Log>) -> Vec<String> {
    match Check::of(log) {
        Ok(Some(check)) => check.run(),
        Ok(None) => Vec::new(),
        Err(error) => vec![format!("files: {error}")],
    }
}

struct Check {
    inner: Inner,
    log: Arc<Log>,
    head: Head,
    known_quotas: BTreeMap<Ino, Known>,
    orphans: BTreeSet<Ino>,
    /// All pnodes of the volume but its head.
    nodes: BTreeMap<Ino, Node>,
    /// Those that something leads to.
    reached: BTreeSet<Ino>,
    /// Names of each inode of the tree.
    names: BTreeMap<Ino, u32>,
    /// How many borrow the content of each pnode.
    lent: BTreeMap<Ino, u32>,
    problems: Vec<String>,
}

impl Check {
    fn of(log: &Arc<Log>) -> Result<Option<Self>, FilesError> {
        let Some((head, orphans)) = find_head(log)? else { return Ok(None) };
        let clock = Arc::new(ManualClock::at(Time::from_secs(0)));
        let inner =
            prepare(log.clone(), Settings::default(), clock, Box::new(|| {}), head, &orphans)?;
        let known_quotas = inner.state.lock().cache.quotas.clone();
        Ok(Some(Self {
            inner,
            log: log.clone(),
            head,
            known_quotas,
            orphans: orphans.into_iter().collect(),
            nodes: BTreeMap::new(),
            reached: BTreeSet::new(),
            names: BTreeMap::new(),
            lent: BTreeMap::new(),
            problems: Vec::new(),
        }))
    }

    fn run(mut self) -> Vec<String> {
        self.load();
        self.walk(self.head.root);
        self.check_links();
        for orphan in self.orphans.clone() {
            self.reach(orphan, "the list of orphans");
        }
        self.snapshots();
        self.quotas();
        for (ino, attr) in self.attrs() {
            self.sharing(ino, &attr);
        }
        self.check_lent();
        self.check_reached();
        self.problems
    }

    fn problem(&mut self, what: impl std::fmt::Display) {
        self.problems.push(format!("files: {what}"));
    }

    fn note<T>(&mut self, found: Result<T, FilesError>) -> Option<T> {
        found.map_err(|error| self.problem(error)).ok()
    }

    fn load(&mut self) {
        let all = self.note(self.log.pnodes().map_err(FilesError::from)).unwrap_or_default();
        let head = self.log.files_root();
        for pnode in all.into_iter().filter(|pnode| *pnode != head) {
            if let Some(Some(node)) = self.note(self.inner.load_node(Ino::of(pnode))) {
                self.nodes.insert(Ino::of(pnode), node);
            }
        }
    }

    fn attrs(&self) -> Vec<(Ino, Arc<Attr>)> {
        self.nodes.iter().filter_map(|(ino, node)| Some((*ino, node.attr.clone()?))).collect()
    }

    fn attr(&self, ino: Ino) -> Option<Arc<Attr>> {
        self.nodes.get(&ino)?.attr.clone()
    }

    /// Something leads to a pnode; whether it is there, and was not reached before.
    fn reach(&mut self, ino: Ino, from: &str) -> bool {
        if !self.nodes.contains_key(&ino) {
            self.problem(format!("{from} leads to {ino}, which is not there"));
            return false;
        }
        self.reached.insert(ino)
    }

    fn list(&mut self, dir: Ino) -> Vec<Listed> {
        let (mut all, mut cookie) = (Vec::new(), 2);
        loop {
            let listed = self.inner.view(|txn| txn.list(dir, cookie));
            let Some(listed) = self.note(listed).filter(|listed| !listed.is_empty()) else { break };
            cookie = listed[listed.len() - 1].cookie;
            all.extend(listed);
        }
        let counted = self.attr(dir).map_or(0, |attr| attr.dir.entries);
        if counted != all.len() as u64 {
            self.problem(format!("directory {dir} counts {counted} names and has {}", all.len()));
        }
        all
    }

    /// Follows all names of the tree.
    fn walk(&mut self, root: Ino) {
        let mut todo = vec![root];
        self.reach(root, "the head");
        while let Some(dir) = todo.pop() {
            for entry in self.list(dir) {
                let who = format!("the name {:?} in {dir}", shown(&entry));
                *self.names.entry(entry.ino).or_default() += 1;
                let is_new = self.reach(entry.ino, &who);
                let Some(attr) = self.attr(entry.ino) else { continue };
                if attr.role != Role::Tree {
                    self.problem(format!("{who} leads to {}, which is not in the tree", entry.ino));
                } else if is_dir(attr.mode) && is_new {
                    todo.push(entry.ino);
                } else if is_dir(attr.mode) {
                    self.problem(format!("{who} is not the only name of directory {}", entry.ino));
                }
                self.check_stamp(dir, entry.ino, &attr);
                if is_dir(attr.mode) && attr.parent != dir {
                    let parent = attr.parent;
                    self.problem(format!("directory {} is in {dir}, not in {parent}", entry.ino));
                }
            }
        }
    }

    fn check_links(&mut self) {
        let mut dirs: BTreeMap<Ino, u32> = BTreeMap::new();
        for (ino, attr) in self.attrs() {
            if is_dir(attr.mode) && self.names.contains_key(&ino) {
                *dirs.entry(attr.parent).or_default() += 1;
            }
        }
        for (ino, attr) in self.attrs().into_iter().filter(|(_, attr)| attr.role == Role::Tree) {
            let names = self.names.get(&ino).copied().unwrap_or(0);
            let is_named = names > 0 || ino == self.head.root;
            let links = match is_dir(attr.mode) && is_named {
                true => 2 + dirs.get(&ino).copied().unwrap_or(0),
                false => names,
            };
            if attr.nlink != links {
                self.problem(format!("{ino} counts {} links and has {links}", attr.nlink));
            }
        }
    }

    /// Follows what snapshots keep.
    fn snapshots(&mut self) {
        if self.head.snapshots == Ino(0) {
            return;
        }
        self.reach(self.head.snapshots, "the head");
        for snapshot in self.list(self.head.snapshots) {
            let index = snapshot.ino;
            let name = shown(&snapshot);
            self.reach(index, "the list of snapshots");
            let is_shown = self.attr(index).is_some_and(|attr| attr.role == Role::Index);
            for image in self.list(index) {
                let who = format!("snapshot {name:?}");
                match parse_key(&image.name) {
                    Some(ino) if ino < index => {}
                    _ => self.problem(format!("{who} keeps {:?}, made after it", shown(&image))),
                }
                if !self.reach(image.ino, &who) {
                    self.problem(format!("{who} keeps {}, which is another's too", image.ino));
                }
                let Some(attr) = self.attr(image.ino) else { continue };
                if attr.role != Role::Kept {
                    self.problem(format!("{who} keeps {}, which can be changed", image.ino));
                }
                if is_dir(attr.mode) && is_shown {
                    self.check_image(index, image.ino, &name);
                }
            }
        }
    }

    /// All names of a directory that a snapshot keeps have to lead somewhere there.
    fn check_image(&mut self, index: Ino, dir: Ino, name: &str) {
        for entry in self.list(dir) {
            if let Err(error) = self.inner.view(|txn| txn.as_of(index, entry.ino).map(|_| ())) {
                let what = shown(&entry);
                self.problem(format!("{what:?} in {dir} of snapshot {name:?}: {error}"));
            }
        }
    }

    /// What belongs to an inode, and what it borrows.
    fn sharing(&mut self, ino: Ino, attr: &Attr) {
        let who = ino.to_string();
        let sharing = &attr.sharing;
        for (other, kind) in [
            (attr.dir.table, Kind::Table),
            (attr.xattr_pnode, Kind::Xattrs),
            (sharing.table, Kind::Extents),
            (sharing.content, Kind::Body),
        ] {
            if other == PnodeId(0) {
                continue;
            }
            let other = Ino::of(other);
            if !self.reach(other, &who) {
                self.problem(format!("{who} has {other}, which is another's too"));
            }
            if self.nodes.get(&other).is_some_and(|node| node.kind != kind) {
                self.problem(format!("{who} has {other}, which is of another kind"));
            }
        }
        let own = if sharing.content == PnodeId(0) { ino } else { Ino::of(sharing.content) };
        if attr.role != Role::Body && self.attr(own).is_some_and(|attr| attr.sharing.lent > 0) {
            self.problem(format!("{who} writes into {own}, which others borrow"));
        }
        for body in sharing.extents.bodies() {
            *self.lent.entry(body).or_default() += 1;
        }
        for (first, run) in sharing.extents.iter() {
            self.check_run(ino, own, first, run);
        }
        let home = sharing.home;
        let refers = self.attr(home).is_some_and(|attr| attr.sharing.extents.refers_to(ino));
        if home != Ino(0) && !refers {
            self.problem(format!("{who} says {home} borrows its content, which does not"));
        }
    }

    fn check_run(&mut self, ino: Ino, own: Ino, first: u64, run: Run) {
        let Some(body) = self.nodes.get(&run.body) else {
            return self.problem(format!("{ino} borrows from {}, which is not there", run.body));
        };
        if run.blocks().end > body.size.div_ceil(BLOCK) {
            let (from, end) = (run.body, run.blocks().end);
            self.problem(format!("{ino} borrows up to block {end} of {from}, which has fewer"));
        }
        let range = first * BLOCK..(first + run.count) * BLOCK;
        let kept = self.log.content_from(own.pnode(), range.start);
        match self.note(kept.map_err(FilesError::from)).flatten() {
            Some(kept) if kept.start < range.end => {
                let at = kept.start;
                self.problem(format!("{ino} has content of its own at {at}, where it borrows"));
            }
            _ => {}
        }
    }

    fn check_lent(&mut self) {
        for (ino, attr) in self.attrs() {
            let (counted, found) = (attr.sharing.lent, self.lent.get(&ino).copied().unwrap_or(0));
            if counted != found {
                self.problem(format!("{ino} counts {counted} who borrow its content, not {found}"));
            }
            if found > 0 && attr.role == Role::Body {
                self.reached.insert(ino);
            }
        }
    }

    fn check_reached(&mut self) {
        let lost: Vec<Ino> =
            self.nodes.keys().filter(|ino| !self.reached.contains(ino)).copied().collect();
        for ino in lost {
            self.problem(format!("nothing leads to {ino}"));
        }
    }
}

fn shown(entry: &Listed) -> String {
    String::from_utf8_lossy(&entry.name).into_owned()
}
