//! The HTTP door: the JSON API, MP4 export, HLS, live fragments and pictures, metrics, the console.
//!
//! [`serve`] takes connections, [`router`] answers requests: first `guard` says who is let through
//! and names in paths are made ready for routing (`names`), then `api` or `hls` or the console
//! answers. `docs/ref/api.md` says what may be asked.
//!
//! The pure parts: [`range`], `names`, `query`, `playable`, and in `hls` the segmenter, the cuts and
//! the playlists.

mod api;
mod app;
mod body;
mod console;
mod error;
mod export;
mod guard;
mod health;
mod hls;
mod live;
mod metrics;
mod names;
mod playable;
mod playbacks;
mod query;
pub mod range;
mod recorded;
mod server;
#[cfg(test)]
mod testing;
mod waiting;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_request};
use axum::routing::get;

pub use self::error::ErrorBody;
pub use self::server::serve;
use crate::Services;

/// All that the door answers.
pub fn router(services: Services) -> Router {
    let app = app::App::new(services);
    let inner = api::router()
        .merge(hls::router())
        .route("/metrics", get(metrics::get_metrics))
        .fallback(console::get_console)
        .layer(from_fn_with_state(app.clone(), metrics::count))
        .with_state(app.clone());
    // Routing happens in the inner router, after the path has been folded.
    Router::new()
        .fallback_service(inner)
        .layer(map_request(guard::fold))
        .layer(from_fn_with_state(app, guard::guard))
}
