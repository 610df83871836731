//! The `Transport` header (RFC 2326, 12.39), of which the server speaks two forms: RTP in the
//! RTSP connection itself, and unicast RTP over UDP.

use std::fmt;

/// How the packets of one track travel, as a client proposes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In `$` frames on the connection. RTP on the first channel, RTCP on the second; none if the
    /// server is to choose.
    Interleaved(Option<(u8, u8)>),
    /// In UDP datagrams to these ports of the client: RTP, RTCP.
    Udp(u16, u16),
}

/// Why none of the proposals can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the transports in '{0}' can be used \
     (RTP/AVP/TCP;interleaved and RTP/AVP;unicast;client_port can)"
)]
pub struct TransportError(String);

impl Transport {
    /// The first proposal in a header's value that the server can use.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(header: &str) -> Result<Self, TransportError> {
        header
            .split(',')
            .find_map(Self::parse)
            .ok_or_else(|| TransportError(header.chars().take(120).collect()))
    }

    fn parse(proposal: &str) -> Option<Self> {
        let mut parts = proposal.split(';').map(str::trim);
        let protocol = parts.next()?.to_ascii_uppercase();
        let mut channels = None;
        let mut ports = None;
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.to_ascii_lowercase().as_str() {
                "multicast" => return None,
                "interleaved" => channels = Some(pair(value, u8::MAX)?),
                "client_port" => ports = Some(pair(value, u16::MAX)?),
                _ => {} // mode, ssrc, destination, ...: nothing the choice depends on
            }
        }
        match protocol.as_str() {
            "RTP/AVP/TCP" => Some(Self::Interleaved(channels)),
            "RTP/AVP" | "RTP/AVP/UDP" => ports.map(|(rtp, rtcp)| Self::Udp(rtp, rtcp)),
            _ => None,
        }
    }
}

/// `a-b`, or `a` alone meaning `a-(a+1)`.
fn pair<T>(text: &str, max: T) -> Option<(T, T)>
where
    T: std::str::FromStr + Copy + Into<u32> + TryFrom<u32>,
{
    if let Some((first, second)) = text.split_once('-') {
        return Some((first.trim().parse().ok()?, second.trim().parse().ok()?));
    }
    let first: T = text.trim().parse().ok()?;
    let second = first.into() + 1;
    (second <= max.into()).then(|| Some((first, second.try_into().ok()?))).flatten()
}

/// A transport as agreed, as the server's reply writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The way.
    pub way: Way,
    /// Whether the client sends (`mode=record`).
    pub record: bool,
    /// Identity of the sender of RTP, where that is the server.
    pub ssrc: Option<u32>,
}

/// The way of an agreed transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Channels of RTP and RTCP on the connection.
    Interleaved(u8, u8),
    /// Ports of RTP and RTCP: the client's, then the server's.
    Udp {
        /// The client's ports.
        client: (u16, u16),
        /// The server's ports.
        server: (u16, u16),
    },
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.way {
            Way::Interleaved(rtp, rtcp) => {
                write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")?;
            }
            Way::Udp { client, server } => {
                write!(f, "RTP/AVP;unicast;client_port={}-{}", client.0, client.1)?;
                write!(f, ";server_port={}-{}", server.0, server.1)?;
            }
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        if self.record {
            f.write_str(";mode=record")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_clients_write() {
        let choose = |text| Transport::choose(text).ok();
        assert_eq!(
            choose("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"),
            Some(Transport::Interleaved(Some((0, 1))))
        );
        assert_eq!(choose("RTP/AVP/TCP;unicast"), Some(Transport::Interleaved(None)));
        assert_eq!(
            choose("RTP/AVP/UDP;unicast;client_port=5000-5001;mode=\"PLAY\""),
            Some(Transport::Udp(5000, 5001))
        );
        assert_eq!(choose("RTP/AVP;unicast;client_port=5000"), Some(Transport::Udp(5000, 5001)));
        assert_eq!(
            choose("RTP/AVP;multicast, RTP/AVP/TCP;interleaved=4-5"),
            Some(Transport::Interleaved(Some((4, 5))))
        );
        for bad in [
            "",
            "RTP/AVP",
            "RTP/AVP;unicast;client_port=70000-1",
            "RTP/AVP;unicast;client_port=65535",
            "RTP/AVP/TCP;interleaved=255",
            "RTP/SAVP;unicast;client_port=5000-5001",
            "RTP/AVP;multicast",
        ] {
            assert_eq!(choose(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_the_server_answers() {
        let udp = Way::Udp { client: (5000, 5001), server: (40000, 40001) };
        assert_eq!(
            Agreed { way: udp, record: false, ssrc: Some(0xAB) }.to_string(),
            "RTP/AVP;unicast;client_port=5000-5001;server_port=40000-40001;ssrc=000000AB"
        );
        assert_eq!(
            Agreed { way: Way::Interleaved(2, 3), record: true, ssrc: None }.to_string(),
            "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,100}", tail in "[-0-9;=a-z_/,]{0,40}") {
            let _ = Transport::choose(&text);
            let _ = Transport::choose(&format!("RTP/AVP;client_port={tail}"));
            let _ = Transport::choose(&format!("RTP/AVP/TCP;interleaved={tail}"));
        }
    }
}
