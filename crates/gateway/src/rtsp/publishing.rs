//! A publisher's stream: what it announced, and its packets on their way to the switch.

use bytes::Bytes;
use pegasus_base::{StreamName, Time};
use pegasus_circuit::{Commands, Damage, PublishError, Source, Switch};
use pegasus_continuous::Place;
use pegasus_media::{TrackId, TrackSet, sdp};

use super::dialogue::{AnnouncedTrack, Refusal};
use super::ingest::{Ingest, Ingested};
use super::message::Status;
use super::session::{Channel, TRACKS_MAX};
use super::transport::Way;
use crate::{Events, Level};

/// What a publisher announced: for each track, in the order of the description, how it is coded;
/// none where it can't be carried.
#[derive(Debug)]
pub(super) struct Announcement {
    /// For the session machine.
    pub(super) tracks: Vec<AnnouncedTrack>,
    media: Vec<Option<sdp::Media>>,
    /// What the publisher says that all of it needs.
    pub(super) bandwidth_bps: Option<u64>,
    /// Among what the disks can record.
    pub(super) place: Option<Place>,
}

impl Announcement {
    /// Reads a description.
    ///
    /// # Errors
    /// 400 if it is none, 415 if nothing in it can be carried.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let description =
            sdp::parse(body).map_err(|error| Refusal::new(Status::BAD_REQUEST, error))?;
        if description.media.is_empty() {
            let reasons: Vec<_> = description.refused.iter().map(|r| r.reason.as_str()).collect();
            let why = format!("no track can be carried ({})", reasons.join("; "));
            return Err(Refusal::new(Status::UNSUPPORTED_MEDIA, why));
        }
        let bandwidth_bps = description.bandwidth_bps;
        let mut lines: Vec<(usize, AnnouncedTrack, Option<sdp::Media>)> = Vec::new();
        for media in description.media {
            let control = media.control.clone().unwrap_or_default();
            lines.push((media.line, AnnouncedTrack { control, refused: None }, Some(media)));
        }
        for refused in description.refused {
            let control = refused.control.unwrap_or_default();
            let track = AnnouncedTrack { control, refused: Some(refused.reason) };
            lines.push((refused.line, track, None));
        }
        lines.sort_by_key(|(line, ..)| *line);
        if lines.len() > TRACKS_MAX {
            let why = format!("{} tracks are announced, at most {TRACKS_MAX} go", lines.len());
            return Err(Refusal::new(Status::BAD_REQUEST, why));
        }
        let (tracks, media) = lines.into_iter().map(|(_, track, media)| (track, media)).unzip();
        Ok(Self { tracks, media, bandwidth_bps, place: None })
    }

    /// The tracks that can be carried.
    pub(super) fn carried(&self) -> TrackSet {
        self.media.iter().flatten().map(|media| media.track.clone()).collect()
    }

    /// The tracks of `channels` that can be carried, numbered anew; and for each channel which of
    /// them it brings.
    fn chosen(&self, channels: &[Channel]) -> (Vec<sdp::Media>, Vec<Option<usize>>) {
        let mut chosen = Vec::new();
        let mut lanes = vec![None; channels.len()];
        let mut order: Vec<usize> = (0..channels.len()).collect();
        order.sort_by_key(|&channel| channels[channel].track);
        for channel in order {
            if let Some(media) = &self.media[channels[channel].track] {
                let mut media = media.clone();
                media.track.id = TrackId(chosen.len() as u8);
                lanes[channel] = Some(chosen.len());
                chosen.push(media);
            }
        }
        (chosen, lanes)
    }
}

/// A stream being published. Dropping it makes the stream idle.
#[derive(Debug)]
pub(super) struct Publishing {
    source: Source,
    ingest: Ingest,
    /// For each channel which lane of the ingest it brings.
    lanes: Vec<Option<usize>>,
    /// What was missing since the last report.
    damage: Damage,
    bad_packets: u64,
    /// The last thing that was wrong with a packet.
    trouble: String,
    place: Option<Place>,
}

/// What goes back to the publisher: the channel and an RTCP packet.
pub(super) type Feedback = Vec<(usize, Bytes)>;

impl Publishing {
    /// Takes the name and gets ready for packets on `channels`.
    ///
    /// # Errors
    /// 409 if somebody else publishes on it, 415 if only tracks that can't be carried were set up.
    pub(super) fn start(
        switch: &Switch,
        name: &StreamName,
        publisher: &str,
        announcement: &mut Announcement,
        channels: &[Channel],
    ) -> Result<(Self, Commands), Refusal> {
        let (chosen, lanes) = announcement.chosen(channels);
        if chosen.is_empty() {
            let why = "none of the tracks set up can be carried";
            return Err(Refusal::new(Status::UNSUPPORTED_MEDIA, why));
        }
        let datagrams = channels.iter().any(|c| matches!(c.way, Way::Udp { .. }));
        let ingest = Ingest::new(&chosen, datagrams, channels[0].ssrc);
        let source = switch.publish(name, publisher, ingest.tracks().clone()).map_err(taken)?;
        let commands = source.commands();
        let (damage, bad_packets, trouble) = (Damage::default(), 0, String::new());
        let place = announcement.place.take();
        let publishing = Self { source, ingest, lanes, damage, bad_packets, trouble, place };
        Ok((publishing, commands))
    }

    /// Takes a packet that came on `channel`. Units are sent by [`Publishing::flush`].
    pub(super) fn packet(&mut self, channel: usize, control: bool, data: Bytes, now: Time) {
        let Some(lane) = self.lanes[channel] else { return };
        let outcome = if control {
            self.ingest.rtcp(lane, &data, now).map(|_goodbye| ())
        } else {
            self.ingest.rtp(lane, data, now)
        };
        if let Err(trouble) = outcome {
            self.bad_packets += 1;
            self.trouble = trouble;
        }
    }

    /// Sends what came together since the last call. The sinks are woken once.
    pub(super) fn flush(&mut self, now: Time) {
        let mut units = Vec::new();
        while let Some(ingested) = self.ingest.poll(now) {
            match ingested {
                Ingested::Unit(unit) => units.push(unit),
                Ingested::Tracks(tracks) => {
                    self.source.send_many(units.drain(..));
                    tracing::info!(stream = %self.source.name(), ?tracks, "the tracks have changed");
                    self.source.set_tracks(tracks);
                }
            }
        }
        if !units.is_empty() {
            self.source.send_many(units);
        }
        let damage = self.ingest.take_damage();
        if !damage.is_none() {
            self.source.damaged(damage);
            self.damage += damage;
        }
    }

    /// When to flush although nothing arrives.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.ingest.deadline()
    }

    /// Receiver reports for all channels; and an event if packets were lost or bad since the last
    /// time, so that a burst of losses is told once.
    pub(super) fn reports(&mut self, now: Time, events: &Events) -> Feedback {
        let (damage, bad) =
            (std::mem::take(&mut self.damage), std::mem::take(&mut self.bad_packets));
        let Damage { lost_packets, damaged_units, doubtful_units } = damage;
        // Doubt alone is what is left of a loss that was told already.
        if bad + lost_packets + damaged_units > 0 {
            let (stream, trouble) = (self.source.name(), &self.trouble);
            // The numbers differ each time: the event without them counts as the same again.
            tracing::info!(%stream, lost_packets, damaged_units, doubtful_units, bad, "damage");
            let text = match (lost_packets, bad) {
                (0, 0) => "units of the publisher came incomplete".to_owned(),
                (0, _) => format!("packets of the publisher make no sense: {trouble}"),
                _ => "packets of the publisher did not arrive".to_owned(),
            };
            events.report(Level::Warning, stream, text);
        }
        self.each_lane(|ingest, lane| ingest.report(lane, now))
    }

    /// Requests for a key unit.
    pub(super) fn key_unit_requests(&mut self) -> Feedback {
        self.each_lane(|ingest, lane| ingest.key_unit_request(lane))
    }

    fn each_lane(&mut self, packet: impl Fn(&mut Ingest, usize) -> Option<Bytes>) -> Feedback {
        let ingest = &mut self.ingest;
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(channel, lane)| Some((channel, packet(ingest, (*lane)?)?))).collect()
    }

    /// Sends what is left: the publisher is gone. Whether he said so: else his place is kept, as he may come back.
    pub(super) fn finish(mut self, now: Time, said_so: bool) {
        self.ingest.finish(now);
        self.flush(now);
        if let Some(place) = self.place.take().filter(|_| said_so) {
            place.give_back();
        }
    }
}

/// A name that is taken, as RTSP says it.
pub(super) fn taken(error: PublishError) -> Refusal {
    match error {
        PublishError::Taken { .. } => Refusal::new(Status::CONFLICT, error),
        _ => Refusal::new(Status::UNAVAILABLE, error),
    }
}
