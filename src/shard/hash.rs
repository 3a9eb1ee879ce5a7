//! Hashes of bytes and of names. They tell different ones apart by chance, and are not for hostile
//! inputs.

use crate::program::FunctionName;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use std::fmt;
use std::hash::{Hash, Hasher};
use twox_hash::{XxHash3_64, XxHash3_128};

/// Returns the hash of a function that has these bytes.
pub(super) fn hash_of_bytes(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// Returns a number that tells a function of one shard from all others.
pub(super) fn unique(shard: &str, name: &FunctionName) -> u64 {
    let mut hasher = XxHash3_64::new();
    shard.hash(&mut hasher);
    name.hash(&mut hasher);
    hasher.finish()
}

/// Returns the checksum of bytes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Writes a hash as bytes: all of its bits are used, so a number of variable length would take more
/// space and time.
pub(super) fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&hash.to_le_bytes())
}

/// Reads a hash from bytes.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = u128;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a hash of 16 bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<u128, E> {
            let bytes = bytes.try_into();
            let bytes = bytes.map_err(|_| E::custom("a hash has another length"))?;
            Ok(u128::from_le_bytes(bytes))
        }
    }
    deserializer.deserialize_bytes(Bytes)
}
