//! Names of the files below `/hls/{name}/`. Pure.

use pegasus_base::{Time, TimeRange};

/// A file that a playlist names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// `index.m3u8`: the list to begin with, live or of a range.
    Index,
    /// `live.m3u8`: the segments of the live stream.
    LiveList,
    /// `init-0.mp4`
    LiveInit(u64),
    /// `seg-12.m4s`
    LiveSegment(u64),
    /// `part-12-3.m4s`
    LivePart(u64, u64),
    /// `vod.m3u8`: the segments of a recorded range.
    RecordedList,
    /// `vod-init-1000.mp4`: tracks at a time in nanoseconds.
    RecordedInit(Time),
    /// `vod-1000-2000-900-7.m4s`: start and end of the segment, origin of media time, fingerprint of the
    /// tracks where the list knows it.
    RecordedSegment(TimeRange, Time, Option<u32>),
}

impl File {
    /// The file called `name`; `None` if no list names such a file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "index.m3u8" => return Some(Self::Index),
            "live.m3u8" => return Some(Self::LiveList),
            "vod.m3u8" => return Some(Self::RecordedList),
            _ => {}
        }
        if let Some(numbers) = name.strip_suffix(".mp4") {
            let live = || Some(Self::LiveInit(numbers.strip_prefix("init-")?.parse().ok()?));
            let recorded = || Some(Self::RecordedInit(time(numbers.strip_prefix("vod-init-")?)?));
            return live().or_else(recorded);
        }
        let mut words = name.strip_suffix(".m4s")?.split('-');
        let file = match words.next()? {
            "seg" => Self::LiveSegment(words.next()?.parse().ok()?),
            "part" => Self::LivePart(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "vod" => {
                let range = TimeRange::new(time(words.next()?)?, time(words.next()?)?);
                let origin = time(words.next()?)?;
                let tracks = words.next().map(str::parse).transpose().ok()?;
                Self::RecordedSegment(range, origin, tracks)
            }
            _ => return None,
        };
        words.next().is_none().then_some(file)
    }
}

fn time(ns: &str) -> Option<Time> {
    ns.parse().ok().map(Time::from_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_of_both_lists() {
        let t = Time::from_ns;
        for (name, file) in [
            ("init-0.mp4", Some(File::LiveInit(0))),
            ("seg-12.m4s", Some(File::LiveSegment(12))),
            ("part-12-3.m4s", Some(File::LivePart(12, 3))),
            ("vod-init-77.mp4", Some(File::RecordedInit(t(77)))),
            ("vod-1-2-3.m4s", Some(File::RecordedSegment(TimeRange::new(t(1), t(2)), t(3), None))),
            (
                "vod-1-2-3-4.m4s",
                Some(File::RecordedSegment(TimeRange::new(t(1), t(2)), t(3), Some(4))),
            ),
            ("vod-1-2-3-4-5.m4s", None),
            ("seg-12-1.m4s", None),
            ("seg--1.m4s", None),
            ("vod-1-2.m4s", None),
            ("init-.mp4", None),
            ("film.mp4", None),
        ] {
            assert_eq!(File::parse(name), file, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_a_file_or_not(name in "(init|seg|part|vod|index)?[-a-z0-9.]{0,40}(m3u8|.m4s|.mp4)?") {
            let _ = File::parse(&name);
        }
    }
}
