"""The mounted files against suites of others: pjdfstest (rules of POSIX), fsx (content, at random), fio (content, under
load), stress-ng (every call there is, in storms).

`make soak` installs all of them and gives them their full length; what is not there is skipped.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import LONG
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
    for name in ["mapread", "mapwrite", "truncate", "fsync", "fdatasync", "punch_hole", "posix_fallocate", "sendfile",
                 "copy_file_range", "posix_fadvise", "close_open", "invalidate"]
)
SEEDS, OPERATIONS = (20, 20_000) if LONG else (5, 3_000)

# Each writes its file at random with a checksum in every block, syncs now and then, and verifies all of it.
FIO = {
    "write calls": ["--ioengine=psync", "--rw=randwrite", "--bsrange=512-128k", "--fsync=64"],
    "memory": ["--ioengine=mmap", "--rw=randwrite", "--bs=4k", "--fsync=64"],
    "many at once": ["--ioengine=libaio", "--iodepth=16", "--rw=randrw", "--bs=4k"],
    "direct": ["--ioengine=psync", "--direct=1", "--rw=randwrite", "--bs=16k", "--fdatasync=16"],
}
FIO_SIZE = "64m" if LONG else "16m"

# A second of each at least; those that take long to clean up go on for longer anyway.
STRESS_SECONDS = 10 if LONG else 1
# Storms of calls that touch everything this file system does itself; the long run has the whole class.
STRESS_SOME = ["copy-file", "dentry", "fallocate", "flock", "fpunch", "link", "rename", "xattr"]


class Posix(MountTest):
    def configured(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False)
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    def check_the_store(self):
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report["problems"][:5])

    @unittest.skipUnless(shutil.which("pjdfstest") and os.geteuid() == 0, "needs pjdfstest, and root")
    def test_the_rules_of_posix(self):
        command = ["pjdfstest", "-c", self.configured(PJDFSTEST), "-p", self.mount]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        failed = [line for line in done.stdout.splitlines() if "FAILED" in line]
        self.assertEqual(done.returncode, 0, failed or done.stderr)

    @unittest.skipUnless(shutil.which("fsx"), "needs fsx")
    def test_content_at_random(self):
        first = int(os.environ.get("PEGASUS_SEED", "1")) % 1_000_000
        for seed in range(first, first + SEEDS):
            with self.subTest(seed=seed):
                command = ["fsx", "-f", self.configured(FSX), "-N", str(OPERATIONS), "-S", str(seed)]
                command += ["-P", str(Path(self.node.data)), str(self.mount / f"file{seed}")]
                done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
                self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-3000:])
        self.check_the_store()

    @unittest.skipUnless(shutil.which("fio"), "needs fio")
    def test_content_under_load(self):
        """What fio wrote is what it reads: at once, and again after a restart, from the disks."""
        for name in FIO:
            with self.subTest(how=name):
                self.fio(name)
        self.node.stop()
        self.start()
        for name in FIO:
            with self.subTest(again=name):
                self.fio(name, "--verify_only=1")
        self.check_the_store()

    def fio(self, name, *more):
        file = self.mount / name.replace(" ", "-")
        command = ["fio", f"--name={file.name}", f"--filename={file}", f"--size={FIO_SIZE}", "--verify=crc32c",
                   "--verify_fatal=1", "--verify_dump=0", "--do_verify=1", "--end_fsync=1", "--randseed=7",
                   "--allrandrepeat=1", *FIO[name], *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=self.node.data)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-2000:])

    @unittest.skipUnless(shutil.which("stress-ng"), "needs stress-ng")
    def test_storms(self):
        """No stressor fails here that does not fail on the file system of the machine."""
        every = subprocess.run(["stress-ng", "--class", "filesystem?"], capture_output=True, text=True, check=False)
        every = (every.stdout + every.stderr).split("stressors:")[1].split()
        self.assertLessEqual(set(STRESS_SOME), set(every))
        beside = tempfile.mkdtemp(prefix="pegasus-stress-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, beside, ignore_errors=True)
        tried = 0
        for name in every if LONG else STRESS_SOME:
            status, said = self.stress(name, self.mount)
            tried += status == 0
            if status == 0:
                continue
            there, _ = self.stress(name, beside)
            with self.subTest(stressor=name):
                self.assertNotEqual(there, 0, f"{name} ends with {status} here, with 0 beside: {said}")
            print(f"\n    {name}: {status} here, {there} beside ({said.strip().splitlines()[-1]})", end="", flush=True)
            self.assertIsNone(self.node.process.poll(), f"{name} ended the node")
        self.assertGreaterEqual(tried, len(STRESS_SOME), "hardly anything was tried")
        self.check_the_store()

    @staticmethod
    def stress(name, folder):
        command = ["stress-ng", f"--{name}", "2", "--temp-path", folder, "-t", f"{STRESS_SECONDS}s", "--verify"]
        done = subprocess.run(command, capture_output=True, timeout=300, check=False, cwd="/")
        said = (done.stdout + done.stderr).decode(errors="replace")
        return done.returncode, re.sub(r"stress-ng: (\w+): +\[\d+\] ", r"\1: ", said)


if __name__ == "__main__":
    unittest.main()
