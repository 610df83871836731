//! Any bytes as any structure of a recording on disk: a value or an error, never a panic; what was read is
//! written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pegasus_continuous::fuzz_formats(bytes));
