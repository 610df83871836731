"""What ffmpeg publishes comes back out bit-identical, over TCP and over UDP."""

import unittest

from harness import CLIPS, NodeTest, ffmpeg, frame_hashes, probe, publish, wait_for

# ffmpeg gathers AAC frames into packets for as long as its muxer may delay, and never sends what it
# still holds at the end: with the least delay that is one frame, of which no receiver hears.
HELD_BACK = {"a:0": 1}
EXACT = ["-c", "copy", "-muxdelay", "0.02"]
TRACKS = {"car": ["v:0", "a:0"], "person": ["v:0"], "bottle": ["v:0"]}


class Publish(NodeTest):
    def test_every_coded_picture_and_packet_comes_back(self):
        """All clips over both transports at once, in real time."""
        running = {}
        for clip, path in CLIPS.items():
            for transport in ("tcp", "udp"):
                name = f"/{transport}/{clip}"
                running[name] = (clip, publish(self.node.rtsp + name, path, transport, EXACT))
        for name, (_, process) in running.items():
            _, errors = process.communicate(timeout=240)
            self.assertEqual((process.returncode, errors), (0, ""), name)
        for name, (clip, _) in running.items():
            with self.subTest(name):
                self.compare(name, clip)

    def compare(self, name, clip):
        wait_for(f"{name} to end", lambda: self.node.stream(name)["state"] == "idle")
        wait_for(f"{name} to be durable", lambda: self.settled(name), pause=1.5)
        spans = self.node.spans(name)
        self.assertEqual(len(spans), 1, spans)
        out = self.node.data / "export.mp4"
        self.node.command("export", name, "--output", out, "--force")
        for track in TRACKS[clip]:
            want = frame_hashes(CLIPS[clip], track)
            got = frame_hashes(out, track)
            want = want[: len(want) - HELD_BACK.get(track, 0)]
            self.assertEqual(len(got), len(want), f"{name} {track}: number of packets")
            self.assertEqual(got, want, f"{name} {track}: checksums")
        report, errors = probe(out, "-show_streams", "-count_packets")
        self.assertEqual(errors, "", name)
        units = sum(int(s["nb_read_packets"]) for s in report["streams"])
        self.assertEqual(units, spans[0]["units"], f"{name}: units of the span")
        self.assertEqual(ffmpeg("-i", out, "-fps_mode", "vfr", "-f", "null", "-").stderr, "", "decodes without errors")

    def settled(self, name):
        before = self.settled_units.get(name)
        self.settled_units[name] = [s["units"] for s in self.node.spans(name)]
        return before is not None and before == self.settled_units[name]

    def setUp(self):
        super().setUp()
        self.settled_units = {}

    def test_decode_order_of_b_frames_is_kept(self):
        process = publish(self.node.rtsp + "/b", CLIPS["bottle"], extra=["-c", "copy", "-t", "6"])
        process.communicate(timeout=60)
        wait_for("units", lambda: self.node.spans("/b"))
        wait_for("the end", lambda: self.settled("/b"), pause=1.5)
        out = self.node.data / "b.mp4"
        self.node.command("export", "/b", "-o", out)
        report, errors = probe(out, "-select_streams", "v", "-show_entries", "packet=pts,dts")
        self.assertEqual(errors, "")
        pts = [int(p["pts"]) for p in report["packets"]]
        dts = [int(p["dts"]) for p in report["packets"]]
        self.assertEqual(dts, sorted(dts))
        self.assertNotEqual(pts, sorted(pts), "the clip has B-frames")
        self.assertTrue(all(p >= d for p, d in zip(pts, dts)))
        want, _ = probe(CLIPS["bottle"], "-select_streams", "v", "-show_entries", "packet=pts")
        order = lambda packets: sorted(range(len(packets)), key=packets.__getitem__)
        source = [int(p["pts"]) for p in want["packets"]][: len(pts)]
        self.assertEqual(order(pts)[: len(pts) - 5], order(source)[: len(pts) - 5])

    def test_generated_codecs(self):
        """Codecs the clips do not have, made by ffmpeg on the spot; at least they must be whole."""
        video = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15:duration=5"]
        audio = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=5"]
        low = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000:duration=5"]
        cases = {
            "h265": (video, ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=15"]),
            "vp9": (video, ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-strict", "experimental", "-g", "15"]),
            "mjpeg": (video, ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-huffman", "0"]),
            "opus": (audio, ["-c:a", "libopus"]),
            "aac": (audio, ["-c:a", "aac"]),
            "pcmu": (low, ["-c:a", "pcm_mulaw"]),
            "pcma": (low, ["-c:a", "pcm_alaw"]),
            "l16": (audio, ["-c:a", "pcm_s16be"]),
        }
        running = {}
        for codec, (source, options) in cases.items():
            running[codec] = publish(f"{self.node.rtsp}/gen/{codec}", source, extra=options)
        for codec, process in running.items():
            _, errors = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, f"{codec}: {errors}")
        for codec in cases:
            with self.subTest(codec):
                name = f"/gen/{codec}"
                wait_for("units", lambda: self.node.spans(name))
                wait_for("the end", lambda: self.settled(name), pause=1.5)
                track = self.node.stream(name)["tracks"][0]
                self.assertEqual(track["codec"], codec)
                if codec in ("h265", "vp9", "mjpeg"):
                    self.assertEqual((track["width"], track["height"]), (320, 240))
                out = self.node.data / f"{codec}.mp4"
                self.node.command("export", name, "-o", out)
                report, errors = probe(out, "-show_streams", "-show_format")
                self.assertEqual(errors, "")
                self.assertAlmostEqual(float(report["format"]["duration"]), 5.0, delta=0.35)
                self.assertEqual(ffmpeg("-i", out, "-fps_mode", "vfr", "-f", "null", "-").stderr, "")


class TwoPublishers(NodeTest):
    def test_the_second_is_told_who_has_the_name(self):
        first = publish(self.node.rtsp + "/cam/door", CLIPS["car"], loop=-1)
        self.addCleanup(first.kill)
        wait_for("the first", lambda: (self.node.stream("/cam/door") or {}).get("state") == "live")
        second = publish(self.node.rtsp + "/cam/door", CLIPS["bottle"])
        _, errors = second.communicate(timeout=30)
        self.assertNotEqual(second.returncode, 0)
        self.assertTrue(errors.strip())
        stream = self.node.stream("/cam/door")
        self.assertEqual((stream["state"], stream["tracks"][0]["height"]), ("live", 432))

    def test_a_publisher_that_vanishes_leaves_the_name_free(self):
        first = publish(self.node.rtsp + "/cam/door", CLIPS["car"], loop=-1)
        wait_for("the first", lambda: self.node.stream("/cam/door") and self.node.spans("/cam/door"))
        first.kill()
        first.wait()
        wait_for("idle", lambda: (self.node.stream("/cam/door") or {"state": "idle"})["state"] == "idle")
        second = publish(self.node.rtsp + "/cam/door", CLIPS["bottle"], loop=-1)
        self.addCleanup(second.kill)
        wait_for("the second", self.shows_360)
        wait_for("two spans", lambda: len(self.node.spans("/cam/door")) == 2)

    def shows_360(self):
        tracks = (self.node.stream("/cam/door") or {"tracks": []})["tracks"]
        return bool(tracks) and tracks[0]["height"] == 360


if __name__ == "__main__":
    unittest.main()
