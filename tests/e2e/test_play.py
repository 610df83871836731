"""Playing live and from any instant, with clients that are not ours."""

import json
import subprocess
import time
import unittest
import urllib.request
from urllib.parse import urljoin

from harness import CLIPS, CommandFailed, NodeTest, ffmpeg, probe, publish, wait_for


class Play(NodeTest):
    """One stream with a gap, still live: what an evening's recording looks like."""

    def setUp(self):
        super().setUp()
        first = publish(self.node.rtsp + "/cam/door", CLIPS["car"], extra=["-c", "copy", "-t", "6"])
        first.communicate(timeout=60)
        time.sleep(2)
        live = publish(self.node.rtsp + "/cam/door", CLIPS["car"], loop=-1)
        self.addCleanup(live.wait)
        self.addCleanup(live.kill)
        wait_for("two spans", lambda: len(self.node.spans("/cam/door")) == 2, 30)
        wait_for("live", lambda: self.node.stream("/cam/door")["state"] == "live")

    def frames(self, url, *options, seconds=4):
        out = self.node.data / f"play-{time.monotonic_ns()}.mkv"
        ffmpeg(*options, "-i", url, "-t", seconds, "-c", "copy", "-y", out)
        report, errors = probe(out, "-show_streams", "-count_packets")
        self.assertEqual(errors, "")
        return {s["codec_name"]: int(s["nb_read_packets"]) for s in report["streams"]}

    def test_live_over_rtsp(self):
        for transport in ("tcp", "udp"):
            with self.subTest(transport):
                got = self.frames(self.node.rtsp + "/cam/door", "-rtsp_transport", transport)
                self.assertGreater(got["h264"], 35)  # 12.5 a second for 4 s
                self.assertGreater(got["aac"], 100)

    def test_recorded_over_rtsp_from_an_instant(self):
        spans = self.node.spans("/cam/door")
        url = f"{self.node.rtsp}/cam/door?from={spans[0]['start']}&to={spans[0]['end']}"
        for transport in ("tcp", "udp"):
            with self.subTest(transport):
                got = self.frames(url, "-rtsp_transport", transport, seconds=5)
                self.assertGreater(got["h264"], 45)

    def test_a_gstreamer_client(self):
        out = self.node.data / "gst.ts"
        pipeline = (
            f"rtspsrc location={self.node.rtsp}/cam/door protocols=tcp ! rtph264depay ! h264parse ! video/x-h264,alignment=au "
            f"! identity eos-after=40 ! mpegtsmux ! filesink location={out}"
        )
        done = subprocess.run(
            ["gst-launch-1.0", "-q", "-e", *pipeline.split()], capture_output=True, text=True, timeout=60
        )
        # When it ends, this client at times sends PAUSE on the connection it has just closed (about one
        # time in a hundred, and with its own server too). What it received must be whole all the same.
        stopped = done.returncode == 0 or "gst_rtspsrc_pause" in done.stderr
        self.assertTrue(stopped, done.stderr)
        report, _ = probe(out, "-show_streams", "-count_packets")
        self.assertGreaterEqual(int(report["streams"][0]["nb_read_packets"]), 35)

    def test_recorded_hls_plays_across_the_gap(self):
        spans = self.node.spans("/cam/door")
        url = f"{self.node.http}/hls/cam/door/index.m3u8?from={spans[0]['start']}&to={spans[1]['end']}"
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        self.assertIn("#EXTM3U", text)
        media = text if "#EXTINF" in text else self.follow(url, text)
        self.assertIn("#EXT-X-DISCONTINUITY", media)
        self.assertIn("#EXT-X-PROGRAM-DATE-TIME", media)
        self.assertIn("#EXT-X-ENDLIST", media)
        got = self.frames(url, seconds=30)
        self.assertGreater(got["h264"], 75)  # all of the first span, and some of the second

    def follow(self, url, text):
        child = next(line for line in text.splitlines() if line and not line.startswith("#"))
        return urllib.request.urlopen(urljoin(url, child), timeout=30).read().decode()

    def test_live_hls(self):
        got = self.frames(f"{self.node.http}/hls/cam/door/index.m3u8", seconds=4)
        self.assertGreater(got["h264"], 30)

    def test_media_ranges_add_up(self):
        spans = self.node.spans("/cam/door")
        url = f"{self.node.http}/api/v1/streams/cam/door/media.mp4?from={spans[0]['start']}&to={spans[0]['end']}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            whole = answer.read()
            self.assertEqual(int(answer.headers["content-length"]), len(whole))
            self.assertEqual(answer.headers["accept-ranges"], "bytes")
        pieces, step = b"", len(whole) // 7 + 1
        for start in range(0, len(whole), step):
            request = urllib.request.Request(url, headers={"range": f"bytes={start}-{start + step - 1}"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.assertEqual(answer.status, 206)
                pieces += answer.read()
        self.assertEqual(pieces, whole)

    def test_an_export_has_the_range_asked_for(self):
        start = self.node.spans("/cam/door")[0]["start"]
        out = self.node.data / "part.mp4"
        self.node.command("export", "/cam/door", "--from", start, "--to", "+3s", "-o", out)
        report, errors = probe(out, "-show_format")
        self.assertEqual(errors, "")
        self.assertAlmostEqual(float(report["format"]["duration"]), 3.0, delta=0.2)
        with self.assertRaises(CommandFailed, msg="an existing file is not replaced"):
            self.node.command("export", "/cam/door", "--to", "+3s", "-o", out)

    def test_the_api_describes_itself(self):
        document = json.loads(urllib.request.urlopen(self.node.http + "/api/v1/openapi.json").read())
        self.assertTrue(document["openapi"].startswith("3."))
        for path in ("/api/v1/status", "/api/v1/streams", "/api/v1/sources"):
            self.assertIn(path, document["paths"])
        metrics = urllib.request.urlopen(self.node.http + "/metrics").read().decode()
        self.assertIn("# TYPE pegasus_", metrics)
        self.assertIn("/cam/door", metrics)


if __name__ == "__main__":
    unittest.main()
