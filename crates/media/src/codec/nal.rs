//! NAL units as MP4 keeps them: each behind a 4-byte length (ISO 14496-15 section 5.3.3).

use bytes::{BufMut, Bytes, BytesMut};

/// The NAL units of an access unit whose NALs stand behind 4-byte lengths.
///
/// Ends at the first length that reaches beyond the end; [`is_whole`] tells whether there is one.
pub fn units(data: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let mut rest = data.clone();
    std::iter::from_fn(move || {
        let len = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        if rest.len() - 4 < len {
            return None;
        }
        let nal = rest.slice(4..4 + len);
        rest = rest.slice(4 + len..);
        Some(nal)
    })
}

/// Whether `data` is NAL units behind 4-byte lengths, none of them empty, up to its very end.
#[must_use]
pub fn is_whole(data: &Bytes) -> bool {
    let mut sum = 0;
    for nal in units(data) {
        if nal.is_empty() {
            return false;
        }
        sum += 4 + nal.len();
    }
    sum == data.len() && sum > 0
}

/// Puts `nals` behind 4-byte lengths.
///
/// # Panics
/// If a NAL unit has 4 GiB or more.
#[must_use]
pub fn join<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for nal in nals {
        out.put_u32(u32::try_from(nal.len()).expect("a NAL unit is far below 4 GiB"));
        out.put_slice(nal);
    }
    out.freeze()
}

/// The NAL units of an Annex B byte stream (ITU-T H.264 annex B): what stands between start codes,
/// without the zero bytes that pad them.
pub fn annex_b(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        loop {
            let nal = rest?;
            let end = find_start_code(nal).unwrap_or(nal.len());
            rest = after_start_code(&nal[end..]);
            let padding = nal[..end].iter().rev().take_while(|byte| **byte == 0).count();
            if end > padding {
                return Some(&nal[..end - padding]);
            }
        }
    })
}

fn find_start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    find_start_code(stream).map(|at| &stream[at + 3..])
}

/// A NAL unit's payload without emulation prevention bytes (ITU-T H.264 section 7.4.1), at most
/// `len_max` bytes of it.
pub(crate) fn unescape(nal: &[u8], len_max: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(len_max));
    let mut zeros = 0;
    for &byte in nal {
        if out.len() == len_max {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_end_is_seen() {
        let data = Bytes::from_static(&[0, 0, 0, 1, 9, 0, 0, 0, 2, 9]);
        assert_eq!(units(&data).count(), 1);
        assert!(!is_whole(&data));
        assert!(is_whole(&data.slice(..5)));
        assert!(!is_whole(&Bytes::from_static(&[0, 0, 0, 0])));
    }

    #[test]
    fn start_codes_and_padding_are_left_out() {
        let stream = [0, 0, 0, 1, 7, 1, 0, 0, 0, 1, 8, 2, 0, 0, 1, 0, 0, 1, 5];
        let nals: Vec<_> = annex_b(&stream).collect();
        assert_eq!(nals, [&[7, 1][..], &[8, 2], &[5]]);
        assert_eq!(annex_b(b"no start code").count(), 0);
    }

    #[test]
    fn emulation_prevention_is_undone() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3], 99), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescape(&[1, 2, 3, 4], 2), [1, 2]);
    }

    proptest! {
        #[test]
        fn joined_units_come_apart(
            nals in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..8),
        ) {
            let data = join(nals.iter().map(Vec::as_slice));
            prop_assert!(is_whole(&data));
            prop_assert_eq!(units(&data).map(|nal| nal.to_vec()).collect::<Vec<_>>(), nals);
        }

        #[test]
        fn any_bytes_come_apart(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let data = Bytes::from(bytes);
            let _ = (units(&data).count(), is_whole(&data), annex_b(&data).count());
        }
    }
}
