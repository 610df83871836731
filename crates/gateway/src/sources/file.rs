//! Playing an MP4 file in real time, in a loop, as if it were a camera.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time};
use pegasus_circuit::Source;
use pegasus_media::mp4::{Item, Mp4File};
use pegasus_media::{TrackSet, Unit};

use super::{Report, World, check_free};

/// How far the machine's clock may have gone astray from the loop's before the next pass begins by it.
const STEP: Duration = Duration::from_secs(1);

/// Plays until it fails. Yields why it did. Reads on a thread of its own, which ends with this future.
pub(super) async fn run(world: &World, name: &StreamName, path: &Path, report: &Report) -> String {
    let (_stop, stopped) = std::sync::mpsc::channel();
    let (world, name, path) = (world.clone(), name.clone(), path.to_owned());
    let report = report.clone();
    let played = tokio::task::spawn_blocking(move || play(&world, &name, &path, &report, &stopped));
    match played.await {
        Ok(Ok(())) => "it was stopped".to_owned(),
        Ok(Err(error)) => error,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn play(
    world: &World,
    name: &StreamName,
    path: &Path,
    report: &Report,
    stopped: &Receiver<()>,
) -> Result<(), String> {
    check_free(world, name)?;
    let about = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let opened = File::open(path).map_err(|error| about(&error))?;
    let mut file = Mp4File::open(BufReader::new(opened)).map_err(|error| about(&error))?;
    for refused in file.refused() {
        tracing::warn!(source = %name, ?refused, "a track is not carried");
    }
    let mut tracks = file.tracks().clone();
    let said_bps = world.rate_bps.or_else(|| rate_bps(path, file.duration_ns()));
    let place = world.intake.place(name, said_bps, &tracks);
    let _place = place.map_err(|error| error.to_string())?;
    let publisher = format!("source file://{}", path.display());
    let source = world
        .switch
        .publish(name, &publisher, tracks.clone())
        .map_err(|error| error.to_string())?;
    report.live();
    let mut passes = Passes::new(world.clock.now());
    loop {
        // The clock dates a pass, the monotonic clock paces it.
        let (began, first) = (Instant::now(), passes.start);
        while let Some(item) = file.next(first).map_err(|error| about(&error))? {
            match item {
                Item::Tracks(changed) => change_tracks(&source, &mut tracks, changed),
                Item::Unit(unit) => {
                    let (unit, decoded) = passes.place(unit, &tracks);
                    let due = began + decoded.since(first);
                    match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                        Err(RecvTimeoutError::Timeout) => source.send(unit),
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    }
                }
            }
        }
        let Some(rest) = passes.finish(began.elapsed()) else {
            return Err(about(&"it holds no unit"));
        };
        // The last picture stays for as long as it lasts.
        if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
        passes.follow(world.clock.now());
        file.rewind();
    }
}

/// What a file takes in real time, in bits a second, if it says how long it lasts.
fn rate_bps(path: &Path, duration_ns: Option<u64>) -> Option<u64> {
    let bytes = path.metadata().ok()?.len();
    let seconds = duration_ns.filter(|ns| *ns > 0)? as f64 / 1e9;
    Some((bytes as f64 * 8.0 / seconds) as u64)
}

fn change_tracks(source: &Source, tracks: &mut TrackSet, changed: TrackSet) {
    if changed != *tracks {
        *tracks = changed.clone();
        source.set_tracks(changed);
    }
}

/// Lays the passes through a file end to end on one time line. Pure.
#[derive(Debug)]
struct Passes {
    /// When this pass began.
    start: Time,
    /// How long it is as far as it has been seen.
    len_ns: i64,
    /// How much was played before it.
    played_ns: i64,
}

impl Passes {
    fn new(start: Time) -> Self {
        Self { start, len_ns: 0, played_ns: 0 }
    }

    /// Moves a unit of the file behind the passes before. Yields with it when it is to be decoded.
    fn place(&mut self, mut unit: Unit, tracks: &TrackSet) -> (Unit, Time) {
        let track = &tracks[usize::from(unit.track.0)];
        let shown_ns = unit.time.ns_since(self.start);
        let end_ns = shown_ns.saturating_add(track.ticks_to_ns(unit.duration.into()));
        self.len_ns = self.len_ns.max(end_ns);
        let decoded = unit.time.offset_ns(-track.ticks_to_ns(unit.pts.saturating_sub(unit.dts)));
        let before = i128::from(self.played_ns) * i128::from(track.clock_rate) / 1_000_000_000;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        unit.pts = unit.pts.saturating_add(before);
        unit.dts = unit.dts.saturating_add(before);
        (unit, decoded)
    }

    /// Ends a pass that took `elapsed`. Yields what is left of it; none if there was no unit in it.
    fn finish(&mut self, elapsed: Duration) -> Option<Duration> {
        let len =
            u64::try_from(self.len_ns).ok().filter(|len| *len > 0).map(Duration::from_nanos)?;
        self.start += len;
        self.played_ns = self.played_ns.saturating_add(self.len_ns);
        self.len_ns = 0;
        Some(len.saturating_sub(elapsed))
    }

    /// Keeps the next pass near the machine's clock, which may have been set. Never goes back.
    fn follow(&mut self, now: Time) {
        if now.since(self.start) > STEP {
            self.start = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use pegasus_media::{Codec, Shape, Track, TrackId};

    use super::*;

    fn tracks() -> TrackSet {
        Arc::from([Track {
            id: TrackId(0),
            codec: Codec::Mjpeg,
            clock_rate: 1_000,
            shape: Shape::Video { width: 8, height: 8 },
            config: Bytes::new(),
        }])
    }

    fn unit(pts: i64, dts: i64, start: Time) -> Unit {
        let time = start + Duration::from_millis(pts as u64);
        let data = Bytes::from_static(b"x");
        Unit { track: TrackId(0), pts, dts, time, duration: 40, key: true, data }
    }

    #[test]
    fn passes_follow_each_other_without_a_gap() {
        let begin = Time::from_secs(100);
        let mut passes = Passes::new(begin);
        let tracks = tracks();
        let (first, due) = passes.place(unit(40, 0, begin), &tracks);
        assert_eq!((first.pts, due), (40, begin));
        passes.place(unit(80, 40, begin), &tracks);
        assert_eq!(passes.finish(Duration::from_millis(90)), Some(Duration::from_millis(30)));
        let (again, due) = passes.place(unit(40, 0, passes.start), &tracks);
        assert_eq!((again.pts, again.dts), (160, 120));
        assert_eq!(due, begin + Duration::from_millis(120));
        assert_eq!(again.time, begin + Duration::from_millis(160));
    }

    #[test]
    fn an_empty_pass_is_the_last_and_a_clock_set_forward_is_followed() {
        let begin = Time::from_secs(100);
        let mut passes = Passes::new(begin);
        assert_eq!(passes.finish(Duration::ZERO), None);
        passes.follow(begin + Duration::from_millis(900));
        assert_eq!(passes.start, begin);
        passes.follow(begin - Duration::from_secs(3_600));
        assert_eq!(passes.start, begin);
        passes.follow(begin + Duration::from_secs(2));
        assert_eq!(passes.start, begin + Duration::from_secs(2));
    }
}
