//! Comparing what the tier lists with what the directories refer to. The directories are right: what they do not refer to
//! was deleted, came back, or was never recorded as out, and its object goes. What belongs to a stream that this
//! store does not know stays: a store that has forgotten something must not delete it.

use std::collections::BTreeMap;

use pegasus_log::SegmentId;

use super::leave::read_segment;
use super::tiering::Tiering;
use crate::error::Error;
use crate::format::object::{folder_of, number_in};
use crate::format::segment::{SegmentRecord, State};
use crate::inner::Inner;

/// What the directories refer to.
#[derive(Debug, Default)]
struct Known {
    /// Objects by name, with their bytes.
    out: BTreeMap<String, u64>,
    /// Segments on disk, with the number of their stream and of their record.
    inside: BTreeMap<SegmentId, (usize, SegmentRecord)>,
}

impl Tiering {
    /// Counts what is out, by all directories.
    ///
    /// # Errors
    /// If one can't be read.
    pub(super) fn count_all(&self, inner: &Inner) -> Result<(u64, u64), Error> {
        let known = self.known(inner)?;
        let counted = (known.out.len() as u64, known.out.values().sum());
        self.state.lock().counted = Some(counted);
        Ok(counted)
    }

    fn known(&self, inner: &Inner) -> Result<Known, Error> {
        let mut known = Known::default();
        for (number, stream) in inner.all_streams().iter().enumerate() {
            for index in stream.view(|view| view.segments.clone()) {
                let record = stream.segment(&inner.log, inner.record_len, index)?;
                let Some(record) = record else { continue };
                match &record.state {
                    State::Out(_, object) => {
                        known.out.insert(self.name_of(stream, &record), object.bytes);
                    }
                    State::Sealed(_) => {
                        known.inside.insert(record.segment.id, (number, record));
                    }
                    State::Open | State::Freed => {}
                }
            }
        }
        Ok(known)
    }

    /// Finds objects that nothing refers to, and what refers to no object.
    ///
    /// # Errors
    /// [`Error::Damaged`] and the like if a directory can't be read: nothing is deleted then; or if the tier fails.
    pub(super) fn sweep(&self, inner: &Inner) -> Result<(), Error> {
        let streams = inner.all_streams();
        streams.iter().try_for_each(|stream| stream.check_damage())?;
        let folder = folder_of(self.array);
        let listed =
            self.tier().list(&folder).map_err(|error| Error::Failed { why: error.to_string() })?;
        // The directories are read after the listing: what was moved out in between is not in it.
        let known = self.known(inner)?;
        let mut found = 0;
        let (mut dead, mut unknown) = (Vec::new(), 0);
        for object in listed {
            if let Some(bytes) = known.out.get(&object.name) {
                found += u64::from(*bytes == object.bytes);
                continue;
            }
            let Some(id) = number_in(&object.name) else { continue };
            let stream = streams.iter().find(|stream| {
                let rest = object.name.strip_prefix(&folder);
                let rest = rest.and_then(|rest| rest.strip_prefix(stream.name.as_str()));
                rest.is_some_and(|rest| rest.rfind('/') == Some(0))
            });
            match known.inside.get(&id) {
                _ if stream.is_none() => unknown += 1,
                // It was written, and the store stopped before it said so. The segment itself must be whole.
                Some((number, record)) => {
                    let State::Sealed(sealed) = &record.state else { continue };
                    match read_segment(inner, &streams[*number], record, sealed) {
                        Ok(_) => dead.push(object.name),
                        Err(_) => unknown += 1,
                    }
                }
                None => dead.push(object.name),
            }
        }
        let (out, bytes) = (known.out.len() as u64, known.out.values().sum());
        self.bury(dead);
        let mut state = self.state.lock();
        state.counted = Some((out, bytes));
        (state.unknown, state.missing) = (unknown, out - found);
        state.swept = Some(inner.clock.now());
        Ok(())
    }

    /// Deletes one object that is dead; false if there is none.
    ///
    /// # Errors
    /// If the tier fails.
    pub(super) fn delete_dead(&self) -> Result<bool, Error> {
        let Some(name) = self.state.lock().dead.first().cloned() else { return Ok(false) };
        self.tier().delete(&name).map_err(|error| Error::Failed { why: error.to_string() })?;
        let mut state = self.state.lock();
        state.dead.remove(&name);
        state.deleted += 1;
        Ok(true)
    }
}
