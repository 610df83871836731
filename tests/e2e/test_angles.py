"""Recordings under the console's transport, alone and nine on one clock; screenshots stay in tests/artifacts/console."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import ROOT, Node, NodeTest, ffmpeg, wait_for

ANGLES = 9
RATE = 25
SECONDS = 20
SHORT = 12
SIZE = (480, 270)
BITS = 12


def filters(angle):
    """Draws over the picture which camera this is, and the frame's number: for people, and in black and white blocks."""
    block = SIZE[0] // 30
    bits = [
        f"drawbox=x={block * bit}:y=0:w={block}:h={block}:color=white:t=fill:enable='gt(bitand(n\\,{1 << bit})\\,0)'"
        for bit in range(BITS)
    ]
    name = f"drawtext=text='camera {angle}  %{{n}}':fontsize=28:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=6:x=16:y=220"
    black = f"drawbox=x=0:y=0:w={block * BITS}:h={block}:color=black:t=fill"
    return ",".join([f"hue=h={angle * 40}", name, black, *bits])


# Disks that bear the nine and some more, so that a handful of others make the node refuse.
PROFILE = """capacity_bytes = 536870912
rotation_ms = 0.0
overhead_ms = 0.1
seek = [[0, 0.0]]
zones = [{ cylinders = 1, rate_bps = 1000000000 }]
"""


class Angles(NodeTest):
    def setUp(self):
        self.node = Node(config='[store]\ndisk_size = "512MiB"\n[playback]\nprofile = "disk.toml"\n')
        (self.node.data / "disk.toml").write_text(PROFILE)
        self.node.start()
        self.addCleanup(self.finish)

    def test_journeys(self):
        with tempfile.TemporaryDirectory() as folder:
            self.publish(self.clips(Path(folder)))
        done = subprocess.run(
            ["node", ROOT / "tests" / "console" / "angles.mjs", self.node.http],
            capture_output=True,
            text=True,
            timeout=400,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def clips(self, folder):
        """A clip for each angle; a key picture each second. The last is shorter."""
        width, height = SIZE
        paths = []
        for angle in range(1, ANGLES + 1):
            path = folder / f"{angle}.mp4"
            seconds = SHORT if angle == ANGLES else SECONDS
            source = f"testsrc2=size={width}x{height}:rate={RATE}:duration={seconds}"
            encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", RATE, "-keyint_min", RATE]
            ffmpeg("-f", "lavfi", "-i", source, "-vf", filters(angle), *encoder, "-y", path)
            paths.append(path)
        return paths

    def publish(self, paths):
        """All at once, from one program with one clock, and until all is recorded."""
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error"]
        for path in paths:
            command += ["-re", "-i", str(path)]
        for index in range(len(paths)):
            command += ["-map", str(index), "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp"]
            command.append(f"{self.node.rtsp}/yard/{index + 1}")
        subprocess.run(command, check=True, timeout=120)
        frames = [SECONDS * RATE] * (ANGLES - 1) + [SHORT * RATE]
        for index, count in enumerate(frames):
            name = f"/yard/{index + 1}"
            wait_for(f"all of {name}", lambda: sum(s["units"] for s in self.node.spans(name)) == count)


if __name__ == "__main__":
    unittest.main()
