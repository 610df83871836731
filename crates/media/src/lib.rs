//! Continuous media as data: tracks and units, RTP payloads, MP4, codec headers, media clocks.
//!
//! Everything here is pure: bytes and times in, values out. Start at [`Track`] and [`Unit`]; then
//!
//! - [`rtp`]: packets, reports, reordering, and the payload formats of all codecs, both ways;
//! - [`sdp`]: session descriptions, read and written;
//! - [`clock`]: capture times from arrivals and sender reports; [`reorder`]: decode times;
//! - [`codec`]: parameter sets, configuration records, key units;
//! - [`mp4`]: MP4 files and fragments, read and written.
//!
//! A packet's way to a unit:
//!
//! ```
//! use pegasus_base::Time;
//! use pegasus_media::clock::MediaClock;
//! use pegasus_media::rtp::{Depacketizer, Event, Packet};
//!
//! let body = b"m=audio 0 RTP/AVP 0\r\na=control:trackID=0\r\n";
//! let media = pegasus_media::sdp::parse(body)?.media.remove(0);
//! let mut depacketizer = Depacketizer::with_format(&media.track, media.format);
//! let mut clock = MediaClock::new(std::slice::from_ref(&media.track));
//!
//! let bytes = [&[0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9][..], &[0xff; 160]].concat();
//! let arrival: Time = "2026-11-20T03:12:07Z".parse()?;
//! depacketizer.push(&Packet::parse(bytes.into())?)?;
//! while let Some(Event::Frame(frame)) = depacketizer.poll() {
//!     assert_eq!((frame.pts, frame.duration), (160, 160));
//!     assert_eq!(clock.time(media.track.id, frame.pts, arrival), arrival);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
mod codec_string;
pub mod mp4;
pub mod reorder;
pub mod rtp;
pub mod sdp;
mod track;
mod unit;

pub use codec_string::codec_string;
pub use track::{Codec, Kind, Shape, Track, TrackId, TrackSet};
pub use unit::{Unit, UnitMeta};
