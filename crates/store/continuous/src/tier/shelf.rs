//! Reading what is out: the tables of objects, kept, and their blocks, from what is arriving or from the tier itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_log::SegmentId;

use super::tiering::Tiering;
use crate::error::Error;
use crate::format::index::Entry;
use crate::format::object::{self, Place};
use crate::format::segment::{ObjectRef, SegmentRecord, State};
use crate::stream::Stream;

/// Tables kept: a hundred KiB each at most, usually less.
const KEPT_MAX: usize = 256;
/// How long a tier that failed is not asked again.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// An object and what is in it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(super) name: String,
    pub(super) segment: SegmentId,
    /// When its segment begins.
    first: Time,
    /// Without fragments in their maps.
    pub(crate) entries: Arc<[Entry]>,
    pub(super) places: Vec<Place>,
}

/// Objects whose tables were read of late.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: HashMap<SegmentId, (u64, Arc<Object>)>,
    uses: u64,
}

impl Shelf {
    fn get(&mut self, id: SegmentId) -> Option<Arc<Object>> {
        self.uses += 1;
        let uses = self.uses;
        let (used, object) = self.kept.get_mut(&id)?;
        *used = uses;
        Some(object.clone())
    }

    fn keep(&mut self, object: Arc<Object>) {
        if self.kept.len() >= KEPT_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            oldest.and_then(|id| self.kept.remove(&id));
        }
        self.kept.insert(object.segment, (self.uses, object));
    }
}

impl Tiering {
    /// The object that holds the segment of `record`, which is out.
    ///
    /// # Errors
    /// [`Error::Away`]; [`Error::Damaged`] if it isn't what the record says.
    pub(crate) fn object(
        &self,
        stream: &Stream,
        record: &SegmentRecord,
    ) -> Result<Arc<Object>, Error> {
        let State::Out(_, reference) = &record.state else {
            return Err(Error::Deleted { name: stream.name.clone(), at: record.first });
        };
        if let Some(object) = self.shelf.lock().get(record.segment.id) {
            return Ok(object);
        }
        let object = Arc::new(self.read_table(stream, record, reference)?);
        self.shelf.lock().keep(object.clone());
        Ok(object)
    }

    fn read_table(
        &self,
        stream: &Stream,
        record: &SegmentRecord,
        reference: &ObjectRef,
    ) -> Result<Object, Error> {
        let origin = self.origin(stream, record);
        let name = origin.object_name(record.first);
        let head = self.get(stream, record.first, &name, 0..u64::from(reference.head_bytes))?;
        let damaged =
            |source| Error::Damaged { what: format!("object {name} of {}", stream.name), source };
        if crc32c::crc32c(&head) != reference.crc {
            return Err(damaged(crate::FormatError::Field { field: "checksum" }));
        }
        let table = object::parse(&head).map_err(damaged)?;
        if table.origin != origin {
            return Err(damaged(crate::FormatError::Foreign { what: "segment" }));
        }
        let (segment, first) = (record.segment.id, record.first);
        Ok(Object { name, segment, first, entries: table.entries.into(), places: table.places })
    }

    /// The payload of block number `at` of an object: from memory if it has just come or is about to, else from the tier.
    ///
    /// # Errors
    /// As [`Tiering::object`].
    pub(crate) fn block(
        &self,
        stream: &Stream,
        object: &Object,
        at: usize,
    ) -> Result<Bytes, Error> {
        self.read_blocks.fetch_add(1, Relaxed);
        let arrival = self.arrivals.lock().get(&object.segment).cloned();
        if let Some(payload) = arrival.and_then(|arrival| arrival.wait(at)) {
            return Ok(payload);
        }
        self.fetch(stream, object, at)
    }

    /// Reads from the tier, unless it has just failed: many may want something of it, and not each is to wait in vain.
    fn get(
        &self,
        stream: &Stream,
        at: Time,
        name: &str,
        range: Range<u64>,
    ) -> Result<Bytes, Error> {
        if let Some((until, why)) = &self.state.lock().down
            && *until > Instant::now()
        {
            return Err(Error::Away { name: stream.name.clone(), at, why: why.clone() });
        }
        let read = self.tier().get(name, range);
        let down = match &read {
            Ok(_) | Err(pegasus_tier::Error::Missing { .. }) => None,
            Err(error) => Some((Instant::now() + DOWN_FOR, error.to_string())),
        };
        self.state.lock().down = down;
        read.map_err(|error| away(stream, at, &error))
    }

    /// Reads a block from the tier.
    ///
    /// # Errors
    /// As [`Tiering::object`].
    pub(super) fn fetch(
        &self,
        stream: &Stream,
        object: &Object,
        at: usize,
    ) -> Result<Bytes, Error> {
        let place = object.places.get(at).ok_or_else(|| Error::Damaged {
            what: format!("object {}", object.name),
            source: crate::FormatError::Field { field: "number of blocks" },
        })?;
        let begun = Instant::now();
        let range = place.offset..place.offset + u64::from(place.bytes);
        let payload = self.get(stream, object.first, &object.name, range)?;
        self.state.lock().back.rate.note(payload.len() as u64, begun.elapsed());
        if crc32c::crc32c(&payload) != place.crc {
            let source = crate::FormatError::Field { field: "checksum" };
            return Err(Error::Damaged { what: format!("block {at} of {}", object.name), source });
        }
        Ok(payload)
    }
}

pub(super) fn away(stream: &Stream, at: Time, error: &pegasus_tier::Error) -> Error {
    let (name, why) = (stream.name.clone(), error.to_string());
    match error {
        pegasus_tier::Error::Missing { .. } => Error::ObjectMissing { name, at, why },
        _ => Error::Away { name, at, why },
    }
}
