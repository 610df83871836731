"""PostgreSQL on the mount: the node killed under it, and everything it was answered for still there."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from harness import Node, wait_for
from test_files import CONFIG, MountTest, unmount

# A round is a start of PostgreSQL, some seconds of load, a kill, and a check of every row.
ROUNDS = max(2, int(os.environ.get("PEGASUS_KILLS", "10")) // 5)
WRITERS = 3
USER = "postgres"
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",  # small, so that pages are written and read again
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "checkpoint_timeout": "30s",
    "log_min_messages": "log",
    "autovacuum_naptime": "5s",
}


def programs():
    """The folder of the newest PostgreSQL's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found and shutil.which("setpriv") else None


class Writer(threading.Thread):
    """Inserts numbers, one a transaction, and keeps those whose commit was answered."""

    def __init__(self, command, number, first):
        super().__init__(daemon=True)
        self.number, self.next, self.acknowledged = number, first, []
        self.psql = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.start()

    def run(self):
        try:
            while True:
                text = f"insert into ledger values ({self.number}, {self.next}, repeat('x', {self.next % 700}));\n"
                self.psql.stdin.write(text)
                self.psql.stdin.flush()
                if not self.psql.stdout.readline().startswith("INSERT"):
                    return
                self.acknowledged.append(self.next)
                self.next += 1
        except OSError:
            pass
        finally:
            self.psql.kill()
            self.psql.wait()


@unittest.skipUnless(programs() and os.geteuid() == 0, "needs postgresql, and root")
class Postgres(MountTest):
    def setUp(self):
        self.mount = Path(tempfile.mkdtemp(prefix="pegasus-mount-"))
        self.sockets = Path(tempfile.mkdtemp(prefix="pegasus-pg-"))
        self.log = self.sockets / "server.log"
        for folder in (self.mount, self.sockets):
            folder.chmod(0o755)
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        shutil.chown(self.sockets, USER, USER)
        self.node = Node(config=CONFIG.format(self.mount))
        self.addCleanup(unmount, self.mount)
        self.addCleanup(self.node.close)
        self.server = None
        self.addCleanup(self.kill_server)
        self.start()
        self.data = self.mount / "pg"
        self.data.mkdir()
        self.data.chmod(0o700)
        shutil.chown(self.data, USER, USER)
        self.pg("initdb", "--pgdata", self.data, "--data-checksums", "--auth", "trust", "--no-instructions")

    def command(self, program, *args):
        # It becomes the program, rather than wait for it as `su` does: a kill hits PostgreSQL itself.
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        return [*user, str(programs() / program), *map(str, args)]

    def pg(self, program, *args):
        done = subprocess.run(
            self.command(program, *args), capture_output=True, text=True, timeout=300, check=False, cwd="/"
        )
        self.assertEqual(done.returncode, 0, f"{program}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout

    def sql(self, text):
        return self.pg("psql", *self.where(), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text).split()

    def where(self):
        return ["-h", self.sockets, "-d", "postgres"]

    def start_server(self):
        command = self.command("postgres", "-D", self.data, "-k", self.sockets)
        for key, value in SETTINGS.items():
            command += ["-c", f"{key}={value}"]
        with open(self.log, "ab") as log:
            self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        ready = self.command("pg_isready", *self.where(), "-q")

        def answers():
            self.assertIsNone(self.server.poll(), self.log.read_text(errors="replace")[-3000:])
            return subprocess.run(ready, check=False, cwd="/").returncode == 0

        wait_for("PostgreSQL to answer", answers, 120)

    def kill_server(self):
        """Ends PostgreSQL and its children at once, which are in sessions of their own."""
        if not self.server:
            return
        processes = family(self.server.pid)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.server.wait(30)
        wait_for("its children's end", lambda: not any(Path(f"/proc/{p}").exists() for p in processes), 30)
        self.server = None

    def test_every_commit_outlives_kills_of_the_node(self):
        chance = random.Random(int(os.environ.get("PEGASUS_SEED", "1")))
        self.start_server()
        self.pg("pgbench", *self.where(), "-i", "-q", "-s", "2")
        self.sql("create table ledger (writer int, n int, filler text, primary key (writer, n))")
        self.sql("create extension amcheck")
        kept = {number: [] for number in range(WRITERS)}
        for number in range(ROUNDS):
            acknowledged = self.killed_under_load(chance.uniform(0.5, 3.0), kept)
            self.assertTrue(acknowledged, "nothing was committed")
            self.start()
            self.start_server()
            self.check(kept, f"round {number}")
        self.pg("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w")
        self.server.wait(60)
        self.server = None
        self.pg("pg_checksums", "--check", "-D", self.data)
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report["problems"][:5])

    def killed_under_load(self, seconds, kept):
        """Load for so long, then the node is killed under it; how many commits were answered."""
        psql = self.command("psql", *self.where(), "-XAt", "-v", "ON_ERROR_STOP=1")
        writers = [Writer(psql, number, len(kept[number])) for number in kept]
        load = subprocess.Popen(
            self.command("pgbench", *self.where(), "-n", "-c", "4", "-T", "600"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )
        self.addCleanup(load.kill)
        wait_for("commits", lambda: all(writer.acknowledged for writer in writers), 60)
        time.sleep(seconds)
        self.assertIsNone(self.node.process.poll(), "the node was still alive")
        self.assertIsNone(load.poll(), "so was the load")
        self.node.kill()
        unmount(self.mount)
        for writer in writers:
            writer.join(60)
            self.assertFalse(writer.is_alive(), "a writer hangs")
            kept[writer.number] += writer.acknowledged
        self.kill_server()
        load.kill()
        load.wait()
        return sum(len(writer.acknowledged) for writer in writers)

    def check(self, kept, when):
        """Indexes and tables fit, the bank's books balance, and no commit is missing."""
        self.pg("pg_amcheck", *self.where(), "--heapallindexed", "--parent-check")
        sums = self.sql(
            "select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches),"
            " (select sum(tbalance) from pgbench_tellers), (select coalesce(sum(delta), 0) from pgbench_history)"
        )[0].split("|")
        self.assertEqual(len(set(sums)), 1, f"{when}: the books differ: {sums}")
        for number, acknowledged in kept.items():
            rows = list(map(int, self.sql(f"select n from ledger where writer = {number} order by n")))
            missing = sorted(set(acknowledged) - set(rows))
            self.assertEqual(missing, [], f"{when}: writer {number} was answered for these")
            # What was committed and not answered may be there: one row at most, the next.
            self.assertLessEqual(len(rows) - len(acknowledged), 1, when)
            wrong = self.sql(f"select n from ledger where writer = {number} and length(filler) <> n % 700")
            self.assertEqual(wrong, [], f"{when}: rows that differ")
            kept[number] = rows


def family(pid):
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    if children.exists():
        for child in children.read_text().split():
            found += family(int(child))
    return found


if __name__ == "__main__":
    unittest.main()
