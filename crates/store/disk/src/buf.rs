//! Sector-aligned memory, as direct I/O demands it.
//!
//! The only unsafe code of the crate. The contract: `ptr` owns [`capacity`]`(len)` bytes, aligned to
//! [`SECTOR`] and all initialised, from the global allocator with [`layout`]`(len)`; the slice
//! handed out covers the first `len` of them and borrows the buffer.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use parking_lot::Mutex;

use crate::SECTOR;

/// Owned bytes whose address and length are multiples of [`SECTOR`].
///
/// A write takes `Arc<AlignedBuf>`, so the same bytes may go to several disks, or stay readable
/// for the caller, without a copy. Implements `AsRef<[u8]>`: a finished read becomes `Bytes` by
/// `Bytes::from_owner`, again without one.
///
/// Dropped buffers are kept, up to a bound, for [`AlignedBuf::for_overwrite`].
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory exclusively, as a `Box<[u8]>` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: a shared reference only gives shared access to the bytes.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zero bytes.
    ///
    /// # Panics
    /// If `len` is not a multiple of [`SECTOR`].
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        assert!(len.is_multiple_of(SECTOR), "a buffer of {len} bytes is not in whole sectors");
        let layout = layout(len);
        // SAFETY: the layout is never of size zero; all bytes are initialised (to zero).
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(raw) else { handle_alloc_error(layout) };
        Self { ptr, len }
    }

    /// `len` bytes of any content, perhaps those of an earlier buffer, for a caller who overwrites
    /// all of them. Cheaper than [`AlignedBuf::zeroed`] for long buffers.
    ///
    /// # Panics
    /// If `len` is not a multiple of [`SECTOR`].
    #[must_use]
    pub fn for_overwrite(len: usize) -> Self {
        let Some(mut buf) = POOL.lock().take(len) else { return Self::zeroed(len) };
        if cfg!(debug_assertions) {
            buf.fill(0xa5); // whoever forgets to overwrite something sees it in tests
        }
        buf
    }

    /// A copy of `bytes`, filled up with zeros to whole sectors.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut buf = Self::zeroed(bytes.len().next_multiple_of(SECTOR));
        buf[..bytes.len()].copy_from_slice(bytes);
        buf
    }
}

/// Bytes a buffer of `len` owns: `len` with all but its three highest bits rounded up, so that buffers
/// of similar lengths can stand in for each other. At most a quarter more, and at least a sector, so
/// that there is always something to free.
fn capacity(len: usize) -> usize {
    let len = len.max(SECTOR);
    let step = (1 << len.ilog2()) / 4;
    len.next_multiple_of(step.max(SECTOR))
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(capacity(len), SECTOR)
        .expect("a buffer's length stays far below isize::MAX")
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes are owned by `self`, see the module's contract.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        let (ptr, len) = (self.ptr, self.len);
        if !POOL.lock().keep(ptr, len) {
            // SAFETY: allocated with this layout, freed once: the pool did not take it.
            unsafe { dealloc(ptr.as_ptr(), layout(len)) };
        }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

/// Buffers that were dropped and may be used again, by capacity: fresh memory costs a page fault per
/// 4 KiB and is filled with zeros.
struct Pool {
    kept: BTreeMap<usize, Vec<Kept>>,
    kept_bytes: usize,
}

/// Memory as an [`AlignedBuf`] owns it.
struct Kept(NonNull<u8>);

// SAFETY: as for `AlignedBuf`: exclusive ownership of plain bytes.
unsafe impl Send for Kept {}

/// Bytes kept at most, over all lengths.
const KEEP_BYTES_MAX: usize = 32 << 20;

static POOL: Mutex<Pool> = Mutex::new(Pool { kept: BTreeMap::new(), kept_bytes: 0 });

impl Pool {
    fn take(&mut self, len: usize) -> Option<AlignedBuf> {
        let Kept(ptr) = self.kept.get_mut(&capacity(len))?.pop()?;
        self.kept_bytes -= capacity(len);
        Some(AlignedBuf { ptr, len })
    }

    /// Takes over the memory; false if the caller has to free it.
    fn keep(&mut self, ptr: NonNull<u8>, len: usize) -> bool {
        let capacity = capacity(len);
        if self.kept_bytes + capacity > KEEP_BYTES_MAX {
            return false;
        }
        self.kept.entry(capacity).or_default().push(Kept(ptr));
        self.kept_bytes += capacity;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_padded() {
        for len in [0, SECTOR, 3 * SECTOR, 1 << 20] {
            let buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_ptr() as usize % SECTOR, 0);
            assert!(buf.iter().all(|b| *b == 0));
        }
        let buf = AlignedBuf::from_slice(b"abc");
        assert_eq!((buf.len(), &buf[..4]), (SECTOR, &b"abc\0"[..]));
    }

    #[test]
    fn a_recycled_buffer_has_the_length_asked_for() {
        for round in 0..50_u8 {
            for len in [16 * SECTOR, 17 * SECTOR, 33 * SECTOR, SECTOR] {
                let mut buf = AlignedBuf::for_overwrite(len);
                assert_eq!((buf.len(), buf.as_ptr() as usize % SECTOR), (len, 0));
                buf.fill(round);
                assert!(buf.iter().all(|b| *b == round));
            }
        }
    }

    #[test]
    fn a_capacity_holds_its_lengths_and_wastes_a_quarter_at_most() {
        for len in (0..200).map(|sectors| sectors * SECTOR).chain([1 << 30, (1 << 30) + SECTOR]) {
            let capacity = capacity(len);
            assert!(
                capacity >= len && capacity <= (len + len / 4).max(SECTOR),
                "{len}: {capacity}"
            );
            assert_eq!(super::capacity(capacity), capacity);
        }
    }

    #[test]
    fn the_pool_is_bounded() {
        let many: Vec<_> = (0..128).map(|_| AlignedBuf::zeroed(1 << 20)).collect();
        drop(many);
        assert!(POOL.lock().kept_bytes <= KEEP_BYTES_MAX);
        // A zeroed buffer never comes from the pool.
        let mut dirty = AlignedBuf::for_overwrite(1 << 20);
        dirty.fill(7);
        drop(dirty);
        assert!(AlignedBuf::zeroed(1 << 20).iter().all(|b| *b == 0));
    }

    #[test]
    #[should_panic(expected = "not in whole sectors")]
    fn an_odd_length_is_refused() {
        let _ = AlignedBuf::zeroed(100);
    }
}
