//! What has happened in a run.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of what has happened, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Everything that a few hundred runs must have seen at least once: each kind of fault, each repair,
    /// each check.
    pub const EXPECTED: [&'static str; 60] = [
        "bit rot",
        "blocks borrowed",
        "checked: a damaged store blames the damaged disk",
        "checked: cleaning costs what it may",
        "checked: files after a cut",
        "checked: files read back",
        "checked: nothing is left after all was deleted",
        "checked: offline",
        "checked: recordings after a cut",
        "checked: recordings read back",
        "checkpoint",
        "clean close",
        "cleaned",
        "cut in recovery",
        "dead disk removed",
        "disk added",
        "disk back after it was away",
        "disk back in time",
        "disk died",
        "disk given that was not added",
        "disk gone at opening",
        "disk not added",
        "disk removed",
        "disk replaced",
        "disk to be removed",
        "failed flush",
        "failed read",
        "failed write",
        "files synced",
        "full for files",
        "hole punched",
        "lost write",
        "misdirected write",
        "overwritten",
        "power cut",
        "power cut in a removal",
        "power cut in adding a disk",
        "power cut in cleaning",
        "power cut in repair",
        "power cut, torn at 4096",
        "power cut, torn at 512",
        "quota removed",
        "quota set",
        "refused by a quota",
        "removal called off",
        "removal refused",
        "removed disk given",
        "repaired",
        "segments moved by the cleaner",
        "slow disk",
        "snapshot made",
        "snapshot removed",
        "stream deleted",
        "torn write",
        "two disks gone at once",
        "two disks gone at opening",
        "two disks harmed at once",
        "two disks replaced",
        "unflushed writes at a cut",
        "unreadable sectors",
    ];

    /// It happened.
    pub fn note(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// It happened `times` times.
    pub fn add(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// How many times it happened.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what happened in another run.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.add(what, *times));
    }

    /// What should have happened and has not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        Self::EXPECTED.into_iter().filter(|what| self.count(what) == 0).collect()
    }

    /// All counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(what, times)| (*what, *times))
    }
}
