"""The console's journeys in a real browser; screenshots stay in tests/artifacts/console."""

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from harness import CLIPS, ROOT, Node, NodeTest, publish, wait_for
from test_files import can_mount, unmount


def journeys(name, node):
    """Runs tests/console/NAME against a node; its exit code and what it said."""
    command = ["node", ROOT / "tests" / "console" / name, node.http]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    print(done.stdout)
    return done.returncode, done.stdout + done.stderr


class Console(NodeTest):
    options = {"cameras": True}

    def test_journeys(self):
        first = publish(self.node.rtsp + "/cam/door", CLIPS["car"], extra=["-c", "copy", "-t", "8"])
        first.communicate(timeout=60)
        time.sleep(2)
        live = publish(self.node.rtsp + "/cam/door", CLIPS["car"], loop=-1)
        self.addCleanup(live.wait)
        self.addCleanup(live.kill)
        wait_for("two spans", lambda: len(self.node.spans("/cam/door")) == 2, 30)
        code, said = journeys("journeys.mjs", self.node)
        self.assertEqual(code, 0, said)


# Disks that a few playbacks fill by a share that can be seen.
PROFILE = """capacity_bytes = 268435456
rotation_ms = 0.0
overhead_ms = 2.0
seek = [[0, 0.0]]
zones = [{ cylinders = 1, rate_bps = 200000000 }]
"""


class Store(NodeTest):
    """The store's page, with playbacks promised; and files mounted, where that can be done."""

    def setUp(self):
        config = '[store]\ndisk_size = "256MiB"\n[playback]\nprofile = "disk.toml"\n'
        if can_mount():
            self.mount = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
            self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)
            self.addCleanup(unmount, self.mount)
            config += f'[mount]\npath = "{self.mount}"\n'
        self.node = Node(config=config, cameras=True)
        (self.node.data / "disk.toml").write_text(PROFILE)
        self.addCleanup(self.finish)
        self.node.start()

    def test_journeys(self):
        if can_mount():
            wait_for("the mount", lambda: os.path.ismount(self.mount))
            (self.mount / "projects").mkdir()
            for number in range(40):
                (self.mount / "projects" / f"{number}").write_bytes(bytes(70_000))
        publish(self.node.rtsp + "/cam/door", CLIPS["car"], extra=["-c", "copy", "-t", "10"]).communicate(timeout=60)
        wait_for("a recording", lambda: self.node.spans("/cam/door"))
        wait_for("promises", lambda: self.node.get("/api/v1/playbacks")["guaranteed"])
        code, said = journeys("store.mjs", self.node)
        self.assertEqual(code, 0, said)


if __name__ == "__main__":
    unittest.main()
