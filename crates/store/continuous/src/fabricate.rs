//! For benchmarks only: sealed segments nobody recorded, as a stream's directory lists them.
#![doc(hidden)]

use pegasus_base::{PnodeId, StreamId, Time};
use pegasus_log::{Log, SegmentRef};

use crate::error::Error;
use crate::format::block::Totals;
use crate::format::segment::{self, Sealed, SegmentRecord, State};
use crate::open::read_catalogue;

/// The streams of the catalogue and their directories, which own their segments.
///
/// # Errors
/// If the catalogue can't be read.
pub fn directories(log: &Log) -> Result<Vec<(StreamId, PnodeId)>, Error> {
    let catalogue = read_catalogue(log)?.unwrap_or_default();
    Ok(catalogue.into_iter().flatten().map(|stream| (stream.id, stream.segments)).collect())
}

/// Bytes of a record.
#[must_use]
pub fn record_len(log: &Log) -> usize {
    let (data, parity) = log.shape();
    segment::record_len(usize::from(data) + usize::from(parity))
}

/// The record of a sealed segment without units.
#[must_use]
pub fn sealed(log: &Log, segment: SegmentRef, first: Time, end: Time) -> Vec<u8> {
    let before = Totals::default();
    let sealed = Sealed { end, after: before, span: 0, mark: None, index: None, asked: None };
    let state = State::Sealed(sealed);
    SegmentRecord { segment, first, before, state }.emit(record_len(log))
}

/// The record of a segment that was freed.
#[must_use]
pub fn freed(log: &Log, segment: SegmentRef, first: Time) -> Vec<u8> {
    let state = State::Freed;
    SegmentRecord { segment, first, before: Totals::default(), state }.emit(record_len(log))
}
