//! The tertiary tier: segments that were moved out to a store of objects, read there, and brought back.
//!
//! A record of a directory says of a segment that it is *out*; what it held is one object then, and its slots are
//! given back. Everything but the bytes of the media stays as it was: time line, numbers, listing. `docs/design/tier.md`
//! has the bytes and the argument that nothing is lost.
//!
//! Pure: `policy` (what is to go), `pipeline` (when playing may begin), `uses` (what was played). `shelf` reads objects for
//! whoever reads; `leave` moves segments out, `come` brings them back, `sweep` deletes objects nothing refers to. `worker` is
//! the two threads that call these in time, one for each direction, and `status` what they tell.

mod come;
mod leave;
pub(crate) mod pipeline;
mod policy;
mod shelf;
mod status;
mod store;
mod sweep;
mod tiering;
mod uses;
mod worker;

pub use status::{OutRange, StageStatus, Staged, TierStatus};
pub(crate) use tiering::Tiering;
pub use tiering::{TierOptions, TierRule};
pub(crate) use worker::Stagers;
