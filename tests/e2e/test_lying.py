"""A disk that is slower than its profile says: promises are given by it, taken back when that shows, and given by what was measured then."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from harness import BINARY, CLIPS, Node, NodeTest, publish, wait_for
from rtsp_client import Player, Refused


def profile(times):
    """A disk of which a request takes so many times 17 ms."""
    return f"""capacity_bytes = 1073741824
rotation_ms = {1.0 * times}
overhead_ms = {16.0 * times}
seek = [[0, 0.0], [1, {0.1 * times}], [1000, {0.2 * times}]]
zones = [{{ cylinders = 1000, rate_bps = {int(1_000_000_000 / times)} }}]
"""


class Exported:
    """A simulated disk as a file, in real time, while it is needed."""

    def __init__(self, folder, text):
        self.path = folder / "disk"
        self.profile = folder / "real.toml"
        self.profile.write_text(text)
        self.start()

    def start(self):
        command = [BINARY, "simulate", "--profile", self.profile, "--export", self.path, "--json"]
        self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline(), "it says that it is there"

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()


class Viewer(threading.Thread):
    """Plays one part after the other of a recording, each some seconds, until told to stop or refused; counts pictures."""

    def __init__(self, node, url, first, last):
        super().__init__(daemon=True)
        self.player = Player("127.0.0.1", node.rtsp_port, url)
        self.first, self.last = first, last
        self.pictures, self.going, self.ended = 0, True, None
        self.player.play(range=f"npt={first}-")  # refused here, if it is
        self.start()

    def run(self):
        try:
            while self.going:
                until = time.monotonic() + self.last - self.first
                for _ in self.player.pictures():
                    self.pictures += 1
                    if not self.going or time.monotonic() > until:
                        break
                else:
                    self.ended = "said goodbye"
                    return
                self.player.play(range=f"npt={self.first}-")
        except (Refused, AssertionError, OSError) as error:
            self.ended = repr(error)

    def stop(self):
        self.going = False
        self.join(10)
        self.player.close()


@unittest.skipUnless(os.geteuid() == 0 and Path("/dev/fuse").exists(), "needs root and FUSE")
class Lying(NodeTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pegasus-e2e-disk-")
        self.addCleanup(folder.cleanup)
        self.disk = Exported(Path(folder.name), profile(5))
        self.addCleanup(self.disk.stop)
        config = f'[store]\ndisks = ["{self.disk.path}"]\nparity = 0\n'
        config += '[playback]\nprofile = "said.toml"\nperiod = "1s"\ngroups = 2\n'
        self.node = Node(config=config)
        (self.node.data / "said.toml").write_text(profile(1))
        self.node.start()
        self.addCleanup(self.finish)
        publisher = publish(self.node.rtsp + "/cam/door", CLIPS["car"], extra=["-c", "copy", "-t", "24"])
        publisher.communicate(timeout=90)
        wait_for("the recording", lambda: self.node.spans("/cam/door"), 30)

    def promises(self):
        return self.node.get("/api/v1/playbacks")

    def test_the_newest_go_the_others_keep_their_rate_and_the_disk_is_measured_anew(self):
        viewers, span = [], self.node.spans("/cam/door")[0]
        url = f"{self.node.rtsp}/cam/door?from={span['start']}&to={span['end']}"
        self.addCleanup(lambda: [viewer.stop() for viewer in viewers])
        try:
            while len(viewers) < 200:
                viewers.append(Viewer(self.node, url, len(viewers) % 8, len(viewers) % 8 + 12))
        except Refused as refused:
            self.assertIn("453", str(refused))
        admitted = len(viewers)
        self.assertTrue(8 < admitted < 60, admitted)
        wait_for("a promise taken back", lambda: self.promises()["withdrawn"], 30)
        self.assertTrue(all(viewer.ended is None for viewer in viewers[:2]), "the oldest stay")
        # The disk is measured while the others play on.
        measured = wait_for("a measurement", lambda: (p := self.promises())["remeasured"] and p, 240)
        self.assertEqual((measured["state"], measured["measurement"]), ("guaranteed", None))
        (kept,) = (self.node.data / "profiles").glob("*.toml")
        overhead_ms = float(next(line.split("=")[1] for line in kept.read_text().splitlines() if line.startswith("overhead_ms")))
        self.assertGreater(overhead_ms, 40, kept.read_text())
        events = [e["text"] for e in self.node.get("/api/v1/events") if e["subject"] == "playback"]
        self.assertTrue(any("measured anew" in text and "said.toml" in text for text in events), events)
        self.assertIn("pegasus_disks_remeasured_total 1", self.node.get("/metrics", raw=True).decode())
        # Those that stay are in time from now on, though the disk is as slow as ever.
        staying = [viewer for viewer in viewers if viewer.ended is None]
        before = self.promises()
        self.assertTrue(0 < len(before["playbacks"]) < admitted, before)
        shown = [viewer.pictures for viewer in staying]
        time.sleep(12)
        after = self.promises()
        self.assertEqual(after["late_blocks"], before["late_blocks"])
        self.assertEqual([after["withdrawn"], after["slowdown"]], [before["withdrawn"], 1.0])
        ended = [viewer.ended for viewer in staying if viewer.ended]
        self.assertLessEqual(len(ended), len(staying) - len(after["playbacks"]), ended)
        playing = [(viewer.pictures - had) / 12 for viewer, had in zip(staying, shown) if not viewer.ended]
        self.assertEqual(len(playing), len(after["playbacks"]))
        self.assertGreater(min(playing), 0.8 * max(playing), playing)


@unittest.skipUnless(os.geteuid() == 0 and Path("/dev/fuse").exists(), "needs root and FUSE")
class Opening(unittest.TestCase):
    def test_a_node_that_is_told_to_stop_does_not_open_its_store_first(self):
        with tempfile.TemporaryDirectory(prefix="pegasus-e2e-disk-") as folder:
            disk = Exported(Path(folder), profile(100))
            node = Node(config=f'[store]\ndisks = ["{disk.path}"]\nparity = 0\n')
            try:
                # A request takes a second and a half.
                node.start(wait=False)
                time.sleep(3)
                self.assertIsNone(node.process.poll(), node.tail())
                self.assertEqual(node.stop(seconds=10), 0)
                self.assertIn("before the store was open", node.tail())
            finally:
                node.close()
                disk.stop()


@unittest.skipUnless(os.geteuid() == 0 and Path("/dev/fuse").exists(), "needs root and FUSE")
class Killed(unittest.TestCase):
    def test_what_a_killed_one_left_is_taken_away_and_the_content_stays(self):
        with tempfile.TemporaryDirectory(prefix="pegasus-e2e-disk-") as folder:
            disk = Exported(Path(folder), profile(0.01))
            file = os.open(disk.path, os.O_RDWR)
            os.pwrite(file, b"kept" * 1024, 0)
            disk.stop(signal.SIGKILL)
            # Whoever had it open, and whoever looks, is told that nobody is there.
            with self.assertRaises(OSError):
                os.pread(file, 4096, 0)
            with contextlib.suppress(OSError):
                os.close(file)
            with self.assertRaises(OSError):
                disk.path.stat()
            disk.start()
            self.assertEqual(disk.path.read_bytes()[:4096], b"kept" * 1024)
            disk.stop()
            self.assertEqual(disk.path.stat().st_size, 1 << 30)
