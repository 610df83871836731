//! Live JPEG pictures for an `<img>`: `multipart/x-mixed-replace`, in which each picture takes the
//! place of the one before. A slow viewer is sent the newest picture it can take.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use pegasus_circuit::{Event, Sink, Start};
use pegasus_media::{Codec, TrackId, TrackSet};
use tokio_util::sync::CancellationToken;

use super::{Client, label};
use crate::http::app::{App, Named};
use crate::http::error::{ApiError, ErrorBody};

const BOUNDARY: &str = "pegasus-picture";
/// Events taken at once; only the newest picture among them is sent.
const BATCH: usize = 256;

/// The live pictures of an MJPEG stream, for an `<img>`.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/live.mjpeg",
    tag = "streams",
    params(("name" = String, Path, description = "The stream", example = "test/card")),
    responses(
        (status = 200, content_type = "multipart/x-mixed-replace", description = "JPEG pictures"),
        (status = 404, description = "Not live", body = ErrorBody),
        (status = 415, description = "Not coded as MJPEG", body = ErrorBody),
    )
)]
pub(crate) async fn get_live_mjpeg(
    State(app): State<App>,
    Named(name): Named,
    client: Client,
) -> Result<Response, ApiError> {
    let status = app.switch.status(&name).filter(|status| status.live);
    let status = status.ok_or_else(|| ApiError::not_live(&name))?;
    if pictures_of(&status.tracks).is_none() {
        let text = format!("{name} has no MJPEG track");
        return Err(ApiError::new(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let sink = app.switch.subscribe(&name, Start::KeyUnit).label(label("http", &client));
    let viewer = Viewer { sink, track: None, events: Vec::new(), stop: app.stop.clone() };
    let parts = stream::unfold((viewer, Vec::new()), |(mut viewer, mut parts)| async move {
        if parts.is_empty() {
            let picture = viewer.next().await?;
            let end = Bytes::from_static(b"\r\n");
            parts = vec![end, picture.clone(), part_head(picture.len())]; // taken from the back
        }
        let part = parts.pop()?;
        Some((Ok::<_, io::Error>(part), (viewer, parts)))
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn part_head(len_bytes: usize) -> Bytes {
    format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len_bytes}\r\n\r\n")
        .into()
}

fn pictures_of(tracks: &TrackSet) -> Option<TrackId> {
    tracks.iter().find(|track| track.codec == Codec::Mjpeg).map(|track| track.id)
}

struct Viewer {
    sink: Sink,
    track: Option<TrackId>,
    events: Vec<Event>,
    stop: CancellationToken,
}

impl Viewer {
    /// The newest picture, once there is one that was not sent yet. `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                _ = self.sink.next_many(&mut self.events, BATCH) => {}
                () = self.stop.cancelled() => return None,
            }
            let mut newest = None;
            for event in self.events.drain(..) {
                match event {
                    Event::Live(tracks) => self.track = pictures_of(&tracks),
                    Event::Unit(unit) if Some(unit.track) == self.track => {
                        newest = Some(unit.data.clone());
                    }
                    Event::Unit(_) | Event::Lost(_) | Event::Idle => {}
                    Event::Closed => return newest,
                }
            }
            if newest.is_some() {
                return newest;
            }
        }
    }
}
