//! Identities. The 128-bit ones are drawn at random and mean the same thing on every machine; the
//! small ones are counters of one array.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl $name {
            /// Draws a new id from `rng`.
            #[must_use]
            pub fn random(rng: &mut fastrand::Rng) -> Self {
                Self(rng.u128(1..))
            }

            /// The id as 16 bytes, little endian, as it stands on disk.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_le_bytes()
            }

            /// Reads an id from its 16 bytes on disk.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_le_bytes(bytes))
            }
        }

        /// 32 hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id! {
    /// Identity of a disk array (a store). Every disk of the array carries it.
    ArrayId
}
random_id! {
    /// Identity of one disk of an array.
    DiskId
}
random_id! {
    /// Identity of a stream's recording; survives renaming and a lost catalogue.
    StreamId
}

/// Number of a pnode (the log's inode) in its array. Never reused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct PnodeId(pub u64);

impl fmt::Display for PnodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pnode {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_bytes_and_text() {
        let id = StreamId::random(&mut fastrand::Rng::with_seed(7));
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<StreamId>(&text).unwrap(), id);
        assert_eq!(id.to_string().len(), 32);
    }
}
