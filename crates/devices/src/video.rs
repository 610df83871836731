//! Encoders of pictures: H.264 by openh264, JPEG by jpeg-encoder.

use bytes::Bytes;
use jpeg_encoder::{ImageBuffer, JpegColorType, SamplingFactor};
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode,
    UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use pegasus_media::codec::{h264, nal};

use crate::DeviceError;
use crate::picture::Picture;

/// Encodes pictures as H.264 (constrained baseline, so in the order they come), a key unit each
/// `key_every` pictures and when asked for.
pub(crate) struct H264Encoder {
    encoder: Encoder,
    stream: Vec<u8>,
}

impl H264Encoder {
    pub(crate) fn new(rate_hz: u32, key_every: u32) -> Result<Self, DeviceError> {
        let config = EncoderConfig::new()
            .profile(Profile::Baseline)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .rate_control_mode(RateControlMode::Off) // what is drawn codes well; control skips pictures
            .max_frame_rate(FrameRate::from_hz(rate_hz as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(key_every))
            .skip_frames(false) // every picture must give a unit
            .scene_change_detect(false) // key units come when they are due, not otherwise
            .num_threads(1)
            .vui(VuiConfig::bt601());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        Ok(Self { encoder, stream: Vec::new() })
    }

    /// Makes the next picture a key unit.
    pub(crate) fn force_key(&mut self) {
        self.encoder.force_intra_frame();
    }

    /// Encodes the picture at `time_ms` of the encoder's own clock. Returns the access unit, each
    /// NAL unit behind its length.
    pub(crate) fn encode(&mut self, picture: &Picture, time_ms: u64) -> Result<Bytes, DeviceError> {
        let coded = self.encoder.encode_at(&Planes(picture), Timestamp::from_millis(time_ms))?;
        self.stream.clear();
        coded.write_vec(&mut self.stream);
        let unit = nal::join(nal::annex_b(&self.stream));
        if unit.is_empty() { Err(DeviceError::Skipped { time_ms }) } else { Ok(unit) }
    }

    /// Encodes a picture only to learn the configuration record of the track. The next one is a key
    /// unit.
    pub(crate) fn probe(&mut self, picture: &Picture) -> Result<Bytes, DeviceError> {
        let unit = self.encode(picture, 0)?;
        let mut sets = h264::ParameterSets::default();
        nal::units(&unit).for_each(|nal| {
            sets.add(&nal);
        });
        self.force_key();
        sets.config().ok_or(DeviceError::NoParameterSets)
    }
}

/// A picture as openh264 takes it.
struct Planes<'a>(&'a Picture);

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width(), self.0.height())
    }
    fn strides(&self) -> (usize, usize, usize) {
        let width = self.0.width();
        (width, width / 2, width / 2)
    }
    fn y(&self) -> &[u8] {
        self.0.luma()
    }
    fn u(&self) -> &[u8] {
        self.0.chroma()[0]
    }
    fn v(&self) -> &[u8] {
        self.0.chroma()[1]
    }
}

/// Encodes a picture as JPEG: baseline, 4:2:0, the usual Huffman tables, no restart markers, as RTP
/// needs it (RFC 2435).
pub(crate) fn encode_jpeg(picture: &Picture, quality: u8) -> Result<Bytes, DeviceError> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(Rows(picture))?;
    Ok(out.into())
}

/// A picture as jpeg-encoder takes it: rows of full width.
struct Rows<'a>(&'a Picture);

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }
    fn width(&self) -> u16 {
        self.0.width() as u16
    }
    fn height(&self) -> u16 {
        self.0.height() as u16
    }
    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let (width, row) = (self.0.width(), usize::from(y));
        buffers[0].extend_from_slice(&self.0.luma()[row * width..][..width]);
        for (plane, buffer) in self.0.chroma().into_iter().zip(&mut buffers[1..]) {
            let samples = &plane[row / 2 * (width / 2)..][..width / 2];
            buffer.extend(samples.iter().flat_map(|sample| [*sample; 2]));
        }
    }
}
