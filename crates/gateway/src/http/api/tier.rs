//! The tier: what is out, and moving segments out and back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::{StreamName, Time};
use pegasus_continuous::{OutRange, StageStatus, Staged, TierStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::app::{App, BodyOf, Named, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query::Between;

/// State of the tier.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tier {
    /// Where it is.
    #[schema(example = "s3://films/pegasus")]
    place: String,
    /// Segments that are out; null until they were counted.
    out_segments: Option<u64>,
    /// Bytes of them.
    out_bytes: Option<u64>,
    /// Moving out.
    out: Stage,
    /// Bringing back.
    #[serde(rename = "in")]
    back: Stage,
    /// Blocks that readers took from the tier.
    read_blocks: u64,
    /// Objects to be deleted as soon as the tier lets it.
    dead_objects: u64,
    /// Objects deleted.
    deleted_objects: u64,
    /// Objects of this store that belong to no recording it knows. They are left alone.
    unknown_objects: u64,
    /// Segments whose object was not found when they were last compared.
    missing_objects: u64,
    /// When listing and directories were compared last.
    #[schema(value_type = Option<String>, format = DateTime)]
    swept: Option<Time>,
    /// Why they could not be compared, or objects not be deleted.
    trouble: Option<String>,
}

/// One direction.
#[derive(Debug, Serialize, ToSchema)]
struct Stage {
    /// Segments that were asked for and wait.
    waiting_segments: u64,
    /// Bytes of them.
    waiting_bytes: u64,
    /// Whose segment is being moved now.
    #[schema(value_type = Option<String>)]
    moving: Option<StreamName>,
    /// Segments moved since the node started.
    segments: u64,
    /// Bytes of them.
    bytes: u64,
    /// Bytes a second of late, if that was measured.
    bytes_per_s: Option<u64>,
    /// Attempts that failed.
    failures: u64,
    /// Why the last attempt failed, to be made again.
    trouble: Option<String>,
}

/// A part of a recording that is out: it is in the tier, and not on the disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Out {
    /// Time of its first unit.
    #[schema(value_type = String, format = DateTime)]
    pub(super) start: Time,
    /// End of its last unit.
    #[schema(value_type = String, format = DateTime)]
    pub(super) end: Time,
    /// Bytes in the tier.
    pub(super) bytes: u64,
    /// Segments, an object each.
    pub(super) segments: u64,
    /// How long it takes to bring all of it back, in milliseconds; null as long as the tier's rate isn't known.
    pub(super) back_in_ms: Option<u64>,
}

/// What is to be moved, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    to: Direction,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// To the tier: segments that lie within the range.
    Out,
    /// To the disks: segments with an instant in the range.
    In,
}

/// What will be moved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moving {
    /// Segments that are to be moved.
    segments: u64,
    /// Bytes of them.
    bytes: u64,
    /// How long that takes, behind what else is being moved, in milliseconds, if that can be told.
    takes_ms: Option<u64>,
}

/// How the tier is doing.
#[utoipa::path(
    get,
    path = "/api/v1/tier",
    tag = "tier",
    responses(
        (status = 200, body = Tier),
        (status = 404, description = "There is none", body = ErrorBody),
    )
)]
pub(crate) async fn get_tier(State(app): State<App>) -> Result<Json<Tier>, ApiError> {
    let status = app.store.tier_status();
    let status = status.ok_or_else(|| ApiError::missing("no tier is set up"))?;
    Ok(Json(status.into()))
}

/// What of a recording is out, in order.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/tier",
    tag = "tier",
    params(("name" = String, Path, description = "The stream", example = "cam/door"), Between),
    responses(
        (status = 200, body = Vec<Out>),
        (status = 400, body = ErrorBody),
        (status = 404, description = "Not recorded", body = ErrorBody),
    )
)]
pub(crate) async fn list_out(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
) -> Result<Json<Vec<Out>>, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let store = app.store.clone();
    let out = blocking(move || store.out(&name, range)).await?;
    Ok(Json(out.into_iter().map(Out::from).collect()))
}

/// Moves a recording, or a part of it, out to the tier or back. It is done after the answer; asking again does no harm.
#[utoipa::path(
    post,
    path = "/api/v1/streams/{name}/tier",
    tag = "tier",
    params(("name" = String, Path, description = "The stream", example = "cam/door"), Between),
    request_body = Move,
    responses(
        (status = 202, description = "It will be moved", body = Moving),
        (status = 400, body = ErrorBody),
        (status = 404, description = "Not recorded", body = ErrorBody),
        (status = 409, description = "There is no tier", body = ErrorBody),
    )
)]
pub(crate) async fn move_segments(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
    BodyOf(wanted): BodyOf<Move>,
) -> Result<(StatusCode, Json<Moving>), ApiError> {
    let range = between.resolve(app.clock.now())?;
    let store = app.store.clone();
    let staged = blocking(move || match wanted.to {
        Direction::Out => store.stage_out(&name, Some(range)),
        Direction::In => store.stage_in(&name, Some(range)),
    });
    let Staged { segments, bytes, takes_ms } = staged.await?;
    Ok((StatusCode::ACCEPTED, Json(Moving { segments, bytes, takes_ms })))
}

impl From<TierStatus> for Tier {
    fn from(status: TierStatus) -> Self {
        Self {
            place: status.place,
            out_segments: status.out_segments,
            out_bytes: status.out_bytes,
            out: status.out.into(),
            back: status.back.into(),
            read_blocks: status.read_blocks,
            dead_objects: status.dead_objects,
            deleted_objects: status.deleted_objects,
            unknown_objects: status.unknown_objects,
            missing_objects: status.missing_objects,
            swept: status.swept,
            trouble: status.trouble,
        }
    }
}

impl From<StageStatus> for Stage {
    fn from(status: StageStatus) -> Self {
        Self {
            waiting_segments: status.waiting_segments,
            waiting_bytes: status.waiting_bytes,
            moving: status.moving,
            segments: status.segments,
            bytes: status.bytes,
            bytes_per_s: status.bytes_per_s,
            failures: status.failures,
            trouble: status.trouble,
        }
    }
}

impl From<OutRange> for Out {
    fn from(out: OutRange) -> Self {
        let OutRange { start, end, bytes, segments, back_in_ms } = out;
        Self { start, end, bytes, segments, back_in_ms }
    }
}
