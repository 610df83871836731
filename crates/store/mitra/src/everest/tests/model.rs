//! A disk as a list of what is on its pages, and a driver that copies when it likes to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::everest::{Everest, EverestError, FileId, Move, Section};

/// What is on a page: the file's number, never used again, and the page of the file.
type Content = Option<(u64, u64)>;

/// A region, the disk it is on, and what the files are known to hold.
struct Model {
    region: Everest,
    disk: Vec<Content>,
    /// Number and length of each file.
    files: BTreeMap<FileId, (u64, u64)>,
    made: u64,
    /// The copy under way, and how many of its pages are copied.
    copying: Option<(Move, u64)>,
    rng: fastrand::Rng,
    /// How often each thing happened.
    counts: BTreeMap<&'static str, u64>,
}

impl Model {
    fn new(pages: u64, omega: u32, seed: u64) -> Self {
        Self {
            region: Everest::new(pages, omega).unwrap(),
            disk: vec![None; pages as usize],
            files: BTreeMap::new(),
            made: 0,
            copying: None,
            rng: fastrand::Rng::with_seed(seed),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn free(&self) -> u64 {
        let used: u64 = self.files.values().map(|(_, pages)| pages).sum();
        self.region.capacity() - used - self.region.promised()
    }

    fn any_file(&mut self) -> Option<FileId> {
        let nth = self.rng.usize(0..self.files.len().max(1));
        self.files.keys().nth(nth).copied()
    }

    /// Writes the pages of a file from page `from` on.
    fn write(&mut self, file: FileId, from: u64) {
        let (number, pages) = self.files[&file];
        let mut page = from;
        while page < pages {
            let (at, run) = self.region.locate(file, page).unwrap();
            for nth in 0..run {
                self.disk[(at + nth) as usize] = Some((number, page + nth));
            }
            page += run;
        }
        assert_eq!(self.region.locate(file, pages), None);
    }

    fn create(&mut self, pages: u64) {
        let (file, free) = (FileId(self.rng.u64(0..64)), self.free());
        let was_pending = self.region.is_pending();
        let surplus = surplus(&self.region);
        match self.region.create(file, pages) {
            Ok(sections) => {
                let sections = sections.len() as u64;
                self.made += 1;
                assert!(pages <= free && !self.files.contains_key(&file));
                let most = self.region.sections_max(pages) as u64 / 2;
                assert!(sections <= most + surplus, "{sections} > {most} + {surplus}");
                self.files.insert(file, (self.made, pages));
                self.write(file, 0);
                self.count(if was_pending { "made while moves are pending" } else { "made" });
            }
            Err(EverestError::Exists(_)) => assert!(self.files.contains_key(&file)),
            Err(error) => {
                let promised = self.region.promised();
                assert_eq!(error, EverestError::NoRoom { asked: pages, free, promised });
                assert!(pages > free);
                self.count("no room");
            }
        }
    }

    fn grow(&mut self, file: FileId, pages: u64) {
        let (free, (number, length)) = (self.free(), self.files[&file]);
        match self.region.grow(file, pages) {
            Ok(_) => {
                assert!(pages <= free);
                self.files.insert(file, (number, length + pages));
                self.write(file, length);
                self.count("grown");
            }
            Err(_) => assert!(pages > free),
        }
    }

    /// Copies up to `pages` pages.
    fn copy(&mut self, mut pages: u64) {
        while pages > 0 {
            let Some(step) = self.region.next_move() else { return };
            let (of, done) = self.copying.unwrap_or((step, 0));
            assert_eq!(of, step);
            let now = pages.min(step.pages - done);
            for page in done..done + now {
                self.disk[(step.to + page) as usize] = self.disk[(step.from + page) as usize];
            }
            pages -= now;
            self.copying = Some((step, done + now));
            if done + now == step.pages {
                self.copying = None;
                let mends = self.region.mending().is_some();
                let what = match (self.region.moved(step), mends) {
                    (true, false) => "moved",
                    (true, true) => "mended",
                    (false, true) => "mended in part",
                    (false, false) => "moved for nothing",
                };
                self.count(what);
            }
        }
    }

    /// The power fails: what is known is the last snapshot, here one of this moment.
    fn restart(&mut self) {
        let before = self.region.snapshot();
        self.region = Everest::restore(&before).unwrap();
        self.copying = None;
        assert_eq!(self.region.snapshot(), before);
        self.count("restarts");
    }

    /// One thing of many; `size` is the most pages asked for at once, `idle` how much is copied.
    fn act(&mut self, size: u64, idle: u64) {
        let (pages, copied) = (self.rng.u64(0..=size), self.rng.u64(0..=idle));
        match (self.rng.u32(0..200), self.any_file()) {
            (0..60, _) => self.create(pages),
            (60..110, Some(file)) => self.grow(file, pages / 4),
            (110..115, Some(file)) => _ = self.region.finish(file).unwrap(),
            (115..155, Some(file)) => {
                assert_eq!(self.region.delete(file), Ok(self.files[&file].1));
                self.files.remove(&file);
            }
            (155..198, _) => self.copy(copied),
            (198, _) => {
                self.region.cancel();
                self.copying = None;
                self.count("cancelled");
            }
            (199, _) => self.restart(),
            _ => {}
        }
        assert_eq!(self.region.free(), self.free());
    }

    /// Looks at every page of every file.
    fn check(&mut self) {
        self.region.check().unwrap();
        assert!(self.region.files().eq(self.files.keys().copied()));
        for (file, (number, pages)) in &self.files {
            assert_eq!(self.region.pages(*file), Some(*pages));
            let sections = self.region.sections(*file).unwrap().iter();
            let at = sections.flat_map(|s| s.first..s.first + self.region.size(*s));
            let content = at.take(*pages as usize).map(|page| self.disk[page as usize]);
            assert!(content.eq((0..*pages).map(|page| Some((*number, page)))), "{file} is spoilt");
        }
        let again = Everest::restore(&self.region.snapshot()).unwrap();
        assert_eq!(again.free(), self.free() + self.region.promised());
        again.check().unwrap();
    }

    /// Copies until nothing is pending: then all bounds hold.
    fn settle(&mut self) {
        self.copy(u64::MAX);
        assert!(!self.region.is_pending() && self.region.promised() == 0);
        self.check();
        let again = Everest::restore(&self.region.snapshot()).unwrap();
        assert_eq!(again.space, self.region.space, "what is free follows from the files");
    }
}

/// By how many sections the free lists are too long.
fn surplus(region: &Everest) -> u64 {
    let omega = u64::from(region.omega());
    let too_many = |height| (region.space.list(height).len() as u64).saturating_sub(omega - 1);
    let ahead = region.ahead() + region.set_aside().len() as u64;
    // What is taken back from growing files comes as small sections.
    region.space.heights().map(too_many).sum::<u64>() + ahead
}

/// `ops` random operations, looked at in full every `every`.
fn run(pages: u64, omega: u32, seed: u64, ops: u32, every: u32) -> BTreeMap<&'static str, u64> {
    let mut model = Model::new(pages, omega, seed);
    let size = model.rng.u64(1..=pages.div_ceil(8));
    // Some drivers never copy, some always have the time.
    let idle = [0, 1, pages / 16, pages * 2][model.rng.usize(0..4)];
    for op in 1..=ops {
        model.act(size, idle);
        if op % every == 0 {
            model.check();
            if idle > 0 && model.rng.u32(0..4) == 0 {
                model.settle();
            }
        }
    }
    model.settle();
    while let Some(file) = model.any_file() {
        model.region.delete(file).unwrap();
        model.files.remove(&file);
    }
    model.settle();
    assert!(model.region.space == Everest::new(pages, omega).unwrap().space, "all is free again");
    model.counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn files_keep_their_pages(pages in 1_u64..600, omega in 2_u32..9, seed in any::<u64>()) {
        run(pages, omega, seed, 200, 1);
    }
}

#[test]
fn a_million_operations() {
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (pages, omega) = (rng.u64(50..1_500), [2, 3, 4, 5, 8, 16][seed as usize % 6]);
        for (what, times) in run(pages, omega, seed, 10_000, 1_000) {
            *counts.entry(what).or_default() += times;
        }
    }
    for what in ["made", "made while moves are pending", "no room", "grown", "moved"] {
        assert!(counts[what] > 10_000, "{what}: {counts:?}");
    }
    for what in ["moved for nothing", "mended", "mended in part", "restarts", "cancelled"] {
        assert!(counts[what] > 100, "{what}: {counts:?}");
    }
}

#[test]
fn sections_have_the_size_of_their_height() {
    let region = Everest::new(1_000, 10).unwrap();
    assert_eq!(region.size(Section { height: 2, first: 0 }), 100);
}
