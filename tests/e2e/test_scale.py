"""Recordings played fast and backwards: which pictures come, when, and whether they can be decoded."""

import subprocess
import unittest
import urllib.request
from datetime import datetime, timedelta

from harness import CLIPS, NodeTest, publish
from rtsp_client import Player, Refused


def parse(text):
    """An RFC 3339 time, to the microsecond."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(head) + timedelta(microseconds=int((fraction + "000000")[:6]))


def clock(text):
    """A time as Range has it."""
    return text.replace("-", "").replace(":", "")


def hashes(*source, data=None):
    """Checksums of the decoded pictures."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", *source, "-map", "0:v", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "framemd5", "-"], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


class Scale(NodeTest):
    """A recording of 20 s with a key picture each second."""

    def setUp(self):
        super().setUp()
        clip = publish(self.node.rtsp + "/cam/door", CLIPS["person"], extra=["-c", "copy", "-t", "20"])
        clip.communicate(timeout=60)
        self.span = self.node.spans("/cam/door")[0]
        self.keys = self.listed()
        self.assertGreaterEqual(len(self.keys), 19)
        url = f"{self.node.http}/api/v1/streams/cam/door/media.mp4?from={self.span['start']}&to={self.span['end']}"
        film = self.node.data / "film.mp4"
        film.write_bytes(urllib.request.urlopen(url, timeout=30).read())
        # Of each key picture, by its time, what a decoder makes of it in the recording itself.
        decoded = hashes("-skip_frame", "nokey", "-i", str(film))
        self.assertEqual(len(decoded), len(self.keys))
        self.decoded = {key["time"]: picture for key, picture in zip(self.keys, decoded)}

    def listed(self):
        """All groups, by pages."""
        keys, query = [], "limit=7"
        while True:
            page = self.node.get(f"/api/v1/streams/cam/door/keys?{query}")
            keys += page["keys"]
            if page["next"] is None:
                return keys
            query = f"limit=7&from={page['next']}"

    def player(self):
        player = Player("127.0.0.1", self.node.rtsp_port, self.node.rtsp + "/cam/door")
        self.addCleanup(player.close)
        return player

    def check(self, player, scale, first, last):
        """Plays between two key pictures; what came must be those between, at their moments."""
        answer, rtptime = player.play(range=f"clock={clock(first)}-{clock(last)}", scale=scale)
        self.assertEqual(float(answer["scale"]), scale)
        self.assertTrue(answer["range"].startswith(f"clock={clock(first)}-"), answer["range"])
        pictures = list(player.pictures())
        self.assertTrue(all(picture.key for picture in pictures))
        times = [key["time"] for key in self.keys]
        times = times if scale > 0 else times[::-1]
        expected = [t for t in times if min(first, last) <= t <= max(first, last) and not (scale > 0 and t == last)]
        self.assertEqual(hashes("-f", "h264", "-i", "-", data=player.decodable(pictures)), [self.decoded[t] for t in expected])
        for picture, wanted in zip(pictures, expected):
            shown = ((picture.timestamp - rtptime) & 0xFFFFFFFF) / 90_000
            recorded = (parse(wanted) - parse(first)).total_seconds()
            self.assertAlmostEqual(shown * scale, recorded, delta=0.002)
            came = picture.came - pictures[0].came
            self.assertAlmostEqual(came, shown, delta=0.5, msg="it comes when it is to be shown")

    def test_eight_times_as_fast_both_ways(self):
        player = self.player()
        first, last = self.keys[1]["time"], self.keys[-2]["time"]
        self.check(player, 8.0, first, last)
        self.check(player, -8.0, last, first)
        self.check(player, -1.0, self.keys[4]["time"], self.keys[1]["time"])

    def test_slow_motion_shows_every_picture(self):
        player = self.player()
        group = self.keys[3]
        answer, rtptime = player.play(range=f"clock={clock(group['time'])}-{clock(group['until'])}", scale="0.5")
        self.assertEqual(answer["scale"], "0.5")
        pictures = list(player.pictures())
        # Reordered pictures: the next group's first may be decoded before the end.
        self.assertIn(len(pictures) - group["units"], (0, 1))
        self.assertEqual(len(hashes("-f", "h264", "-i", "-", data=player.decodable(pictures))), len(pictures))
        length = (parse(group["until"]) - parse(group["time"])).total_seconds()
        shown = max(((picture.timestamp - rtptime) & 0xFFFFFFFF) / 90_000 for picture in pictures)
        self.assertAlmostEqual(shown, 2 * length, delta=0.3)

    def test_what_makes_no_sense_is_refused(self):
        player = self.player()
        for scale in ("0", "nan", "1e30", "abc", "-"):
            with self.assertRaisesRegex(Refused, "400 .*Scale", msg=scale):
                player.play(scale=scale, range="npt=1-")
        answer, _ = player.play(scale="1000", range="npt=1-")
        self.assertEqual(answer["scale"], "32.0")


if __name__ == "__main__":
    unittest.main()
