//! Asking for a promise, and using it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time};
use pegasus_mitra::PlaybackId;

use super::admission::Need;
use super::ahead::{self, Known};
use super::aside::is_ahead;
use super::line::Ticket;
use super::office::Office;
use super::stock::Stock;
use crate::error::Error;
use crate::inner::Inner;
use crate::keys::{KeyOptions, KeyReader};
use crate::locate::Finder;
use crate::read::{ReadOptions, Reader};
use crate::store::Continuous;
use crate::units::{UnitNumber, Units};

/// What somebody wants to play.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The stream.
    pub name: StreamName,
    /// From when on.
    pub from: Time,
    /// Until when; `None` is to the end of what is recorded, and on.
    pub until: Option<Time>,
    /// How fast: 1 is as recorded, negative is backwards. Beyond twice as fast, and backwards faster than it was recorded, only key units are shown, of
    /// which nine a second are reckoned with at most.
    pub scale: f64,
}

/// Playbacks that are guaranteed: what is read through this is there in time, as long as it is not asked for faster than it was
/// recorded (times the wish's scale). Dropping it gives the disks' time back.
#[derive(Debug)]
pub struct Promise {
    number: u64,
    inner: Arc<Inner>,
    /// `None` where nothing is guaranteed.
    office: Option<Arc<Office>>,
    shares: Vec<Share>,
    /// Before that, what comes from the tier would be late.
    begins: Instant,
}

/// One of its playbacks.
#[derive(Debug)]
struct Share {
    name: StreamName,
    id: Option<PlaybackId>,
    stock: Arc<Stock>,
}

impl Promise {
    /// Asks for all of `wishes`, or none of them.
    pub(crate) fn new(store: &Continuous, wishes: &[Wish]) -> Result<Self, Error> {
        Self::instead_of(store, wishes, None)
    }

    /// As [`Promise::new`], in the place of another.
    pub(crate) fn instead_of(
        store: &Continuous,
        wishes: &[Wish],
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let admit = |office: &Arc<Office>, needs: &[Need]| match before {
            // Who has a promise already is not in line for it.
            Some(before) => {
                let same = before.office.as_ref().is_some_and(|own| Arc::ptr_eq(own, office));
                let before = if same { before.ids() } else { Vec::new() };
                office.admit(needs, &before, office.now_ns())
            }
            None => in_turn(store.inner(), office, needs, None),
        };
        Self::admitted(store, wishes, admit)
    }

    /// As [`Promise::new`], for somebody who is ready to wait, or waits with this ticket. A refusal says whether that is in vain.
    pub(super) fn patiently(
        store: &Continuous,
        wishes: &[Wish],
        ticket: Option<Ticket>,
    ) -> Result<Self, Error> {
        Self::admitted(store, wishes, |office, needs| {
            in_turn(store.inner(), office, needs, ticket).map_err(|error| match error {
                Error::Refused(mut refused) => {
                    refused.never = !office.fits_when_idle(needs);
                    Error::Refused(refused)
                }
                other => other,
            })
        })
    }

    /// Has `admit` decide, if anything is guaranteed.
    fn admitted(
        store: &Continuous,
        wishes: &[Wish],
        admit: impl FnOnce(&Arc<Office>, &[Need]) -> Result<(u64, Vec<PlaybackId>), Error>,
    ) -> Result<Self, Error> {
        let inner = store.inner().clone();
        let office = inner.office();
        let hurry = inner.log.hurry();
        let mut needs = Vec::with_capacity(wishes.len());
        for wish in wishes {
            needs.push(need(store, office.as_ref(), wish)?);
        }
        drop(hurry);
        let begins = Instant::now() + begin(&inner, &needs)?;
        let (number, ids) = match &office {
            Some(office) => {
                let (number, ids) = admit(office, &needs)?;
                (number, ids.into_iter().map(Some).collect())
            }
            None => (0, vec![None; needs.len()]),
        };
        let shares = wishes.iter().zip(ids).zip(needs);
        let share = |((wish, id), need): ((&Wish, _), Need)| Share {
            name: wish.name.clone(),
            id,
            stock: need.stock,
        };
        let shares = shares.map(share).collect();
        Ok(Self { number, inner, office, shares, begins })
    }

    /// Its number, not used again while the store is open; 0 where nothing is guaranteed.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The streams it is for.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.shares.iter().map(|share| &share.name)
    }

    /// How long to wait before showing anything so that nothing is late: as the schedule comes to it, or not at all once enough was read ahead. Where the
    /// disks have time, that is a moment later; so it is worth asking again.
    #[must_use]
    pub fn starts_in(&self) -> Duration {
        let Some(office) = &self.office else { return Duration::ZERO };
        let comes = self.begins.saturating_duration_since(Instant::now());
        comes.max(office.starts_in(&self.ids()))
    }

    /// Bits a second that are reserved for all of it; 0 where nothing is guaranteed.
    #[must_use]
    pub fn reserved_bps(&self) -> u64 {
        self.office.as_ref().map_or(0, |office| office.reserved_bps(&self.ids()))
    }

    fn ids(&self) -> Vec<PlaybackId> {
        self.shares.iter().filter_map(|share| share.id).collect()
    }

    /// Why it does not hold any more, if that is so: the disks were slower than they seemed, or the store is being closed.
    #[must_use]
    pub fn withdrawn(&self) -> Option<String> {
        self.shares.iter().find_map(|share| share.stock.withdrawn())
    }

    /// As [`Continuous::read`], with what was read ahead.
    ///
    /// # Errors
    /// [`Error::UnknownStream`] also if the promise is not for `name`; as [`Continuous::read`]. The reader's items
    /// may be [`Error::Withdrawn`].
    pub fn read(
        &self,
        name: &StreamName,
        from: Time,
        options: ReadOptions,
    ) -> Result<Reader, Error> {
        let share = self.share(name)?;
        let _hurry = self.inner.log.hurry();
        let stream = share.stock.finder.stream.clone();
        Reader::stocked(self.inner.clone(), stream, share.given(), from, options)
    }

    /// As [`Continuous::read_units`], with what was read ahead.
    ///
    /// # Errors
    /// As [`Promise::read`].
    pub fn read_units(&self, name: &StreamName, from: UnitNumber) -> Result<Units, Error> {
        let share = self.share(name)?;
        let _hurry = self.inner.log.hurry();
        let stream = share.stock.finder.stream.clone();
        Ok(Units::new(self.inner.clone(), stream, from)?.stocked(share.given()))
    }

    /// As [`Continuous::read_keys`], with the time that is kept for it.
    ///
    /// # Errors
    /// As [`Promise::read`].
    pub fn read_keys(
        &self,
        name: &StreamName,
        from: Time,
        options: KeyOptions,
    ) -> Result<KeyReader, Error> {
        let share = self.share(name)?;
        let _hurry = self.inner.log.hurry();
        let stream = share.stock.finder.stream.clone();
        Ok(KeyReader::new(self.inner.clone(), stream, from, options)?.stocked(share.given()))
    }

    /// Does what playing begins with, such as planning a file: what it reads goes before what others read that was not promised.
    pub fn hurry<T>(&self, first: impl FnOnce() -> T) -> T {
        let _hurry = self.inner.log.hurry();
        first()
    }

    fn share(&self, name: &StreamName) -> Result<&Share, Error> {
        let share = self.shares.iter().find(|share| share.name == *name);
        share.ok_or_else(|| Error::UnknownStream { name: name.clone() })
    }
}

impl Share {
    /// What is read ahead for it, if anything is promised.
    fn given(&self) -> Option<Arc<Stock>> {
        self.id.map(|_| self.stock.clone())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(office) = &self.office {
            office.end(&self.ids());
            self.inner.waiters.wake();
        }
    }
}

/// Has somebody admitted if it is his turn: with a ticket when he is next, without if he may overtake.
fn in_turn(
    inner: &Inner,
    office: &Office,
    needs: &[Need],
    ticket: Option<Ticket>,
) -> Result<(u64, Vec<PlaybackId>), Error> {
    let mut line = inner.waiters.line();
    let admitted = match line.may_try(ticket) {
        true => office.admit(needs, &[], office.now_ns()),
        false => Err(office.not_his_turn(needs)),
    };
    match admitted {
        Ok(admitted) => {
            line.served(ticket);
            Ok(admitted)
        }
        Err(Error::Refused(mut refused)) => {
            refused.waiting = line.len() as u64;
            refused.position = ticket.and_then(|ticket| line.position(ticket)).map(|at| at as u64);
            Err(Error::Refused(refused))
        }
        Err(error) => Err(error),
    }
}

/// When what is out comes in time for all; it is brought back from now on.
fn begin(inner: &Inner, needs: &[Need]) -> Result<Duration, Error> {
    let Some(tiering) = inner.tiering() else { return Ok(Duration::ZERO) };
    let (mut longest, mut refused) = (Duration::ZERO, None);
    for need in needs {
        match tiering.begin(&need.stock.finder, &need.known.from_tier, &need.known.out) {
            Ok(wait) => longest = longest.max(wait),
            // The others' are to come as well meanwhile.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(longest), Err)
}

fn need(store: &Continuous, office: Option<&Arc<Office>>, wish: &Wish) -> Result<Need, Error> {
    let inner = store.inner();
    let stream = store.recorded(&wish.name)?;
    let finder =
        Finder { inner: inner.clone(), stream: stream.clone(), record_len: inner.record_len };
    let spans = stream.spans(&inner.log, wish.from, Time::MAX)?;
    let found = match spans.first() {
        Some(span) => finder.find(span, wish.from.max(span.head.start))?,
        None => None,
    };
    let glance = |finder: &Finder, from| ahead::glance(finder, from, wish.scale < 0.0);
    let from = found.map_or_else(|| finder.end(), |found| found.from);
    let known = match (office, found) {
        (Some(office), Some(_)) => {
            let extent = (wish.from, wish.until.unwrap_or(Time::MAX));
            let guarantee = office.guarantee();
            match is_ahead(wish.scale) {
                true => ahead::look(&finder, from, extent, |offset| guarantee.slowness_at(offset))?,
                false => Known { glance: Some(glance(&finder, from)), ..Known::default() },
            }
        }
        (Some(_), None) if !is_ahead(wish.scale) => {
            Known { glance: Some(glance(&finder, from)), ..Known::default() }
        }
        _ => Known::default(),
    };
    let patience = office.map_or_else(Default::default, |office| office.patience());
    let reader = office.map_or_else(Weak::new, Arc::downgrade);
    let stock = Arc::new(Stock::new(finder, from, patience, reader));
    let ends = wish.until.is_some() || !known.grows;
    Ok(Need { stock, known, scale: wish.scale, ends })
}

/// When all of its playbacks can be shown by the schedule, in nanoseconds since the office began.
#[cfg(test)]
pub(crate) fn shown_ns(promise: &Promise) -> u64 {
    let Some(office) = &promise.office else { return 0 };
    let state = office.state.lock();
    let ids = promise.ids();
    let shares = ids.iter().filter_map(|id| state.shares.get(id));
    shares.map(|share| share.shown_ns).max().unwrap_or(0)
}
