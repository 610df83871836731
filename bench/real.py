"""The planner, the simulation and real time, one knob at a time: what was planned, what came of it in virtual time, and what on disks that take their time.

The disks are simulated rotating ones in real time (`pegasus simulate --export`): files that answer when the heads would be there. The schedule
runs on them as it would on any (`pegasus simulate --on`), with threads, system calls and a machine that has other things to do, too. How late
batches were asked for, and how long the disks were at work against the simulation, tell what that costs. A row in which a block was late is run once more, and both are told.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# As many playbacks as a row can show: a drive of 1996, ten to twenty of 1 Mb/s each.
DISK = """capacity_bytes = 1050000000
rotation_ms = 11.11
seek = [ [1, 5.0], [400, 5.0], [2697, 21.1] ]
zones = [
  { cylinders = 617, rate_bps = 34700000 },
  { cylinders = 500, rate_bps = 31000000 },
  { cylinders = 800, rate_bps = 26500000 },
  { cylinders = 780, rate_bps = 21900000 },
]
"""
# The same, but it says that it moves twice as much as it does.
BOASTS = re.sub(r"rate_bps = (\d+)", lambda rate: f"rate_bps = {int(rate[1]) * 2}", DISK)
RATE_BPS = 1_000_000
# So long and for so many periods at least a row runs, and so many blocks everything has that is played.
TIME_S, PERIODS, BLOCKS = 40, 30, 12
BASE = {"disks": 4, "width": 1, "stride": 1, "period_s": 1.0, "groups": 4, "window": 4, "zones": 1, "zoning": "fixb", "degraded": "none"}
ROWS = [
    ("nothing", {}),
    ("zones; g = 1", {"groups": 1, "window": 1}),
    ("zones; g = 1", {"groups": 1, "window": 1, "zones": 2}),
    ("zones; g = 1", {"groups": 1, "window": 1, "zones": 2, "zoning": "varb"}),
    ("zones", {"zones": 2, "zoning": "varb"}),
    ("g = 8", {"groups": 8, "window": 8}),
    ("window 1 of 4", {"window": 1}),
    ("period 0.5 s", {"period_s": 0.5}),
    ("period 2 s", {"period_s": 2.0}),
    ("D = 1", {"disks": 1}),
    ("D = 1, the profile boasts", {"disks": 1, "boasts": True}),
    ("D = 2", {"disks": 2}),
    ("d = 2", {"width": 2}),
    ("k = 2 = D/2", {"stride": 2}),
    ("k = 4 = D", {"stride": 4}),
    ("d = 2, parity kept, a disk fails", {"width": 2, "degraded": "keep", "fail": 1}),
    ("d = 2, parity shed, a disk fails", {"width": 2, "degraded": "shed", "fail": 1}),
]


@contextlib.contextmanager
def disks(binary, folder, profile, count):
    """So many files that are disks with heads."""
    processes, paths = [], []
    try:
        for number in range(count):
            path = folder / f"disk{number}"
            command = [binary, "--json", "simulate", "--profile", profile, "--export", path, "--seed", number + 1]
            processes.append(subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True))
            paths.append(path)
        for process in processes:
            # What it prints when the disk is there: an object in some lines.
            while (line := process.stdout.readline()) and line != "}\n":
                pass
        yield paths
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(30)


def tried(binary, profile, paths, row):
    """A row's plan, planned, simulated and in real time."""
    knobs = BASE | row
    time_s = max(TIME_S, PERIODS * knobs["period_s"])
    profile = profile.with_name("boasts.toml" if row.get("boasts") else profile.name)
    command = [binary, "--json", "simulate", "--profile", profile, "--on", *paths[: knobs["disks"]],
               "--media", f"video={RATE_BPS},width={knobs['width']}", "--block", int(RATE_BPS / 8 * knobs["period_s"]),
               "--groups", knobs["groups"], "--window", knobs["window"], "--zones", knobs["zones"], "--zoning", knobs["zoning"],
               "--stride", knobs["stride"], "--degraded", knobs["degraded"],
               "--time", f"{time_s:g}s", "--length", f"{BLOCKS * knobs['period_s']:g}s"]  # fmt: skip
    if "fail" in knobs:
        command += ["--fail", knobs["fail"]]
    load = os.getloadavg()[0]
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, check=True)
    return {"row": row, "load": round(load, 1), **json.loads(done.stdout)}


def told(found):
    planned, simulated, real = found["planned"], found["simulated"], found["real"]
    both = lambda of: f"{of(simulated)} / {of(real)}"
    return (
        f"planned {planned['displays']}, held {both(lambda run: run['displays']['max'])} (mean {both(lambda run: round(run['displays']['mean'], 1))}),"
        f" late {both(lambda run: run['hiccups'])} of {both(lambda run: run['blocks'])},"
        f" startup mean s {both(lambda run: round(run['startup_ms']['mean'] / 1e3, 2))},"
        f" margin s p50 {both(lambda run: round(run['margin_ms']['p50'] / 1e3, 3))}, least {both(lambda run: round(run['margin_ms']['least'] / 1e3, 3))},"
        f" disks at work {both(lambda run: round(run['busy'] * 100, 1))} %, shed {both(lambda run: run['shed'])};"
        f" asked up to {real['asked_late_ms']:.1f} ms late, load {found['load']}, failed reads {sum(disk['failed_reads'] for disk in real['disks'])}"
    )


def run(options):
    if not os.path.exists("/dev/fuse"):
        return {"figures": None, "skipped": "needs FUSE"}
    binary = options.binary.resolve()
    out = {"figures": []}
    with tempfile.TemporaryDirectory(prefix="pegasus-real-", dir="/var/tmp") as folder:
        folder = Path(folder)
        profile = folder / "disk.toml"
        profile.write_text(DISK)
        profile.with_name("boasts.toml").write_text(BOASTS)
        with disks(binary, folder, profile, BASE["disks"]) as paths:
            for varied, row in ROWS:
                runs = [tried(binary, profile, paths, row)]
                if runs[0]["real"]["hiccups"]:
                    runs.append(tried(binary, profile, paths, row))
                out["figures"].append({"varied": varied, "runs": runs})
                knobs = BASE | row
                zones = "off" if knobs["zones"] == 1 else f"{knobs['zoning']} {knobs['zones']}"
                for number, found in enumerate(runs):
                    name = f"{varied}, {zones}" + (", again" if number else "")
                    out[name] = told(found)
                    print(f"  {name}", file=sys.stderr, flush=True)  # it takes a quarter of an hour
    return out
