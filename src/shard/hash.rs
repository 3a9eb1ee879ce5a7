//! The hash of a function's content, and of names.

use crate::program::FunctionName;
use cranelift_codegen::ir::Function;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::{Hash, Hasher};

/// Returns the hash of all that the compilation of `func` depends on. Equal functions have equal
/// hashes in builds of this crate with the same versions of Cranelift and of the compiler; it is not
/// for hostile inputs.
pub(super) fn content_hash(func: &Function) -> u128 {
    let mut hasher = SipHasher13::new();
    func.stencil.hash(&mut hasher);
    FunctionName::from(func.name.clone()).hash(&mut hasher);
    func.params.base_srcloc().bits().hash(&mut hasher);
    for (reference, name) in func.params.user_named_funcs() {
        reference.hash(&mut hasher);
        name.hash(&mut hasher);
    }
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
