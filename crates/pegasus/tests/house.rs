//! Rules of the house that a machine can check: imports go downward, documents point at what exists,
//! and the sample of every document is the code's.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of ARCHITECTURE.md: crate, folder, floor.
const FLOORS: [(&str, &str, u8); 17] = [
    ("pegasus-base", "crates/base", 0),
    ("pegasus-media", "crates/media", 1),
    ("pegasus-disk", "crates/store/disk", 2),
    ("pegasus-circuit", "crates/circuit", 2),
    ("pegasus-tier", "crates/store/tier", 2),
    ("pegasus-log", "crates/store/log", 3),
    ("pegasus-mitra", "crates/store/mitra", 3),
    ("pegasus-continuous", "crates/store/continuous", 4),
    ("pegasus-files", "crates/store/files", 4),
    ("pegasus-trial", "crates/store/trial", 4),
    ("pegasus-devices", "crates/devices", 5),
    ("pegasus-export", "crates/export", 5),
    ("pegasus-sim", "crates/sim", 5),
    ("pegasus-gateway", "crates/gateway", 6),
    ("pegasus-fuse", "crates/fuse", 6),
    ("pegasus-node", "crates/node", 7),
    ("pegasus", "crates/pegasus", 8),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let name = |line: &str| line.split(['.', ' ', '=']).next().map(str::to_owned);
    section.lines().filter_map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn crates_import_downward_only() {
    for (name, folder, floor) in FLOORS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for dependency in dependencies(&manifest) {
            if let Some((_, _, below)) = FLOORS.iter().find(|(other, _, _)| *other == dependency) {
                assert!(
                    *below < floor,
                    "{name} (floor {floor}) imports {dependency} (floor {below})"
                );
            }
        }
    }
}

#[test]
fn every_crate_has_a_floor() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for member in workspace.split("members = [").nth(1).unwrap().split(']').next().unwrap().lines()
    {
        let member = member.trim().trim_matches(['"', ',']);
        if member.starts_with("crates/") {
            assert!(FLOORS.iter().any(|(_, folder, _)| *folder == member), "{member} has no floor");
        }
    }
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", ".git", "dist"].contains(&name.as_str()) {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

#[test]
fn documents_link_to_files_that_exist() {
    let mut found = Vec::new();
    documents(&root(), &mut found);
    assert!(found.len() > 10);
    for document in found {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(
                path.exists(),
                "{} links to {target}, which does not exist",
                document.display()
            );
        }
    }
}

#[test]
fn documents_name_folders_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let names = row.trim_start_matches("| ").split('|').next().unwrap();
        for name in names.split('`').skip(1).step_by(2) {
            assert!(root().join(name).is_dir(), "README.md names {name}, which does not exist");
        }
    }
}
