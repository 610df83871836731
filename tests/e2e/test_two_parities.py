"""Two parities: two disks pulled during mixed load, and both replaced."""

import hashlib
import os
import random
import shutil
import tempfile
import threading
import time
import unittest
from pathlib import Path

from harness import CLIPS, publish, wait_for
from test_faults import LostDisksBase
from test_files import can_mount, unmount
from test_kill import seconds


class Filer:
    """A program that writes files, syncs them, and remembers what was answered for."""

    def __init__(self, folder, seed):
        self.folder, self.chance = folder, random.Random(seed)
        self.synced, self.error, self.over = {}, None, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                path = self.folder / f"file{self.chance.randrange(40)}"
                data = self.chance.randbytes(self.chance.choice([300, 40_000, 900_000]))
                self.synced.pop(path, None)
                with open(path, "wb") as file:
                    file.write(data)
                    os.fsync(file.fileno())
                self.synced[path] = hashlib.sha256(data).hexdigest()
        except OSError as error:
            self.error = error

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.error

    def differ(self):
        digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
        return [path.name for path, want in self.synced.items() if digest(path) != want]


@unittest.skipUnless(can_mount(), "needs /dev/fuse, and root or fusermount3")
class TwoParities(LostDisksBase):
    names = ", ".join(f'"disk{at}"' for at in range(6))
    options = {"config": f'[store]\ndisks = [{names}]\nparity = 2\ndisk_size = "300MiB"\n'}

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(unmount, self.folder)
        self.node.command("mount", self.folder)

    def states(self):
        return {os.path.basename(d["path"]): d["state"] for d in self.disks()}

    def test_two_of_six_are_pulled_under_mixed_load_and_replaced(self):
        self.record("/before", 6)
        want = self.exported("/before")
        load = publish(self.node.rtsp + "/load", CLIPS["car"], loop=-1)
        self.addCleanup(load.kill)
        wait_for("load", lambda: self.node.spans("/load"))
        filer = Filer(self.folder, int(os.environ.get("PEGASUS_SEED", "1")))
        self.addCleanup(filer.stop)
        wait_for("files", lambda: len(filer.synced) > 5)
        gone = [self.node.data / "disk1", self.node.data / "disk4"]
        for disk in gone:
            disk.unlink()
        wait_for("the alarms", lambda: list(self.states().values()).count("failed") == 2, 30)
        before, written = self.node.spans("/load")[-1]["end"], len(filer.synced)
        wait_for("recording to go on", lambda: seconds(self.node.spans("/load")[-1]["end"]) > seconds(before) + 3)
        self.assertGreaterEqual(len(filer.synced), written)
        self.assertEqual(self.exported("/before"), want)
        for disk in gone:
            self.node.command("disk", "replace", disk)
        wait_for("the rebuild", lambda: set(self.states().values()) == {"ok"}, 120, 0.5)
        self.assertEqual(self.node.cli("disk", "list")["care"]["lost_blocks"], 0)
        time.sleep(2)
        load.kill()
        load.wait()
        self.assertIsNone(filer.stop())
        self.assertGreater(len(filer.synced), 10)
        scrub = self.node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []))
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        loaded = self.exported("/load")
        self.assertEqual(filer.differ(), [])
        self.node.command("unmount", self.folder)
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report)
        # Now two others may go.
        for name in ("disk0", "disk5"):
            (self.node.data / name).unlink()
        self.node.start()
        self.assertEqual(list(self.states().values()).count("missing"), 2)
        self.node.command("mount", self.folder)
        self.assertEqual((self.exported("/before"), self.exported("/load")), (want, loaded))
        self.assertEqual(filer.differ(), [])

    def test_three_are_too_many(self):
        self.record("/before", 3)
        self.node.command("unmount", self.folder)
        self.node.stop()
        for name in ("disk0", "disk2", "disk3"):
            (self.node.data / name).unlink()
        self.node.start(wait=False)
        self.node.process.wait(20)
        self.assertIn("it can do without 2", self.node.tail())
