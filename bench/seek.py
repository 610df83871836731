"""Seeking: RTSP PLAY with a clock range, from the request's last byte to the first unit's first byte."""

import datetime
import random
import socket
import tempfile
import time
from pathlib import Path

from harness import Node, wait_for
from record import clip, publishers, stop

SEEKS = 300


class Client:
    """As much RTSP as a measurement needs."""

    def __init__(self, node, name):
        self.url = node.rtsp + name
        self.socket = socket.create_connection(("127.0.0.1", node.rtsp_port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.cseq, self.session = 0, None

    def send(self, method, url=None, **headers):
        self.cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self.cseq}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        if self.session:
            lines.append(f"Session: {self.session}")
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def answer(self):
        """The next answer, skipping media; its headers and body."""
        while True:
            first = self.file.read(1)
            if first == b"$":
                self.media()
                continue
            status = (first + self.file.readline()).decode().strip()
            headers = {}
            while line := self.file.readline().decode().strip():
                key, value = line.split(":", 1)
                headers[key.lower()] = value.strip()
            body = self.file.read(int(headers.get("content-length", 0))).decode()
            if " 200 " not in f"{status} ":
                raise AssertionError(f"{status} {headers}")
            if "session" in headers:
                self.session = headers["session"].split(";")[0]
            return headers, body

    def media(self):
        head = self.file.read(3)
        self.file.read(int.from_bytes(head[1:], "big"))
        return head[0]

    def first_unit(self):
        """Waits for the first RTP packet after the answer to PLAY."""
        self.answer()
        while True:
            if self.file.read(1) == b"$" and self.media() % 2 == 0:
                return


def one(node, name, at):
    client = Client(node, name)
    stamp = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%f") + "Z"
    client.send("DESCRIBE", url=f"{client.url}?from={datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat().replace('+00:00', 'Z')}", Accept="application/sdp")
    headers, body = client.answer()
    base = headers.get("content-base", client.url + "/")
    control = next(l.split(":", 1)[1] for l in body.split("m=video")[1].splitlines() if l.startswith("a=control:"))
    url = control if control.startswith("rtsp:") else base.rstrip("/") + "/" + control
    client.send("SETUP", url=url, Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
    client.answer()
    started = time.perf_counter()
    client.send("PLAY", url=base, Range=f"clock={stamp}-")
    client.first_unit()
    took = time.perf_counter() - started
    client.socket.close()
    return took


def run(options):
    chance = random.Random(1)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    path = clip(folder)
    node = Node(disk_size="1500MiB")
    node.start()
    names = [f"/load/{i}" for i in range(8)]
    clients = publishers([node.rtsp + name for name in names], path)
    try:
        wait_for("all streams", lambda: all(node.stream(n) and node.spans(n) for n in names), 60)
        time.sleep(min(options.seconds, 60))
    finally:
        stop(clients)
    time.sleep(2)
    node.stop()
    node.start()  # nothing read before is in memory any more; disks are read around the page cache
    try:
        from test_kill import seconds

        spans = {n: node.spans(n)[0] for n in names}
        took = []
        for _ in range(SEEKS):
            name = chance.choice(names)
            span = spans[name]
            took.append(one(node, name, chance.uniform(seconds(span["start"]), seconds(span["end"]) - 2)))
        took.sort()
        pick = lambda share: round(took[int(share * (len(took) - 1))] * 1000, 2)
        return {"seeks": SEEKS, "ms p50": pick(0.5), "ms p90": pick(0.9), "ms p99": pick(0.99), "ms max": pick(1)}
    finally:
        node.close()
