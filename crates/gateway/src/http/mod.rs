//! The HTTP door.

mod error;
mod hls;
mod names;
mod playable;
mod query;
pub mod range;
#[cfg(test)]
mod testing;

pub use error::ErrorBody;
