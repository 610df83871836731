//! Built-in devices: the test camera.
//!
//! A [`TestCamera`] publishes a moving picture with a burnt-in UTC clock and frame counter and a
//! tone, so that a node without cameras has something to show and tests have something whose every
//! frame is known. [`Camera`] is its pure core: which units there are at which instant. What it sees
//! is drawn by [`Card`], what it hears is a [`Tone`].

#![deny(unsafe_code)] // but for `opus`

mod camera;
mod card;
mod error;
mod font;
mod opus;
mod picture;
mod test_camera;
mod tone;
mod video;

pub use camera::{AudioCoding, Camera, VideoCoding, View};
pub use card::{Card, Pattern, read_counter};
pub use error::DeviceError;
pub use font::{CELL_HEIGHT, CELL_WIDTH, draw_text, text_width};
pub use picture::{Color, Picture, Range, Rect};
pub use test_camera::TestCamera;
pub use tone::{Tone, mu_law};
