"""Playbacks that are promised: what does not fit is refused with a reason, what fits plays on, whatever else goes on."""

import json
import random
import subprocess
import threading
import time
import urllib.error
import urllib.request

from harness import CLIPS, CommandFailed, Node, NodeTest, publish, wait_for
from rtsp_client import Player

# What the store is told its disks can do: a hundredth of what they can, so that a handful of viewers fill them.
SLOW = """capacity_bytes = 268435456
rotation_ms = 0.0
overhead_ms = 4.0
seek = [[0, 0.0]]
zones = [{ cylinders = 1, rate_bps = 60000000 }]
"""
CONFIG = '[store]\ndisk_size = "256MiB"\n[playback]\nprofile = "slow.toml"\nothers_percent = 0\n'
CAM = "/cam/door"


class Guarantee(NodeTest):
    def setUp(self):
        self.node = Node(config=CONFIG)
        (self.node.data / "slow.toml").write_text(SLOW)
        self.node.start()
        self.addCleanup(self.finish)
        publisher = publish(self.node.rtsp + CAM, CLIPS["car"], extra=["-c", "copy", "-t", "12"])
        publisher.communicate(timeout=60)
        wait_for("the recording", lambda: self.node.spans(CAM), 30)
        wait_for("promises", lambda: self.node.get("/api/v1/playbacks")["guaranteed"], 30)

    def ask(self, method, path, body=None):
        """The status and the JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.node.http + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def fill(self):
        """Asks for playbacks until one is refused; their numbers, and the refusal. What was recorded before takes no time any more by then."""
        wait_for("the recording to be over", lambda: self.node.get("/api/v1/playbacks")["recording_percent"] == 0, 30)
        granted = []
        while len(granted) < 500:
            status, answer = self.ask("POST", "/api/v1/playbacks", {"streams": [CAM]})
            if status != 201:
                self.assertEqual(status, 503, answer)
                return granted, answer["error"]
            granted.append(answer["id"])
        self.fail("nothing is ever refused")

    def test_what_does_not_fit_is_refused_at_every_door(self):
        granted, why = self.fill()
        self.assertGreater(len(granted), 2)
        self.assertIn(f"the disks have no time to play {CAM} at", why)
        self.assertTrue("would fit" in why or "nothing more fits" in why, why)
        status = self.node.cli("playback", "list")
        self.assertEqual(len(status["playbacks"]), len(granted))
        self.assertGreater(status["promised_percent"], 50)
        self.assertIn("admitted", self.node.command("playback", "list"))
        # RTSP: 453, and the reason in the node's answer.
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp"]
        span = self.node.spans(CAM)[0]
        url = f"{self.node.rtsp}{CAM}?from={span['start']}&to={span['end']}"
        refused = subprocess.run([*command, "-i", url, "-f", "null", "-"], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("453", refused.stderr)
        with self.assertRaises(CommandFailed) as failed:
            self.node.cli("playback", "check", CAM)
        self.assertIn("no time", str(failed.exception))
        # One leaves, and there is room for one.
        self.assertEqual(self.ask("DELETE", f"/api/v1/playbacks/{granted.pop()}")[0], 204)
        self.assertTrue(self.node.cli("playback", "check", CAM, "--wait", "10s")["guaranteed"])
        time.sleep(2.5)  # what was given back is free when its period is over
        played = subprocess.run([*command, "-i", url, "-c", "copy", "-f", "null", "-"], capture_output=True, text=True, timeout=60)
        self.assertEqual((played.returncode, played.stderr), (0, ""))
        # Twice as fast takes twice as much: it stays as it was.
        again, _ = self.fill()
        status, answer = self.ask("PATCH", f"/api/v1/playbacks/{granted[0]}", {"scale": 2})
        self.assertEqual(status, 503, answer)
        self.assertEqual(self.ask("PATCH", f"/api/v1/playbacks/{granted[0]}", {})[1]["scale"], 1.0)
        self.assertEqual(self.ask("PATCH", "/api/v1/playbacks/99999", {})[0], 404)
        self.assertTrue(again)

    def test_who_waits_is_served_in_turn(self):
        granted, _ = self.fill()
        waited = []

        def wait(name, ms, streams=1):
            began = time.monotonic()
            status, answer = self.ask("POST", "/api/v1/playbacks", {"streams": [CAM] * streams, "wait_ms": ms})
            waited.append((name, status, answer, time.monotonic() - began))

        waiting = lambda: self.node.get("/api/v1/playbacks")["waiting"]
        threads = []

        def begin(*what):
            threads.append(threading.Thread(target=wait, args=what))
            threads[-1].start()
            wait_for("the line", lambda: waiting() == len(threads), 10)

        # A large one comes first, a small one behind it, a third gives up.
        begin("large", 60_000, 2)
        begin("small", 60_000)
        begin("short", 1_500)
        self.assertIn("pegasus_playbacks_waiting 3", self.node.get("/metrics", raw=True).decode())
        self.assertIn("3 wait in line", self.node.command("playback", "list"))
        threads[2].join(20)
        name, status, answer, took = waited.pop()
        self.assertEqual((name, status, answer["position"]), ("short", 503, 3), answer)
        self.assertIn("it waited, and was number 3 in line", answer["error"])
        self.assertGreaterEqual(took, 1.4)
        # Room for one is no room for two; and nobody who waits passes them.
        self.ask("DELETE", f"/api/v1/playbacks/{granted.pop()}")
        time.sleep(1.5)
        self.assertEqual((waited, waiting()), ([], 2))
        while len(waited) < 2 and granted:
            self.ask("DELETE", f"/api/v1/playbacks/{granted.pop()}")
            time.sleep(3)
        for thread in threads[:2]:
            thread.join(30)
        self.assertEqual([(name, status) for name, status, _, _ in waited], [("large", 201), ("small", 201)], waited)
        self.assertEqual(waiting(), 0)
        # Who hangs up has left the line.
        with self.assertRaises(OSError):
            body = json.dumps({"streams": [CAM], "wait_ms": 60_000}).encode()
            request = urllib.request.Request(self.node.http + "/api/v1/playbacks", body, {"content-type": "application/json"})
            urllib.request.urlopen(request, timeout=0.5)
        wait_for("him to be gone", lambda: waiting() == 0, 10)
        self.fill()
        # The command waits as well, and is told where it stood.
        with self.assertRaises(CommandFailed) as failed:
            self.node.cli("playback", "check", CAM, "--wait", "1s")
        self.assertIn("it waited, and was number 1 in line", str(failed.exception))
        all_of_them = {one["id"] for one in self.node.get("/api/v1/playbacks")["playbacks"]}
        timer = threading.Timer(1, lambda: [self.ask("DELETE", f"/api/v1/playbacks/{id}") for id in all_of_them])
        timer.start()
        self.addCleanup(timer.join)
        self.assertTrue(self.node.cli("playback", "check", CAM, "--wait", "20s")["guaranteed"])

    def test_nonsense_is_refused(self):
        for body in (
            {"streams": []},
            {"streams": [CAM], "scale": 0},
            {"streams": [CAM], "scale": 1e9},
            {"streams": [CAM], "from": "soon"},
            {"streams": ["nowhere"]},
            {"streams": [CAM] * 65},
            {"streams": [CAM], "what": 1},
            {"streams": [CAM], "wait_ms": 60_001},
            {"streams": [CAM], "wait_ms": -1},
        ):
            with self.subTest(body):
                status, answer = self.ask("POST", "/api/v1/playbacks", body)
                self.assertIn(status, (400, 422), answer)
                self.assertTrue(answer["error"])
        self.assertEqual(self.ask("POST", "/api/v1/playbacks", {"streams": ["/cam/none"]})[0], 404)
        self.assertEqual(self.node.get("/api/v1/playbacks")["playbacks"], [])

    def test_those_admitted_play_in_time_beside_everything_else(self):
        span = self.node.spans(CAM)[0]
        url = f"{self.node.rtsp}{CAM}?from={span['start']}&to={span['end']}"
        stop = threading.Event()

        def export():
            while not stop.is_set():
                self.node.get(f"/api/v1/streams{CAM}/media.mp4", raw=True)

        others = [threading.Thread(target=export) for _ in range(2)]
        for other in others:
            other.start()
        self.addCleanup(lambda: [other.join() for other in others])
        self.addCleanup(stop.set)
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp"]
        command += ["-i", url, "-c", "copy", "-f", "null", "-"]
        players = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        wait_for("four players", lambda: len(self.node.get("/api/v1/playbacks")["playbacks"]) == 4, 20)
        for player in players:
            _, errors = player.communicate(timeout=120)
            self.assertEqual((player.returncode, errors), (0, ""))
        status = self.node.get("/api/v1/playbacks")
        self.assertEqual(status["late_blocks"], 0, status)
        self.assertGreater(status["batches"], 0)
        wait_for("their promises given back", lambda: not self.node.get("/api/v1/playbacks")["playbacks"], 20)

    def test_a_storm_of_seeks_and_one_that_stops_reading_make_nobody_late(self):
        span = self.node.spans(CAM)[0]
        url = f"{self.node.rtsp}{CAM}?from={span['start']}&to={span['end']}"
        player = lambda: Player("127.0.0.1", self.node.rtsp_port, url)
        steady, stormy, stuck = player(), player(), player()
        for one in (steady, stormy, stuck):
            self.addCleanup(one.close)
        # One begins and reads nothing any more.
        stuck.play(range="npt=0-")
        stop, seeks = threading.Event(), []

        def storm():
            rng = random.Random(1)
            while not stop.is_set():
                stormy.play(range=f"npt={rng.uniform(0, 9):.2f}-")
                seeks.append(next(stormy.pictures()))

        thread = threading.Thread(target=storm)
        steady.play(range="npt=0-")
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        pictures = sum(1 for _ in steady.pictures())
        stop.set()
        thread.join()
        self.assertGreater(pictures, 100)
        self.assertGreater(len(seeks), 10)
        status = self.node.get("/api/v1/playbacks")
        self.assertEqual((status["late_blocks"], status["withdrawn"]), (0, 0), status)

    def test_a_viewer_that_is_gone_loses_its_promise(self):
        status, answer = self.ask("POST", "/api/v1/playbacks", {"streams": [CAM], "scale": 1})
        self.assertEqual(status, 201)
        media = f"/api/v1/streams{CAM}/media.mp4?playback={answer['id']}"
        self.assertIn(b"ftyp", self.node.get(media, raw=True)[:16])
        self.assertEqual(len(self.node.get("/api/v1/playbacks")["playbacks"]), 1)
        time.sleep(answer["expires_in_ms"] / 1000 + 1)
        self.assertEqual(self.node.get("/api/v1/playbacks")["playbacks"], [])
        with self.assertRaises(urllib.error.HTTPError) as gone:
            self.node.get(media, raw=True)
        self.assertEqual(gone.exception.code, 404)


class Unknown(NodeTest):
    def test_disks_nobody_knows_are_measured_once(self):
        wait_for("promises", lambda: self.node.get("/api/v1/playbacks")["guaranteed"], 30)
        (profile,) = (self.node.data / "profiles").iterdir()
        text = profile.read_text()
        self.assertIn("rate_bps", text)
        self.node.stop()
        self.node.start()
        wait_for("promises", lambda: self.node.get("/api/v1/playbacks")["guaranteed"], 5)
        self.assertEqual(profile.read_text(), text)
        self.node.stop()
        profile.write_text("nonsense")
        self.node.start()
        events = lambda: [e for e in self.node.get("/api/v1/events") if "not guaranteed" in json.dumps(e)]
        wait_for("a reason", events, 10)
        promises = self.node.get("/api/v1/playbacks")
        self.assertEqual((promises["guaranteed"], promises["state"]), (False, "failed"))
        self.assertIn(profile.name, promises["reason"])
        self.assertIn(profile.name, self.node.command("playback", "list"))
        self.node.stop()
        profile.unlink()
        self.node.config.write_text("[playback]\nguaranteed = false\n")
        self.node.start()
        self.assertEqual(self.node.get("/api/v1/playbacks")["state"], "disabled")
        self.node.stop()
        self.node.config.write_text("")
        self.node.start()
        states = []
        wait_for("promises", lambda: states.append(self.node.get("/api/v1/playbacks")["state"]) or states[-1] == "guaranteed", 30, 0.02)
        self.assertEqual(sorted(set(states), reverse=True), ["measuring", "guaranteed"])
