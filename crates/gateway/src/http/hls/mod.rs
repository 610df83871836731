//! HTTP Live Streaming: live with low latency, and any recorded range.
//!
//! `index.m3u8` names one media playlist: `live.m3u8`, or with `?from=&to=` a `vod.m3u8` of that
//! range. Live segments are cut from the circuit by a [`segmenter`] that runs while somebody asks;
//! recorded ones are made when they are asked for, from what the store holds. Pure: [`segmenter`],
//! [`window`], [`playlist`], [`cut`], [`file`]. Drivers: [`feed`] and [`recorded`].

mod cut;
mod feed;
mod file;
mod playlist;
mod recorded;
mod segmenter;
mod window;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use pegasus_base::StreamName;
use serde::Deserialize;

pub(crate) use self::cut::KeyTime;
pub(crate) use self::feed::Feeds;
use self::file::File;
use super::app::{App, Named, QueryOf};
use super::body;
use super::error::ApiError;
use super::playable::{Playable, Unplayable};
use super::query::Between;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const FRAGMENTS: &str = "video/mp4";
/// How long a first segment, or a reload that blocks, is waited for.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Media sequence numbers further ahead are nonsense (bis, 6.2.5.2).
const AHEAD_MAX: u64 = 2;

/// The routes of HLS.
pub(crate) fn router() -> Router<App> {
    Router::new().route("/hls/{name}/{file}", get(get_file))
}

/// A reload that waits until the playlist shows something (bis, 6.2.5.2).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Reload {
    #[serde(rename = "_HLS_msn")]
    number: Option<u64>,
    #[serde(rename = "_HLS_part")]
    part: Option<u64>,
}

async fn get_file(
    State(app): State<App>,
    Named(name): Named,
    Path((_, file)): Path<(String, String)>,
    QueryOf(between): QueryOf<Between>,
    QueryOf(reload): QueryOf<Reload>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::missing(format!("there is no file {file} of {name}"));
    match File::parse(&file).ok_or_else(missing)? {
        File::Index if between.is_all() => live_index(&app, &name),
        File::Index => recorded::index(&app, name, &between).await,
        File::LiveList => live_list(&app, &name, reload).await,
        File::LiveInit(number) => {
            let init = app.feeds.get(&name)?.look(|w| w.init(number).map(|i| i.bytes.clone()));
            Ok(fragments(vec![init.ok_or_else(missing)?]))
        }
        File::LiveSegment(number) => {
            let feed = app.feeds.get(&name)?;
            let chunks = feed.look(|window| {
                window.segment(number).filter(|segment| segment.complete).map(|s| s.chunks())
            });
            Ok(fragments(chunks.ok_or_else(missing)?))
        }
        File::LivePart(number, part) => {
            let chunks = live_part(&app, &name, number, part).await?;
            Ok(fragments(chunks.ok_or_else(missing)?))
        }
        File::RecordedList => recorded::list(&app, name, &between).await,
        File::RecordedInit(at) => recorded::init(&app, name, at).await.map(fragments),
        File::RecordedSegment(range, origin, tracks) => {
            recorded::segment(&app, name, range, origin, tracks).await.map(fragments)
        }
    }
}

fn fragments(chunks: Vec<Bytes>) -> Response {
    body::chunked(FRAGMENTS, body::KEEP, chunks)
}

fn live_index(app: &App, name: &StreamName) -> Result<Response, ApiError> {
    let status = app.switch.status(name).filter(|status| status.live);
    let status = status.ok_or_else(|| {
        ApiError::missing(format!("{name} is not live; add ?from=&to= for what is recorded"))
    })?;
    let playable = playable(name, Playable::of(&status.tracks))?;
    app.feeds.get(name)?; // begins to cut before the list is asked for
    let list = playlist::multivariant(&playable, status.bitrate_bps * 3 / 2, "live.m3u8");
    Ok(body::text(PLAYLIST, list))
}

/// Why a stream has no segments, as an answer.
fn playable(
    name: &StreamName,
    playable: Result<Playable, Unplayable>,
) -> Result<Playable, ApiError> {
    playable.map_err(|why| match why {
        Unplayable::Codecs => {
            let text = format!("{name} has no track that browsers play in MP4");
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
        }
        Unplayable::Waiting => {
            let text = format!("{name} has not sent its codec's parameters yet");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    })
}

async fn live_list(app: &App, name: &StreamName, reload: Reload) -> Result<Response, ApiError> {
    let feed = app.feeds.get(name)?;
    if reload.part.is_some() && reload.number.is_none() {
        return Err(ApiError::bad("_HLS_part needs _HLS_msn"));
    }
    if let Some(number) = reload.number {
        let too_far = |growing: u64| number > growing + AHEAD_MAX;
        if feed.look(|window| window.growing().is_some_and(too_far)) {
            return Err(ApiError::bad(format!("segment {number} is far ahead of what there is")));
        }
    }
    let list = feed.wait(WAIT_MAX, |window| {
        let shows = reload.number.is_none_or(|number| window.shows(number, reload.part));
        let begun = window.has_complete();
        (window.ended || (shows && begun)).then(|| playlist::live(window))
    });
    let late = || {
        let text = format!("{name} has sent nothing new for {} s", WAIT_MAX.as_secs());
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    Ok(body::text(PLAYLIST, list.await.ok_or_else(late)?))
}

/// A part; waited for if it is the one the playlist hinted at.
async fn live_part(
    app: &App,
    name: &StreamName,
    number: u64,
    part: u64,
) -> Result<Option<Vec<Bytes>>, ApiError> {
    let feed = app.feeds.get(name)?;
    let index = usize::try_from(part).unwrap_or(usize::MAX);
    let hinted = feed.look(|window| {
        window.growing() == Some(number) && window.growing_parts() == index && !window.ended
    });
    let chunks = |window: &window::Window| -> Option<Vec<Bytes>> {
        Some(window.segment(number)?.parts.get(index)?.chunks.clone())
    };
    if !hinted {
        return Ok(feed.look(chunks));
    }
    // The segment may end without such a part: then there is none (bis, 6.2.6).
    let settled = |window: &window::Window| {
        let found = chunks(window);
        let over = window.ended || window.shows(number, None);
        (found.is_some() || over).then_some(found)
    };
    Ok(feed.wait(WAIT_MAX, settled).await.flatten())
}
