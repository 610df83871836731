//! Media on a connection, both ways, and what is due by the clock.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::{Connection, Ended, Media};
use super::message::emit_interleaved;
use super::outlet::Outgoing;
use super::player::Fed;
use super::publishing::Feedback;
use super::session::{Phase, SESSION_TIMEOUT_S};
use super::transport::Way;
use super::udp::Datagram;

/// How often a publisher is told how its packets fare.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How many datagrams go out in one burst; a client's buffer may hold no more.
const BURST_DATAGRAMS: usize = 32;
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// How long datagrams are awaited after a publisher's end, and how long a silence means that there
/// are no more.
const DRAIN_MAX: Duration = Duration::from_millis(500);
const DRAIN_QUIET: Duration = Duration::from_millis(50);

impl<S> Connection<S> {
    /// A packet that came in the connection itself.
    pub(super) fn interleaved(&mut self, id: u8, data: Bytes) {
        let mut channels = self.session.channels().iter().enumerate();
        let found = channels.find_map(|(channel, agreed)| match agreed.way {
            Way::Interleaved(rtp, _) if rtp == id => Some((channel, false)),
            Way::Interleaved(_, rtcp) if rtcp == id => Some((channel, true)),
            _ => None,
        });
        // Some clients keep sending a moment after TEARDOWN: nothing to say about.
        if let Some((channel, control)) = found {
            self.packet(channel, control, data);
        }
    }

    /// A packet that came by UDP, and all that wait behind it.
    pub(super) fn datagram(&mut self, first: Datagram) {
        let mut next = Some(first);
        while let Some(Datagram { track, control, data }) = next {
            let mut channels = self.session.channels().iter();
            if let Some(channel) = channels.position(|channel| channel.track == track) {
                self.packet(channel, control, data);
            }
            next = self.inbox.1.try_recv().ok();
        }
        self.flush();
    }

    /// Takes the datagrams a publisher sent before it said on the connection that it ends: they may
    /// be on their way still.
    pub(super) async fn drain(&mut self) {
        if !matches!(self.media, Media::Publishing(..)) || self.ports.is_empty() {
            return;
        }
        let end = Instant::now() + DRAIN_MAX;
        while Instant::now() < end {
            match tokio::time::timeout(DRAIN_QUIET, self.inbox.1.recv()).await {
                Ok(Some(datagram)) => self.datagram(datagram),
                _ => break,
            }
        }
    }

    fn packet(&mut self, channel: usize, control: bool, data: Bytes) {
        match &mut self.media {
            Media::Publishing(publishing, _) => {
                publishing.packet(channel, control, data, self.services.clock.now());
            }
            Media::Player(player) if control => player.feedback(&data),
            _ => {}
        }
    }

    /// Sends on what a publisher's packets have made whole.
    pub(super) fn flush(&mut self) {
        if let Media::Publishing(publishing, _) = &mut self.media {
            publishing.flush(self.services.clock.now());
        }
    }

    /// Sends RTCP to a publisher.
    pub(super) async fn feedback(&mut self, feedback: Feedback) {
        let control = true;
        let packets = feedback.into_iter().map(|(lane, data)| Outgoing { lane, control, data });
        self.deliver(packets.collect()).await;
    }

    /// Sends a player what it was fed.
    pub(super) async fn feed(&mut self, fed: Fed) {
        let Media::Player(player) = &mut self.media else { return };
        let mut packets = Vec::new();
        if !player.take(fed, &mut packets) {
            self.session.ended();
        }
        self.deliver(packets).await;
    }

    /// Puts packets on their channels. Lanes are numbered as the session's channels are.
    async fn deliver(&mut self, packets: Vec<Outgoing>) {
        let mut burst = 0;
        for Outgoing { lane, control, data } in packets {
            let Some(channel) = self.session.channels().get(lane) else { continue };
            match channel.way {
                Way::Interleaved(rtp, rtcp) => {
                    if self.out.is_empty() {
                        self.drained = Instant::now(); // it has only now something to take
                    }
                    let id = if control { rtcp } else { rtp };
                    emit_interleaved(id, &data, &mut self.out);
                }
                Way::Udp { .. } => {
                    let Some(pair) = self.ports.get(&channel.track) else { continue };
                    burst += 1;
                    if burst % BURST_DATAGRAMS == 0 {
                        tokio::time::sleep(BURST_PAUSE).await;
                    }
                    if let Err(error) = pair.send(control, &data).await {
                        tracing::debug!(peer = %self.peer, %error, "a datagram can't be sent");
                    }
                }
            }
        }
    }

    /// What is due by the clock.
    pub(super) async fn tick(&mut self) -> Result<(), Ended> {
        self.flush();
        if let Media::Publishing(publishing, _) = &mut self.media
            && self.reported.elapsed() >= REPORT_EVERY
        {
            self.reported = Instant::now();
            let reports = publishing.reports(self.services.clock.now(), &self.services.events);
            self.feedback(reports).await;
        }
        self.overdue().map_or(Ok(()), Err)
    }

    /// Why the client has to go, if it has been silent or stuck for too long.
    fn overdue(&self) -> Option<Ended> {
        let silent = self.heard.elapsed();
        if !self.out.is_empty() && self.drained.elapsed() > self.limits.stuck {
            return Some(format!("the client took nothing for {:?}", self.limits.stuck));
        }
        let over_tcp = |phase| {
            let mut channels = self.session.channels().iter();
            phase == Phase::Playing && channels.all(|c| matches!(c.way, Way::Interleaved(..)))
        };
        let limit = match self.session.phase() {
            Phase::Recording => self.limits.publisher_silent,
            // It takes what it is sent, or is stuck: that is sign enough.
            phase if over_tcp(phase) => return None,
            _ => Duration::from_secs(SESSION_TIMEOUT_S),
        };
        (silent > limit).then(|| format!("the client was silent for {limit:?}"))
    }
}
