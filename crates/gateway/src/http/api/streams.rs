//! Streams: those that are live and those of which something is recorded.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use pegasus_base::{StreamName, Time};
use pegasus_circuit::{SinkStatus, StreamStatus};
use pegasus_continuous::RecordedStream;
use pegasus_media::{Kind, Shape, TrackSet, codec_string};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::{App, Named, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::playable::in_mp4;

/// One stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stream {
    #[schema(value_type = String, example = "/cam/door")]
    name: StreamName,
    state: Liveness,
    /// Its tracks: of the live stream, else of what was recorded last.
    tracks: Vec<Track>,
    /// Whether it is being recorded.
    recording: bool,
    /// Bits per second over the last two seconds; 0 while idle.
    bitrate_bps: u64,
    /// Who publishes it.
    publisher: Option<String>,
    /// Capture time of the publisher's first unit.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Units carried since the node started.
    units: u64,
    /// Units that slow viewers lost, summed over all of them.
    lost_units: u64,
    /// Packets that never came from its source.
    lost_packets: u64,
    /// Units left out because a part of them was missing or made no sense.
    damaged_units: u64,
    /// Pictures kept as they came though one before them is missing, up to the next key picture.
    doubtful_units: u64,
    /// Who takes it.
    sinks: Vec<Sink>,
    /// What is recorded of it.
    recorded: Option<Recorded>,
}

/// Whether somebody publishes a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StreamState)]
enum Liveness {
    Live,
    Idle,
}

/// One track.
#[derive(Debug, Serialize, ToSchema)]
struct Track {
    /// Its number in the stream.
    id: u8,
    /// `video` or `audio`.
    #[schema(value_type = String, example = "video")]
    kind: Kind,
    #[schema(example = "h264")]
    codec: &'static str,
    /// The codec as players name it (RFC 6381).
    #[schema(example = "avc1.64001F")]
    codec_string: String,
    /// Pixels across, if known.
    width: Option<u32>,
    /// Pixels down, if known.
    height: Option<u32>,
    /// Channels of sound.
    channels: Option<u16>,
    /// Samples per second of each channel.
    sample_rate: Option<u32>,
    /// Ticks per second of its time stamps.
    clock_rate: u32,
    /// Whether HLS and the live WebSocket have it: browsers don't play every codec.
    browser: bool,
}

/// Somebody who takes a stream.
#[derive(Debug, Serialize, ToSchema)]
struct Sink {
    /// Who.
    label: String,
    /// Units it has taken.
    units: u64,
    /// Units it was too slow for.
    lost_units: u64,
    /// Units that wait for it.
    lag_units: u64,
}

/// What is recorded of a stream.
#[derive(Debug, Serialize, ToSchema)]
struct Recorded {
    /// Bytes of coded media.
    bytes: u64,
    /// Units, of all tracks.
    units: u64,
    /// Time of the oldest unit.
    #[schema(value_type = Option<String>, format = DateTime)]
    first: Option<Time>,
    /// End of the newest durable unit.
    #[schema(value_type = Option<String>, format = DateTime)]
    last: Option<Time>,
}

/// All streams that are live or recorded, by name.
#[utoipa::path(
    get,
    path = "/api/v1/streams",
    tag = "streams",
    responses((status = 200, body = Vec<Stream>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list_streams(State(app): State<App>) -> Result<Json<Vec<Stream>>, ApiError> {
    let live = app.switch.streams();
    let recorded = recorded(&app, None).await?;
    Ok(Json(join(live, recorded)))
}

/// One stream.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}",
    tag = "streams",
    params(("name" = String, Path, description = "Its name", example = "cam/door")),
    responses((status = 200, body = Stream), (status = 404, body = ErrorBody))
)]
pub(crate) async fn get_stream(
    State(app): State<App>,
    Named(name): Named,
) -> Result<Json<Stream>, ApiError> {
    let live = app.switch.status(&name).into_iter().collect();
    let recorded = recorded(&app, Some(name.clone())).await?;
    let stream = join(live, recorded).pop();
    let missing = || ApiError::missing(format!("{name} is not live and nothing is recorded of it"));
    stream.map(Json).ok_or_else(missing)
}

/// What is recorded, with the tracks recorded last where the stream is idle.
async fn recorded(
    app: &App,
    only: Option<StreamName>,
) -> Result<Vec<(RecordedStream, Option<TrackSet>)>, ApiError> {
    let (store, switch) = (app.store.clone(), app.switch.clone());
    blocking(move || {
        let mut streams = store.streams()?;
        streams.retain(|stream| only.as_ref().is_none_or(|name| *name == stream.name));
        let with_tracks = |stream: RecordedStream| {
            let live = switch.status(&stream.name).is_some_and(|status| status.live);
            let at = stream.last.filter(|_| !live);
            // Retention may just have taken the last of it: then there are no tracks to tell.
            let tracks = at.and_then(|at| store.tracks(&stream.name, at).ok());
            (stream, tracks)
        };
        Ok::<_, pegasus_continuous::Error>(streams.into_iter().map(with_tracks).collect())
    })
    .await
}

fn join(live: Vec<StreamStatus>, recorded: Vec<(RecordedStream, Option<TrackSet>)>) -> Vec<Stream> {
    let mut streams: BTreeMap<StreamName, Stream> = BTreeMap::new();
    // A stream that somebody only waits for is not one yet.
    for status in live.into_iter().filter(|status| status.live) {
        streams.insert(status.name.clone(), status.into());
    }
    for (stream, tracks) in recorded {
        let entry = streams.entry(stream.name.clone());
        let entry = entry.or_insert_with(|| Stream::idle(stream.name.clone()));
        entry.recording = stream.recording;
        if let (Liveness::Idle, Some(set)) = (entry.state, tracks) {
            entry.tracks = tracks_of(&set);
        }
        entry.recorded = Some(Recorded {
            bytes: stream.bytes,
            units: stream.units,
            first: stream.first,
            last: stream.last,
        });
    }
    streams.into_values().collect()
}

impl Stream {
    fn idle(name: StreamName) -> Self {
        Self {
            name,
            state: Liveness::Idle,
            tracks: Vec::new(),
            recording: false,
            bitrate_bps: 0,
            publisher: None,
            since: None,
            units: 0,
            lost_units: 0,
            lost_packets: 0,
            damaged_units: 0,
            doubtful_units: 0,
            sinks: Vec::new(),
            recorded: None,
        }
    }
}

impl From<StreamStatus> for Stream {
    fn from(status: StreamStatus) -> Self {
        Self {
            state: Liveness::Live,
            tracks: tracks_of(&status.tracks),
            bitrate_bps: status.bitrate_bps,
            publisher: status.publisher,
            since: status.since,
            units: status.units,
            lost_units: status.lost_units,
            lost_packets: status.damage.lost_packets,
            damaged_units: status.damage.damaged_units,
            doubtful_units: status.damage.doubtful_units,
            sinks: status.sinks.into_iter().map(Sink::from).collect(),
            ..Self::idle(status.name)
        }
    }
}

impl From<SinkStatus> for Sink {
    fn from(sink: SinkStatus) -> Self {
        let SinkStatus { label, units, lost_units, lag_units, .. } = sink;
        Self { label, units, lost_units, lag_units }
    }
}

fn tracks_of(set: &TrackSet) -> Vec<Track> {
    let track = |track: &pegasus_media::Track| {
        let size = track.size();
        let (channels, sample_rate) = match track.shape {
            Shape::Audio { channels, sample_rate } => (Some(channels), Some(sample_rate)),
            Shape::Video { .. } => (None, None),
        };
        Track {
            id: track.id.0,
            kind: track.kind(),
            codec: track.codec.name(),
            codec_string: codec_string(track),
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            channels,
            sample_rate,
            clock_rate: track.clock_rate,
            browser: in_mp4(track.codec),
        }
    };
    set.iter().map(track).collect()
}
