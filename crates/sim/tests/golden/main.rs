//! Stores as earlier versions wrote them: each has to open with this one, complete, for ever.
//!
//! `v1/NAME.img.gz` are the disks, `v1/NAME.txt` what was on them when they were made. The example `golden` makes those of
//! a new format version. Those that are there already are never made anew: they prove something because an earlier version wrote
//! them.
#![allow(dead_code)] // the example uses the rest

mod image;
mod inventory;
mod make;
mod store;

use std::path::{Path, PathBuf};

use pegasus_disk::SimDisk;

use make::STORES;
use store::Store;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn load(name: &str) -> (Vec<SimDisk>, String) {
    let bytes = std::fs::read(folder().join(format!("{name}.img.gz"))).unwrap();
    let text = std::fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    (image::load(&bytes), text)
}

#[test]
fn every_store_of_version_1_is_whole() {
    for name in STORES {
        let (disks, expected) = load(name);
        let problems = store::check(&disks);
        // One was left with a disk that is to be rebuilt.
        let wrong: Vec<&String> = problems.iter().filter(|one| !one.contains("sim2")).collect();
        assert!(
            wrong.is_empty() && (problems.is_empty() || name == "hurt"),
            "{name}: {problems:#?}"
        );
        let store = Store::open(&disks, None);
        assert_eq!(inventory::of(&store), expected, "{name}");
    }
}

#[test]
fn stores_of_version_1_are_whole_without_any_one_disk() {
    for name in ["four-and-one", "cut", "mirror"] {
        let (disks, expected) = load(name);
        for missing in 0..disks.len() {
            let disks: Vec<SimDisk> = disks.iter().map(SimDisk::fork).collect();
            let store = Store::open(&disks, Some(missing));
            assert_eq!(inventory::of(&store), expected, "{name} without disk {missing}");
        }
    }
}

#[test]
fn stores_of_version_1_are_gone_on_with() {
    for name in STORES {
        let (disks, expected) = load(name);
        let store = Store::open(&disks, None);
        make::more(&store, "of a later version");
        store.store.scrub(None);
        store.store.tend().unwrap();
        let with_more = inventory::of(&store);
        store.close();
        assert_eq!(store::check(&disks), Vec::<String>::new(), "{name}");
        let store = Store::open(&disks, None);
        let found = inventory::of(&store);
        assert_eq!(found, with_more, "{name}");
        for line in expected.lines().filter(|line| !line.starts_with("file /\t")) {
            assert!(found.contains(line), "{name}: {line} is gone");
        }
    }
}
