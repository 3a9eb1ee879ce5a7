//! The generator as a strategy for proptest.

use super::{Generated, Shape};
use arbitrary::Unstructured;
use proptest::strategy::Strategy;

/// How many bytes a program is made from at most.
const MAX_BYTES: usize = 1024;

/// Programs of `shape`, for proptest.
pub fn programs(shape: Shape) -> impl Strategy<Value = Generated> {
    proptest::collection::vec(proptest::num::u8::ANY, 0..MAX_BYTES)
        .prop_filter_map("bytes always stand for a program", move |bytes| {
            shape.generate(&mut Unstructured::new(&bytes)).ok()
        })
}
