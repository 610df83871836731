//! What is to be said of the disks. Pure: it is told how they are.

use std::collections::{BTreeMap, BTreeSet};

use pegasus_continuous::{DiskStatus, SpareStatus};
use pegasus_gateway::Level;

/// What was known of the disks when they were looked at last.
#[derive(Debug, Default)]
pub(crate) struct DiskEvents {
    /// State by path.
    disks: BTreeMap<String, String>,
    spares: BTreeSet<String>,
}

/// Something to be said: how grave it is, of which disk, what.
pub(crate) type DiskEvent = (Level, String, &'static str);

impl DiskEvents {
    /// What became of the disks since the last time.
    pub(crate) fn note(&mut self, disks: &[DiskStatus], spares: &[SpareStatus]) -> Vec<DiskEvent> {
        let mut said = Vec::new();
        let spares = spares.iter().map(|spare| spare.path.clone()).collect();
        for path in std::mem::replace(&mut self.spares, spares) {
            let taken = disks.iter().any(|disk| disk.path == path);
            if taken {
                let text = "the spare disk takes the place of one that is gone";
                said.push((Level::Warning, path, text));
            } else if !self.spares.contains(&path) {
                said.push((Level::Error, path, "the spare disk is gone"));
            }
        }
        let states = disks.iter().map(|disk| (disk.path.clone(), disk.state.clone())).collect();
        let before = std::mem::replace(&mut self.disks, states);
        for (path, state) in &self.disks {
            let before = before.get(path).map_or("ok", String::as_str);
            let event = (before != state).then(|| event(before, state));
            said.extend(event.map(|(level, text)| (level, path.clone(), text)));
        }
        said
    }
}

/// What is to be said of a disk whose state became another.
fn event(before: &str, state: &str) -> (Level, &'static str) {
    match (before, state) {
        ("slow", "ok") => (Level::Info, "the disk is as quick as the others again"),
        (_, "ok") => (Level::Info, "the disk is whole"),
        (_, "slow") => (Level::Warning, "the disk is slow; what it holds is read from the others"),
        (_, "rebuilding") => (Level::Warning, "the disk is being given what it lacks"),
        (_, "missing") => (Level::Error, "the disk is missing; recordings go on without it"),
        _ => (Level::Error, "the disk failed; recordings go on without it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(events: &mut DiskEvents, disks: &[(&str, &str)], spares: &[&str]) -> Vec<String> {
        let disk = |(path, state): &(&str, &str)| DiskStatus {
            path: (*path).to_owned(),
            state: (*state).to_owned(),
            errors: 0,
            read_bytes: 0,
            written_bytes: 0,
            read_us: None,
            shed_reads: 0,
        };
        let spare = |path: &&str| SpareStatus { path: (*path).to_owned(), size_bytes: 1 };
        let disks: Vec<_> = disks.iter().map(disk).collect();
        let spares: Vec<_> = spares.iter().map(spare).collect();
        let said = events.note(&disks, &spares);
        said.into_iter().map(|(level, path, text)| format!("{level:?} {path}: {text}")).collect()
    }

    #[test]
    fn what_becomes_of_a_disk_is_said_once() {
        let mut events = DiskEvents::default();
        let mut one = |state| said(&mut events, &[("a", "ok"), ("b", state)], &[]);
        for (state, what) in [
            ("slow", "Warning b: the disk is slow"),
            ("ok", "Info b: the disk is as quick"),
            ("failed", "Error b: the disk failed"),
            ("rebuilding", "Warning b: the disk is being given"),
            ("ok", "Info b: the disk is whole"),
            ("missing", "Error b: the disk is missing"),
        ] {
            let now = one(state);
            assert!(now.len() == 1 && now[0].starts_with(what), "{state}: {now:?}");
            assert_eq!(one(state), [""; 0], "{state}");
        }
    }

    #[test]
    fn a_spare_is_told_of_when_it_is_taken_or_gone() {
        let mut events = DiskEvents::default();
        assert_eq!(said(&mut events, &[("a", "ok"), ("b", "failed")], &["s", "t"]).len(), 1);
        let now = said(&mut events, &[("a", "ok"), ("s", "rebuilding")], &["t"]);
        assert!(now[0].starts_with("Warning s: the spare disk takes"), "{now:?}");
        assert!(now.len() == 2 && now[1].contains("being given"), "{now:?}");
        let now = said(&mut events, &[("a", "ok"), ("s", "ok")], &[]);
        assert_eq!(now, ["Error t: the spare disk is gone", "Info s: the disk is whole"]);
    }
}
