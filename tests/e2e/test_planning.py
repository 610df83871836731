"""The planner and the simulation, as somebody uses them who wonders what disks to buy."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from harness import BINARY, wait_for
from test_files import can_mount

PROFILE = """
capacity_bytes = 4000000000000
rotation_ms = 8.33
overhead_ms = 0.1
seek = [ [1, 1.0], [100, 3.0], [4096, 14.0] ]
zones = [
  { cylinders = 2048, rate_bps = 1600000000 },
  { cylinders = 2048, rate_bps = 800000000 },
]
"""


class Planning(unittest.TestCase):
    def setUp(self):
        folder = Path(tempfile.mkdtemp(prefix="pegasus-planning-"))
        self.addCleanup(shutil.rmtree, folder)
        self.profile = folder / "disk.toml"
        self.profile.write_text(PROFILE)

    def run_command(self, *args):
        return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=120)

    def json(self, command, *args):
        done = self.run_command("--json", command, "--profile", self.profile, *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_plan_is_kept_when_it_is_simulated(self):
        """As many as were planned are held, no block late, also with a disk that fails halfway."""
        args = ["--disks", 4, "--media", "camera=4M", "--startup", "5s"]
        plain = self.json("plan", *args)
        self.assertGreater(plain["displays"], 100)
        self.assertLessEqual(plain["startup_ms"]["mean"], 5_000)
        self.assertEqual(set(plain["wasted"]), {"bandwidth", "space"})
        found = self.json("simulate", *args, "--degraded", "keep", "--fail", 1, "--time", "30m", "--length", "3m")
        planned, held = found["planned"]["displays"], found["simulated"]
        # Half as many: a block and its parity are reserved for.
        self.assertAlmostEqual(planned / plain["displays"], 0.5, delta=0.05)
        self.assertGreaterEqual(held["displays"]["max"], planned * 0.97)
        self.assertGreater(held["blocks"], 10_000)
        self.assertEqual((held["hiccups"], held["unreadable"], held["shed"]), (0, 0, 0))
        lost = self.json("simulate", *args, "--fail", 1, "--time", "30m", "--length", "3m")["simulated"]
        self.assertGreater(lost["shed"], 0, "without parity a dead disk costs something")

    def test_what_is_asked_for_is_what_is_planned(self):
        plan = self.json("plan", "--disks", 6, "--media", "cd=1411200,share=3", "studio=216M,width=3", "--block", "1MiB",
                         "--zones", 1, "--stride", 5, "--groups", 2, "--window", 2)  # fmt: skip
        self.assertEqual((plan["zones"], plan["stride"], plan["groups"], plan["disks"]), (1, 5, 2, 6))
        self.assertEqual(plan["block_bytes"], 1 << 20)
        cd, studio = plan["media"]
        self.assertAlmostEqual(studio["block_bytes"] / cd["block_bytes"], 216e6 / 1_411_200, delta=1)
        self.assertAlmostEqual(cd["displays"], studio["displays"] * 3, delta=3)

    def test_blocks_as_long_as_zones_are_fast(self):
        """They need not wait for their zone: playbacks begin sooner, and as many as were planned are held."""
        args = ["--disks", 4, "--media", "camera=4M", "--zones", 2, "--block", "8MB"]
        fixb = self.json("plan", *args)
        self.assertEqual(fixb["zoning"], "fixb")
        found = self.json("simulate", *args, "--zoning", "varb", "--time", "1h", "--length", "5m")
        varb, held = found["planned"], found["simulated"]
        self.assertEqual(varb["zoning"], "varb")
        outer, inner = varb["media"][0]["zone_block_bytes"]
        self.assertAlmostEqual(outer / inner, 2, delta=0.01)
        self.assertLess(varb["startup_ms"]["mean"], fixb["startup_ms"]["mean"])
        self.assertGreater(varb["displays"], fixb["displays"])
        self.assertLess(varb["wasted"]["space"], fixb["wasted"]["space"])
        self.assertGreaterEqual(held["displays"]["max"], varb["displays"] * 0.97)
        self.assertEqual(held["hiccups"], 0)
        self.assertLessEqual(held["buffer_bytes"], varb["buffer_bytes"])

    def test_who_works_ahead_begins_sooner_and_holds_more(self):
        args = ["--disks", 4, "--media", "camera=4M", "--zones", 1, "--block", "1MB"]
        plain, ahead = self.json("plan", *args), self.json("plan", *args, "--work-ahead")
        self.assertIsNone(plain["work_ahead"])
        marks = ahead["work_ahead"]
        self.assertEqual((marks["low_blocks"], marks["high_blocks"], marks["skip_blocks"]), (1, 6, 4))
        self.assertEqual(ahead["buffer_bytes"] - plain["buffer_bytes"], marks["more_bytes"])
        self.assertEqual(ahead["displays"], plain["displays"])
        viewers = ["--closed", plain["displays"] * 9 // 10, "--time", "30m", "--length", "3m"]
        later = self.json("simulate", *args, *viewers)["simulated"]
        sooner = self.json("simulate", *args, *viewers, "--work-ahead", "2,12")["simulated"]
        self.assertEqual((later["hiccups"], sooner["hiccups"]), (0, 0))
        self.assertEqual((later["skips"], later["ahead_ms"]), (0, 0))
        self.assertGreater(sooner["skips"], 100)
        self.assertLess(sooner["startup_ms"]["mean"] * 2, later["startup_ms"]["mean"])
        self.assertLessEqual(sooner["buffer_bytes"], plain["block_bytes"] * 12)

    def test_viewers_of_the_same_are_merged_if_asked_for(self):
        args = ["--disks", 2, "--media", "camera=4M", "--zones", 1, "--block", "1MB", "--closed", 400, "--objects", 30,
                "--time", "30m", "--length", "3m"]  # fmt: skip
        apart, merged = self.json("simulate", *args)["simulated"], self.json("simulate", *args, "--merge")["simulated"]
        self.assertEqual((apart["merged"], apart["hiccups"], merged["hiccups"]), (0, 0, 0))
        self.assertGreater(merged["merged"], 100)
        self.assertGreater(merged["displays"]["mean"], apart["displays"]["mean"])
        told = self.run_command("simulate", "--profile", self.profile, *args, "--merge", "--work-ahead")
        self.assertIn("merged:", told.stdout)
        self.assertIn("worked ahead:", told.stdout)

    def test_people_get_tables_and_reasons(self):
        table = self.run_command("plan", "--profile", self.profile, "--media", "camera=4M").stdout
        self.assertIn("PLAYBACKS", table)
        self.assertIn("startup:", table)
        for args, words in [
            (["--profile", self.profile, "--media", "big=4G"], "disks at once"),
            (["--profile", self.profile, "--media", "big=4"], None),
            (["--profile", self.profile, "--media", "a=4M", "--startup", "1ms"], "allow a longer startup"),
            (["--profile", self.profile, "--media", "a=4M", "--zones", 9], "ask for 1 to 2"),
            (["--profile", self.profile, "--media", "a=4M", "--work-ahead", "1,2"], "or more"),
            (["--profile", self.profile, "--media", "a=4M", "--work-ahead", "much"], "not LOW,HIGH"),
            (["--profile", "/none.toml", "--media", "a=4M"], "/none.toml"),
            (["--profile", self.profile, "--media", "a=fast"], "is not a rate"),
        ]:
            done = self.run_command("plan", *args)
            if words is None:
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                self.assertNotEqual(done.returncode, 0, args)
                self.assertIn(words, done.stderr)
                self.assertNotIn("panicked", done.stderr)


class Tried(unittest.TestCase):
    """A plan on disks that are there: small files, read in real time. Nothing is said of how quick they are."""

    SIZE = 8 << 20
    FLASH = f"capacity_bytes = {SIZE}\nrotation_ms = 0.0\noverhead_ms = 1.0\nseek = [[0, 0.0]]\nzones = [ {{ cylinders = 1, rate_bps = 160000000 }} ]\n"

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pegasus-tried-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.profile = self.folder / "disk.toml"
        self.profile.write_text(self.FLASH)
        self.disks = [self.folder / f"disk{number}" for number in range(2)]
        for disk in self.disks:
            disk.write_bytes(os.urandom(self.SIZE))
        self.written = [disk.stat().st_mtime_ns for disk in self.disks]

    def command(self, *args, as_json=True):
        # Blocks of a quarter of a second.
        plan = ["--profile", self.profile, "--media", "camera=4M", "--block", "125kB", "--groups", 2, "--zones", 1]
        return [*map(str, [BINARY, *(["--json"] if as_json else []), "simulate", *plan, *args])]

    def run_command(self, *args, **how):
        return subprocess.run(self.command(*args, **how), capture_output=True, text=True, timeout=120)

    def test_what_is_planned_is_read_from_files(self):
        done = self.run_command("--on", *self.disks, "--time", "4s", "--length", "1s", "--closed", 12)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        planned, simulated, real = found["planned"], found["simulated"], found["real"]
        self.assertEqual((planned["disks"], planned["groups"], round(planned["period_ms"])), (2, 2, 250))
        self.assertEqual(simulated["hiccups"], 0)
        self.assertEqual((simulated["displays"]["max"], real["displays"]["max"]), (12, 12))
        self.assertGreater(simulated["margin_ms"]["least"], 0)
        # Each block is one read, of one disk.
        self.assertGreater(real["blocks"], 50)
        self.assertEqual(real["unread"], 0)
        self.assertEqual([disk["path"] for disk in real["disks"]], [str(disk) for disk in self.disks])
        reads = [disk["reads"] for disk in real["disks"]]
        self.assertTrue(all(reads), reads)
        self.assertLessEqual(sum(reads), real["blocks"])
        self.assertEqual((real["failures"], real["stopped_s"]), ([], None))
        self.assertEqual([disk.stat().st_mtime_ns for disk in self.disks], self.written, "nothing is written")

    def test_people_are_told_what_it_takes_and_what_it_came_to(self):
        done = self.run_command("--on", self.disks[0], "--time", "2s", as_json=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ["8 periods on 1 disks take 2s", "PLAYBACKS", "simulated\n", "on these disks\n", "before their time", "ms late at most"]:
            self.assertIn(words, done.stdout)

    def test_who_interrupts_it_is_told_what_was_found(self):
        process = subprocess.Popen(self.command("--on", self.disks[0], "--time", "1h"), stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        wait_for("somebody to signal", lambda: "signals" in threads(process.pid))
        time.sleep(1)  # of an hour
        process.send_signal(signal.SIGINT)
        found = json.loads(process.stdout.read())["real"]
        self.assertEqual(process.wait(20), 0)
        self.assertLess(found["stopped_s"], 3_600)
        self.assertEqual(found["unread"], 0)

    def test_what_can_not_be_tried_is_refused(self):
        short = self.folder / "short"
        short.write_bytes(bytes(1 << 20))
        for paths, more, words in [
            ([short], [], "disk profile"),
            ([self.disks[0], self.disks[0]], [], "named twice"),
            ([self.folder], [], "is a folder"),
            ([self.folder / "none"], [], "none"),
            (self.disks, ["--disks", 3], "leave --disks out"),
            (self.disks, ["--time", "500ms"], "less than four periods"),
        ]:
            done = self.run_command("--on", *paths, *more)
            self.assertNotEqual(done.returncode, 0, paths)
            self.assertIn(words, done.stderr)
            self.assertNotIn("panicked", done.stderr)


def threads(pid):
    """The names of a process's threads."""
    names = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((thread / "comm").read_text().strip())
    return names


@unittest.skipUnless(can_mount(), "needs FUSE")
class Exported(unittest.TestCase):
    """A simulated disk as a file, for programs that know nothing of it."""

    SIZE = 64 << 20

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pegasus-rotating-"))
        self.addCleanup(shutil.rmtree, self.folder)
        profile = self.folder / "disk.toml"
        profile.write_text(PROFILE)
        self.file = self.folder / "disk"
        command = [BINARY, "--json", "simulate", "--profile", profile, "--export", self.file, "--size", self.SIZE]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        wait_for("the disk", lambda: os.path.ismount(self.file))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()

    def test_it_takes_what_heads_take_and_keeps_what_is_written(self):
        self.assertEqual(self.file.stat().st_size, self.SIZE)
        data, places = os.urandom(8192), [place << 20 for place in (3, 60, 17, 42, 9, 33, 51, 25)]
        file = os.open(self.file, os.O_RDWR)
        try:
            before = time.monotonic()
            for place in places:
                self.assertEqual(os.pwrite(file, data, place), len(data))
            # Each moves the heads at least as far as the shortest seek.
            self.assertGreater(time.monotonic() - before, len(places) * 0.001)
            for place in places:
                self.assertEqual(os.pread(file, len(data), place), data)
            self.assertEqual(os.pread(file, 8192, self.SIZE - 4096), bytes(4096))
            with self.assertRaises(OSError) as refused:
                os.pwrite(file, data, self.SIZE - 4096)
            self.assertEqual(refused.exception.errno, errno.ENOSPC)
            os.fsync(file)
        finally:
            os.close(file)
        self.stop()
        self.assertFalse(os.path.ismount(self.file))
        self.assertEqual(self.process.returncode, 0)
        with open(self.file, "rb") as content:
            for place in places:
                content.seek(place)
                self.assertEqual(content.read(len(data)), data)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("losetup") and shutil.which("mkfs.ext4"), "needs root")
    def test_it_bears_a_file_system(self):
        device = self.sh("losetup", "--direct-io=on", "--show", "-f", self.file).strip()
        mount = self.folder / "mnt"
        mount.mkdir()
        try:
            self.sh("mkfs.ext4", "-q", device)
            self.sh("mount", device, mount)
            try:
                (mount / "clip").write_bytes(b"pictures" * 1000)
                os.sync()
                self.assertEqual((mount / "clip").read_bytes(), b"pictures" * 1000)
            finally:
                self.sh("umount", mount)
            self.sh("e2fsck", "-fn", device)
        finally:
            self.sh("losetup", "-d", device)

    def sh(self, *command):
        return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=120).stdout
