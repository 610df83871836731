//! Blocks on their way to the disks.
//!
//! A block is handed to its disks as soon as it is put together, so that they write while the next one
//! is. What was begun is durable only when [`Log::finish_blocks`] says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disks::{Begun, Write};
use crate::format::fragment::BlockHeader;
use crate::log::Log;
use crate::log_plan::Planned;
use crate::stripe::{self, Built};
use crate::{Extent, LogError, SegmentId, SegmentRef};

/// Blocks whose fragments the disks were handed.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    headers: Vec<BlockHeader>,
    /// Their fragments, block for block.
    begun: Vec<Begun>,
    /// Each segment's first block, and where its fragments are.
    first: BTreeMap<SegmentId, (BlockHeader, Vec<Extent>)>,
    written: Written,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) parity_bytes: u64,
}

impl Writing {
    /// The blocks, in the order they were begun.
    pub(crate) fn headers(&self) -> &[BlockHeader] {
        &self.headers
    }
}

impl Log {
    /// Hands a block to its disks.
    pub(crate) fn begin_block(&self, writing: &mut Writing, segment: &SegmentRef, built: &Built) {
        let header = &built.header;
        let place = |position| {
            self.array.geometry.extent(segment.columns[header.column(position)], header.row)
        };
        let places = || (*header, (0..header.fragments()).map(place).collect());
        writing.first.entry(segment.id).or_insert_with(places);
        for (position, buf) in (0_u8..).zip(&built.fragments) {
            let extent = place(position);
            writing.written.bytes += buf.len() as u64;
            if position >= header.data {
                writing.written.parity_bytes += buf.len() as u64;
            }
            let write = Write { disk: extent.disk, offset: extent.offset, buf: buf.clone() };
            writing.begun.push(self.array.disks.begin_write(write));
        }
        writing.headers.push(*header);
    }

    /// Makes durable what was begun. A block counts if so many of its fragments arrived that it can be
    /// read.
    pub(crate) fn finish_blocks(&self, writing: Writing) -> Result<Written, LogError> {
        let Writing { headers, begun, written, .. } = writing;
        let durable = self.array.disks.finish_writes(begun);
        let mut durable = &durable[..];
        for header in headers {
            let (own, rest) = durable.split_at(usize::from(header.fragments()));
            durable = rest;
            if own.iter().filter(|durable| **durable).count() < usize::from(header.data) {
                return Err(self.poison(format!(
                    "block {} of {} reached too few disks to be read again",
                    header.seq, header.segment
                )));
            }
        }
        Ok(written)
    }

    /// Takes back what was begun: the first sectors of each segment's first block say so, durably, before
    /// anything else is written there. A recovery would take what is left of it for durable, though the
    /// next commit may tear it, or a single disk may have kept it.
    pub(crate) fn take_back_blocks(&self, writing: Writing) {
        let Writing { mut begun, first, .. } = writing;
        for (header, extents) in first.into_values() {
            for (position, extent) in (0_u8..).zip(extents) {
                let buf = Arc::new(stripe::void(&header, position));
                let write = Write { disk: extent.disk, offset: extent.offset, buf };
                begun.push(self.array.disks.begin_write(write));
            }
        }
        // A disk that fails is given up, so that nobody looks at what it kept.
        let _ = self.array.disks.finish_writes(begun);
    }

    /// Writes planned blocks durably.
    pub(crate) fn write_blocks(&self, blocks: &[Planned]) -> Result<Written, LogError> {
        let mut writing = Writing::default();
        for block in blocks {
            self.begin_block(&mut writing, &block.segment, &block.built);
        }
        self.finish_blocks(writing)
    }
}
