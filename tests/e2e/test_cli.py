"""The command: shapes of its JSON, its help, its errors."""

import json
import re
import subprocess
import unittest

from harness import BINARY, CLIPS, Node, NodeTest, publish, wait_for

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")


def run(*args):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=60)


class Json(NodeTest):
    def test_shapes_other_tools_rely_on(self):
        process = publish(self.node.rtsp + "/cam/door", CLIPS["car"], loop=-1)
        self.addCleanup(process.kill)
        wait_for("a span", lambda: self.node.spans("/cam/door"))
        stream = wait_for("a rate", lambda: (lambda s: s if s["bitrate_bps"] else None)(self.node.stream("/cam/door")))
        self.assertEqual((stream["state"], stream["recording"]), ("live", True))
        self.assertIsInstance(stream["bitrate_bps"], int)
        video, audio = stream["tracks"]
        self.assertEqual(
            {k: video[k] for k in ("kind", "codec", "width", "height", "clock_rate")},
            {"kind": "video", "codec": "h264", "width": 768, "height": 432, "clock_rate": 90000},
        )
        self.assertEqual((audio["kind"], audio["codec"]), ("audio", "aac"))
        (span,) = self.node.spans("/cam/door")
        self.assertRegex(span["start"], TIME)
        self.assertRegex(span["end"], TIME)
        self.assertLess(span["start"], span["end"])
        self.assertTrue(span["bytes"] > 0 and span["units"] > 0)
        status = self.node.cli("status")
        self.assertTrue(status["version"] and status["uptime_s"] >= 0 and status["ingest_bps"] > 0)
        self.assertEqual(status["streams"], 1)
        store = status["store"]
        self.assertTrue(0 < store["used_bytes"] < store["capacity_bytes"])
        self.assertEqual([(d["state"], d["errors"]) for d in store["disks"]], [("ok", 0)] * 5)
        process.kill()
        self.node.stop()
        report = self.node.check()
        self.assertEqual((report["ok"], report["problems"]), (True, []))
        self.assertTrue(report["segments_read"] > 0 and report["units_verified"] >= span["units"])

    def test_people_get_tables(self):
        self.assertIn("NAME", self.node.command("stream", "list"))
        self.assertIn("disk0", self.node.command("status"))

    def test_errors_are_one_clear_sentence(self):
        for args, words in [
            (["recording", "list", "/none"], "/none"),
            (["export", "/none", "-o", "/tmp/never.mp4"], "/none"),
            (["source", "add", "/x", "gopher://x"], "gopher"),
            (["source", "remove", "/none"], "/none"),
        ]:
            done = run("--node", self.node.http, *args)
            self.assertNotEqual(done.returncode, 0, args)
            self.assertEqual(done.stdout, "")
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertIn(words, done.stderr)

    def test_deleting_a_recording(self):
        publish(self.node.rtsp + "/gone", CLIPS["car"], extra=["-c", "copy", "-t", "3"]).communicate(timeout=30)
        wait_for("a span", lambda: self.node.spans("/gone"))
        wait_for("the end of recording", lambda: not self.node.stream("/gone")["recording"])
        self.node.command("recording", "delete", "/gone", "--yes")
        self.assertFalse([s for s in self.node.cli("stream", "list") if s["name"] == "/gone"])
        self.node.stop()
        self.assertTrue(self.node.check()["ok"])


class WithoutNode(unittest.TestCase):
    def test_no_node_there(self):
        done = run("--node", "http://127.0.0.1:9", "status")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("pegasus up", done.stderr)

    def test_every_command_has_an_example(self):
        for args in ("up status export completion", "stream", "recording", "source", "store"):
            for name in args.split():
                done = run(name, "--help")
                self.assertEqual(done.returncode, 0)
        self.assertIn("Example:", run("export", "--help").stdout)

    def test_completion_and_sample_configuration(self):
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("pegasus", run("completion", shell).stdout)
        self.assertIn("durable_within", run("config", "sample").stdout)

    def test_a_bad_configuration_names_the_key(self):
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
            f.write("[store]\ndisksize = 1\n")
            f.flush()
            done = run("up", "--config", f.name)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("disksize", done.stderr)

    def test_open_doors_need_credentials(self):
        done = run("up", "--http", "0.0.0.0:0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("[credentials]", done.stderr)


class Credentials(unittest.TestCase):
    def test_asked_for_at_both_doors(self):
        config = '[store]\ndisk_size = "256MiB"\n[credentials]\nuser = "me"\npassword = "pa:ss"\n'
        node = Node(config=config)
        node.start(wait=False)
        self.addCleanup(node.close)
        with_user = node.http.replace("http://", "http://me:pa%3Ass@")
        done = wait_for("the node", lambda: (lambda d: d if d.returncode == 0 else None)(run("--node", with_user, "--json", "status")))
        self.assertIn("version", json.loads(done.stdout))
        refused = run("--node", node.http, "status")
        self.assertIn("credentials", refused.stderr)
        plain = publish(node.rtsp + "/x", CLIPS["car"], extra=["-c", "copy", "-t", "2"])
        self.assertNotEqual(plain.communicate(timeout=30) and plain.returncode, 0)
        allowed = publish(node.rtsp.replace("rtsp://", "rtsp://me:pa%3Ass@") + "/x", CLIPS["car"], extra=["-c", "copy", "-t", "2"])
        _, errors = allowed.communicate(timeout=30)
        self.assertEqual((allowed.returncode, errors), (0, ""))


if __name__ == "__main__":
    unittest.main()
