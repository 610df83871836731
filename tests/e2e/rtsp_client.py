"""A player that says Scale and Speed: RTSP in one connection, H.264 put together from RTP.

ffmpeg and ffplay never send these headers; what comes is given to ffmpeg as plain H.264 to be decoded.
"""

import base64
import re
import socket
import struct
import time

START = b"\0\0\0\1"
DELIMITER = START + b"\x09\xf0"  # an access unit begins


class Refused(Exception):
    """An answer other than 200."""


class Picture:
    """An access unit: its RTP timestamp, its NAL units, and when it was whole (monotonic seconds)."""

    def __init__(self, timestamp):
        self.timestamp, self.units, self.came = timestamp, [], 0.0

    @property
    def key(self):
        return any(unit[0] & 31 == 5 for unit in self.units)

    def annex_b(self):
        return DELIMITER + b"".join(START + unit for unit in self.units)


class Player:
    """Describes `url` and sets up its first track, which must be H.264."""

    def __init__(self, host, port, url):
        self.url, self.cseq, self.session = url, 0, None
        self.socket = socket.create_connection((host, port), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.waiting = []
        _, sdp = self.ask("DESCRIBE", accept="application/sdp")
        found = re.search(r"sprop-parameter-sets=([^;\r\n]*)", sdp.decode())
        self.parameters = [base64.b64decode(text) for text in found[1].split(",")] if found else []
        self.ask("SETUP", url=f"{url}/trackID=0", transport="RTP/AVP/TCP;unicast;interleaved=0-1")

    def close(self):
        self.stream.close()
        self.socket.close()

    def ask(self, method, url=None, **headers):
        """One request; the headers and the body of its answer."""
        self.cseq += 1
        headers["cseq"] = self.cseq
        if self.session:
            headers["session"] = self.session
        lines = [f"{method} {url or self.url} RTSP/1.0", *(f"{key}: {value}" for key, value in headers.items())]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while True:
            first = self.stream.read(1)
            if first == b"$":
                self.waiting.append(self.packet())
                continue
            status = (first + self.stream.readline()).decode().strip()
            answer = {}
            while line := self.stream.readline().decode().strip():
                key, _, value = line.partition(":")
                answer[key.lower()] = value.strip()
            body = self.stream.read(int(answer.get("content-length", 0)))
            if " 200 " not in status:
                raise Refused(status)
            if "session" in answer:
                self.session = answer["session"].split(";")[0]
            return answer, body

    def play(self, **headers):
        """PLAY; its answer's headers, and the RTP time at which it begins. What came before is dropped."""
        answer, _ = self.ask("PLAY", **headers)
        self.waiting.clear()
        return answer, int(re.search(r"rtptime=(\d+)", answer["rtp-info"])[1])

    def packet(self):
        channel, length = struct.unpack(">BH", self.stream.read(3))
        return channel, self.stream.read(length), time.monotonic()

    def pictures(self):
        """The pictures up to the goodbye."""
        picture, part = None, bytearray()
        while True:
            if self.waiting:
                channel, data, came = self.waiting.pop(0)
            else:
                assert self.stream.read(1) == b"$", "the server sends packets"
                channel, data, came = self.packet()
            if channel == 1:
                if says_goodbye(data):
                    return
                continue
            marker, timestamp = data[1] >> 7, struct.unpack(">I", data[4:8])[0]
            if picture is None or picture.timestamp != timestamp:
                picture = Picture(timestamp)
            take(data[12:], picture.units, part)
            if marker:
                picture.came = came
                yield picture
                picture = None

    def decodable(self, pictures):
        """H.264 as a file has it."""
        sets = b"".join(START + unit for unit in self.parameters)
        return sets + b"".join(picture.annex_b() for picture in pictures)


def take(payload, units, part):
    """The NAL units in a payload (RFC 6184); `part` is one that has begun."""
    kind = payload[0] & 31
    if kind == 28:
        if payload[1] & 0x80:
            part[:] = bytes([payload[0] & 0xE0 | payload[1] & 31])
        part += payload[2:]
        if payload[1] & 0x40:
            units.append(bytes(part))
    elif kind == 24:
        at = 1
        while at < len(payload):
            (length,) = struct.unpack(">H", payload[at : at + 2])
            units.append(payload[at + 2 : at + 2 + length])
            at += 2 + length
    else:
        units.append(payload)


def says_goodbye(data):
    """Whether one of the RTCP packets is BYE."""
    at = 0
    while at + 4 <= len(data):
        if data[at + 1] == 203:
            return True
        at += 4 + 4 * struct.unpack(">H", data[at + 2 : at + 4])[0]
    return False
