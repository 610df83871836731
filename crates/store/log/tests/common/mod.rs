//! What the tests of the log share.
#![allow(dead_code)] // not every test binary uses everything

pub(crate) mod model;

use std::sync::Arc;

use pegasus_base::{ArrayId, PnodeId, StreamId, Time};
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{
    BlockMap, CheckReport, Checker, FormatOptions, Log, LogError, OpenOptions, Owner, Recovery,
    SegmentRef,
};

/// The time in all tests.
pub(crate) const NOW: Time = Time::from_secs(1_700_000_000);

/// The seed of a test: `PEGASUS_SEED` if it is set. Printed, so that a failure can be repeated.
#[allow(clippy::print_stderr)]
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("PEGASUS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    eprintln!("PEGASUS_SEED={seed}");
    seed
}

/// The disks as the log takes them.
pub(crate) fn given(disks: &[SimDisk]) -> Vec<(String, Option<Arc<dyn Disk>>)> {
    disks.iter().map(|disk| (disk.label(), Some(Arc::new(disk.clone()) as Arc<dyn Disk>))).collect()
}

pub(crate) fn format(disks: &[SimDisk], data: u8, parity: u8, unit_bytes: u32) -> ArrayId {
    let arcs: Vec<Arc<dyn Disk>> = disks.iter().map(|d| Arc::new(d.clone()) as _).collect();
    let options = FormatOptions {
        data,
        parity,
        unit_bytes: Some(unit_bytes),
        label: "test".to_owned(),
        now: NOW,
    };
    Log::format(&arcs, &options, &mut fastrand::Rng::with_seed(7)).unwrap()
}

pub(crate) fn open_given(
    disks: Vec<(String, Option<Arc<dyn Disk>>)>,
    read_only: bool,
) -> Result<(Log, Recovery), LogError> {
    Log::open(disks, &OpenOptions { now: NOW, read_only })
}

pub(crate) fn open(disks: &[SimDisk]) -> Result<(Log, Recovery), LogError> {
    open_given(given(disks), false)
}

pub(crate) fn open_read_only(disks: &[SimDisk]) -> Result<(Log, Recovery), LogError> {
    open_given(given(disks), true)
}

pub(crate) fn owner(number: u64) -> Owner {
    Owner { pnode: PnodeId(100 + number), stream: StreamId(u128::from(number)) }
}

/// Bytes that depend on `seed` alone.
pub(crate) fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// The report of a check in which these segments and blocks are claimed.
pub(crate) fn report(log: &Log, segments: &[SegmentRef], blocks: &[BlockMap]) -> CheckReport {
    let mut checker = Checker::new(log);
    for segment in segments {
        checker.claim(segment, "the test");
    }
    for map in blocks {
        checker.block(map, "the test");
    }
    checker.finish(|owner| owner.stream.to_string())
}

/// Asserts that a check finds nothing wrong.
#[track_caller]
pub(crate) fn check(log: &Log, segments: &[SegmentRef], blocks: &[BlockMap]) {
    let report = report(log, segments, blocks);
    assert!(report.ok, "{:#?}", report.problems);
}
