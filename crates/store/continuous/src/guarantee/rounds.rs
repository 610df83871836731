//! The thread that reads what was promised, interval by interval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_log::{Cost, Sweep, Urgent};
use pegasus_mitra::{Interval, Load, PlaybackId};

use super::admission::State;
use super::lateness::Done;
use super::office::Office;
use super::stock::{Stock, Wanted};
use crate::inner::Inner;

/// What is to be read together.
struct Batch {
    stocks: Vec<Arc<Stock>>,
    /// When everything has to be there, in nanoseconds since the office began.
    done_ns: u64,
    billed_ns: u64,
    /// Whether somebody was promised that it is done in time, and not only read for because there was time.
    is_due: bool,
    gap_bytes: u64,
    /// What reads cost that others make meanwhile.
    cost: Cost,
}

/// Reads until the office is closed.
pub(crate) fn run(office: &Office) {
    // Whatever else has to be read for a batch, such as an index, waits for nobody: all would be late for it.
    let _urgent = Urgent::begin();
    while let Some(batch) = next(office) {
        if !batch.stocks.is_empty() {
            office.read(&batch);
            office.learn(&batch);
        }
    }
}

/// About as long as an index.
const INDEX_BYTES: u64 = 256 << 10;

/// Waits for what is to be read next; `None` at the end.
fn next(office: &Office) -> Option<Batch> {
    let mut state = office.state.lock();
    loop {
        if state.stop {
            return None;
        }
        let begins_ns = match state.due(office.now_ns()) {
            Ok(batch) => return Some(batch),
            Err(begins_ns) => begins_ns,
        };
        let until = office.at(begins_ns);
        if state.shares.is_empty() {
            // Nobody plays: the intervals that nobody needs are gone through together.
            office.kicked.wait(&mut state);
        } else {
            office.kicked.wait_until(&mut state, until);
        }
    }
}

/// Reads all that is due by `now_ns`, in the caller's thread.
#[cfg(test)]
pub(crate) fn catch_up(office: &Office, now_ns: u64) {
    loop {
        let batch = office.state.lock().due(now_ns);
        match batch {
            Ok(batch) => {
                office.read(&batch);
                office.learn(&batch);
            }
            Err(_) => return,
        }
    }
}

impl State {
    /// What is to be read now, or when there will be something, in nanoseconds since the office began.
    fn due(&mut self, now_ns: u64) -> Result<Batch, u64> {
        if !self.late.is_empty() {
            return Ok(self.late_batch());
        }
        let interval = Interval(self.now.0 + 1);
        let begins_ns = self.scheduler.shape().begins_ns(interval);
        if begins_ns <= now_ns {
            return Ok(self.batch(interval));
        }
        self.ahead(now_ns, begins_ns).ok_or(begins_ns)
    }

    /// What is waited for though it is not due, as far as it can be read before the next interval begins: nobody is late for it.
    fn ahead(&mut self, now_ns: u64, until_ns: u64) -> Option<Batch> {
        if !std::mem::take(&mut self.waited_for) {
            return None;
        }
        let (mut ids, mut billed_ns) = (Vec::new(), 0);
        for (id, share) in &self.shares {
            if !share.stock.is_wanted() {
                continue;
            }
            let takes = self.scheduler.shape().apart_ns(0, share.load);
            let fits = now_ns + billed_ns + takes <= until_ns;
            if fits {
                billed_ns += takes;
                ids.push(*id);
            }
            // Perhaps there is time after the next interval; or there will be more to be read.
            self.waited_for |= !fits || share.stock.lacks_more_than_once();
        }
        (!ids.is_empty())
            .then(|| Batch { is_due: false, ..self.batch_of(&ids, until_ns, billed_ns) })
    }

    /// The reads of an interval that begins.
    fn batch(&mut self, interval: Interval) -> Batch {
        self.now = interval;
        let orders = self.scheduler.tick(interval).orders;
        let ids: Vec<PlaybackId> = orders.iter().map(|order| order.playback).collect();
        let loads = ids.iter().filter_map(|id| self.shares.get(id)).map(|share| share.load);
        let all = loads.fold(Load::default(), |all, load| Load {
            reads: all.reads + load.reads,
            bytes: all.bytes + load.bytes,
        });
        let shape = self.scheduler.shape();
        let (done_ns, billed_ns) =
            (shape.done_ns(interval), shape.worst_ns(0, all.reads, all.bytes));
        self.batch_of(&ids, done_ns, billed_ns)
    }

    /// The first reads of those who joined the interval that is under way.
    fn late_batch(&mut self) -> Batch {
        let ids = std::mem::take(&mut self.late);
        let shape = self.scheduler.shape();
        let late = ids.iter().filter_map(|id| self.shares.get(id));
        let billed_ns = late.map(|share| shape.apart_ns(0, share.load)).sum();
        let done_ns = shape.done_ns(self.now);
        self.batch_of(&ids, done_ns, billed_ns)
    }

    fn batch_of(&self, ids: &[PlaybackId], done_ns: u64, billed_ns: u64) -> Batch {
        let stock = |id: &PlaybackId| self.shares.get(id).map(|share| share.stock.clone());
        let stocks = ids.iter().filter_map(stock).collect();
        let shape = self.scheduler.shape();
        let read = Duration::from_nanos(shape.lone_ns(0, 0));
        let mebibyte = Duration::from_nanos(shape.lone_ns(0, 1 << 20)).saturating_sub(read);
        let gap_bytes = self.terms.guarantee().gap_bytes();
        Batch { stocks, done_ns, billed_ns, is_due: true, gap_bytes, cost: Cost { read, mebibyte } }
    }
}

impl Office {
    /// Looks for the indexes that will be needed, as far as there is time until the next interval: they are long known when their turn comes.
    fn learn(&self, batch: &Batch) {
        for stock in &batch.stocks {
            let Some(segment) = stock.next_segment() else { continue };
            let (begins_ns, takes_ns) = {
                let state = self.state.lock();
                let shape = state.scheduler.shape();
                let next = Interval(state.now.0 + 1);
                (shape.begins_ns(next), shape.lone_ns(0, INDEX_BYTES))
            };
            if self.is_driven() && self.now_ns() + takes_ns > begins_ns {
                return;
            }
            stock.learn(segment);
        }
    }

    /// Reads a batch, and gives each stock what is its.
    fn read(&self, batch: &Batch) {
        let plans: Vec<(&Arc<Stock>, Vec<Wanted>)> =
            batch.stocks.iter().map(|stock| (stock, stock.next_period())).collect();
        let maps: Vec<_> = plans
            .iter()
            .flat_map(|(_, wanted)| wanted.iter().map(|w| w.entry.map.clone()))
            .collect();
        let Some((first, _)) = plans.first().filter(|_| !maps.is_empty()) else { return };
        let inner: &Inner = &first.finder.inner;
        let how = Sweep { gap_bytes: batch.gap_bytes, deadline: Some(self.at(batch.done_ns)) };
        let (begun, now_ns) = (Instant::now(), self.now_ns());
        let slack_ns = batch.done_ns.saturating_sub(now_ns + batch.billed_ns);
        let passing = inner.log.begin_batch(Duration::from_nanos(slack_ns), batch.cost);
        let mut payloads = inner.log.read_blocks(&maps, how).into_iter();
        drop(passing);
        for (stock, wanted) in &plans {
            for (wanted, payload) in wanted.iter().zip(&mut payloads) {
                stock.put(wanted, payload.ok());
            }
        }
        let now_ns = self.now_ns();
        let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let late_ns = if batch.is_due { now_ns.saturating_sub(batch.done_ns) } else { 0 };
        self.note_batch(Done { took_ns, billed_ns: batch.billed_ns, late_ns, at_ns: now_ns });
    }
}
