//! Reading messages and interleaved packets from a byte stream that comes in pieces.
//!
//! Lenient where real clients are sloppy (bare line feeds, blank lines between messages, spaces
//! round header names), strict where a mistake would put the reader out of step. After an error the
//! stream can't be read on: the connection is to be closed.

use bytes::{Bytes, BytesMut};

use super::message::{Headers, Method, Request, Response, Status};

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of a start line with its headers. Default 16 KiB.
    pub head_bytes_max: usize,
    /// Header fields of a message. Default 64.
    pub headers_max: usize,
    /// Bytes of a body. Default 64 KiB.
    pub body_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { head_bytes_max: 16 << 10, headers_max: 64, body_bytes_max: 64 << 10 }
    }
}

/// One thing read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A request.
    Request(Request),
    /// A response; servers that ask nothing ignore it.
    Response(Response),
    /// A packet on an interleaved channel.
    Packet {
        /// The channel agreed on by SETUP.
        channel: u8,
        /// An RTP or RTCP packet.
        data: Bytes,
    },
}

/// Why a byte stream can't be read. The sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Head or body beyond the limits.
    #[error("the message's {part} is longer than {max} {unit}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// The limit.
        max: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The first line is neither a request nor a response.
    #[error("'{0}' is not an RTSP request")]
    StartLine(String),
    /// A header has no colon or bytes that are not text.
    #[error("header line {line} is malformed")]
    Header {
        /// Number of the line in the message, from 1 behind the start line.
        line: usize,
    },
    /// `Content-Length` is not a number.
    #[error("Content-Length '{0}' is not a number")]
    ContentLength(String),
    /// Another version of RTSP.
    #[error("{0} is not spoken here, only RTSP/1.0")]
    Version(String),
}

impl DecodeError {
    /// The status to refuse with.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::TooLarge { .. } => Status::TOO_LARGE,
            Self::Version(_) => Status::VERSION,
            _ => Status::BAD_REQUEST,
        }
    }
}

/// Cuts a byte stream into [`Item`]s. Put bytes in with [`Decoder::buffer`], take items out with
/// [`Decoder::next`] until it yields none.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: DecodeLimits,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a head, so that slow senders cost nothing.
    searched: usize,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new(limits: DecodeLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Where received bytes are appended. Nothing else may be done with it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole item, or none until more bytes have come.
    ///
    /// # Errors
    /// If the bytes are no RTSP or exceed the limits.
    #[allow(clippy::should_implement_trait)] // not an iterator: none means "not yet"
    pub fn next(&mut self) -> Result<Option<Item>, DecodeError> {
        if self.searched == 0 {
            self.skip_blank_lines();
        }
        match self.buffer.first() {
            None => Ok(None),
            Some(b'$') => Ok(self.packet()),
            Some(_) => self.message(),
        }
    }

    fn skip_blank_lines(&mut self) {
        let blank = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let _ = self.buffer.split_to(blank);
    }

    fn packet(&mut self) -> Option<Item> {
        let head: [u8; 4] = self.buffer.get(..4)?.try_into().expect("four bytes were asked for");
        let len = 4 + usize::from(u16::from_be_bytes([head[2], head[3]]));
        if self.buffer.len() < len {
            self.buffer.reserve(len - self.buffer.len());
            return None;
        }
        let data = self.buffer.split_to(len).freeze().slice(4..);
        Some(Item::Packet { channel: head[1], data })
    }

    fn message(&mut self) -> Result<Option<Item>, DecodeError> {
        let Some(head_len) = self.find_head_end()? else { return Ok(None) };
        let head = Head::parse(&self.buffer[..head_len], &self.limits)?;
        let whole_len = head_len + head.body_len;
        if self.buffer.len() < whole_len {
            return Ok(None);
        }
        let body = self.buffer.split_to(whole_len).freeze().slice(head_len..);
        self.searched = 0;
        Ok(Some(head.into_item(body)))
    }

    /// Length of the head with its empty line, if it has all come.
    fn find_head_end(&mut self) -> Result<Option<usize>, DecodeError> {
        let bytes = &self.buffer[..];
        let end = (self.searched..bytes.len()).find_map(|at| match bytes[at..] {
            [b'\n', b'\n', ..] => Some(at + 2),
            [b'\n', b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        });
        if end.unwrap_or(bytes.len()) > self.limits.head_bytes_max {
            let max = self.limits.head_bytes_max;
            return Err(DecodeError::TooLarge { part: "head", max, unit: "bytes" });
        }
        if end.is_none() {
            check_start(bytes)?;
            // An end may begin in the last two bytes seen.
            self.searched = bytes.len().saturating_sub(2);
        }
        Ok(end)
    }
}

/// Refuses what can't become a message before its head is complete, so that garbage without line
/// feeds is answered at once: a method or version is made of printable ASCII.
fn check_start(bytes: &[u8]) -> Result<(), DecodeError> {
    let token = bytes.iter().take(32).take_while(|b| !matches!(b, b' ' | b'\r' | b'\n'));
    if token.clone().any(|b| !b.is_ascii_graphic()) || token.count() == 32 {
        return Err(DecodeError::StartLine(printable(bytes)));
    }
    Ok(())
}

/// The first characters of what a peer sent, safe for a log line.
fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(40)].escape_ascii().to_string()
}

enum Start {
    Request(Method, String),
    Response(Status, String),
}

struct Head {
    start: Start,
    headers: Headers,
    body_len: usize,
}

impl Head {
    fn parse(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut lines =
            bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = parse_start(lines.next().unwrap_or_default())?;
        let mut headers = Headers::default();
        for (index, line) in lines.enumerate().take_while(|(_, line)| !line.is_empty()) {
            if headers.len() == limits.headers_max {
                let max = limits.headers_max;
                return Err(DecodeError::TooLarge { part: "head", max, unit: "headers" });
            }
            let bad = DecodeError::Header { line: index + 1 };
            let text = std::str::from_utf8(line).map_err(|_| bad.clone())?;
            let (name, value) = text.split_once(':').ok_or(bad)?;
            headers.push(name.trim(), value.trim());
        }
        let body_len = body_len(&headers, limits)?;
        Ok(Self { start, headers, body_len })
    }

    fn into_item(self, body: Bytes) -> Item {
        let headers = self.headers;
        match self.start {
            Start::Request(method, url) => Item::Request(Request { method, url, headers, body }),
            Start::Response(status, reason) => {
                Item::Response(Response { status, reason, headers, body })
            }
        }
    }
}

fn parse_start(line: &[u8]) -> Result<Start, DecodeError> {
    let bad = || DecodeError::StartLine(printable(line));
    let text = std::str::from_utf8(line).map_err(|_| bad())?;
    let mut words = text.splitn(3, ' ');
    let (first, second) = (words.next().ok_or_else(bad)?, words.next().ok_or_else(bad)?);
    let third = words.next().unwrap_or_default().trim();
    if first.starts_with("RTSP/") {
        check_version(first)?;
        let status = second.parse().map_err(|_| bad())?;
        return Ok(Start::Response(Status(status), third.to_owned()));
    }
    if first.is_empty() || second.is_empty() || !first.bytes().all(is_method_byte) {
        return Err(bad());
    }
    if !third.starts_with("RTSP/") {
        return Err(bad());
    }
    check_version(third)?;
    Ok(Start::Request(Method::from_token(first), second.to_owned()))
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn check_version(text: &str) -> Result<(), DecodeError> {
    if text == "RTSP/1.0" { Ok(()) } else { Err(DecodeError::Version(printable(text.as_bytes()))) }
}

fn body_len(headers: &Headers, limits: &DecodeLimits) -> Result<usize, DecodeError> {
    let Some(text) = headers.get("Content-Length") else { return Ok(0) };
    let len: usize =
        text.parse().map_err(|_| DecodeError::ContentLength(printable(text.as_bytes())))?;
    if len > limits.body_bytes_max {
        let max = limits.body_bytes_max;
        return Err(DecodeError::TooLarge { part: "body", max, unit: "bytes" });
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(bytes);
        let mut items = Vec::new();
        while let Some(item) = decoder.next()? {
            items.push(item);
        }
        Ok(items)
    }

    #[test]
    fn a_session_in_one_piece() {
        let bytes = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x01\x00\x03abc\
            \r\n\nANNOUNCE rtsp://h/cam RTSP/1.0\ncseq:2\nContent-length: 4\n\nv=0\n\
            RTSP/1.0 200 All is well\r\n\r\n";
        let items = decode(bytes).unwrap();
        let Item::Request(options) = &items[0] else { panic!("{items:?}") };
        assert_eq!((&options.method, options.url.as_str()), (&Method::Options, "*"));
        assert_eq!(items[1], Item::Packet { channel: 1, data: Bytes::from_static(b"abc") });
        let Item::Request(announce) = &items[2] else { panic!("{items:?}") };
        assert_eq!(announce.headers.get("CSeq"), Some("2"));
        assert_eq!(&announce.body[..], b"v=0\n");
        let Item::Response(response) = &items[3] else { panic!("{items:?}") };
        assert_eq!(response.reason, "All is well");
        assert_eq!(items.len(), 4);
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        let long_head = format!("OPTIONS * RTSP/1.0\r\nA: {}", "x".repeat(17 << 10));
        let many = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(65));
        for (bytes, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], 400),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"OPTIONS *\r\n\r\n", 400),
            (b"OPTIONS * RTSP/2.0\r\n\r\n", 505),
            (b"OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n", 400),
            (b"OPTIONS * RTSP/1.0\r\nA: \xff\r\n\r\n", 400),
            (b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
            (b"OPTIONS * RTSP/1.0\r\nContent-Length: 9999999\r\n\r\n", 413),
            (&[b'x'; 64], 400),
            (long_head.as_bytes(), 413),
            (many.as_bytes(), 413),
        ] {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.status().0, status, "{error}");
        }
    }

    fn request() -> impl Strategy<Value = Request> {
        let method = prop_oneof![
            Just(Method::Setup),
            Just(Method::GetParameter),
            "[A-Z_]{1,20}".prop_map(|token| Method::from_token(&token)),
        ];
        let headers = proptest::collection::vec(("X-[a-z]{1,9}", "[!-~]{0,20}"), 0..6);
        let body = proptest::collection::vec(any::<u8>(), 0..200);
        (method, "rtsp://[a-z/?=]{0,30}", headers, body).prop_map(|(method, url, headers, body)| {
            let mut request = Request::new(method, &url);
            for (name, value) in headers {
                request.headers.push(&name, value);
            }
            request.body = body.into();
            request
        })
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back_in_any_pieces(
            requests in proptest::collection::vec(request(), 1..4),
            packets in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..100)), 1..4),
            piece_len in 1_usize..60,
        ) {
            let mut bytes = Vec::new();
            for (request, (channel, packet)) in requests.iter().zip(&packets) {
                request.emit(&mut bytes);
                super::super::message::emit_interleaved(*channel, packet, &mut bytes);
            }
            let mut decoder = Decoder::default();
            let mut items = Vec::new();
            for piece in bytes.chunks(piece_len) {
                decoder.buffer().extend_from_slice(piece);
                while let Some(item) = decoder.next().unwrap() {
                    items.push(item);
                }
            }
            let mut items = items.into_iter();
            for (request, (channel, packet)) in requests.iter().zip(&packets) {
                let Some(Item::Request(read)) = items.next() else { panic!("a request is missing") };
                prop_assert_eq!(&read.method, &request.method);
                prop_assert_eq!(&read.url, &request.url);
                prop_assert_eq!(&read.body, &request.body);
                for (name, value) in request.headers.iter() {
                    prop_assert!(read.headers.iter().any(|h| h == (name, value)));
                }
                let data = Bytes::from(packet.clone());
                prop_assert_eq!(items.next(), Some(Item::Packet { channel: *channel, data }));
            }
            prop_assert_eq!(items.next(), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn damaged_messages_are_read_or_refused(
            request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = Vec::new();
            request.emit(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }
}
