//! The promises of memory flags, and their scope.
//!
//! Cranelift reads three promises from the flags of an access:
//!
//! - `readonly`: nothing writes that memory from the function's call to its exit.
//! - `can_move`: the access may stand wherever its address is known, past branches as well. A load
//!   with both flags that cannot trap is a pure value to the optimizer: it is merged with equal
//!   loads, and hoisted out of loops and above the branch that guards it.
//! - The alias region: no address is accessed through two regions, or through one and through none.
//!   A load sees the last store of its own region and stores without a region; a load without a
//!   region sees only the latter. So accesses in different regions are forwarded, merged and
//!   dropped past each other.
//!
//! All are made for one activation of one function. A copy of a body is executed in an activation
//! of its caller, which is longer: other code may write before, after and between executions of the
//! copy, and the check that a `can_move` load relies on may be in the caller. Regions of two bodies
//! are unrelated, and so are those of two executions of one body.

use super::tables::{Base, MemoryUse, PromisedLoad, Tables};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{
    Function, GlobalValueData, Inst, InstructionData, MemFlagsData, Value,
};
use rustc_hash::FxHashMap;

/// The scope of the promises of memory accesses: `readonly`, `can_move` and alias regions.
///
/// In Cranelift alone, a promise holds for one activation of one function. A copy of a body in a
/// caller is part of a longer activation, in which the promise may not hold, unless the front end
/// makes it for the whole program.
///
/// ```
/// use cranelift_inliner::splice::{MemoryPromises, SpliceOptions, splice};
///
/// let functions = cranelift_reader::parse_functions("
/// function %first(i64) -> i64 system_v {
/// block0(v0: i64):
///     v1 = load.i64 notrap aligned readonly can_move v0
///     return v1
/// }
/// function %guarded(i64) -> i64 system_v {
///     fn0 = %first(i64) -> i64 system_v
/// block0(v0: i64):
///     brif v0, block1, block2
/// block1:
///     v1 = call fn0(v0)
///     return v1
/// block2:
///     return v0
/// }")?;
/// let guarded = &functions[1];
/// let call = guarded.layout.blocks().nth(1).and_then(|block| guarded.layout.first_inst(block));
/// let spliced = |promises| {
///     let options = SpliceOptions::default().with_memory_promises(promises);
///     let mut caller = guarded.clone();
///     splice(&mut caller, call.unwrap(), &functions[0], &options)?;
///     Ok::<_, cranelift_inliner::splice::Refusal>(caller.to_string())
/// };
/// // `%first` may be called with addresses that can be read only.
/// let text = spliced(MemoryPromises::PerFunction)?;
/// assert!(text.contains("load.i64 notrap aligned v0"));
/// let text = spliced(MemoryPromises::WholeProgram)?;
/// assert!(text.contains("load.i64 notrap aligned readonly can_move v0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryPromises {
    /// Each function promises for its own activations, and numbers its alias regions for itself.
    ///
    /// Copies lose `readonly`, `can_move` and regions, but where the caller promises the same of
    /// the same address. Stores of a caller lose their regions where a copy accesses memory that
    /// they may write.
    #[default]
    PerFunction,
    /// A promise holds in every function that the body is inlined into, and two regions with one
    /// `user_id` are the same in all functions. Cranelift's own inliner requires this.
    ///
    /// Only loads of a structure that is passed by value lose promises, because each execution of
    /// the copy writes it.
    WholeProgram,
}

/// Returns whether these flags allow to move or merge an access beyond the rules for its place.
pub(super) fn is_promising(flags: MemFlagsData) -> bool {
    flags.readonly() || flags.can_move()
}

/// Returns the flags without the promises for one activation. Alignment, byte order and the trap
/// are facts of the access in its place.
pub(super) fn without_promises(flags: MemFlagsData) -> MemFlagsData {
    let mut plain = MemFlagsData::new().with_trap_code(flags.trap_code());
    if flags.aligned() {
        plain.set_aligned();
    }
    if let Some(endianness) = flags.explicit_endianness() {
        plain.set_endianness(endianness);
    }
    plain
}

/// Returns the flags of an access of memory that is written in the same activation.
pub(super) fn without_flags(flags: MemFlagsData) -> MemFlagsData {
    without_promises(flags).with_alias_region(flags.alias_region())
}

/// Returns the flags of an access that stays where it is.
pub(super) fn without_can_move(flags: MemFlagsData) -> MemFlagsData {
    let mut pinned = without_flags(flags);
    if flags.readonly() {
        pinned.set_readonly();
    }
    pinned
}

/// Collects all accesses of `func`.
pub(super) fn memory_use(func: &Function, tables: &Tables) -> MemoryUse {
    let mut used = MemoryUse::default();
    if tables.facts.mem_flags.is_empty() {
        return used;
    }
    let globals = tables.used.globals.list.iter();
    let loaded = globals
        .filter(|&&global| matches!(func.global_values[global], GlobalValueData::Load { .. }));
    used.outside = loaded.count();
    let mut numbers: FxHashMap<Value, usize> = FxHashMap::default();
    for plan in &tables.insts {
        let Some(flags) = plan.data.memflags() else {
            continue;
        };
        let data = func.dfg.mem_flags[flags];
        used.promising.regions += usize::from(data.alias_region().is_some());
        let address = match plan.data {
            InstructionData::Load { arg, .. } | InstructionData::LoadNoOffset { arg, .. } => arg,
            InstructionData::Store { args, .. } | InstructionData::StoreNoOffset { args, .. } => {
                args[1]
            }
            _ => Value::reserved_value(),
        };
        used.outside += usize::from(!is_slot_address(func, address));
        if !is_promising(data) {
            continue;
        }
        used.promising.flags += 1;
        if let InstructionData::Load {
            opcode,
            arg,
            offset,
            ..
        } = plan.data
        {
            let base = numbers.get(&arg).copied();
            let result = func.dfg.first_result(plan.inst);
            numbers.insert(result, used.promised.len());
            used.promised.push(PromisedLoad {
                result,
                opcode,
                flags,
                base: base.map_or(Base::Value(arg), Base::Load),
                offset,
            });
        }
    }
    used
}

/// Returns whether `address`, which is not an alias, is that of a stack slot.
fn is_slot_address(func: &Function, address: Value) -> bool {
    if address.index() >= func.dfg.num_values() {
        return false;
    }
    let defined_by = func.dfg.value_def(address).inst();
    defined_by
        .is_some_and(|inst: Inst| matches!(func.dfg.insts[inst], InstructionData::StackAddr { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::{AliasRegion, Endianness, TrapCode};

    #[test]
    fn only_promises_are_dropped() {
        let facts = [
            MemFlagsData::new(),
            MemFlagsData::trusted(),
            MemFlagsData::new().with_endianness(Endianness::Big),
            MemFlagsData::new().with_trap_code(Some(TrapCode::unwrap_user(7))),
            MemFlagsData::trusted().with_endianness(Endianness::Little),
        ];
        for flags in facts {
            let region = Some(AliasRegion::from_u32(3));
            let promising = flags.with_readonly().with_can_move();
            let promising = promising.with_alias_region(region);
            assert!(is_promising(promising) && !is_promising(flags));
            assert_eq!(without_promises(promising), flags);
            let pinned = flags.with_readonly().with_alias_region(region);
            assert_eq!(without_can_move(promising), pinned);
        }
    }
}
