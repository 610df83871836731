//! What must hold of a region at any time, looked at from the beginning to the end.

use std::collections::BTreeMap;

use super::{Everest, FileId, Section};

/// An invariant that does not hold: a mistake in this module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Sections overlap, or some pages are in none.
    #[error("page {0} is where no section begins")]
    Tiling(u64),
    /// All children of a section are free.
    #[error("all of {0} is free, and not as one")]
    Apart(Section),
    /// A count is not what counting gives.
    #[error("{what}: {known} by the account, {counted} by counting")]
    Account {
        /// Of what.
        what: &'static str,
        /// What is kept.
        known: u64,
        /// What is there.
        counted: u64,
    },
    /// What is known of a file's sections is not what the file has.
    #[error("{0} and the index of sections disagree")]
    Index(FileId),
    /// A free list is too long though nothing is to be moved.
    #[error("{1} free sections of height {0} while nothing is to be moved")]
    Overfull(u8, usize),
    /// A file has too many sections though there is room to mend it.
    #[error("{0} has {1} sections while nothing is to be moved")]
    Scattered(FileId, usize),
}

impl Everest {
    /// Looks at everything: sections tile the region, free buddies are together, counts are right; and while nothing is
    /// pending, each height below the greatest has fewer than omega free sections, and no file more sections than [`Everest::sections_max`] that there is room
    /// to copy together. Takes time in proportion to all sections.
    ///
    /// # Errors
    /// The first fault met.
    pub fn check(&self) -> Result<(), Fault> {
        self.check_tiling()?;
        self.check_files()?;
        if self.is_pending() { Ok(()) } else { self.check_idle() }
    }

    fn check_tiling(&self) -> Result<(), Fault> {
        let mut tiles: BTreeMap<u64, u64> = BTreeMap::new();
        let mut add = |section: Section| match tiles.insert(section.first, self.size(section)) {
            Some(_) => Err(Fault::Tiling(section.first)),
            None => Ok(()),
        };
        let mut free = 0;
        for height in self.space.heights() {
            for first in self.space.list(height) {
                let section = Section { height, first: *first };
                if self.space.free_buddies(section) >= self.space.omega() {
                    return Err(Fault::Apart(section));
                }
                free += self.size(section);
                add(section)?;
            }
        }
        self.used
            .iter()
            .try_for_each(|(first, (height, _))| add(Section { height: *height, first: *first }))?;
        self.set_aside().into_iter().try_for_each(add)?;
        let mut end = 0;
        for (first, size) in tiles {
            if first != end || first % size != 0 {
                return Err(Fault::Tiling(first));
            }
            end += size;
        }
        let pages = self.capacity();
        same("pages of the region", pages, end)?;
        same("pages in free lists", self.space.free(), free)
    }

    fn check_files(&self) -> Result<(), Fault> {
        let (mut sections, mut ahead) = (0, 0);
        for (id, file) in &self.files {
            let indexed = |s: &Section| self.used.get(&s.first) == Some(&(s.height, *id));
            let is_growing = file.capacity > file.pages;
            let is_scattered = file.sections.len() > self.sections_max(file.pages);
            if !file.sections.iter().all(indexed)
                || self.growing.contains(id) != is_growing
                || self.scattered.contains(id) != is_scattered
            {
                return Err(Fault::Index(*id));
            }
            let capacity = file.sections.iter().map(|s| self.size(*s)).sum();
            same("pages of a file's sections", file.capacity, capacity)?;
            let last = file.sections.last().map_or(1, |last| self.size(*last));
            if capacity < file.pages || capacity - file.pages >= last {
                return Err(Fault::Index(*id));
            }
            ahead += capacity - file.pages;
            sections += file.sections.len() as u64;
        }
        same("sections of files", self.used.len() as u64, sections)?;
        same("pages ahead", self.ahead, ahead)
    }

    fn check_idle(&self) -> Result<(), Fault> {
        for height in 0..self.space.top() {
            let free = self.space.list(height).len();
            if free as u64 >= self.space.omega() {
                return Err(Fault::Overfull(height, free));
            }
        }
        for (id, file) in &self.files {
            let (sections, max) = (file.sections.len(), self.sections_max(file.pages));
            let whole = sections - usize::from(file.capacity > file.pages);
            let rows = file.sections[..whole].windows(max);
            let is_small = |row: &[Section]| self.pages_of(row) <= self.space.free();
            if sections > max && rows.into_iter().any(is_small) {
                return Err(Fault::Scattered(*id, sections));
            }
        }
        Ok(())
    }

    fn pages_of(&self, sections: &[Section]) -> u64 {
        sections.iter().map(|section| self.size(*section)).sum()
    }
}

fn same(what: &'static str, known: u64, counted: u64) -> Result<(), Fault> {
    if known == counted { Ok(()) } else { Err(Fault::Account { what, known, counted }) }
}
