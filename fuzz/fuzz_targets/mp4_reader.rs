//! Any bytes read as an MP4 file: errors, never a panic, and an end.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use pegasus_base::Time;
use pegasus_media::mp4::Mp4File;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = Mp4File::open(Cursor::new(bytes)) else { return };
    // A few bytes may claim a million samples that all lie on the same data: enough of those.
    for _ in 0..10_000 {
        match file.next(Time::from_secs(1_700_000_000)) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
});
