//! The Opus encoder, behind a safe face.

#![allow(unsafe_code)] // the library is a translation of C; every call is in this module

use std::ptr::NonNull;

use unsafe_libopus as unsafe_opus;

use crate::DeviceError;

/// Samples in a packet of 20 ms.
pub(crate) const PACKET_SAMPLES: usize = 960;
/// Samples per second.
pub(crate) const RATE_HZ: u32 = 48_000;
/// Largest packet (RFC 6716, section 3.4: a frame has at most 1275 bytes, and there is one).
const LEN_MAX: usize = 1_276;

/// Encodes mono sound at 48 kHz in packets of 20 ms.
pub(crate) struct OpusEncoder {
    /// Made by `opus_encoder_create`, owned by this value alone.
    raw: NonNull<unsafe_opus::OpusEncoder>,
    lookahead: usize,
}

// SAFETY: the encoder's state is plain memory that only `raw` points to; nothing in it belongs to a
// thread.
unsafe impl Send for OpusEncoder {}

impl OpusEncoder {
    /// An encoder for `bitrate_bps`, set to use little processor time.
    pub(crate) fn new(bitrate_bps: i32) -> Result<Self, DeviceError> {
        let mut code = 0;
        // SAFETY: `code` outlives the call, which writes it. The result is null or a fresh encoder.
        let raw = unsafe {
            unsafe_opus::opus_encoder_create(
                RATE_HZ as i32,
                1,
                unsafe_opus::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
                &raw mut code,
            )
        };
        let raw = NonNull::new(raw).ok_or(DeviceError::Opus { code })?;
        let mut encoder = Self { raw, lookahead: 0 };
        let mut lookahead = 0;
        // SAFETY: `raw` is a live encoder that nobody else uses; the requests take the arguments
        // given, which the wrapper checks by type.
        let codes = unsafe {
            let raw = encoder.raw.as_ptr();
            [
                unsafe_opus::opus_encoder_ctl!(
                    raw,
                    unsafe_opus::OPUS_SET_BITRATE_REQUEST,
                    bitrate_bps
                ),
                unsafe_opus::opus_encoder_ctl!(raw, unsafe_opus::OPUS_SET_COMPLEXITY_REQUEST, 1),
                unsafe_opus::opus_encoder_ctl!(
                    raw,
                    unsafe_opus::OPUS_GET_LOOKAHEAD_REQUEST,
                    &mut lookahead
                ),
            ]
        };
        if let Some(&code) = codes.iter().find(|code| **code < 0) {
            return Err(DeviceError::Opus { code });
        }
        encoder.lookahead = usize::try_from(lookahead).unwrap_or(0);
        Ok(encoder)
    }

    /// How many samples later the decoder gives out what the encoder is given.
    pub(crate) fn lookahead(&self) -> usize {
        self.lookahead
    }

    /// Encodes one packet.
    pub(crate) fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, DeviceError> {
        assert_eq!(samples.len(), PACKET_SAMPLES, "a packet is 20 ms");
        let mut packet = vec![0; LEN_MAX];
        // SAFETY: `raw` is a live encoder; it reads `PACKET_SAMPLES` samples (mono) from `samples`
        // and writes at most `LEN_MAX` bytes to `packet`, which are as long.
        let len = unsafe {
            unsafe_opus::opus_encode(
                self.raw.as_ptr(),
                samples.as_ptr(),
                PACKET_SAMPLES as i32,
                packet.as_mut_ptr(),
                LEN_MAX as i32,
            )
        };
        let len = usize::try_from(len).map_err(|_| DeviceError::Opus { code: len })?;
        packet.truncate(len);
        Ok(packet)
    }
}

impl Drop for OpusEncoder {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `opus_encoder_create` and is not used after this.
        unsafe { unsafe_opus::opus_encoder_destroy(self.raw.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Tone;
    use pegasus_base::Time;

    /// What libopus's decoder makes of the packets.
    fn decode(packets: &[Vec<u8>]) -> Vec<i16> {
        let mut out = vec![0; packets.len() * PACKET_SAMPLES];
        let mut code = 0;
        // SAFETY: `code` outlives the call; the decoder is used and freed within this function; each
        // call reads a whole packet and writes at most the packet's samples, which `out` has.
        unsafe {
            let raw = unsafe_opus::opus_decoder_create(RATE_HZ as i32, 1, &raw mut code);
            assert!(!raw.is_null(), "code {code}");
            for (packet, out) in packets.iter().zip(out.chunks_mut(PACKET_SAMPLES)) {
                let (len, space) = (packet.len() as i32, PACKET_SAMPLES as i32);
                let (data, pcm) = (packet.as_ptr(), out.as_mut_ptr());
                let count = unsafe_opus::opus_decode(&mut *raw, data, len, pcm, space, 0);
                assert_eq!(count, space);
            }
            unsafe_opus::opus_decoder_destroy(raw);
        }
        out
    }

    #[test]
    fn the_beep_is_heard_when_it_should_be() {
        let mut encoder = OpusEncoder::new(32_000).unwrap();
        let (tone, lookahead) = (Tone::new(RATE_HZ), encoder.lookahead());
        let start: Time = "2026-11-20T03:12:07.5Z".parse().unwrap();
        let ahead_ns = lookahead as i64 * 1_000_000_000 / i64::from(RATE_HZ);
        let mut samples = Vec::new();
        tone.samples(start.offset_ns(ahead_ns), PACKET_SAMPLES * 50, &mut samples);
        let packets: Vec<_> =
            samples.chunks(PACKET_SAMPLES).map(|chunk| encoder.encode(chunk).unwrap()).collect();
        let heard = decode(&packets);
        // Half a second after the start it beeps for 100 ms.
        let loud = |at: usize| heard[at..at + 480].iter().any(|sample| *sample > 8_000);
        assert!(!loud(22_000) && loud(24_100) && loud(28_000) && !loud(29_500));
    }
}
