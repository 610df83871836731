//! The JSON API. `docs/ref/api.md` is its page for people; the document for programs,
//! `/api/v1/openapi.json`, is generated from the handlers.

mod disks;
mod events;
mod intake;
mod keys;
pub(crate) mod mounts;
mod playbacks;
mod quotas;
mod recordings;
mod snapshots;
mod sources;
mod status;
mod streams;
mod tier;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::{export, health, live};

/// What the document says of itself.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Pegasus",
        description = "A node's API. In paths, `{name}` is a stream's name without its first slash; \
                       its other slashes may stand as they are. Times are RFC 3339 with nanoseconds; \
                       where they are asked for, `now`, `-10m` and `+30s` are taken as well.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    tags(
        (name = "node", description = "The node as a whole"),
        (name = "disks", description = "The store's disks"),
        (name = "files", description = "The store's ordinary files"),
        (name = "streams", description = "Streams, live and recorded"),
        (name = "recordings", description = "What is recorded of a stream"),
        (name = "tier", description = "What of the recordings is out"),
        (name = "sources", description = "Streams that the node fetches itself"),
    )
)]
struct Document;

/// All routes of the API, and the document that describes them.
pub(crate) fn router() -> Router<App> {
    let (router, document) = OpenApiRouter::<App>::with_openapi(Document::openapi())
        .routes(routes!(status::get_status))
        .routes(routes!(health::get_health))
        .routes(routes!(streams::list_streams))
        .routes(routes!(streams::get_stream))
        .routes(routes!(recordings::list_recordings, recordings::delete_recordings))
        .routes(routes!(tier::get_tier))
        .routes(routes!(tier::list_out, tier::move_segments))
        .routes(routes!(keys::list_keys))
        .routes(routes!(export::get_media))
        .routes(routes!(playbacks::list_playbacks, playbacks::begin_playback))
        .routes(routes!(playbacks::change_playback, playbacks::end_playback))
        .routes(routes!(live::socket::get_live))
        .routes(routes!(live::mjpeg::get_live_mjpeg))
        .routes(routes!(sources::list_sources, sources::add_source))
        .routes(routes!(sources::remove_source))
        .routes(routes!(disks::list_disks))
        .routes(routes!(disks::add_disk))
        .routes(routes!(disks::remove_disk))
        .routes(routes!(disks::keep_disk))
        .routes(routes!(disks::replace_disk))
        .routes(routes!(disks::begin_scrub, disks::stop_scrub))
        .routes(routes!(mounts::list_mounts, mounts::add_mount, mounts::remove_mount))
        .routes(routes!(
            snapshots::list_snapshots,
            snapshots::create_snapshot,
            snapshots::remove_snapshot
        ))
        .routes(routes!(quotas::list_quotas, quotas::set_quota, quotas::remove_quota))
        .routes(routes!(events::list_events))
        .routes(routes!(events::follow_events))
        .split_for_parts();
    let text = document.to_pretty_json().expect("the document is made of plain values");
    let json = [(header::CONTENT_TYPE, "application/json")];
    let document = get(move || async move { (json, text.clone()).into_response() });
    router.route("/api/v1/openapi.json", document)
}
