//! The definition that each name of the shards means.

use super::error::ThinError;
use super::names::NameRef;
use super::summary::{ShardLinkage, ShardSummary, number};
use crate::program::FunctionId;
use cranelift_entity::packed_option::PackedOption;
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// The definitions that names mean in shards without an own local one.
pub(super) struct Owners<'s> {
    by_name: FxHashMap<NameRef<'s>, Owner>,
}

struct Owner {
    shard: u32,
    function: u32,
    linkage: ShardLinkage,
    id: PackedOption<FunctionId>,
}

impl<'s> Owners<'s> {
    pub(super) fn new(summaries: &'s [ShardSummary]) -> Result<Self, ThinError> {
        let mut by_name: FxHashMap<NameRef<'s>, Owner> = FxHashMap::default();
        for (shard, summary) in summaries.iter().enumerate() {
            for (place, function) in summary.functions.iter().enumerate() {
                let Some(name) = summary.name(function.name) else {
                    continue;
                };
                if function.linkage == ShardLinkage::Local {
                    continue;
                }
                let own = Owner {
                    shard: number(shard),
                    function: number(place),
                    linkage: function.linkage,
                    id: None.into(),
                };
                let known = match by_name.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(own);
                        continue;
                    }
                    Entry::Occupied(entry) => entry.into_mut(),
                };
                let (old, new) = (strength(known.linkage), strength(function.linkage));
                if old == 2 && new == 2 {
                    let first = summaries.get(known.shard as usize);
                    return Err(ThinError::DuplicateDefinition {
                        name: name.function_name(),
                        first: first.map_or_else(String::new, |first| first.shard.clone()),
                        second: summary.shard.clone(),
                    });
                }
                if new > old {
                    *known = own;
                }
            }
        }
        Ok(Owners { by_name })
    }

    /// Gives the definition its number in the program; returns whether it is the one that is kept.
    pub(super) fn take(
        &mut self,
        name: NameRef<'s>,
        shard: usize,
        place: usize,
        id: FunctionId,
    ) -> bool {
        let owner = self.by_name.get_mut(&name);
        let own = (number(shard), number(place));
        match owner.filter(|owner| (owner.shard, owner.function) == own) {
            Some(owner) => {
                owner.id = id.into();
                true
            }
            None => false,
        }
    }

    pub(super) fn id(&self, name: NameRef<'_>) -> Option<FunctionId> {
        self.by_name.get(&name)?.id.expand()
    }
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
