//! What a volume should hold, kept as plainly as can be, and random operations on both.

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_files::{
    Allocate, Attributes, Errno, Files, FilesError, Ino, Limits, NewInode, RenameMode, Seek,
    SetAttributes, Snapshot, Usage, View, XattrMode,
};

type Name = Vec<u8>;

/// What an inode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Dir(BTreeMap<Name, Ino>),
    File(Arc<Vec<u8>>),
    Link(Vec<u8>),
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) holds: Holds,
    pub(crate) xattrs: BTreeMap<Name, Vec<u8>>,
    pub(crate) mode: u32,
    /// The directory whose quota it is charged to.
    pub(crate) quota: Option<Ino>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) inodes: BTreeMap<Ino, Inode>,
    root: Ino,
    /// What it was, by the names of snapshots.
    pub(crate) snapshots: BTreeMap<String, Arc<BTreeMap<Ino, Inode>>>,
    /// Limits by directories.
    pub(crate) quotas: BTreeMap<Ino, Limits>,
    /// What was copied into by the last step.
    copied: Option<Ino>,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        (self.root, &self.inodes, &self.snapshots, &self.quotas)
            == (other.root, &other.inodes, &other.snapshots, &other.quotas)
    }
}

/// A volume now, or as it was.
#[derive(Clone, Copy)]
enum Look<'a> {
    Now(&'a Files),
    Then(View<'a>),
}

impl Look<'_> {
    fn attributes(self, ino: Ino) -> Attributes {
        match self {
            Self::Now(files) => files.attributes(ino).unwrap(),
            Self::Then(view) => view.attributes(ino).unwrap(),
        }
    }

    fn xattrs(self, ino: Ino) -> BTreeMap<Name, Vec<u8>> {
        let names = match self {
            Self::Now(files) => files.xattr_names(ino).unwrap(),
            Self::Then(view) => view.xattr_names(ino).unwrap(),
        };
        let value = |name: &[u8]| match self {
            Self::Now(files) => files.xattr(ino, name).unwrap(),
            Self::Then(view) => view.xattr(ino, name).unwrap(),
        };
        names.into_iter().map(|name| (name.clone(), value(&name))).collect()
    }

    fn entries(self, dir: Ino) -> BTreeMap<Name, Ino> {
        let names = super::names_by(|cookie| match self {
            Self::Now(files) => files.list(dir, cookie).unwrap(),
            Self::Then(view) => view.list(dir, cookie).unwrap(),
        });
        let find = |name: &[u8]| match self {
            Self::Now(files) => files.lookup(dir, name).unwrap().ino,
            Self::Then(view) => view.lookup(dir, name).unwrap().ino,
        };
        names.into_iter().map(|name| (name.clone(), find(&name))).collect()
    }

    fn quota(self, ino: Ino) -> Option<Ino> {
        match self {
            Self::Now(files) => files.quota_of(ino).unwrap().map(|quota| quota.dir),
            Self::Then(_) => None,
        }
    }

    fn holds(self, ino: Ino) -> Holds {
        match (self.attributes(ino).mode & 0o170_000, self) {
            (0o040_000, _) => Holds::Dir(self.entries(ino)),
            (0o120_000, Self::Now(files)) => Holds::Link(files.read_link(ino).unwrap()),
            (0o120_000, Self::Then(view)) => Holds::Link(view.read_link(ino).unwrap()),
            (_, Self::Now(files)) => Holds::File(files.read(ino, 0, 1 << 30).unwrap().into()),
            (_, Self::Then(view)) => Holds::File(view.read(ino, 0, 1 << 30).unwrap().into()),
        }
    }
}

impl Holds {
    fn bytes(&self) -> u64 {
        match self {
            Self::Dir(_) => 0,
            Self::File(bytes) => bytes.len() as u64,
            Self::Link(target) => target.len() as u64,
        }
    }
}

type Done = Result<(), Errno>;

impl Model {
    pub(crate) fn new(root: Ino) -> Self {
        let holds = Holds::Dir(BTreeMap::new());
        let inode = Inode { holds, xattrs: BTreeMap::new(), mode: 0o755, quota: None };
        Self { inodes: [(root, inode)].into(), ..Self::empty(root) }
    }

    fn empty(root: Ino) -> Self {
        let (inodes, snapshots, quotas) = Default::default();
        Self { inodes, root, snapshots, quotas, copied: None }
    }

    /// What is on the volume.
    pub(crate) fn read(files: &Files) -> Self {
        let root = files.root();
        let inodes = Self::read_all(Look::Now(files), root);
        let then = |snapshot: Snapshot| {
            (snapshot.name, Arc::new(Self::read_all(Look::Then(files.at(snapshot.id)), root)))
        };
        let snapshots = files.snapshots().into_iter().map(then).collect();
        let quotas = files.quotas().unwrap();
        let quotas = quotas.into_iter().map(|quota| (quota.dir, quota.limits)).collect();
        Self { inodes, snapshots, quotas, ..Self::empty(root) }
    }

    fn read_all(look: Look<'_>, root: Ino) -> BTreeMap<Ino, Inode> {
        let mut model = Self::empty(root);
        model.read_inode(look, root);
        for ino in model.inodes.keys() {
            assert_eq!(look.attributes(*ino).nlink, model.links(*ino), "links of {ino}");
        }
        model.inodes
    }

    fn read_inode(&mut self, look: Look<'_>, ino: Ino) {
        if self.inodes.contains_key(&ino) {
            return;
        }
        let attributes = look.attributes(ino);
        assert_eq!(attributes.ino, ino);
        let (xattrs, holds) = (look.xattrs(ino), look.holds(ino));
        let children: Vec<Ino> = match &holds {
            Holds::Dir(entries) => entries.values().copied().collect(),
            _ => Vec::new(),
        };
        let quota = look.quota(ino);
        let mode = attributes.mode & 0o7777;
        self.inodes.insert(ino, Inode { holds, xattrs, mode, quota });
        children.into_iter().for_each(|child| self.read_inode(look, child));
    }

    /// Links an inode should have.
    fn links(&self, ino: Ino) -> u32 {
        let dirs = |entries: &BTreeMap<Name, Ino>| {
            entries.values().filter(|ino| matches!(self.inodes[ino].holds, Holds::Dir(_))).count()
        };
        match &self.inodes[&ino].holds {
            Holds::Dir(entries) => 2 + dirs(entries) as u32,
            _ => self.names_of(ino),
        }
    }

    fn names_of(&self, ino: Ino) -> u32 {
        let named = |inode: &Inode| match &inode.holds {
            Holds::Dir(entries) => entries.values().filter(|other| **other == ino).count() as u32,
            _ => 0,
        };
        self.inodes.values().map(named).sum()
    }

    fn any(&self, rng: &mut fastrand::Rng, wanted: fn(&Holds) -> bool) -> Option<Ino> {
        let fitting: Vec<Ino> =
            self.inodes.iter().filter(|(_, i)| wanted(&i.holds)).map(|(ino, _)| *ino).collect();
        (!fitting.is_empty()).then(|| fitting[rng.usize(..fitting.len())])
    }

    fn any_dir(&self, rng: &mut fastrand::Rng) -> Ino {
        self.any(rng, |holds| matches!(holds, Holds::Dir(_))).unwrap()
    }

    fn entries(&mut self, dir: Ino) -> &mut BTreeMap<Name, Ino> {
        match &mut self.inodes.get_mut(&dir).unwrap().holds {
            Holds::Dir(entries) => entries,
            _ => panic!("{dir} is a directory"),
        }
    }

    fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.inodes[&ino].holds, Holds::Dir(_))
    }

    fn is_empty(&mut self, ino: Ino) -> bool {
        self.entries(ino).is_empty()
    }

    fn drop_unnamed(&mut self, ino: Ino) {
        if self.is_dir(ino) || self.names_of(ino) == 0 {
            self.inodes.remove(&ino);
            let _ = self.drop_quota(ino); // it goes with its directory
        }
    }

    fn drop_quota(&mut self, dir: Ino) -> Done {
        self.quotas.remove(&dir).ok_or(Errno::NOENT)?;
        for inode in self.inodes.values_mut().filter(|inode| inode.quota == Some(dir)) {
            inode.quota = None;
        }
        Ok(())
    }

    fn used(&self, dir: Ino) -> Usage {
        let mut used = Usage::default();
        for inode in self.inodes.values().filter(|inode| inode.quota == Some(dir)) {
            used += Usage { bytes: inode.holds.bytes(), files: 1 };
        }
        used
    }

    /// Whether an inode may become so many bytes longer.
    fn allows(&self, ino: Ino, more_bytes: u64, more_files: u64) -> bool {
        let Some(dir) = self.inodes[&ino].quota else { return true };
        let (used, limits) = (self.used(dir), self.quotas[&dir]);
        let fits = |used, more, limit: Option<u64>| {
            more == 0 || limit.is_none_or(|limit| used + more <= limit)
        };
        fits(used.bytes, more_bytes, limits.bytes) && fits(used.files, more_files, limits.files)
    }

    /// Whether a file may become `len` bytes long.
    fn allows_len(&self, ino: Ino, len: usize) -> bool {
        let more = (len as u64).saturating_sub(self.inodes[&ino].holds.bytes());
        self.allows(ino, more, 0)
    }

    /// Sets a quota: all that is below and charged to nobody yet is charged to it.
    fn set_quota(&mut self, dir: Ino, limits: Limits) -> Done {
        let is_top = self.quotas.contains_key(&dir);
        let tops: Vec<Ino> = self.quotas.keys().copied().collect();
        if !is_top
            && (self.inodes[&dir].quota.is_some() || tops.iter().any(|top| self.below(*top, dir)))
        {
            return Err(Errno::INVAL);
        }
        self.quotas.insert(dir, limits);
        let mut todo = if is_top { Vec::new() } else { vec![dir] };
        while let Some(ino) = todo.pop() {
            let inode = self.inodes.get_mut(&ino).unwrap();
            inode.quota.get_or_insert(dir);
            if let Holds::Dir(entries) = &inode.holds {
                todo.extend(entries.values());
            }
        }
        Ok(())
    }

    /// The inodes, but for what a snapshot does not keep.
    fn kept(&self) -> BTreeMap<Ino, Inode> {
        let mut kept = self.inodes.clone();
        kept.values_mut().for_each(|inode| inode.quota = None);
        kept
    }

    fn below(&mut self, ino: Ino, top: Ino) -> bool {
        ino == top
            || (self.is_dir(top) && {
                let children: Vec<Ino> = self.entries(top).values().copied().collect();
                children.into_iter().any(|child| self.below(ino, child))
            })
    }

    fn unlink(&mut self, dir: Ino, name: &Name) -> Done {
        let ino = *self.entries(dir).get(name).ok_or(Errno::NOENT)?;
        if self.is_dir(ino) {
            return Err(Errno::ISDIR);
        }
        self.entries(dir).remove(name);
        self.drop_unnamed(ino);
        Ok(())
    }

    fn rmdir(&mut self, dir: Ino, name: &Name) -> Done {
        let ino = *self.entries(dir).get(name).ok_or(Errno::NOENT)?;
        match self.is_dir(ino) {
            false => return Err(Errno::NOTDIR),
            true if !self.is_empty(ino) => return Err(Errno::NOTEMPTY),
            true => {}
        }
        self.entries(dir).remove(name);
        self.drop_unnamed(ino);
        Ok(())
    }

    fn rename(&mut self, from: (Ino, &Name), to: (Ino, &Name), mode: RenameMode) -> Done {
        let moved = *self.entries(from.0).get(from.1).ok_or(Errno::NOENT)?;
        let there = self.entries(to.0).get(to.1).copied();
        if self.inodes[&from.0].quota != self.inodes[&to.0].quota {
            return Err(Errno::XDEV);
        }
        match (mode, there) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (RenameMode::Exchange, None) => return Err(Errno::NOENT),
            (_, Some(there)) if there == moved => return Ok(()),
            _ => {}
        }
        if self.is_dir(moved) && self.below(to.0, moved) {
            return Err(Errno::INVAL);
        }
        if mode == RenameMode::Exchange {
            let there = there.unwrap();
            if self.is_dir(there) && self.below(from.0, there) {
                return Err(Errno::INVAL);
            }
            self.entries(from.0).insert(from.1.clone(), there);
            self.entries(to.0).insert(to.1.clone(), moved);
            return Ok(());
        }
        if let Some(there) = there {
            match (self.is_dir(moved), self.is_dir(there)) {
                (true, true) if !self.is_empty(there) => return Err(Errno::NOTEMPTY),
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        self.entries(to.0).insert(to.1.clone(), moved);
        self.entries(from.0).remove(from.1);
        if let Some(there) = there {
            self.drop_unnamed(there);
        }
        Ok(())
    }
}

/// One of few names, some of them long.
fn any_name(rng: &mut fastrand::Rng) -> Name {
    let mut name = format!("n{}", rng.u8(..24)).into_bytes();
    if rng.u8(..3) == 0 {
        name.resize(200, b'x');
    }
    name
}

fn agree(real: Result<(), FilesError>, model: Done, what: &str) {
    assert_eq!(real.as_ref().map_err(FilesError::errno).copied(), model, "{what}: {real:?}");
}

/// Whether the volume may be found as `found` after a cut: as it was at one of the moments or, as a copy
/// takes several steps, with a beginning of one.
pub(crate) fn is_moment(moments: &[Model], found: &Model) -> bool {
    moments.contains(found) || moments.windows(2).any(|pair| is_between(&pair[0], &pair[1], found))
}

/// Whether a beginning of the copy that leads from one to the other was made.
fn is_between(before: &Model, after: &Model, found: &Model) -> bool {
    let Some(to) = after.copied else { return false };
    let content = |model: &Model| match model.inodes.get(&to).map(|inode| &inode.holds) {
        Some(Holds::File(bytes)) => bytes.clone(),
        _ => Arc::default(),
    };
    let (old, new, has) = (content(before), content(after), content(found));
    let same = has.iter().zip(&*new).take_while(|(one, other)| one == other).count();
    if has.len() < old.len() || has[same..] != old[same.min(old.len())..] {
        return false;
    }
    let mut expected = before.clone();
    if let Some(inode) = expected.inodes.get_mut(&to) {
        inode.holds = Holds::File(has);
    }
    expected == *found
}

/// Does something at random to both.
pub(crate) fn step(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    model.copied = None;
    let (dir, name) = (model.any_dir(rng), any_name(rng));
    match rng.u8(..24) {
        20 | 21 => copy(files, model, rng),
        22 => snapshot(files, model, rng),
        23 => quota(files, model, rng),
        0..5 => make(files, model, rng),
        5 => agree(files.unlink(dir, &name), model.unlink(dir, &name), "unlink"),
        6 => agree(files.rmdir(dir, &name), model.rmdir(dir, &name), "rmdir"),
        7..10 => {
            let to = (model.any_dir(rng), any_name(rng));
            let mode = match rng.u8(..4) {
                0 => RenameMode::NoReplace,
                1 => RenameMode::Exchange,
                _ => RenameMode::Replace,
            };
            let real = files.rename((dir, &name), (to.0, &to.1), mode);
            agree(real, model.rename((dir, &name), (to.0, &to.1), mode), "rename");
        }
        10 => {
            let Some(ino) = model.any(rng, |holds| !matches!(holds, Holds::Dir(_))) else { return };
            let expected = match model.entries(dir).contains_key(&name) {
                true => Err(Errno::EXIST),
                false if model.inodes[&ino].quota != model.inodes[&dir].quota => Err(Errno::XDEV),
                false => Ok(()),
            };
            agree(files.link(ino, dir, &name).map(|_| ()), expected, "link");
            if expected.is_ok() {
                model.entries(dir).insert(name, ino);
            }
        }
        11 => set_xattr(files, model, rng),
        12 => {
            let mode = rng.u32(..0o1000);
            let set = SetAttributes { mode: Some(mode), ..SetAttributes::default() };
            files.set(dir, &set).unwrap();
            model.inodes.get_mut(&dir).unwrap().mode = mode;
        }
        _ => change_content(files, model, rng),
    }
}

fn make(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let (dir, name) = (model.any_dir(rng), any_name(rng));
    let target: Vec<u8> = vec![b't'; rng.usize(1..2000)];
    let (new, holds) = match rng.u8(..4) {
        0 => (NewInode::new(0o040_700, 0, 0), Holds::Dir(BTreeMap::new())),
        1 => (NewInode::link(&target, 0, 0), Holds::Link(target.clone())),
        _ => (NewInode::new(0o100_700, 0, 0), Holds::File(Arc::default())),
    };
    let mode = if matches!(holds, Holds::Link(_)) { 0o777 } else { 0o700 };
    let made = files.make(dir, &name, &new);
    if model.entries(dir).contains_key(&name) {
        assert_eq!(made.unwrap_err().errno(), Errno::EXIST);
        return;
    }
    if !model.allows(dir, holds.bytes(), 1) {
        assert_eq!(made.unwrap_err().errno(), Errno::DQUOT);
        return;
    }
    let ino = made.unwrap().ino;
    model.entries(dir).insert(name, ino);
    let quota = model.inodes[&dir].quota;
    model.inodes.insert(ino, Inode { holds, xattrs: BTreeMap::new(), mode, quota });
}

/// Where something is read or written: often where a block begins, or the file ends.
fn place(rng: &mut fastrand::Rng, len: usize) -> usize {
    const BLOCK: usize = 16 << 10;
    match rng.u8(..4) {
        0 => rng.usize(..40_000),
        1 => len.min(150_000),
        _ => rng.usize(..8) * BLOCK,
    }
}

fn copy(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let is_file = |holds: &Holds| matches!(holds, Holds::File(_));
    let Some(from) = model.any(rng, is_file) else { return };
    let to = model.any(rng, is_file).unwrap();
    let Holds::File(source) = model.inodes[&from].holds.clone() else { return };
    let Holds::File(target) = model.inodes[&to].holds.clone() else { return };
    let (at, into) = (place(rng, source.len()), place(rng, target.len()));
    let len = if rng.bool() { 200_000 } else { rng.usize(1..80_000) };
    let copied = files.copy((from, at as u64), (to, into as u64), len as u64);
    if from == to && at.abs_diff(into) < len {
        assert_eq!(copied.unwrap_err().errno(), Errno::INVAL);
        return;
    }
    let part = &source[at.min(source.len())..(at + len).min(source.len())];
    model.copied = Some(to);
    if !part.is_empty() && !model.allows_len(to, into + part.len()) {
        assert_eq!(copied.unwrap_err().errno(), Errno::DQUOT);
        // A copy takes several steps; some of them may have had room.
        let holds = Look::Now(files).holds(to);
        model.inodes.get_mut(&to).unwrap().holds = holds;
        return;
    }
    assert_eq!(
        copied.unwrap(),
        part.len() as u64,
        "{from} from {at}, {len} bytes to {to} at {into}"
    );
    let Holds::File(target) = &mut model.inodes.get_mut(&to).unwrap().holds else { return };
    if !part.is_empty() {
        let target = Arc::make_mut(target);
        target.resize(target.len().max(into + part.len()), 0);
        target[into..into + part.len()].copy_from_slice(part);
    }
}

fn snapshot(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let name = format!("s{}", rng.u8(..5));
    if rng.bool() {
        let expected = if model.snapshots.contains_key(&name) { Err(Errno::EXIST) } else { Ok(()) };
        agree(files.create_snapshot(&name).map(|_| ()), expected, "snapshot");
        let kept = Arc::new(model.kept());
        model.snapshots.entry(name).or_insert(kept);
    } else {
        let expected = model.snapshots.remove(&name).map(|_| ()).ok_or(Errno::NOENT);
        agree(files.remove_snapshot(&name), expected, "removing a snapshot");
    }
}

fn quota(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let dir = model.any_dir(rng);
    if rng.u8(..3) == 0 {
        let tops: Vec<Ino> = model.quotas.keys().copied().collect();
        let dir = if rng.bool() { rng.choice(tops).unwrap_or(dir) } else { dir };
        agree(files.remove_quota(dir), model.drop_quota(dir), "removing a quota");
        return;
    }
    let limits = Limits {
        bytes: rng.bool().then(|| rng.u64(..400_000)),
        files: rng.bool().then(|| rng.u64(..20)),
    };
    let set = files.set_quota(dir, limits);
    agree(set.map(|_| ()), model.set_quota(dir, limits), "setting a quota");
    for quota in files.quotas().unwrap() {
        assert_eq!(quota.used, model.used(quota.dir), "quota of {}", quota.dir);
    }
}

fn set_xattr(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let ino = model.any(rng, |_| true).unwrap();
    let name = format!("user.{}", rng.u8(..4)).into_bytes();
    let xattrs = &mut model.inodes.get_mut(&ino).unwrap().xattrs;
    if rng.bool() {
        let value = vec![rng.u8(..); rng.usize(..3000)];
        files.set_xattr(ino, &name, &value, XattrMode::Any).unwrap();
        xattrs.insert(name, value);
    } else {
        let expected = xattrs.remove(&name).map(|_| ()).ok_or(Errno::NODATA);
        agree(files.remove_xattr(ino, &name), expected, "removexattr");
    }
}

fn change_content(files: &Files, model: &mut Model, rng: &mut fastrand::Rng) {
    let Some(ino) = model.any(rng, |holds| matches!(holds, Holds::File(_))) else { return };
    let at = place(rng, model.inodes[&ino].holds.bytes() as usize);
    let limits = model.clone();
    let has_room = |len: usize, done: &Result<(), FilesError>| {
        let expected = if limits.allows_len(ino, len) { None } else { Some(Errno::DQUOT) };
        assert_eq!(done.as_ref().err().map(FilesError::errno), expected, "{ino}: {len} bytes");
        done.is_ok()
    };
    let Holds::File(content) = &mut model.inodes.get_mut(&ino).unwrap().holds else { return };
    let content = Arc::make_mut(content);
    match rng.u8(..8) {
        6 => agree_on_holes(files, ino, content, at),
        7 => {
            let len = rng.usize(1..20_000);
            let done = files.allocate(ino, at as u64, len as u64, Allocate::Zero);
            if !has_room(at + len, &done) {
                return;
            }
            content.resize(content.len().max(at + len), 0);
            content[at..at + len].fill(0);
        }
        0..3 => {
            let most = if rng.u8(..4) == 0 { 70_000 } else { 12_000 };
            let bytes = vec![rng.u8(1..); rng.usize(1..most)];
            if !has_room(at + bytes.len(), &files.write(ino, at as u64, &bytes)) {
                return;
            }
            content.resize(content.len().max(at + bytes.len()), 0);
            content[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        3 => {
            let set = SetAttributes { size: Some(at as u64), ..SetAttributes::default() };
            if has_room(at, &files.set(ino, &set).map(|_| ())) {
                content.resize(at, 0);
            }
        }
        4 => {
            let len = rng.usize(1..20_000);
            files.allocate(ino, at as u64, len as u64, Allocate::Punch).unwrap();
            let (from, to) = (at.min(content.len()), (at + len).min(content.len()));
            content[from..to].fill(0);
        }
        _ => {
            let read = files.read(ino, at as u64, 10_000).unwrap();
            let (from, to) = (at.min(content.len()), (at + 10_000).min(content.len()));
            assert_eq!(read, content[from..to], "{ino} from {at}");
        }
    }
}

/// What is said to be holes has to be zeros.
fn agree_on_holes(files: &Files, ino: Ino, content: &[u8], at: usize) {
    let nothing = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    match files.seek(ino, at as u64, Seek::Data) {
        Ok(data) => assert!(nothing(&content[at..data as usize]), "{ino}: data from {at}"),
        Err(error) => {
            assert_eq!(error.errno(), Errno::NXIO);
            assert!(nothing(&content[at.min(content.len())..]), "{ino}: data from {at}");
        }
    }
    match files.seek(ino, at as u64, Seek::Hole) {
        Ok(hole) => {
            assert!(content.get(hole as usize).is_none_or(|byte| *byte == 0), "{ino}: {hole}")
        }
        Err(_) => assert!(at >= content.len(), "{ino}: no end behind {at}"),
    }
}
