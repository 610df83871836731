//! `pegasus plan`: how many playbacks disks can keep, and how they are to be cut for it.

pub(super) mod shown;

use pegasus_disk::Profile;
use pegasus_mitra::{Degraded, Goal, Media, Plan, WaterMarks, Wish, Zoning, plan};

use crate::cli::plan::{Degraded as Policy, MarksArg, Plan as Args, Zoning as Blocks};
use crate::{Failure, output};

pub(crate) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let (_, plan) = planned(args, None)?;
    if json { output::json(&shown::json(&plan)) } else { shown::table(&plan) }
}

/// A plan for what was asked, and what was asked. There are `there` disks if nothing else was said, or as many as profiles.
pub(super) fn planned(args: &Args, there: Option<u32>) -> Result<(Wish, Plan), Failure> {
    let wish = wish(args, there)?;
    let plan = plan(&wish)?;
    let marks = match args.work_ahead {
        None => return Ok((wish, plan)),
        Some(None) => WaterMarks::least(&plan.shape),
        Some(Some(MarksArg { low, high })) => WaterMarks::new(&plan.shape, low, high)?,
    };
    Ok((wish, plan.with_work_ahead(marks)))
}

fn wish(args: &Args, there: Option<u32>) -> Result<Wish, Failure> {
    let profiles = args.profile.iter().map(|path| profile(path));
    let profiles = profiles.collect::<Result<Vec<_>, Failure>>()?;
    if args.media.is_empty() {
        return Err(Failure::new(
            "what is to be played? Say it with --media, as --media camera=4M",
        ));
    }
    let media = args.media.iter().map(|arg| {
        let media = Media { name: arg.name.clone(), rate_bps: arg.rate.0, width: 1, pieces: 1 };
        (media, arg.width)
    });
    let disks = there.unwrap_or(u32::try_from(profiles.len()).unwrap_or(u32::MAX));
    if args.media.iter().all(|media| media.share == 0.0) {
        return Err(Failure::new("all media have a share of 0: give one of them more"));
    }
    Ok(Wish {
        disks: args.disks.unwrap_or(disks),
        media: media.collect(),
        shares: args.media.iter().map(|media| media.share).collect(),
        degraded: match args.degraded {
            Policy::None => Degraded::None,
            Policy::Shed => Degraded::Shed,
            Policy::Keep => Degraded::Keep,
        },
        goal: args.startup.map_or(Goal::Most, |startup| Goal::Startup {
            within_ns: u64::try_from(startup.as_nanos()).unwrap_or(u64::MAX),
        }),
        period_ns: args.block.map(|block| block_ns(block.bytes(), args.media[0].rate.0)),
        groups: args.groups,
        window: args.window,
        zones: args.zones,
        zoning: match args.zoning {
            Blocks::Fixb => Zoning::Fixb,
            Blocks::Varb => Zoning::Varb,
        },
        stride: args.stride,
        profiles,
    })
}

pub(super) fn profile(path: &std::path::Path) -> Result<Profile, Failure> {
    let named = |error: String| Failure::new(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    text.parse::<Profile>().map_err(|error| named(error.to_string()))
}

/// How long a block of `bytes` is shown.
fn block_ns(bytes: u64, rate_bps: u64) -> u64 {
    let ns = u128::from(bytes) * 8_000_000_000 / u128::from(rate_bps);
    u64::try_from(ns).unwrap_or(u64::MAX)
}
