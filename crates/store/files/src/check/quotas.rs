//! Quotas, counted anew.

use super::Check;
use crate::Ino;
use crate::format::attr::{Attr, Role};
use crate::names::is_dir;
use crate::quota::cost;
use crate::quotas::Usage;
use crate::snapshot::parse_key;

impl Check {
    /// Follows the list of quotas, and compares what each has counted with what is charged to it.
    pub(super) fn quotas(&mut self) {
        if self.head.quotas == Ino(0) {
            return;
        }
        self.reach(self.head.quotas, "the head");
        for entry in self.list(self.head.quotas) {
            let quota = entry.ino;
            self.reach(quota, "the list of quotas");
            let Some(record) = self.nodes.get(&quota).and_then(|node| node.quota) else {
                self.problem(format!("the list of quotas leads to {quota}, which is none"));
                continue;
            };
            let dir = record.dir;
            if parse_key(&entry.name) != Some(dir) {
                self.problem(format!("quota {quota} of {dir} is listed as another's"));
            }
            let top = self.attr(dir).filter(|attr| is_dir(attr.mode) && attr.quota == quota);
            if top.is_none_or(|attr| attr.nlink == 0) {
                self.problem(format!("{dir} does not know of its quota {quota}"));
            }
            let found = self.charged_to(quota);
            if found != record.used {
                let (bytes, files) = (record.used.bytes, record.used.files);
                self.problem(format!(
                    "the quota of {dir} counts {bytes} bytes and {files} files and has {} and {}",
                    found.bytes, found.files
                ));
            }
        }
    }

    fn charged_to(&self, quota: Ino) -> Usage {
        let mut sum = Usage::default();
        for (ino, attr) in self.attrs() {
            if attr.quota == quota && attr.role == Role::Tree {
                let own = Ino::of(attr.sharing.content);
                let own = if own == Ino(0) { ino } else { own };
                sum += cost(&attr, self.nodes.get(&own).map_or(0, |node| node.size));
            }
        }
        sum
    }

    /// What has a name in a tree whose walk is over is charged to a quota; a directory to that of its tree.
    pub(super) fn check_stamp(&mut self, dir: Ino, ino: Ino, attr: &Attr) {
        let known = &self.known_quotas;
        let live = |quota: Ino| if known.contains_key(&quota) { quota } else { Ino(0) };
        let (here, own) =
            (live(self.attr(dir).map_or(Ino(0), |attr| attr.quota)), live(attr.quota));
        let is_top = known.get(&own).is_some_and(|known| known.dir == ino);
        let is_counting = known.get(&here).is_some_and(|known| known.walk.is_some());
        let is_right = match (here, is_dir(attr.mode)) {
            (Ino(0), true) => own == Ino(0) || is_top,
            (Ino(0), false) => true, // it may have a name in a tree, too
            _ if is_counting && own == Ino(0) => true,
            (_, true) => own == here,
            // It may have been another tree's, whose quota is gone.
            (_, false) => attr.quota != Ino(0),
        };
        if !is_right {
            self.problem(format!("{ino} in {dir} is charged to {own}, not to {here}"));
        }
    }
}
