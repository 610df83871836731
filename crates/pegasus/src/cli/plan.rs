//! What can be said to `pegasus plan` and `pegasus simulate`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use pegasus_base::{BitRate, ByteSize, parse_duration};

/// Disks, media, and how they are cut. What is left out is looked for.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// What the disks can do, see `pegasus disk profile`; several are taken by turns
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) profile: Vec<PathBuf>,
    /// A medium: its rate, on how many disks a block of it lies, and how often it is wanted beside others
    #[arg(long, value_name = "NAME=RATE[,width=N][,share=X]", num_args = 1..)]
    pub(crate) media: Vec<MediaArg>,
    /// How many disks. Default: as many as profiles, or as disks named with --on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) disks: Option<u32>,
    /// Length of the first medium's blocks; others' are in proportion to rate
    #[arg(long, value_name = "BYTES")]
    pub(crate) block: Option<ByteSize>,
    /// Groups in a period
    #[arg(long, value_name = "NUMBER")]
    pub(crate) groups: Option<u32>,
    /// Intervals in which a group's reads are made, 1 to groups: more let groups lend each other time, and begin later
    #[arg(long, value_name = "NUMBER")]
    pub(crate) window: Option<u32>,
    /// Logical zones that each disk is cut into
    #[arg(long, value_name = "NUMBER")]
    pub(crate) zones: Option<usize>,
    /// How blocks lie in several zones
    #[arg(long, value_enum, default_value_t = Zoning::Fixb)]
    pub(crate) zoning: Zoning,
    /// By how many disks a block begins after the one before it
    #[arg(long, value_name = "NUMBER")]
    pub(crate) stride: Option<u32>,
    /// What is done about a disk that fails
    #[arg(long, value_enum, default_value_t = Degraded::None)]
    pub(crate) degraded: Degraded,
    /// Begin within this on average, a tenth of the places being left. Default: as many playbacks as can be
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) startup: Option<Duration>,
    /// Go on early when the disks are done, with viewers who hold between so many blocks, and skip what would be more. Default: the least that work
    #[arg(long, value_name = "LOW,HIGH", num_args = 0..=1)]
    pub(crate) work_ahead: Option<Option<MarksArg>>,
}

/// Who comes, and for how long the disks run.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// So many viewers, each wanting something else as soon as what he saw has ended. Default: as many as are planned
    #[arg(long, value_name = "NUMBER", conflicts_with = "poisson")]
    pub(crate) closed: Option<u32>,
    /// Viewers that come by chance, so many in an hour
    #[arg(long, value_name = "PER_HOUR")]
    pub(crate) poisson: Option<f64>,
    /// How long everything is that they want to see. Default: 10m; with --on 30s, or four periods
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) length: Option<Duration>,
    /// How long the disks run, in their own time. Default: 2h; with --on 2m, or eight periods
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// A disk that fails halfway, by number from 0
    #[arg(long, value_name = "DISK")]
    pub(crate) fail: Option<u32>,
    /// Viewers who are about to begin the same share one playback
    #[arg(long)]
    pub(crate) merge: bool,
    /// How many objects of each medium there are to be seen. Default: 100 with --merge, else nothing is wanted twice
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) objects: Option<u32>,
    /// How much more popular the first ones are, by Zipf: the n-th is wanted n to the power of this times less. 0: all alike
    #[arg(long, value_name = "EXPONENT", default_value_t = 1.0)]
    pub(crate) skew: f64,
    /// From what all chance is drawn: the same number, the same run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Besides, run it on these disks, files or devices, in real time: they are read where blocks would lie, and nothing is written. Each is as
    /// long as its profile at least
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "work_ahead")]
    pub(crate) on: Vec<PathBuf>,
    /// Nothing of the above: be one such disk, in real time, as a file for other programs, until stopped. The content stays in the file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["media", "closed", "poisson", "fail", "work_ahead", "merge", "objects", "on"])]
    pub(crate) export: Option<PathBuf>,
    /// Size of the disk that is exported. Default: the profile's
    #[arg(long, value_name = "BYTES", requires = "export")]
    pub(crate) size: Option<ByteSize>,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| format!("'{text}' is no duration (write 500ms, 2s or 1h30m)"))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Degraded {
    /// There is no parity
    None,
    /// There is parity; when a disk fails the newest playbacks may have to go
    Shed,
    /// There is parity, and its reading is reserved for: everybody keeps his rate
    Keep,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Zoning {
    /// All as long; zones are read by turns, a period each
    Fixb,
    /// As long as their zone is fast; all zones are read in each period
    Varb,
}

/// The water marks of `--work-ahead`, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MarksArg {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl FromStr for MarksArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |part: &str| part.trim().parse().ok();
        let marks = text.split_once(',').and_then(|(low, high)| Some((read(low)?, read(high)?)));
        let (low, high) = marks
            .ok_or_else(|| format!("'{text}' is not LOW,HIGH: two numbers of blocks, as 1,8"))?;
        Ok(Self { low, high })
    }
}

/// One `--media`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaArg {
    pub(crate) name: String,
    pub(crate) rate: BitRate,
    pub(crate) width: Option<u32>,
    pub(crate) share: f64,
}

impl FromStr for MediaArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape =
            || format!("'{text}' is not NAME=RATE[,width=N][,share=X], as camera=4M,width=2");
        let (name, rest) = text.split_once('=').ok_or_else(shape)?;
        let mut parts = rest.split(',');
        let rate: BitRate =
            parts.next().unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
        if name.is_empty() || rate.0 == 0 {
            return Err(shape());
        }
        let mut media = Self { name: name.to_owned(), rate, width: None, share: 1.0 };
        for part in parts {
            match part.split_once('=') {
                Some(("width", width)) => media.width = Some(width.parse().map_err(|_| shape())?),
                Some(("share", share)) => media.share = share.parse().map_err(|_| shape())?,
                _ => return Err(shape()),
            }
        }
        if media.width == Some(0) || !(media.share >= 0.0 && media.share.is_finite()) {
            return Err(shape());
        }
        Ok(media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_two_numbers_of_blocks() {
        assert_eq!("1, 8".parse(), Ok(MarksArg { low: 1, high: 8 }));
        for text in ["", "1", "1,", "1,2,3", "-1,8", "a,b"] {
            assert!(text.parse::<MarksArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn media_read_as_people_write_them() {
        let media: MediaArg = "camera=4M,width=2,share=0.5".parse().unwrap();
        let rate = BitRate(4_000_000);
        assert_eq!(media, MediaArg { name: "camera".to_owned(), rate, width: Some(2), share: 0.5 });
        assert_eq!("cd=1411200".parse::<MediaArg>().unwrap().rate, BitRate(1_411_200));
        for text in [
            "",
            "camera",
            "=4M",
            "a=0",
            "a=4M,width=0",
            "a=4M,share=-1",
            "a=4M,share=NaN",
            "a=4M,depth=1",
        ] {
            assert!(text.parse::<MediaArg>().is_err(), "{text}");
        }
    }
}
