//! What trees with a quota hold.
//!
//! An inode says which quota it is charged to: its *stamp*. It inherits that of the directory it is made in, and no
//! name moves from tree to tree, so accounts need nobody's parents. What an operation changes of them is
//! found at its end, by comparing all inodes it touched with what they were ([`Txn::charge`]): no operation
//! can forget to. A quota is refused there, before anything is accepted.
//!
//! A directory that has content already is walked, some names in an operation; what is in it counts from
//! its stamp on. Until its end nothing is refused. To remove a quota takes no walk: a stamp of what is not there, and
//! never will be again, means nothing.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::cache::{Kind, Need, Stop};
use crate::dir::{Hit, Listed};
use crate::format::attr::{Attr, Role};
use crate::format::quota::Record;
use crate::format::volume::Head;
use crate::names::{S_IFDIR, is_dir};
use crate::quotas::{Limits, Usage};
use crate::snapshot::{DIR_MODE, key};
use crate::txn::Txn;
use crate::{FilesError, Ino};

/// Names looked at in one operation of a walk.
const STEP: usize = 64;

/// A quota as memory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The directory at the top of the tree.
    pub(crate) dir: Ino,
    /// Where the walk is: directories, each with the cookie to go on from, innermost last. `None` when all is
    /// counted. A crash begins anew at the top.
    pub(crate) walk: Option<Vec<(Ino, u64)>>,
}

impl Known {
    fn new(dir: Ino, counting: bool) -> Self {
        Self { dir, walk: counting.then(|| vec![(dir, 2)]) }
    }
}

/// What is to be added to an account and taken from it.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    more: Usage,
    less: Usage,
}

/// What an inode counts for.
pub(crate) fn cost(attr: &Attr, size: u64) -> Usage {
    let bytes = if is_dir(attr.mode) { 0 } else { size.max(attr.target.len() as u64) };
    Usage { bytes, files: 1 }
}

impl Txn<'_> {
    fn known(&self, quota: Ino) -> Option<&Known> {
        match self.quotas.get(&quota) {
            Some(staged) => staged.as_ref(),
            None => self.cache.quotas.get(&quota),
        }
    }

    fn is_counting(&self) -> bool {
        self.cache.quotas.values().any(|known| known.walk.is_some())
    }

    /// The quota a stamp stands for; 0 if it is gone.
    pub(crate) fn live(&self, stamp: Ino) -> Ino {
        if self.known(stamp).is_some() { stamp } else { Ino(0) }
    }

    /// The quota an inode is charged to, or 0.
    pub(crate) fn quota_of(&self, ino: Ino) -> Result<Ino, Stop> {
        Ok(self.live(self.attr(ino)?.quota))
    }

    /// The quota of the tree a directory is in, or 0. As long as there is a walk, stamps may be missing, but
    /// not at the top.
    pub(crate) fn tree_of(&self, dir: Ino) -> Result<Ino, Stop> {
        let mut at = dir;
        loop {
            let (quota, parent) = (self.quota_of(at)?, self.attr(at)?.parent);
            if quota != Ino(0) || parent == at || !self.is_counting() {
                return Ok(quota);
            }
            at = parent;
        }
    }

    pub(crate) fn record(&self, quota: Ino) -> Result<Record, Stop> {
        let (pnode, why) = (quota.pnode(), "it is no quota");
        Ok(self.node(quota)?.quota.ok_or(FilesError::Damaged { pnode, why })?)
    }

    fn set_record(&mut self, quota: Ino, record: Record) -> Result<(), Stop> {
        self.raw_node_mut(quota)?.quota = Some(record);
        Ok(())
    }

    /// Charges what the operation made, took and changed, at its end.
    pub(crate) fn charge(&mut self) -> Result<(), Stop> {
        if self.cache.quotas.is_empty() && self.quotas.is_empty() {
            return Ok(());
        }
        let mut changes: BTreeMap<Ino, Change> = BTreeMap::new();
        for (ino, now) in self.staged() {
            if let Some((quota, cost)) = self.cost_before(ino)? {
                changes.entry(quota).or_default().less += cost;
            }
            if let Some(attr) = now.and_then(|node| node.attr.as_deref())
                && let Some(quota) = self.charged(attr)
            {
                changes.entry(quota).or_default().more += cost(attr, self.size(ino)?);
            }
        }
        for (quota, change) in changes {
            self.enter_change(quota, change)?;
        }
        Ok(())
    }

    /// The quota that an inode of these attributes is charged to.
    fn charged(&self, attr: &Attr) -> Option<Ino> {
        let quota = self.live(attr.quota);
        (attr.role == Role::Tree && quota != Ino(0)).then_some(quota)
    }

    /// What an inode was charged before the operation, and to whom.
    fn cost_before(&self, ino: Ino) -> Result<Option<(Ino, Usage)>, Stop> {
        let Some(node) = self.cache.entries.get(&ino).map(|entry| &entry.node) else {
            return Ok(None);
        };
        let Some(attr) = node.attr.as_deref() else { return Ok(None) };
        if !self.cache.quotas.contains_key(&attr.quota) {
            return Ok(None);
        }
        let Some(quota) = self.charged(attr) else { return Ok(None) };
        let size = match Ino::of(attr.sharing.content) {
            Ino(0) => node.size,
            own => {
                let entry = self.cache.entries.get(&own);
                entry.ok_or(Stop::Need(Need::Node(own)))?.node.size
            }
        };
        Ok(Some((quota, cost(attr, size))))
    }

    fn enter_change(&mut self, quota: Ino, Change { more, less }: Change) -> Result<(), Stop> {
        if more == less || self.known(quota).is_none() {
            return Ok(());
        }
        // The last step of a walk counts, too.
        let is_enforced = self.cache.quotas.get(&quota).is_some_and(|known| known.walk.is_none());
        let mut record = self.record(quota)?;
        // Never less than nothing, whatever the account says: giving back always works.
        let settle = |used: u64, more, less| u64::saturating_sub(used.saturating_add(more), less);
        let bytes = settle(record.used.bytes, more.bytes, less.bytes);
        let files = settle(record.used.files, more.files, less.files);
        let exceeds = |used, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
        let over = more.bytes > less.bytes && exceeds(bytes, record.limits.bytes)
            || more.files > less.files && exceeds(files, record.limits.files);
        if is_enforced && over {
            return Err(FilesError::OverQuota { dir: record.dir }.into());
        }
        record.used = Usage { bytes, files };
        self.set_record(quota, record)
    }

    /// Checks that a name may go from one directory to another.
    pub(crate) fn check_same_tree(&self, from: Ino, to: Ino) -> Result<Ino, Stop> {
        let tree = self.tree_of(to)?;
        if from == to || self.tree_of(from)? == tree { Ok(tree) } else { Err(crosses(to)) }
    }

    /// Checks that an inode may have a name in a directory, too.
    pub(crate) fn check_link(&mut self, ino: Ino, dir: Ino) -> Result<(), Stop> {
        let (quota, tree) = (self.quota_of(ino)?, self.tree_of(dir)?);
        let is_counting = self.known(tree).is_some_and(|known| known.walk.is_some());
        match quota {
            _ if quota == tree => Ok(()),
            // As if it had had the name before the quota was set.
            Ino(0) if is_counting => self.adopt(ino, tree),
            _ => Err(crosses(dir)),
        }
    }

    /// Stamps what a name leads to that comes or moves behind the back of a walk.
    pub(crate) fn adopt(&mut self, ino: Ino, tree: Ino) -> Result<(), Stop> {
        let Some(mut known) = self.known(tree).cloned() else { return Ok(()) };
        let Some(walk) = known.walk.as_mut() else { return Ok(()) };
        if self.quota_of(ino)? != Ino(0) {
            return Ok(());
        }
        self.raw_attr_mut(ino)?.quota = tree;
        if is_dir(self.attr(ino)?.mode) {
            walk.insert(0, (ino, 2));
            self.quotas.insert(tree, Some(known));
        }
        Ok(())
    }

    /// Gives a directory a quota, or its quota other limits.
    pub(crate) fn set_quota(&mut self, dir: Ino, limits: Limits, hash: u64) -> Result<Ino, Stop> {
        self.check_dir(dir)?;
        if let Some(quota) = self.quota_on(dir)? {
            self.set_record(quota, Record { limits, ..self.record(quota)? })?;
            return Ok(quota);
        }
        self.check_apart(dir)?;
        let top = match self.head().quotas {
            Ino(0) => self.make_index(hash)?,
            top => top,
        };
        let quota = self.create(Kind::Quota, None)?;
        let record = Record { dir, limits, used: Usage::default(), counting: true };
        self.set_record(quota, record)?;
        self.add_name(top, &key(dir), Hit { ino: quota, kind: 0 })?;
        self.raw_attr_mut(dir)?.quota = quota;
        self.quotas.insert(quota, Some(Known::new(dir, true)));
        self.head = Some(Head { shares: true, quotas: top, ..self.head() });
        Ok(quota)
    }

    fn make_index(&mut self, hash: u64) -> Result<Ino, Stop> {
        let mut dir = Attr::new(DIR_MODE, 0, 0, self.now);
        (dir.nlink, dir.dir.key, dir.role) = (2, hash, Role::Index);
        self.create(Kind::Inode, Some(dir))
    }

    /// The quota of a directory itself.
    pub(crate) fn quota_on(&self, dir: Ino) -> Result<Option<Ino>, Stop> {
        let quota = self.quota_of(dir)?;
        Ok(self.known(quota).filter(|known| known.dir == dir).map(|_| quota))
    }

    /// Checks that a directory is in no tree with a quota, and none is in it.
    fn check_apart(&self, dir: Ino) -> Result<(), Stop> {
        if self.tree_of(dir)? != Ino(0) {
            let why = "a directory above it has a quota";
            return Err(FilesError::refused(dir, Errno::INVAL, why).into());
        }
        for known in self.cache.quotas.values() {
            let mut at = known.dir;
            while self.attr(at)?.parent != at {
                at = self.attr(at)?.parent;
                if at == dir {
                    let why = "a directory in it has a quota";
                    return Err(FilesError::refused(dir, Errno::INVAL, why).into());
                }
            }
        }
        Ok(())
    }

    /// Takes the quota of a directory away, if it has one.
    pub(crate) fn drop_quota(&mut self, dir: Ino) -> Result<bool, Stop> {
        let Some(quota) = self.quota_on(dir)? else { return Ok(false) };
        self.remove_name(self.head().quotas, &key(dir))?;
        self.raw_delete(quota)?;
        self.quotas.insert(quota, None);
        self.removes = true;
        Ok(true)
    }

    /// Goes on with the walk through a tree.
    pub(crate) fn count_some(&mut self, quota: Ino) -> Result<(), Stop> {
        let Some(mut known) = self.known(quota).cloned() else { return Ok(()) };
        let Some(walk) = known.walk.as_mut() else { return Ok(()) };
        let mut left = STEP;
        while left > 0
            && let Some((dir, cookie)) = walk.pop()
        {
            let mut listed = self.listed(dir, cookie)?;
            listed.truncate(left);
            let below = listed.iter().position(|entry| entry.file_type == S_IFDIR);
            listed.truncate(below.map_or(listed.len(), |at| at + 1));
            left = left.saturating_sub(listed.len().max(1));
            for entry in &listed {
                if self.quota_of(entry.ino)? == Ino(0) {
                    self.raw_attr_mut(entry.ino)?.quota = quota;
                }
            }
            walk.extend(listed.last().map(|last| (dir, last.cookie)));
            walk.extend(below.map(|at| (listed[at].ino, 2)));
        }
        if walk.is_empty() {
            known.walk = None;
            self.set_record(quota, Record { counting: false, ..self.record(quota)? })?;
        }
        self.quotas.insert(quota, Some(known));
        Ok(())
    }

    /// Names of a directory behind a cookie; none if it is gone.
    fn listed(&self, dir: Ino, cookie: u64) -> Result<Vec<Listed>, Stop> {
        match self.list(dir, cookie) {
            Err(Stop::Error(FilesError::NoInode { .. })) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// The quotas there are.
    pub(crate) fn read_quotas(&self) -> Result<BTreeMap<Ino, Known>, Stop> {
        let (mut found, mut cookie) = (BTreeMap::new(), 2);
        let top = self.head().quotas;
        while top != Ino(0) {
            let listed = self.list(top, cookie)?;
            let Some(last) = listed.last() else { break };
            cookie = last.cookie;
            for entry in listed {
                let record = self.record(entry.ino)?;
                found.insert(entry.ino, Known::new(record.dir, record.counting));
            }
        }
        Ok(found)
    }
}

fn crosses(dir: Ino) -> Stop {
    FilesError::refused(dir, Errno::XDEV, "it would leave or enter a tree with a quota").into()
}
