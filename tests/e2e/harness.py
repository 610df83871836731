"""A node under test, and the clients that test it: real ffmpeg, real ports, real signals."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT / "tests" / "media"
ARTIFACTS = ROOT / "tests" / "artifacts"
CLIPS = {
    "car": MEDIA / "car-detection.mp4",
    "person": MEDIA / "one-by-one-person-detection.mp4",
    "bottle": MEDIA / "bottle-detection.mp4",
}
LONG = bool(os.environ.get("PEGASUS_LONG"))
BINARY = Path(os.environ.get("PEGASUS_BINARY", ROOT / "target" / "debug" / "pegasus")).resolve()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=20.0, pause=0.1):
    """Polls until `condition()` is true; its value. Fails, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
        except (OSError, urllib.error.URLError, CommandFailed):
            value = None
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


class CommandFailed(Exception):
    """A command of ours exited non-zero; carries what it said."""


class Node:
    """One running node with a data folder of its own."""

    def __init__(self, data=None, config="", disk_size="256MiB", cameras=False):
        self.own = data is None
        self.data = Path(data or tempfile.mkdtemp(prefix="pegasus-e2e-"))
        self.http_port, self.rtsp_port = free_port(), free_port()
        self.http = f"http://127.0.0.1:{self.http_port}"
        self.rtsp = f"rtsp://127.0.0.1:{self.rtsp_port}"
        self.config = self.data / "pegasus.toml"
        if not self.config.exists() or config:
            self.config.write_text(config or f'[store]\ndisk_size = "{disk_size}"\n')
        self.cameras = cameras
        self.process = None
        self.log = self.data / "node.log"

    def start(self, wait=True, seconds=30):
        command = [BINARY, "up", "--config", self.config, "--data", self.data]
        command += ["--http", f"127.0.0.1:{self.http_port}"]
        command += ["--rtsp", f"127.0.0.1:{self.rtsp_port}"]
        if not self.cameras:
            command.append("--no-test-cameras")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        if wait:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=30):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended: {self.tail()}")
            return self.get("/healthz", raw=True)

        wait_for("the node to answer", ready, seconds, 0.02)

    def tail(self, lines=25):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, how=signal.SIGTERM, seconds=30):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(seconds)
        return self.process.returncode if self.process else None

    def kill(self):
        return self.stop(signal.SIGKILL)

    def close(self):
        try:
            self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
            text = self.log.read_text(errors="replace") if self.log.exists() else ""
            if self.own:
                shutil.rmtree(self.data, ignore_errors=True)
            assert "panicked at" not in text, f"a thread panicked:\n{text[-4000:]}"

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is not None:
            print(f"--- the node's log ---\n{self.tail(40)}\n---")
        self.close()

    def get(self, path, raw=False):
        with urllib.request.urlopen(self.http + path, timeout=30) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def cli(self, *args, check=True):
        """Runs a `pegasus` command against this node with --json; its JSON."""
        out = self.command("--json", *args, check=check)
        return json.loads(out) if out.strip() else None

    def command(self, *args, check=True):
        done = subprocess.run(
            [BINARY, "--node", self.http, *map(str, args)], capture_output=True, text=True, timeout=300
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"pegasus {' '.join(map(str, args))}: {done.stderr.strip()}")
        return done.stdout

    def stream(self, name):
        return next((s for s in self.cli("stream", "list") if s["name"] == name), None)

    def spans(self, name):
        return self.cli("recording", "list", name)

    def check(self):
        """`store check` of the stopped store; its report."""
        done = subprocess.run(
            [BINARY, "--json", "store", "check", "--data", self.data, "--config", self.config],
            capture_output=True,
            text=True,
            timeout=600,
        )
        try:
            report = json.loads(done.stdout)
        except json.JSONDecodeError as error:
            raise AssertionError(f"store check said {done.stdout!r} {done.stderr!r}") from error
        assert (done.returncode == 0) == report["ok"], (done.returncode, report)
        return report


def ffmpeg(*args, check=True, **more):
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done


def publish(url, source, transport="tcp", extra=(), loop=0, realtime=True):
    """Starts ffmpeg publishing `source` (a path, or input options); the process."""
    inputs = ["-i", str(source)] if isinstance(source, (str, Path)) else [str(a) for a in source]
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error"]
    command += ["-re"] if realtime else []
    command += ["-stream_loop", str(loop)] if loop else []
    command += [*inputs, *(extra or ["-c", "copy"]), "-f", "rtsp", "-rtsp_transport", transport, url]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def frame_hashes(path, stream, *more):
    """Checksums of the coded packets of one stream of a file, in the file's order."""
    out = ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", *more, "-f", "framehash", "-").stdout
    return [line.split(",")[-1].strip() for line in out.splitlines() if not line.startswith("#")]


def probe(path, *entries):
    command = ["ffprobe", "-v", "error", "-of", "json", *entries, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout or "{}"), done.stderr.strip()


class NodeTest(unittest.TestCase):
    """A test with a node of its own; `options` are Node's."""

    options = {}

    def setUp(self):
        self.node = Node(**self.options)
        self.node.start()
        self.addCleanup(self.finish)

    def finish(self):
        failed = self._outcome and not self._outcome.success
        if failed:
            print(f"--- {self.id()}: the node's log ---\n{self.node.tail(40)}\n---")
        self.node.close()
