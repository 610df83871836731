//! The disks: adding, replacing and removing one, and going over all of them.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::Time;
use pegasus_continuous::{
    CareStatus, Continuous, DiskIndex, Error as StoreError, SpareStatus, StoreStatus, WorkKind,
    WorkStatus,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::Disk;
use crate::Role;
use crate::http::app::{App, BodyOf, blocking};
use crate::http::error::{ApiError, ErrorBody};

/// The disks and what is done for them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disks {
    /// All of them, in the order of the array.
    disks: Vec<Disk>,
    /// Disks that wait for one of them to fail.
    spares: Vec<Spare>,
    care: Care,
}

/// A disk that takes a failed one's place by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spare {
    /// Where it is.
    path: String,
    /// Its size in bytes.
    size_bytes: u64,
}

/// What was done for the disks since the node started, and is being done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Care {
    /// What is being done now.
    work: Option<Work>,
    /// End of the last scrub that went over everything.
    #[schema(value_type = Option<String>, format = DateTime)]
    scrubbed: Option<Time>,
    /// Fragments written anew.
    repaired_fragments: u64,
    /// Blocks of which too little was left.
    lost_blocks: u64,
    /// Repairs that a disk refused or did not keep.
    refused_repairs: u64,
    /// Segments met in the last pass that have less parity than the store: written when too few disks lived.
    unprotected_segments: u64,
    /// What was found in the last pass: the first of it.
    problems: Vec<String>,
    /// Why the last attempt was given up, to be tried again.
    trouble: Option<String>,
}

/// How far it is.
#[derive(Debug, Serialize, ToSchema)]
struct Work {
    /// `rebuild`, `scrub` or `removal`.
    #[schema(value_type = String, example = "rebuild")]
    kind: WorkKind,
    /// Slots gone over, or emptied.
    slots_done: u64,
    /// Slots to go over, as far as is known.
    slots_total: u64,
    /// Bytes read for it.
    read_bytes: u64,
    /// Fragments written anew.
    repaired_fragments: u64,
    /// Bytes of them.
    repaired_bytes: u64,
    /// Blocks of which too little is left.
    lost_blocks: u64,
    /// Seconds it has been going on.
    elapsed_s: u64,
    /// Seconds it will take at this pace, if that can be told.
    eta_s: Option<u64>,
}

/// A disk to replace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacement {
    /// The disk that failed or is missing: its path, or its number in the array.
    #[schema(example = "/var/lib/pegasus/disk2")]
    disk: String,
    /// The device or file to take its place; its own path if left out. A file that is not there is made.
    with: Option<String>,
    /// Whether what is on it may be overwritten.
    #[serde(default)]
    overwrite: bool,
    /// Most bytes a second to rebuild it with. Without it, half of the time is left to others.
    rate: Option<u64>,
}

/// A disk to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDisk {
    /// The device or file. A file that is not there is made. Relative paths start in the data folder.
    #[schema(example = "/dev/disk/by-id/ata-NEW")]
    path: String,
    /// Whether it is to wait as a spare until one fails.
    #[serde(default)]
    spare: bool,
    /// Size of a file that is made, in bytes; that of the largest disk if left out.
    size: Option<u64>,
    /// Whether what is on it may be overwritten.
    #[serde(default)]
    overwrite: bool,
}

/// A disk to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removal {
    /// Which disk: its path, or its number in the list.
    #[schema(example = "/var/lib/pegasus/disk5")]
    disk: String,
    /// Most bytes a second to move. Without it, half of the time is left to others.
    rate: Option<u64>,
}

/// A disk that is to stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// Which disk: its path, or its number in the list.
    #[schema(example = "/var/lib/pegasus/disk5")]
    disk: String,
}

/// A scrub to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewScrub {
    /// Most bytes a second to read. Without it, half of the time is left to others.
    rate: Option<u64>,
}

/// The disks and what is done for them.
#[utoipa::path(
    get,
    path = "/api/v1/disks",
    tag = "disks",
    responses((status = 200, body = Disks))
)]
pub(crate) async fn list_disks(State(app): State<App>) -> Result<Json<Disks>, ApiError> {
    let store = app.store.clone();
    let status = blocking(move || Ok::<_, ApiError>(store.status())).await?;
    let StoreStatus { disks, spares, care, .. } = status;
    let disks = disks.into_iter().map(Disk::from).collect();
    let spares = spares.into_iter().map(Spare::from).collect();
    Ok(Json(Disks { disks, spares, care: care.into() }))
}

/// Puts a blank disk in the place of a failed or missing one, and begins to rebuild it.
#[utoipa::path(
    post,
    path = "/api/v1/disks/replace",
    tag = "disks",
    request_body = Replacement,
    responses(
        (status = 202, description = "It takes part, and is being rebuilt"),
        (status = 404, description = "There is no such disk", body = ErrorBody),
        (status = 409, description = "It has not failed, or the new one can't be used", body = ErrorBody),
    )
)]
pub(crate) async fn replace_disk(
    State(app): State<App>,
    BodyOf(wanted): BodyOf<Replacement>,
) -> Result<StatusCode, ApiError> {
    let (store, list) = (app.store.clone(), app.disks.clone());
    blocking(move || {
        let unknown = || ApiError::missing(format!("the store has no disk {}", wanted.disk));
        let index = store.find_disk(&wanted.disk).ok_or_else(unknown)?;
        let path = wanted.with.as_ref().map(PathBuf::from);
        let path = path.or_else(|| store.disk_path(index).map(PathBuf::from));
        let path = path.ok_or_else(unknown)?;
        let replace = || {
            let disk = store.open_spare(index, &path, wanted.overwrite)?;
            Ok::<_, ApiError>(store.replace_disk(index, disk, wanted.rate)?)
        };
        match wanted.with {
            Some(_) => list.noted(
                &std::path::absolute(&path).unwrap_or(path.clone()),
                Role::Disk,
                replace,
            )?,
            None => replace()?,
        }
        Ok::<_, ApiError>(StatusCode::ACCEPTED)
    })
    .await
}

/// Adds a disk: the store has more room from then on. Nothing is moved. Or a spare, which takes the place of a
/// disk that fails.
#[utoipa::path(
    post,
    path = "/api/v1/disks/add",
    tag = "disks",
    request_body = NewDisk,
    responses(
        (status = 201, description = "It takes part, or waits"),
        (status = 409, description = "It can't be used", body = ErrorBody),
    )
)]
pub(crate) async fn add_disk(
    State(app): State<App>,
    BodyOf(wanted): BodyOf<NewDisk>,
) -> Result<StatusCode, ApiError> {
    let (store, list) = (app.store.clone(), app.disks.clone());
    blocking(move || {
        let path = list.resolve(&wanted.path);
        let NewDisk { spare, size, overwrite, .. } = wanted;
        let role = if spare { Role::Spare } else { Role::Disk };
        list.noted(&path, role, || match role {
            Role::Disk => store.add_disk(&path, size, overwrite).map_err(ApiError::from),
            Role::Spare => store.add_spare(&path, size, overwrite).map_err(ApiError::from),
        })?;
        Ok::<_, ApiError>(StatusCode::CREATED)
    })
    .await
}

/// Begins to remove a disk: what is on it is moved to the others, then the store goes on without it.
#[utoipa::path(
    post,
    path = "/api/v1/disks/remove",
    tag = "disks",
    request_body = Removal,
    responses(
        (status = 202, description = "Nothing new is put on it; what is there is being moved"),
        (status = 404, description = "There is no such disk", body = ErrorBody),
        (status = 409, description = "Too few disks or too little room would be left", body = ErrorBody),
    )
)]
pub(crate) async fn remove_disk(
    State(app): State<App>,
    BodyOf(Removal { disk, rate }): BodyOf<Removal>,
) -> Result<StatusCode, ApiError> {
    set_removal(app, disk, true, move |store, index| store.remove_disk(index, rate)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Keeps a disk that is being removed. What was moved stays where it is now.
#[utoipa::path(
    post,
    path = "/api/v1/disks/keep",
    tag = "disks",
    request_body = Kept,
    responses(
        (status = 204, description = "It takes new recordings again"),
        (status = 404, description = "There is no such disk", body = ErrorBody),
        (status = 409, description = "It is not being removed", body = ErrorBody),
    )
)]
pub(crate) async fn keep_disk(
    State(app): State<App>,
    BodyOf(Kept { disk }): BodyOf<Kept>,
) -> Result<StatusCode, ApiError> {
    set_removal(app, disk, false, |store, index| store.keep_disk(index)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Finds a disk, notes what is to become of it, and has it done.
async fn set_removal(
    app: App,
    disk: String,
    leaves: bool,
    change: impl FnOnce(&Continuous, DiskIndex) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), ApiError> {
    let (store, list) = (app.store.clone(), app.disks.clone());
    blocking(move || {
        let unknown = || ApiError::missing(format!("the store has no disk {disk}"));
        let index = store.find_disk(&disk).ok_or_else(unknown)?;
        let path = store.disk_path(index).ok_or_else(unknown)?;
        let change = || change(&store, index).map_err(ApiError::from);
        list.noted_removal(std::path::Path::new(&path), leaves, change)
    })
    .await
}

/// Begins to verify and repair everything. One that is under way goes on at the rate given.
#[utoipa::path(
    post,
    path = "/api/v1/disks/scrub",
    tag = "disks",
    request_body = NewScrub,
    responses((status = 202, description = "It is under way"))
)]
pub(crate) async fn begin_scrub(
    State(app): State<App>,
    BodyOf(wanted): BodyOf<NewScrub>,
) -> Result<StatusCode, ApiError> {
    app.store.scrub(wanted.rate);
    Ok(StatusCode::ACCEPTED)
}

/// Stops a scrub; the next one begins anew.
#[utoipa::path(
    delete,
    path = "/api/v1/disks/scrub",
    tag = "disks",
    responses((status = 204, description = "Nothing is scrubbed any more"))
)]
pub(crate) async fn stop_scrub(State(app): State<App>) -> StatusCode {
    app.store.stop_scrub();
    StatusCode::NO_CONTENT
}

impl From<SpareStatus> for Spare {
    fn from(spare: SpareStatus) -> Self {
        let SpareStatus { path, size_bytes } = spare;
        Self { path, size_bytes }
    }
}

impl From<CareStatus> for Care {
    fn from(care: CareStatus) -> Self {
        Self {
            work: care.work.map(Work::from),
            scrubbed: care.scrubbed,
            repaired_fragments: care.repaired_fragments,
            lost_blocks: care.lost_blocks,
            refused_repairs: care.refused_repairs,
            unprotected_segments: care.unprotected_segments,
            problems: care.problems,
            trouble: care.trouble,
        }
    }
}

impl From<WorkStatus> for Work {
    fn from(work: WorkStatus) -> Self {
        Self {
            kind: work.kind,
            slots_done: work.slots_done,
            slots_total: work.slots_total,
            read_bytes: work.read_bytes,
            repaired_fragments: work.repaired_fragments,
            repaired_bytes: work.repaired_bytes,
            lost_blocks: work.lost_blocks,
            elapsed_s: work.elapsed_s,
            eta_s: work.eta_s,
        }
    }
}
