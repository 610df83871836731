//! RTSP messages as values (RFC 2326): a request, a response, their headers, and how they are
//! written. Reading them from a byte stream is [`super::decode`]'s work.

use std::fmt;

use bytes::{BufMut, Bytes};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// What can the server do (10.1).
    Options,
    /// Describe a stream (10.2).
    Describe,
    /// Describe a stream the client is about to send (10.3).
    Announce,
    /// Agree on the transport of one track (10.4).
    Setup,
    /// Start or move a playback (10.5).
    Play,
    /// Hold a playback (10.6).
    Pause,
    /// End the session (10.7).
    Teardown,
    /// Read a parameter; without a body a keep-alive (10.8).
    GetParameter,
    /// Set a parameter; without a body a keep-alive (10.9).
    SetParameter,
    /// Start sending what was announced (10.11).
    Record,
    /// Any other token.
    Other(String),
}

impl Method {
    /// All methods the server knows, as the `Public` header lists them.
    pub const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, TEARDOWN, \
                              GET_PARAMETER, SET_PARAMETER";

    const KNOWN: [(Self, &'static str); 10] = [
        (Self::Options, "OPTIONS"),
        (Self::Describe, "DESCRIBE"),
        (Self::Announce, "ANNOUNCE"),
        (Self::Setup, "SETUP"),
        (Self::Play, "PLAY"),
        (Self::Pause, "PAUSE"),
        (Self::Teardown, "TEARDOWN"),
        (Self::GetParameter, "GET_PARAMETER"),
        (Self::SetParameter, "SET_PARAMETER"),
        (Self::Record, "RECORD"),
    ];

    /// The method written as `token`. Methods are case-sensitive (RFC 2326, 6.1).
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|(_, name)| *name == token)
            .map_or_else(|| Self::Other(token.to_owned()), |(method, _)| method)
    }

    /// The token on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let known = Self::KNOWN.iter().find(|(method, _)| method == self);
        match (self, known) {
            (Self::Other(token), _) => token,
            (_, Some((_, name))) => name,
            (_, None) => unreachable!("every method but Other is in the table"),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header fields in the order they stand. Names compare without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Adds a field at the end. Line breaks in `value` become spaces: a value can't forge a header.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.contains(['\r', '\n']) {
            value = value.replace(['\r', '\n'], " ");
        }
        self.0.push((name.to_owned(), value));
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Of what: a URL, or `*`.
    pub url: String,
    /// Header fields.
    pub headers: Headers,
    /// The body; empty if there is none.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, url: &str) -> Self {
        Self { method, url: url.to_owned(), headers: Headers::default(), body: Bytes::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a body of the given type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The session named in the request, without the parameters behind it (RFC 2326, 12.37).
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        let value = self.headers.get("Session")?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    /// Writes the request. `Content-Length` is added when there is a body.
    pub fn emit(&self, out: &mut impl BufMut) {
        let line = format!("{} {} RTSP/1.0\r\n", self.method, self.url);
        emit(&line, &self.headers, &self.body, out);
    }
}

/// Status of a response: the number and, where a number has no RFC phrase, ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(200);
    /// The message or one of its headers makes no sense.
    pub const BAD_REQUEST: Self = Self(400);
    /// Credentials are needed.
    pub const UNAUTHORIZED: Self = Self(401);
    /// No such stream.
    pub const NOT_FOUND: Self = Self(404);
    /// Someone else publishes on this name.
    pub const CONFLICT: Self = Self(409);
    /// The message is larger than the server takes.
    pub const TOO_LARGE: Self = Self(413);
    /// None of the codecs can be carried.
    pub const UNSUPPORTED_MEDIA: Self = Self(415);
    /// The parameter is not known.
    pub const PARAMETER_NOT_UNDERSTOOD: Self = Self(451);
    /// No such session.
    pub const SESSION_NOT_FOUND: Self = Self(454);
    /// The method does not fit the session's state.
    pub const NOT_VALID_IN_STATE: Self = Self(455);
    /// A header asks for what this stream can't do.
    pub const HEADER_NOT_VALID: Self = Self(456);
    /// The range holds nothing, or can't be understood.
    pub const INVALID_RANGE: Self = Self(457);
    /// None of the transports offered can be used.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(461);
    /// The server failed, not the client.
    pub const INTERNAL: Self = Self(500);
    /// The method is not known.
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// The server has no room.
    pub const UNAVAILABLE: Self = Self(503);
    /// Another version than RTSP/1.0.
    pub const VERSION: Self = Self(505);
    /// `Require` names a feature that is not here.
    pub const OPTION_NOT_SUPPORTED: Self = Self(551);

    /// The phrase of RFC 2326, 7.1.1.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self.0 {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            409 => "Conflict",
            413 => "Request Entity Too Large",
            415 => "Unsupported Media Type",
            451 => "Parameter Not Understood",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            456 => "Header Field Not Valid for Resource",
            457 => "Invalid Range",
            461 => "Unsupported Transport",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "RTSP Version Not Supported",
            551 => "Option Not Supported",
            _ => "Unknown",
        }
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// What stands behind the number: the RFC's phrase, or for a refusal the reason, since this is
    /// the text most clients show.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// The body; empty if there is none.
    pub body: Bytes,
}

impl Response {
    /// A response with the usual phrase.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self {
            status,
            reason: status.phrase().to_owned(),
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    /// A refusal that says why, in the status line behind the usual phrase.
    #[must_use]
    pub fn refuse(status: Status, why: impl fmt::Display) -> Self {
        let mut response = Self::new(status);
        response.reason = format!("{}: {why}", status.phrase()).replace(['\r', '\n'], " ");
        response
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a body of the given type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// Writes the response. `Content-Length` is added when there is a body.
    pub fn emit(&self, out: &mut impl BufMut) {
        let line = format!("RTSP/1.0 {} {}\r\n", self.status.0, self.reason);
        emit(&line, &self.headers, &self.body, out);
    }
}

fn emit(line: &str, headers: &Headers, body: &[u8], out: &mut impl BufMut) {
    out.put_slice(line.as_bytes());
    for (name, value) in headers.iter() {
        // The length is ours to say, so that it can't contradict the body.
        if name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        out.put_slice(name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    if !body.is_empty() {
        out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.put_slice(b"\r\n");
    out.put_slice(body);
}

/// Writes the four bytes before an interleaved packet (RFC 2326, 10.12).
///
/// # Panics
/// If the packet is longer than 65535 bytes: packetizers keep far below.
pub fn emit_interleaved(channel: u8, packet: &[u8], out: &mut impl BufMut) {
    let len = u16::try_from(packet.len()).expect("an RTP packet fits 16 bits of length");
    out.put_slice(&[b'$', channel]);
    out.put_slice(&len.to_be_bytes());
    out.put_slice(packet);
}
