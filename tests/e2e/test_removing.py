"""A disk is taken out of a running store, under load, with crashes, and nobody misses it."""

import os
import random
import time

import test_faults
from harness import CLIPS, CommandFailed, publish, wait_for


class Removing(test_faults.MixedLoad):
    """Cameras, programs and viewers go on meanwhile."""

    test_a_disk_is_pulled_and_replaced = None  # that is tried where it stands

    def names(self):
        return sorted(disk["path"].rsplit("/", 1)[-1] for disk in self.disks())

    def refused(self, *command):
        with self.assertRaises(CommandFailed) as refusal:
            self.node.command(*command)
        return str(refusal.exception)

    def test_a_disk_is_added_and_another_removed(self):
        self.record("/before", 6)
        self.want = self.exported("/before")
        self.assertIn("stripes are 5 wide", self.refused("disk", "remove", self.node.data / "disk1"))
        self.node.command("mount", self.mount)
        load = publish(self.node.rtsp + "/load", CLIPS["car"], loop=-1)
        self.addCleanup(load.kill)
        wait_for("load", lambda: self.node.spans("/load"))
        work = [self.doing(self.write), self.doing(self.play)]
        self.further("at first")
        self.node.command("disk", "add", "disk5")
        leaving = str(self.node.data / "disk1")
        answer = self.node.cli("disk", "remove", leaving, "--wait")
        self.assertEqual([d["state"] for d in answer["disks"]], ["ok"] * 5)
        self.assertEqual(self.names(), ["disk0", "disk2", "disk3", "disk4", "disk5"])
        self.further("without it")
        scrub = self.node.cli("disk", "scrub", "--wait")["care"]
        self.assertEqual((scrub["lost_blocks"], scrub["problems"]), (0, []), "under load")
        self.stop.set()
        for thread in work:
            thread.join(60)
        self.assertEqual(self.trouble, [])
        load.kill()
        load.wait()
        time.sleep(1.5)  # what has arrived is durable within a second
        self.assertEqual(len(self.node.spans("/load")), 1, "no gap")
        self.files()
        loaded = self.exported("/load")
        self.node.stop()
        report = self.node.check()
        self.assertTrue(report["ok"], report)
        # Nothing is on it any more, and any one of the others may go.
        (self.node.data / "disk1").unlink()
        (self.node.data / "disk0").unlink()
        self.node.start()
        self.assertEqual(sorted(d["state"] for d in self.disks()), ["missing"] + ["ok"] * 4)
        self.node.command("mount", self.mount)
        self.files()
        self.assertEqual((self.exported("/before"), self.exported("/load")), (self.want, loaded))

    def test_it_goes_on_after_a_kill_and_may_be_called_off(self):
        self.record("/before", 12)
        self.want = self.exported("/before")
        self.node.command("disk", "add", "disk5")
        self.record("/more", 8)
        more = self.exported("/more")
        self.node.command("mount", self.mount)
        data = random.Random(5).randbytes(40 << 20)
        with open(self.mount / "large", "wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        self.node.command("disk", "remove", str(self.node.data / "disk5"), "--rate", "16KiB")
        states = {disk["path"].rsplit("/", 1)[-1]: disk["state"] for disk in self.disks()}
        self.assertEqual(states["disk5"], "removing")
        self.node.command("disk", "remove", str(self.node.data / "disk5"), "--cancel")
        self.assertEqual([d["state"] for d in self.disks()], ["ok"] * 6)
        self.assertIn("not being removed", self.refused("disk", "remove", "2", "--cancel"))
        self.node.command("disk", "remove", "2", "--rate", "8MiB")
        time.sleep(1)
        self.node.kill()
        self.node.start()
        wait_for("the end of the removal", lambda: len(self.disks()) == 5, 60)
        self.assertEqual(self.names(), ["disk0", "disk1", "disk3", "disk4", "disk5"])
        for _ in range(2):
            self.assertEqual([d["state"] for d in self.disks()], ["ok"] * 5)
            self.assertEqual((self.exported("/before"), self.exported("/more")), (self.want, more))
            self.node.command("mount", self.mount)
            self.assertEqual((self.mount / "large").read_bytes(), data)
            self.node.stop()
            self.assertTrue(self.node.check()["ok"])
            self.node.start()
        # It is blank, and may come back.
        self.node.command("disk", "add", "disk2")
        self.record("/after", 3)
        self.node.stop()
        self.node.start()
        self.assertEqual([d["state"] for d in self.disks()], ["ok"] * 6)
        self.assertEqual(self.exported("/before"), self.want)
