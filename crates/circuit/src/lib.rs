//! How units travel from one source to many sinks, and the control stream beside them.
//!
//! A [`Switch`] holds the streams of a node by name. One [`Source`] publishes a stream, any number
//! of [`Sink`]s take it. The units lie in one bounded ring per stream; a sink is a place in that
//! ring. So no unit is copied for a sink, no sink has a queue, a slow sink loses whole groups of
//! pictures and is told how many units that were ([`Event::Lost`]), and nobody waits for it.
//!
//! A *group* runs from a key unit of the first video track to the next, with all that comes between
//! in the other tracks. A stream without video has groups of one unit.
//!
//! It is not a buffer for playback: what has been recorded is read from the store.
//!
//! Inside, `circuit` is the pure core of one stream (with `ring`, `states`, `cursor` and `meter`);
//! `switch`, `source` and `sink` are the drivers that lock it and wake tasks. Start at [`Switch`].

#![forbid(unsafe_code)]

mod circuit;
mod cursor;
mod event;
mod limits;
mod meter;
#[cfg(test)]
mod model_tests;
mod ring;
mod sink;
mod source;
mod states;
mod status;
mod switch;

pub use event::{Command, Event, Loss, Mark, Start, SwitchEvent};
pub use limits::Limits;
pub use sink::Sink;
pub use source::{Commands, Source};
pub use status::{Damage, SinkStatus, StreamStatus};
pub use switch::{PublishError, Switch};
