//! One connection: bytes to messages, messages to the session machine, what it asks for to the
//! switch and the store, and media both ways. All in one task; everything that is slow is waited for
//! in [`Connection::happening`].

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use pegasus_circuit::{Command, Commands};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::challenge::Gate;
use super::decode::{Decoder, Item};
use super::dialogue::Step;
use super::message::{Method, Request, Response, Status};
use super::player::{Fed, Player};
use super::publishing::{Announcement, Publishing};
use super::server::Limits;
use super::session::Session;
use super::target::Target;
use super::udp::{DATAGRAMS_QUEUED_MAX, Datagram, UdpPair};
use crate::{Level, Services};

/// How much memory is set aside to read into, and how little of it may be left.
const READ_BYTES: usize = 64 << 10;
const READ_BYTES_LEAST: usize = 4 << 10;

/// Why a connection ends.
pub(super) type Ended = String;

/// What the connection's media is about.
pub(super) enum Media {
    None,
    Announced(Announcement),
    Publishing(Box<Publishing>, Commands),
    Player(Box<Player>),
}

/// One connection.
pub(super) struct Connection<S> {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) reader: ReadHalf<S>,
    pub(super) writer: WriteHalf<S>,
    pub(super) decoder: Decoder,
    /// Bytes on their way to the client.
    pub(super) out: BytesMut,
    pub(super) session: Session,
    gate: Gate,
    pub(super) media: Media,
    /// UDP ports by track.
    pub(super) ports: BTreeMap<usize, UdpPair>,
    pub(super) inbox: (mpsc::Sender<Datagram>, mpsc::Receiver<Datagram>),
    pub(super) services: Services,
    pub(super) limits: Limits,
    pub(super) rng: fastrand::Rng,
    /// When the client last gave a sign of life, and when it last took bytes.
    pub(super) heard: Instant,
    pub(super) drained: Instant,
    pub(super) reported: Instant,
}

/// What a connection waits for.
enum Happening {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Datagram(Datagram),
    Fed(Fed),
    Command(Command),
    Tick,
    Stop,
}

impl<S: AsyncRead + AsyncWrite + Send> Connection<S> {
    /// A connection accepted from `peer`.
    pub(super) fn new(
        stream: S,
        peer: SocketAddr,
        local: SocketAddr,
        services: Services,
        limits: Limits,
    ) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let now = Instant::now();
        let mut rng = fastrand::Rng::new();
        Self {
            peer,
            local,
            reader,
            writer,
            decoder: Decoder::new(limits.decode),
            out: BytesMut::new(),
            session: Session::new(rng.fork()),
            gate: Gate::new(services.access.clone(), &mut rng),
            media: Media::None,
            ports: BTreeMap::new(),
            inbox: mpsc::channel(DATAGRAMS_QUEUED_MAX),
            services,
            limits,
            rng,
            heard: now,
            drained: now,
            reported: now,
        }
    }

    /// Serves the connection until it ends. Yields why it did.
    pub(super) async fn run(mut self) -> Ended {
        let ended = loop {
            let happening = self.happening().await;
            if let Err(ended) = self.handle(happening).await {
                break ended;
            }
        };
        self.drain().await;
        self.teardown(false);
        let farewell = async {
            self.writer.write_all(&self.out).await?;
            self.writer.shutdown().await
        };
        // A client that takes nothing is not waited for; one that is gone has no use for it.
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
        ended
    }

    async fn happening(&mut self) -> Happening {
        let wake = self.next_tick();
        let Self { reader, writer, decoder, out, media, inbox, services, limits, .. } = self;
        let roomy = out.len() < limits.write_queue_bytes;
        let buffer = decoder.buffer();
        if buffer.capacity() - buffer.len() < READ_BYTES_LEAST {
            buffer.reserve(READ_BYTES);
        }
        tokio::select! {
            read = reader.read_buf(buffer) => Happening::Read(read),
            wrote = writer.write(out), if !out.is_empty() => Happening::Wrote(wrote),
            Some(datagram) = inbox.1.recv() => Happening::Datagram(datagram),
            happening = media.next(), if roomy => happening,
            () = tokio::time::sleep_until(wake.into()) => Happening::Tick,
            () = services.stop.cancelled() => Happening::Stop,
        }
    }

    /// When to look round although nothing happens.
    fn next_tick(&self) -> Instant {
        let now = Instant::now();
        let second = now + Duration::from_secs(1);
        match &self.media {
            Media::Publishing(publishing, _) => publishing.deadline().map_or(second, |deadline| {
                second.min(now + deadline.since(self.services.clock.now()))
            }),
            _ => second,
        }
    }

    async fn handle(&mut self, happening: Happening) -> Result<(), Ended> {
        match happening {
            Happening::Read(Ok(0)) => Err("the client closed it".to_owned()),
            Happening::Read(Ok(_)) => {
                self.heard = Instant::now();
                self.read().await
            }
            Happening::Wrote(Ok(len)) => {
                self.out.advance(len);
                self.drained = Instant::now();
                Ok(())
            }
            Happening::Read(Err(error)) | Happening::Wrote(Err(error)) => {
                Err(format!("it broke: {error}"))
            }
            Happening::Datagram(datagram) => {
                self.heard = Instant::now();
                self.datagram(datagram);
                Ok(())
            }
            Happening::Fed(fed) => {
                self.feed(fed).await;
                Ok(())
            }
            Happening::Command(Command::KeyUnit) => {
                if let Media::Publishing(publishing, _) = &mut self.media {
                    let requests = publishing.key_unit_requests();
                    self.feedback(requests).await;
                }
                Ok(())
            }
            Happening::Command(_) => Ok(()), // a command this door doesn't know
            Happening::Tick => self.tick().await,
            Happening::Stop => {
                self.feed(Fed::End("the node is stopping".to_owned())).await;
                Err("the node is stopping".to_owned())
            }
        }
    }

    /// Handles all that the decoder has whole.
    async fn read(&mut self) -> Result<(), Ended> {
        loop {
            match self.decoder.next() {
                Ok(Some(Item::Request(request))) => self.request(request).await,
                Ok(Some(Item::Packet { channel, data })) => self.interleaved(channel, data),
                Ok(Some(Item::Response(_))) => {} // nothing was asked
                Ok(None) => break,
                Err(error) => {
                    Response::refuse(error.status(), &error).emit(&mut self.out);
                    let subject = format!("rtsp {}", self.peer.ip());
                    let text = format!("a client sent no RTSP: {error}");
                    self.services.events.report(Level::Warning, subject, text);
                    return Err(format!("the client sent no RTSP: {error}"));
                }
            }
        }
        self.flush();
        Ok(())
    }

    async fn request(&mut self, request: Request) {
        let (method, peer) = (request.method.clone(), self.peer);
        tracing::debug!(%peer, %method, url = %without_password(&request.url), "request");
        // OPTIONS tells nothing, and some clients send it without credentials.
        let asked = (method != Method::Options).then(|| self.gate.check(&request)).flatten();
        if let Some(response) = asked {
            response.emit(&mut self.out);
            return;
        }
        let subject = self.subject(&request);
        if method == Method::Teardown {
            self.drain().await;
        }
        let mut step = self.session.request(request, self.services.clock.now());
        let response = loop {
            match step {
                Step::Reply(response) => break response,
                Step::Ask(ask) => {
                    let answer = self.serve(ask).await;
                    step = self.session.answer(answer);
                }
            }
        };
        if response.status != Status::OK {
            let (status, reason) = (response.status.0, &response.reason);
            if matches!(method, Method::Announce | Method::Record) {
                let text = format!("a publisher at {} was refused: {status} {reason}", peer.ip());
                self.services.events.report(Level::Warning, subject, text);
            } else {
                tracing::info!(%peer, %method, status, %reason, "refused");
            }
        } else if method == Method::Teardown {
            self.teardown(true);
        }
        response.emit(&mut self.out);
    }

    /// What an event about this request is about: the stream it names, else the client.
    fn subject(&self, request: &Request) -> String {
        match Target::parse(&request.url, self.services.clock.now()) {
            Ok(target) => target.name.to_string(),
            Err(_) => format!("rtsp {}", self.peer.ip()),
        }
    }

    /// Ends what goes on; whether the client said so.
    fn teardown(&mut self, said_so: bool) {
        let now = self.services.clock.now();
        if let Media::Publishing(publishing, _) = std::mem::replace(&mut self.media, Media::None) {
            publishing.finish(now, said_so);
        }
        self.ports.clear();
    }
}

/// A URL as it may stand in a log.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => {
            format!("{}://{}", &url[..scheme], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

impl Media {
    /// Waits for what the media needs done next; for ever if there is nothing. Cancel safe.
    async fn next(&mut self) -> Happening {
        match self {
            Self::Player(player) => Happening::Fed(player.next().await),
            Self::Publishing(_, commands) => match commands.next().await {
                Some(command) => Happening::Command(command),
                None => std::future::pending().await,
            },
            Self::None | Self::Announced(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_the_log() {
        assert_eq!(without_password("rtsp://u:p@h/cam"), "rtsp://h/cam");
        assert_eq!(without_password("rtsp://u:p@ss@h/cam"), "rtsp://h/cam");
        assert_eq!(without_password("rtsp://h/cam"), "rtsp://h/cam");
        assert_eq!(without_password("*"), "*");
    }
}
