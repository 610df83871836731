//! Promised playbacks: asking for one, changing, renewing and ending it.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::StreamName;
use pegasus_continuous::{GuaranteeStatus, PlaybackStatus, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::app::{App, BodyOf, Numbered, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::playbacks::{Absent, EXPIRES, Lease};
use crate::http::query::Between;
use crate::http::waiting;
use crate::{Measurement, MeasuringStatus, PromiseState};

/// How long an answer waits at most until enough was read ahead to begin at once, and how often that is looked at.
const SETTLED_WITHIN: Duration = Duration::from_millis(100);
const SETTLES_EVERY: Duration = Duration::from_millis(10);
/// Streams played together at most.
const STREAMS_MAX: usize = 64;
/// How fast anything is played at most.
const SCALE_MAX: f64 = 64.0;

/// Recordings to be played in step.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The streams, one to 64: all of them are promised, or none.
    #[schema(value_type = Vec<String>, example = json!(["/cam/door", "/cam/yard"]))]
    streams: Vec<StreamName>,
    /// From when on: RFC 3339, `now` or `-10m`. Left out: from the beginning.
    #[schema(example = "2026-11-20T03:12:00Z")]
    from: Option<String>,
    /// How fast: 1 is as recorded, 0.5 half as fast, 8 eight times, negative backwards. Beyond 2 only key units are shown.
    #[schema(example = 1.0)]
    scale: Option<f64>,
    /// How long to wait in line where there is no room now, in milliseconds: 0, the default, to 60000. Those who wait are served in
    /// the order in which they came.
    #[schema(example = 30_000)]
    wait_ms: Option<u64>,
}

/// What is to be different. Nothing at all renews the promise.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// From when on.
    from: Option<String>,
    /// How fast.
    scale: Option<f64>,
}

/// A playback that is promised.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Playback {
    /// Its number: media asked for with `playback=` and this are there in time.
    #[schema(example = 7)]
    id: u64,
    /// What it plays.
    #[schema(value_type = Vec<String>)]
    streams: Vec<StreamName>,
    /// How fast.
    scale: f64,
    /// Whether the node gives promises at all; if not, nothing is refused and nothing is reserved.
    guaranteed: bool,
    /// Bits a second that are reserved for it.
    rate_bps: u64,
    /// How long to wait before the first picture is shown, so that none is late. Renewing the promise tells what is left of it, which is nothing as soon as
    /// enough was read ahead.
    starts_in_ms: u64,
    /// It ends if it is neither used nor renewed for so long.
    expires_in_ms: u64,
}

impl Playback {
    fn of(id: u64, lease: &Lease) -> Self {
        let promise = &lease.promise;
        Self {
            id,
            streams: promise.streams().cloned().collect(),
            scale: lease.wishes.first().map_or(1.0, |wish| wish.scale),
            guaranteed: promise.number() > 0,
            rate_bps: promise.reserved_bps(),
            starts_in_ms: promise.starts_in().as_millis() as u64,
            expires_in_ms: EXPIRES.as_millis() as u64,
        }
    }
}

/// What is promised, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Promises {
    /// Whether the node gives promises.
    guaranteed: bool,
    /// Why it does, or does not: `guaranteed`; `measuring`, not yet; `disabled` by the configuration; `failed`.
    state: PromiseState,
    /// Why it can't, if it `failed`.
    reason: Option<String>,
    /// What is measured at present, the first time or anew.
    measurement: Option<Measurement>,
    /// How often the disks were measured anew since the node started, as they were slower than their profile said.
    remeasured: u64,
    /// The time period in milliseconds: a block of each playback is read in each.
    period_ms: u64,
    /// How much of the disks' time is promised to playbacks, in percent of what they may have.
    promised_percent: f64,
    /// How much of the disks' time recordings take, in percent.
    recording_percent: f64,
    /// How much of it is kept for playbacks by key units and backwards, in percent.
    aside_percent: f64,
    /// How much is kept for everything else, in percent.
    others_percent: f64,
    /// How many times as long as their profiles say the disks take.
    slowdown: f64,
    /// Bits a second of the greatest playback that would fit now.
    fits_bps: u64,
    /// How many wait for a promise.
    waiting: u64,
    /// Playbacks admitted since the node started.
    admitted: u64,
    /// Playbacks refused.
    refused: u64,
    /// Promises taken back because the disks were slower than they seemed.
    withdrawn: u64,
    /// Batches of reads.
    batches: u64,
    /// Those of them that were not done in time.
    late_batches: u64,
    /// Blocks that were not there when a viewer wanted them.
    late_blocks: u64,
    /// Who plays, in the order of admission.
    playbacks: Vec<Playing>,
}

/// One stream's playback.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Playing {
    /// The number to use in the API, if it was asked for there.
    id: Option<u64>,
    /// What is played.
    #[schema(value_type = String)]
    stream: StreamName,
    /// How fast.
    scale: f64,
    /// Bits a second that are reserved.
    reserved_bps: u64,
    /// Bits a second of what it plays, on the average.
    mean_bps: u64,
    /// Bits a second where it takes most: what would be reserved if its curve were not known.
    peak_bps: u64,
    /// Bytes read ahead.
    held_bytes: u64,
    /// Blocks given from what was read ahead.
    blocks: u64,
    /// Blocks that were not there in time.
    late_blocks: u64,
}

impl Promises {
    fn of(
        status: Option<GuaranteeStatus>,
        leases: &[(u64, Lease)],
        measuring: MeasuringStatus,
    ) -> Self {
        let guaranteed = status.is_some();
        let MeasuringStatus { state, reason, measurement, remeasured } = measuring;
        let status = status.unwrap_or_default();
        let id = |promise: u64| {
            let own = leases.iter().find(|(_, lease)| lease.promise.number() == promise);
            own.map(|(id, _)| *id)
        };
        let playing = |one: PlaybackStatus| Playing {
            id: id(one.promise),
            stream: one.stream,
            scale: one.scale,
            reserved_bps: one.reserved_bps,
            mean_bps: one.mean_bps,
            peak_bps: one.peak_bps,
            held_bytes: one.held_bytes,
            blocks: one.blocks,
            late_blocks: one.late_blocks,
        };
        Self {
            guaranteed,
            state,
            reason,
            measurement,
            remeasured,
            period_ms: status.period_ms,
            promised_percent: status.promised_percent,
            recording_percent: status.recording_percent,
            aside_percent: status.aside_percent,
            others_percent: status.others_percent,
            slowdown: status.slowdown,
            fits_bps: status.fits_bps,
            waiting: status.waiting,
            admitted: status.admitted,
            refused: status.refused,
            withdrawn: status.withdrawn,
            batches: status.batches,
            late_batches: status.late_batches,
            late_blocks: status.late_blocks,
            playbacks: status.playbacks.into_iter().map(playing).collect(),
        }
    }
}

/// What is promised, to whom, and how it is kept.
#[utoipa::path(
    get,
    path = "/api/v1/playbacks",
    tag = "recordings",
    responses((status = 200, body = Promises))
)]
pub(crate) async fn list_playbacks(State(app): State<App>) -> Result<Json<Promises>, ApiError> {
    let (store, leases) = (app.store.clone(), app.playbacks.all());
    let status = blocking(move || Ok::<_, ApiError>(store.guarantee_status())).await?;
    Ok(Json(Promises::of(status, &leases, app.measuring.status())))
}

/// Asks that recordings can be played in step and in time. Refused if the disks have no time for all of them beside what
/// was promised to others; then the reason says what would fit. With `wait_ms` it waits in line for room until then; the refusal says
/// where it stood.
#[utoipa::path(
    post,
    path = "/api/v1/playbacks",
    tag = "recordings",
    request_body = Asked,
    responses(
        (status = 201, description = "It is promised", body = Playback),
        (status = 400, description = "The request makes no sense", body = ErrorBody),
        (status = 404, description = "Nothing is recorded of one of them", body = ErrorBody),
        (status = 503, description = "The disks have no time for it", body = ErrorBody),
    )
)]
pub(crate) async fn begin_playback(
    State(app): State<App>,
    BodyOf(asked): BodyOf<Asked>,
) -> Result<(StatusCode, Json<Playback>), ApiError> {
    if asked.streams.is_empty() || asked.streams.len() > STREAMS_MAX {
        return Err(ApiError::bad(format!("name one to {STREAMS_MAX} streams")));
    }
    if asked.wait_ms.is_some_and(|ms| u128::from(ms) > waiting::WAIT_MAX.as_millis()) {
        return Err(ApiError::bad(format!("wait_ms is at most {}", waiting::WAIT_MAX.as_millis())));
    }
    let from = start(&app, asked.from)?;
    let scale = checked(asked.scale)?.unwrap_or(1.0);
    let wish =
        |name| Wish { name, from: from.unwrap_or(pegasus_base::Time::MIN), until: None, scale };
    let wishes: Vec<Wish> = asked.streams.into_iter().map(wish).collect();
    let wait = Duration::from_millis(asked.wait_ms.unwrap_or(0));
    let (id, lease) = if wait.is_zero() {
        let (store, playbacks) = (app.store.clone(), app.playbacks.clone());
        blocking(move || playbacks.begin(&store, wishes)).await?
    } else {
        waiting::begin(&app, wishes, wait).await?
    };
    settle(&lease).await;
    Ok((StatusCode::CREATED, Json(Playback::of(id, &lease))))
}

/// Where the disks have time, enough is read ahead in a moment for showing to begin at once: the answer waits for that.
async fn settle(lease: &Lease) {
    let until = Instant::now() + SETTLED_WITHIN;
    while Instant::now() < until && !lease.promise.starts_in().is_zero() {
        tokio::time::sleep(SETTLES_EVERY).await;
    }
}

/// Renews a promise, or asks for another speed or place. If that is refused, the promise stays as it was.
#[utoipa::path(
    patch,
    path = "/api/v1/playbacks/{id}",
    tag = "recordings",
    params(("id" = u64, Path, description = "The playback", example = 7)),
    request_body = Change,
    responses(
        (status = 200, description = "It is promised", body = Playback),
        (status = 404, description = "There is none, or it has expired", body = ErrorBody),
        (status = 410, description = "It was taken back: the disks are slower than they seemed", body = ErrorBody),
        (status = 503, description = "The disks have no time for it", body = ErrorBody),
    )
)]
pub(crate) async fn change_playback(
    State(app): State<App>,
    Numbered(id): Numbered,
    BodyOf(change): BodyOf<Change>,
) -> Result<Json<Playback>, ApiError> {
    let (from, scale) = (start(&app, change.from)?, checked(change.scale)?);
    let change = move |wish: &mut Wish| {
        let before = wish.clone();
        wish.from = from.unwrap_or(wish.from);
        wish.scale = scale.unwrap_or(wish.scale);
        *wish != before
    };
    let (store, playbacks) = (app.store.clone(), app.playbacks.clone());
    let lease = blocking(move || playbacks.renew(&store, id, change)).await?;
    Ok(Json(Playback::of(id, &lease)))
}

/// Gives a promise back.
#[utoipa::path(
    delete,
    path = "/api/v1/playbacks/{id}",
    tag = "recordings",
    params(("id" = u64, Path, description = "The playback", example = 7)),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is none", body = ErrorBody),
    )
)]
pub(crate) async fn end_playback(
    State(app): State<App>,
    Numbered(id): Numbered,
) -> Result<StatusCode, ApiError> {
    let playbacks = app.playbacks.clone();
    blocking(move || if playbacks.end(id) { Ok(()) } else { Err(Absent::Unknown) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn start(app: &App, from: Option<String>) -> Result<Option<pegasus_base::Time>, ApiError> {
    let given = from.is_some();
    let range = Between { from, to: None }.resolve(app.clock.now())?;
    Ok(given.then_some(range.start))
}

fn checked(scale: Option<f64>) -> Result<Option<f64>, ApiError> {
    match scale {
        Some(scale) if scale == 0.0 || !scale.is_finite() || scale.abs() > SCALE_MAX => Err(
            ApiError::bad(format!("a scale is between -{SCALE_MAX} and {SCALE_MAX}, and not 0")),
        ),
        scale => Ok(scale),
    }
}

impl From<Absent> for ApiError {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::Unknown => Self::missing("there is no such playback, or it has expired"),
            Absent::Withdrawn(why) => {
                Self::new(StatusCode::GONE, format!("the playback was ended: {why}"))
            }
            Absent::Store(error) => error.into(),
            Absent::TooMany => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "there are as many playbacks as there may be; try again later",
            ),
        }
    }
}
