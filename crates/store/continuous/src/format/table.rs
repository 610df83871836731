//! The table of a block's units: seven to nine bytes a unit for a steady camera.
//!
//! For each unit, in the order they were recorded (see [`Predictor`] for what is predicted):
//! - `track << 1 | key`, LEB128
//! - dts minus the predicted dts, zigzag LEB128 (as the four that follow)
//! - pts minus dts, minus the same of the track's unit before
//! - time in nanoseconds minus the predicted time
//! - duration minus that of the track's unit before
//! - length of its data in bytes, LEB128
//!
//! All differences wrap, so that any time stamps a source invents can be written.

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::{Track, TrackId, Unit};

use super::block::Totals;
use super::bytes::{Fields, FormatError, put_signed, put_varint};

/// A unit without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) track: TrackId,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) time: Time,
    pub(crate) duration: u32,
    pub(crate) key: bool,
    /// Where its data begins in the block's data.
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Row {
    pub(crate) fn of(unit: &Unit, time: Time, offset: usize) -> Self {
        let Unit { track, pts, dts, duration, key, ref data, .. } = *unit;
        Self { track, pts, dts, time, duration, key, offset, len: data.len() }
    }

    /// The unit, with its data.
    pub(crate) fn with(&self, data: Bytes) -> Unit {
        let Self { track, pts, dts, time, duration, key, .. } = *self;
        Unit { track, pts, dts, time, duration, key, data }
    }
}

/// What the next unit of a track is expected to be: one like the last, one step later.
#[derive(Debug, Clone, Copy, Default)]
struct Predictor {
    dts: i64,
    step: i64,
    reorder: i64,
    time_ns: i64,
    duration: i64,
    pts: i64,
}

impl Predictor {
    fn dts(&self) -> i64 {
        self.dts.wrapping_add(self.step)
    }

    /// The time at `pts`, by the track's clock from the unit before.
    fn time_ns(&self, pts: i64, track: &Track) -> i64 {
        self.time_ns.wrapping_add(track.ticks_to_ns(pts.wrapping_sub(self.pts)))
    }

    fn learn(&mut self, row: &Row) {
        *self = Self {
            step: row.dts.wrapping_sub(self.dts),
            dts: row.dts,
            reorder: row.pts.wrapping_sub(row.dts),
            time_ns: row.time.as_ns(),
            duration: i64::from(row.duration),
            pts: row.pts,
        };
    }
}

/// Writes rows one after another.
pub(crate) struct Writer<'a> {
    tracks: &'a [Track],
    predictors: Vec<Predictor>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(tracks: &'a [Track]) -> Self {
        Self { tracks, predictors: vec![Predictor::default(); tracks.len()], out: Vec::new() }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If it names a track that is not there.
    pub(crate) fn push(&mut self, row: &Row) {
        let track = &self.tracks[usize::from(row.track.0)];
        let predictor = &mut self.predictors[usize::from(row.track.0)];
        let reorder = row.pts.wrapping_sub(row.dts);
        put_varint(&mut self.out, u64::from(row.track.0) << 1 | u64::from(row.key));
        put_signed(&mut self.out, row.dts.wrapping_sub(predictor.dts()));
        put_signed(&mut self.out, reorder.wrapping_sub(predictor.reorder));
        let time_ns = predictor.time_ns(row.pts, track);
        put_signed(&mut self.out, row.time.as_ns().wrapping_sub(time_ns));
        put_signed(&mut self.out, i64::from(row.duration) - predictor.duration);
        put_varint(&mut self.out, row.len as u64);
        predictor.learn(row);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Reads the rows of a block that holds so many units and bytes.
pub(crate) fn parse(
    bytes: &[u8],
    holds: &Totals,
    tracks: &[Track],
) -> Result<Vec<Row>, FormatError> {
    let number = |number: u64| usize::try_from(number).map_err(|_| DATA);
    let (count, data_len) = (number(holds.units)?, number(holds.bytes)?);
    let mut fields = Fields::new(bytes);
    let mut predictors = vec![Predictor::default(); tracks.len()];
    // Each row has at least six bytes: a wild count can't make us reserve much.
    let mut rows = Vec::with_capacity(count.min(bytes.len() / 6));
    let mut offset = 0;
    for _ in 0..count {
        let row = row(&mut fields, tracks, &mut predictors, offset)?;
        offset = offset.checked_add(row.len).filter(|&end| end <= data_len).ok_or(DATA)?;
        rows.push(row);
    }
    if offset != data_len || fields.rest() > 0 {
        return Err(DATA);
    }
    Ok(rows)
}

const DATA: FormatError = FormatError::Field { field: "unit table" };

fn row(
    fields: &mut Fields<'_>,
    tracks: &[Track],
    predictors: &mut [Predictor],
    offset: usize,
) -> Result<Row, FormatError> {
    let first = fields.varint()?;
    let id = u8::try_from(first >> 1).map_err(|_| DATA)?;
    let (track, predictor) = tracks
        .get(usize::from(id))
        .zip(predictors.get_mut(usize::from(id)))
        .ok_or(FormatError::Field { field: "track number" })?;
    let dts = predictor.dts().wrapping_add(fields.signed()?);
    let reorder = predictor.reorder.wrapping_add(fields.signed()?);
    let pts = dts.wrapping_add(reorder);
    let time_ns = predictor.time_ns(pts, track).wrapping_add(fields.signed()?);
    let duration = predictor.duration.wrapping_add(fields.signed()?);
    let row = Row {
        track: TrackId(id),
        pts,
        dts,
        time: Time::from_ns(time_ns),
        duration: u32::try_from(duration).map_err(|_| FormatError::Field { field: "duration" })?,
        key: first & 1 == 1,
        offset,
        len: usize::try_from(fields.varint()?).map_err(|_| DATA)?,
    };
    predictor.learn(&row);
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tracks::tests::any_tracks;
    use pegasus_media::{Codec, Shape};
    use proptest::prelude::*;

    fn emit(rows: &[Row], tracks: &[Track]) -> Vec<u8> {
        let mut writer = Writer::new(tracks);
        rows.iter().for_each(|row| writer.push(row));
        writer.finish()
    }

    #[test]
    fn a_steady_camera_takes_few_bytes() {
        let track = Track {
            id: TrackId(0),
            codec: Codec::H264,
            clock_rate: 90_000,
            shape: Shape::Video { width: 0, height: 0 },
            config: Bytes::new(),
        };
        let rows: Vec<Row> = (0..100)
            .map(|i| Row {
                track: TrackId(0),
                pts: i * 3_600,
                dts: i * 3_600,
                time: Time::from_ms(1_700_000_000_000 + i * 40),
                duration: 0,
                key: i % 50 == 0,
                offset: i as usize * 20_000,
                len: 20_000,
            })
            .collect();
        let bytes = emit(&rows, std::slice::from_ref(&track));
        assert!(bytes.len() < 830, "{} bytes", bytes.len());
        assert_eq!(parse(&bytes, &Totals { units: 100, bytes: 2_000_000 }, &[track]), Ok(rows));
    }

    proptest! {
        #[test]
        fn any_time_stamps_round_trip(
            tracks in any_tracks(),
            wild in proptest::collection::vec(any::<(u8, i64, i64, i64, u32, bool, u8)>(), 0..40),
        ) {
            let mut offset = 0;
            let rows: Vec<Row> = wild.into_iter().map(|(track, pts, dts, ns, duration, key, len)| {
                let row = Row {
                    track: TrackId(track % tracks.len() as u8),
                    pts, dts, time: Time::from_ns(ns), duration, key, offset, len: len.into(),
                };
                offset += usize::from(len);
                row
            }).collect();
            let bytes = emit(&rows, &tracks);
            let holds = Totals { units: rows.len() as u64, bytes: offset as u64 };
            prop_assert_eq!(parse(&bytes, &holds, &tracks), Ok(rows));
        }

        #[test]
        fn any_bytes_parse_or_fail(
            tracks in any_tracks(),
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            units in 0u64..20,
        ) {
            let _ = parse(&bytes, &Totals { units, bytes: 1_000 }, &tracks);
        }
    }
}
