"""A node on real blocks: every write logged and cut anywhere, disks that fail on time, devices with sectors of 4096 bytes."""

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from blocks import Exported, Replay, daemon, failing
from harness import CLIPS, LONG, Node, publish, wait_for
from test_files import can_mount, unmount

DISKS, DISK_BYTES = 5, 64 << 20
CUTS = 400 if LONG else 8
LOAD_SECONDS = 40 if LONG else 8
KEPT = 150  # files at once, some 30 MB: a quick machine does not fill the store
CONFIG = """
[store]
disks = [{disks}]
stripe_unit = "256KiB"
[mount]
path = "{mount}"
streams = false
"""


def content(number):
    chance = random.Random(number)
    return chance.randbytes(chance.choice([0, 10, 3000, 40_000, 200_000, 900_000]))


class Client(threading.Thread):
    """Makes, renames, changes and deletes files, one after the other, and notes when each was answered for."""

    def __init__(self, mount, position):
        super().__init__(daemon=True)
        self.mount, self.position = mount, position
        self.stop = False
        # (log's position, name, number of its content, or None where it was deleted)
        self.answered = []
        self.begun = {}
        self.failure = None
        self.start()

    def run(self):
        try:
            number = 0
            while not self.stop:
                self.keep(number)
                if number % 7 == 6:
                    self.delete(number - 5)
                if number >= KEPT and (number - KEPT) % 7 != 1:
                    self.delete(number - KEPT)
                if number % 3 == 2:
                    self.write("counter", number, os.O_WRONLY | os.O_CREAT)
                number += 1
        except OSError as error:
            self.failure = error

    def write(self, name, number, how):
        self.begun.setdefault(name, []).append(number)
        data = content(number) if name != "counter" else b"%08d" % number
        file = os.open(self.mount / name, how)
        try:
            os.write(file, data)
            os.fsync(file)
        finally:
            os.close(file)
        self.answered.append((self.position(), name, number))

    def keep(self, number):
        self.write(f"new-{number}", number, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self.begun.setdefault(f"kept-{number}", []).append(number)
        self.begun[f"new-{number}"].append(None)
        os.rename(self.mount / f"new-{number}", self.mount / f"kept-{number}")
        self.sync()
        at = self.position()
        self.answered += [(at, f"kept-{number}", number), (at, f"new-{number}", None)]

    def delete(self, number):
        self.begun[f"kept-{number}"].append(None)
        os.unlink(self.mount / f"kept-{number}")
        self.sync()
        self.answered.append((self.position(), f"kept-{number}", None))

    def sync(self):
        folder = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def allowed(self, upto):
        """For each name what it may hold after a cut at this position of the log."""
        last = {}
        for at, name, number in self.answered:
            if at <= upto:
                last[name] = number
        found = {}
        for name, numbers in self.begun.items():
            known = name in last
            later = numbers[len(numbers) - numbers[::-1].index(last[name]) :] if known else numbers
            found[name] = {last[name] if known else None, *later}
        return found


class BlocksTest(unittest.TestCase):
    """Disks shown by qemu, and a node on them."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pegasus-blocks-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.mount = self.folder / "mnt"
        self.mount.mkdir()

    def node_on(self, disks, data="data"):
        data = self.folder / data
        data.mkdir(exist_ok=True)
        names = ", ".join(f'"{disk}"' for disk in disks)
        node = Node(data=data, config=CONFIG.format(disks=names, mount=self.mount))
        self.addCleanup(node.close)
        self.addCleanup(unmount, self.mount)
        return node

    def started(self, node):
        node.start()
        wait_for("the mount", lambda: os.path.ismount(self.mount))
        return node

    def compare(self, allowed, when):
        """What is mounted is one of what it may be, name by name; how many files there were."""
        found = set(os.listdir(self.mount))
        self.assertLessEqual(found, set(allowed), when)
        for name, numbers in allowed.items():
            if name not in found:
                self.assertIn(None, numbers, f"{when}: {name} is gone")
                continue
            data = (self.mount / name).read_bytes()
            wanted = numbers - {None}
            if name == "counter":
                held = [b"%08d" % number for number in wanted]
            else:
                held = [content(number) for number in wanted]
            # A name that nobody synced yet may have its beginning.
            partly = None in numbers and any(text.startswith(data) for text in held)
            self.assertTrue(data in held or partly, f"{when}: {name} has {len(data)} other bytes")
        return len(found)


@unittest.skipUnless(daemon() and can_mount() and os.geteuid() == 0, "needs qemu-storage-daemon, and root")
class PowerCuts(BlocksTest):
    def test_any_cut_leaves_all_that_was_answered_for(self):
        """The log of every write is played back to many places, with any part of what was not flushed there."""
        seed = int(os.environ.get("PEGASUS_SEED", "1"))
        exported = Exported(self.folder, DISKS, DISK_BYTES).start_logged()
        self.addCleanup(exported.stop)
        client, ends = self.load(exported)
        self.assertGreater(len(client.answered), 20, "hardly anything was done")
        self.assertTrue(ends, "nothing was recorded")
        chance = random.Random(seed)
        replay = Replay(exported, self.folder, DISK_BYTES, chance)
        self.addCleanup(replay.close)
        # Before the store was made there is nothing to open.
        first = next(at for at, entry in enumerate(replay.entries) if entry[0] >= self.made)
        last = len(replay.entries)
        cuts = sorted(chance.randrange(first + 1, last - last // 20) for _ in range(CUTS))
        disks = [self.folder / f"cut-{n}" for n in range(DISKS)]
        node = self.node_on(disks, "cut")
        files = torn = 0
        for number, count in enumerate(cuts):
            position = replay.forward(count)
            how = ["torn", "whole", "torn", "none"][number % 4]
            torn += how == "torn" and any(replay.pending)
            replay.cut(disks, how)
            when = f"seed {seed}, {how} after {count} of {last} requests"
            node.check()  # it must say something, and write nothing
            files += self.reopened(node, client.allowed(position), when)
            due = [end for at, end in ends if at <= position]
            if due:
                spans = node.spans("/cam")
                self.assertTrue(spans and spans[-1]["end"] >= max(due), f"{when}: {spans} ends before {max(due)}")
            node.kill()
            unmount(self.mount)
            report = node.check()
            self.assertTrue(report["ok"], f"{when}: {report['problems'][:5]}")
        self.assertGreater(files, 0, "no file was there in any of them")
        self.assertGreater(torn, CUTS // 10, "hardly a write was torn")
        # The test can fail: what these disks hold is not all that was answered for by the end.
        self.started(node)
        with self.assertRaises(AssertionError):
            self.compare(client.allowed(replay.entries[-1][0] + 1), "the end")
        print(f"\n    {last} requests, {CUTS} cuts ({torn} tore something), {len(client.answered)} answers", end="")

    def reopened(self, node, allowed, when):
        self.started(node)
        store = node.cli("status")["store"]
        self.assertEqual({disk["state"] for disk in store["disks"]}, {"ok"}, when)
        return self.compare(allowed, when)

    def load(self, exported):
        """Files and a recording on logged disks; what was answered for, and when."""
        node = self.started(self.node_on(exported.exports))
        self.made = exported.position()
        camera = publish(node.rtsp + "/cam", CLIPS["car"], loop=-1)
        self.addCleanup(camera.kill)
        client = Client(self.mount, exported.position)
        wait_for("a recording", lambda: node.spans("/cam"))
        ends, until = [], time.monotonic() + LOAD_SECONDS
        while time.monotonic() < until:
            end = node.spans("/cam")[-1]["end"]
            ends.append((exported.position(), end))
            time.sleep(0.2)
        client.stop = True
        client.join(30)
        self.assertIsNone(client.failure)
        camera.kill()
        camera.wait()
        node.kill()
        unmount(self.mount)
        exported.stop()
        return client, ends


@unittest.skipUnless(daemon() and can_mount() and os.geteuid() == 0, "needs qemu-storage-daemon, and root")
class FailingDisks(BlocksTest):
    """One disk answers with errors from some write on: the others go on, and it is named."""

    BAD = 2

    def failed(self, *kinds):
        exported = Exported(self.folder, DISKS, DISK_BYTES)
        self.addCleanup(exported.stop)
        exported.start_failing(self.BAD, failing(60, *kinds))
        node = self.started(self.node_on(exported.exports))
        client = Client(self.mount, lambda: 0)
        self.addCleanup(setattr, client, "stop", True)
        yield node, client
        client.stop = True
        client.join(30)
        self.assertIsNone(client.failure, "a program was told of it")
        self.assertGreater(self.compare(client.allowed(0), "while it runs"), 3)
        node.kill()
        unmount(self.mount)
        exported.stop()
        # The same disk, well again, is not trusted for what it lacks.
        exported.start_failing(None, None)
        self.started(node)
        self.assertGreater(self.compare(client.allowed(0), "afterwards"), 3)
        yield node, client

    def disk(self, node):
        return node.cli("status")["store"]["disks"][self.BAD]

    def goes_on_without(self, *kinds):
        run = self.failed(*kinds)
        node, client = next(run)
        wait_for("the alarm", lambda: self.disk(node)["state"] == "failed", 30)
        states = [disk["state"] for disk in node.cli("status")["store"]["disks"]]
        self.assertEqual(states.count("ok"), DISKS - 1)
        before = len(client.answered)
        wait_for("programs to go on", lambda: len(client.answered) > before + 10, 30)
        node, _ = next(run)
        self.assertNotEqual(self.disk(node)["state"], "ok")
        node.command("disk", "replace", str(self.BAD), "--with", self.folder / "new", "--wait")
        scrub = node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []))
        node.stop()
        report = node.check()
        self.assertTrue(report["ok"], report["problems"][:5])

    def test_writes_fail(self):
        self.goes_on_without("write")

    def test_flushes_fail(self):
        self.goes_on_without("flush")

    def test_everything_fails(self):
        self.goes_on_without("read", "write", "flush")

    def test_reads_fail(self):
        """Reading is what the others make up for; the disk goes on being written, and its errors are counted."""
        run = self.failed("read")
        node, client = next(run)
        wait_for("programs to go on", lambda: len(client.answered) > 30, 30)
        scrub = node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual(scrub["lost_blocks"], 0)
        self.assertGreater(self.disk(node)["errors"], 0)
        node, _ = next(run)
        node.cli("disk", "scrub", "--wait")
        scrub = node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []))


def loops():
    return shutil.which("losetup") and os.geteuid() == 0 and os.path.exists("/dev/loop-control")


@unittest.skipUnless(loops() and can_mount(), "needs losetup, and root")
class Devices(BlocksTest):
    """Block devices with sectors of 4096 bytes, which refuse anything that is not aligned to them."""

    def device(self, number):
        image = self.folder / f"image-{number}"
        with open(image, "ab") as file:
            file.truncate(DISK_BYTES)
        command = ["losetup", "--find", "--show", "--sector-size", "4096", "--direct-io=on", image]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(done.stderr)
        path = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", path], capture_output=True, check=False)
        return path

    def test_a_store_on_them(self):
        devices = [self.device(n) for n in range(DISKS)]
        sector = subprocess.run(["blockdev", "--getss", devices[0]], capture_output=True, text=True, check=True)
        self.assertEqual(sector.stdout.strip(), "4096")
        node = self.started(self.node_on(devices))
        client = Client(self.mount, lambda: 0)
        self.addCleanup(setattr, client, "stop", True)
        camera = publish(node.rtsp + "/cam", CLIPS["car"], loop=-1)
        self.addCleanup(camera.kill)
        wait_for("a recording", lambda: node.spans("/cam"))
        wait_for("some work", lambda: len(client.answered) > 30, 30)
        # A second node finds the devices taken.
        (self.folder / "other").mkdir()
        names = ", ".join(f'"{device}"' for device in devices)
        other = Node(data=self.folder / "other", config=f"[store]\ndisks = [{names}]\n")
        other.start(wait=False)
        self.addCleanup(other.close)
        self.assertNotEqual(other.process.wait(30), 0)
        self.assertIn("another process", other.tail())
        # A power cut, as far as devices are concerned, and a device gone bad under the next load.
        node.kill()
        unmount(self.mount)
        client.join(30)
        self.assertTrue(node.check()["ok"])
        self.started(node)
        self.assertGreater(self.compare(client.allowed(0), "after the kill"), 3)
        camera.kill()
        camera.wait()
        client = Client(self.mount_again(), lambda: 0)
        self.addCleanup(setattr, client, "stop", True)
        os.truncate(self.folder / "image-1", 1 << 20)
        subprocess.run(["losetup", "--set-capacity", devices[1]], check=True)
        disks = lambda: node.cli("status")["store"]["disks"]
        wait_for("the alarm", lambda: disks()[1]["state"] == "failed", 30)
        before = len(client.answered)
        wait_for("programs to go on", lambda: len(client.answered) > before + 10, 30)
        node.command("disk", "replace", "1", "--with", self.device(DISKS), "--wait")
        client.stop = True
        client.join(30)
        self.assertIsNone(client.failure)
        self.assertEqual([disk["state"] for disk in disks()], ["ok"] * DISKS)
        scrub = node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []))
        self.assertGreater(self.compare(client.allowed(0), "with a new device"), 3)
        node.stop()
        report = node.check()
        self.assertTrue(report["ok"], report["problems"][:5])

    def mount_again(self):
        """An empty folder for the next client."""
        for name in os.listdir(self.mount):
            with contextlib.suppress(OSError):
                os.unlink(self.mount / name)
        return self.mount


if __name__ == "__main__":
    unittest.main()
