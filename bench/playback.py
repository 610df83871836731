"""How many playbacks keep their rate: this node, nginx and plain readers from ext4, on a rotating disk and on the machine's own.

The rotating disk is simulated in real time (`pegasus simulate --export`): a file that answers when the heads would be there.
All are asked alike: a player takes a block of two seconds at a time, holds two, and begins when it has both, and not before it is
told to where it is told; a hiccup is a block that is not there when it is to be shown. Clips fill the disk, so that some of them lie where it is slow. First they play alone, then
beside readers that take all the disk gives.
"""

import contextlib
import http.client
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness import Node, wait_for

ROTATING = """capacity_bytes = 8589934592
rotation_ms = 8.33
overhead_ms = 0.1
seek = [[0, 0.0], [1, 0.8], [400, 3.2], [4000, 9.0]]
zones = [
  { cylinders = 1000, rate_bps = 2080000000 },
  { cylinders = 1000, rate_bps = 1800000000 },
  { cylinders = 1000, rate_bps = 1500000000 },
  { cylinders = 1000, rate_bps = 1120000000 },
]
"""
RATE_BPS = 4_000_000
PERIOD_S = 2.0
BLOCK = int(RATE_BPS / 8 * PERIOD_S)
SHOWN_S = 16
CLIP_S = 48
RAMP_S = 0.09
ASKED_EVERY_S = 0.1
STREAMS = 280
LOADS = {"rotating": (50, 100, 140, 180, 220, 280), "own": (100, 280)}
BESIDE_LOADS = {"rotating": (50, 100, 140, 180), "own": (100,)}
BULK_READERS = 8


class Player:
    """Shows what it is given at the rate of the recording; counts the blocks that were not there, and whether it was cut off before its end."""

    def __init__(self):
        self.hiccups = 0
        self.cut = False
        self.blocks = 0
        self.began = None
        self.refused = False

    def start(self, asked, take, starts_in, until):
        """Since `asked` he waits; `take(bytes)` gives the next bytes, waiting for them; `starts_in()` tells how long to wait yet with both."""
        if len(take(BLOCK)) + len(take(BLOCK)) < 2 * BLOCK:
            self.hiccups, self.cut = 1, True
            return
        while (rest := starts_in()) > 0:
            time.sleep(min(rest, ASKED_EVERY_S))
        due = time.monotonic()
        self.began = due - asked
        self.blocks = 2
        # The first two are shown; each time one is over, the next is asked for.
        while due < until:
            due += PERIOD_S
            time.sleep(max(0, due - time.monotonic()))
            block = take(BLOCK)
            if len(block) < BLOCK:
                # A clip lasts longer than anybody is shown of it.
                self.hiccups += 1
                self.cut = True
                return
            self.blocks += 1
            late = time.monotonic() - (due + PERIOD_S)
            if late > 0:
                # The one before is over: nothing is shown until this one is there.
                self.hiccups += 1
                due += late


def http_reader(url):
    answer = urllib.request.urlopen(url, timeout=60)

    def take(wanted):
        try:
            return answer.read(wanted)
        except (OSError, http.client.HTTPException):
            return b""

    return take


def file_reader(path):
    file = open(path, "rb", buffering=0)

    def take(wanted):
        parts = []
        while wanted > 0:
            part = file.read(min(wanted, 1 << 17))
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    return take


@contextlib.contextmanager
def beside(opener):
    """Readers of other clips, as fast as they can, until it is over; how many bytes they had."""
    stop = threading.Event()
    had = [0] * BULK_READERS

    def run(number):
        chance = random.Random(number)
        while not stop.is_set():
            with contextlib.suppress(OSError):
                take = opener(chance.randrange(STREAMS))
                while not stop.is_set() and (block := take(1 << 20)):
                    had[number] += len(block)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(BULK_READERS)]
    for thread in threads:
        thread.start()
    try:
        yield had
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def device_reader(device, from_byte):
    """Reads as much as a clip has of a device, past the page cache: from that, others would soon read at the speed of memory."""
    file = os.open(device, os.O_RDONLY | os.O_DIRECT)
    at = [from_byte, from_byte + RATE_BPS // 8 * CLIP_S]
    buffer = mmap.mmap(-1, 1 << 20)

    def take(_):
        if at[0] >= at[1]:
            os.close(file)
            return b""
        had = os.preadv(file, [buffer], at[0])
        at[0] += 1 << 20
        return buffer[:had]

    return take


def offer_all(kind, player, bulk, over=lambda: None):
    """What becomes of all loads, alone and beside others. `player` opens what is promised, if anything is, `bulk` what is not; a load is `over`."""
    alone, together = [], []
    for load in LOADS[kind]:
        over()
        drop_caches()
        alone.append(offer(load, player))
    for load in BESIDE_LOADS[kind]:
        over()
        drop_caches()
        began = time.monotonic()
        with beside(bulk) as had:
            outcome = offer(load, player)
        outcome["others_mb_s"] = round(sum(had) / (time.monotonic() - began) / 1e6, 1)
        together.append(outcome)
    return {"alone": alone, "beside": together}


def offer(count, opener):
    """`count` players, one after the other; what became of them."""
    players = [Player() for _ in range(count)]
    until = time.monotonic() + SHOWN_S + count * RAMP_S

    def run(number, player):
        time.sleep(number * RAMP_S)
        asked = time.monotonic()
        try:
            take, starts_in = opener(number)
        except Refused:
            player.refused = True
            return
        except OSError:
            player.hiccups, player.cut = 1, True
            return
        player.start(asked, take, starts_in, until)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(players)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    playing = [player for player in players if not player.refused]
    starts = sorted(player.began for player in playing if player.began is not None)
    return {
        "offered": count,
        "playing": len(playing),
        "refused": count - len(playing),
        "without_hiccup": sum(player.hiccups == 0 for player in playing),
        "hiccups": sum(player.hiccups for player in playing),
        "cut": sum(player.cut for player in playing),
        "blocks": sum(player.blocks for player in playing),
        "startup_ms_p50": round(1000 * starts[len(starts) // 2]) if starts else None,
        "startup_ms_max": round(1000 * starts[-1]) if starts else None,
    }


class Refused(Exception):
    pass


# Which clip each player shows: by chance, as files lie on the disk in the order they were written.
CLIPS = random.Random(1).sample(range(STREAMS), STREAMS)


def clip(number):
    return CLIPS[number % STREAMS]


def drop_caches():
    subprocess.run(["sync"], check=True)
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3")


@contextlib.contextmanager
def rotating(binary, folder, name):
    """A file that is a disk with heads."""
    profile = folder / "rotating.toml"
    profile.write_text(ROTATING)
    path = folder / name
    command = [binary, "simulate", "--profile", profile, "--export", path, "--json"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        yield path
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextlib.contextmanager
def plain(folder, name):
    path = folder / name
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8 << 30)
    try:
        yield path
    finally:
        path.unlink()


def node(kind, store_bench, folder, disk, profile):
    """The node's figures for each load."""
    filled = subprocess.run(
        [store_bench, "filled", "--disk", disk, "--streams", str(STREAMS), "--seconds", str(CLIP_S), "--rate-mbps", str(RATE_BPS / 1e6), "--unit-mib", "8"],
        check=True,
        capture_output=True,
        text=True,
    )
    config = f'[store]\ndisks = ["{disk}"]\nparity = 0\n[playback]\n'
    config += f'profile = "{profile}"\n' if profile else ""
    server = Node(config=config)
    granted = []

    def media(number):
        return f"{server.http}/api/v1/streams/bench/{clip(number)}/media.mp4"

    def starts_in(answer):
        """As the node said, and says when it is asked again."""
        at = time.monotonic() + answer["starts_in_ms"] / 1000
        url = f"{server.http}/api/v1/playbacks/{answer['id']}"

        def rest():
            if time.monotonic() >= at:
                return 0
            request = urllib.request.Request(url, b"{}", {"content-type": "application/json"}, method="PATCH")
            return json.loads(urllib.request.urlopen(request, timeout=60).read())["starts_in_ms"] / 1000

        return rest

    def player(number):
        body = json.dumps({"streams": [f"/bench/{clip(number)}"]}).encode()
        request = urllib.request.Request(server.http + "/api/v1/playbacks", body, {"content-type": "application/json"})
        try:
            answer = json.loads(urllib.request.urlopen(request, timeout=60).read())
        except urllib.error.HTTPError as error:
            raise Refused(error.read()) from None
        granted.append(answer["id"])
        return http_reader(f"{media(number)}?playback={answer['id']}"), starts_in(answer)

    def give_back():
        """What the round before was promised."""
        while granted:
            request = urllib.request.Request(f"{server.http}/api/v1/playbacks/{granted.pop()}", method="DELETE")
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=60)

    try:
        # Where every recording ends is looked for where the heads have to go: half a minute for so many.
        server.start(seconds=180)
        wait_for("promises", lambda: server.get("/api/v1/playbacks")["guaranteed"], 60)
        results = offer_all(kind, player, lambda number: http_reader(media(number)), give_back)
        promises = server.get("/api/v1/playbacks")
    finally:
        server.close()
    kept = ("late_blocks", "late_batches", "batches", "withdrawn", "slowdown", "admitted", "refused")
    return {**results, "filled": json.loads(filled.stdout), **{key: promises[key] for key in kept}}


def at_once(opener):
    """Nobody tells when to begin."""
    return lambda number: (opener(number), lambda: 0)


def peers(kind, folder, disk):
    """nginx's and plain readers' figures for each load."""
    loop = subprocess.run(
        ["losetup", "--direct-io=on", "--show", "-f", str(disk)], check=True, capture_output=True, text=True
    ).stdout.strip()
    mount = folder / "peers"
    mount.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", loop], check=True)
        subprocess.run(["mount", loop, str(mount)], check=True)
        content = os.urandom(RATE_BPS // 8 * CLIP_S)
        for number in range(STREAMS):
            (mount / f"{number}.mp4").write_bytes(content)
        subprocess.run(["sync"], check=True)
        others = lambda number: device_reader(loop, number << 24)
        with nginx(folder, mount) as url:
            served = lambda number: http_reader(f"{url}/{clip(number)}.mp4")
            results = {"nginx": offer_all(kind, at_once(served), others)}
        read = lambda number: file_reader(mount / f"{clip(number)}.mp4")
        results["readers"] = offer_all(kind, at_once(read), others)
        return results
    finally:
        subprocess.run(["umount", str(mount)], check=False)
        subprocess.run(["losetup", "-d", loop], check=False)
        mount.rmdir()


@contextlib.contextmanager
def nginx(folder, root):
    from harness import free_port

    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 2; user root;
        events {{ worker_connections 1024; }}
        http {{ access_log off; sendfile on; aio threads; server {{ listen 127.0.0.1:{port}; root {root}; }} }}"""
    )
    process = subprocess.Popen(["nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for("nginx", lambda: urllib.request.urlopen(url + "/0.mp4", timeout=5).status == 200, 10)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def best(loads):
    """Most playbacks at once of which none had a hiccup."""
    return max((load["playing"] for load in loads if load["hiccups"] == 0), default=0)


def run(options):
    binary = options.binary.resolve()
    store_bench = binary.parent / "pegasus-store-bench"
    if not store_bench.exists():
        return {"figures": None, "skipped": f"{store_bench} is not there: build it first"}
    if os.geteuid() != 0 or not shutil.which("nginx"):
        return {"figures": None, "skipped": "needs root, and nginx"}
    figures = {}
    for kind in LOADS:
        with tempfile.TemporaryDirectory(prefix="pegasus-playback-") as folder:
            folder = Path(folder)
            make = (lambda name: rotating(binary, folder, name)) if kind == "rotating" else (lambda name: plain(folder, name))
            with make("node") as disk:
                profile = folder / "rotating.toml" if kind == "rotating" else None
                figures[kind] = {"node": node(kind, store_bench, folder, disk, profile)}
            with make("others") as disk:
                figures[kind] |= peers(kind, folder, disk)
    out = {"figures": figures}
    for kind, of in figures.items():
        for how in ("alone", "beside"):
            each = {name: best(of[name][how]) for name in ("node", "nginx", "readers")}
            out[f"{kind}, {how}: most at once without a hiccup"] = each
            out[f"{kind}, {how}: against the best other"] = round(each["node"] / max(1, each["nginx"], each["readers"]), 2)
        out[f"{kind}: late blocks of those admitted"] = of["node"]["late_blocks"]
    return out
