//! Live fragments over WebSocket, for Media Source Extensions.
//!
//! The server sends. First, and again whenever the tracks change, a text message [`Hello`] and a
//! binary message with the initialisation segment. Then binary messages, each a fragment of what has
//! arrived since the last. A text message [`Missed`] says that the viewer was too slow and what
//! follows begins anew; [`Gone`] that the publisher left. The circuit holds a few seconds for a
//! slow viewer, never more.

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use pegasus_base::{StreamName, Time};
use pegasus_circuit::{Event, Loss, Sink, Start};
use pegasus_media::mp4::{Fragmenter, init_segment};
use pegasus_media::{TrackSet, Unit};
use serde::Serialize;

use super::{Client, label};
use crate::http::app::{App, Named};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::playable::{Playable, Unplayable};

/// Events taken at once: what has gathered goes into one fragment.
const BATCH: usize = 256;
/// Media time 0 lies so far before the first unit: pictures are decoded before they are shown.
const LEAD_NS: i64 = 1_000_000_000;

/// What the fragments that follow are.
#[derive(Debug, Serialize)]
struct Hello {
    /// For `MediaSource.addSourceBuffer`.
    mime: String,
    /// Capture time of media time 0, in milliseconds since 1970.
    epoch_ms: f64,
    /// Numbers of the tracks in the fragments.
    tracks: Vec<u8>,
    /// Codecs of the stream's other tracks, which browsers don't play in MP4.
    left_out: Vec<&'static str>,
}

/// The viewer was too slow.
#[derive(Debug, Serialize)]
struct Missed {
    missed: MissedUnits,
}

#[derive(Debug, Serialize)]
struct MissedUnits {
    units: u64,
    from: Time,
    to: Time,
}

/// The publisher has left; another [`Hello`] follows when there is one again.
#[derive(Debug, Serialize)]
struct Gone {
    idle: bool,
}

/// Nothing can be sent.
#[derive(Debug, Serialize)]
struct Trouble {
    error: String,
}

/// Live fragments over WebSocket; see the reference for the messages.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/live",
    tag = "streams",
    params(("name" = String, Path, description = "The stream", example = "cam/door")),
    responses(
        (status = 101, description = "A WebSocket: text messages describe, binary ones are fMP4"),
        (status = 400, description = "Not a WebSocket request", body = ErrorBody),
        (status = 403, description = "From a stranger's page", body = ErrorBody),
        (status = 404, description = "Not live", body = ErrorBody),
    )
)]
pub(crate) async fn get_live(
    State(app): State<App>,
    Named(name): Named,
    client: Client,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|error| ApiError::new(error.status(), error.body_text()))?;
    if !app.switch.status(&name).is_some_and(|status| status.live) {
        return Err(ApiError::not_live(&name));
    }
    Ok(upgrade.on_upgrade(move |socket| show(app, name, socket, label("http", &client))))
}

async fn show(app: App, name: StreamName, mut socket: WebSocket, label: String) {
    let mut sink = app.switch.subscribe(&name, Start::KeyUnit).label(label);
    tokio::select! {
        // An error is the viewer's going away.
        _ = send(&mut sink, &mut socket) => {}
        () = app.stop.cancelled() => {}
    }
    drop(sink);
    let frame = CloseFrame { code: close_code::AWAY, reason: "the stream has ended".into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// Sends until the viewer goes away or the switch is closed.
async fn send(sink: &mut Sink, socket: &mut WebSocket) -> Result<(), axum::Error> {
    let mut packer = Packer::default();
    let mut events = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            _ = sink.next_many(&mut events, BATCH) => {
                let closed = events.last() == Some(&Event::Closed);
                for message in packer.pack(events.drain(..)) {
                    socket.send(message).await?;
                }
                if closed {
                    return Ok(());
                }
            }
            // Nothing is expected; pings are answered and the end is noticed by reading.
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(heard) => drop(heard?),
            },
        }
    }
}

/// From events to messages. Pure.
#[derive(Debug, Default)]
struct Packer {
    set: Option<TrackSet>,
    playable: Option<Playable>,
    fragmenter: Option<Fragmenter>,
    /// Units before the next key unit can't be decoded.
    waits_for_key: bool,
}

impl Packer {
    fn pack(&mut self, events: impl Iterator<Item = Event>) -> Vec<Message> {
        let mut out = Vec::new();
        for event in events {
            match event {
                Event::Live(tracks) => self.retrack(tracks, &mut out),
                Event::Unit(unit) => self.unit(&unit, &mut out),
                Event::Lost(loss) => self.lost(&loss, &mut out),
                Event::Idle => {
                    self.flush(&mut out);
                    *self = Self::default();
                    out.push(text(&Gone { idle: true }));
                }
                Event::Closed => {}
            }
        }
        self.flush(&mut out);
        out
    }

    fn retrack(&mut self, set: TrackSet, out: &mut Vec<Message>) {
        let playable = Playable::of(&set);
        if playable == Err(Unplayable::Codecs) {
            let codecs: Vec<_> = set.iter().map(|track| track.codec.name()).collect();
            let error = format!("browsers don't play {} in MP4", codecs.join(", "));
            out.push(text(&Trouble { error }));
        }
        let playable = playable.ok();
        if playable != self.playable {
            self.flush(out);
            self.fragmenter = None;
            self.playable = playable;
        }
        self.set = Some(set);
    }

    fn unit(&mut self, unit: &Unit, out: &mut Vec<Message>) {
        let Some(playable) = self.playable.as_ref().filter(|p| p.has(unit.track)) else { return };
        let begins = unit.track == playable.leading && unit.key;
        if self.fragmenter.is_none() {
            if !begins || !self.begin(unit.time, out) {
                return;
            }
        } else if self.waits_for_key && !begins {
            return;
        }
        self.waits_for_key = false;
        if let Some(fragmenter) = &mut self.fragmenter {
            // A unit too large for any fragment is left out.
            let _ = fragmenter.push(unit);
        }
    }

    fn begin(&mut self, first: Time, out: &mut Vec<Message>) -> bool {
        let (Some(playable), Some(set)) = (&self.playable, &self.set) else { return false };
        let Ok(init) = init_segment(&playable.tracks) else { return false };
        let origin = first.offset_ns(-LEAD_NS);
        let left_out = set.iter().filter(|track| !playable.has(track.id));
        out.push(text(&Hello {
            mime: playable.mime(),
            epoch_ms: origin.as_ns() as f64 / 1e6,
            tracks: playable.tracks.iter().map(|track| track.id.0).collect(),
            left_out: left_out.map(|track| track.codec.name()).collect(),
        }));
        out.push(Message::Binary(init));
        self.fragmenter = Some(Fragmenter::new(&playable.tracks, origin));
        true
    }

    fn lost(&mut self, loss: &Loss, out: &mut Vec<Message>) {
        self.flush(out);
        if let Some(fragmenter) = &mut self.fragmenter {
            fragmenter.break_here();
            self.waits_for_key = true;
        }
        let Loss { units, from, to } = *loss;
        out.push(text(&Missed { missed: MissedUnits { units, from, to } }));
    }

    fn flush(&mut self, out: &mut Vec<Message>) {
        let Some(fragmenter) = &mut self.fragmenter else { return };
        if let Ok(Some(fragment)) = fragmenter.flush() {
            out.push(Message::Binary(fragment.into_bytes()));
        }
    }
}

fn text(value: &impl Serialize) -> Message {
    let text = serde_json::to_string(value).expect("messages are plain JSON");
    Message::Text(text.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::testing::{aac, h264, mjpeg, picture, sound};

    const START: Time = Time::from_secs(1_000);

    fn shown(messages: &[Message]) -> Vec<String> {
        let show = |message: &Message| match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes[4..8]).into_owned(),
            other => panic!("{other:?}"),
        };
        messages.iter().map(show).collect()
    }

    fn unit(unit: Unit) -> Event {
        Event::Unit(Arc::new(unit))
    }

    #[test]
    fn a_description_precedes_the_fragments() {
        let mut packer = Packer::default();
        let events = [
            Event::Live(vec![h264(0), aac(1), mjpeg(2)].into()),
            unit(picture(0, 24, false, START)),
            unit(picture(0, 25, true, START)),
            unit(sound(1, 47, START)),
            unit(picture(2, 25, true, START)),
        ];
        let shown = shown(&packer.pack(events.into_iter()));
        assert_eq!(
            shown,
            [
                "{\"mime\":\"video/mp4; codecs=\\\"avc1.42C01E,mp4a.40.2\\\"\",\"epoch_ms\":1000000.0,\
                 \"tracks\":[0,1],\"left_out\":[\"mjpeg\"]}",
                "ftyp",
                "moof",
            ]
        );
    }

    #[test]
    fn a_loss_is_told_and_the_next_group_begins() {
        let mut packer = Packer::default();
        let first = [Event::Live(vec![h264(0)].into()), unit(picture(0, 0, true, START))];
        packer.pack(first.into_iter());
        let loss = Event::Lost(Loss { units: 9, from: START, to: START });
        let then = [loss, unit(picture(0, 10, false, START)), unit(picture(0, 25, true, START))];
        let shown = shown(&packer.pack(then.into_iter()));
        assert!(shown[0].starts_with("{\"missed\":{\"units\":9,"), "{shown:?}");
        assert_eq!(shown[1..], ["moof"]);
    }

    #[test]
    fn other_tracks_and_publishers_are_described_anew() {
        let mut packer = Packer::default();
        let events = [
            Event::Live(vec![h264(0)].into()),
            unit(picture(0, 0, true, START)),
            Event::Live(vec![h264(0), aac(1)].into()),
            unit(picture(0, 25, true, START)),
            Event::Idle,
            Event::Live(vec![mjpeg(0)].into()),
            unit(picture(0, 50, true, START)),
        ];
        let shown = shown(&packer.pack(events.into_iter()));
        let kinds: Vec<_> = shown.iter().map(|text| &text[..6.min(text.len())]).collect();
        assert_eq!(
            kinds,
            ["{\"mime", "ftyp", "moof", "{\"mime", "ftyp", "moof", "{\"idle", "{\"erro"]
        );
    }
}
