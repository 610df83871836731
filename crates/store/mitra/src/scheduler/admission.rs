//! Who is admitted, when, and who has to wait.

use super::{Admitted, Playback, PlaybackId, Refusal, Request, Scheduler};
use crate::account::Load;
use crate::{Interval, Origin};

impl Scheduler {
    /// Admits a playback as early as it can be, or says what is short. `now` is the interval that is under way, whose
    /// [`Scheduler::tick`] was, and `now_ns` the time since the schedule began. Waits at most until
    /// disks and zones have come round once: what does not fit by then fits only when somebody ends.
    ///
    /// Costs some hundred nanoseconds for each interval that has to be passed over.
    ///
    /// # Errors
    /// [`Refusal`], with the place that is short of least.
    ///
    /// # Panics
    /// If the request names a medium, disk or zone that does not exist, or has no blocks.
    pub fn admit(
        &mut self,
        now: Interval,
        now_ns: u64,
        request: &Request,
    ) -> Result<Admitted, Refusal> {
        let knobs = *self.shape.knobs();
        let origin = request.origin;
        let exists = request.media < self.shape.media().len()
            && origin.disk < knobs.disks
            && (origin.zone as usize) < knobs.zones;
        assert!(exists && request.blocks > 0, "{request:?} names what does not exist");
        self.now = self.now.max(now);
        // Whose first block was asked for in this one has begun.
        if let Some(shared) = self.share(request, Interval(self.now.0 + 1)) {
            return Ok(shared);
        }
        let (interval, is_late) = self.search(self.now, Some(now_ns), request)?;
        Ok(self.begin(interval, is_late.then_some(now_ns), request))
    }

    /// Admits a playback before the schedule begins.
    pub(crate) fn place(&mut self, request: &Request) -> Result<Admitted, Refusal> {
        let (interval, _) = self.search(self.now, None, request)?;
        Ok(self.begin(interval, None, request))
    }

    /// The first interval from `from` on in which a playback can begin, and whether it joins that one late: which it may if `from` is
    /// under way and it is `now_ns`.
    fn search(
        &self,
        from: Interval,
        now_ns: Option<u64>,
        request: &Request,
    ) -> Result<(Interval, bool), Refusal> {
        let mut nearest: Option<Refusal> = None;
        // To the end of a period: what is being read for who has just gone is billed until the end of this one.
        let groups = u64::from(self.shape.knobs().groups);
        let left = groups - 1 - u64::from(self.shape.group_of(from));
        for ahead in 0..=self.shape.cycle() * groups + left {
            let interval = Interval(from.0 + ahead);
            let late_ns = now_ns.filter(|_| ahead == 0);
            match self.fits_at(interval, late_ns, request) {
                None => {}
                Some(Ok(())) => return Ok((interval, late_ns.is_some())),
                Some(Err(refusal)) => {
                    let by_ns = nearest.map_or(u64::MAX, |best| best.short.by_ns);
                    nearest = nearest.filter(|_| by_ns <= refusal.short.by_ns).or(Some(refusal));
                }
            }
        }
        Err(nearest.expect("in a cycle each zone is read"))
    }

    /// Whether a playback would be admitted now: to tell those who are refused what would be.
    ///
    /// # Panics
    /// If the request names a medium, disk or zone that does not exist.
    #[must_use]
    pub fn fits(&self, now: Interval, request: &Request) -> bool {
        self.search(self.now.max(now), None, request).is_ok()
    }

    /// What a fragment of it is billed.
    pub(super) fn load(&self, request: &Request) -> Load {
        request.load.unwrap_or_else(|| self.shape.load(request.media))
    }

    /// Lets a wish wait; [`super::Batch::admitted`] tells by `number` when its turn has come. Who waited longer is tried first.
    pub fn wait(&mut self, number: u64, request: Request) {
        self.waiting.push_back((number, request));
        self.freed = true;
    }

    /// A wish that waits is given up.
    pub fn give_up(&mut self, number: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != number);
    }

    /// Tries those who wait once somebody has ended. Before that there was no place for them, and newcomers come after them.
    pub(super) fn try_waiting(&mut self, interval: Interval) -> Vec<(u64, Admitted)> {
        if !std::mem::take(&mut self.freed) {
            return Vec::new();
        }
        let mut admitted = Vec::new();
        for (number, request) in std::mem::take(&mut self.waiting) {
            if let Some(shared) = self.share(&request, interval) {
                admitted.push((number, shared));
                continue;
            }
            match self.search(interval, None, &request) {
                Ok((first, _)) => admitted.push((number, self.begin(first, None, &request))),
                Err(_) => self.waiting.push_back((number, request)),
            }
        }
        admitted
    }

    /// Whether a playback could begin in `interval`; nothing if another zone is read then.
    fn fits_at(
        &self,
        interval: Interval,
        late_ns: Option<u64>,
        request: &Request,
    ) -> Option<Result<(), Refusal>> {
        let (shape, media) = (&self.shape, request.media);
        let period = shape.period_of(interval);
        if !shape.reads_zone(period, request.origin.zone as usize) {
            return None;
        }
        let (group, load) = (shape.group_of(interval), self.load(request));
        let home = shape.virtual_disk(request.origin, period);
        let short = self.virtual_disks(home, self.width(media)).find_map(|number| {
            let account = &self.accounts[number as usize];
            let at_once = period == shape.period_of(self.now);
            let fits = account.fits(shape, group, load, at_once).and_then(|()| {
                let Some(now_ns) = late_ns else { return Ok(()) };
                let lone_ns = shape.apart_ns(shape.zone_of(period), load);
                let left_ns = self.left_ns(interval, now_ns);
                account.fits_late(shape, shape.in_round(interval), lone_ns, left_ns)
            });
            let disk = shape.disk_of(number, period);
            fits.err().map(|short| Refusal { disk, interval, short })
        });
        Some(short.map_or(Ok(()), Err))
    }

    /// What is left of `interval`.
    fn left_ns(&self, interval: Interval, now_ns: u64) -> u64 {
        self.shape.begins_ns(Interval(interval.0 + 1)).saturating_sub(now_ns)
    }

    /// `late_ns`: the time, if it joins an interval that is under way.
    fn begin(&mut self, first: Interval, late_ns: Option<u64>, request: &Request) -> Admitted {
        let period = self.shape.period_of(first);
        let home = self.shape.virtual_disk(request.origin, period);
        let (group, load) = (self.shape.group_of(first), self.load(request));
        let lone_ns = self.shape.apart_ns(self.shape.zone_of(period), load);
        let left_ns = late_ns.map(|now_ns| self.left_ns(first, now_ns));
        let reserved = self.width(request.media);
        for number in self.virtual_disks(home, reserved) {
            let account = &mut self.accounts[number as usize];
            if let Some(left_ns) = left_ns {
                let late = (self.shape.in_round(first), lone_ns, left_ns);
                account.join_late(&self.shape, group, load, late);
            } else {
                account.add(&self.shape, group, load);
            }
        }
        let id = PlaybackId(self.next_id);
        self.next_id += 1;
        let (request, viewers, skipped) = (*request, 1, 0);
        let playback = Playback { request, home, reserved, first, viewers, skips: 0..0, skipped };
        self.playbacks[group as usize].insert(id, playback);
        self.group_of.insert(id, group);
        let shown_ns = self.shown_ns(first, request.origin);
        Admitted { id, first, shown_ns, is_late: late_ns.is_some() }
    }

    fn shown_ns(&self, first: Interval, origin: Origin) -> u64 {
        self.shape.begins_ns(first) + self.shape.delay_ns(origin.zone as usize)
    }

    /// Joins a playback of the same object, if playbacks are merged, that begins in `from` or later.
    fn share(&mut self, request: &Request, from: Interval) -> Option<Admitted> {
        if !self.merges {
            return None;
        }
        let same = |one: &Playback| one.first >= from && one.request == *request;
        let mut all = self.playbacks.iter_mut().flatten();
        let (id, playback) = all.find(|(_, playback)| same(playback))?;
        playback.viewers += 1;
        let (id, first) = (*id, playback.first);
        Some(Admitted { id, first, shown_ns: self.shown_ns(first, request.origin), is_late: false })
    }
}
