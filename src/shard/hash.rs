//! Hashes of bytes and of names. They tell different ones apart by chance, and are not for hostile
//! inputs.

use crate::program::FunctionName;
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
