//! Reading one block by its map, fragment by fragment.

use bytes::Bytes;
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::array::{Array, Fragments};
use crate::format::fragment::{BlockHeader, FragmentHeader};
use crate::patience::Fitness;
use crate::stripe;
use crate::{BlockMap, Extent, LogError};

/// A block being read by its map.
pub(crate) struct Reading<'a> {
    array: &'a Array,
    map: &'a BlockMap,
    places: Vec<Extent>,
    rows: Vec<u32>,
    /// By position, parity last.
    fragments: Vec<Option<AlignedBuf>>,
    header: Option<BlockHeader>,
    tried: Vec<bool>,
    /// Those that were not waited for.
    late: Vec<bool>,
    /// What is wrong with those that were tried, by position, a sentence each.
    pub(crate) wrong: Vec<(u8, String)>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(array: &'a Array, map: &'a BlockMap) -> Result<Self, LogError> {
        let places: Vec<Extent> = map.extents().collect();
        let impossible = |why: String| LogError::Block { map: Box::new(map.clone()), why };
        let mut rows = Vec::with_capacity(places.len());
        for place in &places {
            if usize::from(place.disk.0) >= array.geometry.disks() {
                return Err(impossible(format!("the array has no {}", place.disk)));
            }
            let row = array.geometry.row_at(place.offset);
            rows.push(row.ok_or_else(|| impossible(format!("no slot at {}", place.offset)))?);
        }
        let sectors = map.fragment_bytes / SECTOR as u32;
        if rows.iter().any(|row| row.saturating_add(sectors) > array.geometry.rows()) {
            return Err(impossible("it does not fit into a slot".to_owned()));
        }
        let fragments = places.iter().map(|_| None).collect();
        let (tried, late) = (vec![false; places.len()], vec![false; places.len()]);
        let (header, wrong) = (None, Vec::new());
        Ok(Self { array, map, places, rows, fragments, header, tried, late, wrong })
    }

    /// How many fragments from the first on have enough among them that can be had without waiting: the data,
    /// and parity for those of it that can't. Those of slow disks are not to be asked for.
    pub(crate) fn first_choice(&self) -> usize {
        let data = self.map.fragments.len();
        let mut quick = 0;
        for (at, place) in self.places.iter().enumerate() {
            if quick == data {
                return at;
            }
            let fitness = self.array.disks.fitness(place.disk);
            quick += usize::from(fitness == Fitness::Quick);
            if fitness == Fitness::Slow && !self.map.parity.is_empty() {
                self.array.disks.shed(*place, self.map.fragment_bytes as usize);
            }
        }
        self.places.len()
    }

    /// What was not waited for may be tried again.
    pub(crate) fn forgive(&mut self) {
        for (tried, late) in self.tried.iter_mut().zip(&mut self.late) {
            *tried &= !std::mem::take(late);
        }
    }

    /// Whether all data fragments are there.
    pub(crate) fn has_data(&self) -> bool {
        self.fragments.iter().take(self.map.fragments.len()).all(Option::is_some)
    }

    /// Data fragment number `at`, if it was read and is good.
    pub(crate) fn data(&self, at: usize) -> Option<&AlignedBuf> {
        self.fragments.get(at).filter(|_| at < self.map.fragments.len())?.as_ref()
    }

    /// Whether the payload can be had.
    pub(crate) fn suffice(&self) -> bool {
        self.fragments.iter().flatten().count() >= self.map.fragments.len()
    }

    /// Reads those fragments not tried yet for which `choose` holds, given position and how it stands with
    /// the disk. In a `hurry`, those are not waited for that others can stand in for.
    pub(crate) fn fetch(&mut self, hurry: bool, choose: impl Fn(usize, Fitness) -> bool) {
        let fitness: Vec<Fitness> =
            self.places.iter().map(|place| self.array.disks.fitness(place.disk)).collect();
        let chosen: Vec<usize> = (0..self.places.len())
            .filter(|at| !self.tried[*at] && choose(*at, fitness[*at]))
            .collect();
        let len = self.map.fragment_bytes as usize;
        let extents: Vec<_> = chosen.iter().map(|at| (self.places[*at], len)).collect();
        let spare = if hurry { self.spare(&chosen, &fitness) } else { 0 };
        for (at, outcome) in chosen.into_iter().zip(self.array.read_patiently(&extents, spare)) {
            self.take(at, outcome);
        }
    }

    /// What came of reading the fragment at a position; `None` if it was not waited for.
    pub(crate) fn take(&mut self, at: usize, outcome: Option<Result<AlignedBuf, String>>) {
        self.tried[at] = true;
        self.late[at] = outcome.is_none();
        let place = self.places[at];
        match outcome {
            None => {}
            Some(Err(why)) => self.wrong.push((at as u8, why)),
            Some(Ok(buf)) => match stripe::verify(&buf, |header| self.is_wanted(header, at)) {
                Ok(header) => {
                    self.header = Some(header.block);
                    self.fragments[at] = Some(buf);
                }
                Err(bad) => {
                    self.array.disks.count_error(place.disk);
                    self.wrong.push((at as u8, format!("{}: {bad}", self.array.place(place))));
                }
            },
        }
    }

    /// The fragments to ask for first: which position each has, and where it is.
    pub(crate) fn first_wanted(&self) -> Vec<(usize, Extent)> {
        let first = self.first_choice();
        let quick = |place: &Extent| self.array.disks.fitness(place.disk) == Fitness::Quick;
        let wanted = self.places[..first].iter().copied().enumerate();
        wanted.filter(|(_, place)| quick(place)).collect()
    }

    /// Reads what is missing still, and puts the payload together: first the rest of parity; then what has to be waited
    /// for; then disks that were given up.
    pub(crate) fn complete(mut self) -> Result<Bytes, LogError> {
        if !self.suffice() {
            self.fetch(true, |_, fitness| fitness == Fitness::Quick);
        }
        if !self.suffice() {
            self.forgive();
            self.fetch(true, |_, fitness| fitness != Fitness::Dead);
        }
        if !self.suffice() {
            self.forgive();
            self.fetch(false, |_, _| true);
        }
        self.finish()
    }

    /// How many of the `chosen` fragments others could stand in for.
    fn spare(&self, chosen: &[usize], fitness: &[Fitness]) -> usize {
        let may_come = |at: &usize| {
            let untried = !self.tried[*at] || self.late[*at];
            untried && fitness[*at] != Fitness::Dead && !chosen.contains(at)
        };
        let got = self.fragments.iter().flatten().count();
        let others = (0..self.places.len()).filter(may_come).count();
        (got + chosen.len() + others).saturating_sub(self.map.fragments.len())
    }

    fn is_wanted(&self, header: &FragmentHeader, at: usize) -> bool {
        let (block, map) = (&header.block, self.map);
        block.array == self.array.id
            && block.segment == map.segment
            && block.seq == map.seq
            && block.row == self.rows[at]
            && usize::from(header.position) == at
            && usize::from(block.data) == map.fragments.len()
            && usize::from(block.parity) == map.parity.len()
            && block.payload_bytes == map.payload_bytes
            && block.payload_crc == map.crc
    }

    /// With all data there: which parity is not that of it, a sentence each.
    pub(crate) fn parity_mismatches(&self) -> Vec<(u8, String)> {
        let Some(header) = self.header else { return Vec::new() };
        let wrong = stripe::wrong_parity(&header, &self.fragments).into_iter();
        let place = |position: u8| self.array.place(self.places[usize::from(position)]);
        let sentence = |position| format!("{}: not the parity of its data", place(position));
        wrong.map(|position| (position, sentence(position))).collect()
    }

    /// What all fragments that were found say alike.
    pub(crate) fn header(&self) -> Option<BlockHeader> {
        self.header
    }

    fn all_wrong(&self) -> String {
        let sentences: Vec<&str> = self.wrong.iter().map(|(_, sentence)| &**sentence).collect();
        sentences.join("; ")
    }

    /// The payload of what there is.
    pub(crate) fn finish(self) -> Result<Bytes, LogError> {
        let (Some(header), true) = (self.header, self.suffice()) else {
            let why = self.all_wrong();
            return Err(LogError::Block { map: Box::new(self.map.clone()), why });
        };
        let (rebuilds, wrong) = (!self.has_data(), self.all_wrong());
        let payload = Fragments { header, got: self.fragments }.into_payload();
        if rebuilds {
            self.array.count_rebuilt();
            if crc32c::crc32c(&payload) != self.map.crc {
                let why = format!("rebuilt wrongly; {wrong}");
                return Err(LogError::Block { map: Box::new(self.map.clone()), why });
            }
        }
        Ok(payload)
    }
}
