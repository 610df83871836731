"""What a program was told is durable is there, whenever the node is killed."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

from harness import wait_for
from test_files import MountTest, unmount

ROUNDS = int(os.environ.get("PEGASUS_KILLS", "10"))

# Makes files of any length, says of each that it is durable when it is, and goes on until the mount is gone.
WRITER = """
import os, random, sys
folder, first = sys.argv[1], int(sys.argv[2])
chance = random.Random(first)
parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
for at in range(first, first + 100000):
    data = random.Random(at).randbytes(chance.choice([0, 1, 100, 5000, 70000, 300000]))
    file = os.open(os.path.join(folder, f"new-{at}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, data)
    os.fsync(file)
    os.close(file)
    os.rename(os.path.join(folder, f"new-{at}"), os.path.join(folder, f"kept-{at}"))
    os.fsync(parent)
    print(at, len(data), flush=True)
"""


class Durable(MountTest):
    def test_every_name_that_was_synced_outlives_kills(self):
        """Writers at full speed, the node killed at any moment: nothing they were answered for is missing."""
        chance = random.Random(int(os.environ.get("PEGASUS_SEED", "1")))
        kept, kills = {}, 0
        for number in range(ROUNDS):
            folder = self.mount / f"round-{number % 3}"
            folder.mkdir(exist_ok=True)
            first = number * 1_000_000
            command = [sys.executable, "-c", WRITER, str(folder), str(first)]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.addCleanup(writer.kill)
            lines = [writer.stdout.readline()]  # it has begun
            time.sleep(chance.uniform(0.0, 0.8))
            self.assertIsNone(self.node.process.poll(), "the node was still alive")
            self.node.process.send_signal(signal.SIGKILL)
            self.node.process.wait(30)
            kills += 1
            unmount(self.mount)
            lines += writer.stdout.read().splitlines()
            writer.wait(30)
            answered = dict(map(int, line.split()) for line in lines if line.strip())
            self.assertTrue(answered, "nothing was written")
            kept.update({(folder.name, at): length for at, length in answered.items()})
            self.start()
            self.check(kept if number % 10 == 9 or number + 1 == ROUNDS else {
                key: length for key, length in kept.items() if key[1] >= first
            })
            if len(kept) > 3_000:
                kept = self.make_room(kept)
        self.assertEqual(kills, ROUNDS)
        self.node.stop()
        self.assertTrue(self.node.check()["ok"])

    def check(self, kept):
        for (folder, at), length in kept.items():
            path = self.mount / folder / f"kept-{at}"
            self.assertTrue(path.exists(), f"{path} was synced and is gone")
            wanted = hashlib.sha256(random.Random(at).randbytes(length)).digest()
            self.assertEqual(hashlib.sha256(path.read_bytes()).digest(), wanted, f"{path} differs")

    def make_room(self, kept):
        """Deletes the older half; what is deleted and synced stays deleted, too."""
        older = list(kept)[: len(kept) // 2]
        for folder, at in older:
            (self.mount / folder / f"kept-{at}").unlink()
        os.sync()
        return {key: length for key, length in kept.items() if key not in set(older)}
