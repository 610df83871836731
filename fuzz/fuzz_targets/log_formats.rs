//! Any bytes as a map of a block: a map or none, never a panic; what was read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_log::BlockMap;

fuzz_target!(|bytes: &[u8]| {
    let Some((map, len)) = BlockMap::parse(bytes) else { return };
    assert!(len <= bytes.len());
    let mut written = Vec::new();
    map.emit(&mut written);
    assert_eq!(BlockMap::parse(&written), Some((map, written.len())));
});
