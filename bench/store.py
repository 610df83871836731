"""The store by itself: disk throughput against fio, span queries, opening after a kill.

The measuring is done by `bench/store-bench`, which is built here; this file runs fio beside it, and
says what of its figures is worth showing.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RATE_MBPS = 4
DISKS, DATA = 5, 4
COMMIT_S = 0.5
DISK_MIB = 2048
SIZES_TB = (0.01, 0.1, 1)
CLEANED_GB = (10, 1000, 10000)
SCALE_TB = (0.1, 1, 10, 100)
GARBAGE_MIB = 256


def program():
    """Builds what measures; its path."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "pegasus-store-bench"], cwd=ROOT, check=True)
    return target / "release" / "pegasus-store-bench"


def measure(*arguments):
    """The figures of a subcommand, and the CPU seconds it took."""
    command = [program(), *map(str, arguments)]
    before = os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout), cpu


def fio(folder, seconds, fragment, every):
    """MB/s that five jobs get which write in pieces of `fragment` bytes and flush after `every` of them."""
    done = subprocess.run(
        ["fio", "--name=disk", f"--directory={folder}", f"--numjobs={DISKS}", f"--size={DISK_MIB}M", f"--bs={fragment}",
         "--rw=write", "--direct=1", "--ioengine=psync", f"--fdatasync={every}", "--time_based", f"--runtime={seconds}",
         "--group_reporting", "--output-format=json"],
        stdout=subprocess.PIPE, text=True, check=True)
    for file in Path(folder).glob("disk.*"):
        file.unlink()
    return json.loads(done.stdout)["jobs"][0]["write"]["bw_bytes"] / 1e6


def disk(options):
    """The store on real files, between two runs of fio that write as it does: so long, so often flushed."""
    seconds = min(options.seconds, 20)
    # A commit is half a second of each stream, a fragment of it for each disk.
    fragment = -(-int(RATE_MBPS * 1e6 / 8 * COMMIT_S / DATA) // 4096) * 4096
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))  # where files are on a disk
    try:
        peers = [fio(folder, seconds, fragment, options.streams)]
        ours, cpu = measure("disk", "--dir", folder, "--streams", options.streams, "--rate-mbps", RATE_MBPS,
                            "--seconds", seconds, "--disk-mib", DISK_MIB)
        peers.append(fio(folder, seconds, fragment, options.streams))
        large = fio(folder, seconds / 2, "1M", 16)
    finally:
        shutil.rmtree(folder)
    peer = sum(peers) / len(peers)
    return {
        "pegasus: MB/s to the disks": ours["disks_mb_s"],
        f"fio, {fragment >> 10} KiB writes: MB/s before and after": " ".join(f"{p:.1f}" for p in peers),
        "fio, 1 MiB writes: MB/s": round(large, 1),
        "share of fio": round(ours["disks_mb_s"] / peer, 3),
        "bytes written per media byte, parity apart": ours["bytes_per_media_byte"],
        "pegasus: media MB/s": ours["media_mb_s"],
        "pegasus: share of time the disks are busy": ours["disk_busy_share"],
        "pegasus: bytes a write, writes a flush": f"{ours['bytes_per_write']} {ours['writes_per_flush']}",
        "pegasus: CPU s per GB of media": round(cpu / ours["media_bytes"] * 1e9, 2),
        "pegasus: commits, longest ms": f"{ours['commits']} {ours['commit_ms_max']:.0f}",
        "direct I/O": ours["direct"],
    }


def timeline(options):
    """One query is the spans of all streams."""
    days = 30
    figures, _ = measure("timeline", "--days", days, "--streams", options.streams)
    return {
        "streams, days, spans": f"{figures['streams']} {days} {figures['spans']}",
        f"{days} days: ms p50": figures["whole_ms_p50"],
        f"{days} days: ms p99": figures["whole_ms_p99"],
        "a random day: ms p50": figures["day_ms_p50"],
        "a random day: ms p99": figures["day_ms_p99"],
        f"{days} days, first after opening: ms p50, max": f"{figures['first_ms_p50']} {figures['first_ms_max']}",
        "first after opening: reads, MB": f"{figures['first_reads']} {figures['first_read_bytes'] / 1e6:.1f}",
    }


def reopen(options):
    """Stores of several sizes on simulated disks; times with disks are the CPU's and those of a model of them."""
    result = {}
    for size in SIZES_TB:
        figures, _ = measure("reopen", "--terabytes", size, "--streams", options.streams, "--rate-mbps", RATE_MBPS)
        result |= {
            f"{size:g} TB: segments": int(figures["segments"]),
            f"{size:g} TB: ms p50, max of {figures['openings']}": f"{figures['ms_p50']:.1f} {figures['ms_max']:.1f}",
            f"{size:g} TB: CPU ms p50": figures["cpu_ms_p50"],
            f"{size:g} TB: reads, MB at most": f"{figures['reads_max']} {figures['read_bytes_max'] / 1e6:.1f}",
            f"{size:g} TB: ms at most with flash, hard disks":
                f"{figures['flash_ms_max']:.0f} {figures['hard_disk_ms_max']:.0f}",
        }
    return result


def cleaning(_options):
    """The same garbage in stores of several sizes: bytes that all disks read and write, and CPU time, until it is cleaned."""
    result = {"figures": []}
    for size in CLEANED_GB:
        # The time is the shortest of some, which other programs disturb least; the bytes are the same every time.
        runs = [measure("clean", "--gigabytes", size, "--garbage-mib", GARBAGE_MIB)[0] for _ in range(3)]
        figures = runs[0]
        seconds = min(run["cpu_s"] for run in runs)
        moved = figures["read_mib"] + figures["written_mib"]
        result["figures"].append([size, round(moved, 1), seconds])
        result[f"{size:g} GB in {figures['segments']} segments beside: MiB read, written, CPU s"] = (
            f"{figures['read_mib']:.0f} {figures['written_mib']:.0f} {seconds:.2f} ({figures['freed_mib']:.0f} MiB freed)")
    most, least = max(row[1] for row in result["figures"]), min(row[1] for row in result["figures"])
    result["largest over smallest, bytes"] = round(most / least, 4)
    first = result["figures"][0][1]
    result["furthest from the smallest store's, bytes"] = f"{max(abs(most - first), abs(least - first)) / first:.1%}"
    return result


def schedule(_options):
    """Playbacks that simulated disks keep, against what they could move; and what the scheduler costs."""
    figures, _ = measure("schedule")
    found = {}
    for row in figures["held"]:
        what = f"{row['media']} Mb/s, {row['disks']} disks, {row['zones']} zones, period {row['period_s']} s"
        found[what] = (f"planned {row['planned']}, held {row['held']}, {row['hiccups']} of {row['blocks']} blocks late,"
                       f" of the bound {row['of_bound']}")  # fmt: skip
    for row in figures["cost"]:
        found[f"{row['playbacks']} playbacks on 64 disks, {row['groups']} groups"] = (
            f"admitted in {row['admitted_p50_us']} us (p99 {row['admitted_p99_us']}), refused in"
            f" {row['refused_p50_us']} us (p99 {row['refused_p99_us']}), a period's {row['orders_of_a_period']} orders in"
            f" {row['share_of_a_period'] * 100:.3f} % of it")
    return found


def table(_options):
    """What each knob of a schedule is worth: one is turned at a time, planned and simulated; rows as docs/ref/benchmarks.md has them."""
    figures, _ = measure("table")
    flow, _ = measure("flow")
    found = {"figures": figures["rows"], "flow": flow}
    for row in figures["rows"]:
        what = (f"{row['varies']}: {row['zoning']} m={row['zones']} g={row['groups']} w={row['window']} {row['period_s']:g} s"
                f" D={row['disks']} d={row['width']} k={row['stride']}")  # fmt: skip
        (mean, mean_held), (most, most_held), (buffer, held) = row["startup_mean_s"], row["startup_max_s"], row["buffer_bytes"]
        found[what] = (f"planned {row['planned']}, held {row['held']} (mean {row['held_mean']}), {row['late']} of {row['blocks']}"
                       f" blocks late; startup mean {mean} / {mean_held} s, max {most} / {most_held} s,"
                       f" {row['waited']['for_an_end']} of {row['waited']['of']} waited up to {row['waited']['at_most_s']} s; wasted"
                       f" {row['wasted_bandwidth']:.1%} of rate, {row['wasted_space']:.1%} of room; buffer"
                       f" {buffer / 1e6:.2f} / {held / 1e6:.2f} MB")  # fmt: skip
    return found | ahead(flow) | merging(flow)


def ahead(flow):
    """The same viewers with and without working ahead."""
    found = {}
    for row in flow["ahead"]:
        what = (f"ahead, {row['varies']}: {row['zoning']} m={row['zones']} g={row['groups']} w={row['window']} {row['period_s']:g} s"
                f" D={row['disks']}")  # fmt: skip
        half, half_ahead, most, most_ahead = row["startup_mean_s"]
        (low, high), (plain, _), (limit, held) = row["marks_blocks"], row["buffer_bytes"], row["ahead_buffer_bytes"]
        found[what] = (f"startup mean at 50 %: {half} s, ahead {half_ahead} s; at 90 %: {most} s, ahead {most_ahead} s; {row['late']} of {row['blocks']}"
                       f" blocks late; marks {low}, {high}; buffer {plain / 1e6:.2f} MB, ahead {limit / 1e6:.2f} / {held / 1e6:.2f} MB")  # fmt: skip
    return found


def merging(flow):
    """More viewers than places, with and without merging."""
    found = {}
    for row in flow["merging"]:
        (apart, together), (begun, begun_merging) = row["playing_mean"], row["admitted"]
        (later, sooner) = row["startup_mean_s"]
        found[f"merging, {row['objects']} objects, skew {row['skew']:g}, {row['viewers']} viewers for {row['planned']} places"] = (
            f"play {apart:.0f}, merging {together:.0f}; begun {begun}, merging {begun_merging}, of them merged {row['merged']}; startup mean"
            f" {later} s, merging {sooner} s; {row['late']} of {row['blocks']} blocks late")
    return found


def scale(_options):
    """Stores of up to 100 TB on disks that keep nothing but what is said of the recordings."""
    result = {"figures": []}
    for size in SCALE_TB:
        figures, cpu = measure("scale", "--terabytes", size)
        result["figures"].append(figures)
        memory, openings, checkpoint = figures["memory"], figures["openings"], figures["checkpoint"]
        half, full, freeing = figures["allocation_half_full"], figures["allocation_nearly_full"], figures["freeing"]
        name = f"{size:g} TB"
        result |= {
            f"{name}: segments, slots, files": f"{figures['segments']} {figures['slots']} {figures['files']}",
            f"{name}: MB held, while opening at most": f"{memory['store_bytes'] / 1e6:.2f} {memory['most_bytes'] / 1e6:.1f}",
            f"{name}: bytes held a segment, a slot":
                f"{memory['store_bytes'] / figures['segments']:.2f} {memory['store_bytes'] / figures['slots']:.3f}",
            f"{name}: checkpoint: MB written, ms, MB held": f"{checkpoint['written_bytes'] / 1e6:.2f} {checkpoint['ms_p50']:.1f} "
                                                              f"{checkpoint['memory_bytes'] / 1e6:.1f}",
            f"{name}: opening: CPU ms p50, reads, MB": f"{openings['cpu_ms_p50']:.0f} {openings['reads_max']} "
                                                        f"{openings['read_bytes_max'] / 1e6:.1f}",
            f"{name}: opening: ms at most with flash, hard disks":
                f"{openings['flash_ms_max']:.0f} {openings['hard_disk_ms_max']:.0f}",
            f"{name}: allocating, half full: us p50, p99": f"{half['us_p50']} {half['us_p99']}",
            f"{name}: allocating, nearly full: us p50, p99": f"{full['us_p50']} {full['us_p99']}",
            f"{name}: freeing: us p50, p99": f"{freeing['us_p50']} {freeing['us_p99']}",
            f"{name}: s to make, CPU s in all, MiB at most":
                f"{figures['making_s']:.0f} {cpu:.0f} {figures['process_mib_max']}",
        }
    return result


def amplify(_options):
    """Bytes read and written for each byte written over, on simulated disks; counted, so that a busy machine does not matter."""
    result = {"figures": {}}
    for pattern in ("uniform", "hot", "media"):
        for full in (0.5, 0.75, 0.9):
            figures, _ = measure("amplify", "--full", full, "--pattern", pattern, "--rounds", 0.7)
            result["figures"].setdefault(pattern, []).append([full, figures["cost"], figures["formula"]])
            result[f"{pattern}, {full:.0%} full: cost (2/(1-u) = {figures['formula']:g})"] = (
                f"{figures['cost']:.2f}: written {figures['written_per_byte']:.2f}, read {figures['cleaner_read_per_byte']:.2f}, "
                f"of it moved {figures['moved_per_byte']:.2f}")
    return result
