"""The console's journeys in a real browser; screenshots stay in tests/artifacts/console."""

import subprocess
import time
import unittest

from harness import CLIPS, ROOT, NodeTest, publish, wait_for


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
        done = subprocess.run(
            ["node", ROOT / "tests" / "console" / "journeys.mjs", self.node.http],
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
