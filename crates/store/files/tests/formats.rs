//! Damaged bytes are seen, and never make a parser panic.

mod common;

use common::{NOW, open, seed, volume};
use pegasus_base::PnodeId;
use pegasus_files::{NewInode, XattrMode};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_bytes_parse_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        pegasus_files::fuzz::parse_all(&bytes);
    }
}

/// What a volume really writes, with some bytes changed.
#[test]
fn damaged_structures_parse_or_do_not() {
    let (_disks, log, files) = volume(2, 32 << 20);
    let root = files.root();
    for n in 0..200 {
        let made = files.make(root, format!("{n}").as_bytes(), &NewInode::new(0o100_644, 0, 0));
        files.set_xattr(made.unwrap().ino, b"user.n", &[1; 20], XattrMode::Any).unwrap();
    }
    files.make(root, b"link", &NewInode::link(b"to/there", 0, 0)).unwrap();
    files.sync().unwrap();
    let mut samples = vec![log.read_pnode(PnodeId(root.0), 0, 4096).unwrap()];
    for number in root.0..root.0 + 200 {
        let info = log.pnode(PnodeId(number)).unwrap();
        samples.extend(info.map(|info| info.attributes.to_vec()));
    }
    assert!(samples.len() > 100);
    let mut rng = fastrand::Rng::with_seed(seed(3));
    for _ in 0..20_000 {
        let mut bytes = samples[rng.usize(..samples.len())].clone();
        for _ in 0..rng.usize(0..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        pegasus_files::fuzz::parse_all(&bytes);
    }
}

/// A directory whose bucket makes no sense is an error that names it.
#[test]
fn a_damaged_directory_is_reported() {
    let (_disks, log, files) = volume(2, 32 << 20);
    let root = files.root();
    files.make(root, b"name", &NewInode::new(0o100_644, 0, 0)).unwrap();
    files.close().unwrap();
    let mut batch = log.batch();
    batch.write(PnodeId(root.0), 0, &[9]).unwrap();
    log.commit(batch).unwrap();
    log.checkpoint(NOW).unwrap();
    let error = open(&log).lookup(root, b"name").unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}
