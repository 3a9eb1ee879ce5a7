//! The definition that each name of the shards means.

use super::error::ThinError;
use super::names::NameRef;
use super::summary::{FunctionSummary, ShardLinkage, ShardSummary, number};
use crate::program::FunctionId;
use cranelift_entity::packed_option::PackedOption;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::hash_map::Entry;

/// The definitions that names mean in shards without an own local one.
pub(super) struct Owners<'s> {
    by_name: FxHashMap<NameRef<'s>, Definition>,
    /// The definitions that give way to another one.
    given_way: FxHashSet<Definition>,
    /// The first definition of each shard.
    first: Vec<u32>,
    /// By definition.
    ids: Vec<PackedOption<FunctionId>>,
}

/// A definition, by its number among those of all shards.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Definition(u32);

impl<'s> Owners<'s> {
    pub(super) fn new(summaries: &'s [ShardSummary]) -> Result<Self, ThinError> {
        let mut first = Vec::with_capacity(summaries.len());
        let mut count = 0;
        for summary in summaries {
            first.push(number(count));
            count += summary.functions.len();
        }
        let mut owners = Owners {
            by_name: FxHashMap::with_capacity_and_hasher(count, Default::default()),
            given_way: FxHashSet::default(),
            first,
            ids: vec![None.into(); count],
        };
        for (shard, summary) in summaries.iter().enumerate() {
            for (place, function) in summary.functions.iter().enumerate() {
                let Some(name) = summary.name(function.name) else {
                    continue;
                };
                if function.linkage == ShardLinkage::Local {
                    continue;
                }
                let own = owners.definition(shard, place);
                let known = match owners.by_name.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(own);
                        continue;
                    }
                    Entry::Occupied(entry) => entry.into_mut(),
                };
                let Some((first, other)) = defined(summaries, &owners.first, *known) else {
                    debug_assert!(false, "the definition was counted");
                    continue;
                };
                let (old, new) = (strength(other.linkage), strength(function.linkage));
                if old == 2 && new == 2 {
                    return Err(ThinError::DuplicateDefinition {
                        name: name.function_name(),
                        first: first.shard.clone(),
                        second: summary.shard.clone(),
                    });
                }
                let loser = match new > old {
                    true => std::mem::replace(known, own),
                    false => own,
                };
                owners.given_way.insert(loser);
            }
        }
        Ok(owners)
    }

    fn definition(&self, shard: usize, place: usize) -> Definition {
        let first = self.first.get(shard).copied().unwrap_or(u32::MAX);
        Definition(first.saturating_add(number(place)))
    }

    /// Gives a definition its number in the program; returns whether it is kept.
    pub(super) fn take(&mut self, shard: usize, place: usize, id: FunctionId) -> bool {
        let definition = self.definition(shard, place);
        if self.given_way.contains(&definition) {
            return false;
        }
        if let Some(place) = self.ids.get_mut(definition.0 as usize) {
            *place = id.into();
        }
        true
    }

    /// Returns the function that a definition of a shard is; `None` if it gives way to another.
    pub(super) fn defined(&self, shard: usize, place: usize) -> Option<FunctionId> {
        let definition = self.definition(shard, place);
        self.ids.get(definition.0 as usize)?.expand()
    }

    /// Returns the function that a name means in shards that do not define it.
    pub(super) fn id(&self, name: NameRef<'_>) -> Option<FunctionId> {
        let definition = self.by_name.get(&name)?;
        self.ids.get(definition.0 as usize)?.expand()
    }
}

/// Returns the shard of a definition, and its function.
fn defined<'s>(
    summaries: &'s [ShardSummary],
    first: &[u32],
    definition: Definition,
) -> Option<(&'s ShardSummary, &'s FunctionSummary)> {
    let shard = first.partition_point(|&first| first <= definition.0);
    let shard = shard.checked_sub(1)?;
    let place = definition.0.checked_sub(*first.get(shard)?)?;
    let summary = summaries.get(shard)?;
    Some((summary, summary.functions.get(place as usize)?))
}

/// Returns a number that is higher for a definition that others give way to; two of the highest do
/// not go together.
fn strength(linkage: ShardLinkage) -> u8 {
    match linkage {
        ShardLinkage::AvailableExternally | ShardLinkage::Local => 0,
        ShardLinkage::Once => 1,
        ShardLinkage::Exported | ShardLinkage::Interposable => 2,
    }
}
