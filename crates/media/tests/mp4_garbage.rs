//! Files that are damaged, cut short, or nothing of the kind.

mod support;

use std::io::Cursor;

use pegasus_base::Time;
use pegasus_media::mp4::{Fragmenter, Mp4File, Planner, ReadError, init_segment};
use pegasus_media::{Track, TrackId, Unit, UnitMeta};
use proptest::prelude::*;
use support::{START, assemble, film, read_all, sound, video};

/// A progressive and a fragmented file.
fn samples() -> [Vec<u8>; 2] {
    let (tracks, units) = film(1, 30);
    let mut planner = Planner::new();
    planner.set_tracks(&tracks);
    let mut fragmenter = Fragmenter::new(&tracks, START);
    let mut live = init_segment(&tracks).unwrap().to_vec();
    for unit in &units {
        planner.push(&UnitMeta::from(unit)).unwrap();
        fragmenter.push(unit).unwrap();
        if unit.key && fragmenter.len_bytes() > 4_000 {
            live.extend_from_slice(&fragmenter.flush().unwrap().unwrap().into_bytes());
        }
    }
    [assemble(&planner.finish().unwrap(), &units, 0..u64::MAX), live]
}

/// Reads what can be read; must end by itself.
fn read(bytes: Vec<u8>) -> Result<usize, ReadError> {
    let mut file = Mp4File::open(Cursor::new(bytes))?;
    let mut count = 0;
    while file.next(START)?.is_some() {
        count += 1;
        if count > 100_000 {
            break; // what it claims is repeated data: fine, but not for a test
        }
    }
    Ok(count)
}

fn tables_len(file: &[u8]) -> usize {
    let media = file.windows(4).position(|letters| letters == b"mdat").unwrap();
    media.min(file.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_tables_give_an_error_or_units(
        which in 0_usize..2,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = samples()[which].clone();
        let len = tables_len(&file);
        for (at, value) in hits {
            let at = at.index(len);
            file[at] = value;
        }
        if let Err(error) = read(file) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..400), begin in any::<bool>()) {
        if begin && bytes.len() >= 8 {
            let len = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(b"moov");
        }
        prop_assert!(read(bytes).is_err());
    }
}

fn ticks() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -10_000_000_i64..10_000_000, Just(i64::MIN), Just(i64::MAX)]
}

fn units() -> impl Strategy<Value = Vec<Unit>> {
    let unit = (0_u8..2, ticks(), ticks(), ticks(), any::<u32>(), any::<bool>());
    let unit = unit.prop_map(|(track, pts, dts, time_ns, duration, key)| Unit {
        track: TrackId(track),
        pts,
        dts,
        time: Time::from_ns(time_ns),
        duration: if duration.is_multiple_of(2) { 0 } else { duration },
        key,
        data: vec![track].into(),
    });
    prop::collection::vec(unit, 1..40)
}

proptest! {
    /// Times that make no sense still give files of all units, in order.
    #[test]
    fn any_times_are_written(units in units(), gap_at in 0_usize..40, rate in 1_u32..) {
        let tracks = [Track { clock_rate: rate, ..video() }, sound()];
        let mut planner = Planner::new();
        planner.set_tracks(&tracks);
        let mut fragmenter = Fragmenter::new(&tracks, START);
        let mut live = init_segment(&tracks).unwrap().to_vec();
        for (n, unit) in units.iter().enumerate() {
            if n == gap_at {
                planner.gap(unit.time);
                fragmenter.break_here();
            }
            planner.push(&UnitMeta::from(unit)).unwrap();
            fragmenter.push(unit).unwrap();
            if unit.key {
                live.extend_from_slice(&fragmenter.flush().unwrap().unwrap().into_bytes());
            }
        }
        if let Some(fragment) = fragmenter.flush().unwrap() {
            live.extend_from_slice(&fragment.into_bytes());
        }
        let planned = assemble(&planner.finish().unwrap(), &units, 0..u64::MAX);
        for file in [planned, live] {
            let (set, again) = read_all(file);
            for track in &tracks {
                // A plan leaves out a track without units, so ids may move.
                let found = set.iter().find(|made| made.codec == track.codec);
                let read = found.map_or(0, |made| of(&again, made.id));
                prop_assert_eq!(read, of(&units, track.id));
            }
        }
    }
}

fn of(units: &[Unit], track: TrackId) -> usize {
    units.iter().filter(|unit| unit.track == track).count()
}

#[test]
fn cut_short_at_any_byte() {
    for file in samples() {
        let whole = read(file.clone()).unwrap();
        for len in (0..file.len()).step_by(7) {
            match read(file[..len].to_vec()) {
                Ok(count) => assert!(count <= whole),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn errors_say_where() {
    let [file, _] = samples();
    assert!(matches!(read(Vec::new()), Err(ReadError::NoMovie)));
    let cut = file[..file.len() - 1].to_vec();
    let error = read(cut).unwrap_err();
    assert!(matches!(error, ReadError::Sample { .. }), "{error}");

    let mut bad = file.clone();
    bad[..4].copy_from_slice(&3_u32.to_be_bytes());
    let error = read(bad).unwrap_err().to_string();
    assert!(error.contains("'ftyp'") && error.contains("byte 0"), "{error}");

    let mut huge = vec![0, 0, 0, 1];
    huge.extend_from_slice(b"moov");
    huge.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    let error = read(huge).unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { offset: 0, .. }), "{error}");
}
