//! What to copy in idle time: carries, so that free sections become larger ones, and files that are copied together.
//!
//! A plan is only an intention. Each step of a carry is whole in itself: a section of a file goes to a free place of its size. So a
//! plan can be dropped between any two steps; the next one begins from what is there. Plans are not part of a snapshot.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Everest, FileId, Section};

/// Copy these pages, make the copy durable, and say [`Everest::moved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Whose pages.
    pub file: FileId,
    /// The first page to copy from.
    pub from: u64,
    /// The first page to copy to.
    pub to: u64,
    /// How many pages in a row; at least 1.
    pub pages: u64,
}

/// What is being brought about.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Carry(Carry),
    Mend(Mend),
}

/// A section shall become free: each child that is not goes to a free section of its height elsewhere, as it is, with what is
/// free in it.
#[derive(Clone, Debug)]
pub(super) struct Carry {
    /// Children and where they go.
    pairs: Vec<(Section, Section)>,
}

/// Some sections in a row of a scattered file become fewer. They are the file's until all are copied.
#[derive(Clone, Debug)]
pub(super) struct Mend {
    file: FileId,
    /// Pages of the file, whole sections.
    range: Range<u64>,
    /// Where they go. Not in the free lists, but free if somebody needs them.
    targets: Vec<Section>,
    /// Pages copied.
    done: u64,
}

/// A step that the caller carries out.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    step: Move,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A section to another of its height.
    Section { from: Section, to: Section },
    /// A part of the mending planned.
    Part,
    /// Nobody wants the copy any more; these are free when it is over.
    Stale(Vec<Section>),
}

impl Everest {
    /// What to copy next, `None` if nothing is to be done. It stays the same until [`Everest::moved`] or [`Everest::cancel`].
    ///
    /// # Panics
    /// Never.
    pub fn next_move(&mut self) -> Option<Move> {
        while self.under_way.is_none() {
            if let Some(under_way) = self.step() {
                self.under_way = Some(under_way);
                break;
            }
            self.drop_plan();
            let plan = self.plan_carry().map(Plan::Carry);
            let plan = plan.or_else(|| self.plan_mend().map(Plan::Mend));
            self.set_plan(plan?);
        }
        self.under_way.as_ref().map(|under_way| under_way.step)
    }

    /// The copy is durable: the file has its pages there from now on. Says whether the file's sections changed; they did not if
    /// the file was deleted or written to meanwhile, or if more has to be copied first.
    ///
    /// # Panics
    /// If this is not the move under way.
    pub fn moved(&mut self, step: Move) -> bool {
        let under_way = self.under_way.take().filter(|under_way| under_way.step == step);
        match under_way.expect("only the move under way is carried out").what {
            What::Section { from, to } => {
                self.exchange(step.file, from, to);
                true
            }
            What::Part => self.advance(step.pages),
            What::Stale(held) => {
                held.into_iter().for_each(|section| self.space.release(section));
                false
            }
        }
    }

    /// Gives up the move under way, if there is one: nobody writes to its target any more, so that it is free. What is pending
    /// stays so.
    pub fn cancel(&mut self) {
        self.drop_plan();
        match self.under_way.take().map(|under_way| under_way.what) {
            Some(What::Section { to, .. }) => self.space.release(to),
            Some(What::Stale(held)) => {
                held.into_iter().for_each(|section| self.space.release(section));
            }
            Some(What::Part) | None => {}
        }
    }

    /// Whether [`Everest::next_move`] has something to do.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.under_way.is_some() || self.space.overfull().is_some() || self.plan_worth().is_some()
    }

    /// Pages that can't be had because the move under way writes there; [`Everest::cancel`] makes them free.
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.held().iter().map(|section| self.size(*section)).sum()
    }

    /// Sections that the move under way goes to.
    fn held(&self) -> Vec<Section> {
        match (&self.under_way, &self.plan) {
            (Some(UnderWay { what: What::Section { to, .. }, .. }), _) => vec![*to],
            (Some(UnderWay { what: What::Stale(held), .. }), _) => held.clone(),
            (Some(UnderWay { step, what: What::Part }), Some(Plan::Mend(mend))) => {
                let pages = step.to..step.to + step.pages;
                let meets = |section: &&Section| {
                    let range = self.space.range(**section);
                    range.start < pages.end && pages.start < range.end
                };
                mend.targets.iter().filter(meets).copied().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Sections in no list and no file: what is copied to, or will be.
    pub(super) fn set_aside(&self) -> Vec<Section> {
        match &self.plan {
            Some(Plan::Mend(mend)) => mend.targets.clone(),
            _ => self.held(),
        }
    }

    /// Pages set aside that can be had nevertheless.
    pub(super) fn reserved(&self) -> u64 {
        let aside: u64 = self.set_aside().iter().map(|section| self.size(*section)).sum();
        aside - self.promised()
    }

    /// The file that is being copied together.
    pub(super) fn mending(&self) -> Option<FileId> {
        match &self.plan {
            Some(Plan::Mend(mend)) => Some(mend.file),
            _ => None,
        }
    }

    /// This section is no longer as it was: a copy of it is worth nothing.
    pub(super) fn disturb(&mut self, section: Section) {
        if let Some(UnderWay { what, .. }) = &mut self.under_way
            && let What::Section { from, to } = *what
            && from == section
        {
            *what = What::Stale(vec![to]);
        }
    }

    fn set_plan(&mut self, plan: Plan) {
        if let Plan::Carry(carry) = &plan {
            let parents = carry.pairs.first().and_then(|(child, _)| self.space.parent(*child));
            let targets = carry.pairs.iter().map(|(_, target)| *target);
            self.space.avoid(&targets.chain(parents).collect::<Vec<_>>());
        }
        self.plan = Some(plan);
    }

    /// Forgets what was intended. Targets are free, but for those that are being written to.
    pub(super) fn drop_plan(&mut self) {
        let held = self.held();
        self.space.avoid(&[]);
        let Some(Plan::Mend(mend)) = self.plan.take() else { return };
        let targets = mend.targets.into_iter().filter(|section| !held.contains(section));
        targets.for_each(|section| self.space.release(section));
        if let Some(under_way) = &mut self.under_way {
            under_way.what = What::Stale(held);
        }
    }

    /// The next step of the plan; `None` if it is done, or cannot go on because others took its place.
    fn step(&mut self) -> Option<UnderWay> {
        match &self.plan {
            Some(Plan::Carry(carry)) => {
                let used = |(child, target): &(Section, Section)| {
                    let (first, held) = self.used.range(self.space.range(*child)).next()?;
                    Some((Section { height: held.0, first: *first }, held.1, *child, *target))
                };
                let found = carry.pairs.iter().find_map(used);
                // Meanwhile all of it may have become free, and a part of something larger.
                let (from, file, child, target) =
                    found.filter(|(from, _, child, _)| from.height <= child.height)?;
                let to = Section { first: target.first + (from.first - child.first), ..from };
                let pages = self.size(from);
                let step = Move { file, from: from.first, to: to.first, pages };
                self.space.carve(to).then_some(UnderWay { step, what: What::Section { from, to } })
            }
            Some(Plan::Mend(mend)) => {
                let done = mend.done;
                let (from, within) = self.locate(mend.file, mend.range.start + done)?;
                let (to, room) = self.after(&mend.targets, done)?;
                let pages = within.min(room).min(mend.range.end - mend.range.start - done);
                let step = Move { file: mend.file, from, to, pages };
                Some(UnderWay { step, what: What::Part })
            }
            None => None,
        }
    }

    /// The page that lies `pages` pages into these sections, and how many follow in the same one.
    fn after(&self, sections: &[Section], mut pages: u64) -> Option<(u64, u64)> {
        for section in sections {
            let size = self.size(*section);
            if pages < size {
                return Some((section.first + pages, size - pages));
            }
            pages -= size;
        }
        None
    }

    /// A file has `to` instead of `from`.
    fn exchange(&mut self, file: FileId, from: Section, to: Section) {
        let sections = &self.files[&file].sections;
        let at = sections.iter().position(|section| *section == from);
        let at = at.expect("a section that is gone makes its move stale");
        self.replace(file, at..at + 1, &[to]);
        self.space.release(from);
        self.join(file);
    }

    /// So many more pages of the mending are copied; says whether that was all of it.
    fn advance(&mut self, pages: u64) -> bool {
        let Some(Plan::Mend(mend)) = &mut self.plan else {
            unreachable!("a plan that is dropped makes its move stale")
        };
        mend.done += pages;
        if mend.done < mend.range.end - mend.range.start {
            return false;
        }
        let Mend { file, range, targets, .. } = mend.clone();
        self.plan = None;
        let (mut before, mut old) = (0, Vec::new());
        for (at, section) in self.files[&file].sections.iter().enumerate() {
            if range.contains(&before) {
                old.push((at, *section));
            }
            before += self.size(*section);
        }
        let (first, last) = (old[0].0, old[old.len() - 1].0);
        self.replace(file, first..last + 1, &targets);
        old.into_iter().for_each(|(_, section)| self.space.release(section));
        self.join(file);
        true
    }

    /// Omega buddies in a row are one section of the file.
    fn join(&mut self, file: FileId) {
        let had = &self.files[&file].sections;
        let joined = self.space.join(had);
        if joined.len() < had.len() {
            self.replace(file, 0..had.len(), &joined);
        }
    }

    /// How to make one section of those that are too many, at the lowest height with too many: of the parents, all of
    /// them within the region, the one with most free children, and of those the one with least to copy.
    fn plan_carry(&self) -> Option<Carry> {
        let height = self.space.overfull()?;
        let free = || self.space.list(height).iter().map(|first| Section { height, first: *first });
        let mut parents: BTreeMap<Section, u64> = BTreeMap::new();
        for parent in free().filter_map(|section| self.space.parent(section)) {
            *parents.entry(parent).or_default() += 1;
        }
        // A section that a file grows in is best left alone: it changes while it is copied.
        let open: Vec<u64> = self
            .growing
            .iter()
            .filter_map(|f| Some(self.files[f].sections.last()?.first))
            .collect();
        let is_open =
            |section: Section| open.iter().any(|page| self.space.range(section).contains(page));
        let worth =
            |(parent, children): &(&Section, &u64)| (is_open(**parent), Reverse(**children));
        let best = parents.iter().map(|parent| worth(&parent)).min()?;
        let best = parents.iter().filter(|parent| worth(parent) == best).map(|(parent, _)| *parent);
        let parent = best.min_by_key(|parent| Reverse(self.space.free_within(*parent)))?;
        let targets = free().filter(|section| self.space.parent(*section) != Some(parent));
        let children = self.space.children(parent);
        let kept = children.filter(|child| !self.space.list(height).contains(&child.first));
        Some(Carry { pairs: kept.zip(targets).collect() })
    }

    /// Takes the place for what can be mended.
    fn plan_mend(&mut self) -> Option<Mend> {
        let (file, range) = self.plan_worth()?;
        let targets = self.space.allocate(range.end - range.start);
        Some(Mend { file, range, targets, done: 0 })
    }

    /// Which pages of a scattered file should be copied together: of as many sections in a row as the file should have at
    /// most, those with fewest pages. They become at most half as many.
    fn plan_worth(&self) -> Option<(FileId, Range<u64>)> {
        self.scattered.iter().find_map(|id| {
            let file = &self.files[id];
            let whole = file.sections.len() - usize::from(file.capacity > file.pages);
            let ends = file.sections[..whole].iter().scan(0, |end, section| {
                *end += self.size(*section);
                Some(*end)
            });
            let ends: Vec<u64> = std::iter::once(0).chain(ends).collect();
            let rows = ends.windows(self.sections_max(file.pages) + 1);
            let rows = rows.map(|ends| ends[0]..ends[ends.len() - 1]);
            let least = rows.min_by_key(|row| row.end - row.start)?;
            (least.end - least.start <= self.space.free()).then_some((*id, least))
        })
    }
}
