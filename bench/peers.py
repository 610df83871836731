"""File systems to measure, each mounted at a folder: Pegasus, and what people use or could."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from harness import Node, wait_for

DISKS = 5


def run(*command, check=True):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout} {done.stderr}")
    return done.stdout.strip()


def forget(folder):
    """Has the kernel forget what it has of the files below a folder."""
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


class Peer:
    """One file system in a folder of its own, with `mount` as its root."""

    name = ""
    # What it takes; without it, it is left out.
    programs = ()
    # Whether one of what it is made of may be lost.
    redundant = False

    def __init__(self, folder, mib):
        self.folder, self.mib = Path(folder) / self.name.replace(" ", "-"), mib
        self.mount = self.folder / "mnt"
        self.mount.mkdir(parents=True)
        self.backing = self.folder / "backing"
        self.backing.mkdir()

    @classmethod
    def is_there(cls):
        return all(shutil.which(program) for program in cls.programs)

    def start(self):
        raise NotImplementedError

    def cold(self):
        """Nothing of what was written is in memory any more."""
        forget(self.backing)

    def stop(self):
        run("umount", self.mount, check=False)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pegasus(Peer):
    name = "pegasus"
    redundant = True

    def start(self):
        config = (f'[store]\ndisk_size = "{max(512, self.mib * 6 // (DISKS - 1))}MiB"\n[recording]\nenabled = false\n'
                  f'[retention]\nshare_percent = 20\n[mount]\npath = "{self.mount}"\nallow_other = true\n')
        self.node = Node(data=self.backing, config=config)
        self.node.start()
        wait_for("the mount", lambda: os.path.ismount(self.mount))
        return self

    def lose_one(self):
        (self.backing / "disk2").unlink()
        wait_for("the loss", lambda: self.states().count("ok") == DISKS - 1, 60)

    def states(self):
        return [disk["state"] for disk in self.node.cli("status")["store"]["disks"]]

    def stop(self):
        self.node.stop()


class Gluster(Peer):
    """4 + 1 dispersed, its bricks in one folder, in a network of its own."""

    name = "gluster 4+1"
    programs = ("glusterd", "gluster", "glusterfs", "ip", "nsenter")
    redundant = True
    address, space = "10.123.0.1", "pegasus-bench"

    def start(self):
        run("ip", "netns", "add", self.space)
        self.inside = ["nsenter", f"--net=/var/run/netns/{self.space}"]
        run(*self.inside, "ip", "link", "set", "lo", "up")
        run(*self.inside, "ip", "addr", "add", f"{self.address}/32", "dev", "lo")
        # Its state stays in the folder: what the machine may have of it is neither read nor changed.
        binds = ""
        for place, own in [("/var/lib/glusterd", "state"), ("/var/log/glusterfs", "log"), ("/var/run/gluster", "run")]:
            (self.folder / own).mkdir()
            binds += f"mkdir -p {place}; mount --bind {self.folder / own} {place}; "
        command = [*self.inside, "unshare", "--mount", "--propagation", "slave", "sh", "-c",
                   binds + "exec glusterd --no-daemon"]
        self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        self.bricks = [self.backing / f"brick{n}" for n in range(DISKS)]
        for brick in self.bricks:
            brick.mkdir()
        wait_for("glusterd", lambda: self.gluster("peer", "status", check=False).startswith("Number"), 60)
        bricks = [f"{self.address}:{brick}" for brick in self.bricks]
        self.gluster("volume", "create", "bench", "disperse", str(DISKS), "redundancy", "1", *bricks, "force")
        self.gluster("volume", "start", "bench")
        run(*self.inside, "glusterfs", f"--volfile-server={self.address}", "--volfile-id=/bench", self.mount)
        wait_for("gluster's mount", lambda: os.path.ismount(self.mount), 60)
        # Until all bricks are connected, writes miss some of them.
        wait_for("all bricks", self.all_bricks, 60, 0.5)
        return self

    def gluster(self, *args, check=True):
        space = f"--mount=/proc/{self.daemon.pid}/ns/mnt"
        return run(*self.inside, space, "gluster", "--mode=script", *args, check=check)

    def all_bricks(self):
        probe = self.mount / "probe"
        probe.write_bytes(b"x" * 4096)
        return all((brick / "probe").exists() and (brick / "probe").stat().st_size for brick in self.bricks)

    def lose_one(self):
        for pid in run("ip", "netns", "pids", self.space).split():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if command[0].endswith(b"glusterfsd") and str(self.bricks[2]).encode() in command:
                os.kill(int(pid), 9)
        time.sleep(2)

    def stop(self):
        run("umount", "--lazy", self.mount, check=False)
        for pid in run("ip", "netns", "pids", self.space, check=False).split():
            run("kill", "-9", pid, check=False)
        self.daemon.wait(30)
        run("ip", "netns", "del", self.space, check=False)


class Loop(Peer):
    """A file system of the kernel on a file."""

    make = ()

    def start(self):
        image = self.backing / "image"
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(512, self.mib * 3) << 20)
        self.device = run("losetup", "--find", "--show", "--direct-io=on", image)
        run(*self.make, self.device)
        run("mount", self.device, self.mount)
        return self

    def cold(self):
        run("umount", self.mount)
        run("mount", self.device, self.mount)
        forget(self.backing)

    def stop(self):
        super().stop()
        run("losetup", "--detach", self.device, check=False)


class Ext4(Loop):
    name = "ext4 on loop"
    programs = ("losetup", "mkfs.ext4")
    make = ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0")


class Btrfs(Loop):
    name = "btrfs on loop"
    programs = ("losetup", "mkfs.btrfs")
    make = ("mkfs.btrfs", "-q", "-f")


class Passthrough(Peer):
    """FUSE with nothing behind it but a folder, in a program made for it: what the kernel's way through one costs."""

    name = "fuse passthrough"
    programs = ("mergerfs",)

    def start(self):
        run("mergerfs", "-o", "cache.files=off,fsname=bare", self.backing, self.mount)
        return self


ALL = (Pegasus, Gluster, Passthrough, Ext4, Btrfs)
