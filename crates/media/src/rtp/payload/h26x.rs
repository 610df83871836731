//! What H.264 and H.265 have in common: access units built from NAL units, whole or in fragments,
//! and cut into packets.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunk, Collector, Payload, Skip, UNIT_BYTES_MAX};
use crate::codec::nal;
use crate::rtp::{Event, Packet};
use crate::{Shape, Track};

/// In the header of a fragment: it is the first of its NAL unit.
const START: u8 = 0x80;
/// It is the last.
const END: u8 = 0x40;

/// What a NAL unit is, as far as building access units goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalKind {
    /// A part of the picture.
    Slice {
        /// The first part.
        first: bool,
    },
    /// A parameter set.
    ParameterSet {
        /// Nothing of the same access unit can be missing before it, save a delimiter.
        first: bool,
    },
    /// What an access unit begins with, if it has one.
    Delimiter,
    /// Anything else.
    Other,
}

/// What differs between the codecs.
pub(super) trait NalCodec: Send + Sync + std::fmt::Debug + Sized {
    /// Gives the NAL units in a payload to the assembly.
    fn take(
        assembly: &mut Assembly<Self>,
        payload: &[u8],
        out: &mut Collector,
    ) -> Result<(), &'static str>;
    /// Classifies a NAL unit; `nal` may be only its beginning.
    fn kind(nal: &[u8]) -> NalKind;
    /// Whether decoding can start at the access unit.
    fn is_key(data: &Bytes) -> bool;
    /// Puts a parameter set in force; true if it says anything new.
    fn add(&mut self, nal: &Bytes) -> bool;
    /// The configuration record, once the sets are complete.
    fn config(&self) -> Option<Bytes>;
    /// Width and height, if known.
    fn size(&self) -> Option<(u32, u32)>;
}

/// The access unit being put together.
#[derive(Debug)]
pub(super) struct Assembly<C> {
    track: Track,
    codec: C,
    /// NAL units behind their lengths.
    data: BytesMut,
    /// Where in `data` the NAL unit that still grows begins (its length field).
    open: Option<usize>,
    /// There is a slice in `data`.
    picture: bool,
    /// Where in `data` parameter sets are.
    sets: Vec<std::ops::Range<usize>>,
    skip: Skip,
    /// Nothing has come yet.
    fresh: bool,
    /// The sender uses delimiters.
    delimited: bool,
    /// Size of the last unit, as a guess for the next.
    guess: usize,
}

impl<C: NalCodec> Assembly<C> {
    pub(super) fn new(track: &Track, codec: C) -> Self {
        Self {
            track: track.clone(),
            codec,
            data: BytesMut::new(),
            open: None,
            picture: false,
            sets: Vec::new(),
            skip: Skip::Doubtful,
            fresh: true,
            delimited: false,
            guess: 4_096,
        }
    }

    /// Adds a whole NAL unit. Empty ones are passed over.
    pub(super) fn nal(&mut self, nal: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        self.begin(nal, &[], out)?;
        self.close();
        Ok(())
    }

    /// Adds the NAL units of an aggregate, each behind its 2-byte length.
    pub(super) fn aggregate(
        &mut self,
        mut rest: &[u8],
        out: &mut Collector,
    ) -> Result<(), &'static str> {
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            let cut = "a NAL unit it aggregates is cut short";
            let (nal, tail) = tail.split_at_checked(len).ok_or(cut)?;
            self.nal(nal, out)?;
            rest = tail;
        }
        Ok(())
    }

    /// Adds a fragment of a NAL unit whose header is `head`; `flags` is the fragment's own header.
    pub(super) fn fragment(
        &mut self,
        head: &[u8],
        flags: u8,
        body: &[u8],
        out: &mut Collector,
    ) -> Result<(), &'static str> {
        if flags & START != 0 {
            self.begin(head, body, out)?;
        } else if !self.extend(body, out)? {
            return Err("it goes on with a NAL unit that never began");
        }
        if flags & END != 0 {
            self.close();
        }
        Ok(())
    }

    /// Begins a NAL unit that starts with `head`, then `body`; more may follow.
    fn begin(&mut self, head: &[u8], body: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        self.close();
        if head.is_empty() || !self.admit(head, body, out) {
            return Ok(());
        }
        if self.data.capacity() == 0 {
            self.data.reserve(self.guess);
        }
        self.open = Some(self.data.len());
        self.data.put_u32(0); // the length, set when it is known
        self.grow(head)?;
        self.grow(body)
    }

    /// Goes on with the NAL unit begun. False if none is, and no loss explains that.
    fn extend(&mut self, part: &[u8], out: &mut Collector) -> Result<bool, &'static str> {
        self.fresh = false;
        if self.skip.skips(false, out) {
            return Ok(true);
        }
        if self.open.is_none() {
            return Ok(false);
        }
        self.grow(part).map(|()| true)
    }

    fn grow(&mut self, part: &[u8]) -> Result<(), &'static str> {
        if self.data.len() + part.len() > UNIT_BYTES_MAX {
            return Err("its access unit is larger than 16 MiB");
        }
        self.data.put_slice(part);
        Ok(())
    }

    /// Whether the NAL unit may be used, given what was lost. In doubt it must show that nothing of
    /// its access unit is missing before it. At the very beginning, where there is no sign of a loss,
    /// it may be anything that stands at the beginning of an access unit.
    fn admit(&mut self, head: &[u8], body: &[u8], out: &mut Collector) -> bool {
        if self.skip == Skip::Nothing {
            return true;
        }
        let beginning: Vec<u8> = head.iter().chain(body).take(8).copied().collect();
        let fresh = std::mem::replace(&mut self.fresh, false);
        let begins = match C::kind(&beginning) {
            NalKind::Delimiter => true,
            NalKind::ParameterSet { first } => fresh || (first && !self.delimited),
            NalKind::Slice { first } => fresh && first,
            NalKind::Other => fresh,
        };
        !self.skip.skips(begins, out)
    }

    /// Ends the NAL unit begun, if any. (A fragment without its end bit, but with nothing missing
    /// after it, is a sender's sloppiness.)
    fn close(&mut self) {
        let Some(start) = self.open.take() else { return };
        let kind = C::kind(&self.data[start + 4..]);
        if !matches!(kind, NalKind::Slice { .. }) && contains_start_code(&self.data[start + 4..]) {
            return self.split_annex_b(start);
        }
        let len = (self.data.len() - start - 4) as u32;
        self.data[start..start + 4].copy_from_slice(&len.to_be_bytes());
        match kind {
            NalKind::Slice { .. } => self.picture = true,
            NalKind::ParameterSet { .. } => self.sets.push(start + 4..self.data.len()),
            NalKind::Delimiter => self.delimited = true,
            NalKind::Other => {}
        }
    }

    /// Some cameras send several NAL units with start codes between them as if they were one.
    fn split_annex_b(&mut self, start: usize) {
        let mut stream = vec![0, 0, 1];
        stream.extend_from_slice(&self.data[start + 4..]);
        self.data.truncate(start);
        for nal in nal::annex_b(&stream) {
            self.open = Some(self.data.len());
            self.data.put_u32(0);
            self.data.put_slice(nal);
            // A part has no start code inside, so this does not come back here.
            self.close();
        }
    }

    /// The access unit is complete. Without a picture in it, it waits for the next: some cameras
    /// send parameter sets with a marker, or a time, of their own.
    fn finish(&mut self, out: &mut Collector) {
        self.close();
        self.skip.unit_ended();
        if !self.picture {
            return;
        }
        self.guess = self.data.len() + self.data.len() / 4;
        let data = self.data.split().freeze();
        self.data = BytesMut::new();
        self.picture = false;
        self.apply_sets(&data, out);
        let key = C::is_key(&data) && !self.track.config.is_empty();
        out.frame(0, 0, key, data);
    }

    fn apply_sets(&mut self, data: &Bytes, out: &mut Collector) {
        let mut changed = false;
        for range in self.sets.drain(..) {
            // A copy, so that a few bytes don't hold the whole access unit in memory.
            changed |= self.codec.add(&Bytes::copy_from_slice(&data[range]));
        }
        let Some(config) = self.codec.config().filter(|_| changed) else { return };
        if config == self.track.config {
            return;
        }
        self.track.config = config;
        if let Some((width, height)) = self.codec.size() {
            self.track.shape = Shape::Video { width, height };
        }
        out.events.push_back(Event::Track(self.track.clone()));
    }
}

impl<C: NalCodec> Payload for Assembly<C> {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        C::take(self, &packet.payload, out)
    }

    fn end(&mut self, out: &mut Collector) {
        self.finish(out);
    }

    fn lose(&mut self) -> bool {
        let had = self.picture || self.open.is_some();
        self.data.clear();
        self.sets.clear();
        self.open = None;
        self.picture = false;
        self.skip = Skip::Doubtful;
        self.fresh = false;
        had
    }
}

fn contains_start_code(nal: &[u8]) -> bool {
    nal.windows(3).any(|window| window == [0, 0, 1])
}

/// Cuts an access unit into packets of at most `room` bytes: NAL units by themselves, those that are
/// too large in fragments, small ones together. `fragment_head` makes the header of a fragment from
/// its NAL unit and its flags, a byte longer than a NAL unit's; `aggregate_head` that of an aggregate.
pub(super) fn split<const F: usize, const A: usize>(
    nals: &[Bytes],
    room: usize,
    fragment_head: fn(&[u8], u8) -> [u8; F],
    aggregate_head: fn(&[Bytes]) -> [u8; A],
    out: &mut dyn FnMut(Chunk<'_>),
) {
    let runs = runs(nals, room, A);
    for (i, run) in runs.iter().enumerate() {
        let last = i + 1 == runs.len();
        match run {
            [nal] if nal.len() > room => fragments(nal, room, last, fragment_head, out),
            [nal] => out(Chunk { parts: &[nal], marker: last, ticks: 0 }),
            _ => {
                let head = aggregate_head(run);
                let lens: Vec<_> = run.iter().map(|nal| (nal.len() as u16).to_be_bytes()).collect();
                let mut parts: Vec<&[u8]> = vec![&head];
                for (len, nal) in lens.iter().zip(*run) {
                    parts.extend([&len[..], &nal[..]]);
                }
                out(Chunk { parts: &parts, marker: last, ticks: 0 });
            }
        }
    }
}

fn fragments<const F: usize>(
    nal: &[u8],
    room: usize,
    last: bool,
    head: fn(&[u8], u8) -> [u8; F],
    out: &mut dyn FnMut(Chunk<'_>),
) {
    let parts = nal[F - 1..].chunks(room - F);
    let count = parts.len();
    for (i, part) in parts.enumerate() {
        let start = if i == 0 { START } else { 0 };
        let end = if i + 1 == count { END } else { 0 };
        let head = head(nal, start | end);
        out(Chunk { parts: &[&head, part], marker: last && end != 0, ticks: 0 });
    }
}

/// Splits the NAL units of an access unit into runs that fit one packet together: each run but
/// single units that are larger than `room` is at most `room` bytes with `head` bytes once and a
/// 2-byte length for each.
fn runs(nals: &[Bytes], room: usize, head: usize) -> Vec<&[Bytes]> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut size = head;
    for (i, nal) in nals.iter().enumerate() {
        let add = 2 + nal.len();
        if i > start && size + add > room {
            runs.push(&nals[start..i]);
            (start, size) = (i, head);
        }
        size += add;
    }
    if start < nals.len() {
        runs.push(&nals[start..]);
    }
    runs
}
