//! The data of a summary: all that decisions about a shard's calls depend on, without its bodies.

use super::names::{NameRef, Names};
use crate::decide::{Argument, ParameterUse, PassedValue, SlotArgument};
use crate::graph::CallKind;
use crate::program::{Attributes, FunctionName, InlineAttribute, Linkage, SiteHint};
use cranelift_codegen::ir::{StackSlot, UserFuncName};
use cranelift_entity::EntityRef;
use serde::{Deserialize, Serialize};

/// The summary of one shard: the functions of one unit of compilation as other shards need to know
/// them. It never holds a body.
///
/// [`ShardSummary::summarize`] makes it, [`thin`](super::thin) reads it. Its
/// [`Display`](std::fmt::Display) is for people; [`to_bytes`](Self::to_bytes) and
/// [`from_bytes`](Self::from_bytes) are for files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSummary {
    pub(super) shard: String,
    /// The arguments of the command that made it, for build files.
    pub(super) command: Vec<String>,
    /// The place of the bodies as bytes, for build files.
    pub(super) bodies_at: Option<String>,
    pub(super) names: Names,
    /// As CLIF text.
    pub(super) signatures: Vec<String>,
    pub(super) functions: Vec<FunctionSummary>,
    /// Those of each function follow each other, here and below.
    pub(super) parameters: Vec<Parameter>,
    /// Constant ways and all ways of each result.
    pub(super) results: Vec<(u32, u32)>,
    /// The names whose addresses the functions take.
    pub(super) addresses: Vec<u32>,
    pub(super) sites: Vec<SiteSummary>,
    /// Those of each site follow each other.
    pub(super) passed: Vec<Passed>,
    /// The branches that the results of each site decide; those of each site follow each other.
    pub(super) branches: Vec<u32>,
    /// The executions of sites, by their index.
    pub(super) counts: Vec<(u32, u64)>,
}

/// The name of a function, defined in the shard or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Name {
    User(u32, u32),
    Text(String),
}

impl Name {
    pub(super) fn of(name: &FunctionName) -> Self {
        match name.as_user_func_name() {
            UserFuncName::User(name) => Name::User(name.namespace, name.index),
            // Programs have only names that are UTF-8.
            UserFuncName::Testcase(name) => {
                Name::Text(String::from_utf8_lossy(name.raw()).into_owned())
            }
        }
    }

    pub(super) fn function_name(&self) -> FunctionName {
        match self {
            Name::User(namespace, index) => FunctionName::user(*namespace, *index),
            Name::Text(text) => FunctionName::testcase(text),
        }
    }
}

/// The code that may refer to a function of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ShardLinkage {
    Exported,
    Local,
    Interposable,
    AvailableExternally,
    /// Several shards may define it, all the same; one of them is kept.
    Once,
}

impl ShardLinkage {
    pub(super) fn of(linkage: Linkage, once: bool) -> Self {
        match linkage {
            Linkage::Local => ShardLinkage::Local,
            Linkage::Interposable => ShardLinkage::Interposable,
            Linkage::AvailableExternally => ShardLinkage::AvailableExternally,
            Linkage::Exported if once => ShardLinkage::Once,
            Linkage::Exported => ShardLinkage::Exported,
        }
    }
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FunctionSummary {
    pub(super) name: u32,
    pub(super) signature: u32,
    /// Of its content.
    #[serde(with = "super::hash")]
    pub(super) hash: u128,
    pub(super) linkage: ShardLinkage,
    pub(super) inline: u8,
    pub(super) flags: u16,
    pub(super) insts: u32,
    pub(super) calls: u32,
    pub(super) indirect_calls: u32,
    pub(super) blocks: u32,
    pub(super) returns: u32,
    pub(super) loops: u32,
    pub(super) slot_bytes: u64,
    pub(super) frame_bytes: u64,
    pub(super) own_slot_insts: u32,
    pub(super) own_slot_bytes: u64,
    /// The number of its parameters, and so on.
    pub(super) parameters: u32,
    pub(super) results: u32,
    pub(super) addresses: u32,
    pub(super) sites: u32,
    #[serde(skip)]
    pub(super) first_parameter: u32,
    #[serde(skip)]
    pub(super) first_result: u32,
    #[serde(skip)]
    pub(super) first_address: u32,
    #[serde(skip)]
    pub(super) first_site: u32,
}

/// The facts of a function that are true or false.
pub(super) mod function_flags {
    pub(in super::super) const COLD: u16 = 1;
    pub(in super::super) const FLATTEN: u16 = 1 << 1;
    /// The code of the function rules all copies out.
    pub(in super::super) const NO_COPIES: u16 = 1 << 2;
    pub(in super::super) const NOT_WITH_HANDLERS: u16 = 1 << 3;
    pub(in super::super) const NOT_AT_SAFEPOINTS: u16 = 1 << 4;
    pub(in super::super) const HAS_STACK_LIMIT: u16 = 1 << 5;
    pub(in super::super) const SWITCHES_STACKS: u16 = 1 << 6;
    pub(in super::super) const ALL: u16 = (1 << 7) - 1;
}

/// The facts of a site that are true or false.
pub(super) mod site_flags {
    pub(in super::super) const COLD_BLOCK: u8 = 1;
    pub(in super::super) const FIRST_BLOCK: u8 = 1 << 1;
    pub(in super::super) const HANDLERS: u8 = 1 << 2;
    pub(in super::super) const CATCHES_ALL: u8 = 1 << 3;
    pub(in super::super) const SAFEPOINT: u8 = 1 << 4;
    pub(in super::super) const PATCHABLE: u8 = 1 << 5;
    pub(in super::super) const ALL: u8 = (1 << 6) - 1;
}

/// The uses of a parameter: see [`ParameterUse`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parameter {
    folded_insts: u32,
    folded_branches: u32,
    indirect_calls: u32,
    uses: u32,
    address: AddressUse,
    accesses: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum AddressUse {
    Accessed,
    PassedOn,
    #[default]
    Escapes,
}

impl Parameter {
    pub(super) fn of(uses: &ParameterUse) -> Self {
        Parameter {
            folded_insts: uses.folded_insts,
            folded_branches: uses.folded_branches,
            indirect_calls: uses.indirect_calls,
            uses: uses.uses,
            address: match uses.address {
                crate::decide::AddressUse::Accessed => AddressUse::Accessed,
                crate::decide::AddressUse::PassedOn => AddressUse::PassedOn,
                crate::decide::AddressUse::Escapes => AddressUse::Escapes,
            },
            accesses: uses.accesses,
        }
    }

    pub(super) fn uses(&self) -> ParameterUse {
        let mut uses = ParameterUse::default();
        uses.folded_insts = self.folded_insts;
        uses.folded_branches = self.folded_branches;
        uses.indirect_calls = self.indirect_calls;
        uses.uses = self.uses;
        uses.address = match self.address {
            AddressUse::Accessed => crate::decide::AddressUse::Accessed,
            AddressUse::PassedOn => crate::decide::AddressUse::PassedOn,
            AddressUse::Escapes => crate::decide::AddressUse::Escapes,
        };
        uses.accesses = self.accesses;
        uses
    }
}

impl FunctionSummary {
    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn attributes(&self) -> Attributes {
        let inline = match self.inline {
            1 => InlineAttribute::Always,
            2 => InlineAttribute::Never,
            _ => InlineAttribute::None,
        };
        Attributes::default()
            .with_inline(inline)
            .with_cold(self.has(function_flags::COLD))
            .with_flatten(self.has(function_flags::FLATTEN))
    }
}

/// One direct call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SiteSummary {
    pub(super) callee: u32,
    /// The signature that the caller declares.
    pub(super) signature: u32,
    pub(super) location: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) loop_depth: u8,
    pub(super) hint: Hint,
    /// The number of values that it passes.
    pub(super) passed: u16,
    /// The number of its results.
    pub(super) results: u16,
    #[serde(skip)]
    pub(super) first_passed: u32,
    #[serde(skip)]
    pub(super) first_result: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Call,
    ReturnCall,
    TryCall,
}

impl Kind {
    pub(super) fn of(kind: CallKind) -> Self {
        match kind {
            CallKind::Call => Kind::Call,
            CallKind::ReturnCall => Kind::ReturnCall,
            CallKind::TryCall => Kind::TryCall,
        }
    }

    pub(super) fn call_kind(self) -> CallKind {
        match self {
            Kind::Call => CallKind::Call,
            Kind::ReturnCall => CallKind::ReturnCall,
            Kind::TryCall => CallKind::TryCall,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hint {
    None,
    Always,
    Never,
    Cold,
    Flatten,
}

impl Hint {
    pub(super) fn of(hint: Option<SiteHint>) -> Self {
        match hint {
            None => Hint::None,
            Some(SiteHint::Always) => Hint::Always,
            Some(SiteHint::Never) => Hint::Never,
            Some(SiteHint::Cold) => Hint::Cold,
            Some(SiteHint::Flatten) => Hint::Flatten,
        }
    }
}

impl SiteSummary {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A value that a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Passed {
    Unknown,
    Int(i64),
    Constant,
    FunctionAddress,
    Address,
    Parameter(u32),
    Slot {
        slot: u32,
        other_calls: u16,
        accesses: u32,
    },
}

impl Passed {
    pub(super) fn of(value: PassedValue) -> Self {
        match value {
            PassedValue::Parameter(index) => Passed::Parameter(index),
            PassedValue::Slot(slot) => Passed::Slot {
                slot: slot.slot.as_u32(),
                other_calls: u16::try_from(slot.other_calls).unwrap_or(u16::MAX),
                accesses: slot.accesses,
            },
            PassedValue::Known(argument) => match argument {
                Argument::Int(bits) => Passed::Int(bits),
                Argument::OtherConstant => Passed::Constant,
                Argument::FunctionAddress => Passed::FunctionAddress,
                Argument::Address => Passed::Address,
                Argument::Unknown => Passed::Unknown,
            },
        }
    }

    pub(super) fn argument(self) -> Argument {
        match self {
            Passed::Unknown | Passed::Parameter(_) => Argument::Unknown,
            Passed::Int(bits) => Argument::Int(bits),
            Passed::Constant => Argument::OtherConstant,
            Passed::FunctionAddress => Argument::FunctionAddress,
            Passed::Address | Passed::Slot { .. } => Argument::Address,
        }
    }

    pub(super) fn slot(self) -> Option<SlotArgument> {
        match self {
            Passed::Slot {
                slot,
                other_calls,
                accesses,
            } => Some(SlotArgument {
                slot: StackSlot::new(slot as usize),
                other_calls: other_calls.into(),
                accesses,
            }),
            _ => None,
        }
    }
}

impl ShardSummary {
    /// Returns the name of the shard, such as the path of its file.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// Returns the arguments of the command that made the summary, if it has them.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Sets the arguments of the command that makes the summary, so that build files can repeat it.
    #[must_use]
    pub fn with_command(mut self, command: Vec<String>) -> Self {
        self.command = command;
        self
    }

    /// Returns the place of the shard's [bodies](super::ShardBodies), if they are in a file.
    pub fn bodies_at(&self) -> Option<&str> {
        self.bodies_at.as_deref()
    }

    /// Sets the place of the shard's [bodies](super::ShardBodies), so that build files can name it.
    #[must_use]
    pub fn with_bodies_at(mut self, place: String) -> Self {
        self.bodies_at = Some(place);
        self
    }

    /// Returns the number of functions that the shard defines.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Returns the number of direct calls in them.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// Returns the content hash of a function; `None` if the shard does not define it.
    pub fn hash(&self, name: &FunctionName) -> Option<u128> {
        let wanted = NameRef::of(name);
        let mut functions = self.functions.iter();
        let found = functions.find(|function| self.name(function.name) == Some(wanted));
        found.map(|function| function.hash)
    }

    pub(super) fn name(&self, number: u32) -> Option<NameRef<'_>> {
        self.names.get(number)
    }

    pub(super) fn parameters_of(&self, function: &FunctionSummary) -> &[Parameter] {
        part(
            &self.parameters,
            function.first_parameter,
            function.parameters,
        )
    }

    pub(super) fn results_of(&self, function: &FunctionSummary) -> &[(u32, u32)] {
        part(&self.results, function.first_result, function.results)
    }

    pub(super) fn addresses_of(&self, function: &FunctionSummary) -> &[u32] {
        part(&self.addresses, function.first_address, function.addresses)
    }

    pub(super) fn sites_of(&self, function: &FunctionSummary) -> &[SiteSummary] {
        part(&self.sites, function.first_site, function.sites)
    }

    pub(super) fn passed_by(&self, site: &SiteSummary) -> &[Passed] {
        part(&self.passed, site.first_passed, site.passed.into())
    }

    pub(super) fn branches_of(&self, site: &SiteSummary) -> &[u32] {
        part(&self.branches, site.first_result, site.results.into())
    }
}

/// Returns a part of a list.
pub(super) fn part<T>(all: &[T], first: u32, count: u32) -> &[T] {
    let first = first as usize;
    all.get(first..first.saturating_add(count as usize))
        .unwrap_or_default()
}

/// Numbers in summaries have 32 bits.
pub(super) fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
