#!/usr/bin/env python3
"""Breaks the store on purpose, in a copy, and demands that its tests notice.

A test that passes whatever the code does proves nothing. Each mutation below is a fault somebody might make; the
crate's tests have to fail with it. Usage: tests/mutations.py [NAME...]"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = "crates/store/log/src/"
FILES = "crates/store/files/src/"
CONTINUOUS = "crates/store/continuous/src/"

# name: (file, what stands there, what is put in its place, tests of which package)
MUTATIONS = {
    "a playback begins when it was read for once": (
        CONTINUOUS + "guarantee/admission/start.rs", "lead.services >= periods", "lead.services >= 1", "pegasus-continuous"),
    "who begins at once may hold no more than others": (
        CONTINUOUS + "guarantee/curve.rs", "most = most.max(bytes);", "most = 0;", "pegasus-continuous"),
    "who went elsewhere is taken for read for": (
        CONTINUOUS + "guarantee/stock.rs", "(self.since, self.services, self.is_over) = (Instant::now(), 0, false);", "", "pegasus-continuous"),
    "indexes are read for each who goes through them": (
        CONTINUOUS + "indexes.rs", "self.whole.lock().keep(id, bytes, entries.clone().into());", "", "pegasus-continuous"),
    "others read on while somebody begins": (
        LOG + "gate.rs", "if is_rest && self.hurried > 0 && self.rest > 0 {", "if is_rest && self.hurried > 1 && self.rest > 0 {", "pegasus-log"),
    "a flush is forgotten": (
        LOG + "disks.rs", "begun.ticket.map(Ticket::wait)", "begun.ticket.map(|_| Ok::<Option<pegasus_disk::AlignedBuf>, DiskError>(None))", "pegasus-log"),
    "parity is not computed": (
        LOG + "code.rs", "data[1..].iter().for_each(|slice| xor_into(sum, slice));", "", "pegasus-log"),
    "the second parity is the first": (
        LOG + "code.rs", ".for_each(|(to, from)| to.copy_from_slice(from));", ".for_each(|(to, _)| to.copy_from_slice(result.recovery(0).expect(POSSIBLE)));", "pegasus-log"),
    "what two slices lack is shared out wrongly": (
        LOG + "code.rs", "[(*x, of(d, b)), (*y, of(c, a))].into()", "[(*x, of(c, a)), (*y, of(d, b))].into()", "pegasus-log"),
    "two parities are no feature": (
        LOG + "format/superblock.rs", "if two { FEATURE_TWO_PARITIES } else { 0 }", "if two { 0 } else { 0 }", "pegasus-log"),
    "an opening that came to nothing leaves disks behind": (
        LOG + "superblocks.rs", "own.map(begun).max().unwrap_or(newest.epoch)", "own.map(begun).max().unwrap_or(0).max(newest.epoch)", "pegasus-log"),
    "a checkpoint that is due makes no room": (
        "crates/store/continuous/src/retain.rs", "self.checkpoint_due || inner.log.status().pending_slots > 0", "inner.log.status().pending_slots > 0", "pegasus-sim"),
    "a recording without segments counts anew": (
        "crates/store/continuous/src/open.rs", "(view.end, view.after) = (Some(last.end), last.after);", "let _ = last;", "pegasus-sim"),
    "a commit needs all but one fragment whatever the parity": (
        LOG + "writing.rs", "< usize::from(header.data) {", "< usize::from(header.fragments()) - 1 {", "pegasus-log"),
    "a commit needs one fragment less than data": (
        LOG + "writing.rs", "< usize::from(header.data) {", "< usize::from(header.data) - 1 {", "pegasus-log"),
    "with disks dead parity gets narrower instead of data": (
        LOG + "batch/mod.rs", "min(room.saturating_sub(parity));", "min(room.saturating_sub(1));", "pegasus-log"),
    "the log keeps two copies whatever the parity": (
        LOG + "log_plan.rs", "for width in (usize::from(LOG_DATA)..=wanted).rev() {", "for width in (usize::from(LOG_DATA)..=wanted.min(2)).rev() {", "pegasus-log"),
    "only one parity is verified": (
        LOG + "stripe.rs", "differing.filter(|(_, pair)| differs(*pair))", "differing.take(1).filter(|(_, pair)| differs(*pair))", "pegasus-log"),
    "fragments are not verified": (
        LOG + "stripe.rs", "if found != header.slice_crc {", "if false {", "pegasus-log"),
    "a transaction counts though its blocks did not arrive": (
        LOG + "recovery.rs", "notes.iter().all(arrived)", "notes.iter().all(|note| arrived(note) || true)", "pegasus-log"),
    "a dropped batch is not taken back": (
        LOG + "batch/mod.rs", "self.take_back_blocks();\n        self.writer.alloc", "self.writer.alloc", "pegasus-log"),
    "slots are used again before the checkpoint": (
        LOG + "alloc.rs", "self.pending.extend(columns);", "self.release(&columns.to_vec());", "pegasus-log"),
    "the cleaner moves what is dead": (
        LOG + "pnode/map.rs", "Ok(held && self.addr_of(block, load)? == Some(*addr))", "let _ = (addr, load); Ok(held)", "pegasus-log"),
    "the cleaner moves nothing": (
        LOG + "cleaning.rs", "collect(victim, &header, &fragments.payload_or_rebuilt(), pieces);", "let _ = (&header, &mut *pieces);", "pegasus-log"),
    "what bulk content replaces is not counted as dead": (
        LOG + "pnode.rs", "self.killed.extend(entry.replace(*addr));", "entry.replace(*addr);", "pegasus-log"),
    "the open content segment is freed": (
        LOG + "checkpoint.rs", "kept.extend(writer.content);", "", "pegasus-log"),
    "replay forgets bulk content": (
        LOG + "replay.rs", "Record::Placed { first, addrs, .. } => pnode.place(*first, addrs, &load)?,", "Record::Placed { .. } => {}", "pegasus-log"),
    "no room is set aside for the next checkpoint": (
        LOG + "writer.rs", "self.alloc.set_aside(load.slots(geometry, living), idle.slots(geometry, living));", "self.alloc.set_aside(0, 0); let _ = (load, idle, geometry, living);", "pegasus-sim"),
    "the simulator: a flush is forgotten": (
        LOG + "disks.rs", "begun.ticket.map(Ticket::wait)", "begun.ticket.map(|_| Ok::<Option<pegasus_disk::AlignedBuf>, DiskError>(None))", "pegasus-sim"),
    "the simulator: fragments are not verified": (
        LOG + "stripe.rs", "if found != header.slice_crc {", "if false {", "pegasus-sim"),
    "a sync is answered before the disks are": (
        "crates/store/files/src/flush.rs", "                self.flush(&mut state)?;\n                continue;", "                return Ok(());", "pegasus-sim"),
    "a disk that is being rebuilt is not written": (
        "crates/store/continuous/src/geometry.rs", "matches!(state, DiskState::Ok | DiskState::Rebuilding | DiskState::Slow)", "state == DiskState::Ok", "pegasus-sim"),
    "a span of one picture is empty": (
        "crates/store/continuous/src/timeline.rs", "lasts_ns.max(LASTS_NS_LEAST)", "lasts_ns", "pegasus-sim"),
    "replay forgets holes": (
        LOG + "replay.rs", "Record::Punch { offset, len, .. } => pnode.punch(*offset..offset + len, &load)?,", "Record::Punch { .. } => {}", "pegasus-log"),
    "a hole goes one block too far": (
        LOG + "pnode/holes.rs", "self.remove(first..last, load)?;", "self.remove(first..last + 1, load)?;", "pegasus-log"),
    "a flush forgets holes": (
        FILES + "flush.rs", "batch.punch(pnode, start..end)?;", "let _ = end;", "pegasus-files"),
    "a hole leaves what was read before in memory": (
        FILES + "cache.rs", "self.clean_pages -= remove_pages(&mut entry.clean, &hole);", "let _ = remove_pages::<u8>(&mut BTreeMap::new(), &hole);", "pegasus-files"),
    "what is lent is written": (
        FILES + "share.rs", "self.raw_attr_mut(ino)?.sharing.content = fresh.pnode();", "let _ = fresh;", "pegasus-files"),
    "who borrows is not counted": (
        FILES + "share.rs", "            if !extents.refers_to(run.body) {\n                self.raw_attr_mut(run.body)?.sharing.lent += 1;\n            }\n", "", "pegasus-files"),
    "a block that is written in part loses the rest": (
        FILES + "content.rs", "self.raw_write(own, rest.start, &bytes)?;", "let _ = bytes;", "pegasus-files"),
    "what one alone borrows is never given up": (
        FILES + "share.rs", "        for unused in extents.unused(body, blocks) {", "        for unused in extents.unused(body, blocks.start..blocks.start) {", "pegasus-files"),
    "a snapshot keeps no attributes": (
        FILES + "txn.rs", "        self.keep(ino)?;\n        self.raw_attr_mut(ino)", "        self.raw_attr_mut(ino)", "pegasus-files"),
    "a snapshot keeps no content": (
        FILES + "content.rs", "        self.keep(ino)?;\n        let own = self.content_of(ino)?;\n        let Some(attr)", "        let own = self.content_of(ino)?;\n        let Some(attr)", "pegasus-files"),
    "what is deleted is not handed to the snapshot": (
        FILES + "snapshot.rs", "        self.enter(index, ino, ino)?;\n", "        let _ = index;\n", "pegasus-files"),
    "a removed snapshot hands nothing down": (
        FILES + "snapshot.rs", "return Ok((ino < known.ino).then_some(known.ino));", "return Ok(None);", "pegasus-files"),
    "a snapshot keeps what was made after it": (
        FILES + "snapshot.rs", "return Ok((ino < snapshot.ino).then_some(snapshot.ino));", "return Ok(Some(snapshot.ino));", "pegasus-files"),
    "a removal does not go on after a crash": (
        FILES + "snapshot.rs", "let leaving = attr.role == Role::Leaving;", "let leaving = false;", "pegasus-files"),
    "the simulator: a snapshot shows what is now": (
        FILES + "snapshot.rs", "            if let Some(hit) = self.find_name(snapshot.ino, &key(ino))? {\n                return Ok(hit.ino);\n            }", "            let _ = snapshot;", "pegasus-sim"),
    "a quota refuses nothing": (
        FILES + "quota.rs", "if is_enforced && over {", "if is_enforced && over && false {", "pegasus-files"),
    "a quota forbids to write over what is there": (
        FILES + "quota.rs", "let over = more.bytes > less.bytes && exceeds(", "let over = exceeds(", "pegasus-files"),
    "a tree is limited before it is counted": (
        FILES + "quota.rs", "is_some_and(|known| known.walk.is_none());\n        let mut record", "is_some();\n        let mut record", "pegasus-files"),
    "what is unlinked and open is charged to nobody": (
        FILES + "quota.rs", "(attr.role == Role::Tree && quota", "(attr.role == Role::Tree && attr.nlink > 0 && quota", "pegasus-files"),
    "what moves gets behind the walk": (
        FILES + "quota.rs", "            walk.insert(0, (ino, 2));\n", "            let _ = walk;\n", "pegasus-files"),
    "a crash ends a count": (
        FILES + "quota.rs", "Known::new(record.dir, record.counting)", "Known::new(record.dir, false)", "pegasus-files"),
    "names go from tree to tree": (
        FILES + "quota.rs", "if from == to || self.tree_of(from)? == tree {", "if from == to || self.tree_of(from)? == tree || true {", "pegasus-files"),
    "a quota outlives its directory": (
        FILES + "names.rs", "        self.drop_quota(ino)?;\n", "", "pegasus-files"),
    "the check does not count what quotas count": (
        FILES + "check/quotas.rs", "if found != record.used {", "if found != record.used && false {", "pegasus-files"),
    "programs that know no quotas open volumes with some": (
        FILES + "format/volume.rs", "            _ => QUOTAS,", "            _ => SHARING,", "pegasus-files"),
    "the simulator: a copy by reference is charged to nobody": (
        FILES + "quota.rs", "let bytes = if is_dir(attr.mode) { 0 }", "let bytes = if is_dir(attr.mode) || !attr.sharing.extents.is_empty() { 0 }", "pegasus-sim"),
    "the check passes over the pointer to the checkpoint before": (
        LOG + "check.rs", "if !number.checked_sub(1).is_some_and(own) && !self.is_pointer(disk, at) {", "if !number.checked_sub(1).is_some_and(own) && !self.is_pointer(disk, at) && false {", "pegasus-sim"),
    "the check passes over parity": (
        LOG + "array.rs", "reading.fetch(false, |_, fitness| fitness != Fitness::Dead);\n        let mut mismatches", "reading.fetch(false, |at, fitness| fitness != Fitness::Dead && at < map.fragments.len());\n        let mut mismatches", "pegasus-sim"),
    "damage in the log is taken for a crash": (
        LOG + "evidence.rs", "behind.iter().any(|commit| *commit < newest).then(|| {", "(behind.iter().any(|commit| *commit < newest) && false).then(|| {", "pegasus-continuous"),
    "a repair forgets names": (
        CONTINUOUS + "repair/found.rs", "known.or(name).filter", "known.filter", "pegasus-continuous"),
    "a repair leaves segments without an index": (
        CONTINUOUS + "repair/rebuild.rs", "index: Some(index), open: false", "index: None, open: false", "pegasus-continuous"),
    "files take what is recordings'": (
        FILES + "room.rs", "self.writable(state.free_bytes).min(state.share_bytes)", "self.writable(state.free_bytes)", "pegasus-files"),
    "the check passes over what bulk content says": (
        LOG + "check.rs", "checker.check_content(&segments, &live);", "let _ = &live;", "pegasus-sim"),
    "what is damaged is looked for in the wrong slice": (
        LOG + "kinds.rs", "let from = usize::from(position) * slice;", "let from = usize::from(position + 1) * slice;", "pegasus-log"),
    "a scrub passes over superblocks": (
        LOG + "mend_heads.rs", "self.mend_superblocks(&mut writer, &mut mended)?;", "let _ = &mut writer;", "pegasus-sim"),
    "what is wrong with a disk that was replaced is blamed on the array": (
        LOG + "superblocks.rs", "remarks.push(format!(\n                \"disk {path} was replaced", "problems.push(format!(\n                \"disk {path} was replaced", "pegasus-log"),
    "what is behind a hole is looked for in memory alone": (
        FILES + "seek.rs", "Seek::Data if kept.start < to => return Ok(here(kept.start)),", "Seek::Data if kept.start < to && false => return Ok(here(kept.start)),", "pegasus-files"),
    "a full volume is not cleaned": (
        FILES + "room.rs", "!MutexGuard::unlocked(state, || self.clean())?", "true", "pegasus-files"),
    "many small changes are logged": (
        LOG + "preload.rs", ">= MERGED_MIN;", ">= usize::MAX;", "pegasus-files"),
    "changed content keeps capabilities": (
        FILES + "txn.rs", "        self.drop_capabilities(ino)\n", "        Ok(())\n", "pegasus-files"),
    "a stream whose units wait is forgotten": (
        CONTINUOUS + "queue.rs", "!self.attached && self.entries.is_empty() && self.held_bytes == 0", "!self.attached && self.entries.is_empty()", "pegasus-continuous"),
    "new segments are put on a disk that leaves": (
        LOG + "disks.rs", "self.is_living() && !self.is_leaving()", "self.is_living()", "pegasus-continuous"),
    "open segments on a disk that leaves go on": (
        LOG + "segments.rs", "if leaves || self.dead_columns(disks) > 0", "if self.dead_columns(disks) > 0", "pegasus-continuous"),
    "a moved segment keeps its old slots": (
        CONTINUOUS + "moving.rs", "batch.free_segment(&old.segment)?;", "", "pegasus-continuous"),
    "a moved segment is not looked up again": (
        CONTINUOUS + "moving.rs", "stream.segment_changed(index);", "", "pegasus-continuous"),
    "the log stays where a disk leaves": (
        LOG + "remove.rs", "self.move_ends(now)?;", "", "pegasus-log"),
    "a disk that leaves is forgotten by a restart": (
        LOG + "format/superblock.rs", "| if member.leaving { LEAVING } else { 0 }", "", "pegasus-log"),
    "a removed disk is not wiped": (
        LOG + "remove.rs", "            forget(disk, &old.label);\n", "", "pegasus-continuous"),
    "a quota that came and went leaves its number": (
        FILES + "cache.rs", "entry.node.kind == Kind::Quota", "false", "pegasus-files"),
    "cleaning takes no more room than others": (
        LOG + "cleaning.rs", "batch.gives_room();", "", "pegasus-files"),
    "a disk that leaves takes nothing though too few others live": (
        LOG + "disks.rs", "entries.iter().filter(|entry| entry.is_to_stay()).count() < self.columns", "entries.is_empty()", "pegasus-continuous"),
    "reads that are given up count for ever": (
        "crates/store/disk/src/file/ring.rs", "pending.body.counters.give_up();", "", "pegasus-disk"),
    "the log is not read ahead": (
        LOG + "ahead.rs", "if ahead > *len {", "if false {", "pegasus-log"),
    "what can't be read with what is behind it is given up": (
        LOG + "ahead.rs", "zip(self.array.read_extents(&alone))", "zip(alone.iter().map(|_| Err(String::new())))", "pegasus-log"),
    "deleting takes no more room than others": (
        CONTINUOUS + "retain.rs", "batch.gives_room();", "", "pegasus-continuous"),
    "a file is closed though somebody's read of it is under way": (
        "crates/store/disk/src/file/ring.rs", "while ring.has(body) {", "while ring.has(body) && false {", "pegasus-disk"),
    "a read that came short is taken for whole": (
        "crates/store/disk/src/file/ring.rs", "Ok(()) => pending.filled < pending.buf.len(),", "Ok(()) => false,", "pegasus-disk"),
}


def run(name, work):
    path, old, new, package = MUTATIONS[name]
    source = ROOT / path
    text = source.read_text()
    if text.count(old) != 1:
        return f"{path} has not exactly one place for it: {old!r}"
    (work / path).write_text(text.replace(old, new))
    try:
        command = ["cargo", "test", "--quiet", "--locked", "-p", package]
        env = dict(os.environ, CARGO_TARGET_DIR=str(work / "target"), RUSTFLAGS="-Awarnings")
        built = subprocess.run([*command, "--no-run"], cwd=work, env=env, capture_output=True, text=True)
        if built.returncode:
            return "it does not build:\n" + built.stderr[-2000:]
        try:
            done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode else "no test noticed"
    finally:
        (work / path).write_text(text)


def main():
    names = sys.argv[1:] or list(MUTATIONS)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        work = Path(folder)
        for part in ("Cargo.toml", "Cargo.lock", "rustfmt.toml", "crates", "bench"):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, work / part, ignore=shutil.ignore_patterns("target"))
            else:
                shutil.copy(source, work / part)
        wrong = 0
        for name in names:
            why = run(name, work)
            print(f"{'caught' if why is None else 'NOT CAUGHT'}: {name}" + (f": {why}" if why else ""), flush=True)
            wrong += why is not None
    sys.exit(f"{wrong} of {len(names)} mutations were not caught" if wrong else 0)


if __name__ == "__main__":
    main()
