//! All that a store holds, in lines of text: what a client can see, and nothing of how it is kept.

use std::fmt::Write;

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Item, ReadOptions};
use pegasus_files::{Files, Ino};
use sha2::{Digest, Sha256};

use crate::store::Store;

pub(crate) fn of(store: &Store) -> String {
    let mut text = String::new();
    for stream in store.store.streams().unwrap() {
        recording(store, &stream.name, &mut text);
    }
    tree(&store.files, store.files.root(), "/", &mut text);
    quotas(&store.files, &mut text);
    text
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn recording(store: &Store, name: &StreamName, text: &mut String) {
    for span in store.store.spans(name, TimeRange::ALL).unwrap() {
        writeln!(text, "span {name}\t{} to {}\t{} units", span.start, span.end, span.units)
            .unwrap();
    }
    let mut reader = store.store.read(name, Time::MIN, ReadOptions::default()).unwrap();
    let mut groups: Vec<(Time, Sha256)> = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Unit(unit) = item else { continue };
        if groups.is_empty() || (unit.key && unit.track.0 == 0) {
            groups.push((unit.time, Sha256::new()));
        }
        let hash = &mut groups.last_mut().unwrap().1;
        let head = (unit.track, unit.pts, unit.dts, unit.time.as_ns(), unit.duration, unit.key);
        hash.update(format!("{head:?} {}", unit.data.len()));
        hash.update(&unit.data);
    }
    for (time, hash) in groups {
        writeln!(text, "group {name}\t{time}\t{}", hex(hash.finalize())).unwrap();
    }
}

fn tree(files: &Files, ino: Ino, path: &str, text: &mut String) {
    let about = files.attributes(ino).unwrap();
    let mode = about.mode;
    let content = match mode & 0o170_000 {
        0o100_000 => hex(Sha256::digest(files.read(ino, 0, about.size as usize).unwrap())),
        0o120_000 => String::from_utf8(files.read_link(ino).unwrap()).unwrap(),
        _ => String::new(),
    };
    let (links, uid, gid, size, mtime) =
        (about.nlink, about.uid, about.gid, about.size, about.mtime);
    write!(text, "file {path}\t{mode:o} {links} links {uid}:{gid} {size} bytes {mtime} {content}")
        .unwrap();
    let mut names = files.xattr_names(ino).unwrap();
    names.sort();
    for name in names {
        let value = hex(Sha256::digest(files.xattr(ino, &name).unwrap()));
        write!(text, " {}={value}", String::from_utf8_lossy(&name)).unwrap();
    }
    text.push('\n');
    if mode & 0o170_000 == 0o040_000 {
        let mut entries = list(files, ino);
        entries.sort();
        for (name, child) in entries {
            tree(files, child, &format!("{}/{name}", path.trim_end_matches('/')), text);
        }
    }
}

fn quotas(files: &Files, text: &mut String) {
    for quota in files.quotas().unwrap() {
        let path = String::from_utf8(files.path_of(quota.dir).unwrap()).unwrap();
        let (limits, used) = (quota.limits, quota.used);
        let (bytes, files) = (used.bytes, used.files);
        writeln!(
            text,
            "quota {path}\t{bytes} bytes of {:?}, {files} files of {:?}",
            limits.bytes, limits.files
        )
        .unwrap();
    }
}

fn list(files: &Files, dir: Ino) -> Vec<(String, Ino)> {
    let (mut cookie, mut entries) = (2, Vec::new());
    loop {
        let listed = files.list(dir, cookie).unwrap();
        let Some(last) = listed.last() else { return entries };
        cookie = last.cookie;
        entries.extend(
            listed.iter().map(|entry| (String::from_utf8(entry.name.clone()).unwrap(), entry.ino)),
        );
    }
}
