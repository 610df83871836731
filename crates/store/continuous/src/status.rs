//! What there is and how it is doing, for status pages, the API and metrics.

use std::sync::atomic::Ordering::Relaxed;

use pegasus_base::{StreamId, StreamName, Time};
use pegasus_log::DiskState;
use serde::{Deserialize, Serialize};

use crate::care::CareStatus;
use crate::forecast::{Forecast, Room};
use crate::guarantee::IntakeStatus;
use crate::hot_spares::SpareStatus;
use crate::inner::Inner;

/// A gap-free interval of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Time of its first unit.
    pub start: Time,
    /// End of its last durable unit.
    pub end: Time,
    /// Bytes of coded media in it.
    pub bytes: u64,
    /// Units in it, of all tracks.
    pub units: u64,
}

/// All that is recorded of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedStream {
    /// Its name.
    pub name: StreamName,
    /// Its identity; stays when names change.
    pub id: StreamId,
    /// Bytes of coded media kept.
    pub bytes: u64,
    /// Units kept, of all tracks.
    pub units: u64,
    /// Time of the oldest unit kept.
    pub first: Option<Time>,
    /// End of the newest durable unit.
    pub last: Option<Time>,
    /// Whether a recorder is open on it.
    pub recording: bool,
}

/// Whether the store can take recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    Ok,
    /// It records, but a disk is missing, slow, has failed or is being rebuilt, or the disks are over-committed.
    Degraded,
    /// There is no room, and nothing left that may be deleted.
    Full,
    /// It can't be written, or not at present; what is recorded may still be read.
    Failed,
}

/// State of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Where it is.
    pub path: String,
    /// `ok`, `slow`, `failed`, `missing` or `rebuilding`.
    pub state: String,
    /// Errors met on it since the store was opened: failed operations and bad checksums.
    pub errors: u64,
    /// Bytes read from it since the store was opened.
    pub read_bytes: u64,
    /// Bytes written to it since the store was opened.
    pub written_bytes: u64,
    /// What a read took of late, in microseconds, if there was one.
    pub read_us: Option<u64>,
    /// Reads it was spared since the store was opened, because it was slow.
    pub shed_reads: u64,
}

/// State of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Whether it can take recordings.
    pub health: Health,
    /// What is wrong, as a sentence, unless `health` is `ok`.
    pub reason: Option<String>,
    /// Data columns of a full stripe.
    pub data_columns: u8,
    /// Parity columns of a stripe: as many disks may be lost.
    pub parity_columns: u8,
    /// Bytes it can hold, parity apart.
    pub capacity_bytes: u64,
    /// Bytes in use, parity apart.
    pub used_bytes: u64,
    /// Its disks, in the order of the array.
    pub disks: Vec<DiskStatus>,
    /// Disks that wait for one of these to fail.
    pub spares: Vec<SpareStatus>,
    /// What is done for them.
    pub care: CareStatus,
    /// When it will be full.
    pub forecast: Forecast,
    /// What comes in.
    pub ingest: IngestStatus,
    /// Whether the disks can take what comes in.
    pub intake: IntakeStatus,
    /// The log, and how it is cleaned.
    pub log: LogStatus,
}

/// The log of small files, beside the recordings' own segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Its segments.
    pub segments: u64,
    /// Bytes in them that are in use; the rest is garbage, or written only for the case of a crash.
    pub live_bytes: u64,
    /// Holes listed in the garbage file.
    pub garbage_entries: u64,
    /// Checkpoints since the store was opened.
    pub checkpoints: u64,
    /// Times the cleaner read the garbage file since the store was opened.
    pub cleaner_runs: u64,
    /// Entries of the garbage file it read.
    pub cleaner_entries_read: u64,
    /// Segments it looked through.
    pub cleaned_segments: u64,
    /// Bytes it read from them.
    pub cleaner_read_bytes: u64,
    /// Bytes that were alive and were written anew.
    pub cleaner_moved_bytes: u64,
    /// Log segments that became free, cleaned or dead by themselves.
    pub freed_segments: u64,
}

/// Counters of what has been recorded since the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestStatus {
    /// Open recorders.
    pub recorders: u64,
    /// Bytes waiting in memory for the disks.
    pub queued_bytes: u64,
    /// Units made durable.
    pub units: u64,
    /// Bytes of coded media made durable.
    pub bytes: u64,
    /// Units dropped because the disks did not keep up or the store was full.
    pub dropped_units: u64,
    /// Units that came too late for the time line and were dropped.
    pub late_units: u64,
    /// Commits made.
    pub commits: u64,
    /// Bytes written to the disks by commits, with parity, headers and padding.
    pub written_bytes: u64,
    /// Those of them that are parity.
    pub parity_bytes: u64,
    /// Longest commit so far, in microseconds.
    pub commit_us_max: u64,
    /// Segments freed by retention and deletion.
    pub freed_segments: u64,
}

/// How one recorder is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderStatus {
    /// Bytes waiting in memory for the disks.
    pub queued_bytes: u64,
    /// Units dropped so far because the disks did not keep up or the store failed.
    pub dropped_units: u64,
    /// Why nothing can be recorded at present, as a sentence.
    pub trouble: Option<String>,
}

/// The state of the store at present.
pub(crate) fn of(inner: &Inner) -> StoreStatus {
    let log = inner.log.status();
    let (failed, last, full) = {
        let health = inner.health.lock();
        let failed = health.failed.clone().or_else(|| log.poisoned.clone());
        (failed, health.last.clone(), health.full)
    };
    let disk = |disk: &pegasus_log::DiskStatus| DiskStatus {
        path: disk.path.clone(),
        state: match disk.state {
            DiskState::Ok => "ok",
            DiskState::Failed => "failed",
            DiskState::Missing => "missing",
            DiskState::Rebuilding => "rebuilding",
            DiskState::Slow => "slow",
            DiskState::Leaving | DiskState::Removed => "removing",
        }
        .to_owned(),
        errors: disk.errors,
        read_bytes: disk.read_bytes,
        written_bytes: disk.written_bytes,
        read_us: disk.read_us,
        shed_reads: disk.shed_reads,
    };
    let disks: Vec<DiskStatus> = log.disks.iter().map(disk).collect();
    let unwell = disks.iter().filter(|disk| disk.state != "ok");
    let bad: Vec<String> = unwell.map(|disk| format!("{} is {}", disk.path, disk.state)).collect();
    let intake = inner.intake_status();
    let trouble = intake.trouble();
    let (health, reason) = match (failed, full) {
        (Some(why), _) => (Health::Failed, Some(why)),
        (None, true) => (Health::Full, last),
        (None, false) if last.is_some() => (Health::Failed, last),
        (None, false) if !bad.is_empty() => {
            (Health::Degraded, Some(format!("not all disks are well: {}", bad.join(", "))))
        }
        (None, false) if trouble.is_some() => (Health::Degraded, trouble),
        (None, false) => (Health::Ok, None),
    };
    StoreStatus {
        health,
        reason,
        data_columns: log.data,
        parity_columns: log.parity,
        capacity_bytes: log.capacity_bytes,
        used_bytes: log.used_bytes,
        disks,
        spares: inner.care.spares.lock().status(),
        care: inner.care.status(),
        forecast: forecast(inner, &log),
        ingest: ingest(inner),
        intake,
        log: log_status(&log),
    }
}

fn forecast(inner: &Inner, log: &pegasus_log::LogStatus) -> Forecast {
    let keep_free = inner.settings().retention.free_bytes(log.capacity_bytes);
    let free = log.free_bytes.saturating_sub(log.promised_bytes);
    let others = log.log_live_bytes.saturating_add(keep_free);
    let room = Room {
        free_bytes: free.saturating_sub(keep_free),
        whole_bytes: log.capacity_bytes.saturating_sub(others),
    };
    inner.meter.lock().forecast(inner.clock.now(), room)
}

fn log_status(log: &pegasus_log::LogStatus) -> LogStatus {
    LogStatus {
        segments: log.log_segments,
        live_bytes: log.log_live_bytes,
        garbage_entries: log.garbage_entries,
        checkpoints: log.checkpoints,
        cleaner_runs: log.cleaner.runs,
        cleaner_entries_read: log.cleaner.entries_read,
        cleaned_segments: log.cleaner.segments,
        cleaner_read_bytes: log.cleaner.read_bytes,
        cleaner_moved_bytes: log.cleaner.moved_bytes,
        freed_segments: log.cleaner.freed_segments,
    }
}

fn ingest(inner: &Inner) -> IngestStatus {
    let counters = &inner.counters;
    let streams = inner.all_streams();
    let dropped: u64 = streams.iter().map(|s| s.queue(|queue| queue.take_uncounted())).sum();
    counters.dropped_units.fetch_add(dropped, Relaxed);
    let mut status = IngestStatus {
        recorders: 0,
        queued_bytes: 0,
        units: counters.units.load(Relaxed),
        bytes: counters.bytes.load(Relaxed),
        dropped_units: counters.dropped_units.load(Relaxed),
        late_units: counters.late_units.load(Relaxed),
        commits: counters.commits.load(Relaxed),
        written_bytes: counters.written_bytes.load(Relaxed),
        parity_bytes: counters.parity_bytes.load(Relaxed),
        commit_us_max: counters.commit_us_max.load(Relaxed),
        freed_segments: counters.freed_segments.load(Relaxed),
    };
    for stream in streams {
        stream.queue(|queue| {
            status.recorders += u64::from(queue.is_attached());
            status.queued_bytes += queue.held_bytes();
        });
    }
    status
}
