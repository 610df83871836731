//! Any bytes as a session description: tracks or reasons, never a panic; a description made of the
//! tracks has them all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_media::Track;
use pegasus_media::sdp::{Session, emit, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok(description) = parse(bytes) else { return };
    let tracks: Vec<Track> = description.media.into_iter().map(|media| media.track).collect();
    if tracks.is_empty() {
        return;
    }
    let session = Session { name: &description.name, id: 1, range: None };
    let again = parse(emit(&session, &tracks).as_bytes()).expect("it has tracks");
    assert_eq!(again.refused, []);
    assert_eq!(again.media.len(), tracks.len());
});
