//! Planned files: any range, gaps, changes of codec, sizes beyond 4 GiB, times.

mod support;

use std::io::{Cursor, Read, Seek, SeekFrom};

use pegasus_base::Time;
use pegasus_media::mp4::{
    Fragmenter, Item, Mp4File, Piece, Plan, Planner, WriteError, init_segment,
};
use pegasus_media::{Codec, Track, TrackId, TrackSet, Unit, UnitMeta};
use proptest::prelude::*;
use support::{FRAME_NS, START, assemble, film, read_all, sound, video};

fn plan(tracks: &[Track], units: &[Unit]) -> Plan {
    let mut planner = Planner::new();
    planner.set_tracks(tracks);
    for unit in units {
        planner.push(&UnitMeta::from(unit)).unwrap();
    }
    planner.finish().unwrap()
}

fn items(bytes: Vec<u8>) -> Vec<Item> {
    let mut file = Mp4File::open(Cursor::new(bytes)).unwrap();
    std::iter::from_fn(|| file.next(START).unwrap()).collect()
}

proptest! {
    #[test]
    fn any_ranges_add_up_to_the_file(
        seed in any::<u64>(),
        pictures in 1_usize..400,
        cuts in prop::collection::vec(0.0_f64..1.0, 0..12),
    ) {
        let (tracks, units) = film(seed, pictures);
        let plan = plan(&tracks, &units);
        let whole = assemble(&plan, &units, 0..plan.total_len());
        prop_assert_eq!(whole.len() as u64, plan.total_len());
        let mut cuts: Vec<u64> =
            cuts.iter().map(|part| (part * whole.len() as f64) as u64).collect();
        cuts.extend([0, plan.total_len() + 9]);
        cuts.sort_unstable();
        let mut pieced = Vec::new();
        for cut in cuts.windows(2) {
            pieced.extend_from_slice(&assemble(&plan, &units, cut[0]..cut[1]));
        }
        prop_assert!(pieced == whole);
    }

    #[test]
    fn what_is_planned_is_what_is_read(seed in any::<u64>(), pictures in 1_usize..200) {
        let (tracks, units) = film(seed, pictures);
        let plan = plan(&tracks, &units);
        let (set, again) = read_all(assemble(&plan, &units, 0..u64::MAX));
        prop_assert_eq!(&set[..], &tracks[..]);
        for track in &tracks {
            let of = |units: &[Unit]| -> Vec<Unit> {
                units.iter().filter(|unit| unit.track == track.id).cloned().collect()
            };
            let (before, after) = (of(&units), of(&again));
            prop_assert_eq!(before.len(), after.len());
            for (a, b) in before.iter().zip(&after) {
                prop_assert_eq!(&a.data, &b.data);
                prop_assert_eq!(a.key, b.key);
                // The exact cadence, from the first unit on.
                prop_assert_eq!(a.pts - before[0].pts, b.pts - after[0].pts);
                prop_assert_eq!(a.dts - before[0].dts, b.dts - after[0].dts);
                // Tracks against one another: to the tick.
                let apart_ns = a.time.ns_since(START) - b.time.ns_since(START);
                prop_assert!(apart_ns.abs() <= 40_000, "{} ns", apart_ns);
            }
        }
    }

    #[test]
    fn fragments_hold_what_a_plan_holds(seed in any::<u64>(), pictures in 1_usize..100) {
        let (tracks, units) = film(seed, pictures);
        let mut bytes = init_segment(&tracks).unwrap().to_vec();
        let mut fragmenter = Fragmenter::new(&tracks, START.offset_ns(-1_000_000_000));
        let mut rng = fastrand::Rng::with_seed(seed);
        for unit in &units {
            fragmenter.push(unit).unwrap();
            if rng.u8(..) < 20 {
                let fragment = fragmenter.flush().unwrap().unwrap();
                prop_assert!(fragment.start_ns >= 1_000_000_000 - 1_000);
                bytes.extend_from_slice(&fragment.into_bytes());
            }
        }
        if let Some(fragment) = fragmenter.flush().unwrap() {
            bytes.extend_from_slice(&fragment.into_bytes());
        }
        prop_assert!(fragmenter.flush().unwrap().is_none());
        let (_, again) = read_all(bytes);
        prop_assert_eq!(again.len(), units.len());
        for track in &tracks {
            let of = |units: &[Unit]| -> Vec<Unit> {
                units.iter().filter(|unit| unit.track == track.id).cloned().collect()
            };
            for (a, b) in of(&units).iter().zip(&of(&again)) {
                prop_assert_eq!(&a.data, &b.data);
                prop_assert_eq!(a.key, b.key);
                let late_ns = b.time.ns_since(a.time) - 1_000_000_000;
                prop_assert!(late_ns.abs() < 1_000_000, "{} ns", late_ns);
            }
        }
    }
}

#[test]
fn a_gap_is_skipped_on_all_tracks_together() {
    let (tracks, mut units) = film(1, 49);
    let (_, more) = film(2, 49);
    let hour_ns = 3_600_000_000_000;
    let end = units.iter().map(|unit| unit.time).max().unwrap();
    // The source came back an hour later, with other ticks.
    let back = more.iter().map(|unit| Unit {
        pts: unit.pts + 123_456_789,
        dts: unit.dts + 123_456_789,
        time: unit.time.offset_ns(hour_ns),
        ..unit.clone()
    });
    let mut planner = Planner::new();
    planner.set_tracks(&tracks);
    units.iter().for_each(|unit| planner.push(&unit.into()).unwrap());
    planner.gap(START.offset_ns(hour_ns));
    let before = units.len();
    units.extend(back);
    units[before..].iter().for_each(|unit| planner.push(&unit.into()).unwrap());
    let plan = planner.finish().unwrap();

    let [from_start, from_gap] = plan.time_map() else { panic!("{:?}", plan.time_map()) };
    assert_eq!((from_start.media_ns, from_start.time), (0, START));
    assert_eq!(from_gap.time, START.offset_ns(hour_ns));
    assert!((from_gap.media_ns - 49 * FRAME_NS).abs() < FRAME_NS, "{}", from_gap.media_ns);
    assert!(end.ns_since(START) < from_gap.media_ns + FRAME_NS);
    let length_ns = i64::try_from(plan.duration_ns()).unwrap();
    assert!((length_ns - 98 * FRAME_NS).abs() < 2 * FRAME_NS, "{length_ns}");

    let (_, again) = read_all(assemble(&plan, &units, 0..u64::MAX));
    let (mut shown, mut heard) = (Vec::new(), Vec::new());
    for unit in &again {
        let track = if unit.track == TrackId(0) { &mut shown } else { &mut heard };
        track.push(unit.time.ns_since(START));
    }
    shown.sort_unstable();
    assert!(shown.windows(2).all(|w| (w[1] - w[0] - FRAME_NS).abs() < FRAME_NS));
    // Sound and pictures keep to each other behind the gap.
    let first_after = |times: &[i64]| times[times.partition_point(|&at| at < from_gap.media_ns)];
    assert!((first_after(&shown) - first_after(&heard)).abs() < 25_000_000);
}

#[test]
fn losses_keep_their_time() {
    let (tracks, units) = film(3, 100);
    let lossy: Vec<Unit> = units
        .into_iter()
        .filter(|unit| !(1_000..2_000).contains(&(unit.time.ns_since(START) / 1_000_000)))
        .collect();
    let plan = plan(&tracks, &lossy);
    assert!(plan.duration_ns() > 100 * FRAME_NS.unsigned_abs() - 50_000_000);
    let (_, again) = read_all(assemble(&plan, &lossy, 0..u64::MAX));
    let late = again.iter().filter(|unit| unit.time.ns_since(START) >= 2_000_000_000).count();
    let before = lossy.iter().filter(|unit| unit.time.ns_since(START) >= 2_000_000_000).count();
    assert_eq!(late, before);
}

#[test]
fn slewed_times_do_not_disturb_the_cadence() {
    let (tracks, units) = film(4, 2_000);
    // Capture time runs 500 ppm against the source's clock, the most there is.
    let slewed: Vec<Unit> = units
        .iter()
        .map(|unit| Unit {
            time: unit.time.offset_ns(unit.time.ns_since(START) / 2_000),
            ..unit.clone()
        })
        .collect();
    let plan = plan(&tracks, &slewed);
    let (_, again) = read_all(assemble(&plan, &slewed, 0..u64::MAX));
    let of = |units: &[Unit]| -> Vec<i64> {
        units.iter().filter(|unit| unit.track == TrackId(0)).map(|unit| unit.pts).collect()
    };
    let steps = |pts: Vec<i64>| -> Vec<i64> { pts.windows(2).map(|w| w[1] - w[0]).collect() };
    assert_eq!(steps(of(&units)), steps(of(&again)));
}

#[test]
fn a_new_configuration_is_a_new_description_and_a_new_codec_a_new_track() {
    let (tracks, units) = film(5, 30);
    let larger = Track { config: vec![1, 0x4d, 0, 0x28, 0xff, 0xe0, 0].into(), ..video() };
    let jpeg = Track { codec: Codec::Mjpeg, config: Vec::new().into(), ..video() };
    let mut planner = Planner::new();
    let mut all = Vec::new();
    let mut shift_ns = 0;
    for video in [&tracks[0], &larger, &tracks[0], &jpeg] {
        planner.set_tracks(&[video.clone(), tracks[1].clone()]);
        for unit in &units {
            let unit = Unit { time: unit.time.offset_ns(shift_ns), ..unit.clone() };
            planner.push(&(&unit).into()).unwrap();
            all.push(unit);
        }
        shift_ns += 30 * FRAME_NS;
    }
    let plan = planner.finish().unwrap();
    let items = items(assemble(&plan, &all, 0..u64::MAX));
    let sets: Vec<&TrackSet> = items
        .iter()
        .filter_map(|item| if let Item::Tracks(set) = item { Some(set) } else { None })
        .collect();
    let configs: Vec<&[u8]> = sets.iter().map(|set| &set[0].config[..]).collect();
    assert_eq!(configs, [&tracks[0].config[..], &larger.config[..], &tracks[0].config[..]]);
    assert_eq!(sets[0].len(), 3);
    assert_eq!(sets[0][2].codec, Codec::Mjpeg);
    let pictures = |index| {
        let of = |item: &&Item| matches!(item, Item::Unit(unit) if unit.track == TrackId(index));
        items.iter().filter(of).count()
    };
    assert_eq!((pictures(0), pictures(2)), (90, 30));
    // The JPEG pictures begin when the others have ended.
    let first = items.iter().find_map(|item| match item {
        Item::Unit(unit) if unit.track == TrackId(2) => Some(unit.time.ns_since(START)),
        _ => None,
    });
    assert!((first.unwrap() - 90 * FRAME_NS).abs() < 1_000_000, "{first:?}");
}

/// A planned file whose media data is a pattern, without the memory it would take.
struct Sparse<'a> {
    plan: &'a Plan,
    head: Vec<u8>,
    at: u64,
}

fn pattern(index: u64) -> u8 {
    (index % 251) as u8
}

impl Read for Sparse<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let from = usize::try_from(self.at).unwrap();
        let Some(piece) = self.plan.slice(self.at..self.at + into.len() as u64).next() else {
            return Ok(0);
        };
        let len = match piece {
            Piece::Head(head) => {
                into[..head.len()].copy_from_slice(&self.head[from..from + head.len()]);
                head.len()
            }
            Piece::Unit { index, len, .. } => {
                into[..len as usize].fill(pattern(index));
                len as usize
            }
        };
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Sparse<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.plan.total_len().saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

#[test]
fn files_beyond_four_gibibytes() {
    const LARGE: u32 = 16 << 20;
    let mut planner = Planner::new();
    planner.set_tracks(&[video(), sound()]);
    for n in 0..300_i64 {
        for (track, ticks, len_bytes) in [(TrackId(0), 3_600, 99), (TrackId(1), 1_920, LARGE)] {
            let sample = UnitMeta {
                track,
                pts: n * ticks,
                dts: n * ticks,
                time: START.offset_ns(n * FRAME_NS),
                duration: 0,
                key: n % 10 == 0,
                len_bytes,
            };
            planner.push(&sample).unwrap();
        }
    }
    let plan = planner.finish().unwrap();
    assert_eq!(plan.total_len(), plan.head().len() as u64 + 300 * u64::from(LARGE + 99));
    // The sound only pushes the pictures beyond 4 GiB: with its codec unknown it is not read.
    let mut head = plan.head().to_vec();
    let name = head.windows(4).position(|letters| letters == b"mp4a").unwrap();
    head[name] = b'x';
    let mut file = Mp4File::open(Sparse { plan: &plan, head, at: 0 }).unwrap();
    assert_eq!(file.refused().len(), 1);
    let mut n = 0;
    while let Some(item) = file.next(START).unwrap() {
        let Item::Unit(unit) = item else { continue };
        assert_eq!(unit.data[..], [pattern(2 * n); 99]);
        assert_eq!(unit.key, n.is_multiple_of(10));
        n += 1;
    }
    assert_eq!(n, 300);
}

#[test]
fn a_file_can_be_read_again() {
    let (tracks, units) = film(8, 61);
    let plan = plan(&tracks, &units);
    let whole = assemble(&plan, &units, 0..u64::MAX);
    let mut file = Mp4File::open(Cursor::new(whole)).unwrap();
    assert_eq!(file.duration_ns(), Some(61 * 40_000_000));
    let once: Vec<Item> = std::iter::from_fn(|| file.next(START).unwrap()).collect();
    file.rewind();
    let again: Vec<Item> = std::iter::from_fn(|| file.next(START).unwrap()).collect();
    assert_eq!(once.len(), units.len() + 1);
    assert_eq!(once, again);
}

#[test]
fn what_cant_be_written_is_said() {
    let bare = Track { config: Vec::new().into(), ..video() };
    let missing = WriteError::NoConfig { track: TrackId(0), codec: Codec::H264 };
    assert_eq!(init_segment(std::slice::from_ref(&bare)), Err(missing.clone()));
    let (_, units) = film(7, 2);
    let mut planner = Planner::new();
    assert_eq!(
        planner.push(&(&units[0]).into()),
        Err(WriteError::UnknownTrack { track: TrackId(0) })
    );
    planner.set_tracks(&[bare, sound()]);
    planner.push(&(&units[0]).into()).unwrap();
    assert_eq!(planner.finish().unwrap_err(), missing);
    assert_eq!(Planner::new().finish().unwrap_err(), WriteError::Empty);
    let mut fragmenter = Fragmenter::new(&[sound()], Time::from_ns(0));
    assert_eq!(fragmenter.push(&units[0]), Err(WriteError::UnknownTrack { track: TrackId(0) }));
}
