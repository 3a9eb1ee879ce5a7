//! Collecting compiled functions, and laying them out as a table.

use super::encode::{Encoded, Placed, encode};
use super::error::BuildError;
use super::function::FunctionFrames;
use super::rows::FrameTableReader;
use super::schema::FrameSchema;
use crate::backend::CompiledFunction;
use cranelift_codegen::ir::{Function, StackSlot, StackSlotData, StackSlotKey};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Collects the virtual frames of compiled functions in any order, and makes a [`FrameTable`] from
/// them.
///
/// To fill it from several threads, give each a builder of its own and [`merge`](Self::merge) them.
/// The table depends on the added functions and descriptors, not on their order or on the builder
/// to which they were added first.
#[derive(Clone, Debug)]
pub struct FrameTableBuilder<S> {
    schema: S,
    functions: BTreeMap<u64, FunctionFrames>,
    descriptors: BTreeMap<u64, Box<[u8]>>,
}

impl<S: FrameSchema> FrameTableBuilder<S> {
    /// Creates an empty builder that reads tags with `schema`.
    pub fn new(schema: S) -> Self {
        FrameTableBuilder {
            schema,
            functions: BTreeMap::new(),
            descriptors: BTreeMap::new(),
        }
    }

    /// Adds a compiled function. `identity` is the embedder's number for it: [`link`](Self::link)
    /// asks for the place of the code by this number, and lookups return it.
    ///
    /// # Errors
    ///
    /// Tags that the schema cannot split, tags that name slots without a place, and an identity
    /// that another function has.
    pub fn add(&mut self, identity: u64, compiled: &CompiledFunction) -> Result<(), BuildError> {
        let frames = FunctionFrames::collect(&self.schema, compiled)?;
        match self.functions.entry(identity) {
            Entry::Vacant(entry) => {
                entry.insert(frames);
                Ok(())
            }
            Entry::Occupied(entry) => Err(duplicate(identity, entry.get(), &frames)),
        }
    }

    /// Describes the slots that have `key`. The bytes are opaque here.
    ///
    /// # Errors
    ///
    /// [`BuildError::DescriptorConflict`] if the key has another descriptor already.
    pub fn describe(
        &mut self,
        key: StackSlotKey,
        descriptor: impl Into<Box<[u8]>>,
    ) -> Result<(), BuildError> {
        let descriptor = descriptor.into();
        match self.descriptors.entry(key.bits()) {
            Entry::Vacant(entry) => {
                entry.insert(descriptor);
            }
            Entry::Occupied(entry) if *entry.get() == descriptor => {}
            Entry::Occupied(_) => return Err(BuildError::DescriptorConflict { key: key.bits() }),
        }
        Ok(())
    }

    /// Sets the descriptors of the keyed slots of a function in its original form; `descriptor`
    /// returns each slot's descriptor.
    ///
    /// Call it for every function of the program, even one that is dropped because every call of it
    /// was inlined: the copies of its slots have its keys.
    ///
    /// # Errors
    ///
    /// [`BuildError::DescriptorConflict`]; then no descriptor has been set.
    pub fn describe_slots<D: Into<Box<[u8]>>>(
        &mut self,
        source: &Function,
        mut descriptor: impl FnMut(StackSlot, &StackSlotData) -> Option<D>,
    ) -> Result<(), BuildError> {
        let mut new = BTreeMap::new();
        for (slot, data) in &source.sized_stack_slots {
            let Some(key) = data.key else { continue };
            let Some(bytes) = descriptor(slot, data) else {
                continue;
            };
            let bytes = bytes.into();
            let known = new.get(&key.bits());
            if known.is_some_and(|known| *known != bytes) {
                return Err(BuildError::DescriptorConflict { key: key.bits() });
            }
            new.insert(key.bits(), bytes);
        }
        self.add_descriptors(new)
    }

    /// Adds the content of `other`.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateIdentity`] and [`BuildError::DescriptorConflict`]; this builder is
    /// then unchanged.
    pub fn merge(&mut self, other: Self) -> Result<(), BuildError> {
        for (identity, theirs) in &other.functions {
            if let Some(ours) = self.functions.get(identity) {
                return Err(duplicate(*identity, ours, theirs));
            }
        }
        self.add_descriptors(other.descriptors)?;
        self.functions.extend(other.functions);
        Ok(())
    }

    fn add_descriptors(&mut self, new: BTreeMap<u64, Box<[u8]>>) -> Result<(), BuildError> {
        for (key, bytes) in &new {
            if self.descriptors.get(key).is_some_and(|old| old != bytes) {
                return Err(BuildError::DescriptorConflict { key: *key });
            }
        }
        self.descriptors.extend(new);
        Ok(())
    }

    /// Returns the number of functions that were added.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Returns whether no function was added.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Lays the functions out: `text_offset` returns for each identity where its code begins, in
    /// bytes from the start of the text. It returns `None` for functions to leave out, such as
    /// those that the linker removed. Descriptors are kept even if no function uses their keys.
    ///
    /// # Errors
    ///
    /// [`BuildError::Overlap`] for two functions in one place, [`BuildError::TooLarge`] for numbers
    /// that do not fit into 32 bits, such as text beyond 4 GiB.
    pub fn link(
        &self,
        mut text_offset: impl FnMut(u64) -> Option<u64>,
    ) -> Result<FrameTable, BuildError> {
        let mut placed = Vec::with_capacity(self.functions.len());
        for (&identity, frames) in &self.functions {
            let Some(start) = text_offset(identity) else {
                continue;
            };
            let too_large = BuildError::TooLarge {
                what: "the end of a function's code",
            };
            let end = start.checked_add(u64::from(frames.code_bytes));
            if end.is_none_or(|end| end > u64::from(u32::MAX)) {
                return Err(too_large);
            }
            let start = u32::try_from(start).map_err(|_| too_large)?;
            placed.push(Placed {
                identity,
                start,
                frames,
            });
        }
        placed.sort_by_key(|function| (function.start, function.frames.code_bytes));
        for pair in placed.windows(2) {
            let [first, second] = pair else { continue };
            if first.end() > u64::from(second.start) {
                return Err(BuildError::Overlap {
                    first: first.frames.name.clone(),
                    second: second.frames.name.clone(),
                    offset: u64::from(second.start),
                });
            }
        }
        let encoded = encode(&placed, &self.descriptors)?;
        Ok(FrameTable { encoded })
    }
}

fn duplicate(identity: u64, one: &FunctionFrames, other: &FunctionFrames) -> BuildError {
    // Their order depends on the order of additions; the names do not.
    let (first, second) = if one.name <= other.name {
        (one, other)
    } else {
        (other, one)
    };
    BuildError::DuplicateIdentity {
        identity,
        first: first.name.clone(),
        second: second.name.clone(),
    }
}

/// An encoded table.
#[derive(Clone, Debug)]
pub struct FrameTable {
    encoded: Encoded,
}

impl FrameTable {
    /// Returns the encoding, to be written wherever a [`FrameTableReader`] will find it.
    pub fn bytes(&self) -> &[u8] {
        &self.encoded.bytes
    }

    /// Returns the encoding, without copying it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.encoded.bytes
    }

    /// Returns a reader of this table.
    pub fn reader(&self) -> FrameTableReader<'_> {
        FrameTableReader {
            bytes: &self.encoded.bytes,
            counts: self.encoded.counts,
            starts: self.encoded.starts,
        }
    }
}
