//! The HTTP door: handlers in this process, and the programs people use against a real one.

mod api;
#[path = "../common/mod.rs"]
mod common;
mod hls;
mod keys;
mod live;
mod media;
mod mounts;
mod server;
mod support;
