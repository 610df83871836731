//! Any datagram as RTCP: packets or an error, never a panic; what was read survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_media::rtp::Rtcp;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packets) = Rtcp::parse_compound(bytes) else { return };
    let known: Vec<Rtcp> =
        packets.into_iter().filter(|packet| !matches!(packet, Rtcp::Other { .. })).collect();
    // A name that was not UTF-8 may have grown beyond what the format holds.
    if known.iter().any(|packet| matches!(packet, Rtcp::Name { cname, .. } if cname.len() > 255)) {
        return;
    }
    assert_eq!(Rtcp::parse_compound(&Rtcp::emit_compound(&known)), Ok(known));
});
