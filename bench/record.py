"""Recording: CPU time and peak memory per stream, against ffmpeg to files and MediaMTX."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import Node, ffmpeg, free_port, wait_for

TICK = os.sysconf("SC_CLK_TCK")


def clip(folder):
    """Ten seconds at 4 Mb/s, 1080p25, one key unit a second; noise keeps the encoder at its rate."""
    path = folder / "load.mp4"
    source = "testsrc2=size=1920x1080:rate=25:duration=10,noise=alls=20:allf=t"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-g", 25, "-bf", 0,
           "-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M", "-nal-hrd", "cbr",
           "-pix_fmt", "yuv420p", "-y", path)
    return path


def usage(pids):
    """CPU seconds so far and peak resident bytes of some processes, summed."""
    cpu, peak = 0.0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu += (int(fields[11]) + int(fields[12])) / TICK
        status = Path(f"/proc/{pid}/status").read_text()
        peak += int(next(l.split()[1] for l in status.splitlines() if l.startswith("VmHWM"))) << 10
    return cpu, peak


def publishers(urls, path):
    return [
        subprocess.Popen(
            ["ffmpeg", "-nostdin", "-loglevel", "quiet", "-re", "-stream_loop", "-1", "-i", path, "-c", "copy",
             "-f", "rtsp", "-rtsp_transport", "tcp", url]
        )
        for url in urls
    ]


def watch(pids, seconds, streams):
    before, _ = usage(pids)
    time.sleep(seconds)
    after, peak = usage(pids)
    return {
        "CPU ms per stream and second": round((after - before) / seconds / streams * 1000, 3),
        "peak memory MiB per stream": round(peak / streams / 2**20, 2),
    }


def stop(processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def pegasus(path, options):
    node = Node(disk_size="1500MiB")
    node.start()
    clients = publishers([f"{node.rtsp}/load/{i}" for i in range(options.streams)], path)
    try:
        wait_for("all streams", lambda: sum(s["state"] == "live" for s in node.cli("stream", "list")) == options.streams, 60)
        time.sleep(5)
        before = node.cli("status")["store"]
        result = watch([node.process.pid], options.seconds, options.streams)
        after = node.cli("status")["store"]
        ingest = {k: after["ingest"][k] - before["ingest"][k] for k in ("bytes", "written_bytes", "parity_bytes", "dropped_units")}
        result["bytes written per media byte, parity apart"] = round(
            (ingest["written_bytes"] - ingest["parity_bytes"]) / ingest["bytes"], 3)
        result["units dropped"] = ingest["dropped_units"]
        return result
    finally:
        stop(clients)
        node.close()


def ffmpeg_to_files(path, options):
    """One listening ffmpeg per stream, as people record without a server."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    ports = [free_port() for _ in range(options.streams)]
    recorders = [
        subprocess.Popen(["ffmpeg", "-nostdin", "-loglevel", "quiet", "-rtsp_flags", "listen", "-i",
                          f"rtsp://127.0.0.1:{port}/x", "-c", "copy", folder / f"{port}.mp4"])
        for port in ports
    ]
    time.sleep(3)
    clients = publishers([f"rtsp://127.0.0.1:{port}/x" for port in ports], path)
    try:
        wait_for("all files", lambda: len(list(folder.glob("*.mp4"))) == options.streams, 60)
        time.sleep(5)
        return watch([r.pid for r in recorders], options.seconds, options.streams)
    finally:
        stop(clients + recorders)
        shutil.rmtree(folder)


def mediamtx(path, options):
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    port = free_port()
    config = folder / "mediamtx.yml"
    config.write_text(
        f"rtspAddress: 127.0.0.1:{port}\nrtmp: no\nhls: no\nwebrtc: no\nsrt: no\nrtspTransports: [tcp]\n"
        f"pathDefaults:\n  record: yes\n  recordPath: {folder}/%path/%Y-%m-%d_%H-%M-%S-%f\npaths:\n  all_others:\n"
    )
    server = subprocess.Popen([options.mediamtx, config], stdout=subprocess.DEVNULL)
    time.sleep(2)
    clients = publishers([f"rtsp://127.0.0.1:{port}/load/{i}" for i in range(options.streams)], path)
    try:
        wait_for("all files", lambda: len(list(folder.glob("load/*/*"))) >= options.streams, 60)
        time.sleep(5)
        return watch([server.pid], options.seconds, options.streams)
    finally:
        stop(clients + [server])
        shutil.rmtree(folder)


def run(options):
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        path = clip(folder)
        result = {}
        sides = {"pegasus": pegasus, "ffmpeg to files": ffmpeg_to_files}
        if options.mediamtx:
            sides["mediamtx"] = mediamtx
        for side, measure in sides.items():
            for key, value in measure(path, options).items():
                result[f"{side}: {key}"] = value
        key = "CPU ms per stream and second"
        for side in list(sides)[1:]:
            result[f"CPU, pegasus / {side}"] = round(result[f"pegasus: {key}"] / result[f"{side}: {key}"], 2)
        return result
    finally:
        shutil.rmtree(folder)
