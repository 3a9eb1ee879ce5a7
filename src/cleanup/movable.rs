//! Loads that can move, and the values by which their addresses are known.
//!
//! A `can_move` load may stand wherever its address is known, and Cranelift moves a `readonly` one
//! there: out of a loop, above a branch or a call. So the place where the address is known may be
//! all that guards the load. Transforms can move that place up: a load of a promoted slot becomes
//! the value that was stored before a call, and a parameter of a join becomes the value on the one
//! way that is left. A load whose address is known by other values in the end than at first is
//! pinned: it loses `can_move`.
//!
//! A parameter that has one value on all ways counts as that value, because Cranelift replaces it
//! before it moves anything.

use super::CleanupStats;
use super::one_value::OneValue;
use crate::body::resolve_alias;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    Function, Inst, InstructionData, MemFlags, MemFlagsData, Opcode, Value, ValueDef,
};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// The flags that other transforms may add to the table.
const OTHER_FLAGS: usize = 64;

/// An address computed from more values than this is not followed.
const MOST_VALUES: usize = 64;

/// The values by which an address is known: parameters, and results of instructions that stay at
/// their places. They are sorted.
type Roots = SmallVec<[Value; 4]>;

/// The loads of a function that can move, as they were before it changed.
#[derive(Default)]
pub(super) struct Movable {
    /// Each with the roots of its address, or `None` where that is not followed. Loads with
    /// addresses that come from parameters of the function alone are left out.
    loads: Vec<(Inst, Option<Roots>)>,
}

impl Movable {
    /// Finds the loads of `func` that can move. Returns `None` if the table has no room for the
    /// flags of those that may be pinned.
    pub(super) fn find(func: &Function) -> Option<Self> {
        let mut found = Movable::default();
        if !flags_of(func).any(MemFlagsData::can_move) {
            return Some(found);
        }
        let insts = func
            .layout
            .blocks()
            .flat_map(|block| func.layout.block_insts(block));
        let values = OneValue::new(func);
        for inst in insts {
            let Some(address) = moves(func, inst) else {
                continue;
            };
            // Nothing is known earlier than the parameters of the function.
            let known = resolve_alias(&func.dfg, address);
            if known.is_some_and(|address| is_param_of_entry(func, address)) {
                continue;
            }
            let roots = roots(func, &values, address);
            let is_early = roots
                .as_ref()
                .is_some_and(|roots| roots.iter().all(|&root| is_param_of_entry(func, root)));
            if !is_early {
                found.loads.push((inst, roots));
            }
        }
        if found.is_empty() {
            return Some(found);
        }
        let loads = found.loads.iter();
        let flags = loads.filter_map(|&(inst, _)| func.dfg.insts[inst].memflags());
        let more = flags.collect::<FxHashSet<_>>().len();
        let last = usize::from(u16::MAX).checked_sub(1 + OTHER_FLAGS + more)?;
        if func.dfg.mem_flags.is_valid(MemFlags::new(last)) {
            return None;
        }
        Some(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.loads.is_empty()
    }

    /// Pins the loads whose addresses are known by other values now. `copies` are the loads that
    /// were copied in between, in order, each with its copy; `stats` are the changes.
    pub(super) fn pin(
        mut self,
        func: &mut Function,
        copies: &[(Inst, Inst)],
        stats: &CleanupStats,
    ) {
        if self.is_empty() || *stats == CleanupStats::default() {
            return;
        }
        let mut numbers: FxHashMap<Inst, usize> = FxHashMap::default();
        numbers.extend(
            self.loads
                .iter()
                .enumerate()
                .map(|(index, &(inst, _))| (inst, index)),
        );
        for &(inst, copy) in copies {
            // Others have addresses that are known from the start.
            let before = numbers.get(&inst).and_then(|&index| self.loads.get(index));
            if let Some((_, roots)) = before {
                let roots = roots.clone();
                numbers.insert(copy, self.loads.len());
                self.loads.push((copy, roots));
            }
        }
        let values = OneValue::new(func);
        self.loads.retain(|(inst, before)| {
            let address = moves(func, *inst).filter(|_| func.layout.inst_block(*inst).is_some());
            address
                .is_some_and(|address| before.is_none() || *before != roots(func, &values, address))
        });
        for (inst, _) in self.loads {
            let Some(flags) = func.dfg.insts[inst].memflags() else {
                continue;
            };
            let pinned = without_can_move(func.dfg.mem_flags[flags]);
            let pinned = func.dfg.mem_flags.insert(pinned);
            debug_assert!(
                pinned.is_ok(),
                "the room for memory flags was counted wrongly"
            );
            if let (Ok(pinned), Some(flags)) = (pinned, func.dfg.insts[inst].memflags_mut()) {
                *flags = pinned;
            }
        }
    }
}

/// Returns the address of a load that can move.
pub(super) fn moves(func: &Function, inst: Inst) -> Option<Value> {
    let InstructionData::Load { arg, flags, .. } = func.dfg.insts[inst] else {
        return None;
    };
    let set = &func.dfg.mem_flags;
    (set.is_valid(flags) && set[flags].can_move()).then_some(arg)
}

/// Returns the flags of `func`, which are dense.
fn flags_of(func: &Function) -> impl Iterator<Item = MemFlagsData> {
    let set = &func.dfg.mem_flags;
    (0..)
        .map_while(MemFlags::with_number)
        .take_while(|&flags| set.is_valid(flags))
        .map(|flags| set[flags])
}

fn without_can_move(flags: MemFlagsData) -> MemFlagsData {
    let mut pinned = MemFlagsData::new()
        .with_trap_code(flags.trap_code())
        .with_alias_region(flags.alias_region());
    if flags.aligned() {
        pinned.set_aligned();
    }
    if flags.readonly() {
        pinned.set_readonly();
    }
    if let Some(endianness) = flags.explicit_endianness() {
        pinned.set_endianness(endianness);
    }
    pinned
}

/// Returns the roots of `address`.
fn roots(func: &Function, values: &OneValue<'_>, address: Value) -> Option<Roots> {
    let dfg = &func.dfg;
    let mut roots = Roots::new();
    let mut seen: SmallVec<[Value; 16]> = SmallVec::new();
    let mut pending: SmallVec<[Value; 16]> = SmallVec::from_slice(&[address]);
    while let Some(value) = pending.pop() {
        let value = values.of(resolve_alias(dfg, value)?);
        if seen.contains(&value) {
            continue;
        }
        if seen.len() == MOST_VALUES {
            return None;
        }
        seen.push(value);
        match dfg.value_def(value) {
            ValueDef::Result(inst, _) if moves_freely(func, inst) => {
                pending.extend(dfg.inst_args(inst).iter().copied());
            }
            _ => roots.push(value),
        }
    }
    roots.sort_unstable();
    Some(roots)
}

/// Returns whether Cranelift's optimizer puts an instruction wherever its operands are known.
fn moves_freely(func: &Function, inst: Inst) -> bool {
    let data = &func.dfg.insts[inst];
    let opcode = data.opcode();
    if func.dfg.inst_results(inst).len() != 1 {
        return false;
    }
    if opcode == Opcode::Load {
        let flags = data
            .memflags()
            .filter(|&flags| func.dfg.mem_flags.is_valid(flags));
        let flags = flags.map(|flags| func.dfg.mem_flags[flags]);
        return flags.is_some_and(|flags| flags.readonly() && flags.notrap() && flags.can_move());
    }
    let stays = opcode.can_load()
        || opcode.can_store()
        || opcode.can_trap()
        || opcode.is_call()
        || opcode.is_branch()
        || opcode.is_terminator()
        || opcode.other_side_effects();
    !stays
}

/// Returns whether `value` is a parameter of the function.
fn is_param_of_entry(func: &Function, value: Value) -> bool {
    matches!(func.dfg.value_def(value), ValueDef::Param(block, _)
        if func.layout.entry_block() == Some(block))
}
