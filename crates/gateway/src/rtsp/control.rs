//! What the session machine asks for, done: descriptions, announcements, ports, publishing, playing.

use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_circuit::{PublishError, Start};
use pegasus_media::{TrackSet, sdp};

use super::connection::{Connection, Media};
use super::dialogue::{AnnouncedTrack, Answer, Ask, Description, Refusal, Started};
use super::message::Status;
use super::plan::{self, Plan};
use super::player::Player;
use super::publishing::{Announcement, Publishing, taken};
use super::range::{Npt, PlayLine, Range};
use super::recorded::{self, Recorded};
use super::session::Session;
use super::target::Target;
use super::udp::UdpPair;
use crate::Level;

impl<S> Connection<S> {
    /// Does what the session machine asks for.
    pub(super) async fn serve(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Describe(target) => Answer::Described(self.describe(target).await),
            Ask::Announce { name, sdp } => Answer::Announced(self.announce(&name, &sdp)),
            Ask::Bind { track, client } => Answer::Bound(self.bind(track, client)),
            Ask::Record { name } => Answer::Recording(self.record(&name)),
            Ask::Play { target, range } => Answer::Playing(self.play(target, range).await),
            Ask::Pause => {
                if let Media::Player(player) = &mut self.media {
                    player.pause();
                }
                Answer::Paused
            }
        }
    }

    fn is_live(&self, target: &Target) -> bool {
        self.services.switch.status(&target.name).is_some_and(|status| status.live)
    }

    async fn describe(&mut self, target: Target) -> Result<Description, Refusal> {
        let store = &self.services.store;
        let live = match target.recorded {
            None => self.services.switch.status(&target.name).filter(|status| status.live),
            Some(_) => None,
        };
        let (tracks, range): (TrackSet, String) = if let Some(status) = live {
            (status.tracks, "npt=now-".to_owned())
        } else {
            let asked = target.recorded.unwrap_or(TimeRange::ALL);
            let line = recorded::line(store, &target.name, asked).await?;
            let Some(bounds) = line.bounds() else {
                return Err(plan::not_live(&target.name, &line));
            };
            let tracks =
                recorded::tracks(store, &target.name, described_at(&target, &line)).await?;
            (tracks, recorded_range(&target, &line, bounds))
        };
        let session = sdp::Session {
            name: target.name.as_str(),
            id: self.rng.u64(1..1 << 62),
            range: Some(&range),
        };
        let description = Description { sdp: sdp::emit(&session, &tracks), tracks: tracks.len() };
        self.media = Media::Player(Box::new(Player::new(target, tracks)));
        Ok(description)
    }

    fn announce(&mut self, name: &StreamName, sdp: &[u8]) -> Result<Vec<AnnouncedTrack>, Refusal> {
        let announcement = Announcement::read(sdp)?;
        // Told early, so that the client need not set up tracks in vain; what counts is RECORD.
        let publisher = self.services.switch.status(name).and_then(|status| status.publisher);
        if let Some(publisher) = publisher {
            let name = name.clone();
            return Err(taken(PublishError::Taken { name, publisher }));
        }
        for track in &announcement.tracks {
            if let Some(why) = &track.refused {
                let text = format!("a track of the publisher is not carried: {why}");
                self.services.events.report(Level::Warning, name, text);
            }
        }
        let tracks = announcement.tracks.clone();
        self.media = Media::Announced(announcement);
        Ok(tracks)
    }

    fn bind(&mut self, track: usize, client: (u16, u16)) -> Result<(u16, u16), Refusal> {
        let (local, peer) = (self.local.ip(), self.peer.ip());
        let pair = UdpPair::open(local, peer, client, track, &self.inbox.0).map_err(|error| {
            Refusal::new(Status::UNAVAILABLE, format!("no pair of UDP ports is free: {error}"))
        })?;
        let ports = pair.ports;
        self.ports.insert(track, pair);
        Ok(ports)
    }

    fn record(&mut self, name: &StreamName) -> Result<(), Refusal> {
        let Media::Announced(announcement) = &self.media else {
            unreachable!("the session machine records only what was announced");
        };
        let (publishing, commands) = Publishing::start(
            &self.services.switch,
            name,
            &format!("rtsp {}", self.peer),
            announcement,
            self.session.channels(),
        )?;
        tracing::info!(peer = %self.peer, stream = %name, "publishes");
        self.media = Media::Publishing(Box::new(publishing), commands);
        (self.heard, self.reported) = (Instant::now(), Instant::now());
        Ok(())
    }

    async fn play(&mut self, target: Target, range: Option<Range>) -> Result<Started, Refusal> {
        let paused = match (&mut self.media, range) {
            (Media::Player(player), None) => player.take_paused(),
            _ => None,
        };
        let asked = target.recorded.unwrap_or(TimeRange::ALL);
        let live = self.is_live(&target);
        let needs_line = paused.is_some() || !live || plan::needs_line(&target, range);
        let line = match needs_line {
            true => recorded::line(&self.services.store, &target.name, asked).await?,
            false => PlayLine::default(),
        };
        if let Some(mut recorded) = paused {
            recorded.resume();
            let start = Npt::At(line.npt_at(recorded.position()));
            return Ok(self.play_recorded(recorded, Range::Npt { start, end: None }));
        }
        match plan::plan(&target, range, live, &line)? {
            Plan::Live => Ok(self.play_live(&target)),
            Plan::Recorded { from, until, npt } => {
                let (switch, name) = (self.services.switch.clone(), target.name.clone());
                let live = move || switch.status(&name).is_some_and(|status| status.live);
                let store = &self.services.store;
                let recorded = Recorded::open(store, &target.name, from, until, live).await?;
                let actual = recorded.position();
                let range = if npt {
                    let end = until.map(|until| line.npt_at(until));
                    Range::Npt { start: Npt::At(line.npt_at(actual)), end }
                } else {
                    Range::Clock { start: actual, end: until }
                };
                Ok(self.play_recorded(recorded, range))
            }
        }
    }

    fn play_live(&mut self, target: &Target) -> Started {
        let label = format!("rtsp {}", self.peer);
        let sink = self.services.switch.subscribe(&target.name, Start::KeyUnit).label(label);
        let (player, session, rng) = self.player();
        let rtp_info = player.play_live(sink, session.channels(), rng);
        Started { range: Range::Npt { start: Npt::Now, end: None }, rtp_info }
    }

    fn play_recorded(&mut self, recorded: Recorded, range: Range) -> Started {
        let (player, session, rng) = self.player();
        let rtp_info = player.play_recorded(recorded, session.channels(), rng);
        Started { range, rtp_info }
    }

    fn player(&mut self) -> (&mut Player, &Session, &mut fastrand::Rng) {
        let Media::Player(player) = &mut self.media else {
            unreachable!("the session machine plays only what was described");
        };
        (player, &self.session, &mut self.rng)
    }
}

/// What `a=range` says of a recording.
fn recorded_range(target: &Target, line: &PlayLine, bounds: TimeRange) -> String {
    match target.recorded {
        Some(_) => {
            let end = Some(line.duration());
            Range::Npt { start: Npt::At(Duration::ZERO), end }.to_string()
        }
        None => Range::Clock { start: bounds.start, end: Some(bounds.end) }.to_string(),
    }
}

/// Whose tracks a description shows: of a range its first, of a whole recording its last.
fn described_at(target: &Target, line: &PlayLine) -> Time {
    let npt = match target.recorded {
        Some(_) => Duration::ZERO,
        None => line.duration().saturating_sub(Duration::from_nanos(1)),
    };
    line.time_at(npt).expect("the line is not empty and the time is before its end")
}
