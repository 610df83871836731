//! Recordings: continuous media on the core layer, one time line for each stream.
//!
//! A stream's units are gathered into blocks, one for each commit, and appended to segments of the log
//! that belong to this stream alone; a commit makes the blocks of all streams durable at once. A directory
//! lists the stream's segments, an index in each segment its blocks with the key units, a list of spans
//! says where something is recorded at all. So any instant is found in two or three reads.
//! `docs/design/recording.md` has every byte and the rules of the time line.
//!
//! What it is not: it knows nothing of disks, parity and recovery (that is `pegasus_log`), nothing of
//! codecs, and nothing of live viewers.
//!
//! | to | see |
//! | --- | --- |
//! | open a store, list, delete, watch | [`Continuous`] |
//! | know whether the disks can take a recording | [`Continuous::place`], [`Place`] |
//! | record | [`Continuous::recorder`], [`Recorder`] |
//! | find key units without reading media | [`Continuous::marks`] |
//! | list units without reading media, read some of them later | [`Continuous::list`], [`Continuous::read_units`] |
//! | list groups of pictures, play exactly backwards | [`Continuous::groups`], [`Continuous::groups_back`], [`Groups`] |
//! | play fast, either way | [`Continuous::read_keys`], [`KeyReader`] |
//! | read from an instant | [`Continuous::read`], [`Reader`], [`Item`] |
//! | be sure that what is read is there in time | [`Continuous::guarantee`], [`Continuous::promise`], [`Promise`] |
//! | set durability and retention | [`Settings`] |
//! | replace a disk, scrub | [`Continuous::replace_disk`], [`Continuous::scrub`] |
//! | move out to a store of objects, and back | [`Continuous::set_tier`], [`Continuous::stage_out`], [`Continuous::out`] |
//! | check offline | [`check_store`] |
//!
//! Inside, pure cores are `queue` (what waits, bounded), `timeline` (spans), `assemble` (blocks), `gate`
//! (what a reader shows) and `format` (bytes). `commit` with `writer`, `retain` and `delete` is the single
//! owner of what changes on disk; it is told `now`, and `driver` is the thread that calls it in time.
//! `stream` is what is known of one stream, `locate` finds places in it, `step` goes from one to the next.
//! `owners` lists what is sealed for passes over everything, `keeper` is the thread that makes them, and
//! `care` what it remembers; `spare` opens disks that join, `hot_spares` those that wait for one to fail. `walk` decides what a reader shows; `read`, `listing` and `units` are the ways out.
//! `scan` goes from key unit to key unit instead; `groups` and `keys` are its ways out. `guarantee` admits playbacks and reads
//! ahead of those that are promised. `tier` moves segments out to a store of objects, reads them there and brings them back.
//!
//! ```
//! # use std::sync::Arc;
//! # use pegasus_base::{SystemClock, Time, TimeRange};
//! # use pegasus_disk::{Disk, SimDisk};
//! # use pegasus_log::{FormatOptions, Log, OpenOptions};
//! # use pegasus_media::{Codec, Shape, Track, TrackId, Unit};
//! use pegasus_continuous::{Continuous, Item, ReadOptions, Settings};
//! # let now = Time::from_secs(1_700_000_000);
//! # let disks: Vec<Arc<dyn Disk>> =
//! #     SimDisk::array(2, 16 << 20, 7).into_iter().map(|d| Arc::new(d) as _).collect();
//! # let format = FormatOptions {
//! #     data: 1, parity: 1, unit_bytes: Some(1 << 20), label: String::new(), now,
//! # };
//! # Log::format(&disks, &format, &mut fastrand::Rng::with_seed(7))?;
//! # let named = disks.iter().map(|disk| (disk.label(), Some(disk.clone()))).collect();
//! # let (log, recovery) = Log::open(named, &OpenOptions { now, read_only: false })?;
//! # let tracks = Arc::from([Track {
//! #     id: TrackId(0), codec: Codec::Pcmu, clock_rate: 8_000,
//! #     shape: Shape::Audio { channels: 1, sample_rate: 8_000 }, config: Default::default(),
//! # }]);
//! # let unit = Arc::new(Unit {
//! #     track: TrackId(0), pts: 0, dts: 0, time: now, duration: 160, key: true,
//! #     data: vec![0; 160].into(),
//! # });
//! let store = Continuous::open(log, recovery, Settings::default(), Arc::new(SystemClock))?;
//! let name = "/mic/desk".parse()?;
//! let recorder = store.recorder(&name, tracks)?;
//! recorder.push(unit.clone());
//! store.flush()?; // else it is durable within a second
//! assert_eq!(store.spans(&name, TimeRange::ALL)?[0].units, 1);
//!
//! let mut reader = store.read(&name, now, ReadOptions::default())?;
//! assert!(matches!(reader.next()?, Some(Item::Tracks(_))));
//! assert_eq!(reader.next()?, Some(Item::Unit((*unit).clone())));
//! assert_eq!(reader.next()?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod ahead;
mod assemble;
mod care;
mod check;
mod cleaner;
mod commit;
mod delete;
mod directory;
mod draft;
mod driver;
mod error;
#[doc(hidden)]
pub mod fabricate;
mod forecast;
mod format;
mod gate;
mod geometry;
mod groups;
mod guarantee;
mod hot_spares;
mod indexes;
mod inner;
mod keeper;
mod keys;
mod listing;
mod locate;
mod marks;
mod media;
mod moving;
mod open;
mod owners;
mod queue;
mod read;
mod recorder;
mod removal;
mod repair;
mod retain;
#[cfg(test)]
mod sample;
mod scan;
mod settings;
mod spans;
mod spare;
mod status;
mod step;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod tier;
mod timeline;
mod tracks;
mod units;
mod walk;
mod writer;

pub use care::{CareStatus, WorkKind, WorkStatus};
pub use check::check_store;
pub use error::Error;
pub use forecast::Forecast;
pub use format::FormatError;
#[doc(hidden)]
pub use format::fuzz_formats;
pub use groups::{Group, Groups};
pub use guarantee::{
    Exceeding, Guarantee, GuaranteeStatus, InLine, IntakeStatus, Place, PlaybackStatus, Promise,
    RecordingRefused, Refused, Said, Waiting, Wish,
};
pub use hot_spares::SpareStatus;
pub use keys::{Direction, KeyOptions, KeyReader};
pub use listing::{Listed, Listing};
pub use marks::Mark;
pub use pegasus_log::{CheckReport, DiskIndex};
pub use queue::Pushed;
pub use read::{Item, ReadOptions, Reader};
pub use recorder::Recorder;
pub use repair::{Disks, Progress, Repair, RepairOptions, RepairPlan};
pub use settings::{Retention, Settings, StreamRetention};
pub use status::{
    DiskStatus, Health, IngestStatus, LogStatus, RecordedStream, RecorderStatus, Span, StoreStatus,
};
pub use store::{Continuous, Durable, Watch};
pub use tier::{OutRange, StageStatus, Staged, TierOptions, TierRule, TierStatus};
pub use units::{UnitNumber, Units};
