//! What is inside codecs' headers: parameter sets, configuration records, key units.

pub mod aac;
pub mod h264;
pub mod nal;
pub mod opus;

pub(crate) mod bits;
