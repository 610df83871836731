"""Pulling from an RTSP server that is not ours: GStreamer's, with its restart."""

import subprocess
import unittest
from pathlib import Path

from harness import CLIPS, NodeTest, free_port, probe, wait_for

SERVER = Path(__file__).with_name("gst_server.py")


class Pull(NodeTest):
    def serve(self, port):
        process = subprocess.Popen(
            ["/usr/bin/python3", SERVER, str(port)], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline().strip(), "ready")
        return process

    def source(self, name):
        return next(s for s in self.node.cli("source", "list") if s["name"] == name)

    def test_a_foreign_server_and_its_restart(self):
        port = free_port()
        server = self.serve(port)
        self.node.cli("source", "add", "/cam/yard", f"rtsp://user:secret@127.0.0.1:{port}/live")
        stream = wait_for("live", lambda: self.live("/cam/yard"), 30)
        self.assertEqual([t["codec"] for t in stream["tracks"]], ["h264", "pcmu"])
        wait_for("a span", lambda: self.seconds_recorded("/cam/yard") > 4, 30)
        server.kill()
        server.wait()
        wait_for("idle", lambda: self.node.stream("/cam/yard")["state"] == "idle", 30)
        wait_for("the reason", lambda: self.source("/cam/yard").get("error"), 30)
        self.serve(port)
        wait_for("live again", lambda: self.live("/cam/yard"), 60)
        wait_for("a second span", lambda: len(self.node.spans("/cam/yard")) == 2, 30)
        self.assertNotIn("secret", self.node.command("source", "list"))
        self.assertNotIn("secret", self.node.log.read_text())

    def live(self, name):
        stream = self.node.stream(name)
        return stream if stream and stream["state"] == "live" and stream["tracks"] else None

    def seconds_recorded(self, name):
        from test_kill import seconds

        return sum(seconds(s["end"]) - seconds(s["start"]) for s in self.node.spans(name))

    def test_sources_outlive_a_restart_and_can_be_removed(self):
        clip = CLIPS["car"]
        self.node.cli("source", "add", "/film", f"file://{clip}")
        wait_for("the film", lambda: self.live("/film"))
        self.node.stop()
        self.node.start()
        wait_for("the film after a restart", lambda: self.live("/film"))
        self.node.cli("source", "remove", "/film")
        self.assertEqual(self.node.cli("source", "list"), [])
        wait_for("idle", lambda: self.node.stream("/film")["state"] == "idle")
        out = self.node.data / "film.mp4"
        self.node.command("export", "/film", "-o", out)
        report, errors = probe(out, "-show_streams")
        self.assertEqual((len(report["streams"]), errors), (2, ""))


if __name__ == "__main__":
    unittest.main()
