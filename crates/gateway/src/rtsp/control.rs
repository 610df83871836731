//! What the session machine asks for, done: descriptions, announcements, ports, publishing, playing.

use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_circuit::{PublishError, Start};
use pegasus_continuous::Continuous;
use pegasus_media::{TrackSet, sdp};

use super::connection::{Connection, Media};
use super::dialogue::{AnnouncedTrack, Answer, Ask, Description, Refusal, Started};
use super::message::Status;
use super::plan::{self, Plan};
use super::player::Player;
use super::publishing::{Announcement, Publishing, taken};
use super::range::{Npt, PlayLine, Range};
use super::rate::{Asked, Rate};
use super::recorded::{self, Recorded, Wanted};
use super::session::Session;
use super::target::Target;
use super::udp::UdpPair;
use crate::Level;

impl<S> Connection<S> {
    /// Does what the session machine asks for.
    pub(super) async fn serve(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Describe(target) => Answer::Described(self.describe(target).await),
            Ask::Announce { name, sdp } => Answer::Announced(self.announce(&name, &sdp).await),
            Ask::Bind { track, client } => Answer::Bound(self.bind(track, client)),
            Ask::Record { name } => Answer::Recording(self.record(&name)),
            Ask::Play { target, range, rate } => {
                Answer::Playing(self.play(target, range, rate).await)
            }
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

    async fn announce(
        &mut self,
        name: &StreamName,
        sdp: &[u8],
    ) -> Result<Vec<AnnouncedTrack>, Refusal> {
        let mut announcement = Announcement::read(sdp)?;
        // Told early, so that the client need not set up tracks in vain; what counts is RECORD.
        let publisher = self.services.switch.status(name).and_then(|status| status.publisher);
        if let Some(publisher) = publisher {
            let name = name.clone();
            return Err(taken(PublishError::Taken { name, publisher }));
        }
        let (bps, carried) = (announcement.bandwidth_bps, announcement.carried());
        let place = self.services.intake.ask(name, bps, carried).await;
        let too_much = |error| Refusal::new(Status::NOT_ENOUGH_BANDWIDTH, error);
        announcement.place = place.map_err(too_much)?;
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
        let Media::Announced(announcement) = &mut self.media else {
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

    async fn play(
        &mut self,
        target: Target,
        range: Option<Range>,
        asked: Asked,
    ) -> Result<Started, Refusal> {
        let (player, session, _) = self.player();
        let on = player.recorded().filter(|_| range.is_none());
        let on = on.map(|on| (on.position(), on.until(), on.rate()));
        let rate = asked.or(on.map_or(Rate::NORMAL, |(.., rate)| rate));
        let rate = player.served(rate, session.channels());
        if let Some((from, until, before)) = on {
            let rate = rate?;
            let until = until.filter(|_| before.is_backward() == rate.is_backward());
            return self.play_on(&target, Wanted { from, until, rate }).await;
        }
        let live = self.is_live(&target);
        if live && !plan::needs_line(&target, range) {
            return Ok(self.play_live(&target)); // at its own rate
        }
        let rate = rate?;
        let line = line_of(&self.services.store, &target).await?;
        let planned = match rate.is_backward() {
            true => plan::plan_back(&target, range, &line)?,
            false => plan::plan(&target, range, live, &line)?,
        };
        match planned {
            Plan::Live => Ok(self.play_live(&target)),
            Plan::Recorded { from, until, npt } => {
                self.play_from(&target, Wanted { from, until, rate }, &line, npt).await
            }
        }
    }

    /// Goes on where a playback stands, as it does or otherwise.
    async fn play_on(&mut self, target: &Target, wanted: Wanted) -> Result<Started, Refusal> {
        let line = line_of(&self.services.store, target).await?;
        let (player, session, rng) = self.player();
        if player.recorded().is_some_and(|recorded| recorded.go_on(wanted.rate)) {
            let rtp_info = player.go_on(session.channels(), rng);
            let range = Range::Npt { start: Npt::At(line.npt_at(wanted.from)), end: None };
            return Ok(Started { range, rate: wanted.rate, rtp_info });
        }
        let limit = plan::limit(target, &line, wanted.rate.is_backward());
        let wanted = Wanted { until: wanted.until.or(limit), ..wanted };
        self.play_from(target, wanted, &line, true).await
    }

    /// Begins to play what is recorded; `npt` says in which times the client reckons.
    async fn play_from(
        &mut self,
        target: &Target,
        wanted: Wanted,
        line: &PlayLine,
        npt: bool,
    ) -> Result<Started, Refusal> {
        let (switch, name) = (self.services.switch.clone(), target.name.clone());
        let live = move || switch.status(&name).is_some_and(|status| status.live);
        // Going elsewhere takes no more than before, and what was promised is not to be lost meanwhile.
        let before = self.player().0.recorded();
        let before = before.filter(|before| before.rate().pace() == wanted.rate.pace());
        let promise = before.map(|before| before.promise().clone());
        let promise = promise.filter(|promise| promise.withdrawn().is_none());
        let store = &self.services.store;
        let recorded = Recorded::open(store, &target.name, wanted, promise, live).await?;
        let (start, end) = (recorded.position(), wanted.until);
        let range = if npt {
            let end = end.map(|end| line.npt_at(end));
            Range::Npt { start: Npt::At(line.npt_at(start)), end }
        } else {
            Range::Clock { start, end }
        };
        let (player, session, rng) = self.player();
        let rtp_info = player.play_recorded(recorded, session.channels(), rng);
        Ok(Started { range, rate: wanted.rate, rtp_info })
    }

    fn play_live(&mut self, target: &Target) -> Started {
        let label = format!("rtsp {}", self.peer);
        let sink = self.services.switch.subscribe(&target.name, Start::KeyUnit).label(label);
        let (player, session, rng) = self.player();
        let rtp_info = player.play_live(sink, session.channels(), rng);
        let range = Range::Npt { start: Npt::Now, end: None };
        Started { range, rate: Rate::NORMAL, rtp_info }
    }

    fn player(&mut self) -> (&mut Player, &Session, &mut fastrand::Rng) {
        let Media::Player(player) = &mut self.media else {
            unreachable!("the session machine plays only what was described");
        };
        (player, &self.session, &mut self.rng)
    }
}

/// What is recorded of what the target names.
async fn line_of(store: &Continuous, target: &Target) -> Result<PlayLine, Refusal> {
    recorded::line(store, &target.name, target.recorded.unwrap_or(TimeRange::ALL)).await
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
