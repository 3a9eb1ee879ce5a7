//! The tables of a session, which its copies write to.

use super::caller_checks::CallerChecks;
use super::capacity::EntityLimits;
use super::entities::CallerEntities;
use super::inherited_tags::InheritedTags;
use super::segments::Segments;
use super::shared_slots::SharedSlots;
use super::tables::CopiedCall;
use crate::body::HandlerAddresses;
use cranelift_codegen::ir::{self, Block, Inst, Value};

/// Scratch memory of splices, kept from one caller to the next.
#[derive(Default)]
pub struct SpliceContext {
    pub(super) entities: CallerEntities,
    pub(super) values: Vec<Value>,
    pub(super) blocks: Vec<Block>,
    pub(super) last_pieces: Vec<Block>,
    pub(super) slots: Vec<ir::StackSlot>,
    pub(super) shared_slots: SharedSlots,
    pub(super) dynamic_slots: Vec<ir::DynamicStackSlot>,
    pub(super) copied_calls: Vec<CopiedCall>,
    /// Copied handler addresses, which still name a block of the callee.
    pub(super) copied_addresses: Vec<Inst>,
    pub(super) handler_addresses: HandlerAddresses,
    pub(super) inherited_tags: InheritedTags,
    /// Results of spliced calls, in the order in which they became aliases.
    pub(super) aliases: Vec<Value>,
    /// Only tests set other limits than those of CLIF.
    pub(super) limits: EntityLimits,
    pub(super) segments: Segments,
    pub(super) checks: CallerChecks,
}
