//! Fragments (`moof` + `mdat`) for live viewers and HLS.

use bytes::{Bytes, BytesMut};
use mp4_atom::{Mfhd, Tfdt, Tfhd, Trun, TrunEntry};
use pegasus_base::Time;

use super::WriteError;
use super::boxes::Boxes;
use super::cadence::{Cadence, ticks_to_ns};
use super::header::number;
use crate::{Kind, Track, Unit};

/// Sample flags of a unit decoding can start at: depends on no other.
const FLAGS_KEY: u32 = 0x0200_0000;
/// Sample flags of any other: depends on others, no sync sample.
const FLAGS_DELTA: u32 = 0x0101_0000;

/// Data offsets in a fragment are 31 bits; this leaves room for the tables.
const LEN_MAX_BYTES: u64 = 1 << 30;

/// Makes fragments of the units of several tracks. [`push`](Self::push) units as they come, in
/// decode order within each track; [`flush`](Self::flush) whenever a fragment is wanted.
///
/// The media time line begins at `origin`, with no lead: presentation time 0 is capture time
/// `origin`. Decode times can't be negative, so where pictures are reordered the first few are
/// crowded together just after 0. For a continuing stream keep one `Fragmenter`. For segments made
/// on demand make a fresh one for each, all of the same origin: every segment then stands by
/// itself, and neighbours meet within the slew of capture times (a millisecond in 2 s).
///
/// ```
/// use bytes::Bytes;
/// use pegasus_base::Time;
/// use pegasus_media::mp4::{Fragmenter, init_segment};
/// use pegasus_media::{Codec, Shape, Track, TrackId, Unit};
///
/// let track = Track {
///     id: TrackId(0),
///     codec: Codec::Pcmu,
///     clock_rate: 8_000,
///     shape: Shape::Audio { channels: 1, sample_rate: 8_000 },
///     config: Bytes::new(),
/// };
/// let mut file = init_segment(&[track.clone()])?.to_vec();
/// let mut fragmenter = Fragmenter::new(&[track], Time::from_secs(1_000));
/// let unit = Unit {
///     track: TrackId(0),
///     pts: 77,
///     dts: 77,
///     time: Time::from_secs(1_001),
///     duration: 160,
///     key: true,
///     data: Bytes::from(vec![0xff; 160]),
/// };
/// fragmenter.push(&unit)?;
/// let fragment = fragmenter.flush()?.expect("a unit was pushed");
/// assert_eq!(fragment.start_ns, 1_000_000_000);
/// file.extend_from_slice(&fragment.into_bytes());
/// # Ok::<(), pegasus_media::mp4::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Fragmenter {
    origin: Time,
    sequence: u32,
    tracks: Vec<Pending>,
    len_bytes: u64,
}

/// A finished fragment.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// `moof` and the header of `mdat`.
    pub head: Bytes,
    /// The content of `mdat`: the units' own bytes, shared.
    pub data: Vec<Bytes>,
    /// Earliest presentation time in it, from the origin.
    pub start_ns: i64,
    /// From `start_ns` to the end of what is presented last.
    pub duration_ns: u64,
    /// Whether a player can start here: the first unit of each track is a key unit.
    pub key: bool,
}

impl Fragment {
    /// Its size.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.head.len() + self.data.iter().map(Bytes::len).sum::<usize>()
    }

    /// The whole fragment in one piece; copies the units.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.len_bytes());
        whole.extend_from_slice(&self.head);
        for part in &self.data {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }
}

#[derive(Debug)]
struct Pending {
    track: Track,
    cadence: Cadence,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    dts: i64,
    pts: i64,
    offset: i32,
    duration: u32,
    key: bool,
    data: Bytes,
}

impl Fragmenter {
    /// A fragmenter for `tracks`; its time line begins at `origin`.
    #[must_use]
    pub fn new(tracks: &[Track], origin: Time) -> Self {
        let tracks = tracks
            .iter()
            .map(|track| Pending {
                track: track.clone(),
                cadence: Cadence::new(track.clock_rate, 0),
                samples: Vec::new(),
            })
            .collect();
        Self { origin, sequence: 0, tracks, len_bytes: 0 }
    }

    /// Adds a unit to the fragment being made.
    ///
    /// # Errors
    /// [`WriteError::UnknownTrack`], and [`WriteError::FragmentFull`] past 1 GiB.
    pub fn push(&mut self, unit: &Unit) -> Result<(), WriteError> {
        let unknown = WriteError::UnknownTrack { track: unit.track };
        let pending =
            self.tracks.iter_mut().find(|pending| pending.track.id == unit.track).ok_or(unknown)?;
        let len_bytes = self.len_bytes + unit.data.len() as u64;
        if len_bytes > LEN_MAX_BYTES {
            return Err(WriteError::FragmentFull { len_bytes, limit_bytes: LEN_MAX_BYTES });
        }
        self.len_bytes = len_bytes;
        pending.push(unit, unit.time.ns_since(self.origin));
        Ok(())
    }

    /// Places the next unit of every track by its capture time: call it at a gap.
    pub fn break_here(&mut self) {
        for pending in &mut self.tracks {
            pending.cadence.break_here();
        }
    }

    /// Whether no unit waits to be flushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|pending| pending.samples.is_empty())
    }

    /// Bytes of the units that wait to be flushed.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The presentation time covered by the units that wait to be flushed.
    #[must_use]
    pub fn pending_ns(&self) -> u64 {
        let (start_ns, end_ns) = self.extent();
        u64::try_from(end_ns.saturating_sub(start_ns)).unwrap_or(0)
    }

    /// Ends the fragment; `None` if it has no unit.
    ///
    /// The last unit of each track lasts as long as it says, or else as the one before it.
    ///
    /// # Errors
    /// [`WriteError::TablesTooLarge`], for more units than tables hold (hundreds of millions).
    ///
    /// # Panics
    /// If an invariant of the fragmenter is broken; not by any unit.
    pub fn flush(&mut self) -> Result<Option<Fragment>, WriteError> {
        if self.is_empty() {
            return Ok(None);
        }
        let (start_ns, end_ns) = self.extent();
        self.sequence = self.sequence.wrapping_add(1);
        // All fields have fixed sizes, so the tables' size does not depend on the offsets.
        let moof_bytes = self.moof(0)?.len();
        let mut head = self.moof(moof_bytes + 8)?;
        assert_eq!(head.len(), moof_bytes, "a fragment's tables changed size with its offsets");
        head.mdat_header(self.len_bytes);
        let key = self.tracks.iter().filter_map(|p| p.samples.first()).all(|sample| sample.key);
        let samples = self.tracks.iter_mut().flat_map(|pending| pending.samples.drain(..));
        let data = samples.map(|sample| sample.data).collect();
        self.len_bytes = 0;
        Ok(Some(Fragment {
            head: head.into_vec().into(),
            data,
            start_ns,
            duration_ns: u64::try_from(end_ns.saturating_sub(start_ns)).unwrap_or(0),
            key,
        }))
    }

    fn extent(&self) -> (i64, i64) {
        let mut extent = None;
        for pending in &self.tracks {
            for sample in &pending.samples {
                let rate = pending.track.clock_rate;
                let start = ticks_to_ns(sample.pts, rate);
                let end = ticks_to_ns(sample.pts.saturating_add(i64::from(sample.duration)), rate);
                let (from, to) = extent.get_or_insert((start, end));
                *from = start.min(*from);
                *to = end.max(*to);
            }
        }
        extent.unwrap_or((0, 0))
    }

    fn moof(&self, data_offset: usize) -> Result<Boxes, WriteError> {
        let mut out = Boxes::default();
        let mut at = data_offset;
        out.nest(b"moof", |out| {
            out.leaf(&Mfhd { sequence_number: self.sequence })?;
            for pending in self.tracks.iter().filter(|p| !p.samples.is_empty()) {
                pending.write(out, at)?;
                at += pending.samples.iter().map(|sample| sample.data.len()).sum::<usize>();
            }
            Ok(())
        })?;
        Ok(out)
    }
}

impl Pending {
    fn push(&mut self, unit: &Unit, ideal_ns: i64) {
        let place = self.cadence.place(unit.pts, unit.dts, ideal_ns, unit.key);
        if let Some(last) = self.samples.last_mut() {
            last.duration = u32::try_from(place.dts.saturating_sub(last.dts)).unwrap_or(u32::MAX);
        }
        let lasting = if unit.duration > 0 { unit.duration } else { self.cadence.step() };
        self.samples.push(Sample {
            dts: place.dts,
            pts: place.pts,
            offset: place.offset(),
            duration: lasting,
            key: unit.key || self.track.kind() == Kind::Audio,
            data: unit.data.clone(),
        });
    }

    fn write(&self, out: &mut Boxes, data_offset: usize) -> Result<(), WriteError> {
        let first = self.samples.first().expect("only tracks with samples are written");
        let data_offset = i32::try_from(data_offset).map_err(|_| WriteError::TablesTooLarge)?;
        let entries: Vec<TrunEntry> = self.samples.iter().map(Sample::entry).collect();
        out.nest(b"traf", |out| {
            out.leaf(&Tfhd {
                track_id: number(self.track.id),
                default_base_is_moof: true,
                ..Tfhd::default()
            })?;
            let base = u64::try_from(first.dts).expect("decode times start at 0");
            out.leaf(&Tfdt { base_media_decode_time: base })?;
            out.leaf(&Trun { data_offset: Some(data_offset), samples: entries.into() })
        })
    }
}

impl Sample {
    fn entry(&self) -> TrunEntry {
        TrunEntry {
            duration: Some(self.duration),
            size: Some(u32::try_from(self.data.len()).expect("a fragment is under 1 GiB")),
            flags: Some(if self.key { FLAGS_KEY } else { FLAGS_DELTA }),
            cts: Some(i64::from(self.offset)),
        }
    }
}
