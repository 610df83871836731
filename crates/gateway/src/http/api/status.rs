//! The node as a whole.

use axum::Json;
use axum::extract::State;
use pegasus_base::Time;
use pegasus_continuous::{DiskStatus, Health, LogStatus, StoreStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::disks::{Care, Spare};
use super::intake::Intake;
use super::mounts::{self, Files};
use crate::http::app::{App, blocking};
use crate::http::error::{ApiError, ErrorBody};

/// How the node is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The program's version.
    version: String,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    started: Time,
    /// Seconds since then.
    uptime_s: u64,
    /// Streams that are live.
    streams: usize,
    /// What the live streams bring in, in bits per second.
    ingest_bps: u64,
    /// Where the console and the API are.
    http_url: String,
    /// Where RTSP is.
    rtsp_url: String,
    store: Store,
    files: Files,
}

/// The store.
#[derive(Debug, Serialize, ToSchema)]
struct Store {
    /// `ok`, `degraded` (a disk is missing, slow, has failed or is being rebuilt, or the disks are over-committed), `full` or `failed`.
    #[schema(value_type = String, example = "ok")]
    health: Health,
    /// What is wrong, unless it is `ok`.
    reason: Option<String>,
    /// Data columns of a full stripe.
    data_columns: u8,
    /// Parity columns of a stripe: as many disks may be lost.
    parity_columns: u8,
    /// Bytes it can hold, parity apart.
    capacity_bytes: u64,
    /// Bytes in use, parity apart.
    used_bytes: u64,
    /// Its disks, in the order of the array.
    disks: Vec<Disk>,
    /// Disks that wait for one of them to fail.
    spares: Vec<Spare>,
    care: Care,
    forecast: Forecast,
    /// What was recorded since the node started.
    ingest: Ingest,
    intake: Intake,
    log: LogCounts,
}

/// What becomes of the room, if recording goes on as in the last ten minutes.
#[derive(Debug, Serialize, ToSchema)]
struct Forecast {
    /// Bytes a second that recordings take of the store.
    fill_bytes_per_s: u64,
    /// When the oldest recordings begin to go for want of room; the present if they do already, `null` if
    /// nothing is recorded.
    #[schema(value_type = Option<String>, format = DateTime)]
    full_at: Option<Time>,
    /// How far recordings reach back then, in seconds; `null` if nothing is recorded.
    keeps_s: Option<u64>,
}

/// One disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disk {
    /// Where it is.
    path: String,
    /// `ok`, `slow` (what it holds is read from the others), `failed`, `missing`,
    /// `rebuilding` or `removing`.
    state: String,
    /// Failed operations and bad checksums since the node started.
    errors: u64,
    /// Bytes read from it since the node started.
    read_bytes: u64,
    /// Bytes written to it since the node started.
    written_bytes: u64,
    /// What a read took of late, in microseconds, if there was one.
    read_us: Option<u64>,
    /// Reads it was spared since the node started, because it was slow.
    shed_reads: u64,
}

/// Counters of recording.
#[derive(Debug, Serialize, ToSchema)]
struct Ingest {
    /// Streams being recorded.
    recorders: u64,
    /// Bytes waiting in memory for the disks.
    queued_bytes: u64,
    /// Units made durable.
    units: u64,
    /// Bytes of coded media made durable.
    bytes: u64,
    /// Units dropped because the disks did not keep up or the store was full.
    dropped_units: u64,
    /// Units dropped because they came too late for the time line.
    late_units: u64,
    /// Commits made.
    commits: u64,
    /// Bytes written by them, with parity, headers and padding.
    written_bytes: u64,
    /// Those of them that are parity.
    parity_bytes: u64,
    /// Longest commit, in microseconds.
    commit_us_max: u64,
}

/// The log of small files, beside the recordings' own segments.
#[derive(Debug, Serialize, ToSchema)]
struct LogCounts {
    /// Its segments.
    segments: u64,
    /// Bytes in them that are in use; the rest is garbage, or written only for the case of a crash.
    live_bytes: u64,
    /// Holes listed in the garbage file.
    garbage_entries: u64,
    /// Checkpoints since the node started.
    checkpoints: u64,
    /// Times the cleaner read the garbage file since the node started.
    cleaner_runs: u64,
    /// Entries of the garbage file it read.
    cleaner_entries_read: u64,
    /// Segments it looked through.
    cleaned_segments: u64,
    /// Bytes it read from them.
    cleaner_read_bytes: u64,
    /// Bytes that were alive and were written anew.
    cleaner_moved_bytes: u64,
    /// Log segments that became free, cleaned or dead by themselves.
    freed_segments: u64,
}

/// How the node is doing.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "node",
    responses((status = 200, body = Status), (status = 401, body = ErrorBody))
)]
pub(crate) async fn get_status(State(app): State<App>) -> Result<Json<Status>, ApiError> {
    let store = app.store.clone();
    let store = blocking(move || Ok::<_, ApiError>(store.status())).await?;
    let files = mounts::report(&app).await?;
    let live = app.switch.streams().into_iter().filter(|stream| stream.live);
    let (streams, ingest_bps) =
        live.fold((0, 0), |(count, sum), stream| (count + 1, sum + stream.bitrate_bps));
    let node = &app.node;
    Ok(Json(Status {
        version: node.version.clone(),
        started: node.started,
        uptime_s: app.clock.now().since(node.started).as_secs(),
        streams,
        ingest_bps,
        http_url: node.http_url.clone(),
        rtsp_url: node.rtsp_url.clone(),
        store: store.into(),
        files: files.into(),
    }))
}

impl From<StoreStatus> for Store {
    fn from(status: StoreStatus) -> Self {
        let ingest = status.ingest;
        Self {
            health: status.health,
            reason: status.reason,
            data_columns: status.data_columns,
            parity_columns: status.parity_columns,
            capacity_bytes: status.capacity_bytes,
            used_bytes: status.used_bytes,
            disks: status.disks.into_iter().map(Disk::from).collect(),
            spares: status.spares.into_iter().map(Spare::from).collect(),
            care: status.care.into(),
            forecast: Forecast {
                fill_bytes_per_s: status.forecast.fill_bytes_per_s,
                full_at: status.forecast.full_at,
                keeps_s: status.forecast.keeps_s,
            },
            ingest: Ingest {
                recorders: ingest.recorders,
                queued_bytes: ingest.queued_bytes,
                units: ingest.units,
                bytes: ingest.bytes,
                dropped_units: ingest.dropped_units,
                late_units: ingest.late_units,
                commits: ingest.commits,
                written_bytes: ingest.written_bytes,
                parity_bytes: ingest.parity_bytes,
                commit_us_max: ingest.commit_us_max,
            },
            intake: status.intake.into(),
            log: status.log.into(),
        }
    }
}

impl From<LogStatus> for LogCounts {
    fn from(log: LogStatus) -> Self {
        Self {
            segments: log.segments,
            live_bytes: log.live_bytes,
            garbage_entries: log.garbage_entries,
            checkpoints: log.checkpoints,
            cleaner_runs: log.cleaner_runs,
            cleaner_entries_read: log.cleaner_entries_read,
            cleaned_segments: log.cleaned_segments,
            cleaner_read_bytes: log.cleaner_read_bytes,
            cleaner_moved_bytes: log.cleaner_moved_bytes,
            freed_segments: log.freed_segments,
        }
    }
}

impl From<DiskStatus> for Disk {
    fn from(disk: DiskStatus) -> Self {
        let DiskStatus { path, state, errors, read_bytes, written_bytes, read_us, shed_reads } =
            disk;
        Self { path, state, errors, read_bytes, written_bytes, read_us, shed_reads }
    }
}
