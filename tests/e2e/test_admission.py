"""Recordings are admitted at the door: what the disks can't write beside the others is refused, and who writes more than it said is named."""

import socket

from harness import CLIPS, Node, NodeTest, ffmpeg, publish, wait_for

# What the store is told its disks can do: files of one file system share its time, so that a few megabits a second can be recorded.
SLOW = """capacity_bytes = 268435456
rotation_ms = 0.0
overhead_ms = 1.0
seek = [[0, 0.0]]
zones = [{ cylinders = 1, rate_bps = 16000000 }]
"""
CONFIG = '[store]\ndisk_size = "256MiB"\n[playback]\nprofile = "slow.toml"\nothers_percent = 20\n[recording]\nexclude = ["/test/*"]\n'


def sdp_with(rate_kbps):
    """An announcement of a picture track that says its rate."""
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        f"b=AS:{rate_kbps}\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:streamid=0\r\n"
    )


class Admission(NodeTest):
    def setUp(self):
        self.node = Node(config=CONFIG)
        (self.node.data / "slow.toml").write_text(SLOW)
        self.node.start()
        self.addCleanup(self.finish)
        wait_for("promises", lambda: self.node.get("/api/v1/playbacks")["guaranteed"], 30)

    def announce(self, name, rate_kbps):
        """A session that announces a stream; it, and the answer's first line."""
        session = socket.create_connection(("127.0.0.1", self.node.rtsp_port), timeout=10)
        self.addCleanup(session.close)
        body = sdp_with(rate_kbps)
        url = self.node.rtsp + name
        session.sendall(
            f"ANNOUNCE {url} RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        return session, session.recv(4096).decode().splitlines()[0]

    def intake(self):
        return self.node.get("/api/v1/status")["store"]["intake"]

    def fill(self, rate_kbps):
        """Announces streams of this rate until one is refused; the sessions, and the refusal."""
        sessions = []
        while len(sessions) < 100:
            session, answer = self.announce(f"/cam/{rate_kbps}/{len(sessions)}", rate_kbps)
            if "200" not in answer:
                return sessions, answer
            sessions.append(session)
        self.fail("nothing is ever refused")

    def test_what_does_not_fit_is_refused_at_the_door(self):
        sessions, answer = self.fill(1_000)
        self.assertTrue(2 <= len(sessions) <= 12, len(sessions))
        self.assertIn("453", answer)
        self.assertIn(f"the disks have no time to record /cam/1000/{len(sessions)} at 1.0 Mb/s", answer)
        # A publisher that says nothing of its rate is taken for what pictures usually are.
        colours = ["-f", "lavfi", "-i", "testsrc=s=320x240:r=25"]
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-t", "2"]
        refused = publish(self.node.rtsp + "/cam/silent", colours, extra=coded)
        _, errors = refused.communicate(timeout=60)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("453", errors)
        # What is not recorded needs no place.
        _, answer = self.announce("/test/live", 24_000)
        self.assertIn("200", answer)
        status = self.intake()
        self.assertEqual((status["refused"], status["overcommitted"]), (2, False))
        self.assertIn("2 refused since the node started", self.node.command("status"))
        self.assertIn("pegasus_recordings_refused_total 2", self.node.get("/metrics", raw=True).decode())
        events = [e["text"] for e in self.node.get("/api/v1/events") if e["subject"] == "/cam/silent"]
        self.assertIn("453", events[0])
        self.assertIn("which is a guess", events[0])

    def test_a_source_waits_for_its_place_and_says_why(self):
        sessions = [session for rate in (1_000, 100) for session in self.fill(rate)[0]]
        self.node.cli("source", "add", "/film", f"file://{CLIPS['car']}")
        source = lambda: next(s for s in self.node.get("/api/v1/sources") if s["name"] == "/film")
        wait_for("a reason", lambda: source()["error"], 10)
        self.assertIn("the disks have no time to record /film", source()["error"])
        self.assertIn(source()["state"], ("waiting", "connecting"))
        # Who is lost keeps his place for a minute; then there is room.
        for session in sessions:
            session.close()
        wait_for("the source", lambda: source()["state"] == "live", 150)
        self.assertIsNone(source()["error"])

    def test_who_writes_more_than_it_said_is_named(self):
        # Noise in high quality is far more than what is said.
        noise = ["-f", "lavfi", "-i", "nullsrc=s=640x360:r=25,geq=random(1)*255:128:128"]
        film = self.node.data / "noise.mp4"
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-b:v", "500k", "-qmin", "5", "-qmax", "5"]
        ffmpeg(*noise, *coded, "-t", "4", film)
        self.assertGreater(film.stat().st_size * 8 / 4, 20e6)
        publisher = publish(self.node.rtsp + "/cam/liar", film, loop=-1, extra=coded)
        self.addCleanup(publisher.communicate)
        self.addCleanup(publisher.kill)
        wait_for("trouble", lambda: self.intake()["overcommitted"], 60)
        wait_for("whose it is", lambda: self.intake()["exceeding"] or self.assertIsNone(publisher.poll()), 30)
        (liar,) = self.intake()["exceeding"]
        self.assertEqual((liar["stream"], liar["said_bps"]), ("/cam/liar", 500_000))
        status = self.node.get("/api/v1/status")["store"]
        self.assertEqual(status["health"], "degraded")
        self.assertIn("over-committed", status["reason"])
        self.assertIn("/cam/liar writes", status["reason"])
        self.assertIn("over-committed", self.node.command("status"))
        said = lambda subject: [e["text"] for e in self.node.get("/api/v1/events") if e["subject"] == subject]
        wait_for("an event", lambda: any("over-committed" in text for text in said("store")), 10)
        wait_for("its event", lambda: any("and said 500 kb/s" in text for text in said("/cam/liar")), 10)
        self.assertIn("pegasus_recordings_overcommitted 1", self.node.get("/metrics", raw=True).decode())
        # Nobody else is let in meanwhile.
        _, answer = self.announce("/cam/other", 100)
        self.assertIn("453", answer)
