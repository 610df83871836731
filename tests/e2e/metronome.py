"""A publisher that knows when it sent what: a G.711 packet every 20 ms, straight to the socket.

ffmpeg and its buffers hold some of what a player believes to be sent; to say how much a killed node
lost, one has to know what had arrived there.
"""

import socket
import struct
import threading
import time

PACKET_S = 0.02
SAMPLES = 160

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=metronome
c=IN IP4 127.0.0.1
t=0 0
m=audio 0 RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=control:0
"""


class Metronome:
    """Publishes to `url` until the connection breaks or `stop` is called."""

    def __init__(self, host, port, name):
        self.url = f"rtsp://{host}:{port}{name}"
        self.sent_at = []
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")
        session = self.ask("ANNOUNCE", self.url, body=SDP.replace("\n", "\r\n"), content_type="application/sdp")
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
        session = self.ask("SETUP", f"{self.url}/0", transport=transport) or session
        self.ask("RECORD", self.url, session=session)
        self.going = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def ask(self, method, url, body="", **headers):
        """One request; the session it is answered with."""
        headers = {"cseq": 1, **headers}
        if body:
            headers["content-length"] = len(body)
        lines = [f"{method} {url} RTSP/1.0"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        status, session = self.answers.readline().decode(), None
        assert " 200 " in status, f"{method}: {status}"
        while line := self.answers.readline().decode().strip():
            key, _, value = line.partition(":")
            if key.lower() == "session":
                session = value.split(";")[0].strip()
        return session

    def run(self):
        begun = time.monotonic()
        try:
            while self.going:
                number = len(self.sent_at)
                time.sleep(max(0.0, begun + number * PACKET_S - time.monotonic()))
                rtp = struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, number * SAMPLES & 0xFFFFFFFF, 7)
                packet = rtp + struct.pack(">I", number) + bytes(SAMPLES - 4)
                self.socket.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                self.sent_at.append(time.time())
        except OSError:
            pass  # the node is dead, which is what this is for

    def sent_before(self, at):
        """How many packets were sent before `at`, in seconds since the epoch."""
        return sum(sent < at for sent in self.sent_at)

    def stop(self):
        self.going = False
        self.thread.join(5)
        self.socket.close()
