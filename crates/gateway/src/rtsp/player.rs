//! A player's stream: from the switch or the store, through an outlet, to its channels.

use std::sync::Arc;

use pegasus_base::Time;
use pegasus_circuit::{Command, Event, Loss, Sink};
use pegasus_media::rtp::Rtcp;
use pegasus_media::{TrackSet, Unit};

use super::dialogue::Refusal;
use super::outlet::{Outgoing, Outlet};
use super::rate::Rate;
use super::recorded::{Recorded, RecordedEvent};
use super::session::Channel;
use super::target::Target;

/// Longest packet sent. Below the Ethernet's 1500 with room for tunnels, as other servers have it.
const MTU_BYTES: usize = 1_400;

/// What a player is to be sent next.
#[derive(Debug)]
pub(super) enum Fed {
    /// The next unit.
    Unit(Arc<Unit>),
    /// The units that follow belong to these tracks.
    Tracks(TrackSet),
    /// Nothing is recorded between these times.
    Gap(Time, Time),
    /// The player was too slow.
    Lost(Loss),
    /// Nothing more comes, because of this.
    End(String),
}

#[derive(Debug)]
enum Feed {
    None,
    Live(Sink),
    Recorded(Box<Recorded>),
}

/// A described stream, and its playback once there is one.
#[derive(Debug)]
pub(super) struct Player {
    /// What is described.
    pub(super) target: Target,
    /// Its tracks as described, or as they have changed since.
    tracks: TrackSet,
    outlet: Option<Outlet>,
    feed: Feed,
    paused: bool,
}

impl Player {
    /// A player that was told of these tracks.
    pub(super) fn new(target: Target, tracks: TrackSet) -> Self {
        Self { target, tracks, outlet: None, feed: Feed::None, paused: false }
    }

    /// Starts playing the present. Yields what `RTP-Info` says.
    pub(super) fn play_live(
        &mut self,
        sink: Sink,
        channels: &[Channel],
        rng: &mut fastrand::Rng,
    ) -> Vec<(usize, u16, u32)> {
        self.feed = Feed::Live(sink);
        self.begin(channels, rng)
    }

    /// Starts playing what is recorded. Yields what `RTP-Info` says.
    pub(super) fn play_recorded(
        &mut self,
        recorded: Recorded,
        channels: &[Channel],
        rng: &mut fastrand::Rng,
    ) -> Vec<(usize, u16, u32)> {
        self.feed = Feed::Recorded(Box::new(recorded));
        self.begin(channels, rng)
    }

    fn begin(&mut self, channels: &[Channel], rng: &mut fastrand::Rng) -> Vec<(usize, u16, u32)> {
        self.paused = false;
        let tracks = &self.tracks;
        let outlet = self.outlet.get_or_insert_with(|| {
            let chosen: Vec<_> = channels.iter().map(|c| (c.track, c.ssrc)).collect();
            Outlet::new(tracks, &chosen, MTU_BYTES, rng)
        });
        outlet.begin()
    }

    /// Holds. A live stream is left: what comes meanwhile is not kept for this player.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        if let Feed::Live(_) = self.feed {
            self.feed = Feed::None;
        }
    }

    /// The recorded playback, playing or held.
    pub(super) fn recorded(&mut self) -> Option<&mut Recorded> {
        match &mut self.feed {
            Feed::Recorded(recorded) => Some(recorded),
            Feed::None | Feed::Live(_) => None,
        }
    }

    /// Goes on with the recorded playback from where it stands. Yields what `RTP-Info` says.
    pub(super) fn go_on(
        &mut self,
        channels: &[Channel],
        rng: &mut fastrand::Rng,
    ) -> Vec<(usize, u16, u32)> {
        self.begin(channels, rng)
    }

    /// What can be played at `rate` of what is set up.
    ///
    /// # Errors
    /// As [`Rate::served`].
    pub(super) fn served(&self, rate: Rate, channels: &[Channel]) -> Result<Rate, Refusal> {
        let chosen: Vec<usize> = channels.iter().map(|channel| channel.track).collect();
        rate.served(&self.tracks, &chosen)
    }

    /// Takes an RTCP packet of the client. If it wants a key unit, the publisher is asked for one.
    pub(super) fn feedback(&self, data: &[u8]) {
        let Feed::Live(sink) = &self.feed else { return };
        // What is no RTCP counts as a sign of life like anything else.
        let packets = Rtcp::parse_compound(data).unwrap_or_default();
        if packets.iter().any(|packet| matches!(packet, Rtcp::KeyUnitWanted { .. })) {
            sink.command(Command::KeyUnit);
        }
    }

    /// Waits for what is to be sent next; while nothing plays, for ever. Cancel safe.
    pub(super) async fn next(&mut self) -> Fed {
        if self.paused {
            return std::future::pending().await;
        }
        match &mut self.feed {
            Feed::None => std::future::pending().await,
            Feed::Live(sink) => live_event(sink.next().await),
            Feed::Recorded(recorded) => match recorded.next().await {
                RecordedEvent::Unit(unit) => Fed::Unit(unit),
                RecordedEvent::Tracks(tracks) => Fed::Tracks(tracks),
                RecordedEvent::Gap(from, to) => Fed::Gap(from, to),
                RecordedEvent::End(why) => Fed::End(why),
            },
        }
    }

    /// Turns what was fed into packets. False if the playback is over: goodbyes are among them.
    pub(super) fn take(&mut self, fed: Fed, out: &mut Vec<Outgoing>) -> bool {
        let Some(outlet) = &mut self.outlet else { return false };
        let name = &self.target.name;
        let why = match fed {
            Fed::Unit(unit) => {
                if let Err(error) = outlet.send(&unit, &mut |packet| out.push(packet)) {
                    tracing::warn!(stream = %name, %error, "a unit is left out for a player");
                }
                return true;
            }
            Fed::Gap(from, to) => {
                outlet.gap(from, to);
                return true;
            }
            Fed::Lost(loss) => {
                tracing::debug!(stream = %name, units = loss.units, "a player is too slow");
                return true;
            }
            Fed::Tracks(tracks) => {
                if tracks == self.tracks {
                    return true;
                }
                let fits = outlet.retrack(&self.tracks, &tracks);
                self.tracks = tracks;
                if fits {
                    return true;
                }
                "the codecs have changed since the description".to_owned()
            }
            Fed::End(why) => why,
        };
        tracing::info!(stream = %name, %why, "a playback ends");
        self.feed = Feed::None;
        outlet.goodbye(&mut |packet| out.push(packet));
        false
    }
}

fn live_event(event: Event) -> Fed {
    match event {
        Event::Live(tracks) => Fed::Tracks(tracks),
        Event::Unit(unit) => Fed::Unit(unit),
        Event::Lost(loss) => Fed::Lost(loss),
        Event::Idle => Fed::End("the publisher has left".to_owned()),
        Event::Closed => Fed::End("the node is stopping".to_owned()),
    }
}
