"""From SIGKILL to mounted files: by how much is stored, and how much was committed since the last checkpoint."""

import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

from harness import Node, wait_for

STORED_MIB = (0, 256, 1024)
# Files synced before the kill; the log makes a checkpoint every 8 MiB by itself.
SYNCED = (0, 200, 1000)
DISK_MIB = 1024
CONFIG = '[store]\ndisk_size = "{}MiB"\n[recording]\nenabled = false\n[mount]\npath = "{}"\n'


def fill(mount, mib):
    chunk = os.urandom(1 << 20)
    for at in range(mib // 64):
        with open(mount / f"stored-{at}", "wb") as file:
            for _ in range(64):
                file.write(chunk)
            os.fsync(file.fileno())


def sync_some(mount, count):
    for at in range(count):
        with open(mount / "synced", "ab") as file:
            file.write(b"x" * 300)
            file.flush()
            os.fsync(file.fileno())


def answers(mount):
    """Whether the files are there; what the killed node left mounted has nobody behind it."""
    try:
        os.listdir(mount)
        return os.path.ismount(mount)
    except OSError:
        return False


def mounted(node, mount):
    """Seconds from the start of the program until the files can be listed."""
    before = time.monotonic()
    node.start(wait=False)
    while not answers(mount):
        time.sleep(0.002)
        if node.process.poll() is not None:
            raise RuntimeError(node.tail())
    return time.monotonic() - before


def run(options):
    result, figures = {}, []
    folder = Path(tempfile.mkdtemp(prefix="bench-killed-", dir="/var/tmp"))
    mount = folder / "mnt"
    mount.mkdir()
    (folder / "data").mkdir()
    node = Node(data=folder / "data", config=CONFIG.format(DISK_MIB, mount))
    try:
        node.start()
        wait_for("the mount", lambda: os.path.ismount(mount))
        stored = 0
        for mib in STORED_MIB:
            fill(mount, mib - stored)
            stored = mib
            for count in SYNCED:
                times, replayed = [], []
                for _ in range(options.rounds):
                    sync_some(mount, count)
                    node.process.send_signal(signal.SIGKILL)
                    node.process.wait()
                    times.append(mounted(node, mount))
                    node.wait_ready()
                    found = re.findall(r"recovered: (\d+) transactions", node.tail(60))
                    replayed.append(int(found[-1]) if found else 0)
                times.sort()
                median = times[len(times) // 2]
                figures.append([mib, count, median, max(times), max(replayed)])
                result[f"{mib} MiB stored, {count} syncs before: s median, longest"] = (
                    f"{median:.2f} {max(times):.2f} (up to {max(replayed)} transactions replayed)")
    finally:
        node.close()
        shutil.rmtree(folder, ignore_errors=True)
    return result | {"figures": figures}
