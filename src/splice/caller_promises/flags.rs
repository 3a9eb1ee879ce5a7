//! The memory flags of a caller, and their replacements.

use crate::splice::Refusal;
use crate::splice::memory_promises::without_can_move;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, Inst, MemFlags, MemFlagsData};
use rustc_hash::FxHashSet;

/// Returns the flags of `func`. Cranelift exposes neither a list nor the number of them, but they
/// are dense.
pub(super) fn flags_of(func: &Function) -> impl Iterator<Item = MemFlagsData> {
    let set = &func.dfg.mem_flags;
    (0..)
        .map_while(MemFlags::with_number)
        .take_while(|&flags| set.is_valid(flags))
        .map(|flags| set[flags])
}

/// Returns the flags that instructions of `func` have.
pub(super) fn used_flags(func: &Function) -> FxHashSet<MemFlagsData> {
    let set = &func.dfg.mem_flags;
    let insts = (0..func.dfg.num_insts()).map(Inst::new);
    let used = insts.filter_map(|inst| func.dfg.insts[inst].memflags());
    let used = used.filter(|&flags| set.is_valid(flags));
    used.map(|flags| set[flags]).collect()
}

/// Returns flags with a region without it, for stores that lose it.
pub(super) fn without_region(flags: MemFlagsData) -> Option<MemFlagsData> {
    let has_region = flags.alias_region().is_some();
    has_region.then(|| flags.with_alias_region(None))
}

/// Returns flags with `can_move` without it, for accesses that must not move.
pub(super) fn pinned(flags: MemFlagsData) -> Option<MemFlagsData> {
    flags.can_move().then(|| without_can_move(flags))
}

/// Adds the results of `change` to the flags of `func`; returns them by the numbers of the
/// originals.
pub(super) fn added_flags(
    func: &mut Function,
    change: impl Fn(MemFlagsData) -> Option<MemFlagsData>,
) -> Result<Vec<Option<MemFlags>>, Refusal> {
    let changed: Vec<_> = flags_of(func).map(change).collect();
    let added = changed.into_iter().map(|flags| {
        let added = flags.map(|flags| func.dfg.mem_flags.insert(flags));
        added.transpose().map_err(|_| Refusal::MemFlagsFull)
    });
    added.collect()
}
