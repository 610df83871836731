//! EVEREST, Mitra's layout of files on a disk: each file in a few contiguous pieces, however long files come and go.
//!
//! The region is cut into *sections*: a page is one of height 0, and omega buddies of a height are one of the next. A file
//! of `n` pages gets the sections that the digits of `n` in base omega say, so it has at most omega - 1 of each height, and one
//! seam less than that. Making a file is subtraction with borrow and copies nothing. Deleting one is addition with carry: where
//! omega free sections of a height meet, they are made one of the next height, and that may take copying. `docs/design/everest.md`
//! has the rules with their reasons, the bounds and the figures.
//!
//! # Copying waits
//! [`Everest::delete`] copies nothing either. It leaves more free sections of a height than there ought to be, and
//! [`Everest::next_move`] says what to copy to mend that, step by step, for the caller to do when disks are idle. Each step stands for itself:
//! what is copied is the file's until [`Everest::moved`] says that the copy is durable, so a crash at any moment loses no
//! more than a copy. There is always room to make a file of as many pages as are [`Everest::free`]; made while moves are pending, it
//! may have more sections than its digits say, at most one for each free section too many.
//!
//! # Files that grow
//! A recording's length is not known when it begins. Appending page by page and joining the pieces by copying would write everything
//! several times over. Asking for the whole length first is a guess. So [`Everest::grow`] takes sections *ahead*: of
//! a file that has `c` pages, the next section is the largest one that is not larger than `c + 1`. That makes omega - 1 sections of each
//! height, the bound that a file made at once has; nothing is copied, and less is ahead than the file has. Pages ahead
//! stay free: if others need them they are taken back, and [`Everest::finish`] gives them back. What is kept of the last section is
//! then the digits of a number again. So a file that grew and was finished has at most twice as many sections, [`Everest::sections_max`].
//! One that has more, as there was no room or it grew again and again, is copied together in idle time, as far as free pages allow.
//!
//! # What the caller owes
//! - Write to pages only when the records of all that was told before they were given out are durable; they may be
//!   another file's after a crash otherwise. The same goes for [`Move::to`].
//! - Before writing again to pages a file had already and which are being copied, [`Everest::cancel`].

mod check;
mod moving;
mod snapshot;
mod space;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use check::Fault;
pub use moving::Move;
pub use snapshot::{FileSections, RestoreError, Snapshot};

use moving::{Plan, UnderWay};
use space::Space;

/// The greatest omega: beyond it files have hundreds of sections.
pub const OMEGA_MAX: u32 = 64;
/// The most pages a region can have.
pub const PAGES_MAX: u64 = 1 << 48;

/// Names a file; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Pages in a row: omega to the power of `height` of them, beginning at a multiple of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Section {
    /// 0 is a page.
    pub height: u8,
    /// Its first page.
    pub first: u64,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.0)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the section of height {} at page {}", self.height, self.first)
    }
}

/// Why something can't be done. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EverestError {
    /// Omega is out of range.
    #[error("omega is {0}; it can be 2 to {OMEGA_MAX}")]
    Omega(u32),
    /// The region is too small or too large.
    #[error("a region of {0} pages; it can have 1 to 2^48")]
    Pages(u64),
    /// There is a file of this name.
    #[error("{0} exists")]
    Exists(FileId),
    /// There is none.
    #[error("{0} does not exist")]
    NoSuchFile(FileId),
    /// More pages are asked for than are free.
    #[error("{asked} pages of {free} free ones; {promised} more are being copied to")]
    NoRoom {
        /// Asked for.
        asked: u64,
        /// Free.
        free: u64,
        /// What the copy under way goes to.
        promised: u64,
    },
}

/// A file's length and its place.
#[derive(Clone, Debug, Default)]
struct File {
    pages: u64,
    /// Of all sections.
    capacity: u64,
    /// In the order of the file's pages. Pages ahead are at the end of the last one.
    sections: Vec<Section>,
}

/// A region of pages and the files in it. Pure: changed only by what it is told; the same calls give the same sections.
///
/// ```
/// use pegasus_mitra::everest::{Everest, FileId};
/// let mut region = Everest::new(100, 2)?;
/// let sections = region.create(FileId(1), 13)?; // 1101 in base 2: 8 + 4 + 1 pages
/// assert_eq!(sections.iter().map(|section| section.height).collect::<Vec<_>>(), [3, 2, 0]);
/// assert!(region.create(FileId(2), 88).is_err(), "87 are free");
///
/// region.grow(FileId(1), 1)?; // takes 8 pages and may use all of them
/// assert_eq!((region.pages(FileId(1)), region.ahead(), region.free()), (Some(14), 7, 86));
/// region.finish(FileId(1))?;
/// region.delete(FileId(1))?;
///
/// while let Some(step) = region.next_move() {
///     // Copy `step.pages` pages from page `step.from` to page `step.to`, make them and the new place durable, then:
///     region.moved(step);
/// }
/// # Ok::<(), pegasus_mitra::everest::EverestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Everest {
    space: Space,
    files: BTreeMap<FileId, File>,
    /// Height and file of each section that a file has, by first page.
    used: BTreeMap<u64, (u8, FileId)>,
    /// Files with pages ahead.
    growing: BTreeSet<FileId>,
    /// Files with more sections than they should have.
    scattered: BTreeSet<FileId>,
    /// All pages ahead.
    ahead: u64,
    plan: Option<Plan>,
    under_way: Option<UnderWay>,
}

impl Everest {
    /// A region of `pages` pages, all free. A small `omega` makes few sections and much copying, a large one the reverse.
    ///
    /// # Errors
    /// If `pages` is not between 1 and [`PAGES_MAX`], or `omega` not between 2 and [`OMEGA_MAX`].
    pub fn new(pages: u64, omega: u32) -> Result<Self, EverestError> {
        if !(2..=OMEGA_MAX).contains(&omega) {
            return Err(EverestError::Omega(omega));
        }
        if !(1..=PAGES_MAX).contains(&pages) {
            return Err(EverestError::Pages(pages));
        }
        Ok(Self {
            space: Space::new(pages, omega),
            files: BTreeMap::new(),
            used: BTreeMap::new(),
            growing: BTreeSet::new(),
            scattered: BTreeSet::new(),
            ahead: 0,
            plan: None,
            under_way: None,
        })
    }

    /// Makes a file of `pages` pages, none or more, and says where they are: largest sections first. Moves nothing. Without pending
    /// moves the sections are the digits of `pages` in base omega.
    ///
    /// # Errors
    /// If the file exists, or more is asked for than is [`Everest::free`].
    pub fn create(&mut self, file: FileId, pages: u64) -> Result<&[Section], EverestError> {
        if self.files.contains_key(&file) {
            return Err(EverestError::Exists(file));
        }
        self.expect_room(pages)?;
        self.make_room(pages, None);
        let sections = self.space.allocate(pages);
        self.files.insert(file, File { pages, ..File::default() });
        let joined = self.space.join(&sections);
        self.replace(file, 0..0, &joined);
        Ok(&self.files[&file].sections)
    }

    /// Appends `pages` pages to a file and says where all of it is. What is taken ahead is used first.
    ///
    /// # Errors
    /// If there is no such file, or more is asked for than is [`Everest::free`].
    ///
    /// # Panics
    /// Never.
    pub fn grow(&mut self, file: FileId, pages: u64) -> Result<&[Section], EverestError> {
        let had = self.file(file)?;
        let (length, capacity) = (had.pages, had.capacity);
        let open = had.sections.last().copied().filter(|_| capacity > length && pages > 0);
        self.expect_room(pages)?;
        if let Some(open) = open {
            self.disturb(open);
        }
        self.make_room((length + pages).saturating_sub(capacity), Some(file));
        self.resize(file, length + pages);
        while let Some(had) = self.files.get(&file).filter(|file| file.capacity < file.pages) {
            // Never more than half of what is left: others grow, too.
            let most = (had.capacity + 1).min(self.space.free() / 2);
            let (height, end) = (self.space.height_of(most), had.sections.len());
            let section = (0..=height).rev().find_map(|height| self.space.take(height));
            self.replace(file, end..end, &[section.expect("room was made")]);
        }
        Ok(&self.files[&file].sections)
    }

    /// Gives back the pages taken ahead. The file can grow again.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn finish(&mut self, file: FileId) -> Result<&[Section], EverestError> {
        self.file(file)?;
        self.cut(file);
        Ok(&self.files[&file].sections)
    }

    /// Deletes a file and says how many pages it had. They are free at once; what is to be copied so that they come together is
    /// left to [`Everest::next_move`].
    ///
    /// # Errors
    /// If there is no such file.
    pub fn delete(&mut self, file: FileId) -> Result<u64, EverestError> {
        let had = self.file(file)?;
        let (pages, sections) = (had.pages, had.sections.clone());
        if self.mending() == Some(file) {
            self.drop_plan();
        }
        self.replace(file, 0..sections.len(), &[]);
        self.resize(file, 0);
        self.files.remove(&file);
        for section in sections {
            self.disturb(section);
            self.space.release(section);
        }
        Ok(pages)
    }

    /// Pages that files can have: all but theirs, and those that are being copied to. Pages ahead of growing files are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.space.free() + self.ahead + self.reserved()
    }

    /// Pages that growing files have taken ahead.
    #[must_use]
    pub fn ahead(&self) -> u64 {
        self.ahead
    }

    /// Pages of the region.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.space.pages()
    }

    /// Buddies in a section of the next height.
    #[must_use]
    pub fn omega(&self) -> u32 {
        self.space.omega() as u32 // it came from one
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = FileId> + '_ {
        self.files.keys().copied()
    }

    /// A file's length in pages, without those ahead; `None` if there is no such file.
    #[must_use]
    pub fn pages(&self, file: FileId) -> Option<u64> {
        self.files.get(&file).map(|file| file.pages)
    }

    /// Where a file is, in the order of its pages; the last section may have pages ahead. `None` if there is no such file.
    #[must_use]
    pub fn sections(&self, file: FileId) -> Option<&[Section]> {
        self.files.get(&file).map(|file| file.sections.as_slice())
    }

    /// Pages of a section.
    ///
    /// # Panics
    /// If there are none of its height.
    #[must_use]
    pub fn size(&self, section: Section) -> u64 {
        self.space.size(section.height)
    }

    /// In how many places a file goes on elsewhere than on the next page; `None` if there is no such file.
    #[must_use]
    pub fn seams(&self, file: FileId) -> Option<usize> {
        let sections = self.sections(file)?;
        let is_seam = |two: &&[Section]| self.space.range(two[0]).end != two[1].first;
        Some(sections.windows(2).filter(is_seam).count())
    }

    /// Where a file's page `page` is, and how many pages of the file follow in a row from it on; `None` if it has no such page.
    #[must_use]
    pub fn locate(&self, file: FileId, page: u64) -> Option<(u64, u64)> {
        let file = self.files.get(&file).filter(|file| page < file.pages)?;
        let (mut before, mut found) = (0, None);
        for section in &file.sections {
            let size = self.size(*section);
            match found {
                None if page < before + size => {
                    found = Some((section.first + page - before, section.first + size));
                }
                Some((at, end)) if end == section.first => found = Some((at, end + size)),
                Some(_) => break,
                None => {}
            }
            before += size;
        }
        found.map(|(at, end)| (at, (end - at).min(file.pages - page)))
    }

    /// The most sections a file of `pages` pages has that was made, or grew and was finished once, while no moves were pending:
    /// `2 (omega - 1) (h + 1)`, where `h` is the logarithm of `pages` to the base omega, rounded down. Made at once it has half of it.
    #[must_use]
    pub fn sections_max(&self, pages: u64) -> usize {
        let digits = u64::from(self.space.height_of(pages)) + 1;
        (2 * (self.space.omega() - 1) * digits) as usize // below 2^13
    }

    fn file(&self, file: FileId) -> Result<&File, EverestError> {
        self.files.get(&file).ok_or(EverestError::NoSuchFile(file))
    }

    fn expect_room(&self, asked: u64) -> Result<(), EverestError> {
        let (free, promised) = (self.free(), self.promised());
        if asked <= free { Ok(()) } else { Err(EverestError::NoRoom { asked, free, promised }) }
    }

    /// Brings `pages` pages into the free lists: gives up a copying together, then takes back what growing files, but not
    /// `keep`, have ahead, from the one that has most.
    fn make_room(&mut self, pages: u64, keep: Option<FileId>) {
        if pages > self.space.free() && self.mending().is_some() {
            self.drop_plan();
        }
        while pages > self.space.free() {
            let others = self.growing.iter().filter(|file| Some(**file) != keep);
            let ahead = |file: &&FileId| self.files[*file].capacity - self.files[*file].pages;
            let most = *others.max_by_key(ahead).expect("pages ahead count as free");
            self.cut(most);
        }
    }

    /// Cuts the pages ahead off a file's last section.
    fn cut(&mut self, file: FileId) {
        let had = &self.files[&file];
        let ahead = had.capacity - had.pages;
        let Some(open) = had.sections.last().copied().filter(|_| ahead > 0) else { return };
        let last = had.sections.len() - 1;
        let kept = self.space.head(open, self.size(open) - ahead);
        self.disturb(open);
        self.replace(file, last..last + 1, &kept);
        self.space.release(open);
        for section in kept {
            assert!(self.space.carve(section), "{section} was just given back");
        }
    }

    /// Sets a file's length.
    fn resize(&mut self, file: FileId, pages: u64) {
        self.account(file, |file| file.pages = pages);
    }

    /// Puts `new` in the place of some of a file's sections. What was there is nobody's.
    fn replace(&mut self, file: FileId, range: std::ops::Range<usize>, new: &[Section]) {
        let sections = &mut self.files.get_mut(&file).expect("callers have looked").sections;
        let old: Vec<Section> = sections.splice(range, new.iter().copied()).collect();
        let size = |all: &[Section]| all.iter().map(|s| self.space.size(s.height)).sum::<u64>();
        let (less, more) = (size(&old), size(new));
        for section in old {
            self.used.remove(&section.first);
        }
        self.used.extend(new.iter().map(|section| (section.first, (section.height, file))));
        self.account(file, |file| file.capacity = file.capacity + more - less);
    }

    /// Changes a file and what is known of all of them.
    fn account(&mut self, id: FileId, change: impl FnOnce(&mut File)) {
        let file = self.files.get_mut(&id).expect("callers have looked");
        let ahead = |file: &File| file.capacity.saturating_sub(file.pages);
        self.ahead -= ahead(file);
        change(file);
        let (ahead, pages, sections) = (ahead(file), file.pages, file.sections.len());
        self.ahead += ahead;
        put(&mut self.growing, id, ahead > 0);
        let scattered = sections > self.sections_max(pages);
        put(&mut self.scattered, id, scattered);
    }
}

fn put(set: &mut BTreeSet<FileId>, file: FileId, is_in: bool) {
    if is_in {
        set.insert(file)
    } else {
        set.remove(&file)
    };
}
