"""The mounted files: copied trees, databases, `kill -9`, and what is there afterwards."""

import contextlib
import errno
import fcntl
import filecmp
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest
from datetime import datetime, timezone
from pathlib import Path

from harness import BINARY, CLIPS, ROOT, CommandFailed, Node, frame_hashes, probe, publish, wait_for

CONFIG = '[store]\ndisk_size = "256MiB"\n[recording]\nenabled = false\n[mount]\npath = "{}"\nallow_other = true\n'


def can_mount():
    return os.path.exists("/dev/fuse") and (os.geteuid() == 0 or shutil.which("fusermount3"))


def unmount(path):
    subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)


def same(left, right):
    """Whether two trees have the same names and bytes; what differs."""
    found = filecmp.dircmp(left, right, ignore=[])
    wrong = found.left_only + found.right_only + found.funny_files
    _, differ, errors = filecmp.cmpfiles(left, right, found.common_files, shallow=False)
    wrong += differ + errors
    for name in found.common_dirs:
        wrong += same(Path(left) / name, Path(right) / name)
    return wrong


@unittest.skipUnless(can_mount(), "needs /dev/fuse, and root or fusermount3")
class MountTest(unittest.TestCase):
    """A test with a node of its own and its files mounted."""

    def setUp(self):
        self.mount = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.node = Node(config=CONFIG.format(self.mount))
        self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)
        self.addCleanup(unmount, self.mount)
        self.addCleanup(self.node.close)
        self.start()

    def start(self):
        self.node.start()
        wait_for("the mount", lambda: os.path.ismount(self.mount))


class Files(MountTest):
    def test_a_tree_copied_there_is_the_same_after_a_restart(self):
        shutil.copytree(ROOT / "crates", self.mount / "crates", symlinks=True)
        self.assertEqual(same(ROOT / "crates", self.mount / "crates"), [])
        self.node.stop()
        self.assertFalse(os.path.ismount(self.mount))
        self.assertTrue(self.node.check()["ok"])
        self.start()
        self.assertEqual(same(ROOT / "crates", self.mount / "crates"), [])
        shutil.rmtree(self.mount / "crates")
        self.assertEqual(os.listdir(self.mount), ["streams"])

    def test_what_was_synced_is_there_after_a_kill(self):
        chance = random.Random(int(os.environ.get("PEGASUS_SEED", "1")))
        kept = {}
        for round_number in range(3):
            for at in range(chance.randint(5, 40)):
                name, text = f"{round_number}-{at}", os.urandom(chance.randint(1, 50_000))
                with open(self.mount / name, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                kept[name] = text
                (self.mount / f"later-{name}").write_bytes(b"nobody asked for this to be durable")
            self.node.kill()
            report = self.node.check()
            self.assertTrue(report["ok"], f"round {round_number}: {report['problems'][:5]}")
            self.start()
            for name, text in kept.items():
                self.assertEqual((self.mount / name).read_bytes(), text, f"round {round_number}: {name}")

    def test_a_database_is_whole_after_a_kill(self):
        path = self.mount / "db"
        done = 0
        for _ in range(2):
            database = sqlite3.connect(path)
            # A commit is durable once its journal is gone durably: that is what "extra" waits for.
            database.execute("pragma synchronous = extra")
            database.execute("create table if not exists t (n integer primary key, text blob)")
            for _ in range(20):
                database.execute("insert into t values (?, ?)", (done, os.urandom(3000)))
                database.commit()
                done += 1
            database.execute("insert into t values (?, ?)", (-1, b"not committed"))
            self.node.kill()
            database.close()
            self.start()
            database = sqlite3.connect(path)
            self.assertEqual(database.execute("pragma integrity_check").fetchall(), [("ok",)])
            rows = database.execute("select count(*), max(n) from t").fetchone()
            self.assertEqual(rows, (done, done - 1))
            database.close()

    @unittest.skipUnless(shutil.which("fallocate"), "needs fallocate")
    def test_holes_are_found_and_kept_by_copies(self):
        block, file = 16 << 10, self.mount / "sparse"
        data = os.urandom(64 * block)
        file.write_bytes(data)
        subprocess.run(["fallocate", "-p", "-o", str(8 * block), "-l", str(40 * block), file], check=True)
        subprocess.run(["sync", file], check=True)
        wanted = data[: 8 * block] + bytes(40 * block) + data[48 * block :]
        self.assertEqual(file.read_bytes(), wanted)
        with open(file, "rb") as opened, open(self.mount / "copy", "wb") as copy:
            self.assertEqual(os.lseek(opened.fileno(), 0, os.SEEK_HOLE), 8 * block)
            self.assertEqual(os.lseek(opened.fileno(), 8 * block, os.SEEK_DATA), 48 * block)
            self.assertEqual(os.copy_file_range(opened.fileno(), copy.fileno(), len(data), 0, 0), len(data))
            self.assertEqual(os.lseek(copy.fileno(), 0, os.SEEK_HOLE), 8 * block)
        self.assertEqual((self.mount / "copy").read_bytes(), wanted)

    def free(self):
        room = os.statvfs(self.mount)
        return room.f_bavail * room.f_frsize

    def settle(self):
        subprocess.run(["sync", self.mount], check=True)

    def test_a_copy_takes_no_room(self):
        size = 24 << 20
        data = os.urandom(size + 777)
        (self.mount / "from").write_bytes(data)
        self.settle()
        before = self.free()
        subprocess.run(["cp", self.mount / "from", self.mount / "to"], check=True)
        self.settle()
        self.assertLess(before - self.free(), 1 << 20)
        with open(self.mount / "from", "r+b") as file:
            file.seek(5 << 20)
            file.write(b"changed")
        self.assertEqual((self.mount / "to").read_bytes(), data)
        self.node.kill()
        self.assertEqual(self.node.check()["problems"], [])
        self.start()
        self.assertEqual((self.mount / "to").read_bytes(), data)

    def test_a_snapshot_keeps_a_tree_that_is_removed(self):
        saved = Path(tempfile.mkdtemp(prefix="pegasus-saved-"))
        self.addCleanup(shutil.rmtree, saved, ignore_errors=True)
        shutil.copytree(ROOT / "crates" / "store", saved / "tree", symlinks=True)
        (saved / "tree" / "large").write_bytes(os.urandom(8 << 20))
        shutil.copytree(saved / "tree", self.mount / "tree", symlinks=True)
        made = self.node.cli("snapshot", "create", "whole")
        self.assertEqual(made["name"], "whole")
        self.assertIn("already", self.refused("snapshot", "create", "whole"))
        past = self.mount / ".snapshots" / "whole"

        def is_whole():
            return subprocess.run(["diff", "-r", saved / "tree", past / "tree"], check=False).returncode == 0

        self.assertTrue(is_whole())
        (self.mount / "tree" / "log" / "Cargo.toml").write_text("not what it was", encoding="utf-8")
        with open(self.mount / "tree" / "large", "r+b") as file:
            file.seek(1 << 20)
            file.write(b"not what it was")
        self.node.command("snapshot", "create", "later")
        self.assertTrue(is_whole())
        self.node.kill()
        self.assertEqual(self.node.check()["problems"], [])
        self.start()
        self.assertTrue(is_whole())
        shutil.rmtree(self.mount / "tree")
        self.assertEqual(os.listdir(self.mount), ["streams"])
        self.assertEqual(os.listdir(self.mount / ".snapshots"), ["whole", "later"])
        self.assertTrue(is_whole())
        self.settle()
        self.node.kill()
        self.start()
        self.assertTrue(is_whole())
        for change in [
            lambda: (past / "tree" / "large").write_bytes(b"x"),
            lambda: (past / "tree" / "large").unlink(),
            lambda: (past / "new").mkdir(),
            lambda: (past / "tree").rename(self.mount / "mine"),
            lambda: (self.mount / ".snapshots" / "new").mkdir(),
            lambda: (self.mount / ".snapshots").rmdir(),
            lambda: os.chmod(past / "tree" / "large", 0),
        ]:
            with self.assertRaises(OSError):
                change()
        subprocess.run(["cp", past / "tree" / "large", self.mount / "back"], check=True)
        self.assertEqual((self.mount / "back").read_bytes(), (saved / "tree" / "large").read_bytes())
        (self.mount / "back").unlink()
        self.assertEqual([one["name"] for one in self.node.cli("snapshot", "list")], ["whole", "later"])
        self.assertEqual(self.node.cli("status")["files"]["snapshots"], 2)
        self.node.command("snapshot", "remove", "whole")
        self.assertIn("no snapshot", self.refused("snapshot", "remove", "whole"))
        # The kernel keeps names for a second.
        wait_for("the name to go", lambda: not past.exists(), 5)
        self.assertTrue((self.mount / ".snapshots" / "later" / "tree" / "large").exists())
        self.node.stop()
        self.start()
        kept = self.free()
        self.node.command("snapshot", "remove", "later")
        self.assertEqual(os.listdir(self.mount / ".snapshots"), [])
        self.node.stop()
        self.assertEqual(self.node.check()["problems"], [])
        self.start()
        self.assertGreater(self.free() - kept, 2 << 20)

    def refused(self, *args):
        with self.assertRaises(CommandFailed) as refused:
            self.node.command(*args)
        return str(refused.exception)

    def quota(self):
        (quota,) = self.node.cli("quota", "list")
        return quota

    def test_a_quota_is_a_limit_for_programs(self):
        tree = self.mount / "tree"
        (tree / "below").mkdir(parents=True)
        (tree / "below" / "there").write_bytes(os.urandom(300_000))
        (self.mount / "outside").write_bytes(b"not in it")
        self.assertIn("no directory", self.refused("quota", "set", "/nowhere", "--bytes", "1MiB"))
        self.assertIn("no quota", self.refused("quota", "remove", "/tree"))
        # On what is there already, by its path at the mount.
        set_at = self.node.cli("quota", "set", tree, "--bytes", "1MiB", "--files", "5")
        self.assertEqual(set_at, self.quota())
        self.assertEqual((set_at["path"], set_at["used_bytes"], set_at["used_files"]), ("/tree", 300_000, 3))
        self.assertIn("above it", self.refused("quota", "set", "/tree/below", "--bytes", "1MiB"))
        self.assertIn("in it", self.refused("quota", "set", "/", "--bytes", "1MiB"))
        room = os.statvfs(tree / "below")
        self.assertEqual(room.f_blocks * room.f_frsize, 1 << 20)
        self.assertEqual(room.f_bavail, ((1 << 20) - 300_000) // room.f_frsize)
        self.assertEqual((room.f_files, room.f_favail), (5, 2))
        self.assertGreater(os.statvfs(self.mount).f_blocks * room.f_frsize, 100 << 20)

        size = 171 * 4096  # whole pages: the kernel would ask for the rest of one first, and be allowed
        with open(tree / "file", "wb", buffering=0) as file:
            self.assertEqual(file.write(b"x" * size), size)
            for grow in [lambda: file.write(b"x" * 100_000), lambda: os.truncate(file.fileno(), 800_000),
                         lambda: os.posix_fallocate(file.fileno(), 0, 800_000)]:
                with self.assertRaises(OSError) as refused:
                    grow()
                self.assertEqual(refused.exception.errno, errno.EDQUOT)
            self.assertEqual(os.fstat(file.fileno()).st_size, size)
        (tree / "fifth").touch()
        for make in [(tree / "sixth").touch, (tree / "sixth").mkdir, lambda: (tree / "sixth").symlink_to("x")]:
            with self.assertRaises(OSError) as refused:
                make()
            self.assertEqual(refused.exception.errno, errno.EDQUOT)
        # Names stay on their side; mv copies.
        for move in [lambda: os.rename(tree / "file", self.mount / "file"),
                     lambda: os.rename(self.mount / "outside", tree / "fifth"),
                     lambda: os.link(self.mount / "outside", tree / "x")]:
            with self.assertRaises(OSError) as refused:
                move()
            self.assertEqual(refused.exception.errno, errno.EXDEV)
        subprocess.run(["mv", tree / "file", self.mount / "file"], check=True)
        self.assertEqual((self.mount / "file").read_bytes(), b"x" * size)
        self.assertEqual((self.quota()["used_bytes"], self.quota()["used_files"]), (300_000, 4))
        subprocess.run(["mv", self.mount / "outside", tree / "below"], check=True)
        subprocess.run(["cp", self.mount / "file", tree / "fifth"], check=True)
        with open(tree / "fifth", "rb") as opened:
            os.unlink(tree / "fifth")
            self.assertEqual(self.quota()["used_bytes"], 300_009 + size)
            opened.read(1)
        wait_for("the file to be closed", lambda: self.quota()["used_bytes"] == 300_009)
        self.settle()
        before = self.quota()
        self.node.kill()
        self.assertEqual(self.node.check()["problems"], [])
        self.start()
        self.assertEqual(self.quota(), before)
        os.rename(tree, self.mount / "elsewhere")
        self.assertEqual(self.quota(), before | {"path": "/elsewhere"})
        self.node.command("quota", "remove", "/elsewhere")
        self.assertEqual(self.node.cli("quota", "list"), [])
        (self.mount / "elsewhere" / "large").write_bytes(bytes(2 << 20))
        os.rename(self.mount / "elsewhere" / "large", self.mount / "large")
        self.node.stop()
        self.assertEqual(self.node.check()["problems"], [])

    def test_a_large_tree_gets_a_quota_while_programs_go_on(self):
        shutil.copytree(ROOT / "crates", self.mount / "tree", symlinks=True)
        (self.mount / "tree" / "live").mkdir()
        command = [BINARY, "--node", self.node.http, "quota", "set", "/tree", "--bytes", "1TiB"]
        setting = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        written = 0
        while setting.poll() is None:
            (self.mount / "tree" / "live" / f"{written}").write_bytes(bytes(100))
            written += 1
        self.assertEqual(setting.returncode, 0)
        listed = self.quota()
        inodes, size = 1, 0
        for folder, folders, files in os.walk(self.mount / "tree"):
            inodes += len(folders) + len(files)
            size += sum(os.lstat(Path(folder) / name).st_size for name in files)
        self.assertEqual((listed["used_files"], listed["used_bytes"], listed["counting"]), (inodes, size, False))
        self.node.stop()
        self.assertEqual(self.node.check()["problems"], [])
        self.start()
        shutil.rmtree(self.mount / "tree")
        self.assertEqual(self.node.cli("quota", "list"), [])

    def test_a_root_of_many_names_is_listed_whole(self):
        names = ["streams"]
        # Where an entry does not fit behind the others, a shorter one may.
        for length in (10, 60, 100, 200, 250):
            new = [f"{n:0{length}}" for n in range(400)]
            for name in new:
                (self.mount / name).touch()
            names += new
            self.assertEqual(sorted(os.listdir(self.mount)), sorted(names), f"names of {length} bytes")

    def test_locks_hold_between_programs(self):
        path = self.mount / "locked"
        path.write_bytes(b"x" * 100)
        # Another program tries to lock all of it, and bytes 0 to 9, and bytes 50 to 59.
        other = "\n".join([
            "import fcntl, sys",
            "def free(lock, *args):",
            "    try: lock(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, *args)",
            "    except OSError: return False",
            "    return True",
            "print(free(fcntl.flock), free(fcntl.lockf, 10, 0), free(fcntl.lockf, 10, 50))",
        ])

        def tries():
            command = ["python3", "-c", other, path]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

        with open(path, "r+b") as file:
            self.assertEqual(tries(), ["True", "True", "True"])
            fcntl.lockf(file, fcntl.LOCK_EX, 20, 0)
            self.assertEqual(tries(), ["True", "False", "True"])
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(tries(), ["False", "False", "True"])
        self.assertEqual(tries(), ["True", "True", "True"])

    def test_a_stopped_node_unmounts_though_files_are_open(self):
        file = os.open(self.mount / "open", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"still here")
        self.node.stop(signal.SIGTERM)
        self.assertFalse(os.path.ismount(self.mount))
        with contextlib.suppress(OSError):  # nobody is there any more to be told
            os.close(file)
        self.start()
        self.assertEqual((self.mount / "open").read_text(encoding="utf-8"), "still here")

    @unittest.skipUnless(shutil.which("unshare") and os.geteuid() == 0, "needs unshare, and root")
    def test_a_stopped_node_does_not_wait_for_containers(self):
        """Whoever was started in mounts of its own has this one too, and does not see that it is gone."""
        command = ["unshare", "--mount", "--propagation", "private", "sleep", "600"]
        container = subprocess.Popen(command)
        self.addCleanup(container.wait)
        self.addCleanup(container.kill)
        (self.mount / "kept").write_text("all of it", encoding="utf-8")
        wait_for("the container", lambda: os.readlink(f"/proc/{container.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
        self.assertEqual(self.node.stop(), 0)
        self.assertFalse(os.path.ismount(self.mount))
        self.assertTrue(self.node.check()["ok"])
        self.start()
        self.assertEqual((self.mount / "kept").read_text(encoding="utf-8"), "all of it")


@unittest.skipUnless(can_mount(), "needs /dev/fuse, and root or fusermount3")
class Mounting(unittest.TestCase):
    """Mounting and unmounting the files of a node that runs."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.mount = self.folder / "mnt"
        self.node = Node(config='[store]\ndisk_size = "256MiB"\n[recording]\nenabled = false\n')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(unmount, self.mount)
        self.addCleanup(self.node.close)
        self.node.start()

    def refused(self, *args):
        with self.assertRaises(CommandFailed) as refused:
            self.node.command(*args)
        return str(refused.exception)

    def test_files_are_mounted_and_unmounted_while_the_node_runs(self):
        self.assertEqual(self.node.get("/api/v1/mounts"), [])
        self.assertEqual(self.node.cli("mount", self.mount), {"path": str(self.mount)})
        self.assertTrue(os.path.ismount(self.mount))
        (self.mount / "note").write_text("remember the milk", encoding="utf-8")
        self.assertEqual(self.node.get("/api/v1/mounts"), [{"path": str(self.mount)}])
        files = self.node.cli("status")["files"]
        self.assertEqual(files["mounts"], [str(self.mount)])
        self.assertGreater(files["pending_bytes"], 0)
        self.assertGreater(files["free_bytes"], 0)
        self.assertIn("pegasus_files_mounts 1", self.node.get("/metrics", raw=True).decode())
        self.assertIn("mounted on", self.refused("mount", self.folder / "other"))
        self.node.command("unmount", self.mount)
        self.assertFalse(os.path.ismount(self.mount))
        self.assertEqual(self.node.cli("status")["files"]["pending_bytes"], 0)
        self.assertIn("not mounted", self.refused("unmount", self.mount))
        self.node.command("mount", self.mount)
        self.assertEqual((self.mount / "note").read_text(encoding="utf-8"), "remember the milk")
        unmount(self.mount)
        wait_for("the mount to be missed", lambda: self.node.get("/api/v1/mounts") == [])
        self.node.command("mount", self.folder / "other")
        self.node.stop()
        self.assertFalse(os.path.ismount(self.folder / "other"))
        self.assertTrue(self.node.check()["ok"])

    def test_a_mount_hides_nothing_and_waits_for_the_one_before(self):
        full = self.folder / "full"
        full.mkdir()
        (full / "file").write_text("mine", encoding="utf-8")
        self.assertIn("not empty", self.refused("mount", full))
        self.node.command("mount", self.mount)
        with open(self.mount / "open", "wb") as file:
            self.node.command("unmount", self.mount)
            self.assertFalse(os.path.ismount(self.mount))
            file.write(b"still here")
            file.flush()
            self.assertIn("programs still use", self.refused("mount", self.mount))
        wait_for("the mount before to end", lambda: self.node.command("mount", self.mount))
        self.assertEqual((self.mount / "open").read_bytes(), b"still here")


@unittest.skipUnless(can_mount(), "needs /dev/fuse, and root or fusermount3")
class Recordings(unittest.TestCase):
    """Recordings as files at the mount."""

    def setUp(self):
        left = 3600 - time.time() % 3600
        if left < 45:
            time.sleep(left)  # at the hour's end the file gets another name
        self.mount = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.node = Node(config=CONFIG.format(self.mount).replace("enabled = false", "enabled = true"))
        self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)
        self.addCleanup(unmount, self.mount)
        self.addCleanup(self.node.close)
        self.node.start()
        wait_for("the mount", lambda: os.path.ismount(self.mount))

    def hours(self):
        """The files of the stream, oldest first."""
        return sorted((self.mount / "streams" / "cam" / "door").glob("*/*.mp4"))

    def record(self, spans=1):
        publisher = publish(f"{self.node.rtsp}/cam/door", CLIPS["car"], realtime=False)
        self.assertEqual(publisher.wait(120), 0, publisher.stderr.read())
        publisher.stderr.close()
        wait_for("the recording", lambda: len(self.node.spans("/cam/door")) >= spans)
        wait_for("its end", lambda: not self.node.stream("/cam/door")["recording"])

    def test_a_recording_is_a_file_with_the_packets_of_its_export(self):
        self.assertEqual(os.listdir(self.mount / "streams"), [])
        self.record()
        self.assertEqual(os.listdir(self.mount / "streams"), ["cam"])
        self.assertEqual(os.listdir(self.mount / "streams" / "cam"), ["door"])
        files = self.hours()
        self.assertIn(len(files), [1, 2], "an hour may have ended meanwhile")
        last = files[-1]
        day, hour = last.parent.name, last.name[:2]
        self.assertIn(last.name, [f"{hour}.mp4", f"{hour}.so-far.mp4"])
        self.assertEqual(last.stat().st_size, len(last.read_bytes()))
        copy, export = self.node.data / "copy.mp4", self.node.data / "export.mp4"
        subprocess.run(["cp", last, copy], check=True)
        begin = f"{day}T{hour}:00:00Z"
        self.node.command("export", "/cam/door", "--from", begin, "--to", "+1h", "-o", export)
        self.assertEqual(copy.read_bytes(), export.read_bytes())
        report, errors = probe(last, "-show_streams", "-count_packets")
        self.assertEqual(errors, "")
        self.assertEqual(len(frame_hashes(last, 0)), int(report["streams"][0]["nb_read_packets"]))
        self.assertEqual(frame_hashes(last, 0), frame_hashes(export, 0))
        end = max(span["end"] for span in self.node.spans("/cam/door"))
        modified = datetime.fromtimestamp(last.stat().st_mtime, timezone.utc)
        self.assertLess(abs((modified - datetime.fromisoformat(end[:26] + "+00:00")).total_seconds()), 0.01)

    def test_nobody_writes_there(self):
        self.record()
        last = self.hours()[-1]
        for change in [
            lambda: last.write_bytes(b"x"),
            lambda: last.unlink(),
            lambda: last.rename(self.mount / "mine"),
            lambda: (last.parent / "new").write_bytes(b"x"),
            lambda: (self.mount / "streams").rename(self.mount / "mine"),
            lambda: (self.mount / "streams").rmdir(),
            lambda: (self.mount / "streams" / "new").mkdir(),
        ]:
            with self.assertRaises(OSError):
                change()
        (self.mount / "mine").write_bytes(b"beside them")
        self.assertEqual(sorted(os.listdir(self.mount)), ["mine", "streams"])
        self.assertTrue(last.exists())

    def test_who_opened_a_file_that_grows_reads_what_it_was(self):
        self.record()
        last = self.hours()[-1]
        with open(last, "rb") as file:
            before = file.read(100_000)
            whole = last.read_bytes()
            self.record(spans=2)
            self.assertEqual(before + file.read(), whole)
        newest = self.hours()[-1]
        self.assertTrue(newest != last or len(newest.read_bytes()) > len(whole))


if __name__ == "__main__":
    unittest.main()
