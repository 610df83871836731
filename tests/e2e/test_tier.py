"""Recordings go out to an S3 server and come back, and nobody who plays them notices but by the time it takes."""

import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree
from pathlib import Path

from harness import CommandFailed, NodeTest, ffmpeg, frame_hashes, free_port, publish, wait_for

SECRET = "a-secret-that-nobody-is-told"
CAM = "/cam/door"


def moto():
    """Where `scripts/tools test` puts it, if it isn't on the path."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    aside = cache / "pegasus-tools/moto/bin/moto_server"
    return str(aside) if aside.exists() else shutil.which("moto_server")


CLIP = Path(tempfile.gettempdir()) / f"pegasus-tier-{os.getpid()}.mp4"


def setUpModule():
    """A clip of 8 Mb/s: a segment each second."""
    source = "testsrc2=size=640x360:rate=25:duration=30,noise=alls=60:allf=t"
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0", "-b:v", "8M", "-maxrate", "8M"]
    ffmpeg("-f", "lavfi", "-i", source, *coding, "-bufsize", "8M", "-pix_fmt", "yuv420p", "-y", CLIP)


def tearDownModule():
    CLIP.unlink(missing_ok=True)


class Bucket:
    """A bucket on a server of its own."""

    def __init__(self):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        command = [moto(), "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the S3 server", lambda: self.ask("PUT", "/films") is not None, 30)

    def ask(self, method, path):
        # The server looks for a signature, not at it.
        scope = "a-name/20260101/us-east-1/s3/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        headers = {"Authorization": signed}
        request = urllib.request.Request(self.endpoint + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def names(self):
        """All objects but the store's mark."""
        tree = xml.etree.ElementTree.fromstring(self.ask("GET", "/films?list-type=2"))
        names = [e.text for e in tree.iter() if e.tag.endswith("}Key")]
        return sorted(name for name in names if name.endswith(".pgs"))

    def object(self, name):
        return self.ask("GET", f"/films/{name}")

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class TierTest(NodeTest):
    rules = "free_percent = 0"

    def setUp(self):
        self.bucket = Bucket()
        self.addCleanup(self.bucket.close)
        self.options = {
            "config": f"""
[store]
disk_size = "64MiB"
stripe_unit = "1MiB"
[tier]
url = "s3://films/some/where"
endpoint = "{self.bucket.endpoint}"
credentials = "tier.key"
{self.rules}
"""
        }
        super().setUp()

    def finish(self):
        told = self.node.log.read_text(errors="replace")
        super().finish()
        self.assertNotIn(SECRET, told)

    def with_key(self):
        """The key comes after the node: it is waited for."""
        (self.node.data / "tier.key").write_text(f"a-name\n{SECRET}\n")
        self.node.stop()
        self.node.start()
        wait_for("the tier", lambda: self.node.cli("tier", "status"))

    def record(self, name=CAM, seconds=20):
        extra = ["-c", "copy", "-t", str(seconds)]
        process = publish(self.node.rtsp + name, CLIP, extra=extra, loop=-1)
        process.communicate(timeout=120)
        wait_for("a span", lambda: self.node.spans(name))
        time.sleep(1.5)  # what has arrived is durable within a second

    def exported(self, name=CAM):
        out = self.node.data / "out.mp4"
        self.node.command("export", name, "-o", out, "--force")
        return frame_hashes(out, "v:0")

    def out(self, name=CAM):
        return self.node.cli("tier", "status", name)


class OutAndIn(TierTest):
    def test_a_recording_goes_out_is_played_there_and_comes_back(self):
        with self.assertRaises(CommandFailed) as refusal:
            self.node.cli("tier", "status")
        self.assertIn("no tier", str(refusal.exception))
        self.with_key()
        self.record()
        want, spans = self.exported(), self.node.spans(CAM)
        moved = self.node.cli("tier", "out", CAM, "--wait")
        self.assertGreater(moved["segments"], 5)
        status = self.node.cli("tier", "status")
        self.assertEqual(status["out_segments"], moved["segments"])
        self.assertGreater(status["in"]["bytes_per_s"], 0, "as it was read back")
        names = self.bucket.names()
        self.assertEqual(len(names), moved["segments"])
        self.assertTrue(all(name.startswith("some/where/") and "/cam/door/" in name for name in names))
        # The time line is what it was, and says what is out and how long it takes to come back.
        marked = self.node.spans(CAM)
        out = marked[0].pop("out")
        self.assertEqual(marked, spans)
        self.assertEqual((out[0]["start"], out[0]["segments"]), (spans[0]["start"], moved["segments"]))
        self.assertGreater(out[0]["back_in_ms"], 0)
        self.assertEqual(self.out()[0]["bytes"], out[0]["bytes"])
        metrics = self.node.get("/metrics", raw=True).decode()
        self.assertIn(f"pegasus_tier_out_segments {moved['segments']}\n", metrics)
        self.assertIn("pegasus_tier_reachable 1\n", metrics)
        # An export reads it there, and does not bring it back.
        self.assertEqual(self.exported(), want)
        self.assertEqual(len(self.bucket.names()), len(names))
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report)
        self.assertTrue(any("are out" in remark for remark in report["remarks"]), report)
        self.node.start()
        wait_for("the tier", lambda: self.node.cli("tier", "status"))
        self.assertEqual(self.exported(), want)
        self.node.cli("tier", "in", CAM, "--wait")
        self.assertEqual((self.out(), self.node.spans(CAM)), ([], spans))
        wait_for("the objects to be deleted", lambda: not self.bucket.names())
        self.assertEqual(self.exported(), want)
        self.node.stop()
        self.assertTrue(self.node.check()["ok"])

    def test_what_is_played_comes_back(self):
        self.with_key()
        self.record()
        before = self.node.data / "before.mkv"
        after = self.node.data / "after.mkv"
        url = f"{self.node.rtsp}{CAM}?from={self.node.spans(CAM)[0]['start']}"
        ffmpeg("-rtsp_transport", "tcp", "-i", url, "-t", "8", "-map", "0:v", "-c", "copy", "-y", before)
        self.assertGreater(self.node.cli("tier", "out", CAM, "--wait")["segments"], 5)
        ffmpeg("-rtsp_transport", "tcp", "-i", url, "-t", "8", "-map", "0:v", "-c", "copy", "-y", after)
        want, got = frame_hashes(before, "v:0"), frame_hashes(after, "v:0")
        self.assertGreater(len(want), 150)
        self.assertEqual(got[:150], want[:150])
        wait_for("it to come back", lambda: not self.out())
        # And what is deleted goes from the bucket too.
        self.node.cli("tier", "out", CAM, "--wait")
        wait_for("the objects", self.bucket.names)
        self.node.command("recording", "delete", CAM, "--yes")
        wait_for("the objects to be deleted", lambda: not self.bucket.names())

    def test_the_bucket_alone_says_what_is_in_it(self):
        self.with_key()
        self.record()
        spans = self.node.spans(CAM)
        self.node.cli("tier", "out", CAM, "--wait")
        found = []
        for name in self.bucket.names():
            data = self.bucket.object(name)
            magic, version = struct.unpack_from("<4sB", data)
            number, first, end = struct.unpack_from("<Qqq", data, 40)
            before, after = struct.unpack_from("<QQ", data, 64), struct.unpack_from("<QQ", data, 80)
            blocks, index, name_len = struct.unpack_from("<III", data, 96)
            (length,) = struct.unpack_from("<Q", data, 112)
            stream = data[128 : 128 + name_len].decode()
            self.assertEqual((magic, version, stream, length), (b"PgOb", 1, CAM, len(data)))
            self.assertIn(f"/{number:012}-", name)
            self.assertGreater(blocks, 0)
            self.assertLess(128 + name_len + index, len(data))
            found.append((before, after, first, end))
        found.sort()
        self.assertGreater(len(found), 5)
        for one, next_one in zip(found, found[1:]):
            self.assertEqual(one[1], next_one[0], "they join")
        self.assertEqual(found[0][0], (0, 0))
        self.assertLessEqual(found[-1][1][0], spans[0]["units"])

    def test_a_server_that_hangs_holds_up_no_recording(self):
        self.with_key()
        self.record()
        self.assertGreater(self.node.cli("tier", "out", CAM, "--wait")["segments"], 5)
        load = publish(self.node.rtsp + "/load", CLIP, loop=-1)
        self.addCleanup(load.kill)
        wait_for("load", lambda: self.node.spans("/load"))
        self.bucket.process.send_signal(signal.SIGSTOP)
        self.node.cli("tier", "in", CAM)
        before = self.node.spans("/load")[-1]["units"]
        wait_for("recording to go on", lambda: self.node.spans("/load")[-1]["units"] > before + 100)
        self.assertEqual(self.node.cli("status")["store"]["health"], "ok")
        self.assertEqual(self.node.cli("status")["store"]["ingest"]["dropped_units"], 0)
        load.kill()
        begun = time.monotonic()
        self.node.stop()
        self.assertLess(time.monotonic() - begun, 15, "nobody waits for it")
        self.bucket.process.send_signal(signal.SIGCONT)
        self.node.start()
        wait_for("the tier", lambda: self.node.cli("tier", "status"))
        self.node.cli("tier", "in", CAM, "--wait")
        self.assertEqual(self.out(), [])
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")

    def test_kills_while_segments_are_moved_lose_nothing(self):
        self.with_key()
        self.record(seconds=30)
        want, moves = self.exported(), 0
        for turn in range(int(os.environ.get("PEGASUS_KILLS", "10")) // 2):
            moved = self.node.cli("tier", "out" if turn % 2 == 0 else "in", CAM)
            moves += moved["segments"]
            time.sleep(0.05 * (turn % 7))
            self.node.kill()
            self.node.start()
            wait_for("the tier", lambda: self.node.cli("tier", "status"))
            self.assertEqual(self.exported(), want, f"after kill {turn}")
        self.assertGreater(moves, 20)
        self.node.cli("tier", "in", CAM, "--wait")
        self.assertEqual(self.out(), [])
        self.assertEqual(self.exported(), want)
        # What the kills left over is found when the node starts.
        self.node.stop()
        self.node.start()
        wait_for("the objects to be deleted", lambda: not self.bucket.names())
        self.node.stop()
        self.assertTrue(self.node.check()["ok"])


class ByRule(TierTest):
    rules = 'after = "5s"\nkeep_played = "1s"\nfree_percent = 0\n[[tier.stream]]\nname = "/cam/stays"\n'

    def test_what_is_old_goes_by_itself(self):
        self.with_key()
        load = publish(self.node.rtsp + "/cam/stays", CLIP, loop=-1)
        self.addCleanup(load.kill)
        self.record(seconds=30)
        load.kill()
        wait_for("segments to go out", self.out, 40)
        self.assertEqual(self.out("/cam/stays"), [], "its own rule")
        self.assertTrue(all("/cam/door/" in name for name in self.bucket.names()))
