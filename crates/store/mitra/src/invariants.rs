//! What has to hold whatever is played, as properties of the real scheduler on disks that may take all they are billed.
//!
//! | it has to hold | shown by |
//! | --- | --- |
//! | 1. What a period's reads take at worst fits into it, and no block is late | here, `Watched::bill` and `Watched::arrive`; `account::tests::batches_that_fit_are_in_time`; on simulated disks `scheduler::tests::who_is_admitted_has_no_hiccup`, with a dead one `with_parity_a_dead_disk_is_not_noticed` |
//! | 2. Playbacks are shown exactly when the interval after their window begins, or as late as their zone needs; what a viewer holds is never less than nothing and never over its limit | here, `Watched::admitted`, `Watched::show`, `Watched::arrive` and `Watched::hold`; `shape::tests` for zones |
//! | 3. EVEREST: sections tile the region, free lists are short, creating succeeds exactly if there is room, contents survive moves | `everest::tests::model`: `files_keep_their_pages`, and `a_million_operations` at random in every run of the tests |
//! | 4. A playback stays on its virtual disk, and in a cycle loads all disks that it reaches equally | here, `Seen::check`; `stripe::tests::in_the_turning_frame_a_playback_stays` |
//! | 5. Skips are whole cycles: zones and disks go on where they were | here, `Seen::check`, with `skips_are_whole_cycles_and_everybody_is_in_time` |
//! | 6. FIXB: in each sweep over all zones as much is read as is shown, but for rounding up | here, `Seen::check`; `shape::tests::zones_are_swept_so_that_what_is_read_is_what_is_shown` |

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::*;

/// A playback, and all that was read for it.
struct Seen {
    request: Request,
    admitted: Admitted,
    came_ns: u64,
    stock: Stock,
    is_shown: bool,
    /// Periods, with the orders of the block that was read in them.
    read: Vec<(u64, Vec<Order>)>,
    /// Blocks that are there before it is known when the first one is shown, and when they were.
    early: Vec<(u64, u64)>,
}

impl Seen {
    /// Invariants 4, 5 and 6, looked up in what was ordered.
    fn check(&self, shape: &Shape) {
        let (zones, origin) = (shape.knobs().zones as u64, self.request.origin);
        let home = shape.virtual_disk(origin, shape.period_of(self.admitted.first));
        let mut by_disk = vec![0_u64; shape.knobs().disks as usize];
        for (number, (period, orders)) in (0..).zip(&self.read) {
            assert_eq!(orders.len() as u32, shape.media()[self.request.media].width);
            for order in orders {
                assert_eq!(order.block, number, "no block is left out");
                let at = (order.disk + shape.knobs().disks - order.fragment) % shape.knobs().disks;
                let stays = shape.virtual_disk(Origin { disk: at, zone: 0 }, *period);
                assert_eq!(stays, home, "it stays where it was promised its time");
                assert_eq!(u64::from(order.zone), (u64::from(origin.zone) + number) % zones);
                assert!(shape.reads_zone(*period, order.zone as usize), "{period} sweeps another");
            }
            by_disk[orders[0].disk as usize] += 1;
            if (number + 1).is_multiple_of(shape.cycle()) {
                let used: Vec<_> = by_disk.iter().filter(|reads| **reads > 0).collect();
                assert!(used.iter().all(|reads| *reads == used[0]), "{by_disk:?}");
            }
        }
        for two in self.read.windows(2) {
            assert_eq!((two[1].0 - two[0].0 - 1) % shape.cycle(), 0, "skips are whole cycles");
        }
        let media = &shape.media()[self.request.media];
        let round_ns = u128::from(zones * shape.knobs().period_ns);
        let shown = (u128::from(media.rate_bps) * round_ns / 8_000_000_000) as u64;
        for round in self.read.windows(zones as usize) {
            let bytes: u64 = round.iter().flat_map(|(_, orders)| orders).map(|one| one.bytes).sum();
            let rounding = zones * u64::from(media.width) * GRANULE;
            assert!((shown..=shown + rounding).contains(&bytes), "{bytes} for {shown}");
        }
    }
}

/// Disks that take at most what they are billed, and viewers who skip; everything that is said is held against what has to hold.
struct Watched {
    scheduler: Scheduler,
    shape: Shape,
    marks: Option<WaterMarks>,
    rng: fastrand::Rng,
    /// How many batches of a hundred take all they are billed.
    worst_percent: u32,
    pace: Pace,
    free_ns: Vec<u64>,
    seen: BTreeMap<PlaybackId, Seen>,
    /// What is billed for each virtual disk in the period under way.
    billed_ns: Vec<u64>,
    skips: u64,
    lates: u64,
    refused: u64,
    blocks: u64,
}

impl Watched {
    fn new(shape: Shape, marks: Option<WaterMarks>, worst_percent: u32, seed: u64) -> Self {
        let disks = shape.knobs().disks as usize;
        Self {
            scheduler: Scheduler::new(shape.clone()).unwrap(),
            shape,
            marks,
            rng: fastrand::Rng::with_seed(seed),
            worst_percent,
            pace: Pace::default(),
            free_ns: vec![0; disks],
            seen: BTreeMap::new(),
            billed_ns: vec![0; disks],
            skips: 0,
            lates: 0,
            refused: 0,
            blocks: 0,
        }
    }

    /// Runs for so many periods of real time; `comers` want something in each on average.
    fn run(mut self, periods: u64, comers: f64) -> Self {
        let period_ns = self.shape.knobs().period_ns;
        let mut comes_ns = 0;
        let mut interval = Interval(0);
        while self.pace.real_ns(self.shape.begins_ns(interval)) < periods * period_ns {
            let mut now_ns = self.pace.real_ns(self.shape.begins_ns(interval));
            assert!(interval.0 < 1_000_000, "it runs ahead for nothing");
            self.begin(interval, now_ns);
            let next = Interval(interval.0 + 1);
            loop {
                let idle_ns = self.idle_ns(now_ns);
                let ends_ns = self.pace.begins_ns(&self.shape, next, idle_ns);
                if comes_ns >= ends_ns {
                    self.show(next, ends_ns);
                    self.pace.go_on(&self.shape, next, ends_ns);
                    break;
                }
                now_ns = now_ns.max(comes_ns);
                self.come(interval, now_ns);
                comes_ns += (-(1.0 - self.rng.f64()).ln() * period_ns as f64 / comers) as u64;
            }
            interval = next;
        }
        self.seen.values().for_each(|seen| seen.check(&self.shape));
        self
    }

    /// When the next interval may begin early.
    fn idle_ns(&self, now_ns: u64) -> Option<u64> {
        let marks = self.marks?;
        let takes = |id| self.seen[&id].stock.skip(&self.shape, marks, now_ns) == Cycles(0);
        let idle_ns = self.free_ns.iter().copied().max().unwrap_or(0).max(now_ns);
        self.scheduler.is_wanted(takes).then_some(idle_ns)
    }

    fn begin(&mut self, interval: Interval, now_ns: u64) {
        if self.shape.group_of(interval) == 0 {
            self.billed_ns.fill(0);
        }
        if let Some(marks) = self.marks {
            for id in self.scheduler.due(interval).collect::<Vec<_>>() {
                let cycles = self.seen[&id].stock.skip(&self.shape, marks, now_ns);
                if cycles > Cycles(0) {
                    self.skips += 1;
                    self.scheduler.skip(id, cycles).unwrap();
                }
            }
        }
        let orders = self.scheduler.tick(interval).orders;
        self.read(interval, now_ns, orders, false);
    }

    fn come(&mut self, interval: Interval, now_ns: u64) {
        if let (0..4, newest) = (self.rng.u32(0..10), self.seen.len() as u64) {
            // Somebody stops, unless he has ended.
            self.scheduler.end(PlaybackId(self.rng.u64(0..=newest)));
        }
        let knobs = *self.shape.knobs();
        let disk = self.rng.u32(0..knobs.disks);
        let origin = Origin { disk, zone: self.rng.u32(0..knobs.zones as u32) };
        let media = self.rng.usize(0..self.shape.media().len());
        let (object, blocks) = (self.rng.u64(..), self.rng.u64(1..60));
        let request = Request { object, media, origin, blocks, load: None };
        let scheduled_ns = self.pace.scheduled_ns(now_ns);
        match self.scheduler.admit(interval, scheduled_ns, &request) {
            Ok(admitted) => self.admitted(interval, now_ns, admitted, request),
            Err(_) => self.refused += 1,
        }
    }

    fn admitted(&mut self, now: Interval, now_ns: u64, admitted: Admitted, request: Request) {
        let (shape, first) = (&self.shape, admitted.first);
        let knobs = shape.knobs();
        let zone = request.origin.zone as usize;
        match knobs.zones {
            1 => {
                let after = Interval(first.0 + u64::from(knobs.window));
                let off = admitted.shown_ns.abs_diff(shape.begins_ns(after));
                assert!(off <= u64::from(knobs.groups), "shown when the next batch begins");
            }
            _ => assert_eq!(admitted.shown_ns, shape.begins_ns(first) + shape.delay_ns(zone)),
        }
        let shown_ns = self.pace.real_ns(admitted.shown_ns);
        let stock = Stock { zone, asked: 0, shown_ns };
        let (read, early) = (Vec::new(), Vec::new());
        let seen = Seen { request, admitted, came_ns: now_ns, stock, is_shown: false, read, early };
        self.seen.insert(admitted.id, seen);
        if admitted.is_late {
            self.lates += 1;
            let orders = self.scheduler.late(admitted.id);
            self.read(now, now_ns, orders, true);
        }
    }

    /// The schedule's time comes to `next`: who is shown by then, and since when.
    fn show(&mut self, next: Interval, ends_ns: u64) {
        let (scheduled_ns, pace) = (self.shape.begins_ns(next), self.pace);
        let mut arrived = Vec::new();
        for (id, seen) in &mut self.seen {
            if seen.is_shown || seen.admitted.shown_ns > scheduled_ns {
                continue;
            }
            seen.is_shown = true;
            seen.stock.shown_ns = pace.real_ns(seen.admitted.shown_ns).min(ends_ns);
            arrived.extend(seen.early.drain(..).map(|(block, there_ns)| (*id, block, there_ns)));
        }
        for (id, block, there_ns) in arrived {
            self.arrive(id, block, there_ns);
        }
    }

    /// Reads a batch: each disk takes all it is billed, or any part of that.
    fn read(&mut self, interval: Interval, now_ns: u64, orders: Vec<Order>, is_late: bool) {
        let period = self.shape.period_of(interval);
        let mut by_disk = vec![Load::default(); self.free_ns.len()];
        let mut by_block: BTreeMap<(PlaybackId, u64), Vec<Order>> = BTreeMap::new();
        for order in orders {
            let load = &mut by_disk[order.disk as usize];
            *load = Load { reads: load.reads + 1, bytes: load.bytes + self.billed(&order) };
            by_block.entry((order.playback, order.block)).or_default().push(order);
        }
        for (disk, load) in by_disk.into_iter().enumerate().filter(|(_, load)| load.reads > 0) {
            let bill_ns = self.bill(interval, disk as u32, load, is_late);
            let part = if self.rng.u32(0..100) < self.worst_percent { 1.0 } else { self.rng.f64() };
            let begins_ns = self.free_ns[disk].max(now_ns);
            self.free_ns[disk] = begins_ns + (bill_ns as f64 * part) as u64;
            let done_ns = self.pace.scheduled_ns(self.free_ns[disk]);
            let due_ns = self.shape.done_ns(interval) + 1;
            assert!(done_ns <= due_ns, "{interval:?}: {done_ns} after {due_ns}");
        }
        for ((id, block), orders) in by_block {
            let there = orders.iter().map(|order| self.free_ns[order.disk as usize]).max();
            let seen = self.seen.get_mut(&id).unwrap();
            seen.stock.asked = block + 1;
            seen.read.push((period, orders));
            self.blocks += 1;
            self.hold(id, now_ns);
            self.arrive(id, block, there.unwrap());
        }
    }

    /// What a read is billed: of blocks of unlike length, as the longest.
    fn billed(&self, order: &Order) -> u64 {
        self.shape.load(self.seen[&order.playback].request.media).bytes
    }

    /// Invariant 1: all that is read in a period takes at most the period.
    fn bill(&mut self, interval: Interval, disk: u32, load: Load, is_late: bool) -> u64 {
        let (shape, period) = (&self.shape, self.shape.period_of(interval));
        let zone = shape.zone_of(period);
        let takes_ns = match is_late {
            true => shape.apart_ns(zone, load),
            false => shape.batch_ns(zone, load.reads, load.bytes),
        };
        let number = shape.virtual_disk(Origin { disk, zone: 0 }, period) as usize;
        self.billed_ns[number] += takes_ns;
        let has_ns = match shape.swept() {
            1 => shape.knobs().period_ns,
            _ => shape.shares_ns()[zone],
        };
        assert!(self.billed_ns[number] <= has_ns, "{} of {has_ns}", self.billed_ns[number]);
        takes_ns
    }

    /// Invariant 2: nobody holds more than was said.
    fn hold(&self, id: PlaybackId, now_ns: u64) {
        let seen = &self.seen[&id];
        let period_ns = self.shape.knobs().period_ns;
        let limit_ns = match self.marks {
            Some(marks) => marks.high_blocks() * period_ns,
            None => {
                (self.shape.buffer_blocks(seen.stock.zone) * period_ns as f64).ceil() as u64 + 1
            }
        };
        let held_ns = seen.stock.held_ns(&self.shape, now_ns);
        assert!(held_ns <= limit_ns, "{held_ns} of {limit_ns}");
    }

    /// Invariants 1 and 2: no block is there after it is to be shown, so nobody ever holds less than nothing.
    fn arrive(&mut self, id: PlaybackId, block: u64, there_ns: u64) {
        let seen = self.seen.get_mut(&id).unwrap();
        if !seen.is_shown {
            seen.early.push((block, there_ns));
            return;
        }
        let due_ns = seen.stock.shown_ns + self.shape.due_ns(seen.stock.zone, block);
        assert!(there_ns <= due_ns + 1, "block {block} at {there_ns}, due at {due_ns}");
    }
}

const KNOBS: Knobs = Knobs {
    disks: 4,
    stride: 1,
    period_ns: 1_000_000_000,
    groups: 1,
    window: 1,
    zones: 1,
    zoning: Zoning::Fixb,
    degraded: Degraded::None,
};

/// Disks that bear some ten playbacks each.
fn shape(knobs: Knobs) -> Shape {
    let media = [(40_000_000, 1), (90_000_000, 2)].map(|(rate_bps, width)| Media {
        name: format!("{rate_bps}"),
        rate_bps,
        width,
        pieces: 1,
    });
    let mut shape = Shape::new(&[sample::today()], knobs, media.to_vec()).unwrap();
    let bytes = shape.load(0).bytes;
    shape.share_zones(12, 12 * bytes);
    shape
}

fn any_knobs() -> impl Strategy<Value = Knobs> {
    let zoned = (1_u32..7, 1_u32..7, 1_usize..5, any::<bool>(), 1_u32..7, 1_u32..7, any::<bool>());
    zoned.prop_map(|(disks, stride, zones, varies, groups, window, keeps)| {
        let zoning = if varies { Zoning::Varb } else { Zoning::Fixb };
        let groups = if zones > 1 && !varies { 1 } else { groups };
        Knobs {
            disks: disks + 2,
            stride: stride.min(disks + 2),
            zones,
            zoning,
            groups,
            window: window.min(groups),
            degraded: if keeps { Degraded::Keep } else { Degraded::None },
            ..KNOBS
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Invariants 1, 2, 4 and 6, at nominal pace.
    #[test]
    fn everybody_is_in_time_on_disks_that_take_all_they_are_billed(
        knobs in any_knobs(), worst_percent in 0_u32..=100, seed: u64, comers in 0.2_f64..12.0,
    ) {
        let watched = Watched::new(shape(knobs), None, worst_percent, seed).run(80, comers);
        prop_assert!(watched.blocks > 0 && watched.skips == 0 && watched.pace == Pace::default());
    }

    /// Invariants 1, 2, 4, 5 and 6, working ahead: nobody is late though the schedule runs ahead of real time and viewers are left out.
    #[test]
    fn skips_are_whole_cycles_and_everybody_is_in_time(
        knobs in any_knobs(), worst_percent in 0_u32..=100, seed: u64, comers in 0.2_f64..12.0, more in 0_u64..3, wider in 0_u64..9,
    ) {
        let shape = shape(knobs);
        let least = WaterMarks::least(&shape);
        let low = least.low_blocks() + more;
        let marks = WaterMarks::new(&shape, low, low + least.high_blocks() - least.low_blocks() + wider).unwrap();
        let watched = Watched::new(shape, Some(marks), worst_percent, seed).run(80, comers);
        prop_assert!(watched.blocks > 0);
        prop_assert!(watched.pace.ahead_ns() > 0, "nobody worked ahead");
    }
}

/// What the properties are about does happen: skips, and joining late what skippers leave.
#[test]
fn viewers_skip_and_newcomers_begin_sooner() {
    for knobs in [KNOBS, Knobs { groups: 4, window: 2, ..KNOBS }, Knobs { zones: 3, ..KNOBS }] {
        let shape = shape(knobs);
        let marks = WaterMarks::least(&shape);
        let run = |marks, seed| Watched::new(shape.clone(), marks, 50, seed).run(300, 0.8);
        let startup_ns = |one: &Watched| {
            let first = |seen: &Seen| seen.stock.shown_ns - seen.came_ns;
            one.seen.values().map(first).sum::<u64>() / one.seen.len() as u64
        };
        let (plain, ahead) = (run(None, 1), run(Some(marks), 1));
        assert!(ahead.skips > 100 && ahead.lates > 10, "{} {}", ahead.skips, ahead.lates);
        let (sooner, later) = (startup_ns(&ahead), startup_ns(&plain));
        assert!(sooner * 5 < later * 4, "{sooner} of {later}, {knobs:?}");
    }
}

/// A schedule with nobody to read for keeps nominal pace: it does not run ahead for nothing.
#[test]
fn who_has_nobody_to_read_for_does_not_spin() {
    let knobs = Knobs { disks: 3, stride: 3, ..KNOBS };
    let shape = shape(knobs);
    assert_eq!(shape.cycle(), 1, "the shortest skips there are");
    let marks = WaterMarks::least(&shape);
    // One object, and nobody else who comes.
    let watched = Watched::new(shape, Some(marks), 0, 1).run(40, 1e-9);
    let ahead = watched.pace.ahead_ns() / KNOBS.period_ns;
    assert!(
        watched.blocks > 1 && ahead < 200,
        "{ahead} periods ahead after {} blocks",
        watched.blocks
    );
}
