//! A region's state as plain data, to be kept in a checkpoint.

use super::{Everest, EverestError, File, FileId, Section};

/// All there is to know: which pages are free follows, and moves that were pending are found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Pages of the region.
    pub pages: u64,
    /// Buddies in a section of the next height.
    pub omega: u32,
    /// The files, in the order of their names.
    pub files: Vec<FileSections>,
}

/// A file in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSections {
    /// Its name.
    pub file: FileId,
    /// Its length.
    pub pages: u64,
    /// Where it is, in the order of its pages. The last one may have pages ahead.
    pub sections: Vec<Section>,
}

/// Why a snapshot is not one of a region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no such region.
    #[error(transparent)]
    Region(#[from] EverestError),
    /// A file is told of twice.
    #[error("{0} is there twice")]
    Twice(FileId),
    /// A section does not begin at a multiple of its size, is higher than any, or reaches beyond the region.
    #[error("{0} has {1}, which the region does not have")]
    NoSection(FileId, Section),
    /// A page has two owners.
    #[error("{file} has {section}, part of which is {other}'s")]
    Shared {
        /// The file that was told of later.
        file: FileId,
        /// Its section.
        section: Section,
        /// Whose pages it has; perhaps the same file.
        other: FileId,
    },
    /// The sections of a file have too few pages for it, or the last one has none that it needs.
    #[error("{file} has {pages} pages, and sections of {capacity}")]
    Length {
        /// The file.
        file: FileId,
        /// Its length.
        pages: u64,
        /// Pages of its sections.
        capacity: u64,
    },
}

impl Everest {
    /// The whole state as plain data, without what is being copied.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let tell = |(id, file): (&FileId, &File)| FileSections {
            file: *id,
            pages: file.pages,
            sections: file.sections.clone(),
        };
        let files = self.files.iter().map(tell).collect();
        Snapshot { pages: self.capacity(), omega: self.omega(), files }
    }

    /// The region that a snapshot tells of. No move is under way in it.
    ///
    /// # Errors
    /// If no region can be like that; says which file or section is wrong.
    pub fn restore(snapshot: &Snapshot) -> Result<Self, RestoreError> {
        let mut region = Self::new(snapshot.pages, snapshot.omega)?;
        for told in &snapshot.files {
            let file = told.file;
            if region.files.insert(file, File { pages: told.pages, ..File::default() }).is_some() {
                return Err(RestoreError::Twice(file));
            }
            for section in &told.sections {
                region.claim(file, *section)?;
            }
            region.replace(file, 0..0, &told.sections);
            let capacity = region.files[&file].capacity;
            let last = told.sections.last().map_or(1, |last| region.size(*last));
            if told.pages > capacity || capacity - told.pages >= last {
                return Err(RestoreError::Length { file, pages: told.pages, capacity });
            }
        }
        Ok(region)
    }

    /// Takes a section of a file out of what is free.
    fn claim(&mut self, file: FileId, section: Section) -> Result<(), RestoreError> {
        let known = section.height <= self.space.top();
        let size = if known { self.size(section) } else { 0 };
        let end = section.first.checked_add(size).filter(|end| *end <= self.capacity());
        if !known || end.is_none() || !section.first.is_multiple_of(size) {
            return Err(RestoreError::NoSection(file, section));
        }
        if self.space.carve(section) {
            return Ok(());
        }
        let other = self.owner(section).unwrap_or(file);
        Err(RestoreError::Shared { file, section, other })
    }

    /// Who has pages of a section that is not free. Nobody, as far as is known, if the file just being told of.
    fn owner(&self, section: Section) -> Option<FileId> {
        let range = self.space.range(section);
        let (first, (height, file)) = self.used.range(..range.end).next_back()?;
        (first + self.space.size(*height) > range.start).then_some(*file)
    }
}
