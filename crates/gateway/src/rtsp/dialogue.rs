//! The words between the session machine and its driver: what the machine asks for, what came of it,
//! and what it says to the client in the end.

use std::fmt;

use pegasus_base::StreamName;

use super::message::{Response, Status};
use super::range::Range;
use super::rate::{Asked, Rate};
use super::target::Target;

/// A refusal: what goes into the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number.
    pub status: Status,
    /// Why, in words.
    pub why: String,
}

impl Refusal {
    /// A refusal with `status` because of `why`.
    pub fn new(status: Status, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self::refuse(refusal.status, refusal.why)
    }
}

/// What the caller must do before the request can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Find the stream and describe it. Answer: [`Answer::Described`].
    Describe(Target),
    /// Read the description and see whether the name is free. Answer: [`Answer::Announced`].
    Announce {
        /// The name to publish on.
        name: StreamName,
        /// The SDP.
        sdp: bytes::Bytes,
    },
    /// Bind a pair of ports. Answer: [`Answer::Bound`].
    Bind {
        /// For this track.
        track: usize,
        /// The client's ports.
        client: (u16, u16),
    },
    /// Take the name and start listening. Answer: [`Answer::Recording`].
    Record {
        /// The name to publish on.
        name: StreamName,
    },
    /// Start, resume or move a playback. Answer: [`Answer::Playing`].
    Play {
        /// What of.
        target: Target,
        /// From where; none is where it stands, or the beginning.
        range: Option<Range>,
        /// How fast, and which way.
        rate: Asked,
    },
    /// Hold the playback. Answer: [`Answer::Paused`].
    Pause,
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The SDP of the stream and how many tracks it has.
    Described(Result<Description, Refusal>),
    /// The controls of the announced tracks in order. Tracks that can't be carried are among them,
    /// with the reason: their packets are thrown away, the others go on.
    Announced(Result<Vec<AnnouncedTrack>, Refusal>),
    /// The ports bound.
    Bound(Result<(u16, u16), Refusal>),
    /// The name is taken for this session.
    Recording(Result<(), Refusal>),
    /// Playing from here.
    Playing(Result<Started, Refusal>),
    /// The playback holds.
    Paused,
}

/// A stream as a player sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The SDP body.
    pub sdp: String,
    /// How many tracks there are.
    pub tracks: usize,
}

/// A track a publisher announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedTrack {
    /// Its `a=control`.
    pub control: String,
    /// Why it can't be carried, if it can't.
    pub refused: Option<String>,
}

/// How a playback began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// What is really played.
    pub range: Range,
    /// How fast, and which way.
    pub rate: Rate,
    /// Track, first sequence number and timestamp of the range's beginning, of each track set up.
    pub rtp_info: Vec<(usize, u16, u32)>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Reply(Response),
    /// Do this, then call [`Session::answer`](super::session::Session::answer).
    Ask(Ask),
}
