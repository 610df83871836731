//! Pulling a stream by RTSP. Retina speaks the protocol; the packets go the same way as a
//! publisher's, so that what is recorded is bit for bit what the camera sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use pegasus_base::StreamName;
use pegasus_circuit::{Damage, Source};
use pegasus_media::{Kind, TrackId, Unit, sdp};
use retina::client::{
    Credentials, PacketItem, PlayOptions, Playing, Session, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport, UdpTransportOptions, UnknownRtcpSsrcPolicy,
};

use super::bridge;
use super::url::RtspUrl;
use super::{Report, World, check_free};
use crate::rtsp::ingest::{Ingest, Ingested};

/// How long each request may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a source may send nothing.
const SILENT_MAX: Duration = Duration::from_secs(20);

/// How often losses are logged at most.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Pulls until it fails. Yields why it did, without the password.
pub(super) async fn run(
    world: &World,
    name: &StreamName,
    url: &RtspUrl,
    report: &Report,
) -> String {
    match pull(world, name, url, report).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn pull(
    world: &World,
    name: &StreamName,
    url: &RtspUrl,
    report: &Report,
) -> Result<std::convert::Infallible, String> {
    check_free(world, name)?;
    let options = SessionOptions::default()
        .user_agent(concat!("pegasus/", env!("CARGO_PKG_VERSION")).to_owned())
        .creds(
            url.credentials.clone().map(|(username, password)| Credentials { username, password }),
        );
    let (address, _bridge) = match url.is_tls() {
        true => answer_within("TLS", bridge::open(url)).await?,
        false => (url.plain.clone(), None),
    };
    let mut session = answered("DESCRIBE", Session::describe(address, options)).await?;
    let description = sdp::parse(session.sdp()).map_err(|error| error.to_string())?;
    for refused in &description.refused {
        tracing::warn!(source = %name, why = %refused.reason, "a track is not carried");
    }
    let lanes = choose(description.media, session.streams());
    if lanes.is_empty() {
        let reasons: Vec<_> = description.refused.iter().map(|r| r.reason.as_str()).collect();
        return Err(format!("no track can be carried ({})", reasons.join("; ")));
    }
    let tracks = lanes.iter().map(|(_, media)| media.track.clone()).collect();
    let place = world.intake.ask(name, world.rate_bps.or(description.bandwidth_bps), tracks).await;
    let _place = place.map_err(|error| error.to_string())?;
    for (stream, _) in &lanes {
        let transport = match url.udp {
            true => Transport::Udp(UdpTransportOptions::default()),
            false => Transport::Tcp(TcpTransportOptions::default()),
        };
        let options = SetupOptions::default().transport(transport);
        answered("SETUP", session.setup(*stream, options)).await?;
    }
    // Cameras that get the identity in their sender reports wrong are common.
    let options = PlayOptions::default().unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets);
    let playing = answered("PLAY", session.play(options)).await?;
    let streams: Vec<usize> = lanes.iter().map(|(stream, _)| *stream).collect();
    let media: Vec<sdp::Media> = lanes.into_iter().map(|(_, media)| media).collect();
    let ingest = Ingest::new(&media, url.udp, fastrand::u32(1..));
    let mut pull =
        Pull { world, name, url, report, ingest, streams, source: None, losses: Losses::default() };
    pull.receive(Box::pin(playing)).await
}

/// Which of retina's streams each track is. Retina leaves out what it can't parse, so they are matched
/// by kind and payload type in order.
fn choose(media: Vec<sdp::Media>, streams: &[retina::client::Stream]) -> Vec<(usize, sdp::Media)> {
    let mut lanes: Vec<(usize, sdp::Media)> = Vec::new();
    for mut media in media {
        let kind = match media.track.kind() {
            Kind::Video => "video",
            Kind::Audio => "audio",
        };
        let stream = streams.iter().enumerate().position(|(index, stream)| {
            let same = stream.media() == kind && stream.rtp_payload_type() == media.payload_type;
            same && lanes.iter().all(|(taken, _)| *taken != index)
        });
        if let Some(stream) = stream {
            media.track.id = TrackId(lanes.len() as u8);
            lanes.push((stream, media));
        }
    }
    lanes
}

async fn answered<T>(
    method: &str,
    request: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, String> {
    answer_within(method, async { request.await.map_err(|error| one_line(&error)) }).await
}

async fn answer_within<T>(
    what: &str,
    request: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_MAX, request).await {
        Ok(answer) => answer.map_err(|error| format!("{what} failed: {error}")),
        Err(_) => Err(format!("no answer to {what} within {ANSWER_MAX:?}")),
    }
}

/// Retina's errors add coordinates on further lines: useful to its developers.
fn one_line(error: &retina::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// A source being received.
struct Pull<'a> {
    world: &'a World,
    name: &'a StreamName,
    url: &'a RtspUrl,
    report: &'a Report,
    ingest: Ingest,
    /// Retina's number of each track's stream.
    streams: Vec<usize>,
    /// Published with the first unit: a camera that answers but sends nothing is not live.
    source: Option<Source>,
    losses: Losses,
}

/// What was missing and still has to be told.
#[derive(Default)]
struct Losses {
    uncounted: Damage,
    unlogged: Damage,
    logged: Option<Instant>,
}

impl Losses {
    /// Adds to the stream's count, and to the log once for a burst.
    fn tell(&mut self, more: Damage, name: &StreamName, source: Option<&Source>) {
        self.uncounted += more;
        self.unlogged += more;
        if let Some(source) = source.filter(|_| !self.uncounted.is_none()) {
            source.damaged(std::mem::take(&mut self.uncounted));
        }
        let quiet = self.logged.is_none_or(|logged| logged.elapsed() >= TELL_EVERY);
        let Damage { lost_packets, damaged_units, doubtful_units } = self.unlogged;
        // Doubt alone is what is left of a loss that was told already.
        if quiet && lost_packets + damaged_units > 0 {
            self.unlogged = Damage::default();
            let text = "packets of the source did not arrive";
            tracing::warn!(source = %name, lost_packets, damaged_units, doubtful_units, "{text}");
            self.logged = Some(Instant::now());
        }
    }
}

impl Pull<'_> {
    async fn receive(
        &mut self,
        mut playing: std::pin::Pin<Box<Session<Playing>>>,
    ) -> Result<std::convert::Infallible, String> {
        loop {
            let item = match tokio::time::timeout(SILENT_MAX, playing.next()).await {
                Ok(Some(Ok(item))) => item,
                Ok(Some(Err(error))) => return Err(one_line(&error)),
                Ok(None) => return Err("the server has ended the stream".to_owned()),
                Err(_) => return Err(format!("nothing came for {SILENT_MAX:?}")),
            };
            if self.take(item) {
                return Err("the server said goodbye".to_owned());
            }
            self.flush()?;
        }
    }

    /// Takes a packet. True if it is a goodbye.
    fn take(&mut self, item: PacketItem) -> bool {
        let now = self.world.clock.now();
        let lane = |id: usize| self.streams.iter().position(|stream| *stream == id);
        let outcome = match item {
            PacketItem::Rtp(packet) => match lane(packet.stream_id()) {
                Some(lane) => {
                    self.ingest.rtp(lane, Bytes::copy_from_slice(packet.raw()), now).map(|()| false)
                }
                None => Ok(false),
            },
            PacketItem::Rtcp(packet) => match lane(packet.stream_id()) {
                Some(lane) => self.ingest.rtcp(lane, packet.raw(), now),
                None => Ok(false),
            },
            _ => Ok(false),
        };
        outcome.unwrap_or_else(|error| {
            tracing::debug!(source = %self.name, %error, "a packet makes no sense");
            false
        })
    }

    fn flush(&mut self) -> Result<(), String> {
        let now = self.world.clock.now();
        let mut units = Vec::new();
        while let Some(ingested) = self.ingest.poll(now) {
            match ingested {
                Ingested::Unit(unit) => units.push(unit),
                Ingested::Tracks(tracks) => {
                    if let Some(source) = &self.source {
                        source.send_many(units.drain(..));
                        source.set_tracks(tracks);
                    }
                }
            }
        }
        if !units.is_empty() {
            self.send(units)?;
        }
        self.losses.tell(self.ingest.take_damage(), self.name, self.source.as_ref());
        Ok(())
    }

    fn send(&mut self, units: Vec<Unit>) -> Result<(), String> {
        let source = match &self.source {
            Some(source) => source,
            None => {
                let publisher =
                    format!("source {}", super::SourceUrl::Rtsp(Box::new(self.url.clone())));
                let tracks = self.ingest.tracks().clone();
                let published = self.world.switch.publish(self.name, &publisher, tracks);
                let source = published.map_err(|error| error.to_string())?;
                self.report.live();
                tracing::info!(source = %self.name, "a source is live");
                self.source.insert(source)
            }
        };
        source.send_many(units);
        Ok(())
    }
}
