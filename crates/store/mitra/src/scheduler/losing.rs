//! What becomes of playbacks when disks fail.

use super::{Playback, PlaybackId, Scheduler};
use crate::account::Account;
use crate::{Degraded, Shape};

impl Scheduler {
    /// A disk has failed. Returns the playbacks that have to go, by the shape's policy: with reads reserved for, nobody; with
    /// parity alone, the newest for which there is no room; without parity, all that the disk holds a part of.
    pub fn lose(&mut self, disk: u32) -> Vec<PlaybackId> {
        let is_first = self.lost.is_empty();
        self.lost.insert(disk);
        match self.shape.knobs().degraded {
            Degraded::Keep => Vec::new(),
            Degraded::Shed if is_first => self.promise_anew(),
            Degraded::Shed => Vec::new(),
            Degraded::None => self.shed(|shape, playback| {
                let blocks = playback.request.blocks.min(shape.cycle());
                let origin = playback.request.origin;
                let width = shape.media()[playback.request.media].width;
                (0..blocks)
                    .any(|block| (0..width).any(|f| shape.place(origin, block, f).disk == disk))
            }),
        }
    }

    /// A disk that had failed works again. Promises made for its loss stay until those to whom they were made end.
    pub fn restore(&mut self, disk: u32) {
        self.lost.remove(&disk);
    }

    /// The disks are not what they were taken for: all promises are made anew with another shape, which has to be cut
    /// alike. Returns the newest for whom there is no room: they have ended.
    ///
    /// # Panics
    /// If disks, time or media are cut otherwise.
    pub fn reshape(&mut self, shape: Shape) -> Vec<PlaybackId> {
        let alike = shape.knobs() == self.shape.knobs() && shape.media() == self.shape.media();
        assert!(alike, "another shape is cut like the one before");
        self.shape = shape;
        self.promise_anew()
    }

    /// How many virtual disks a playback of `media` has to have a promise of.
    pub(super) fn width(&self, media: usize) -> u32 {
        let spare = self.shape.knobs().degraded == Degraded::Shed && !self.lost.is_empty();
        self.shape.reserved_width(media) + u32::from(spare)
    }

    fn shed(&mut self, goes: impl Fn(&Shape, &Playback) -> bool) -> Vec<PlaybackId> {
        let all = self.playbacks.iter().flatten();
        let gone = all.filter(|(_, playback)| goes(&self.shape, playback)).map(|(id, _)| *id);
        let gone: Vec<_> = gone.collect();
        gone.iter().for_each(|id| self.remove(*id));
        gone
    }

    /// Makes all promises anew, parity's reads included; the newest go, as many as have to. Returns them.
    fn promise_anew(&mut self) -> Vec<PlaybackId> {
        let mut all: Vec<_> = self.playbacks.iter_mut().flat_map(std::mem::take).collect();
        all.sort_by_key(|(id, _)| *id);
        for (_, playback) in &mut all {
            playback.reserved = self.width(playback.request.media);
        }
        // If so many fit, fewer do.
        let counts: Vec<usize> = (1..=all.len()).collect();
        let stay = counts.partition_point(|count| self.promise(&all[..*count]));
        let gone = all.split_off(stay);
        let fits = self.promise(&all);
        debug_assert!(fits, "so many fitted just now");
        for (id, _) in &gone {
            self.group_of.remove(id);
        }
        for (id, playback) in all {
            self.playbacks[self.group_of[&id] as usize].insert(id, playback);
        }
        self.accounts.iter_mut().for_each(|account| account.close_period(&self.shape));
        gone.into_iter().map(|(id, _)| id).collect()
    }

    /// Bills these playbacks and nobody else; whether all of them fit.
    fn promise(&mut self, playbacks: &[(PlaybackId, Playback)]) -> bool {
        self.accounts.fill(Account::new(&self.shape));
        playbacks.iter().all(|(id, playback)| {
            let (group, load) = (self.group_of[id], self.load(&playback.request));
            let needs = self.virtual_disks(playback.home, playback.reserved);
            needs.into_iter().all(|number| {
                let account = &mut self.accounts[number as usize];
                let fits = account.fits(&self.shape, group, load, false).is_ok();
                account.add(&self.shape, group, load);
                fits
            })
        })
    }
}
