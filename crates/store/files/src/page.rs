//! Content in memory: pages, and what changed since the last flush.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Length of a page in bytes.
pub(crate) const PAGE: usize = 4096;

/// A page of content, and which of its bytes changed.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) changed: Range<usize>,
}

impl Page {
    /// A page as it is on disk; what is missing at its end is zeros.
    pub(crate) fn clean(bytes: &[u8]) -> Self {
        let mut page = vec![0; PAGE];
        page[..bytes.len()].copy_from_slice(bytes);
        Self { bytes: page.into(), changed: 0..0 }
    }

    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.touch(at..at + bytes.len());
    }

    pub(crate) fn fill_zeros(&mut self, range: Range<usize>) {
        self.bytes[range.clone()].fill(0);
        self.touch(range);
    }

    fn touch(&mut self, range: Range<usize>) {
        self.changed = match self.changed.is_empty() {
            true => range,
            false => self.changed.start.min(range.start)..self.changed.end.max(range.end),
        };
    }
}

/// Ranges of pages that are nothing. Those that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes(BTreeMap<u64, u64>);

impl Holes {
    /// What reaches to the end of all files.
    pub(crate) const END: u64 = u64::MAX;

    pub(crate) fn insert(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((start, end)) = self.0.range(..=range.end).next_back() {
            let (start, end) = (*start, *end);
            if end < range.start {
                break;
            }
            self.0.remove(&start);
            range = start.min(range.start)..end.max(range.end);
        }
        self.0.insert(range.start, range.end);
    }

    pub(crate) fn contains(&self, page: u64) -> bool {
        self.end_at(page).is_some()
    }

    /// Where the hole ends that a page is in.
    fn end_at(&self, page: u64) -> Option<u64> {
        self.0.range(..=page).next_back().map(|(_, end)| *end).filter(|end| page < *end)
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(start, end)| *start..*end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they take in memory and, at the least, in the log.
    pub(crate) fn bytes(&self) -> u64 {
        (self.0.len() * PAGE) as u64
    }
}

/// What changed in a pnode's content since a moment. Pages here hide those below; so do holes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) pages: BTreeMap<u64, Arc<Page>>,
    /// Pages that became nothing: what is below them counts no more. Where a file was cut off, one
    /// reaches to the end.
    pub(crate) holes: Holes,
}

impl Layer {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.holes.is_empty()
    }

    /// Makes pages nothing.
    pub(crate) fn punch(&mut self, range: Range<u64>) {
        remove_pages(&mut self.pages, &range);
        self.holes.insert(range);
    }

    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE) as u64 + self.holes.bytes()
    }

    /// What it says of a page.
    pub(crate) fn find(&self, page: u64) -> Found {
        match self.pages.get(&page) {
            Some(found) => Found::Page(found.clone()),
            None if self.holes.contains(page) => Found::Zeros,
            None => Found::Below,
        }
    }

    /// Whether a page is something, and the first page behind it of which that may not be said.
    pub(crate) fn extent(&self, page: u64) -> (Extent, u64) {
        let next = self.pages.range(page..).next().map_or(u64::MAX, |(next, _)| *next);
        if next == page {
            return (Extent::Data, page + 1);
        }
        match self.holes.end_at(page) {
            Some(end) => (Extent::Hole, end.min(next)),
            None => {
                let hole = self.holes.0.range(page..).next().map_or(u64::MAX, |(start, _)| *start);
                (Extent::Below, hole.min(next))
            }
        }
    }
}

/// Takes a range of pages out; how many there were.
pub(crate) fn remove_pages<T>(pages: &mut BTreeMap<u64, T>, range: &Range<u64>) -> usize {
    let mut behind = pages.split_off(&range.start);
    let kept = behind.split_off(&range.end);
    pages.extend(kept);
    behind.len()
}

/// Whether there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Bytes, perhaps all zeros.
    Data,
    /// Nothing.
    Hole,
    /// What is below is to be asked.
    Below,
}

/// What a layer says of a page.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It is this.
    Page(Arc<Page>),
    /// It is all zeros.
    Zeros,
    /// Nothing: the layer below is to be asked.
    Below,
}

/// Number of the page with byte `offset`.
pub(crate) fn page_of(offset: u64) -> u64 {
    offset / PAGE as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holes_are_what_was_punched(ranges in prop::collection::vec((0_u64..60, 1_u64..12), 0..20)) {
            let (mut holes, mut plain) = (Holes::default(), [false; 80]);
            for (start, len) in ranges {
                holes.insert(start..start + len);
                plain[start as usize..(start + len) as usize].fill(true);
            }
            for page in 0..80 {
                prop_assert_eq!(holes.contains(page), plain[page as usize], "page {}", page);
            }
            let all: Vec<_> = holes.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", all);
        }

        #[test]
        fn an_extent_says_the_same_of_all_its_pages(
            pages in prop::collection::vec(0_u64..40, 0..10),
            holes in prop::collection::vec((0_u64..40, 1_u64..8), 0..5),
        ) {
            let mut layer = Layer::default();
            holes.into_iter().for_each(|(start, len)| layer.punch(start..start + len));
            for page in pages {
                layer.pages.insert(page, Arc::new(Page::clean(&[])));
            }
            let mut at = 0;
            while at < 50 {
                let (extent, end) = layer.extent(at);
                prop_assert!(at < end);
                for page in at..end.min(50) {
                    let same = match layer.find(page) {
                        Found::Page(_) => Extent::Data,
                        Found::Zeros => Extent::Hole,
                        Found::Below => Extent::Below,
                    };
                    prop_assert_eq!(extent, same, "page {}", page);
                }
                at = end;
            }
        }
    }
}
