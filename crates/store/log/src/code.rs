//! Parity: computed, and what is missing computed from it. Pure; knows slices of equal length and nothing else.
//!
//! One parity slice is the exclusive-or of the data. Two are a Reed-Solomon code over GF(2^16), of which
//! any data slices' number of all slices give the rest. Of a single data slice all parity is a copy.
//!
//! The code works on 64 bytes of each slice at a time, whatever stands before and behind them. So a part of the
//! slices that begins and ends at such borders can be computed alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use reed_solomon_simd::ReedSolomonEncoder;
use reed_solomon_simd::engine::{DefaultEngine, Engine as _};

/// Most parity slices.
pub(crate) const PARITY_MAX: u8 = 2;
/// Where slices may be cut.
const STEP_BYTES: usize = 64;

thread_local! {
    // With their working memory, which is the most expensive part of them. Nothing of what was computed
    // before has any effect.
    static ENCODER: RefCell<Option<ReedSolomonEncoder>> = const { RefCell::new(None) };
    static ENGINE: DefaultEngine = DefaultEngine::new();
}

/// What the code can't fail at: counts and lengths are a block's.
const POSSIBLE: &str = "a block has 1 to 64 slices of equal length, a multiple of 64 bytes";

/// Computes all parity slices of `data` into `parity`.
///
/// # Panics
/// If there is no data, more than [`PARITY_MAX`] slices of parity, or they differ in length; two need a
/// length that is a multiple of 64 bytes.
pub(crate) fn encode(data: &[&[u8]], parity: &mut [&mut [u8]]) {
    match (data, &mut *parity) {
        (_, []) => {}
        ([only], copies) => copies.iter_mut().for_each(|copy| copy.copy_from_slice(only)),
        (data, [sum]) => {
            sum.copy_from_slice(data[0]);
            data[1..].iter().for_each(|slice| xor_into(sum, slice));
        }
        (data, parity) => reed_solomon(data, parity),
    }
}

/// The slices at `missing` positions (data first, then parity), from others: as many as there is data, by
/// position.
///
/// # Panics
/// If there are fewer; as [`encode`].
pub(crate) fn restore(
    data: usize,
    parity: usize,
    others: &[(usize, &[u8])],
    missing: &[usize],
) -> Vec<Vec<u8>> {
    assert!(others.len() >= data, "a block was rebuilt from too little");
    if data == 1 {
        return missing.iter().map(|_| others[0].1.to_vec()).collect();
    }
    if parity == 1 {
        let mut sum = others[0].1.to_vec();
        others[1..data].iter().for_each(|(_, slice)| xor_into(&mut sum, slice));
        return missing.iter().map(|_| sum.clone()).collect();
    }
    let lost = solve(data, parity, others);
    let given = |at: usize| others.iter().find(|(position, _)| *position == at);
    let slice = |at: usize| given(at).map_or_else(|| &lost[&at][..], |(_, slice)| slice);
    let all: Vec<&[u8]> = (0..data).map(slice).collect();
    let again = match missing.iter().any(|at| *at >= data) {
        true => parity_of(&all, parity),
        false => Vec::new(),
    };
    let of = |at: &usize| match at.checked_sub(data) {
        None => all[*at].to_vec(),
        Some(at) => again[at].clone(),
    };
    missing.iter().map(of).collect()
}

/// The parity slices.
fn reed_solomon(data: &[&[u8]], parity: &mut [&mut [u8]]) {
    let len = data[0].len();
    assert!(len.is_multiple_of(STEP_BYTES) && parity.len() == 2, "{POSSIBLE}");
    ENCODER.with_borrow_mut(|kept| {
        let encoder = match kept.take() {
            Some(mut encoder) => {
                encoder.reset(data.len(), parity.len(), len).expect(POSSIBLE);
                encoder
            }
            None => ReedSolomonEncoder::new(data.len(), parity.len(), len).expect(POSSIBLE),
        };
        let encoder = kept.insert(encoder);
        data.iter().for_each(|slice| encoder.add_original_shard(slice).expect(POSSIBLE));
        let result = encoder.encode().expect(POSSIBLE);
        parity
            .iter_mut()
            .zip(result.recovery_iter())
            .for_each(|(to, from)| to.copy_from_slice(from));
    });
}

/// The data slices that are not among `others`, by position.
///
/// The crate's decoder is made for thousands of slices: it takes a millisecond for what is missing, however
/// little that is. Of one or two here, parity of the rest is computed, and what it differs in from the parity
/// that is there is what was lost, times a constant for each: equations with as many unknowns.
fn solve(data: usize, parity: usize, others: &[(usize, &[u8])]) -> BTreeMap<usize, Vec<u8>> {
    let len = others[0].1.len();
    let given = |at: usize| others.iter().find(|(position, _)| *position == at).map(|(_, s)| *s);
    let unknown: Vec<usize> = (0..data).filter(|at| given(*at).is_none()).collect();
    let rows = (0..parity).filter_map(|row| Some((row, given(data + row)?)));
    let rows: Vec<(usize, &[u8])> = rows.take(unknown.len()).collect();
    if unknown.is_empty() {
        return BTreeMap::new();
    }
    let nothing = vec![0; len];
    let known: Vec<&[u8]> = (0..data).map(|at| given(at).unwrap_or(&nothing)).collect();
    let mut differs = parity_of(&known, parity);
    rows.iter().for_each(|(row, slice)| xor_into(&mut differs[*row], slice));
    let factors = unknown.iter().map(|at| factors(data, parity, *at)).collect::<Vec<_>>();
    match (&unknown[..], &rows[..]) {
        ([x], [(row, _)]) => {
            let mut slice = std::mem::take(&mut differs[*row]);
            multiply(&mut slice, field::divide(1, factors[0][*row]));
            [(*x, slice)].into()
        }
        ([x, y], [(0, _), (1, _)]) => {
            let ([a, c], [b, d]) = ([factors[0][0], factors[0][1]], [factors[1][0], factors[1][1]]);
            let determinant = field::multiply(a, d) ^ field::multiply(b, c);
            let of = |first: u16, second: u16| {
                let mut sum = differs[0].clone();
                multiply(&mut sum, field::divide(first, determinant));
                let mut other = differs[1].clone();
                multiply(&mut other, field::divide(second, determinant));
                xor_into(&mut sum, &other);
                sum
            };
            [(*x, of(d, b)), (*y, of(c, a))].into()
        }
        _ => unreachable!("there are at most two parities, and as many equations as unknowns"),
    }
}

/// What one data slice is multiplied with in each parity slice.
fn factors(data: usize, parity: usize, at: usize) -> Vec<u16> {
    let nothing = [0; STEP_BYTES];
    let mut one = nothing;
    one[0] = 1; // of an element, the lower byte is in the first half of a step, the upper one in the second
    let unit: Vec<&[u8]> =
        (0..data).map(|own| if own == at { &one[..] } else { &nothing[..] }).collect();
    let of = |slice: &Vec<u8>| u16::from_le_bytes([slice[0], slice[STEP_BYTES / 2]]);
    parity_of(&unit, parity).iter().map(of).collect()
}

fn parity_of(data: &[&[u8]], parity: usize) -> Vec<Vec<u8>> {
    let mut slices = vec![vec![0; data[0].len()]; parity];
    encode(data, &mut slices.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
    slices
}

/// Multiplies each element of a slice.
fn multiply(slice: &mut [u8], factor: u16) {
    ENGINE.with(|engine| engine.mul(slice.as_chunks_mut().0, field::log(factor)));
}

/// The field of the code.
mod field {
    use reed_solomon_simd::engine::{GF_MODULUS, tables};

    pub(super) fn log(a: u16) -> u16 {
        assert!(a != 0, "the code has no factors of 0, or it would lose what they belong to");
        tables::get_exp_log().log[usize::from(a)]
    }

    pub(super) fn multiply(a: u16, b: u16) -> u16 {
        let tables::ExpLog { exp, log: logs } = tables::get_exp_log();
        tables::mul(a, log(b), exp, logs)
    }

    pub(super) fn divide(a: u16, b: u16) -> u16 {
        let tables::ExpLog { exp, log: logs } = tables::get_exp_log();
        tables::mul(a, (GF_MODULUS - log(b)) % GF_MODULUS, exp, logs)
    }
}

/// Exclusive-or of `other` into `acc`.
pub(crate) fn xor_into(acc: &mut [u8], other: &[u8]) {
    assert_eq!(acc.len(), other.len(), "fragments of a block are equally long");
    let (acc_words, acc_rest) = acc.as_chunks_mut::<32>();
    let (other_words, other_rest) = other.as_chunks::<32>();
    for (a, b) in acc_words.iter_mut().zip(other_words) {
        for (a, b) in a.iter_mut().zip(b) {
            *a ^= b;
        }
    }
    for (a, b) in acc_rest.iter_mut().zip(other_rest) {
        *a ^= b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(count: usize, len: usize, rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
        (0..count).map(|_| (0..len).map(|_| rng.u8(..)).collect()).collect()
    }

    /// Every subset that suffices gives every other slice, and the same of a part of them.
    #[test]
    fn as_many_as_there_is_data_give_the_rest() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (data, parity) in (1..9).flat_map(|data| [(data, 1), (data, 2)]) {
            let len = 64 * rng.usize(1..80);
            let mut all = slices(data, len, &mut rng);
            let of: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
            all.extend(parity_of(&of, parity));
            for gone in 0_u32..1 << all.len() {
                if gone.count_ones() as usize > parity {
                    continue;
                }
                let is_gone = |at: &usize| gone & (1 << at) != 0;
                let missing: Vec<usize> = (0..all.len()).filter(is_gone).collect();
                let upto = 64 * rng.usize(1..=len / 64);
                for upto in [len, upto] {
                    let others: Vec<(usize, &[u8])> = (0..all.len())
                        .filter(|at| !is_gone(at))
                        .map(|at| (at, &all[at][..upto]))
                        .collect();
                    let found = restore(data, parity, &others, &missing);
                    for (at, found) in missing.iter().zip(found) {
                        assert!(found == all[*at][..upto], "{data}+{parity} without {missing:?}");
                    }
                }
            }
        }
    }

    /// The crate's own decoder comes to the same.
    #[test]
    fn what_is_solved_is_what_is_decoded() {
        let mut rng = fastrand::Rng::with_seed(2);
        for data in 2..12 {
            let all = slices(data, 640, &mut rng);
            let of: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
            let parity = parity_of(&of, 2);
            let (x, y) = (rng.usize(..data), rng.usize(..data));
            let there = (0..data).filter(|at| ![x, y].contains(at)).map(|at| (at, &all[at]));
            let decoded =
                reed_solomon_simd::decode(data, 2, there, (0..2).map(|at| (at, &parity[at])));
            let decoded = decoded.unwrap();
            assert_eq!((&decoded[&x], &decoded[&y]), (&all[x], &all[y]));
        }
    }

    /// What is on disks already. If this has to change, the code has: raise the format's version.
    #[test]
    fn parity_is_what_it_always_was() {
        let data: Vec<Vec<u8>> = (0..4_u8)
            .map(|at| (0..4_000_u32 / 64 * 64).map(|i| (i * 7 + 3) as u8 ^ (at * 31)).collect())
            .collect();
        let crcs = |count: usize, parity| -> Vec<u32> {
            let data: Vec<&[u8]> = data[..count].iter().map(Vec::as_slice).collect();
            parity_of(&data, parity).iter().map(|slice| crc32c::crc32c(slice)).collect()
        };
        let own = crc32c::crc32c(&data[0]);
        assert_eq!(crcs(1, 2), [own, own]);
        assert_eq!(crcs(4, 1), [2_031_251_867]);
        assert_eq!(crcs(2, 2), [3_773_852_790, 401_459_557]);
        assert_eq!(crcs(4, 2), [4_031_828_164, 571_662_235]);
    }
}
