//! AAC: the `AudioSpecificConfig` (ISO 14496-3 section 1.6.2.1).

use bytes::Bytes;

use super::bits::Bits;

/// What an `AudioSpecificConfig` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// Audio object type: 2 is LC; 5 and 29 (HE, HE v2) are replaced by the core they extend.
    pub object_type: u8,
    /// Samples per second of the core.
    pub core_rate: u32,
    /// Samples per second that come out: twice the core's with (signalled) spectral band replication.
    pub output_rate: u32,
    /// Channels; 0 if a program config element says (not read here).
    pub channels: u16,
    /// Samples of the core in an access unit: 1024 or 960.
    pub samples: u32,
}

impl AudioConfig {
    /// Reads the record; `None` if it is cut short or uses reserved values.
    #[must_use]
    pub fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(config);
        let mut object_type = object_type(&mut bits)?;
        let core_rate = sample_rate(&mut bits)?;
        let channels = channels(bits.take(4)?)?;
        let mut output_rate = core_rate;
        if object_type == 5 || object_type == 29 {
            output_rate = sample_rate(&mut bits)?;
            object_type = self::object_type(&mut bits)?;
        }
        let short = bits.flag().unwrap_or(false);
        let samples = match (object_type, short) {
            (23 | 39, false) => 512, // low delay
            (23 | 39, true) => 480,
            (_, false) => 1_024,
            (_, true) => 960,
        };
        Some(Self { object_type, core_rate, output_rate, channels, samples })
    }

    /// How long an access unit lasts in ticks of a clock of `rate` per second.
    #[must_use]
    pub fn unit_ticks(&self, rate: u32) -> u32 {
        let ticks = u64::from(self.samples) * u64::from(rate) / u64::from(self.core_rate.max(1));
        u32::try_from(ticks).unwrap_or(0)
    }
}

/// The record of plain AAC-LC; `None` if the format has no code for the rate or the channels.
#[must_use]
pub fn lc_config(sample_rate: u32, channels: u16) -> Option<Bytes> {
    let index = SAMPLE_RATES.iter().position(|rate| *rate == sample_rate)? as u16;
    let channels = match channels {
        1..=6 => channels,
        8 => 7,
        _ => return None,
    };
    let record = 2 << 11 | index << 7 | channels << 3;
    Some(Bytes::copy_from_slice(&record.to_be_bytes()))
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    Some(match bits.take(5)? {
        31 => 32 + bits.take(6)? as u8,
        0 => return None,
        object_type => object_type as u8,
    })
}

fn sample_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24).filter(|rate| *rate > 0),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

fn channels(code: u32) -> Option<u16> {
    match code {
        0..=6 => Some(code as u16),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        _ => None,
    }
}

const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_seen_in_the_wild() {
        let parse = |config: &[u8]| AudioConfig::parse(config).unwrap();
        let plain = parse(&[0x11, 0x90]);
        assert_eq!((plain.object_type, plain.core_rate, plain.channels), (2, 48_000, 2));
        assert_eq!(plain.unit_ticks(48_000), 1_024);
        // HE-AAC: type 5, core 22 050 Hz, output 44 100 Hz, then LC.
        let he = parse(&[0x2b, 0x92, 0x08, 0x00]);
        assert_eq!((he.object_type, he.core_rate, he.output_rate), (2, 22_050, 44_100));
        assert_eq!(he.unit_ticks(44_100), 2_048);
        assert_eq!(AudioConfig::parse(&[0x11]), None);
        assert_eq!(AudioConfig::parse(&[]), None);
    }

    #[test]
    fn plain_records_say_what_they_were_made_of() {
        for rate in SAMPLE_RATES {
            for channels in [1, 2, 6, 8] {
                let config = AudioConfig::parse(&lc_config(rate, channels).unwrap()).unwrap();
                assert_eq!((config.object_type, config.samples), (2, 1_024));
                assert_eq!((config.core_rate, config.channels), (rate, channels));
            }
        }
        assert_eq!(lc_config(12_345, 2), None);
        assert_eq!(lc_config(48_000, 7), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..12), rate: u32) {
            if let Some(config) = AudioConfig::parse(&bytes) {
                let _ = config.unit_ticks(rate);
            }
        }
    }
}
