//! Listings against readers, and units by number against listings.

use std::time::Duration;

use pegasus_base::{Time, TimeRange};
use pegasus_disk::Profile;
use pegasus_media::{Unit, UnitMeta};
use proptest::prelude::*;

use super::reading::{any_footage, record};
use super::{Rig, Size, name, settings};
use crate::{Guarantee, Item, Listed, Listing, UnitNumber, Wish, sample};

const CAM: &str = "/cam/door";

fn list(rig: &Rig, range: TimeRange) -> Vec<Item<Listed>> {
    let mut listing = rig.store().list(&name(CAM), range).unwrap();
    let next = |listing: &mut Listing| listing.next().unwrap();
    std::iter::from_fn(|| next(&mut listing)).collect()
}

fn listed(items: &[Item<Listed>]) -> Vec<Listed> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Unit(listed) => Some(*listed),
            _ => None,
        })
        .collect()
}

/// An item without what only one of the two ways tells.
fn bare<U>(item: Item<U>, meta: impl Fn(U) -> UnitMeta) -> Item<UnitMeta> {
    match item {
        Item::Unit(unit) => Item::Unit(meta(unit)),
        Item::Tracks(tracks) => Item::Tracks(tracks),
        Item::Gap { from, to } => Item::Gap { from, to },
        Item::Waiting => Item::Waiting,
    }
}

fn assert_as_read(rig: &Rig, range: TimeRange) {
    let read = rig.read(CAM, range.start, Some(range.end)).into_iter();
    let read: Vec<_> = read.map(|item| bare(item, |unit: Unit| UnitMeta::from(&unit))).collect();
    let listed = list(rig, range).into_iter().map(|item| bare(item, |unit: Listed| unit.meta));
    assert_eq!(listed.collect::<Vec<_>>(), read);
}

fn read_units(rig: &Rig, from: UnitNumber) -> Vec<(UnitNumber, Unit)> {
    let mut units = rig.store().read_units(&name(CAM), from).unwrap();
    std::iter::from_fn(|| units.next().unwrap()).collect()
}

fn read_bytes(rig: &Rig) -> u64 {
    rig.store().status().disks.iter().map(|disk| disk.read_bytes).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_listing_is_what_is_read(
        footage in any_footage(),
        seeks in proptest::collection::vec((-2_000i64..200_000, 0i64..40_000, any::<u64>()), 1..8),
        reopen: bool,
    ) {
        let mut rig = Rig::small();
        record(&rig, &footage);
        if reopen {
            rig.reopen();
        }
        assert_as_read(&rig, TimeRange::ALL);
        let all = listed(&list(&rig, TimeRange::ALL));
        for (from_ms, length_ms, pick) in seeks {
            let from = sample::at(from_ms);
            assert_as_read(&rig, TimeRange::new(from, from + Duration::from_millis(length_ms as u64)));
            // Nothing was deleted, so every number from the one picked on comes back.
            let first = all[(pick % all.len() as u64) as usize].number;
            let units = read_units(&rig, first);
            let listed = all.iter().filter(|listed| listed.number >= first);
            let found = units.iter().map(|(number, unit)| (*number, UnitMeta::from(unit)));
            prop_assert!(found.eq(listed.map(|listed| (listed.number, listed.meta))));
        }
    }
}

#[test]
fn a_listing_reads_no_media() {
    let size = Size { unit_bytes: 1 << 20, disk_bytes: 128 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    // 4 Mb/s, a commit every half second.
    rig.record(CAM, &sample::camera(60, 17_500, 0), 38);
    // The heads of the open segment's blocks are read when it is opened again, not later.
    rig.reopen();
    let before = read_bytes(&rig);
    let units = listed(&list(&rig, TimeRange::ALL));
    let read = read_bytes(&rig) - before;
    let media: u64 = units.iter().map(|unit| u64::from(unit.meta.len_bytes)).sum();
    assert_eq!(units.len(), 60 * 75);
    assert!(read > 0 && read < media / 100, "{read} bytes were read to list {media}");
}

#[test]
fn who_was_just_admitted_lists_without_reading_indexes_again() {
    let size = Size { unit_bytes: 1 << 20, disk_bytes: 128 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    rig.record(CAM, &sample::camera(60, 17_500, 0), 38);
    rig.reopen();
    let profile = Profile::flash(1 << 40, 3_000, 1_000_000_000);
    rig.store().guarantee(Some(Guarantee::on(vec![profile]))).unwrap();
    let wish = Wish { name: name(CAM), from: Time::MIN, until: None, scale: 1.0 };
    let _promise = rig.store().promise(&[wish]).unwrap();
    let before = read_bytes(&rig);
    list(&rig, TimeRange::ALL);
    let again = read_bytes(&rig) - before;
    rig.reopen();
    let before = read_bytes(&rig);
    list(&rig, TimeRange::ALL);
    let read = read_bytes(&rig) - before;
    assert!(again < read / 2, "{again} bytes, and {read} where nobody was admitted");
    assert_as_read(&rig, TimeRange::ALL);
}

#[test]
fn tables_too_long_for_the_index_are_looked_up_in_their_blocks() {
    let size = Size { unit_bytes: 1 << 20, disk_bytes: 128 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    // A block of 3000 units, and others of a few, over several segments.
    let units = sample::camera(60, 1_000, 0);
    rig.record(CAM, &units[..3_000], 3_000);
    rig.record(CAM, &units[3_000..], 75);
    rig.record(CAM, &sample::camera(40, 8_000, 100), 1_500);
    assert_as_read(&rig, TimeRange::ALL);
    rig.check();
    assert_as_read(&rig, TimeRange::ALL);
    rig.record(CAM, &sample::camera(40, 8_000, 200), 75);
    rig.check();
    assert_as_read(&rig, TimeRange::ALL);
}

#[test]
fn what_was_deleted_since_it_was_listed_is_left_out() {
    let mut rig = Rig::small();
    rig.record(CAM, &sample::camera(30, 1_000, 0), 75);
    let all = listed(&list(&rig, TimeRange::ALL));
    let deleted = TimeRange::new(sample::at(10_000), sample::at(20_000));
    rig.store().delete(&name(CAM), Some(deleted)).unwrap();
    for _ in 0..2 {
        let left = listed(&list(&rig, TimeRange::ALL));
        assert!(left.len() < all.len());
        assert!(left.iter().all(|unit| all.contains(unit)), "a number means the same for ever");
        let numbers: Vec<UnitNumber> = left.iter().map(|unit| unit.number).collect();
        let found: Vec<UnitNumber> =
            read_units(&rig, all[0].number).iter().map(|(number, _)| *number).collect();
        assert!(numbers.iter().all(|number| found.contains(number)));
        let gone = all.iter().find(|unit| unit.meta.time > sample::at(15_000)).unwrap();
        assert!(read_units(&rig, gone.number)[0].0 > gone.number);
        rig.reopen();
    }
}

#[test]
fn damaged_media_is_listed_and_fails_when_it_is_read() {
    let rig = Rig::small();
    rig.record(CAM, &sample::camera(20, 2_000, 0), 75);
    let all = list(&rig, TimeRange::ALL);
    let inner = rig.store().inner();
    let stream = inner.stream(&name(CAM)).unwrap();
    let finder =
        crate::locate::Finder { inner: inner.clone(), stream, record_len: inner.record_len };
    let lost = finder.entries(3).unwrap().as_slice()[0].clone();
    for extent in lost.map.extents() {
        let disk = &rig.disks[usize::from(extent.disk.0)];
        disk.spoil(extent.offset..extent.offset + u64::from(lost.map.fragment_bytes));
    }
    assert_eq!(list(&rig, TimeRange::ALL), all);
    let first = UnitNumber(lost.head.before.units - 5);
    let mut units = rig.store().read_units(&name(CAM), first).unwrap();
    for number in first.0..lost.head.before.units {
        assert_eq!(units.next().unwrap().unwrap().0, UnitNumber(number));
    }
    let error = units.next().unwrap_err().to_string();
    assert!(error.contains(&lost.map.segment.to_string()), "{error}");
    let (behind, _) = units.next().unwrap().unwrap();
    assert_eq!(behind, UnitNumber(lost.head.after().units));
}

#[test]
fn numbers_that_are_not_there_yet_or_any_more() {
    let rig = Rig::small();
    rig.record(CAM, &sample::camera(2, 100, 0), 75);
    assert_eq!(read_units(&rig, UnitNumber(150)), []);
    assert_eq!(read_units(&rig, UnitNumber(149)).len(), 1);
    let mut units = rig.store().read_units(&name(CAM), UnitNumber(0)).unwrap();
    rig.store().delete(&name(CAM), None).unwrap();
    rig.record(CAM, &sample::camera(2, 100, 10), 75);
    // The numbers begin anew with the stream; who read the old one does not get the new one's.
    assert_eq!(units.next().unwrap(), None);
    let all = listed(&list(&rig, TimeRange::ALL));
    assert_eq!((all.len(), all[0].meta.time > Time::from_secs(0)), (150, true));
}
