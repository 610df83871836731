//! Recorded ranges: the list from the store's index, each segment read when it is asked for.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Error, Item, ReadOptions};
use pegasus_export::Recorded;
use pegasus_media::mp4::{Fragmenter, init_segment};
use pegasus_media::{Codec, Unit};

use super::cut::{Cut, cut};
use super::{PLAYLIST, playable, playlist};
use crate::http::app::{App, blocking};
use crate::http::body;
use crate::http::error::ApiError;
use crate::http::playable::Playable;
use crate::http::query::Between;
use crate::http::recorded::key_times;

/// Longest range of one list. A day in segments of four seconds is a list of two megabytes.
const RANGE_MAX: Duration = Duration::from_secs(86_400);
/// Longest segment that is made: a request for more was not written by a list.
const SEGMENT_MAX: Duration = Duration::from_secs(300);
/// How far behind a segment's end its other tracks are looked for.
const TRAIL: Duration = Duration::from_secs(2);
/// Media time 0 lies so far before the list's first unit: pictures are decoded before they are shown.
const LEAD_NS: i64 = 10_000_000_000;

/// The list to begin with.
pub(super) async fn index(
    app: &App,
    name: StreamName,
    between: &Between,
) -> Result<Response, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let store = app.store.clone();
    let list = blocking(move || {
        let recorded = find(&store, &name, range)?;
        let tracks = playable(&name, Playable::of(&store.tracks(&name, recorded.range.start)?))?;
        let uri = format!("vod.m3u8?from={}&to={}", recorded.range.start, recorded.range.end);
        Ok::<_, ApiError>(playlist::multivariant(&tracks, recorded.bitrate_bps() * 3 / 2, &uri))
    });
    Ok(body::text(PLAYLIST, list.await?))
}

/// The segments of a range.
pub(super) async fn list(
    app: &App,
    name: StreamName,
    between: &Between,
) -> Result<Response, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let store = app.store.clone();
    let list = blocking(move || {
        let recorded = find(&store, &name, range)?;
        let cuts = cuts(&store, &name, &recorded)?;
        let first = cuts.first().ok_or_else(|| Recorded::nothing(&name, range))?;
        Ok::<_, ApiError>(playlist::recorded(&cuts, first.start.offset_ns(-LEAD_NS)))
    });
    Ok(body::text(PLAYLIST, list.await?))
}

fn find(store: &Continuous, name: &StreamName, range: TimeRange) -> Result<Recorded, ApiError> {
    let recorded = Recorded::find(store, name, range)?;
    if recorded.range.duration() > RANGE_MAX {
        let text = "a list may cover a day at most; ask for a shorter range";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    Ok(recorded)
}

fn cuts(
    store: &Continuous,
    name: &StreamName,
    recorded: &Recorded,
) -> Result<Vec<Cut<Option<u32>>>, ApiError> {
    let keys = key_times(store, name, recorded.range)?;
    let spans: Vec<_> = recorded.spans.iter().map(|s| TimeRange::new(s.start, s.end)).collect();
    Ok(cut(recorded.range, &spans, &keys))
}

/// The initialisation segment of what was recorded at a time.
pub(super) async fn init(app: &App, name: StreamName, at: Time) -> Result<Vec<Bytes>, ApiError> {
    let store = app.store.clone();
    blocking(move || {
        let tracks = playable(&name, Playable::of(&store.tracks(&name, at)?))?;
        Ok::<_, ApiError>(vec![init_segment(&tracks.tracks)?])
    })
    .await
}

/// A segment: from the key unit at its start up to the one at its end. Refused if its tracks are not those
/// that the list took them for: a player would decode it with another's parameters.
pub(super) async fn segment(
    app: &App,
    name: StreamName,
    range: TimeRange,
    origin: Time,
    tracks: Option<u32>,
) -> Result<Vec<Bytes>, ApiError> {
    if range.is_empty() || range.duration() > SEGMENT_MAX {
        return Err(ApiError::missing(format!("{name} has no such segment")));
    }
    let store = app.store.clone();
    blocking(move || make_segment(&store, &name, range, origin, tracks)).await
}

fn make_segment(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
    origin: Time,
    tracks: Option<u32>,
) -> Result<Vec<Bytes>, ApiError> {
    let mut piece = read_piece(store, name, range, range.start, origin)?;
    let codec = piece.as_ref().map(|piece| piece.tracks.leading().codec);
    if codec == Some(Codec::H265) {
        // Pictures may follow a key picture and yet be shown before it (ISO/IEC 23008-2, 3.111: leading
        // pictures). A reader that begins there leaves them out; one that comes from the group
        // before has them.
        piece = read_piece(store, name, range, range.start.offset_ns(-1), origin)?;
    }
    let found = piece.as_ref().and_then(|piece| piece.tracks.fingerprint());
    if piece.is_some() && tracks.is_some() && found != tracks {
        let text =
            format!("{name} has other tracks there than its list says; ask for a shorter range");
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    }
    let fragment = piece.map(|mut piece| piece.fragmenter.flush()).transpose()?.flatten();
    let deleted = || Error::Deleted { name: name.clone(), at: range.start };
    let fragment = fragment.ok_or_else(deleted)?;
    let mut chunks = vec![fragment.head];
    chunks.extend(fragment.data);
    Ok(chunks)
}

/// Gathers the segment `range`, reading from `from` on.
fn read_piece(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
    from: Time,
    origin: Time,
) -> Result<Option<Piece>, ApiError> {
    let options = ReadOptions { until: Some(range.end + TRAIL), follow: None };
    let mut reader = store.read(name, from, options)?;
    let mut piece: Option<Piece> = None;
    while let Some(item) = reader.next()? {
        let begun = piece.as_ref().is_some_and(|piece| !piece.fragmenter.is_empty());
        match (item, &mut piece) {
            // What follows belongs to the next segment, whatever it is.
            (Item::Tracks(_) | Item::Gap { .. }, _) if begun => break,
            (Item::Tracks(tracks), _) => {
                let tracks = playable(name, Playable::of(&tracks))?;
                let fragmenter = Fragmenter::new(&tracks.tracks, origin);
                piece = Some(Piece { tracks, fragmenter, range, begun: false, ended: false });
            }
            (Item::Unit(unit), Some(piece)) => {
                if !piece.take(&unit)? {
                    break;
                }
            }
            (Item::Gap { .. } | Item::Unit(_) | Item::Waiting, _) => {}
        }
    }
    Ok(piece)
}

/// A segment being made.
struct Piece {
    tracks: Playable,
    fragmenter: Fragmenter,
    range: TimeRange,
    begun: bool,
    /// The leading track's part is complete.
    ended: bool,
}

impl Piece {
    /// Adds what belongs to the segment. False once nothing more can.
    ///
    /// The leading track is cut by its key units: the pictures between two belong to the former,
    /// whenever they are shown. Other tracks are cut by time.
    fn take(&mut self, unit: &Unit) -> Result<bool, ApiError> {
        if !self.tracks.has(unit.track) {
            return Ok(true);
        }
        if unit.track == self.tracks.leading {
            self.ended |= unit.key && unit.time >= self.range.end;
            self.begun |= unit.key && unit.time >= self.range.start;
            if self.begun && !self.ended {
                self.fragmenter.push(unit)?;
            }
            let far = self.range.end + TRAIL;
            return Ok(!self.ended || (self.tracks.tracks.len() > 1 && unit.time < far));
        }
        if self.range.contains(unit.time) {
            self.fragmenter.push(unit)?;
        }
        Ok(true)
    }
}
