//! The HTTP door: handlers in this process, and the programs people use against a real one.

mod api;
mod hls;
mod live;
mod media;
mod server;
mod support;
