//! Walking boxes in memory, with their places in the file.

use mp4_atom::Atom;

use super::ReadError;

/// A box found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// Its four letters.
    pub(super) kind: [u8; 4],
    /// Where its content begins in the file.
    pub(super) at: u64,
    /// Its content.
    pub(super) body: &'a [u8],
}

impl<'a> Found<'a> {
    /// The boxes in it, as far as they are well formed; an error ends the walk.
    pub(super) fn children(&self) -> Children<'a> {
        self.children_after(0)
    }

    /// The boxes behind the first `skip` bytes of its content.
    pub(super) fn children_after(&self, skip: usize) -> Children<'a> {
        let skip = skip.min(self.body.len());
        Children { rest: &self.body[skip..], at: self.at + skip as u64 }
    }

    /// The first child of this kind.
    pub(super) fn child(&self, kind: &[u8; 4]) -> Result<Option<Self>, ReadError> {
        for child in self.children() {
            let child = child?;
            if child.kind == *kind {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// The first child of this kind, which must be there.
    pub(super) fn expect(&self, kind: &[u8; 4]) -> Result<Self, ReadError> {
        self.child(kind)?.ok_or_else(|| self.wrong(format!("no '{}' box", letters(*kind))))
    }

    /// Its content as what it is.
    pub(super) fn decode<T: Atom>(&self) -> Result<T, ReadError> {
        let mut body = self.body;
        T::decode_body(&mut body).map_err(|error| self.wrong(error.to_string()))
    }

    /// The first child of `T`'s kind, decoded.
    pub(super) fn leaf<T: Atom>(&self) -> Result<T, ReadError> {
        self.expect(T::KIND.as_ref())?.decode()
    }

    /// The first child of `T`'s kind, decoded, if there is one.
    pub(super) fn leaf_maybe<T: Atom>(&self) -> Result<Option<T>, ReadError> {
        self.child(T::KIND.as_ref())?.map(|found| found.decode()).transpose()
    }

    /// An error about this box.
    pub(super) fn wrong(&self, reason: String) -> ReadError {
        ReadError::Malformed { offset: self.at, kind: letters(self.kind), reason }
    }
}

/// See [`Found::children`].
pub(super) struct Children<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Found<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        // QuickTime ends some lists with four zero bytes.
        let (head, _) = self.rest.split_first_chunk::<8>()?;
        let [a, b, c, d, kind @ ..] = *head;
        let short = u32::from_be_bytes([a, b, c, d]);
        let (header, size) = match short {
            0 => (8, self.rest.len() as u64),
            1 => match self.rest.get(8..16).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (16, u64::from_be_bytes(bytes)),
                None => (8, 0),
            },
            size => (8, u64::from(size)),
        };
        let fits = usize::try_from(size).ok().filter(|&s| s >= header && s <= self.rest.len());
        let Some(size) = fits else {
            let offset = self.at;
            self.rest = &[];
            let reason = format!("its size of {size} bytes does not fit where it lies");
            return Some(Err(ReadError::Malformed { offset, kind: letters(kind), reason }));
        };
        let found = Found { kind, at: self.at + header as u64, body: &self.rest[header..size] };
        self.rest = &self.rest[size..];
        self.at += size as u64;
        Some(Ok(found))
    }
}

/// A box's kind for messages.
pub(super) fn letters(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}
