//! The free sections: one sorted set for each height.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Section;

/// What is free of a region. Omega free buddies never stay: they are one free section of the next height, so the lists are the
/// largest sections that the free pages make up, and follow from which pages are free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pages: u64,
    omega: u64,
    /// Pages of a section, by height.
    sizes: Vec<u64>,
    /// First pages of free sections, by height.
    lists: Vec<BTreeSet<u64>>,
    free: u64,
    /// Pages that had better not be given out while there are others: a carry works there.
    avoid: Vec<Range<u64>>,
}

impl Space {
    /// All of `pages` free; both numbers are in range.
    pub(super) fn new(pages: u64, omega: u32) -> Self {
        let omega = u64::from(omega);
        let mut sizes = vec![1_u64];
        while let Some(size) = sizes[sizes.len() - 1].checked_mul(omega).filter(|s| *s <= pages) {
            sizes.push(size);
        }
        let lists = vec![BTreeSet::new(); sizes.len()];
        let mut space = Self { pages, omega, sizes, lists, free: pages, avoid: Vec::new() };
        let mut first = 0;
        for height in space.heights().rev() {
            let size = space.size(height);
            while first + size <= pages {
                space.lists[usize::from(height)].insert(first);
                first += size;
            }
        }
        space
    }

    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    pub(super) fn omega(&self) -> u64 {
        self.omega
    }

    pub(super) fn free(&self) -> u64 {
        self.free
    }

    pub(super) fn list(&self, height: u8) -> &BTreeSet<u64> {
        &self.lists[usize::from(height)]
    }

    /// The greatest height there is.
    pub(super) fn top(&self) -> u8 {
        (self.sizes.len() - 1) as u8 // at most 48, as sizes at least double
    }

    pub(super) fn heights(&self) -> std::ops::RangeInclusive<u8> {
        0..=self.top()
    }

    /// Pages of a section of this height.
    pub(super) fn size(&self, height: u8) -> u64 {
        self.sizes[usize::from(height)]
    }

    /// The pages of a section.
    pub(super) fn range(&self, section: Section) -> Range<u64> {
        section.first..section.first + self.size(section.height)
    }

    /// The greatest height whose sections have at most `pages` pages; 0 for none.
    pub(super) fn height_of(&self, pages: u64) -> u8 {
        (self.sizes.partition_point(|size| *size <= pages).max(1) - 1) as u8
    }

    /// The lowest height with so many free sections that they make up a larger one.
    pub(super) fn overfull(&self) -> Option<u8> {
        (0..self.top()).find(|height| self.list(*height).len() as u64 >= self.omega)
    }

    /// The section this one is part of; `None` if that would reach beyond the region, or be higher than any.
    pub(super) fn parent(&self, section: Section) -> Option<Section> {
        let height = section.height + 1;
        let size = *self.sizes.get(usize::from(height))?;
        let parent = Section { height, first: section.first / size * size };
        (parent.first + size <= self.pages).then_some(parent)
    }

    /// The omega sections of the next lower height; of a page, none.
    pub(super) fn children(&self, section: Section) -> impl Iterator<Item = Section> + use<> {
        let height = section.height.checked_sub(1);
        let size = height.map_or(0, |height| self.size(height));
        let of = move |(height, nth)| Section { height, first: section.first + nth * size };
        let omega = self.omega;
        height.into_iter().flat_map(move |height| (0..omega).map(move |nth| (height, nth))).map(of)
    }

    /// The sections of a file that has the first `pages` pages of `section`, or all of it: largest first.
    pub(super) fn head(&self, section: Section, pages: u64) -> Vec<Section> {
        let (mut first, mut left) = (section.first, pages);
        let mut head = Vec::new();
        for height in (0..=section.height).rev() {
            while left >= self.size(height) {
                head.push(Section { height, first });
                (first, left) = (first + self.size(height), left - self.size(height));
            }
        }
        head
    }

    /// Free sections of `height` within `within`.
    fn free_in(&self, height: u8, within: Range<u64>) -> u64 {
        self.list(height).range(within).count() as u64
    }

    /// Free pages within a section that is not free as a whole.
    pub(super) fn free_within(&self, section: Section) -> u64 {
        let range = self.range(section);
        (0..section.height).map(|h| self.free_in(h, range.clone()) * self.size(h)).sum()
    }

    /// Free sections among this one and its buddies; 0 if they have no parent and so never become one.
    pub(super) fn free_buddies(&self, section: Section) -> u64 {
        let parent = self.parent(section);
        parent.map_or(0, |parent| self.free_in(section.height, self.range(parent)))
    }

    /// Makes a section free. Free buddies become one without copying.
    pub(super) fn release(&mut self, mut section: Section) {
        self.free += self.size(section.height);
        while let Some(parent) = self.parent(section) {
            let range = self.range(parent);
            if self.free_in(section.height, range.clone()) + 1 < self.omega {
                break;
            }
            let list = &mut self.lists[usize::from(section.height)];
            range.step_by(self.sizes[usize::from(section.height)] as usize).for_each(|first| {
                list.remove(&first);
            });
            section = parent;
        }
        let new = self.lists[usize::from(section.height)].insert(section.first);
        assert!(new, "{section} is free already");
    }

    /// Takes this very section if all of it is free; says whether it was.
    pub(super) fn carve(&mut self, section: Section) -> bool {
        let above = |height: u8| {
            let size = self.size(height);
            Section { height, first: section.first / size * size }
        };
        let is_free = |whole: &Section| self.list(whole.height).contains(&whole.first);
        let Some(mut whole) = (section.height..=self.top()).map(above).find(is_free) else {
            return false;
        };
        self.lists[usize::from(whole.height)].remove(&whole.first);
        self.free -= self.size(section.height);
        while whole.height > section.height {
            let mut inner = whole;
            for child in self.children(whole) {
                if self.range(child).contains(&section.first) {
                    inner = child;
                } else {
                    self.lists[usize::from(child.height)].insert(child.first);
                }
            }
            whole = inner;
        }
        true
    }

    /// Takes the first section of this height, out of a larger one if there is none: a borrow. Choosing by how many buddies are
    /// free was tried: as much is copied.
    pub(super) fn take(&mut self, height: u8) -> Option<Section> {
        let from = (height..=self.top()).find(|height| !self.list(*height).is_empty())?;
        let avoided = |first: &&u64| self.avoid.iter().any(|range| range.contains(first));
        let first = self.list(from).iter().find(|first| !avoided(first));
        let first = *first.or_else(|| self.list(from).first())?;
        let whole = Section { height: from, first };
        let section = Section { height, ..whole };
        let carved = self.carve(section);
        assert!(carved, "{whole} is in a list of free sections");
        Some(section)
    }

    /// Takes so many pages: subtraction with borrow, largest sections first. Where moves are pending and there is no
    /// section of a size, smaller ones stand for it.
    ///
    /// # Panics
    /// If fewer are free.
    pub(super) fn allocate(&mut self, pages: u64) -> Vec<Section> {
        assert!(pages <= self.free, "{pages} pages of {} free ones", self.free);
        let (mut left, mut taken) = (pages, Vec::new());
        for height in self.heights().rev() {
            while left >= self.size(height) {
                let Some(section) = self.take(height) else { break };
                left -= self.size(height);
                taken.push(section);
            }
        }
        taken.sort_by_key(|section| (std::cmp::Reverse(section.height), section.first));
        taken
    }

    /// Pages to leave alone while there are others.
    pub(super) fn avoid(&mut self, sections: &[Section]) {
        self.avoid = sections.iter().map(|section| self.range(*section)).collect();
    }

    /// Omega buddies in a row become one, again and again.
    pub(super) fn join(&self, sections: &[Section]) -> Vec<Section> {
        let mut joined: Vec<Section> = Vec::with_capacity(sections.len());
        for section in sections {
            joined.push(*section);
            while let Some(parent) = joined.last().and_then(|last| self.parent(*last)) {
                let Some(rest) = joined.len().checked_sub(self.omega as usize) else { break };
                if !joined[rest..].iter().copied().eq(self.children(parent)) {
                    break;
                }
                joined.truncate(rest);
                joined.push(parent);
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(space: &Space) -> Vec<usize> {
        space.heights().map(|height| space.list(height).len()).collect()
    }

    #[test]
    fn a_region_is_the_digits_of_its_size() {
        let space = Space::new(100, 3); // 10201 in base 3
        assert_eq!(lengths(&space), [1, 0, 2, 0, 1]);
        assert_eq!(space.list(0).first(), Some(&99));
    }

    #[test]
    fn taking_borrows_and_giving_back_carries() {
        let mut space = Space::new(64, 4);
        let page = space.take(0).unwrap();
        assert_eq!(lengths(&space), [3, 3, 3, 0]);
        space.release(page);
        assert_eq!(lengths(&space), [0, 0, 0, 1]);
    }

    #[test]
    fn a_section_is_carved_only_where_all_of_it_is_free() {
        let mut space = Space::new(32, 2);
        assert!(space.carve(Section { height: 1, first: 6 }));
        assert!(!space.carve(Section { height: 2, first: 4 }));
        assert!(!space.carve(Section { height: 0, first: 7 }));
        assert!(space.carve(Section { height: 1, first: 4 }));
        assert_eq!(space.free(), 28);
        assert_eq!(space.free_within(Section { height: 3, first: 0 }), 4);
    }

    #[test]
    fn buddies_of_the_tail_have_no_parent() {
        let space = Space::new(11, 4);
        assert_eq!(space.parent(Section { height: 0, first: 8 }), None);
        assert_eq!(space.free_buddies(Section { height: 0, first: 8 }), 0);
        assert_eq!(space.parent(Section { height: 1, first: 4 }), None, "16 would be too many");
    }

    #[test]
    fn rows_of_buddies_join() {
        let space = Space::new(27, 3);
        let page = |first| Section { height: 0, first };
        let three = |first| Section { height: 1, first };
        let row = [three(0), three(3), page(6), page(7), page(8), page(10), page(9)];
        assert_eq!(space.join(&row), [Section { height: 2, first: 0 }, page(10), page(9)]);
    }
}
