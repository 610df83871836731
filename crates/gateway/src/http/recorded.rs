//! Where decoding of what is recorded can start.

use std::sync::Arc;

use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::{Continuous, Error, Mark};
use pegasus_media::TrackSet;

use super::hls::KeyTime;
use super::playable::Playable;

/// Times at which decoding of a range can start, from the one at or before its start, each with the
/// fingerprint of the tracks there; none where they can't be played.
pub(crate) fn key_times(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<Vec<KeyTime<Option<u32>>>, Error> {
    let mut last: Option<(TrackSet, Option<u32>)> = None;
    let mut keys = Vec::new();
    for Mark { time, tracks, .. } in store.marks(name, range)? {
        let tracks = tracks.map_or_else(|| store.tracks(name, time), Ok)?;
        let known =
            last.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &tracks) || *known == tracks);
        let fingerprint = match known {
            Some((_, fingerprint)) => *fingerprint,
            None => Playable::of(&tracks).ok().and_then(|playable| playable.fingerprint()),
        };
        last = Some((tracks, fingerprint));
        keys.push(KeyTime { time, tracks: fingerprint });
    }
    Ok(keys)
}
