//! The parameters of an `fmtp` line: `name=value` pairs between semicolons, names in any case.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use bytes::Bytes;

use crate::codec::nal;

/// A track's parameters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fmtp<'a>(pub(super) &'a str);

/// Cameras forget the padding, or the last bits.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl<'a> Fmtp<'a> {
    /// The value of parameter `name`, without the spaces around it.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The value as a number; `None` if absent or no number.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    /// The value as the width of a bit field: 0 if absent.
    ///
    /// # Errors
    /// If it is no number of at most 32 bits.
    pub(super) fn bits(self, name: &str) -> Result<u8, String> {
        match self.text(name) {
            None => Ok(0),
            Some(text) => text
                .parse()
                .ok()
                .filter(|bits| *bits <= 32)
                .ok_or_else(|| format!("its {name} is '{text}' and not at most 32 bits")),
        }
    }

    /// The value as hexadecimal bytes; `None` if absent or not hexadecimal.
    pub(super) fn hex(self, name: &str) -> Option<Bytes> {
        let text = self.text(name)?.as_bytes();
        // An odd digit at the end has been seen; it can only be padding.
        text.chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()
            .map(Bytes::from)
    }

    /// The NAL units in base64 between commas. What can't be read is passed over: parameter sets
    /// usually come in the stream too.
    pub(super) fn nals(self, name: &str) -> Vec<Bytes> {
        let mut nals = Vec::new();
        for text in self.text(name).unwrap_or("").split(',') {
            let Ok(bytes) = TOLERANT.decode(text.trim()) else { continue };
            // Some have start codes in front, behind or between.
            if bytes.windows(3).any(|window| window == [0, 0, 1]) {
                let stream = [&[0, 0, 1], &bytes[..]].concat();
                nals.extend(nal::annex_b(&stream).map(Bytes::copy_from_slice));
            } else if !bytes.is_empty() {
                nals.push(bytes.into());
            }
        }
        nals
    }
}

/// NAL units in base64 between commas, as [`Fmtp::nals`] reads them.
pub(super) fn base64_nals<'n>(nals: impl Iterator<Item = &'n Bytes>) -> String {
    nals.map(|nal| general_purpose::STANDARD.encode(nal)).collect::<Vec<_>>().join(",")
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_however_they_are_written() {
        let fmtp =
            Fmtp("packetization-mode=1;Profile-Level-Id=42C01E ; sprop=Z0I=, ,%%,AAAAAWjO;odd;n=x");
        assert_eq!(fmtp.number("packetization-mode"), Some(1));
        assert_eq!(fmtp.text("profile-level-id"), Some("42C01E"));
        assert_eq!(fmtp.hex("profile-level-id").as_deref(), Some(&[0x42, 0xc0, 0x1e][..]));
        assert_eq!(fmtp.nals("sprop"), [&[0x67, 0x42][..], &[0x68, 0xce]]);
        assert_eq!(fmtp.text("odd"), None);
        assert_eq!(fmtp.bits("absent"), Ok(0));
        assert!(fmtp.bits("n").unwrap_err().contains("'x'"));
    }
}
