//! Putting boxes together in memory.

use mp4_atom::{Atom, BufMut, Encode, FourCC};

use super::WriteError;

/// Boxes under construction.
#[derive(Default)]
pub(super) struct Boxes {
    bytes: Vec<u8>,
}

impl Boxes {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a leaf box.
    pub(super) fn leaf(&mut self, atom: &impl Atom) -> Result<(), WriteError> {
        atom.encode(&mut self.bytes).map_err(|error| refused(&error))
    }

    /// Appends a box whose content `fill` appends.
    pub(super) fn nest(
        &mut self,
        kind: &[u8; 4],
        fill: impl FnOnce(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(kind);
        fill(self)?;
        let size =
            u32::try_from(self.bytes.len() - start).map_err(|_| WriteError::TablesTooLarge)?;
        self.bytes.set_slice(start, &size.to_be_bytes());
        Ok(())
    }

    /// Appends bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends something that is no box by itself (the head of a sample entry).
    pub(super) fn part(&mut self, part: &impl Encode) -> Result<(), WriteError> {
        part.encode(&mut self.bytes).map_err(|error| refused(&error))
    }

    /// Appends the header of an `mdat` box with `payload_bytes` of content, in its 16-byte form
    /// only when the size asks for it.
    pub(super) fn mdat_header(&mut self, payload_bytes: u64) {
        match u32::try_from(payload_bytes + 8) {
            Ok(size) => {
                self.raw(&size.to_be_bytes());
                self.raw(b"mdat");
            }
            Err(_) => {
                self.raw(&1_u32.to_be_bytes());
                self.raw(b"mdat");
                self.raw(&(payload_bytes + 16).to_be_bytes());
            }
        }
    }

    /// Everything appended.
    pub(super) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// The only thing that can keep a value of ours from being encoded is its size: all other fields
/// are made within their ranges.
fn refused(error: &mp4_atom::Error) -> WriteError {
    debug_assert!(matches!(error, mp4_atom::Error::TooLarge(_)), "{error}");
    WriteError::TablesTooLarge
}

/// A box's four letters.
pub(super) const fn kind(letters: &[u8; 4]) -> FourCC {
    FourCC::new(letters)
}
