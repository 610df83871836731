//! Which tracks can be recorded.

use pegasus_media::Track;

/// Most bytes the configurations of a stream's tracks may have in all: they stand in every block.
pub(crate) const CONFIG_BYTES_MAX: usize = 32 << 10;
/// Most tracks of a stream.
pub(crate) const TRACKS_MAX: usize = 64;

/// Whether `tracks` can be recorded, and why not.
pub(crate) fn check_tracks(tracks: &[Track]) -> Result<(), &'static str> {
    if tracks.is_empty() {
        return Err("there are none");
    }
    if tracks.len() > TRACKS_MAX {
        return Err("there are more than 64");
    }
    if tracks.iter().enumerate().any(|(i, track)| usize::from(track.id.0) != i) {
        return Err("they are not numbered from 0 in order");
    }
    if tracks.iter().any(|track| track.clock_rate == 0) {
        return Err("one has a clock of 0 ticks per second");
    }
    if tracks.iter().map(|track| track.config.len()).sum::<usize>() > CONFIG_BYTES_MAX {
        return Err("their configurations are longer than 32 KiB");
    }
    Ok(())
}
