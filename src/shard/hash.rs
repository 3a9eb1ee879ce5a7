//! Hashes of bytes and of names.

use crate::program::FunctionName;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::{Hash, Hasher};

/// Returns the hash of a function that has these bytes.
pub(super) fn hash_of_bytes(bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

/// Returns a number that tells a function of one shard from all others.
pub(super) fn unique(shard: &str, name: &FunctionName) -> u64 {
    let mut hasher = SipHasher13::new();
    shard.hash(&mut hasher);
    name.hash(&mut hasher);
    hasher.finish128().h1
}

/// Returns the checksum of bytes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish128().h1
}
