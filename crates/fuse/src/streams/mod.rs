//! The recordings as a tree of files: `/streams/<name>/<day>/<hour>.mp4`. Nobody writes there.
//!
//! A file is planned when it is looked at and read where it was recorded. What a handle reads is what was
//! planned when it was opened.

mod number;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, FopenFlags, INodeNo};
use parking_lot::Mutex;
use pegasus_base::{StreamName, Time};
use pegasus_continuous::Error as StoreError;
use pegasus_export::{ExportError, Hour, Library, Piece, Reader};
use pegasus_media::mp4::WriteError;

pub(crate) use self::number::Place;
pub(crate) use self::tree::Entry;
use self::tree::{Dirs, below, file_name, parse_file_name};
use crate::convert::{system_time, time_of};

/// What the directory is called in the root.
pub(crate) const NAME: &str = "streams";

/// Only who runs the node may look: there is no one else whom the recordings' own doors would let in unasked.
const DIR_MODE: u16 = 0o550;
const FILE_MODE: u16 = 0o440;

/// See the module.
#[derive(Debug)]
pub(crate) struct Streams {
    recordings: Library,
    dirs: Mutex<Dirs>,
    handles: Mutex<Handles>,
    uid: u32,
    gid: u32,
    since: SystemTime,
}

#[derive(Debug, Default)]
struct Handles {
    last: u64,
    open: HashMap<u64, Handle>,
    /// Of each file that is in the kernel's memory, which it is.
    cached: HashMap<u64, String>,
}

#[derive(Clone, Debug)]
enum Handle {
    Dir(Arc<Vec<Entry>>),
    File(Arc<Mutex<Reader>>),
}

impl Streams {
    pub(crate) fn new(recordings: Library) -> Self {
        Self {
            recordings,
            dirs: Mutex::default(),
            handles: Mutex::default(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            since: SystemTime::now(),
        }
    }

    /// Finds a name in a directory.
    pub(crate) fn lookup(&self, place: Place, name: &str) -> Result<FileAttr, Errno> {
        match place {
            Place::Dir(_) => {
                let entries = self.entries(place)?;
                let found = entries.iter().find(|entry| entry.name == name).ok_or(Errno::ENOENT)?;
                self.attributes(found.place)
            }
            Place::Day(dir, day) => {
                let (hour, grows) = parse_file_name(day, name).ok_or(Errno::ENOENT)?;
                if self.piece(&self.stream(dir)?, hour)?.grows != grows {
                    return Err(Errno::ENOENT);
                }
                self.attributes(Place::File(dir, hour, grows))
            }
            Place::File(..) => Err(Errno::ENOTDIR),
        }
    }

    /// What `stat` tells.
    pub(crate) fn attributes(&self, place: Place) -> Result<FileAttr, Errno> {
        let Place::File(dir, hour, _) = place else {
            return Ok(self.attr(place, FileType::Directory, 0, self.since));
        };
        let stream = self.stream(dir)?;
        let piece = self.piece(&stream, hour)?;
        let len_bytes = self.recordings.len_bytes(&stream, hour).map_err(|e| errno(&e))?;
        Ok(self.attr(place, FileType::RegularFile, len_bytes, system_time(piece.end)))
    }

    fn attr(&self, place: Place, kind: FileType, size: u64, time: SystemTime) -> FileAttr {
        let is_dir = kind == FileType::Directory;
        FileAttr {
            ino: INodeNo(place.number()),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: if is_dir { DIR_MODE } else { FILE_MODE },
            nlink: 1, // of a directory: nobody counts what is in it
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 128 << 10,
            flags: 0,
        }
    }

    /// The stream of a directory.
    fn stream(&self, dir: u32) -> Result<StreamName, Errno> {
        let path = self.dirs.lock().path(dir).ok_or(Errno::ENOENT)?;
        StreamName::from_path(&path).map_err(|_| Errno::ENOENT)
    }

    /// What is recorded of an hour. Who has its file open keeps it, though it has another name by now.
    fn piece(&self, stream: &StreamName, hour: Hour) -> Result<Piece, Errno> {
        let pieces = self.recordings.pieces(stream, hour.range(), now()).map_err(|e| errno(&e))?;
        pieces.into_iter().find(|piece| piece.hour == hour).ok_or(Errno::ENOENT)
    }

    /// What is in a directory.
    fn entries(&self, place: Place) -> Result<Vec<Entry>, Errno> {
        match place {
            Place::Dir(dir) => {
                let path = self.dirs.lock().path(dir).ok_or(Errno::ENOENT)?;
                let streams = self.recordings.streams().map_err(|e| errno(&e))?;
                let (names, is_stream) = below(&streams, &path);
                if names.is_empty() && !is_stream && place != Place::TOP {
                    return Err(Errno::ENOENT);
                }
                let mut dirs = self.dirs.lock();
                let mut entries: Vec<Entry> = names
                    .iter()
                    .map(|name| Entry::new(name, Place::Dir(dirs.number(&path, name))))
                    .collect();
                drop(dirs);
                if is_stream {
                    let days = self.recordings.days(&self.stream(dir)?).map_err(|e| errno(&e))?;
                    let days = days.into_iter().map(|day| (day.to_string(), Place::Day(dir, day)));
                    // Where a part of another stream's name looks like a day, that is what one finds.
                    let days = days.filter(|(name, _)| !names.contains(name));
                    entries.extend(days.map(|(name, place)| Entry::new(&name, place)));
                }
                Ok(entries)
            }
            Place::Day(dir, day) => {
                let stream = self.stream(dir)?;
                let pieces = self.recordings.pieces(&stream, day.range(), now());
                let entry = |piece: Piece| {
                    let name = file_name(piece.hour, piece.grows);
                    Entry::new(&name, Place::File(dir, piece.hour, piece.grows))
                };
                Ok(pieces.map_err(|e| errno(&e))?.into_iter().map(entry).collect())
            }
            Place::File(..) => Err(Errno::ENOTDIR),
        }
    }

    /// Opens a file, or a directory as it is now.
    pub(crate) fn open(&self, place: Place) -> Result<(u64, FopenFlags), Errno> {
        let Place::File(dir, hour, grows) = place else {
            let entries = Arc::new(self.entries(place)?);
            return Ok((self.handles.lock().add(Handle::Dir(entries)), FopenFlags::empty()));
        };
        let stream = self.stream(dir)?;
        let planned = self.recordings.plan(&stream, hour).map_err(|e| errno(&e))?;
        let tag = planned.tag.clone();
        let reader = Arc::new(Mutex::new(self.recordings.reader(&stream, planned)));
        let mut handles = self.handles.lock();
        // The kernel must not take parts of one file for those of another: of a file that grows, or has
        // lost its beginning, it keeps nothing.
        let same = !grows && {
            let cached = handles.cached.entry(place.number()).or_insert_with(|| tag.clone());
            *cached == tag
        };
        let flags = if same { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::FOPEN_DIRECT_IO };
        Ok((handles.add(Handle::File(reader)), flags))
    }

    /// Entries of an open directory.
    pub(crate) fn list(&self, handle: u64) -> Result<Arc<Vec<Entry>>, Errno> {
        match self.handles.lock().open.get(&handle) {
            Some(Handle::Dir(entries)) => Ok(Arc::clone(entries)),
            _ => Err(Errno::EBADF),
        }
    }

    /// Reads an open file.
    pub(crate) fn read(&self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let found = self.handles.lock().open.get(&handle).cloned();
        let Some(Handle::File(reader)) = found else { return Err(Errno::EBADF) };
        let read = reader.lock().read_at(offset, len);
        read.map_err(|error| errno(&error))
    }

    /// Closes a handle.
    pub(crate) fn close(&self, handle: u64) {
        self.handles.lock().open.remove(&handle);
    }
}

impl Handles {
    fn add(&mut self, handle: Handle) -> u64 {
        self.last += 1;
        self.open.insert(self.last, handle);
        self.last
    }
}

fn now() -> Time {
    time_of(SystemTime::now())
}

/// The kernel's word for an error. What is the store's fault is logged.
fn errno(error: &ExportError) -> Errno {
    match error {
        ExportError::Nothing { .. }
        | ExportError::Store(StoreError::UnknownStream { .. })
        | ExportError::Media(WriteError::Empty) => Errno::ENOENT,
        ExportError::Changed { .. } | ExportError::Store(StoreError::Deleted { .. }) => {
            Errno::ESTALE
        }
        ExportError::TooMany { .. } | ExportError::Media(_) => Errno::EFBIG,
        error => {
            tracing::error!(%error, "a recording can't be read at the mount");
            Errno::EIO
        }
    }
}
