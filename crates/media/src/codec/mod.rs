//! What is inside codecs' headers: parameter sets, configuration records, key units.

pub mod aac;
pub mod av1;
pub mod h264;
pub mod h265;
pub mod mjpeg;
pub mod nal;
pub mod opus;
pub mod vp9;

pub(crate) mod bits;
