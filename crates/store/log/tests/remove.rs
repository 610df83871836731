//! A disk leaves: what the log itself writes goes elsewhere from the first step on.

mod common;

use std::sync::Arc;

use common::{NOW, format, open};
use pegasus_base::PnodeId;
use pegasus_disk::{Disk as _, SimDisk};
use pegasus_log::{DiskIndex, Log};

/// So small that it stays in the log's segment, wherever that is.
fn commit_little(log: &Log, pnode: PnodeId) {
    let mut batch = log.batch();
    batch.write(pnode, 0, b"a little").unwrap();
    log.commit(batch).unwrap();
}

#[test]
fn the_log_goes_on_elsewhere_at_once() {
    let mut disks = SimDisk::array(6, 64 << 20, 1);
    let sixth = disks.pop().expect("there are six");
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    log.add_disk(Arc::new(sixth.clone()), NOW, &mut rng).unwrap();
    disks.push(sixth);
    let mut batch = log.batch();
    let pnode = batch.create_pnode(1);
    log.commit(batch).unwrap();
    let written = |disk: usize| disks[disk].stats().written_bytes;
    let mut was_there = 0;
    for leaving in 0..disks.len() {
        let before = written(leaving);
        commit_little(&log, pnode);
        was_there += usize::from(written(leaving) > before);
        let index = DiskIndex(leaving as u16);
        log.begin_removal(index).unwrap();
        log.move_own(NOW).unwrap();
        let before = written(leaving);
        (0..10).for_each(|_| commit_little(&log, pnode));
        assert_eq!(written(leaving), before, "{index} is written though it leaves");
        log.cancel_removal(index).unwrap();
    }
    assert!(was_there > 0, "the log was on none of them when its turn came: nothing is shown");
}
