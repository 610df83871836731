"""Garbage, lost disks, full file systems: a clear error, and never a wrong byte."""

import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from harness import BINARY, CLIPS, Node, NodeTest, ffmpeg, frame_hashes, publish, wait_for
from test_files import can_mount, unmount
from test_kill import seconds


class Garbage(NodeTest):
    def test_on_every_port(self):
        chance = random.Random(int(os.environ.get("PEGASUS_SEED", "1")))
        for port in (self.node.http_port, self.node.rtsp_port):
            for kind in range(60):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                    try:
                        s.sendall(self.bytes_of(chance, kind % 6))
                        s.shutdown(socket.SHUT_WR)
                        s.settimeout(5)
                        while s.recv(65536):
                            pass
                    except OSError:
                        pass
        self.assertTrue(self.node.get("/healthz", raw=True))
        self.assertIsNone(self.node.process.poll())

    @staticmethod
    def bytes_of(chance, kind):
        noise = chance.randbytes(chance.randrange(1, 5000))
        url = b"rtsp://127.0.0.1/cam/x"
        return [
            noise,
            b"ANNOUNCE " + url + b" RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n" + noise,
            b"ANNOUNCE " + url + b" RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: "
            + str(len(noise)).encode() + b"\r\n\r\n" + noise,
            b"$\x00\xff\xff" + noise,
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
            b"SETUP " + url + b"/trackID=9 RTSP/1.0\r\nCSeq: -1\r\nTransport: RTP/AVP;client_port=99999-1\r\n\r\n",
        ][kind]

    def test_an_unknown_codec_is_named(self):
        source = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=3"]
        process = publish(self.node.rtsp + "/odd", source, extra=["-c:v", "mpeg4"])
        _, errors = process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0, errors)
        self.assertIn("MP4V", self.node.log.read_text().upper())


class LostDisksBase(NodeTest):
    def record(self, name, seconds_, clip="car"):
        process = publish(self.node.rtsp + name, CLIPS[clip], extra=["-c", "copy", "-t", str(seconds_)])
        process.communicate(timeout=60)
        wait_for("a span", lambda: self.node.spans(name))
        time.sleep(1.5)

    def exported(self, name):
        out = self.node.data / f"out-{threading.get_ident()}.mp4"
        self.node.command("export", name, "-o", out, "--force")
        return frame_hashes(out, "v:0")

    def disks(self):
        return self.node.cli("status")["store"]["disks"]

    def load(self):
        """A camera that goes on until it is ended, as /load."""
        load = publish(self.node.rtsp + "/load", CLIPS["car"], loop=-1)
        self.addCleanup(load.kill)
        wait_for("load", lambda: self.node.spans("/load"))
        return load

    @staticmethod
    def end(load):
        load.kill()
        load.wait()

    def lose(self, name):
        """Takes a disk away, and waits until the node knows."""
        disk = self.node.data / name
        disk.unlink()
        wait_for("the alarm", lambda: any(d["state"] == "failed" for d in self.disks()), 30)
        return disk

    def assert_rebuilt(self):
        self.assertEqual([d["state"] for d in self.disks()], ["ok"] * 5)
        self.assertEqual(self.node.cli("disk", "list")["care"]["lost_blocks"], 0)

    def assert_scrubs_clean(self):
        scrub = self.node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []))

    def stop_and_check(self):
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report)


class LostDisks(LostDisksBase):
    options = {"disk_size": "300MiB"}

    def test_one_of_five_removed_under_load(self):
        self.record("/before", 6)
        want = self.exported("/before")
        load = self.load()
        self.lose("disk2")
        self.assertEqual([d["state"] for d in self.disks()].count("ok"), 4)
        before = self.node.spans("/load")[-1]["end"]
        wait_for("recording to go on", lambda: seconds(self.node.spans("/load")[-1]["end"]) > seconds(before) + 3)
        self.assertEqual(self.exported("/before"), want)
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        self.assertIn("disk2", self.node.log.read_text())
        self.end(load)
        self.node.stop()
        self.node.start()
        states = {os.path.basename(d["path"]): d["state"] for d in self.disks()}
        self.assertEqual(states["disk2"], "missing")
        self.assertEqual(self.exported("/before"), want)
        self.record("/after", 4)

    def test_a_disk_removed_under_load_is_replaced(self):
        self.record("/before", 6)
        want = self.exported("/before")
        load = self.load()
        disk = self.lose("disk2")
        time.sleep(3)
        self.node.command("disk", "replace", disk, "--wait")
        self.assert_rebuilt()
        time.sleep(3)
        self.end(load)
        self.assert_scrubs_clean()
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        loaded = self.exported("/load")
        self.stop_and_check()
        (self.node.data / "disk0").unlink()
        self.node.start()
        self.assertEqual(self.exported("/before"), want)
        self.assertEqual(self.exported("/load"), loaded)

    def test_a_disk_is_added_under_load_and_found_again(self):
        self.record("/before", 4)
        want = self.exported("/before")
        load = self.load()
        before = self.node.cli("status")["store"]
        disks = self.node.cli("disk", "add", "disk5", "--size", "400MiB")["disks"]
        self.assertEqual([d["state"] for d in disks], ["ok"] * 6)
        self.assertGreater(self.node.cli("status")["store"]["capacity_bytes"], before["capacity_bytes"])
        self.record("/after", 4)
        after = self.exported("/after")
        self.end(load)
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        self.assert_scrubs_clean()
        self.stop_and_check()
        self.node.start()
        self.assertEqual([d["state"] for d in self.disks()], ["ok"] * 6)
        self.assertEqual((self.exported("/before"), self.exported("/after")), (want, after))
        self.node.stop()
        (self.node.data / "disk5").unlink()
        self.node.start()
        self.assertEqual([d["state"] for d in self.disks()].count("missing"), 1)
        self.assertEqual((self.exported("/before"), self.exported("/after")), (want, after))

    def damaged(self, damage):
        """Records, stops, damages one disk, starts: everything must read back as it was."""
        self.record("/cam", 6)
        want = self.exported("/cam")
        self.node.stop()
        damage(self.node.data / "disk1")
        self.node.start()
        self.assertEqual(self.exported("/cam"), want)
        self.record("/more", 3)
        self.assertTrue(self.exported("/more"))

    def test_a_disk_deleted(self):
        self.damaged(lambda path: path.unlink())

    def test_a_disk_truncated(self):
        self.damaged(lambda path: os.truncate(path, 1 << 20))

    def test_a_disk_overwritten(self):
        def scribble(path):
            size = path.stat().st_size
            with open(path, "r+b") as f:
                f.write(os.urandom(1 << 20))
                for at in range(1 << 20, size, 1 << 20):
                    f.seek(at)
                    f.write(os.urandom(8192))

        self.damaged(scribble)

    def test_two_disks_swapped(self):
        self.record("/cam", 4)
        want = self.exported("/cam")
        self.node.stop()
        a, b = self.node.data / "disk1", self.node.data / "disk3"
        a.rename(self.node.data / "x")
        b.rename(a)
        (self.node.data / "x").rename(b)
        self.node.start()
        self.assertEqual(self.exported("/cam"), want)

    def test_a_foreign_disk_is_refused_not_used(self):
        other = Node(disk_size="300MiB")
        other.start()
        other.stop()
        self.addCleanup(other.close)
        self.record("/cam", 4)
        want = self.exported("/cam")
        self.node.stop()
        shutil.copyfile(other.data / "disk1", self.node.data / "disk1")
        before = (self.node.data / "disk1").read_bytes()[:1 << 20]
        self.node.start()
        self.assertEqual(self.exported("/cam"), want)
        self.assertEqual((self.node.data / "disk1").read_bytes()[:1 << 20], before, "left alone")

    def test_check_finds_a_flipped_bit_and_names_it(self):
        self.record("/cam", 6)
        self.stop_and_check()
        path = self.node.data / "disk0"
        data = path.read_bytes()
        at = next(i for i in range(1 << 20, len(data), 4096) if any(data[i : i + 4096])) + 1000
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(bytes([data[at] ^ 4]))
        report = self.node.check()
        self.assertFalse(report["ok"])
        self.assertIn("disk0", str(report["problems"]))
        self.node.start()
        self.assertTrue(self.exported("/cam"), "and reads go round it")

    def test_a_lost_catalogue_is_made_anew(self):
        for name in ("/cam/door", "/cam/yard"):
            self.record(name, 4)
        names = [(name, self.node.spans(name), self.exported(name)) for name in ("/cam/door", "/cam/yard")]
        self.node.stop()
        # More than parity can bear: every copy of the catalogue's beginning.
        hits = 0
        for path in self.node.data.glob("disk?"):
            data = path.read_bytes()
            with open(path, "r+b") as f:
                at = data.find(b"PgCa")
                while at >= 0:
                    f.seek(at)
                    f.write(b"lost")
                    hits += 1
                    at = data.find(b"PgCa", at + 4)
        self.assertGreaterEqual(hits, 2)
        self.node.start(wait=False)
        self.assertNotEqual(self.node.process.wait(30), 0)
        self.assertIn("pegasus store repair", self.node.tail(), "the node says what to do")
        shown = self.repair(expect=1)
        self.assertFalse(shown["applied"])
        for name, _, _ in names:
            self.assertIn(f"as {name}", str(shown["actions"]))
        again = self.repair(expect=1)
        self.assertEqual(again, shown, "to look changes nothing")
        done = self.repair("--yes", expect=None)
        self.assertTrue(done["applied"])
        self.assertEqual(self.repair(expect=0)["actions"], [])
        self.node.start()
        for name, spans, hashes in names:
            self.assertEqual(self.node.spans(name), spans)
            self.assertEqual(self.exported(name), hashes)
        self.record("/cam/door", 2)
        self.assertEqual(len(self.node.spans("/cam/door")), 2, "and recording goes on")

    def repair(self, *more, expect):
        command = [BINARY, "--json", "store", "repair", "--data", self.node.data]
        command += ["--config", self.node.config, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if expect is not None:
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_a_store_can_not_be_opened_twice(self):
        second = Node(data=self.node.data)
        second.start(wait=False)
        self.assertNotEqual(second.process.wait(20), 0)
        self.assertIn("another process", second.tail())
        done = subprocess.run(
            [self.node_binary(), "store", "check", "--data", self.node.data], capture_output=True, text=True
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("another process", done.stderr)

    @staticmethod
    def node_binary():
        from harness import BINARY

        return BINARY


@unittest.skipUnless(can_mount(), "needs /dev/fuse, and root or fusermount3")
class MixedLoad(LostDisksBase):
    """A disk is pulled while cameras record, programs write and sync files, and viewers play, all at once."""

    options = {"disk_size": "400MiB"}

    def setUp(self):
        super().setUp()
        self.mount = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)
        self.addCleanup(unmount, self.mount)
        self.stop, self.synced, self.played, self.trouble = threading.Event(), {}, 0, []

    def doing(self, work):
        def loop():
            try:
                while not self.stop.is_set():
                    work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
                self.trouble.append(error)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.addCleanup(self.stop.set)
        return thread

    def write(self):
        """A file, synced; now and then one written over."""
        number = len(self.synced)
        name = f"file-{number % 40}"
        data = random.Random(number).randbytes([100, 30_000, 400_000][number % 3])
        with open(self.mount / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.synced[number] = (name, data)

    def play(self):
        done = ffmpeg("-rtsp_transport", "tcp", "-i", self.node.rtsp + "/load", "-t", "1", "-c", "copy", "-f", "null", "-")
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.exported("/before"), self.want)
        self.played += 1

    def files(self):
        held = {}
        for number in sorted(self.synced):
            held[self.synced[number][0]] = self.synced[number][1]
        for name, data in held.items():
            self.assertEqual((self.mount / name).read_bytes(), data, name)

    def further(self, what):
        """Everybody gets on."""
        before = (len(self.synced), self.played, seconds(self.node.spans("/load")[-1]["end"]))
        wait_for(f"all to go on {what}", lambda: self.trouble or (
            len(self.synced) > before[0] + 3 and self.played > before[1]
            and seconds(self.node.spans("/load")[-1]["end"]) > before[2] + 1), 60)
        self.assertEqual(self.trouble, [], what)

    def test_a_disk_is_pulled_and_replaced(self):
        self.record("/before", 6)
        self.want = self.exported("/before")
        self.node.command("mount", self.mount)
        load = self.load()
        work = [self.doing(self.write), self.doing(self.play)]
        self.further("at first")
        disk = self.lose("disk2")
        self.further("without the disk")
        self.node.command("disk", "replace", disk, "--wait")
        self.further("with another")
        self.assert_rebuilt()
        self.assert_scrubs_clean()  # under load
        self.stop.set()
        for thread in work:
            thread.join(60)
        self.assertEqual(self.trouble, [])
        self.end(load)
        time.sleep(1.5)  # what has arrived is durable within a second
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        self.files()
        loaded = self.exported("/load")
        self.stop_and_check()
        # All of it is on the new disk, too: another may go.
        (self.node.data / "disk0").unlink()
        self.node.start()
        self.node.command("mount", self.mount)
        self.files()
        self.assertEqual((self.exported("/before"), self.exported("/load")), (self.want, loaded))


class HotSpare(LostDisksBase):
    options = {"config": '[store]\ndisk_size = "300MiB"\nspare_after = "2s"\n'}

    def test_takes_a_lost_disks_place_by_itself(self):
        self.record("/before", 4)
        want = self.exported("/before")
        answer = self.node.cli("disk", "add", "--spare", "spare")
        self.assertEqual([os.path.basename(s["path"]) for s in answer["spares"]], ["spare"])
        load = self.load()
        (self.node.data / "disk2").unlink()
        wait_for("the spare", lambda: any(d["path"].endswith("spare") for d in self.disks()), 40)
        wait_for("the end of the rebuild", lambda: all(d["state"] == "ok" for d in self.disks()), 60)
        self.assertEqual(self.node.cli("disk", "list")["spares"], [])
        self.end(load)
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        events = lambda: [e["text"] for e in self.node.get("/api/v1/events") if e["subject"].endswith("spare")]
        wait_for("the event", lambda: any("takes the place" in text for text in events()), 10)
        self.stop_and_check()
        (self.node.data / "disk0").unlink()
        self.node.start()
        states = sorted(d["state"] for d in self.disks())
        self.assertEqual(states, ["missing"] + ["ok"] * 4)
        self.assertEqual(self.exported("/before"), want)


class FullFileSystem(unittest.TestCase):
    """A tmpfs that is too small, and a store that fills up."""

    def test_no_room_for_the_disks(self):
        path = self.tmpfs("64m")
        node = Node(data=path, disk_size="256MiB")
        node.start(wait=False)
        self.assertNotEqual(node.process.wait(30), 0)
        self.assertRegex(node.tail(), "(?i)space|room")

    def test_a_sparse_store_on_a_full_file_system(self):
        path = self.tmpfs("1200m")
        node = Node(data=path, disk_size="200MiB")
        node.start()
        self.addCleanup(node.close)
        with open(path / "filler", "wb") as f:
            try:
                while True:
                    f.write(bytes(1 << 20))
            except OSError:
                pass
        process = publish(node.rtsp + "/cam", CLIPS["car"], extra=["-c", "copy", "-t", "5"])
        process.communicate(timeout=60)
        self.assertTrue(wait_for("a span", lambda: node.spans("/cam")), "the disks' space was reserved")

    def test_the_oldest_goes_before_the_store_is_full(self):
        node = Node(disk_size="24MiB")
        node.config.write_text('[store]\ndisk_size = "24MiB"\nstripe_unit = "1MiB"\n')
        node.start()
        self.addCleanup(node.close)
        noise = ["-f", "lavfi", "-i", "nullsrc=s=640x480:r=25,geq=random(1)*255:128:128"]
        options = ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "2", "-huffman", "0", "-t", "14"]
        process = publish(node.rtsp + "/noise", noise, extra=options)
        first = wait_for("a span", lambda: node.spans("/noise"))[0]["start"]
        process.communicate(timeout=120)
        status = node.cli("status")["store"]
        self.assertLess(status["used_bytes"], status["capacity_bytes"])
        span = node.spans("/noise")[0]
        self.assertGreater(span["start"], first, "the oldest went")
        self.assertGreater(span["units"], 10)
        out = node.data / "out.mp4"
        node.command("export", "/noise", "-o", out)
        self.assertEqual(ffmpeg("-i", out, "-fps_mode", "vfr", "-f", "null", "-").stderr, "")

    def tmpfs(self, size):
        import pathlib
        import tempfile

        path = pathlib.Path(tempfile.mkdtemp(prefix="pegasus-full-"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True)
        if done.returncode != 0:
            path.rmdir()
            self.skipTest("needs the right to mount a tmpfs")
        self.addCleanup(path.rmdir)
        self.addCleanup(subprocess.run, ["umount", "-l", path])
        return path


if __name__ == "__main__":
    unittest.main()
