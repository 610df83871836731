//! The bytes of a planned file, read from the store.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::StreamName;
use pegasus_continuous::{Continuous, Promise, Units};
use pegasus_media::mp4::Piece;

use crate::{ExportError, Planned};

/// Units that are skipped rather than looked up anew.
const SKIP_MAX: u64 = 256;

/// The units of a plan. Blocks on disks. Cheap in the plan's order, and for small steps forward.
#[derive(Debug)]
pub struct Source {
    store: Continuous,
    name: StreamName,
    planned: Arc<Planned>,
    /// What comes next, and the first unit of the plan that it may be.
    open: Option<(u64, Units)>,
    last: Option<(u64, Bytes)>,
    /// What makes sure that it is in time.
    promise: Option<Arc<Promise>>,
}

impl Source {
    /// The units of `planned`, which was made of this stream.
    #[must_use]
    pub fn new(store: Continuous, name: StreamName, planned: Arc<Planned>) -> Self {
        Self { store, name, planned, open: None, last: None, promise: None }
    }

    /// Reads what was promised, which has to be this stream's playback.
    #[must_use]
    pub fn promised(mut self, promise: Option<Arc<Promise>>) -> Self {
        self.promise = promise;
        self
    }

    /// The data of unit `index` of the plan.
    ///
    /// # Errors
    /// [`ExportError::Changed`] if it has been deleted, or the store can't be read.
    ///
    /// # Panics
    /// If the plan has fewer units.
    pub fn get(&mut self, index: u64) -> Result<Bytes, ExportError> {
        if let Some((_, data)) = self.last.as_ref().filter(|(last, _)| *last == index) {
            return Ok(data.clone());
        }
        let near = |next: &u64| (*next..*next + SKIP_MAX).contains(&index);
        let wanted = self.planned.numbers.get(index);
        let mut units = match self.open.take().filter(|(next, _)| near(next)) {
            Some((_, units)) => units,
            None => match &self.promise {
                Some(promise) => promise.read_units(&self.name, wanted)?,
                None => self.store.read_units(&self.name, wanted)?,
            },
        };
        let changed = || ExportError::Changed { name: self.name.clone() };
        loop {
            let (number, unit) = units.next()?.ok_or_else(changed)?;
            if number < wanted {
                continue; // not asked for, or not in the file
            }
            // Anything else than what was planned would be passed off for it.
            if number != wanted || unit.data.len() != self.planned.plan.unit_len(index) as usize {
                return Err(changed());
            }
            self.open = Some((index + 1, units));
            self.last = Some((index, unit.data.clone()));
            return Ok(unit.data);
        }
    }
}

/// A planned file, read at any place.
#[derive(Debug)]
pub struct Reader {
    planned: Arc<Planned>,
    source: Source,
}

impl Reader {
    /// The file `planned`, which was made of this stream.
    #[must_use]
    pub fn new(store: Continuous, name: StreamName, planned: Arc<Planned>) -> Self {
        Self { source: Source::new(store, name, Arc::clone(&planned)), planned }
    }

    /// Reads up to `len` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// As [`Source::get`].
    pub fn read_at(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ExportError> {
        let end = offset.saturating_add(len as u64).min(self.planned.plan.total_len());
        let mut out = Vec::with_capacity(end.saturating_sub(offset) as usize);
        for piece in self.planned.plan.slice(offset..end) {
            match piece {
                Piece::Head(bytes) => out.extend_from_slice(&bytes),
                Piece::Unit { index, skip, len } => {
                    let (from, to) = (skip as usize, skip as usize + len as usize);
                    out.extend_from_slice(&self.source.get(index)?[from..to]);
                }
            }
        }
        Ok(out)
    }
}
