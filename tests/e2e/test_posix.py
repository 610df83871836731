"""The mounted files against two suites of others: pjdfstest (rules of POSIX) and fsx (content, at random).

`make soak` installs both; without them these tests are skipped.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from test_files import MountTest

PJDFSTEST = """
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.1
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""
FSX = "flen = 262144\n[weights]\n" + "".join(
    f"{name} = 1\n"
    for name in ["truncate", "fsync", "fdatasync", "punch_hole", "posix_fallocate", "sendfile",
                 "copy_file_range", "posix_fadvise", "close_open", "invalidate"]
)


class Posix(MountTest):
    def configured(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False)
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    @unittest.skipUnless(shutil.which("pjdfstest") and os.geteuid() == 0, "needs pjdfstest, and root")
    def test_the_rules_of_posix(self):
        command = ["pjdfstest", "-c", self.configured(PJDFSTEST), "-p", self.mount]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        failed = [line for line in done.stdout.splitlines() if "FAILED" in line]
        self.assertEqual(done.returncode, 0, failed or done.stderr)

    @unittest.skipUnless(shutil.which("fsx"), "needs fsx")
    def test_content_at_random(self):
        first = int(os.environ.get("PEGASUS_SEED", "1")) % 1_000_000
        for seed in range(first, first + 5):
            with self.subTest(seed=seed):
                command = ["fsx", "-f", self.configured(FSX), "-N", "3000", "-S", str(seed)]
                command += ["-P", str(Path(self.node.data)), str(self.mount / f"file{seed}")]
                done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
                self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-3000:])


if __name__ == "__main__":
    unittest.main()
