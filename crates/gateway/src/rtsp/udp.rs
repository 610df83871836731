//! Pairs of UDP ports, RTP on the even one, RTCP on the one behind it (RFC 3550, 11).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// How many pairs are tried before giving up.
const TRIES: usize = 100;

/// Room asked of the system for datagrams not yet read: a key picture comes in one burst. The system
/// may give less (`net.core.rmem_max`).
const RECEIVE_BYTES: usize = 4 << 20;

/// A datagram's most, and how much memory is set aside at a time to receive into.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
const ARENA_BYTES: usize = 256 << 10;

/// Datagrams read but not yet handled. More are dropped, as the system would.
pub(super) const DATAGRAMS_QUEUED_MAX: usize = 4_096;

/// A datagram received.
#[derive(Debug)]
pub(super) struct Datagram {
    /// The track whose port it came to.
    pub(super) track: usize,
    /// Whether that was the RTCP port.
    pub(super) control: bool,
    /// Its bytes.
    pub(super) data: Bytes,
}

/// The ports of one track, with the tasks that read them; dropping it closes both.
#[derive(Debug)]
pub(super) struct UdpPair {
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    /// Numbers of the two ports.
    pub(super) ports: (u16, u16),
    /// Where the client receives.
    client: (SocketAddr, SocketAddr),
    readers: [AbortHandle; 2],
}

impl UdpPair {
    /// Binds a pair on `local` for `track` of the client at `peer`, and hands what comes from there
    /// to `inbox`. Datagrams from other machines are ignored.
    pub(super) fn open(
        local: IpAddr,
        peer: IpAddr,
        client_ports: (u16, u16),
        track: usize,
        inbox: &mpsc::Sender<Datagram>,
    ) -> io::Result<Self> {
        let (rtp, rtcp, ports) = bind_pair(local)?;
        let reader = |socket: &Arc<UdpSocket>, control| {
            let task = receive(Arc::clone(socket), peer, track, control, inbox.clone());
            tokio::spawn(task).abort_handle()
        };
        let readers = [reader(&rtp, false), reader(&rtcp, true)];
        let client = (SocketAddr::new(peer, client_ports.0), SocketAddr::new(peer, client_ports.1));
        Ok(Self { rtp, rtcp, ports, client, readers })
    }

    /// Sends a packet to the client.
    pub(super) async fn send(&self, control: bool, data: &[u8]) -> io::Result<()> {
        let (socket, to) =
            if control { (&self.rtcp, self.client.1) } else { (&self.rtp, self.client.0) };
        socket.send_to(data, to).await.map(|_| ())
    }
}

impl Drop for UdpPair {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

/// The sockets of RTP and RTCP, and their ports.
type Bound = (Arc<UdpSocket>, Arc<UdpSocket>, (u16, u16));

fn bind_pair(local: IpAddr) -> io::Result<Bound> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let first = std::net::UdpSocket::bind((local, 0))?;
        let port = first.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match std::net::UdpSocket::bind((local, port + 1)) {
            Ok(second) => return Ok((ready(first)?, ready(second)?, (port, port + 1))),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ready(socket: std::net::UdpSocket) -> io::Result<Arc<UdpSocket>> {
    socket.set_nonblocking(true)?;
    // As much as the system allows; a smaller buffer loses more in bursts, and that is reported.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BYTES);
    Ok(Arc::new(UdpSocket::from_std(socket)?))
}

async fn receive(
    socket: Arc<UdpSocket>,
    peer: IpAddr,
    track: usize,
    control: bool,
    inbox: mpsc::Sender<Datagram>,
) {
    let mut arena = BytesMut::with_capacity(ARENA_BYTES);
    loop {
        if arena.capacity() < DATAGRAM_BYTES_MAX {
            arena = BytesMut::with_capacity(ARENA_BYTES);
        }
        match socket.recv_buf_from(&mut arena).await {
            Ok((_, from)) if from.ip() == peer => {
                let data = arena.split().freeze();
                // A full inbox drops the datagram: the sequence numbers will tell.
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    inbox.try_send(Datagram { track, control, data })
                {
                    return;
                }
            }
            Ok(_) => arena.clear(),
            // The echo of something sent to a port nobody listens on: what comes next is unaffected.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::warn!(%peer, track, %error, "an RTP port can't be read any more");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_pair_sends_and_receives_on_even_and_odd_ports() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let client = bind_pair(loopback).unwrap();
        let (inbox, mut received) = mpsc::channel(8);
        let pair = UdpPair::open(loopback, loopback, client.2, 3, &inbox).unwrap();
        assert_eq!(pair.ports.0 % 2, 0);
        assert_eq!(pair.ports.1, pair.ports.0 + 1);

        pair.send(true, b"report").await.unwrap();
        let mut buffer = [0; 16];
        let (len, from) = client.1.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..len], from.port()), (&b"report"[..], pair.ports.1));

        client.0.send_to(b"media", (loopback, pair.ports.0)).await.unwrap();
        let datagram = received.recv().await.unwrap();
        assert_eq!((datagram.track, datagram.control), (3, false));
        assert_eq!(&datagram.data[..], b"media");
    }
}
