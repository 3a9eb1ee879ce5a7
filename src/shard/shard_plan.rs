//! The plan of one shard.

use crate::plan::Plan;
use crate::program::FunctionName;
use std::collections::{BTreeMap, BTreeSet};

/// The work of the backend on one shard: changes of the linkage of its functions, the functions to
/// import from other shards, and the decisions on calls.
///
/// [`thin`](super::thin) makes it. Its [`Display`](std::fmt::Display) and
/// [`FromStr`](std::str::FromStr) write and read the text that `docs/SCALE.md` describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPlan {
    pub(super) shard: String,
    /// By the name in the shard.
    pub(super) changes: BTreeMap<FunctionName, Change>,
    /// By the name of the other shard.
    pub(super) imports: BTreeMap<String, Imports>,
    /// Functions elsewhere that never throw.
    pub(super) never_throw: BTreeSet<FunctionName>,
    pub(super) plan: Plan,
}

/// The plan of a shard as text, which [`ShardPlan`] reads.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PlanText<'t> {
    /// The name of the shard.
    pub shard: &'t str,
    /// The text.
    pub text: &'t str,
    /// The names of the shards from which it imports functions, in their order.
    pub imports: &'t [&'t str],
}

/// A change of a function of the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) visibility: Visibility,
    /// The new name, if it gets one.
    pub(super) name: Option<FunctionName>,
}

/// The code that may refer to a function, other than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    /// That of all object files.
    Exported,
    /// That of this shard.
    Local,
    /// That of the shards of the same program: the symbol is hidden.
    Hidden,
    /// That of all object files, and one of them may replace it.
    Interposable,
    /// That of all object files, for the function is defined elsewhere.
    Elsewhere,
    /// Another shard keeps the function.
    Discarded,
}

impl Visibility {
    pub(super) const ALL: [(&'static str, Visibility); 6] = [
        ("export", Visibility::Exported),
        ("local", Visibility::Local),
        ("hidden", Visibility::Hidden),
        ("interposable", Visibility::Interposable),
        ("elsewhere", Visibility::Elsewhere),
        ("discard", Visibility::Discarded),
    ];

    pub(super) fn keyword(self) -> &'static str {
        let mut all = Self::ALL.iter();
        let found = all.find(|(_, visibility)| *visibility == self);
        found.map_or("export", |(keyword, _)| keyword)
    }
}

/// The functions of another shard that this one needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Imports {
    /// By their names there.
    pub(super) functions: BTreeMap<FunctionName, Import>,
    /// Local functions there to which imported bodies refer, with their names in the program.
    pub(super) names: BTreeMap<FunctionName, FunctionName>,
}

/// A function to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// Its name in the program.
    pub(super) name: FunctionName,
    /// Of the content on which decisions were made.
    pub(super) hash: u128,
    /// Whether it is local there, and planned to be inlined everywhere; if a call of it stays all
    /// the same, this shard gets a copy.
    pub(super) is_copy: bool,
}

impl ShardPlan {
    /// Returns the name of the shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// Returns the shards from which functions are imported, in the order of their names, each with
    /// the functions by their names there.
    pub fn imports(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &FunctionName>)> {
        let imports = self.imports.iter();
        imports.map(|(shard, imports)| (shard.as_str(), imports.functions.keys()))
    }

    /// Returns the decisions on calls.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the names of functions whose symbols are hidden, in their order.
    pub fn hidden(&self) -> impl Iterator<Item = &FunctionName> {
        let changes = self.changes.iter();
        let hidden = changes.filter(|(_, change)| change.visibility == Visibility::Hidden);
        hidden.map(|(name, change)| change.name.as_ref().unwrap_or(name))
    }
}
