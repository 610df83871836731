//! The RTSP door (RFC 2326): cameras and encoders publish here, players watch live and recorded.
//!
//! The pure parts, bottom up: [`message`], [`decode`] and the headers [`transport`], [`range`] and
//! [`target`]; [`session`], the state machine of a connection, and [`dialogue`], its words; [`plan`] and
//! [`rate`], what a PLAY means; [`ingest`], packets to units; [`outlet`], units to packets. The drivers:
//! [`serve`] accepts, `connection` runs one client (`challenge` lets it in, `control` does what its
//! session asks for, `traffic` moves its media, as `publishing` or `player`), `udp` holds ports,
//! `recorded` reads ahead of a player.
//!
//! `docs/ref/rtsp.md` says what clients may ask for.

mod challenge;
mod connection;
mod control;
pub mod decode;
pub mod dialogue;
pub mod ingest;
pub mod message;
pub mod outlet;
mod pace;
pub mod plan;
mod player;
mod publishing;
pub mod range;
pub mod rate;
mod recorded;
mod retime;
mod server;
pub mod session;
pub mod target;
mod tracks;
mod traffic;
pub mod transport;
mod udp;

pub use server::{Limits, serve, serve_with};
