#!/usr/bin/env python3
"""Measures Pegasus and its peers side by side: `run.py --binary PATH [NAME ...]`."""

import argparse
import json
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))


def machine():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    cores = sum(l.startswith("processor") for l in open("/proc/cpuinfo"))
    memory = int(next(l.split()[1] for l in open("/proc/meminfo") if l.startswith("MemTotal"))) >> 20
    return f"{cpu}, {cores} cores, {memory} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--mediamtx", type=Path, help="a MediaMTX binary to compare with")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="of measurements against peers")
    parser.add_argument("--mib", type=int, default=512, help="length of the file that is measured through mounts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="a folder for drawings of the figures")
    parser.add_argument("names", nargs="*", help="record disk seek timeline reopen amplify cleaning scale schedule table real mounts playback killed; default all")
    options = parser.parse_args()
    import os

    os.environ["PEGASUS_BINARY"] = str(options.binary.resolve())
    import killed
    import mounts
    import playback
    import plot
    import real
    import record
    import seek
    import store

    known = {
        "record": record.run,
        "disk": store.disk,
        "seek": seek.run,
        "timeline": store.timeline,
        "reopen": store.reopen,
        "amplify": store.amplify,
        "cleaning": store.cleaning,
        "scale": store.scale,
        "schedule": store.schedule,
        "table": store.table,
        "real": real.run,
        "mounts": mounts.run,
        "playback": playback.run,
        "killed": killed.run,
    }
    results = {"machine": machine(), "date": str(date.today()), "command": " ".join(sys.argv)}
    print(f"{results['machine']}\n{results['date']}\n")
    for name in options.names or known:
        started = time.monotonic()
        results[name] = known[name](options)
        print(f"{name} ({time.monotonic() - started:.0f} s)")
        for key, value in results[name].items():
            if key not in ("figures", "flow"):
                print(f"  {key:<44} {value}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    if options.plots:
        plot.draw(results, options.plots)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}")
