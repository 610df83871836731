"""Disks whose every write and flush is logged, and disks that fail on time: qemu's storage daemon under a node.

The daemon shows each disk as a file. Below each a `blklogwrites` node keeps a log, in the format of dm-log-writes, of
what the disk was told. All these logs are slices of one device that is logged in the same way: its log has their
entries in the order in which they happened, over all disks.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

from harness import wait_for

GRAIN = 512  # of logs and torn writes
FLUSH, DISCARD = 1, 4
HEAD = struct.Struct("<QQQQ")  # sector, sectors, flags, length of data
LOG_BYTES = 4 << 30  # of each disk's log; sparse
ASIDE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pegasus-tools" / "qemu"


def daemon():
    """The program, installed or unpacked aside by `scripts/tools`; or None."""
    for program in (shutil.which("qemu-storage-daemon"), ASIDE / "usr" / "bin" / "qemu-storage-daemon"):
        if program and os.path.exists(program):
            works = subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
            if works:
                return str(program)
    return None


class Exported:
    """Disk images shown as files by the daemon, in `folder`; `export-N` is the file to use."""

    def __init__(self, folder, count, size_bytes):
        self.folder, self.count = Path(folder), count
        self.processes = []
        self.exports = [self.folder / f"export-{n}" for n in range(count)]
        self.images = [self.folder / f"image-{n}" for n in range(count)]
        self.log = self.folder / "order"
        for path, size in [*((image, size_bytes) for image in self.images), *((export, 0) for export in self.exports)]:
            with open(path, "ab") as file:
                file.truncate(size)

    def start_logged(self):
        """Shows disks whose writes are logged."""
        logs, socket = self.folder / "logs", self.folder / "logs.socket"
        for path in (logs, self.log):
            with open(path, "ab") as file:
                file.truncate(LOG_BYTES * self.count)
        # Slices of one device can't be logs in one process: each would want to be the only one to resize it.
        nodes = [f"driver=file,filename={logs},node-name=logs-file",
                 f"driver=file,filename={self.log},node-name=order-file",
                 "driver=raw,node-name=logs-raw,file=logs-file", "driver=raw,node-name=order-raw,file=order-file",
                 "driver=blklogwrites,node-name=logs,file=logs-raw,log=order-raw,log-sector-size=512,"
                 "log-super-update-interval=1"]
        nodes += [f"driver=raw,node-name=log{n},file=logs,offset={n * LOG_BYTES},size={LOG_BYTES}"
                  for n in range(self.count)]
        exports = [f"type=nbd,id=l{n},node-name=log{n},name=log{n},writable=on" for n in range(self.count)]
        self.run(nodes, exports, "--nbd-server", f"addr.type=unix,addr.path={socket}")
        wait_for("the logs", socket.exists)
        nodes = []
        for n in range(self.count):
            nodes += [f"driver=nbd,node-name=nbd{n},server.type=unix,server.path={socket},export=log{n}",
                      f"driver=raw,node-name=log{n},file=nbd{n}",
                      f"driver=file,filename={self.images[n]},node-name=file{n}",
                      f"driver=raw,node-name=raw{n},file=file{n}",
                      f"driver=blklogwrites,node-name=disk{n},file=raw{n},log=log{n},log-sector-size=512,"
                      "log-super-update-interval=1000000"]
        return self.start(nodes)

    def start_failing(self, bad, rules):
        """Shows disks of which number `bad` fails by `rules`, those of `blkdebug`."""
        nodes = []
        for n in range(self.count):
            nodes.append(f"driver=file,filename={self.images[n]},node-name=file{n}")
            below = f"file{n}"
            if n == bad:
                options = [f"inject-error.{at}.{key}={value}" for at, rule in enumerate(rules["inject-error"])
                           for key, value in rule.items()]
                options += [f"set-state.{at}.{key}={value}" for at, rule in enumerate(rules["set-state"])
                            for key, value in rule.items()]
                below = f"debug{n}"
                nodes.append(",".join([f"driver=blkdebug,node-name={below},image=file{n}", *options]))
            nodes.append(f"driver=raw,node-name=disk{n},file={below}")
        return self.start(nodes)

    def start(self, nodes):
        exports = [f"type=fuse,id=e{n},node-name=disk{n},mountpoint={self.exports[n]},writable=on"
                   for n in range(self.count)]
        process = self.run(nodes, exports)

        def shown():
            if process.poll() is not None:
                raise AssertionError("qemu-storage-daemon ended")
            return all(os.path.ismount(export) for export in self.exports)

        wait_for("the disks", shown, 20)
        return self

    def run(self, nodes, exports, *more):
        command = [daemon()]
        for node in nodes:
            command += ["--blockdev", node]
        command += more
        for export in exports:
            command += ["--export", export]
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return self.processes[-1]

    def stop(self):
        while self.processes:
            process = self.processes.pop()
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
        for export in self.exports:
            subprocess.run(["umount", "--lazy", export], capture_output=True, check=False)

    def position(self):
        """How many entries the log of all has; what was answered before is in them."""
        with open(self.log, "rb") as file:
            return struct.unpack("<QQQ", file.read(24))[2]

    def entries(self):
        """What the disks were told, in order: (position, disk, offset, where in the log, bytes); a flush has offset None."""
        found = []
        with open(self.log, "rb") as file:
            _, version, count, sector = struct.unpack("<QQQI", file.read(28))
            assert (version, sector) == (1, GRAIN), "a log of another kind"
            at = sector
            for position in range(count):
                file.seek(at)
                where, sectors, flags, _ = HEAD.unpack(file.read(HEAD.size))
                at += sector
                disk, within = divmod(where * GRAIN, LOG_BYTES)
                # A slice's first sector is its log's head; a flush of the logs is none of a disk.
                if sectors and within and not flags & DISCARD:
                    file.seek(at)
                    offset, length, told, _ = HEAD.unpack(file.read(HEAD.size))
                    assert not told & DISCARD, "nothing is discarded"
                    assert (length + 1) * GRAIN == sectors * GRAIN, "an entry is written at once"
                    if length:
                        found.append((position, disk, offset * GRAIN, at + GRAIN, length * GRAIN))
                    if told & FLUSH:
                        found.append((position, disk, None, 0, 0))
                at += sectors * sector
        return found


class Replay:
    """Brings disks to what a power cut could have left of them, from one cut to the next."""

    def __init__(self, exported, folder, size_bytes, chance):
        self.entries, self.log, self.chance = exported.entries(), open(exported.log, "rb"), chance
        self.next = 0
        self.pending = [[] for _ in range(exported.count)]
        self.durable = [Path(folder) / f"durable-{n}" for n in range(exported.count)]
        for path in self.durable:
            with open(path, "wb") as file:
                file.truncate(size_bytes)

    def close(self):
        self.log.close()

    def data(self, entry):
        self.log.seek(entry[3])
        return self.log.read(entry[4])

    def forward(self, count):
        """Takes in the first `count` entries; what was flushed is there for good. The position reached."""
        for entry in self.entries[self.next : count]:
            if entry[2] is not None:
                self.pending[entry[1]].append(entry)
                continue
            with open(self.durable[entry[1]], "r+b") as file:
                for write in self.pending[entry[1]]:
                    file.seek(write[2])
                    file.write(self.data(write))
            self.pending[entry[1]].clear()
        self.next = max(self.next, count)
        return self.entries[self.next - 1][0]

    def cut(self, paths, how):
        """Puts the disks as the cut left them at `paths`. `how`: "whole" (all that was told), "none" (what was not
        flushed is missing), "torn" (of what was not flushed any sectors are there, in any order)."""
        for disk, path in enumerate(paths):
            subprocess.run(["cp", "--sparse=always", self.durable[disk], path], check=True)
            writes = list(self.pending[disk]) if how != "none" else []
            if how == "torn":
                self.chance.shuffle(writes)
            with open(path, "r+b") as file:
                for write in writes:
                    data = self.data(write)
                    for at, end in self.parts(len(data)) if how == "torn" else [(0, len(data))]:
                        file.seek(write[2] + at)
                        file.write(data[at:end])

    def parts(self, length):
        """What of a write arrives: all, nothing, or any of its sectors."""
        kind = self.chance.random()
        if kind < 0.6:
            return [(0, length)] if kind < 0.3 else []
        grain = self.chance.choice([GRAIN, 4096])
        return [(at, at + grain) for at in range(0, length, grain) if self.chance.random() < 0.5]


def failing(after_writes, *kinds):
    """Rules by which a disk does as it is told until so many writes, and then fails at these kinds of request for ever."""
    count = [{"event": "write_aio", "state": n, "new_state": n + 1} for n in range(1, after_writes)]
    errors = [{"event": "write_aio", "state": after_writes, "iotype": kind, "errno": 5, "once": "off"} for kind in kinds]
    return {"set-state": count, "inject-error": errors}
