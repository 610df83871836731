//! Figures for Prometheus, in the OpenMetrics text format. Gathered when they are asked for.

use std::fmt;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pegasus_circuit::StreamStatus;
use pegasus_continuous::{DiskStatus, GuaranteeStatus, Health, StoreStatus, TierStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::api::mounts;
use super::app::{App, blocking};
use super::body::ASK_AGAIN;
use super::error::ApiError;
use crate::FilesReport;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: Family<RequestLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

/// Counts a request by its route, not its path: there are only so many routes.
pub(crate) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("console", MatchedPath::as_str).to_owned();
    let method = request.method().as_str();
    // A method is any word the client likes.
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method);
    let method = if known { method } else { "other" }.to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    app.counters.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    response
}

/// The figures.
pub(crate) async fn get_metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let store = app.store.clone();
    let store = blocking(move || Ok::<_, ApiError>(store.status())).await?;
    let files = mounts::report(&app).await?;
    let store_of = app.store.clone();
    let guarantee = blocking(move || Ok::<_, ApiError>(store_of.guarantee_status())).await?;
    let mut registry = Registry::with_prefix("pegasus");
    let requests = app.counters.requests.clone();
    registry.register("http_requests", "HTTP requests answered", requests);
    registry.register_collector(Box::new(Snapshot {
        store,
        streams: app.switch.streams(),
        uptime_s: app.clock.now().since(app.node.started).as_secs_f64(),
        hls_feeds: app.feeds.len(),
        files,
        guarantee,
        remeasured: app.measuring.status().remeasured,
        tier: app.store.tier_status(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string succeeds");
    let headers = [(header::CONTENT_TYPE, OPEN_METRICS), (header::CACHE_CONTROL, ASK_AGAIN)];
    Ok((headers, text).into_response())
}

/// How everything is at one moment.
#[derive(Debug)]
struct Snapshot {
    store: StoreStatus,
    streams: Vec<StreamStatus>,
    uptime_s: f64,
    hls_feeds: usize,
    files: FilesReport,
    guarantee: Option<GuaranteeStatus>,
    remeasured: u64,
    tier: Option<TierStatus>,
}

type Labels<'a> = [(&'static str, &'a str); 1];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let uptime = ConstGauge::new(self.uptime_s);
        one(&mut encoder, "uptime", "Time since the node started", Some(&Unit::Seconds), &uptime)?;
        let feeds = ConstGauge::new(self.hls_feeds as i64);
        one(&mut encoder, "hls_feeds", "Live streams being cut for HLS", None, &feeds)?;
        self.streams(&mut encoder)?;
        self.store(&mut encoder)?;
        self.files(&mut encoder)?;
        self.intake(&mut encoder)?;
        self.playbacks(&mut encoder)?;
        self.tier(&mut encoder)?;
        self.disks(&mut encoder)
    }
}

impl Snapshot {
    fn streams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, value: fn(&StreamStatus) -> u64| {
            let values = self.streams.iter().map(|s| ([("stream", s.name.as_str())], value(s)));
            many(encoder, name, help, None, values.map(|(l, v)| (l, ConstGauge::new(v as i64))))
        };
        gauge("stream_live", "Whether somebody publishes the stream", |s| u64::from(s.live))?;
        gauge("stream_bitrate_bps", "Bits per second", |s| s.bitrate_bps)?;
        gauge("stream_sinks", "Who takes the stream", |s| s.sinks.len() as u64)?;
        let mut counter = |name, help, value: fn(&StreamStatus) -> u64| {
            let values = self.streams.iter().map(|s| ([("stream", s.name.as_str())], value(s)));
            many(encoder, name, help, None, values.map(|(l, v)| (l, ConstCounter::new(v))))
        };
        counter("stream_units", "Units carried", |s| s.units)?;
        counter("stream_lost_units", "Units that slow sinks lost", |s| s.lost_units)?;
        let text = "Packets that never came from the source";
        counter("stream_lost_packets", text, |s| s.damage.lost_packets)?;
        let text = "Units left out because a part of them was missing";
        counter("stream_damaged_units", text, |s| s.damage.damaged_units)?;
        let text = "Pictures kept though one they may refer to is missing";
        counter("stream_doubtful_units", text, |s| s.damage.doubtful_units)
    }

    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (store, ingest, log) = (&self.store, &self.store.ingest, &self.store.log);
        let writable = matches!(store.health, Health::Ok | Health::Degraded);
        let spares = store.spares.len() as u64;
        let gauges: [(&str, &str, Option<&Unit>, u64); 10] = [
            ("store_writable", "Whether the store takes recordings", None, u64::from(writable)),
            ("store_capacity", "What the store can hold", Some(&Unit::Bytes), store.capacity_bytes),
            ("store_used", "What is in use", Some(&Unit::Bytes), store.used_bytes),
            (
                "store_fill_per_second",
                "What recordings take of the store in a second, of late",
                Some(&Unit::Bytes),
                store.forecast.fill_bytes_per_s,
            ),
            ("spare_disks", "Disks that wait for one to fail", None, spares),
            ("recorders", "Streams being recorded", None, ingest.recorders),
            ("ingest_queued", "Waiting for the disks", Some(&Unit::Bytes), ingest.queued_bytes),
            ("log_segments", "Segments of the log", None, log.segments),
            ("log_live", "In use in the log", Some(&Unit::Bytes), log.live_bytes),
            ("log_garbage_entries", "Holes in the garbage file", None, log.garbage_entries),
        ];
        for (name, help, unit, value) in gauges {
            one(encoder, name, help, unit, &ConstGauge::new(value as i64))?;
        }
        let care = &store.care;
        let (done, total) =
            care.work.as_ref().map_or((0, 0), |work| (work.slots_done, work.slots_total));
        let text = "Slots a rebuild or scrub has gone over";
        one(encoder, "disk_work_done_slots", text, None, &ConstGauge::new(done as i64))?;
        let text = "Slots a rebuild or scrub goes over";
        one(encoder, "disk_work_slots", text, None, &ConstGauge::new(total as i64))?;
        let counters: [(&str, &str, Option<&Unit>, u64); 15] = [
            ("ingest_units", "Units made durable", None, ingest.units),
            ("ingest", "Coded media made durable", Some(&Unit::Bytes), ingest.bytes),
            (
                "ingest_dropped_units",
                "Units the disks were too slow for",
                None,
                ingest.dropped_units,
            ),
            ("ingest_late_units", "Units that came too late", None, ingest.late_units),
            ("commits", "Commits", None, ingest.commits),
            ("commit_written", "Written by commits", Some(&Unit::Bytes), ingest.written_bytes),
            ("commit_parity", "Parity written", Some(&Unit::Bytes), ingest.parity_bytes),
            ("segments_freed", "Segments freed", None, ingest.freed_segments),
            ("log_segments_freed", "Log segments freed", None, log.freed_segments),
            ("cleaner_entries_read", "Garbage entries read", None, log.cleaner_entries_read),
            ("cleaner_read", "Read to clean", Some(&Unit::Bytes), log.cleaner_read_bytes),
            ("cleaner_moved", "Alive and moved", Some(&Unit::Bytes), log.cleaner_moved_bytes),
            ("repaired_fragments", "Fragments written anew", None, care.repaired_fragments),
            ("lost_blocks", "Blocks of which too little was left", None, care.lost_blocks),
            ("refused_repairs", "Repairs a disk did not keep", None, care.refused_repairs),
        ];
        for (name, help, unit, value) in counters {
            one(encoder, name, help, unit, &ConstCounter::new(value))?;
        }
        let longest = ConstGauge::new(ingest.commit_us_max as f64 / 1e6);
        one(encoder, "commit_max", "Longest commit", Some(&Unit::Seconds), &longest)
    }

    fn files(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let FilesReport { mounts, free_bytes, pending_bytes, snapshots, trouble } = &self.files;
        let mut gauge = |name, help, unit: Option<&Unit>, value: u64| {
            one(encoder, name, help, unit, &ConstGauge::new(value as i64))
        };
        gauge("files_mounts", "Directories the files are mounted on", None, mounts.len() as u64)?;
        gauge("files_snapshots", "Snapshots of the files", None, *snapshots)?;
        let text = "Changes to files that are not on disk yet";
        gauge("files_pending", text, Some(&Unit::Bytes), *pending_bytes)?;
        let text = "Whether changes to files can be written";
        gauge("files_writable", text, None, u64::from(trouble.is_none()))?;
        match free_bytes {
            Some(free) => gauge("files_free", "What can be written", Some(&Unit::Bytes), *free),
            None => Ok(()),
        }
    }

    fn intake(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let intake = &self.store.intake;
        let shares = [
            ("recording_takes_ratio", "Disk time that recordings take", intake.takes_percent),
            ("recording_limit_ratio", "Disk time that they may take", intake.limit_percent),
        ];
        for (name, help, percent) in shares {
            if let Some(percent) = percent {
                one(encoder, name, help, None, &ConstGauge::new(percent / 100.0))?;
            }
        }
        let (text, over) = ("Whether they take more than that", intake.is_overcommitted());
        one(encoder, "recordings_overcommitted", text, None, &ConstGauge::new(i64::from(over)))?;
        let exceeding = ConstGauge::new(intake.exceeding.len() as i64);
        let text = "Streams that write more than was said";
        one(encoder, "recordings_exceeding", text, None, &exceeding)?;
        let refused = ConstCounter::new(intake.refused);
        one(encoder, "recordings_refused", "Recordings refused", None, &refused)
    }

    fn playbacks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let text = "How often disks were measured anew, as they were slower than they should be";
        let remeasured = ConstCounter::new(self.remeasured);
        one(encoder, "disks_remeasured", text, None, &remeasured)?;
        let Some(status) = &self.guarantee else { return Ok(()) };
        let playing = ConstGauge::new(status.playbacks.len() as i64);
        one(encoder, "playbacks", "Playbacks that are promised", None, &playing)?;
        let waiting = ConstGauge::new(status.waiting as i64);
        one(encoder, "playbacks_waiting", "Playbacks that wait for a promise", None, &waiting)?;
        let gauges = [
            ("playback_promised_ratio", "Disk time that is promised", status.promised_percent),
            ("playback_recording_ratio", "Disk time of recordings", status.recording_percent),
            (
                "playback_aside_ratio",
                "Disk time kept for playbacks by key units and backwards",
                status.aside_percent,
            ),
        ];
        for (name, help, percent) in gauges {
            one(encoder, name, help, None, &ConstGauge::new(percent / 100.0))?;
        }
        let slowdown = ConstGauge::new(status.slowdown);
        let text = "How many times as long as their profiles say the disks take";
        one(encoder, "playback_disk_slowdown", text, None, &slowdown)?;
        let text = "Blocks that were not there when a viewer wanted them";
        let counters = [
            ("playbacks_admitted", "Playbacks admitted", status.admitted),
            ("playbacks_refused", "Playbacks refused", status.refused),
            ("playbacks_withdrawn", "Promises taken back", status.withdrawn),
            ("playback_batches", "Batches of reads", status.batches),
            ("playback_late_batches", "Batches not done in time", status.late_batches),
            ("playback_late_blocks", text, status.late_blocks),
        ];
        for (name, help, value) in counters {
            one(encoder, name, help, None, &ConstCounter::new(value))?;
        }
        Ok(())
    }

    fn tier(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tier) = &self.tier else { return Ok(()) };
        let troubles = [&tier.out.trouble, &tier.back.trouble, &tier.trouble];
        let reachable = troubles.iter().all(|trouble| trouble.is_none());
        let bytes = Some(&Unit::Bytes);
        let gauges: [(&str, &str, Option<&Unit>, u64); 8] = [
            ("tier_reachable", "Whether the tier took the last of all", None, u64::from(reachable)),
            ("tier_out_segments", "Segments that are out", None, tier.out_segments.unwrap_or(0)),
            ("tier_out", "What is out", bytes, tier.out_bytes.unwrap_or(0)),
            ("tier_leaving", "Asked to go out and waiting", bytes, tier.out.waiting_bytes),
            ("tier_returning", "Asked to come back and waiting", bytes, tier.back.waiting_bytes),
            ("tier_dead_objects", "Objects to be deleted", None, tier.dead_objects),
            ("tier_unknown_objects", "Objects of no known recording", None, tier.unknown_objects),
            ("tier_missing_objects", "Segments without their object", None, tier.missing_objects),
        ];
        for (name, help, unit, value) in gauges {
            one(encoder, name, help, unit, &ConstGauge::new(value as i64))?;
        }
        let counters: [(&str, &str, Option<&Unit>, u64); 6] = [
            ("tier_moved_out", "Moved out", bytes, tier.out.bytes),
            ("tier_brought_back", "Brought back", bytes, tier.back.bytes),
            ("tier_out_failures", "Attempts to move out that failed", None, tier.out.failures),
            ("tier_in_failures", "Attempts to bring back that failed", None, tier.back.failures),
            ("tier_read_blocks", "Blocks readers took from the tier", None, tier.read_blocks),
            ("tier_deleted_objects", "Objects deleted", None, tier.deleted_objects),
        ];
        for (name, help, unit, value) in counters {
            one(encoder, name, help, unit, &ConstCounter::new(value))?;
        }
        Ok(())
    }

    fn disks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let disks = &self.store.disks;
        let mut gauge = |name, help, value: fn(&DiskStatus) -> bool| {
            let values = disks.iter().map(|d| ([("disk", d.path.as_str())], i64::from(value(d))));
            many(encoder, name, help, None, values.map(|(l, v)| (l, ConstGauge::new(v))))
        };
        let works = |d: &DiskStatus| matches!(d.state.as_str(), "ok" | "slow");
        gauge("disk_ok", "Whether the disk works", works)?;
        gauge("disk_slow", "Whether the disk is slow", |d| d.state == "slow")?;
        let read = |d: &DiskStatus| d.read_us.unwrap_or(0) as f64 / 1e6;
        let values = disks.iter().map(|d| ([("disk", d.path.as_str())], read(d)));
        let values = values.map(|(labels, value)| (labels, ConstGauge::new(value)));
        many(encoder, "disk_read_time", "What a read took of late", Some(&Unit::Seconds), values)?;
        let mut counter = |name, help, unit: Option<&Unit>, value: fn(&DiskStatus) -> u64| {
            let values = disks.iter().map(|d| ([("disk", d.path.as_str())], value(d)));
            many(encoder, name, help, unit, values.map(|(l, v)| (l, ConstCounter::new(v))))
        };
        counter("disk_errors", "Failed operations and bad checksums", None, |d| d.errors)?;
        counter("disk_shed_reads", "Reads it was spared", None, |d| d.shed_reads)?;
        counter("disk_read", "Read", Some(&Unit::Bytes), |d| d.read_bytes)?;
        counter("disk_written", "Written", Some(&Unit::Bytes), |d| d.written_bytes)
    }
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// One figure of many things.
fn many<'a, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: impl Iterator<Item = (Labels<'a>, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut each = encoder.encode_descriptor(name, help, unit, first.metric_type())?;
    for (labels, metric) in values {
        metric.encode(each.encode_family(&labels)?)?;
    }
    Ok(())
}
