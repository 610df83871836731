//! Any bytes as any structure of the files: a value or none, never a panic; what was read is written the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pegasus_files::fuzz::parse_all(bytes));
