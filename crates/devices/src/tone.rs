//! What a test camera hears: a low tone, and a beep in the first tenth of each second.

use std::f64::consts::TAU;

use pegasus_base::Time;

use crate::card::in_beep;

const TONE_HZ: f64 = 440.0;
const BEEP_HZ: f64 = 1_000.0;
const TONE_LEVEL: f64 = 0.08;
const BEEP_LEVEL: f64 = 0.35;

/// Samples of the sound at a given rate, mono, as a function of time: the same instant always
/// sounds the same.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    rate_hz: u32,
}

impl Tone {
    /// The sound sampled `rate_hz` times a second.
    ///
    /// # Panics
    /// If `rate_hz` is 0.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        assert!(rate_hz > 0, "there are samples");
        Self { rate_hz }
    }

    /// Appends `count` samples, the first of them heard at `from`.
    pub fn samples(self, from: Time, count: usize, out: &mut Vec<i16>) {
        // Both tones have whole numbers of waves in a second, so the phase needs only its fraction.
        let start_ns = from.as_ns().rem_euclid(1_000_000_000);
        let step_ns = 1e9 / f64::from(self.rate_hz);
        out.extend((0..count).map(|i| {
            let ns = start_ns as f64 + i as f64 * step_ns;
            let beep = in_beep(Time::from_ns(ns.round() as i64));
            let (hz, level) = if beep { (BEEP_HZ, BEEP_LEVEL) } else { (TONE_HZ, TONE_LEVEL) };
            ((TAU * hz * ns / 1e9).sin() * level * f64::from(i16::MAX)) as i16
        }));
    }
}

/// One sample as ITU-T G.711 mu-law: sign, three bits of exponent, four of mantissa, inverted.
#[must_use]
pub fn mu_law(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    let magnitude = (i32::from(sample).abs() + BIAS).min(0x7fff);
    let exponent = 24 - magnitude.leading_zeros() as i32; // the bias makes the top bit 7 or higher
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) | mantissa) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decoder of G.711, to judge the encoder by.
    fn from_mu_law(code: u8) -> i32 {
        let code = !code;
        let magnitude = (((i32::from(code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
        if code & 0x80 == 0 { magnitude } else { -magnitude }
    }

    #[test]
    fn mu_law_is_that_of_the_standard() {
        assert_eq!((mu_law(0), mu_law(i16::MAX), mu_law(i16::MIN)), (0xff, 0x80, 0x00));
        for sample in i16::MIN..=i16::MAX {
            let heard = from_mu_law(mu_law(sample));
            let wanted = i32::from(sample).clamp(-32_124, 32_124);
            let allowed = (wanted.abs() + 132) / 32 + 1; // half a step of four mantissa bits
            assert!((heard - wanted).abs() <= allowed, "{sample} became {heard}");
        }
    }

    #[test]
    fn packets_join_without_a_seam() {
        let tone = Tone::new(48_000);
        let start: Time = "2026-11-20T03:12:07.99Z".parse().unwrap();
        let mut whole = Vec::new();
        tone.samples(start, 1_920, &mut whole);
        let mut parts = Vec::new();
        tone.samples(start, 960, &mut parts);
        tone.samples(start.offset_ns(20_000_000), 960, &mut parts);
        let worst = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).max();
        assert!(worst <= Some(1), "{worst:?}");
        let loudest = |range: std::ops::Range<usize>| whole[range].iter().max().copied().unwrap();
        assert!(loudest(0..480) < 3_000 && loudest(480..960) > 10_000, "it beeps on the second");
    }
}
