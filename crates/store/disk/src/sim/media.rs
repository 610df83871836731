//! The medium of a simulated disk, its cache, and what a power cut makes of both.

use std::sync::Arc;

use super::image::{Image, Page, bytes, page};
use crate::SECTOR;

/// The grain at which a write in progress may be torn by a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TearAt {
    /// Every 512 bytes: what older drives and most virtual ones promise.
    Bytes512,
    /// Every 4096 bytes: drives with 4 KiB physical sectors.
    Bytes4096,
}

impl TearAt {
    fn bytes(self) -> usize {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => SECTOR,
        }
    }
}

/// Sectors that were written in one go.
#[derive(Clone)]
pub(super) struct Wrote {
    pub(super) sector: u64,
    pub(super) pages: Arc<[Page]>,
}

impl Wrote {
    pub(super) fn new(sector: u64, buf: &[u8]) -> Self {
        Self { sector, pages: buf.chunks_exact(SECTOR).map(page).collect() }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let end = |w: &Self| w.sector + w.pages.len() as u64;
        self.sector < end(other) && other.sector < end(self)
    }

    /// What this write leaves over `old` if, of its pieces of `grain` bytes, only those arrive
    /// for which `arrives` holds.
    fn torn(&self, old: &Image, grain: usize, mut arrives: impl FnMut(usize) -> bool) -> Self {
        let mut piece = 0..;
        let tear = |(sector, new): (u64, &Page)| {
            let (mut mix, new) = (bytes(old.get(sector)), bytes(new));
            for (mix, new) in mix.chunks_exact_mut(grain).zip(new.chunks_exact(grain)) {
                if piece.next().is_some_and(&mut arrives) {
                    mix.copy_from_slice(new);
                }
            }
            page(&mix)
        };
        let pages = (self.sector..).zip(self.pages.iter()).map(tear).collect();
        Self { sector: self.sector, pages }
    }

    /// Torn somehow: after a random piece, or with random pieces missing.
    pub(super) fn torn_at_random(&self, old: &Image, at: TearAt, rng: &mut fastrand::Rng) -> Self {
        let pieces = self.pages.len() * (SECTOR / at.bytes());
        if rng.bool() {
            let arrived = rng.usize(0..=pieces);
            self.torn(old, at.bytes(), |piece| piece < arrived)
        } else {
            self.torn(old, at.bytes(), |_| rng.bool())
        }
    }
}

/// Everything that changes the medium.
#[derive(Clone)]
pub(super) enum Step {
    /// A write into the cache.
    Write(Wrote),
    /// The cache reached the medium.
    Flush,
    /// The cache was given up after a failed flush; only these writes of it reached the medium.
    /// Reads still see all of them until the power goes.
    FlushFailed(Vec<Wrote>),
    /// The medium itself changed, no write being involved.
    Patch(Wrote),
}

/// Medium and cache.
#[derive(Clone, Default)]
pub(super) struct Media {
    /// What is on the medium.
    stable: Image,
    /// What reads see.
    pub(super) current: Image,
    /// What the cache holds, oldest first.
    pub(super) cached: Vec<Wrote>,
}

fn put(image: &mut Image, wrote: &Wrote) {
    for (sector, page) in (wrote.sector..).zip(wrote.pages.iter()) {
        image.put(sector, page.clone());
    }
}

impl Media {
    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::Write(wrote) => {
                put(&mut self.current, wrote);
                self.cached.push(wrote.clone());
            }
            Step::Flush => {
                for wrote in self.cached.drain(..) {
                    put(&mut self.stable, &wrote);
                }
            }
            Step::FlushFailed(arrived) => {
                self.cached.clear();
                for wrote in arrived {
                    put(&mut self.stable, wrote);
                }
            }
            Step::Patch(wrote) => {
                put(&mut self.stable, wrote);
                put(&mut self.current, wrote);
                if self.cached.iter().any(|older| older.overlaps(wrote)) {
                    self.cached.push(wrote.clone()); // or their flush would undo it
                }
            }
        }
    }

    /// The medium after a power cut: of the cached writes each is kept, lost or torn.
    pub(super) fn crash(&self, at: TearAt, rng: &mut fastrand::Rng) -> Self {
        let mut image = self.stable.clone();
        // The extremes are the likeliest to matter, and with many writes the likeliest to be
        // missed if each were decided alone.
        let all_alike = match rng.u8(0..8) {
            0 => Some(0),
            1 => Some(1),
            _ => None,
        };
        for wrote in &self.cached {
            match all_alike.unwrap_or_else(|| rng.u8(0..3)) {
                0 => put(&mut image, wrote),
                1 => {}
                _ => {
                    let torn = wrote.torn_at_random(&image, at, rng);
                    put(&mut image, &torn);
                }
            }
        }
        Self { stable: image.clone(), current: image, cached: Vec::new() }
    }

    /// The medium after a power cut that kept those cached writes for which `arrives` holds.
    pub(super) fn keeping(&self, mut arrives: impl FnMut(usize) -> bool) -> Self {
        let mut image = self.stable.clone();
        let kept = self.cached.iter().enumerate().filter(|(at, _)| arrives(*at));
        kept.for_each(|(_, wrote)| put(&mut image, wrote));
        Self { stable: image.clone(), current: image, cached: Vec::new() }
    }
}
