"""Files through a mount, against peers: each round measures each of them once, so that all see the machine alike."""

import contextlib
import datetime
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import peers

RANDOM_SECONDS = 8
GROUPS, GROUP, THREADS = 12, 64, 4
CEILING_JOBS = 5


def fio(folder, *options, size_mib, name="seq"):
    """A job; its JSON."""
    command = ["fio", f"--name={name}", f"--directory={folder}", f"--size={size_mib}M", "--ioengine=psync",
               "--fallocate=none", "--output-format=json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return json.loads(done.stdout[done.stdout.index("{"):])["jobs"]


def rate(jobs, way):
    """MiB/s of all jobs together, the flush at the end included."""
    return sum(job[way]["io_bytes"] for job in jobs) / max(job["job_runtime"] for job in jobs) * 1000 / (1 << 20)


def sequential_write(peer):
    for old in Path(peer.mount).glob("seq*"):
        old.unlink()
    return rate(fio(peer.mount, "--rw=write", "--bs=1M", "--end_fsync=1", size_mib=peer.mib), "write")


def sequential_read(peer):
    peer.cold()
    return rate(fio(peer.mount, "--rw=read", "--bs=1M", size_mib=peer.mib), "read")


def random_read(peer):
    peer.cold()
    jobs = fio(peer.mount, "--filename=seq.0.0", "--rw=randread", "--bs=4k", "--direct=1", "--numjobs=4",
               "--time_based", f"--runtime={RANDOM_SECONDS}", "--group_reporting", size_mib=peer.mib)
    return jobs[0]["read"]["iops"]


def random_write(peer):
    """Writes of 4 KiB as programs do them, all durable at the end, which is within the time."""
    before = time.monotonic()
    jobs = fio(peer.mount, "--filename=seq.0.0", "--rw=randwrite", "--bs=4k", "--numjobs=4", "--time_based",
               f"--runtime={RANDOM_SECONDS}", "--end_fsync=1", "--group_reporting", size_mib=peer.mib)
    return jobs[0]["write"]["total_ios"] / (time.monotonic() - before)


def small_files(peer):
    """Files of 4 KiB, made in groups by some programs at once; each file of a group is synced, then its directory."""
    folder = Path(peer.mount) / "small"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = os.urandom(4096)

    def program(number):
        own = folder / str(number)
        own.mkdir()
        for group in range(GROUPS):
            files = []
            for at in range(GROUP):
                file = os.open(own / f"{group}-{at}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                os.write(file, data)
                files.append(file)
            for file in files:
                os.fsync(file)
                os.close(file)
            parent = os.open(own, os.O_RDONLY)
            os.fsync(parent)
            os.close(parent)

    programs = [threading.Thread(target=program, args=(number,)) for number in range(THREADS)]
    before = time.monotonic()
    for one in programs:
        one.start()
    for one in programs:
        one.join()
    return THREADS * GROUPS * GROUP / (time.monotonic() - before)


def degraded_read(peer):
    peer.cold()
    return rate(fio(peer.mount, "--rw=read", "--bs=1M", size_mib=peer.mib), "read")


def ceiling(folder, mib):
    """What the disk gives: five files written and read at once, as the store does, by fio, direct."""
    shape = ["--bs=1M", "--direct=1", f"--numjobs={CEILING_JOBS}"]
    size = mib // (CEILING_JOBS - 1)
    write = rate(fio(folder, "--rw=write", *shape, "--end_fsync=1", name="ceiling", size_mib=size), "write")
    read = rate(fio(folder, "--rw=read", *shape, name="ceiling", size_mib=size), "read")
    for file in Path(folder).glob("ceiling*"):
        file.unlink()
    return write, read


WORK = {
    "sequential write, MiB/s": sequential_write,
    "sequential read, MiB/s": sequential_read,
    "random read 4 KiB, /s": random_read,
    "random write 4 KiB, /s": random_write,
    "small files, /s": small_files,
}
DEGRADED = "sequential read with one of five lost, MiB/s"


def measure(options):
    """Figures by what is measured, then by peer: one a round."""
    folder = Path(tempfile.mkdtemp(prefix="bench-mounts-", dir="/var/tmp"))
    wanted = [kind for kind in peers.ALL if kind.is_there()]
    started, found = [], {what: {} for what in [*WORK, DEGRADED]}
    disk = {"write": [], "read": []}
    try:
        # Gluster's daemons have mounts of their own, as they are when they start: they should not have the others'.
        for kind in sorted(wanted, key=lambda kind: kind is not peers.Gluster):
            peer = kind(folder, options.mib)
            started.append(peer)
            peer.start()
        started.sort(key=lambda peer: wanted.index(type(peer)))
        for _ in range(options.rounds):
            for what, work in WORK.items():
                if what.startswith("sequential"):
                    write, read = ceiling(folder, options.mib)
                    disk["write"].append(write)
                    disk["read"].append(read)
                for peer in started:
                    found[what].setdefault(peer.name, []).append(work(peer))
                    print(f"  .. {what}: {peer.name} {found[what][peer.name][-1]:.0f}", flush=True)
        redundant = [peer for peer in started if peer.redundant]
        for peer in redundant:
            sequential_write(peer)
        # Healthy again right before, so that the two differ by the loss alone.
        healthy = {peer.name: [sequential_read(peer) for _ in range(options.rounds)] for peer in redundant}
        for peer in redundant:
            peer.lose_one()
            found[DEGRADED][peer.name] = [degraded_read(peer) for _ in range(options.rounds)]
        rebuilt = rebuild(next((peer for peer in started if peer.name == "pegasus"), None))
    finally:
        for peer in started:
            with contextlib.suppress(Exception):  # the others have to go, too
                peer.close()
        shutil.rmtree(folder, ignore_errors=True)
    return found, disk, healthy, rebuilt


def rebuild(peer):
    """The lost disk is replaced, as fast as it goes: MiB of what is alive gone over a second, by the node's own log."""
    before = time.monotonic()
    peer.node.command("disk", "replace", peer.backing / "disk2", "--rate", "100GiB", "--wait")
    seconds = time.monotonic() - before
    care = peer.node.cli("disk", "list")["care"]
    live = peer.node.cli("status")["store"]["log"]["live_bytes"]
    lines = peer.node.log.read_text().splitlines()
    begin, end = (next(line for line in reversed(lines) if what in line)
                  for what in ("takes part and is being rebuilt", "everything alive was gone over"))
    took = (instant(end) - instant(begin)).total_seconds()
    return {"seconds": took, "with the command": seconds, "fragments": care["repaired_fragments"], "live_bytes": live,
            "MiB of live data a second": round(live / took / (1 << 20), 1)}


def instant(line):
    return datetime.datetime.fromisoformat(line.split()[0])


def run(options):
    found, disk, healthy, rebuilt = measure(options)
    median = lambda values: statistics.median(values) if values else 0
    result = {"ceiling, five files of fio, MiB/s written": round(median(disk["write"]), 1),
              "ceiling, MiB/s read": round(median(disk["read"]), 1)}
    for what, by_peer in found.items():
        own = median(by_peer.get("pegasus", []))
        for name, values in by_peer.items():
            spread = f"{min(values):.0f} to {max(values):.0f}"
            ratio = "" if name == "pegasus" or not median(values) else f", pegasus has {own / median(values):.2f} of it"
            result[f"{what}: {name}"] = f"{median(values):.0f} ({spread}){ratio}"
    write = median(found["sequential write, MiB/s"]["pegasus"])
    result["sequential write: share of the ceiling x 4/5"] = round(write / (median(disk["write"]) * 0.8), 2)
    for name, values in healthy.items():
        lost = median(found[DEGRADED][name])
        result[f"degraded read: share of healthy, {name}"] = round(lost / median(values), 2)
    result["rebuild"] = rebuilt
    result["figures"] = {"rounds": found, "ceiling": disk, "healthy": healthy}
    return result
