//! What is on a simulated disk: a sparse map of sectors that is cheap to copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::SECTOR;

/// A sector's bytes without the zeros at its end; `None` is a sector of zeros. So a terabyte of
/// headers over empty payload fits into memory.
pub(super) type Page = Option<Arc<[u8]>>;

/// Sectors in a chunk. Copying an image shares its chunks; changing a sector copies one.
const CHUNK: u64 = 16;

#[derive(Clone, Default)]
pub(super) struct Image {
    chunks: BTreeMap<u64, Arc<[Page; CHUNK as usize]>>,
}

impl Image {
    pub(super) fn get(&self, sector: u64) -> &Page {
        self.chunks.get(&(sector / CHUNK)).map_or(&None, |c| &c[(sector % CHUNK) as usize])
    }

    pub(super) fn put(&mut self, sector: u64, page: Page) {
        let (key, at) = (sector / CHUNK, (sector % CHUNK) as usize);
        let clears = page.is_none();
        if clears && !self.chunks.contains_key(&key) {
            return;
        }
        let chunk = Arc::make_mut(self.chunks.entry(key).or_default());
        chunk[at] = page;
        if clears && chunk.iter().all(Page::is_none) {
            self.chunks.remove(&key);
        }
    }

    /// Fills `buf` from `sector` on.
    pub(super) fn read(&self, sector: u64, buf: &mut [u8]) {
        for (at, out) in (sector..).zip(buf.chunks_exact_mut(SECTOR)) {
            let bytes = self.get(at).as_deref().unwrap_or(&[]);
            out[..bytes.len()].copy_from_slice(bytes);
            out[bytes.len()..].fill(0);
        }
    }

    /// How many sectors are not all zeros.
    pub(super) fn used_sectors(&self) -> u64 {
        self.chunks.values().flat_map(|c| c.iter()).filter(|p| p.is_some()).count() as u64
    }
}

/// The page of one sector's bytes.
pub(super) fn page(bytes: &[u8]) -> Page {
    // Zeros are passed over many at a time: large simulated stores consist of little else.
    let zeros = bytes.rchunks(64).take_while(|chunk| chunk.iter().fold(0, |all, b| all | b) == 0);
    let rest = &bytes[..bytes.len() - zeros.map(<[u8]>::len).sum::<usize>()];
    let len = rest.iter().rposition(|b| *b != 0)? + 1;
    Some(bytes[..len].into())
}

/// A sector's bytes in full.
pub(super) fn bytes(page: &Page) -> [u8; SECTOR] {
    let mut out = [0; SECTOR];
    if let Some(page) = page {
        out[..page.len()].copy_from_slice(page);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_no_room() {
        let mut image = Image::default();
        for sector in 0..100 {
            image.put(sector, page(&[7; SECTOR]));
        }
        assert_eq!(image.used_sectors(), 100);
        let copy = image.clone();
        for sector in 0..100 {
            image.put(sector, page(&[0; SECTOR]));
        }
        assert_eq!((image.used_sectors(), image.chunks.len()), (0, 0));
        assert_eq!(copy.used_sectors(), 100, "a copy does not change with the original");
    }
}
