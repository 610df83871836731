//! The session of a connection as a pure state machine (RFC 2326, appendix A).
//!
//! [`Session::request`] takes a request and yields either the response or an [`Ask`]: something only
//! the world outside can do. The caller does it and hands the outcome to [`Session::answer`], which
//! again yields one or the other. Between the two no other request may be handed in.
//!
//! One connection carries one session at a time; closing the connection ends it, over UDP as well.
//!
//! ```text
//!            ANNOUNCE            SETUP               RECORD
//!   Idle ---------------> Publisher ----> (ready) ---------> Recording
//!     \   DESCRIBE, SETUP           SETUP              PLAY               PAUSE
//!      +------------------> Player -------> (ready) --------> Playing <--------> Paused
//!   TEARDOWN from anywhere leads back to Idle.
//! ```

use std::collections::BTreeMap;

use pegasus_base::{StreamName, Time};

use super::dialogue::{AnnouncedTrack, Answer, Ask, Description, Refusal, Step};
use super::message::{Method, Request, Response, Status};
use super::rate::Asked;
use super::target::Target;
use super::tracks::{
    Playing, announced_track, content_base, described_track, playing, push_rate, target_of,
    with_refused,
};
use super::transport::{Agreed, Transport, Way};

/// Seconds without a sign of life after which a session ends; told to the client.
pub const SESSION_TIMEOUT_S: u64 = 60;

/// Most tracks of one session.
pub const TRACKS_MAX: usize = 16;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing agreed, or tracks being set up.
    Ready,
    /// Units go to the client.
    Playing,
    /// A playback holds.
    Paused,
    /// Units come from the client.
    Recording,
}

/// One track set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Which track.
    pub track: usize,
    /// How its packets travel.
    pub way: Way,
    /// The server's identity as sender.
    pub ssrc: u32,
}

#[derive(Clone, Debug)]
enum Role {
    None,
    Publisher { name: StreamName, tracks: Vec<AnnouncedTrack> },
    Player { target: Target, description: Option<Description> },
}

/// A request that waits for an answer.
#[derive(Debug)]
struct Pending {
    request: Request,
    ask: Ask,
}

/// The state machine. See the module's documentation for how it is driven.
#[derive(Debug)]
pub struct Session {
    id: String,
    rng: fastrand::Rng,
    role: Role,
    phase: Phase,
    /// How it was last begun to play.
    playing: Option<Playing>,
    channels: Vec<Channel>,
    /// The URLs by which the client set up each track.
    urls: BTreeMap<usize, String>,
    pending: Option<Pending>,
}

impl Session {
    /// A session with nothing agreed. Its id and SSRCs are drawn from `rng`. They need not be secret:
    /// a session can only be controlled on its own connection.
    #[must_use]
    pub fn new(mut rng: fastrand::Rng) -> Self {
        let id = format!("{:016X}", rng.u64(..));
        let (role, phase) = (Role::None, Phase::Ready);
        let (channels, urls) = (Vec::new(), BTreeMap::new());
        Self { id, rng, role, phase, playing: None, channels, urls, pending: None }
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The tracks set up, in the order of their set-up.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The playback came to its end: a new PLAY starts another.
    pub fn ended(&mut self) {
        if self.phase == Phase::Playing {
            self.phase = Phase::Ready;
        }
    }

    /// Takes the client's next request.
    ///
    /// # Panics
    /// If an [`Ask`] is still unanswered.
    pub fn request(&mut self, request: Request, now: Time) -> Step {
        assert!(self.pending.is_none(), "an ask must be answered before the next request");
        match self.handle(&request, now) {
            Ok(Next::Reply(response)) => self.reply(&request, response),
            Ok(Next::Ask(ask)) => self.ask(request, ask),
            Err(refusal) => self.reply(&request, refusal.into()),
        }
    }

    /// Takes what came of the last [`Ask`].
    ///
    /// # Panics
    /// If nothing was asked, or the answer belongs to another question.
    pub fn answer(&mut self, answer: Answer) -> Step {
        let Pending { request, ask } = self.pending.take().expect("nothing was asked");
        match self.conclude(&request, ask, answer) {
            Ok(Next::Reply(response)) => self.reply(&request, response),
            Ok(Next::Ask(ask)) => self.ask(request, ask),
            Err(refusal) => self.reply(&request, refusal.into()),
        }
    }

    fn ask(&mut self, request: Request, ask: Ask) -> Step {
        self.pending = Some(Pending { request, ask: ask.clone() });
        Step::Ask(ask)
    }

    fn reply(&self, request: &Request, mut response: Response) -> Step {
        if let Some(cseq) = request.headers.get("CSeq") {
            response.headers.push("CSeq", cseq);
        }
        response.headers.push("Server", concat!("pegasus/", env!("CARGO_PKG_VERSION")));
        // Once a track is set up each response names the session (RFC 2326, 12.37).
        if !self.channels.is_empty() {
            response.headers.push("Session", format!("{};timeout={SESSION_TIMEOUT_S}", self.id));
        }
        Step::Reply(response)
    }

    fn handle(&mut self, request: &Request, now: Time) -> Result<Next, Refusal> {
        if request.headers.get("CSeq").is_none() {
            return Err(Refusal::new(Status::BAD_REQUEST, "the CSeq header is missing"));
        }
        if let Some(option) = request.headers.get("Require") {
            let why = format!("'{option}' is required but not known here");
            return Err(Refusal::new(Status::OPTION_NOT_SUPPORTED, why));
        }
        if request.session().is_some_and(|id| id != self.id || self.channels.is_empty()) {
            return Err(Refusal::new(Status::SESSION_NOT_FOUND, "no such session here"));
        }
        match &request.method {
            Method::Options => {
                Ok(Next::Reply(Response::new(Status::OK).with("Public", Method::PUBLIC)))
            }
            Method::Describe => self.describe(request, now),
            Method::Announce => self.announce(request, now),
            Method::Setup => self.setup(request, now),
            Method::Play => self.play(request),
            Method::Pause => self.pause(),
            Method::Record => self.record(),
            Method::Teardown => Ok(Next::Reply(self.teardown())),
            Method::GetParameter | Method::SetParameter => parameter(request),
            Method::Other(token) => {
                Err(Refusal::new(Status::NOT_IMPLEMENTED, format!("'{token}' is not known")))
            }
        }
    }

    fn describe(&mut self, request: &Request, now: Time) -> Result<Next, Refusal> {
        self.must_be_free()?;
        let target = target_of(request, now)?;
        Ok(Next::Ask(Ask::Describe(Target { track: None, ..target })))
    }

    fn announce(&mut self, request: &Request, now: Time) -> Result<Next, Refusal> {
        self.must_be_free()?;
        let content = request.headers.get("Content-Type").unwrap_or("application/sdp");
        if !content.to_ascii_lowercase().starts_with("application/sdp") {
            let why = format!("a description in '{content}' can't be read, only application/sdp");
            return Err(Refusal::new(Status::UNSUPPORTED_MEDIA, why));
        }
        let Target { name, recorded, .. } = target_of(request, now)?;
        if recorded.is_some() {
            let why = "publish on a stream's name without from= and to=";
            return Err(Refusal::new(Status::BAD_REQUEST, why));
        }
        Ok(Next::Ask(Ask::Announce { name, sdp: request.body.clone() }))
    }

    fn setup(&mut self, request: &Request, now: Time) -> Result<Next, Refusal> {
        if self.phase != Phase::Ready {
            let why = "tracks are set up before PLAY or RECORD";
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, why));
        }
        match &self.role {
            Role::Publisher { tracks, .. } => {
                let track = announced_track(&request.url, tracks)?;
                self.setup_track(request, track)
            }
            Role::Player { target, description: Some(description) } => {
                let asked = target_of(request, now)?;
                if asked.name != target.name {
                    let why = format!("this session is about {}", target.name);
                    return Err(Refusal::new(Status::NOT_VALID_IN_STATE, why));
                }
                let track = described_track(&asked, description)?;
                self.setup_track(request, track)
            }
            // A client that knows the description from elsewhere may begin here.
            Role::None | Role::Player { .. } => {
                let target = target_of(request, now)?;
                Ok(Next::Ask(Ask::Describe(Target { track: None, ..target })))
            }
        }
    }

    /// Agrees on the transport of `track`.
    fn setup_track(&mut self, request: &Request, track: usize) -> Result<Next, Refusal> {
        if self.channels.iter().any(|channel| channel.track == track) {
            let why = format!("track {track} is set up already");
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, why));
        }
        if self.channels.len() == TRACKS_MAX {
            let why = format!("a session has at most {TRACKS_MAX} tracks");
            return Err(Refusal::new(Status::UNAVAILABLE, why));
        }
        let header = request.headers.get("Transport").unwrap_or_default();
        let transport = Transport::choose(header)
            .map_err(|error| Refusal::new(Status::UNSUPPORTED_TRANSPORT, error))?;
        match transport {
            Transport::Interleaved(wanted) => {
                let (rtp, rtcp) = self.free_channels(wanted);
                Ok(Next::Reply(self.agree(request, track, Way::Interleaved(rtp, rtcp))))
            }
            Transport::Udp(rtp, rtcp) => Ok(Next::Ask(Ask::Bind { track, client: (rtp, rtcp) })),
        }
    }

    /// The channels wanted, or others if they are taken.
    fn free_channels(&self, wanted: Option<(u8, u8)>) -> (u8, u8) {
        let taken = |id: u8| {
            self.channels.iter().any(|channel| {
                matches!(channel.way, Way::Interleaved(rtp, rtcp) if rtp == id || rtcp == id)
            })
        };
        let free = |&(rtp, rtcp): &(u8, u8)| rtp != rtcp && !taken(rtp) && !taken(rtcp);
        let pairs = (0..=u8::MAX / 2).map(|n| (2 * n, 2 * n + 1));
        wanted
            .filter(free)
            .or_else(|| pairs.into_iter().find(free))
            .expect("16 tracks can't take all 128 pairs of channels")
    }

    fn agree(&mut self, request: &Request, track: usize, way: Way) -> Response {
        self.urls.insert(track, request.url.clone());
        let ssrc = self.rng.u32(1..);
        self.channels.push(Channel { track, way, ssrc });
        let record = matches!(self.role, Role::Publisher { .. });
        let agreed = Agreed { way, record, ssrc: (!record).then_some(ssrc) };
        Response::new(Status::OK).with("Transport", agreed.to_string())
    }

    fn play(&mut self, request: &Request) -> Result<Next, Refusal> {
        let Role::Player { target, .. } = &self.role else {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "set up tracks to play first"));
        };
        if self.channels.is_empty() {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "no track is set up"));
        }
        let asked = Asked::of(request)?;
        let range = asked.range(request)?;
        if let (Phase::Playing, None, Some(playing)) = (self.phase, range, self.playing)
            && playing.goes_on(asked)
        {
            let mut response = Response::new(Status::OK); // it plays already: a keep-alive
            push_rate(request, playing.rate, &mut response);
            return Ok(Next::Reply(response));
        }
        Ok(Next::Ask(Ask::Play { target: target.clone(), range, rate: asked }))
    }

    fn pause(&mut self) -> Result<Next, Refusal> {
        match self.phase {
            Phase::Playing => Ok(Next::Ask(Ask::Pause)),
            Phase::Paused => Ok(Next::Reply(Response::new(Status::OK))),
            Phase::Ready | Phase::Recording => {
                Err(Refusal::new(Status::NOT_VALID_IN_STATE, "nothing is playing"))
            }
        }
    }

    fn record(&mut self) -> Result<Next, Refusal> {
        let Role::Publisher { name, .. } = &self.role else {
            let why = "announce a stream and set up its tracks first";
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, why));
        };
        if self.phase == Phase::Recording {
            return Ok(Next::Reply(Response::new(Status::OK)));
        }
        if self.channels.is_empty() {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "no track is set up"));
        }
        Ok(Next::Ask(Ask::Record { name: name.clone() }))
    }

    fn teardown(&mut self) -> Response {
        self.role = Role::None;
        self.phase = Phase::Ready;
        self.channels.clear();
        self.urls.clear();
        Response::new(Status::OK)
    }

    fn must_be_free(&self) -> Result<(), Refusal> {
        if self.channels.is_empty() {
            return Ok(());
        }
        let why = "this connection has a session already; tear it down or open another connection";
        Err(Refusal::new(Status::NOT_VALID_IN_STATE, why))
    }

    fn conclude(&mut self, request: &Request, ask: Ask, answer: Answer) -> Result<Next, Refusal> {
        match (ask, answer) {
            (Ask::Describe(target), Answer::Described(described)) => {
                self.described(request, target, described?)
            }
            (Ask::Announce { name, .. }, Answer::Announced(tracks)) => {
                let tracks = tracks?;
                let response = with_refused(Response::new(Status::OK), &tracks);
                self.role = Role::Publisher { name, tracks };
                Ok(Next::Reply(response))
            }
            (Ask::Bind { track, client }, Answer::Bound(server)) => {
                let way = Way::Udp { client, server: server? };
                Ok(Next::Reply(self.agree(request, track, way)))
            }
            (Ask::Record { .. }, Answer::Recording(outcome)) => {
                outcome?;
                self.phase = Phase::Recording;
                Ok(Next::Reply(Response::new(Status::OK)))
            }
            (Ask::Play { .. }, Answer::Playing(started)) => {
                let started = started?;
                self.phase = Phase::Playing;
                self.playing = Some(Playing::of(&started));
                Ok(Next::Reply(playing(request, &started, &self.urls)))
            }
            (Ask::Pause, Answer::Paused) => {
                self.phase = Phase::Paused;
                Ok(Next::Reply(Response::new(Status::OK)))
            }
            (ask, answer) => panic!("{answer:?} does not answer {ask:?}"),
        }
    }

    fn described(
        &mut self,
        request: &Request,
        target: Target,
        description: Description,
    ) -> Result<Next, Refusal> {
        let response = Response::new(Status::OK)
            .with("Content-Base", content_base(&request.url))
            .with_body("application/sdp", description.sdp.clone());
        let described = Some(description.clone());
        self.role = Role::Player { target: target.clone(), description: described };
        if request.method == Method::Setup {
            // Times do not matter to which track a URL names.
            let asked = target_of(request, Time::from_ns(0)).unwrap_or(target);
            let track = described_track(&asked, &description)?;
            return self.setup_track(request, track);
        }
        Ok(Next::Reply(response))
    }
}

enum Next {
    Reply(Response),
    Ask(Ask),
}

/// GET_PARAMETER and SET_PARAMETER: there are no parameters, so only keep-alives succeed.
fn parameter(request: &Request) -> Result<Next, Refusal> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Next::Reply(Response::new(Status::OK)));
    }
    Err(Refusal::new(Status::PARAMETER_NOT_UNDERSTOOD, "there are no parameters here"))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
