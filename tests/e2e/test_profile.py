"""What a disk can do is measured, and nothing is left behind or changed."""

import hashlib
import json
import os
import subprocess
import tempfile
import tomllib
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

from harness import BINARY, NodeTest

MIB = 1 << 20


def profile(*args):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=120)


class Profile(unittest.TestCase):
    def setUp(self):
        # Not in /tmp, which is often memory.
        self.folder = tempfile.TemporaryDirectory(dir=BINARY.parent)
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)

    def measured(self, *args):
        done = profile("disk", "profile", "--time", "1s", "--scratch", "32MiB", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, *args):
        done = profile("disk", "profile", "--time", "1s", *args)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((done.stdout, len(done.stderr.strip().splitlines())), ("", 1), done.stderr)
        return done.stderr

    def assert_sound(self, found, size):
        self.assertEqual(found["capacity_bytes"], size)
        self.assertTrue(found["zones"] and all(zone["rate_bps"] > 1e6 for zone in found["zones"]))
        self.assertEqual(found["seek"][0], [0, 0.0])
        self.assertEqual([queue["depth"] for queue in found["queue"]], [1, 2, 4, 8, 16, 32])
        self.assertEqual([times["block_bytes"] for times in found["service"]], [1 << bits for bits in (12, 16, 18, 20, 22)])
        for times in found["service"]:
            self.assertTrue(0 < times["p50_ms"] <= times["p99_ms"] <= times["p999_ms"], times)

    def test_a_folder_is_measured_and_left_empty(self):
        done = self.measured(self.path)
        self.assert_sound(tomllib.loads(done.stdout), 32 * MIB)
        self.assertIn("scratch file", done.stderr)
        self.assertEqual(list(self.path.iterdir()), [])

    def test_file_and_json_say_the_same(self):
        toml, svg = self.path / "found.toml", self.path / "found.svg"
        done = self.measured(self.path, "--json", "-o", toml, "--plot", svg)
        report = json.loads(done.stdout)
        self.assertEqual((report["kind"], report["failed_reads"]), ("folder", 0))
        self.assertEqual(report["profile"], tomllib.loads(toml.read_text()))
        self.assertTrue(xml.parse(svg).getroot().tag.endswith("svg"))
        self.assertEqual({path.name for path in self.path.iterdir()}, {toml.name, svg.name})
        self.assertIn("--force", self.refused(self.path, "-o", toml))
        people = self.measured(self.path, "-o", toml, "--force").stdout
        for words in ("ZONE", "MB/s", "READS AT ONCE", "P99.9"):
            self.assertIn(words, people)

    def test_a_file_is_measured_and_not_changed(self):
        path = self.path / "file"
        data = os.urandom(24 * MIB)
        path.write_bytes(data)
        with open(path) as file:
            os.fsync(file)
        before = path.stat()
        report = json.loads(self.measured(path, "--json").stdout)
        self.assert_sound(report["profile"], 24 * MIB)
        self.assertEqual((report["kind"], report["data_bytes"]), ("file", 24 * MIB))
        after = path.stat()
        self.assertEqual((before.st_mtime_ns, before.st_ctime_ns), (after.st_mtime_ns, after.st_ctime_ns))
        self.assertEqual(hashlib.sha256(path.read_bytes()).digest(), hashlib.sha256(data).digest())

    def test_what_can_not_be_measured_is_refused_in_a_sentence(self):
        self.assertIn("No such file", self.refused(self.path / "none"))
        self.assertIn("neither a regular file nor a block device", self.refused("/dev/null"))
        small = self.path / "small"
        small.write_bytes(b"x" * MIB)
        self.assertIn("4194304 are needed", self.refused(small))
        holes = self.path / "holes"
        with open(holes, "wb") as file:
            file.truncate(64 * MIB)
        if holes.stat().st_blocks == 0:
            self.assertIn("sparse", self.refused(holes))
        self.assertIn("no such folder", self.refused(self.path, "-o", self.path / "none" / "found.toml"))
        self.assertIn("is no time", profile("disk", "profile", self.path, "--time", "soon").stderr)
        if os.geteuid() != 0:
            os.chmod(small, 0)
            self.assertIn("may not be read", self.refused(small))


class Beside(NodeTest):
    options = {"cameras": True}

    def test_a_running_nodes_disk_is_measured_and_the_node_goes_on(self):
        disk = self.node.data / "disk0"
        done = profile("disk", "profile", "--time", "1s", "--json", disk)
        # What the node has not written yet is no data; too little of it is a sentence, not a profile.
        self.assertTrue(done.returncode == 0 or "sparse" in done.stderr, done.stderr)
        self.assertEqual([row["state"] for row in self.node.cli("status")["store"]["disks"]], ["ok"] * 5)
        self.node.stop()
        self.assertTrue(self.node.check()["ok"])


if __name__ == "__main__":
    unittest.main()
