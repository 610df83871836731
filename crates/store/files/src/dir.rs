//! Directories: extendible hashing over pages.
//!
//! A directory's content is a row of buckets. With one bucket that is all; with more, a table in a pnode of
//! its own says for each prefix of a name's hash which bucket it is in. A full bucket is split in two by
//! the next bit; the table is doubled when a bucket has as many bits as it. Going through the buckets
//! in the order of prefixes gives names in the order of their hashes, which is what cookies are.

use pegasus_base::PnodeId;
use rustix::io::Errno;

use crate::cache::{Kind, Stop};
use crate::format::bucket::{self, Bucket, DEPTH_MAX, Entry, NAME_BYTES_MAX, hash, prefix};
use crate::page::PAGE;
use crate::txn::Txn;
use crate::{FilesError, Ino};

/// Cookies below this stand for `.` and `..`.
const COOKIES_FIRST: u64 = 3;

/// A name found in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) ino: Ino,
    pub(crate) kind: u8,
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The inode.
    pub ino: Ino,
    /// File type bits of its mode.
    pub file_type: u32,
    /// Where to go on behind it.
    pub cookie: u64,
    /// The name.
    pub name: Vec<u8>,
}

/// What a cookie says of a name's place: 62 bits of its hash.
fn cookie_of(hash: u64) -> u64 {
    (hash >> 2) + COOKIES_FIRST
}

pub(crate) fn check_name(dir: Ino, name: &[u8]) -> Result<(), FilesError> {
    let refused = |errno, why| Err(FilesError::refused(dir, errno, why));
    match name {
        b"" => refused(Errno::NOENT, "a name is not empty"),
        _ if name.len() > NAME_BYTES_MAX => refused(Errno::NAMETOOLONG, "the name is too long"),
        _ if name.contains(&b'/') || name.contains(&0) => refused(Errno::INVAL, "not a name"),
        _ => Ok(()),
    }
}

pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl Txn<'_> {
    /// The number of the bucket for a hash.
    fn bucket_of(&self, dir: Ino, hash: u64) -> Result<u64, Stop> {
        let shape = self.attr(dir)?.dir;
        if shape.table == PnodeId(0) {
            return Ok(0);
        }
        self.table_entry(shape.table, prefix(hash, shape.depth))
    }

    fn table_entry(&self, table: PnodeId, at: u64) -> Result<u64, Stop> {
        let bytes = self.read(Ino::of(table), at * 4..at * 4 + 4)?;
        Ok(u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes were asked for"))))
    }

    fn bucket_bytes(&self, dir: Ino, bucket: u64) -> Result<Vec<u8>, Stop> {
        self.read(dir, bucket * PAGE as u64..(bucket + 1) * PAGE as u64)
    }

    /// Looks a name up.
    pub(crate) fn find_name(&self, dir: Ino, name: &[u8]) -> Result<Option<Hit>, Stop> {
        let attr = self.attr(dir)?;
        if attr.dir.entries == 0 {
            return Ok(None);
        }
        let bytes = self.bucket_bytes(dir, self.bucket_of(dir, hash(attr.dir.key, name))?)?;
        let found = parse(dir, &bytes)?.find(name);
        Ok(found.map(|(_, entry)| Hit { ino: entry.ino, kind: entry.kind }))
    }

    /// Enters a name that is not there yet.
    pub(crate) fn add_name(&mut self, dir: Ino, name: &[u8], hit: Hit) -> Result<(), Stop> {
        self.keep(dir)?;
        let entry = Entry { ino: hit.ino, kind: hit.kind, name };
        let key = self.attr(dir)?.dir.key;
        if self.attr(dir)?.dir.entries == 0 {
            self.truncate(dir, 0)?;
            self.write(dir, 0, &bucket::head(0))?;
        }
        loop {
            let number = self.bucket_of(dir, hash(key, name))?;
            let bytes = self.bucket_bytes(dir, number)?;
            let bucket = parse(dir, &bytes)?;
            if bucket.takes(&entry) {
                let mut emitted = Vec::with_capacity(entry.len());
                entry.emit(&mut emitted);
                self.write(dir, number * PAGE as u64 + bucket.end as u64, &emitted)?;
                self.attr_mut(dir)?.dir.entries += 1;
                return self.touch_content(dir);
            }
            self.split(dir, number, &bucket)?;
        }
    }

    /// Takes a name out.
    pub(crate) fn remove_name(&mut self, dir: Ino, name: &[u8]) -> Result<(), Stop> {
        self.keep(dir)?;
        let key = self.attr(dir)?.dir.key;
        let number = self.bucket_of(dir, hash(key, name))?;
        let bytes = self.bucket_bytes(dir, number)?;
        let bucket = parse(dir, &bytes)?;
        let (at, entry) = bucket.find(name).ok_or_else(|| no_entry(dir, name))?;
        let mut rest = bytes[at + entry.len()..bucket.end].to_vec();
        rest.resize(bucket.end - at, 0);
        self.write(dir, number * PAGE as u64 + at as u64, &rest)?;
        self.attr_mut(dir)?.dir.entries -= 1;
        if self.attr(dir)?.dir.entries == 0 {
            self.empty(dir)?;
        }
        self.touch_content(dir)
    }

    /// Lets a name stand for something else.
    pub(crate) fn replace_name(&mut self, dir: Ino, name: &[u8], hit: Hit) -> Result<(), Stop> {
        self.keep(dir)?;
        let key = self.attr(dir)?.dir.key;
        let number = self.bucket_of(dir, hash(key, name))?;
        let bytes = self.bucket_bytes(dir, number)?;
        let (at, _) = parse(dir, &bytes)?.find(name).ok_or_else(|| no_entry(dir, name))?;
        let mut emitted = Vec::new();
        Entry { ino: hit.ino, kind: hit.kind, name }.emit(&mut emitted);
        self.write(dir, number * PAGE as u64 + at as u64, &emitted)?;
        self.touch_content(dir)
    }

    /// Nothing is left in it: it becomes small again.
    fn empty(&mut self, dir: Ino) -> Result<(), Stop> {
        self.truncate(dir, 0)?;
        let table = self.attr(dir)?.dir.table;
        if table != PnodeId(0) {
            self.raw_delete(Ino::of(table))?;
        }
        let shape = &mut self.attr_mut(dir)?.dir;
        (shape.table, shape.depth) = (PnodeId(0), 0);
        Ok(())
    }

    /// Splits a full bucket by the next bit of the hash.
    fn split(&mut self, dir: Ino, number: u64, full: &Bucket<'_>) -> Result<(), Stop> {
        if full.depth == self.attr(dir)?.dir.depth {
            self.double(dir)?;
        }
        let shape = self.attr(dir)?.dir;
        let depth = full.depth + 1;
        let mut halves = [bucket::head(depth).to_vec(), bucket::head(depth).to_vec()];
        let mut some = 0;
        for (_, entry) in full.entries() {
            let hash = hash(shape.key, entry.name);
            some = hash;
            entry.emit(&mut halves[(prefix(hash, depth) & 1) as usize]);
        }
        let new = self.size(dir)?.div_ceil(PAGE as u64);
        for (bucket, mut half) in [number, new].into_iter().zip(halves) {
            half.resize(PAGE, 0);
            self.write(dir, bucket * PAGE as u64, &half)?;
        }
        // Of the prefixes that led to the bucket, the upper half leads to the new one.
        let span = 1u64 << (shape.depth - depth);
        let first = (prefix(some, full.depth) * 2 + 1) * span;
        let new = u32::try_from(new).expect("a directory has at most 2^22 buckets");
        let entries: Vec<u8> = (0..span).flat_map(|_| new.to_le_bytes()).collect();
        self.write(Ino::of(shape.table), first * 4, &entries)
    }

    /// Doubles the table.
    fn double(&mut self, dir: Ino) -> Result<(), Stop> {
        let shape = self.attr(dir)?.dir;
        if shape.depth >= DEPTH_MAX {
            return Err(FilesError::refused(dir, Errno::NOSPC, "the directory is full").into());
        }
        let (table, doubled) = if shape.table == PnodeId(0) {
            (self.create(Kind::Table, None)?, vec![0; 8])
        } else {
            let table = Ino::of(shape.table);
            let old = self.read(table, 0..4 << shape.depth)?;
            (table, old.chunks_exact(4).flat_map(|entry| [entry, entry].concat()).collect())
        };
        self.write(table, 0, &doubled)?;
        let shape = &mut self.attr_mut(dir)?.dir;
        (shape.table, shape.depth) = (table.pnode(), shape.depth + 1);
        Ok(())
    }

    /// Names behind `cookie` (0: from the beginning), in the order of their cookies: those of at
    /// least one bucket, if there are any more.
    pub(crate) fn list(&self, dir: Ino, cookie: u64) -> Result<Vec<Listed>, Stop> {
        let attr = self.attr(dir)?;
        let (shape, mut out) = (attr.dir, Vec::new());
        let dots = [(&b"."[..], dir), (&b".."[..], attr.parent)];
        for ((name, ino), own) in dots.into_iter().zip(1..) {
            if cookie < own {
                let file_type = 0o040_000;
                out.push(Listed { ino, file_type, cookie: own, name: name.to_vec() });
            }
        }
        if shape.entries == 0 {
            return Ok(out);
        }
        let first = cookie.saturating_sub(COOKIES_FIRST) << 2;
        let mut at = prefix(first, shape.depth);
        while at < 1 << shape.depth && out.len() <= 2 {
            let number = match shape.table {
                PnodeId(0) => 0,
                table => self.table_entry(table, at)?,
            };
            let bytes = self.bucket_bytes(dir, number)?;
            let bucket = parse(dir, &bytes)?;
            let listed = bucket.entries().map(|(_, entry)| Listed {
                ino: entry.ino,
                file_type: u32::from(entry.kind) << 12,
                cookie: cookie_of(hash(shape.key, entry.name)),
                name: entry.name.to_vec(),
            });
            let from = out.len();
            out.extend(listed.filter(|listed| listed.cookie > cookie.max(2)));
            out[from..].sort_by_key(|listed| listed.cookie);
            let span = 1u64 << shape.depth.saturating_sub(bucket.depth);
            at = (at / span + 1) * span;
        }
        Ok(out)
    }
}

fn parse(dir: Ino, bytes: &[u8]) -> Result<Bucket<'_>, Stop> {
    let why = "a bucket of this directory makes no sense";
    let damaged = || FilesError::Damaged { pnode: dir.pnode(), why }.into();
    Bucket::parse(bytes).ok_or_else(damaged)
}

pub(crate) fn no_entry(dir: Ino, name: &[u8]) -> FilesError {
    FilesError::NoEntry { dir, name: shown(name) }
}
