//! A client that speaks RTSP by hand.

use std::net::SocketAddr;

use bytes::Bytes;
use pegasus_gateway::rtsp::decode::{Decoder, Item};
use pegasus_gateway::rtsp::message::{Method, Request, Response};
use pegasus_media::rtp::{Packet, Rtcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    cseq: u32,
    session: Option<String>,
    /// Interleaved packets that came while something else was waited for.
    pub packets: std::collections::VecDeque<(u8, Bytes)>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let packets = std::collections::VecDeque::new();
        Self { stream, decoder: Decoder::default(), cseq: 0, session: None, packets }
    }

    /// Sends a request and waits for its response.
    pub async fn ask(&mut self, request: Request) -> Response {
        self.cseq += 1;
        let mut request = request.with("CSeq", self.cseq.to_string());
        if let Some(session) = &self.session {
            request = request.with("Session", session.clone());
        }
        let mut bytes = Vec::new();
        request.emit(&mut bytes);
        self.send(&bytes).await;
        let response = loop {
            match self.item().await.expect("the server answers") {
                Item::Response(response) => break response,
                Item::Packet { channel, data } => self.packets.push_back((channel, data)),
                Item::Request(request) => panic!("the server asked {request:?}"),
            }
        };
        assert_eq!(response.headers.get("CSeq"), Some(self.cseq.to_string().as_str()));
        if let Some(session) = response.headers.get("Session") {
            self.session = Some(session.split(';').next().unwrap().to_owned());
        }
        response
    }

    /// As [`Client::ask`]; the answer must be 200.
    pub async fn must(&mut self, request: Request) -> Response {
        let what = format!("{} {}", request.method, request.url);
        let response = self.ask(request).await;
        assert_eq!(response.status.0, 200, "{what}: {}", response.reason);
        response
    }

    /// Describes `url`, sets up its first `tracks` tracks in the connection, and plays.
    pub async fn play(&mut self, url: &str, tracks: usize, range: Option<&str>) -> Response {
        self.must(Request::new(Method::Describe, url).with("Accept", "application/sdp")).await;
        for track in 0..tracks {
            let setup = Request::new(Method::Setup, &format!("{url}/trackID={track}"));
            let transport =
                format!("RTP/AVP/TCP;unicast;interleaved={}-{}", 2 * track, 2 * track + 1);
            self.must(setup.with("Transport", transport)).await;
        }
        let mut play = Request::new(Method::Play, url);
        if let Some(range) = range {
            play = play.with("Range", range);
        }
        self.must(play).await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next thing the server sends; none if it closes.
    pub async fn item(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.decoder.next().expect("the server sends RTSP") {
                return Some(item);
            }
            let read = self.stream.read_buf(self.decoder.buffer());
            match tokio::time::timeout(PATIENCE, read).await.expect("the server sends something") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next RTP packet of the track on `channel`; what comes on others is kept.
    pub async fn rtp(&mut self, channel: u8) -> Packet {
        Packet::parse(self.on(channel).await).unwrap()
    }

    /// The next RTCP packets on `channel`; what comes on others is kept.
    pub async fn rtcp(&mut self, channel: u8) -> Vec<Rtcp> {
        Rtcp::parse_compound(&self.on(channel).await).unwrap()
    }

    /// The next packet on `channel`; what comes on others is kept.
    pub async fn on(&mut self, channel: u8) -> Bytes {
        if let Some(at) = self.packets.iter().position(|(from, _)| *from == channel) {
            return self.packets.remove(at).unwrap().1;
        }
        loop {
            match self.item().await {
                Some(Item::Packet { channel: from, data }) if from == channel => return data,
                Some(Item::Packet { channel, data }) => self.packets.push_back((channel, data)),
                other => panic!("no packet but {other:?}"),
            }
        }
    }
}
