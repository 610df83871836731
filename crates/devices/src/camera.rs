//! The core of a test camera: pictures and sound of given instants, as units.

use std::time::Duration;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::codec::{h264, opus};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

use crate::DeviceError;
use crate::card::{Card, Pattern};
use crate::opus::{OpusEncoder, PACKET_SAMPLES, RATE_HZ};
use crate::picture::Range;
use crate::tone::{Tone, mu_law};
use crate::video::{H264Encoder, encode_jpeg};

/// What a test camera sees and how it codes that. Pictures have track 0, sound has track 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What is drawn.
    pub pattern: Pattern,
    /// What is written on it; the stream's name, usually.
    pub title: String,
    /// Pixels across: even, 160 to 1920.
    pub width: usize,
    /// Pixels down: even, 96 to 1080.
    pub height: usize,
    /// Pictures per second, 1 to 60.
    pub rate_hz: u32,
    /// How pictures are coded.
    pub video: VideoCoding,
    /// How sound is coded.
    pub audio: AudioCoding,
}

/// How a test camera codes its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCoding {
    /// H.264 with a key unit each second.
    H264,
    /// JPEG pictures.
    Mjpeg {
        /// Quality, 1 to 100.
        quality: u8,
    },
}

/// How a test camera codes its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCoding {
    /// No sound.
    Silent,
    /// Opus, mono, packets of 20 ms.
    Opus,
    /// G.711 mu-law, mono, packets of 50 ms.
    Pcmu,
}

/// A test camera without clock or thread.
///
/// Ask [`due`](Self::due) when its next unit is complete; at that time or later, [`take`](Self::take)
/// all that are. If that is far too late, [`skip`](Self::skip) first.
pub struct Camera {
    rate_hz: u32,
    start: Time,
    card: Card,
    video: Video,
    audio: Option<Audio>,
    tracks: TrackSet,
    next_frame: u64,
}

enum Video {
    H264(Box<H264Encoder>),
    Mjpeg { quality: u8 },
}

struct Audio {
    encoder: Option<OpusEncoder>,
    tone: Tone,
    rate_hz: u32,
    packet_samples: usize,
    next_packet: u64,
    samples: Vec<i16>,
}

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const VIDEO_RATE_HZ: u32 = 90_000;
const OPUS_BITRATE_BPS: i32 = 32_000;

impl Camera {
    /// A camera whose first picture is taken at `start`.
    ///
    /// # Errors
    /// If an encoder can't be made.
    ///
    /// # Panics
    /// If a field of `view` is out of its range.
    pub fn new(view: &View, start: Time) -> Result<Self, DeviceError> {
        assert!((160..=1920).contains(&view.width), "width {} is out of range", view.width);
        assert!((96..=1080).contains(&view.height), "height {} is out of range", view.height);
        assert!((1..=60).contains(&view.rate_hz), "rate {} is out of range", view.rate_hz);
        let range = match view.video {
            VideoCoding::H264 => Range::Limited,
            VideoCoding::Mjpeg { .. } => Range::Full,
        };
        let mut card = Card::new(view.pattern, &view.title, (view.width, view.height), range);
        let (video, config) = Video::new(view, &mut card, start)?;
        let shape = Shape::Video { width: view.width as u32, height: view.height as u32 };
        let codec = video.codec();
        let mut tracks = vec![Track { id: VIDEO, codec, clock_rate: VIDEO_RATE_HZ, shape, config }];
        let audio = Audio::new(view.audio)?;
        tracks.extend(audio.as_ref().map(Audio::track));
        let tracks = tracks.into();
        Ok(Self { rate_hz: view.rate_hz, start, card, video, audio, tracks, next_frame: 0 })
    }

    /// The camera's tracks. They never change.
    #[must_use]
    pub fn tracks(&self) -> &TrackSet {
        &self.tracks
    }

    /// Makes the next picture a key unit.
    pub fn force_key(&mut self) {
        if let Video::H264(encoder) = &mut self.video {
            encoder.force_key();
        }
    }

    /// When the next unit is complete: a picture when it is taken, sound when it has been heard.
    #[must_use]
    pub fn due(&self) -> Time {
        let picture = self.frame_time(self.next_frame);
        let sound = self.audio.as_ref().map(|audio| audio.time(self.start, audio.next_packet + 1));
        sound.map_or(picture, |sound| sound.min(picture))
    }

    /// Appends all units complete at `now`, in the order of their completion.
    ///
    /// # Errors
    /// If an encoder fails; the camera is of no more use.
    pub fn take(&mut self, now: Time, units: &mut Vec<Unit>) -> Result<(), DeviceError> {
        while self.due() <= now {
            if self.due() == self.frame_time(self.next_frame) {
                units.push(self.picture()?);
            } else if let Some(audio) = &mut self.audio {
                units.push(audio.packet(self.start)?);
            }
        }
        Ok(())
    }

    /// Leaves out what would be complete before `now`. The frame counter shows the gap. Returns how
    /// many pictures were left out.
    pub fn skip(&mut self, now: Time) -> u64 {
        let passed_ns = u64::try_from(now.ns_since(self.start)).unwrap_or(0);
        let units = |rate: u64, per: u64| {
            u128::from(passed_ns) * u128::from(rate) / (u128::from(per) * 1_000_000_000)
        };
        let frame = units(self.rate_hz.into(), 1) as u64;
        let skipped = frame.saturating_sub(self.next_frame);
        self.next_frame += skipped;
        if let Some(audio) = &mut self.audio {
            let packet = units(audio.rate_hz.into(), audio.packet_samples as u64) as u64;
            audio.next_packet = audio.next_packet.max(packet);
        }
        if skipped > 0 {
            self.force_key();
        }
        skipped
    }

    fn picture(&mut self) -> Result<Unit, DeviceError> {
        let frame = self.next_frame;
        let time = self.frame_time(frame);
        let picture = self.card.draw(frame, time);
        let (data, key) = match &mut self.video {
            Video::H264(encoder) => {
                let data = encoder.encode(picture, frame * 1_000 / u64::from(self.rate_hz))?;
                let key = h264::is_key(&data);
                (data, key)
            }
            Video::Mjpeg { quality } => (encode_jpeg(picture, *quality)?, true),
        };
        self.next_frame += 1;
        let ticks = |frame: u64| ticks(frame, VIDEO_RATE_HZ, self.rate_hz);
        let pts = ticks(frame);
        let duration = (ticks(frame + 1) - pts) as u32;
        Ok(Unit { track: VIDEO, pts, dts: pts, time, duration, key, data })
    }

    fn frame_time(&self, frame: u64) -> Time {
        self.start.offset_ns(ticks(frame, 1_000_000_000, self.rate_hz))
    }
}

impl Video {
    fn new(view: &View, card: &mut Card, start: Time) -> Result<(Self, Bytes), DeviceError> {
        match view.video {
            VideoCoding::H264 => {
                let mut encoder = H264Encoder::new(view.rate_hz, view.rate_hz)?;
                let config = encoder.probe(card.draw(0, start))?;
                Ok((Self::H264(Box::new(encoder)), config))
            }
            VideoCoding::Mjpeg { quality } => Ok((Self::Mjpeg { quality }, Bytes::new())),
        }
    }

    fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::Mjpeg { .. } => Codec::Mjpeg,
        }
    }
}

impl Audio {
    fn new(coding: AudioCoding) -> Result<Option<Self>, DeviceError> {
        let (encoder, rate_hz, packet_samples) = match coding {
            AudioCoding::Silent => return Ok(None),
            AudioCoding::Opus => {
                (Some(OpusEncoder::new(OPUS_BITRATE_BPS)?), RATE_HZ, PACKET_SAMPLES)
            }
            AudioCoding::Pcmu => (None, 8_000, 400),
        };
        let tone = Tone::new(rate_hz);
        let samples = Vec::new();
        Ok(Some(Self { encoder, tone, rate_hz, packet_samples, next_packet: 0, samples }))
    }

    fn track(&self) -> Track {
        let (codec, config) = match &self.encoder {
            // The encoder is given sound ahead by its delay (see `packet`), so nothing is to be
            // skipped at the start.
            Some(_) => (Codec::Opus, opus::config(1, 0, self.rate_hz)),
            None => (Codec::Pcmu, Bytes::new()),
        };
        let shape = Shape::Audio { channels: 1, sample_rate: self.rate_hz };
        Track { id: AUDIO, codec, clock_rate: self.rate_hz, shape, config }
    }

    /// Capture time of the first sample of a packet.
    fn time(&self, start: Time, packet: u64) -> Time {
        let samples = packet * self.packet_samples as u64;
        start.offset_ns(ticks(samples, 1_000_000_000, self.rate_hz))
    }

    fn packet(&mut self, start: Time) -> Result<Unit, DeviceError> {
        let time = self.time(start, self.next_packet);
        let lookahead = self.encoder.as_ref().map_or(0, OpusEncoder::lookahead);
        let ahead = Duration::from_secs(1) * lookahead as u32 / self.rate_hz;
        self.samples.clear();
        self.tone.samples(time + ahead, self.packet_samples, &mut self.samples);
        let data = match &mut self.encoder {
            Some(encoder) => encoder.encode(&self.samples)?.into(),
            None => self.samples.iter().map(|sample| mu_law(*sample)).collect(),
        };
        let pts = (self.next_packet * self.packet_samples as u64) as i64;
        self.next_packet += 1;
        let duration = self.packet_samples as u32;
        Ok(Unit { track: AUDIO, pts, dts: pts, time, duration, key: true, data })
    }
}

/// `count` things of which there are `per_second`, in ticks of `rate_hz`, rounded down.
fn ticks(count: u64, rate_hz: u32, per_second: u32) -> i64 {
    (i128::from(count) * i128::from(rate_hz) / i128::from(per_second)) as i64
}
