//! The entries of the index's tables.

use super::names::{NameRef, Names};
use super::summary::{Hint, Kind, ShardLinkage};
use crate::decide::OwnSlots;
use crate::program::{Attributes, FunctionId, Linkage};
use cranelift_entity::packed_option::PackedOption;
use std::ops::Range;

/// The facts about a function of the program on which decisions about calls of it depend. They fit
/// into one line of the processor's caches.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Facts {
    pub(super) slot_bytes: u32,
    pub(super) frame_bytes: u32,
    pub(super) own_slot_insts: u32,
    pub(super) own_slot_bytes: u32,
    /// The number of its signature in the program.
    pub(super) signature: u32,
    pub(super) blocks: u32,
    pub(super) returns: u32,
    pub(super) loops: u32,
    pub(super) first_parameter: u32,
    pub(super) parameters: u32,
    pub(super) first_result: u32,
    pub(super) results: u32,
    pub(super) first_site: u32,
    pub(super) sites: u32,
    pub(super) flags: u16,
    pub(super) in_program: InProgram,
}

const _: () = assert!(size_of::<Facts>() == 64);

/// The place of a function in its shard, and the facts that only its own decisions depend on.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) shard: u32,
    /// Its number among the functions of the shard.
    pub(super) number: u32,
    /// The number of its name in the shard.
    pub(super) name: u32,
    pub(super) insts: u32,
    pub(super) calls: u32,
    pub(super) indirect_calls: u32,
    /// That in its shard.
    pub(super) linkage: ShardLinkage,
}

/// A copy of the program's facts about a function, beside the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct InProgram {
    pub(super) linkage: Linkage,
    pub(super) attributes: Attributes,
}

impl Facts {
    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns its part of [`Index::parameters`].
    pub(super) fn parameters(&self) -> Range<usize> {
        range(self.first_parameter, self.parameters)
    }

    /// Returns the slots that become values without inlining anything into it.
    pub(super) fn own_slots(&self) -> OwnSlots {
        OwnSlots {
            insts: self.own_slot_insts as usize,
            bytes: self.own_slot_bytes.into(),
        }
    }

    /// Returns the numbers of its sites.
    pub(super) fn sites(&self) -> Range<usize> {
        range(self.first_site, self.sites)
    }
}

fn range(first: u32, count: u32) -> Range<usize> {
    let first = first as usize;
    first..first + count as usize
}

/// A direct call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    /// The number of the signature in the program that the caller declares.
    pub(super) signature: u32,
    pub(super) location: u32,
    pub(super) first_passed: u32,
    pub(super) first_branch: u32,
    pub(super) passed: u16,
    pub(super) branches: u16,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) loop_depth: u8,
    pub(super) hint: Hint,
}

impl Site {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The rest of a summary.
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) names: Names,
    /// The function that each name means here.
    pub(super) targets: Vec<PackedOption<FunctionId>>,
    /// Its functions, in their order.
    pub(super) members: Vec<Member>,
}

impl Shard {
    /// Returns the name that a function has in the shard.
    pub(super) fn member_name(&self, member: &Member) -> NameRef<'_> {
        self.names.get(member.name).unwrap_or(NameRef::Text(""))
    }
}

/// A function of a shard.
#[derive(Clone, Copy)]
pub(super) struct Member {
    /// The number of its name.
    pub(super) name: u32,
    pub(super) linkage: ShardLinkage,
    /// The function of the program that it is, or gives way to.
    pub(super) id: FunctionId,
}
