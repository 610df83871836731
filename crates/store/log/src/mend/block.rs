//! One block: which of its fragments are bad, and writing them anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use pegasus_disk::{AlignedBuf, SECTOR};

use super::{Listed, Mended, Mending, Scope};
use crate::array::Fragments;
use crate::disks::Write;
use crate::format::fragment::{BlockHeader, FragmentHeader};
use crate::kinds::fragment_holds;
use crate::stripe;
use crate::{DiskIndex, Extent, SegmentRef};

impl Mending<'_> {
    /// Looks at the fragments of a block and repairs what has to be.
    pub(super) fn block(
        &self,
        listed: &Listed,
        header: &BlockHeader,
        scope: &Scope,
        mended: &mut Mended,
        touched: &mut BTreeSet<DiskIndex>,
    ) {
        mended.blocks += 1;
        let segment = &listed.segment;
        let disks = &self.log.array.disks;
        let disk_of = |position: u8| segment.columns[header.column(position)].disk;
        let wanted: Vec<u8> = (0..header.fragments())
            .filter(|position| scope.covers(disk_of(*position)) && disks.is_ok(disk_of(*position)))
            .collect();
        if *scope != Scope::Everything && self.are_good(segment, header, &wanted, mended) {
            return;
        }
        let Some(mut fragments) = self.read_all(segment, header, mended) else { return };
        self.distrust_parity(&mut fragments, segment, mended);
        let missing = fragments.complete();
        let payload = fragments.payload_or_rebuilt();
        if crc32c::crc32c(&payload) != header.payload_crc {
            mended.lost += 1;
            let (seq, id) = (header.seq, segment.id);
            return mended
                .problem(format!("block {seq} of {id} was written with a wrong checksum"));
        }
        for position in missing.into_iter().filter(|position| wanted.contains(position)) {
            let buf = fragments.got[usize::from(position)].take().expect("it was completed");
            let holds = (*scope == Scope::Everything).then(|| {
                format!("of {}: {}", listed.whose, fragment_holds(header, &payload, position))
            });
            self.repair(segment, header, position, Arc::new(buf), holds, mended);
            touched.insert(disk_of(position));
        }
    }

    /// Whether these fragments are what they should be, without looking at others.
    fn are_good(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        positions: &[u8],
        mended: &mut Mended,
    ) -> bool {
        let len = header.sectors as usize * SECTOR;
        mended.read_bytes += (positions.len() * len) as u64;
        positions.iter().all(|position| self.is_good(segment, header, *position))
    }

    fn is_good(&self, segment: &SegmentRef, header: &BlockHeader, position: u8) -> bool {
        let array = &self.log.array;
        let column = segment.columns[header.column(position)];
        let extent = array.geometry.extent(column, header.row);
        let len = header.sectors as usize * SECTOR;
        let buf = array.read_extents(&[(extent, len)]).pop();
        buf.is_some_and(|buf| {
            buf.is_ok_and(|buf| {
                let own = |own: &FragmentHeader| own.block == *header && own.position == position;
                stripe::verify(&buf, own).is_ok()
            })
        })
    }

    /// All fragments of a block, if there are enough.
    fn read_all(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        mended: &mut Mended,
    ) -> Option<Fragments> {
        let array = &self.log.array;
        mended.read_bytes +=
            segment.columns.len() as u64 * u64::from(header.sectors) * SECTOR as u64;
        let found = array.read_row(segment, header.row, header.sectors, |own| own == header);
        let found = found.into_iter().find(Fragments::suffice);
        if found.is_none()
            && self.log.writer.lock().alloc.kept(&segment.columns)
            && !self.log.is_behind_records(segment, header.seq)
        {
            mended.lost += 1;
            let (seq, id) = (header.seq, segment.id);
            mended.problem(format!("block {seq} of {id} can't be read any more"));
        }
        found
    }

    /// With all data there: takes parity away that is not that of the data.
    fn distrust_parity(
        &self,
        fragments: &mut Fragments,
        segment: &SegmentRef,
        mended: &mut Mended,
    ) {
        for position in stripe::wrong_parity(&fragments.header, &fragments.got) {
            let (seq, id) = (fragments.header.seq, segment.id);
            mended.problem(format!("block {seq} of {id}: the parity is not that of the data"));
            fragments.got[usize::from(position)] = None;
        }
    }

    /// Writes a fragment where it belongs, if the place is still its segment's. If it is known what it
    /// `holds`, it was found bad, which is told, and is read again.
    fn repair(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        position: u8,
        buf: Arc<AlignedBuf>,
        holds: Option<String>,
        mended: &mut Mended,
    ) {
        let array = &self.log.array;
        let column = segment.columns[header.column(position)];
        let extent = array.geometry.extent(column, header.row);
        let place = array.place(extent);
        let bytes = buf.len() as u64;
        match self.write_back(segment, extent, buf) {
            None => return,
            Some(true) => {}
            Some(false) => {
                mended.refused += 1;
                return mended.problem(format!("{place}: a repair was refused"));
            }
        }
        mended.repaired += 1;
        mended.repaired_bytes += bytes;
        let Some(holds) = holds else { return };
        array.disks.count_error(extent.disk);
        let (seq, id) = (header.seq, segment.id);
        mended.problem(format!(
            "{place}: fragment {position} of block {seq} of {id} was bad, {holds}"
        ));
        array.disks.flush(&[extent.disk].into());
        if !self.is_good(segment, header, position)
            && self.log.writer.lock().alloc.kept(&segment.columns)
        {
            mended.refused += 1;
            mended.problem(format!("{place}: it is bad again"));
        }
    }

    /// Whether the disk took it; `None` if the place is another segment's by now.
    fn write_back(
        &self,
        segment: &SegmentRef,
        extent: Extent,
        buf: Arc<AlignedBuf>,
    ) -> Option<bool> {
        let disks = &self.log.array.disks;
        let writer = self.log.writer.lock();
        if !writer.alloc.kept(&segment.columns) {
            return None;
        }
        let begun = disks.begin_write(Write { disk: extent.disk, offset: extent.offset, buf });
        Some(disks.wait(begun))
    }
}
