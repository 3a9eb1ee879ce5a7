//! A caller's promises about memory, and which of them hold for the copies in it.
//!
//! A load of the caller that is executed before a copy makes its promise for the whole activation,
//! in which the copy's instructions are executed too. So a load of the copy from the same address
//! may promise the same. Of the caller's loads, those in its entry block are known: they are
//! executed before every call that follows them there, and before every call of another block.
//! Where a copy's load gets the same flags, Cranelift merges the two.
//!
//! The caller's own loads keep their promises, because the copies are a part of its activation. But
//! a `can_move` load may go wherever its address is known, and inlining extends that range: an
//! address that was the result of a call, which returns only after its checks, may become an
//! argument of that call. And an address loaded from memory after a call may become known before
//! it, because no call stands between a store and the load any more. So a load of the caller whose
//! address comes from either may no longer move.

mod flags;
mod taken;

use self::flags::{added_flags, flags_of, pinned, used_flags, without_region};
use crate::body::resolve_alias;

use crate::splice::memory_promises::{MemoryPromises, is_promising, without_promises};
use crate::splice::refusal::Refusal;
use crate::splice::tables::{Base, CopiedCall, DroppedPromises, MemoryUse};
use crate::splice::{Callee, SpliceOptions};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    self, ArgumentPurpose, BlockArg, Function, GlobalValueData, Inst, InstructionData, MemFlags,
    MemFlagsData, Opcode, Type, Value, ValueDef,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// In a caller with at most this number of flags, all replacements are made. Otherwise the used
/// flags are looked up first.
const FEW_FLAGS: usize = 4096;

/// The promises of one caller, and the lost ones of its own accesses and of its copies.
#[derive(Default)]
pub(super) struct CallerPromises {
    kinds: MemoryPromises,
    no_alias_regions: bool,
    scanned: bool,
    /// Loads of the entry block, by their address; those of one address in layout order.
    loads: FxHashMap<(Value, Offset32), Vec<EntryLoad>>,
    /// The number of loads that are executed before a call, unless all are.
    before: FxHashMap<Inst, usize>,
    /// The caller's global values that its prologue loads.
    globals: Vec<ir::GlobalValue>,
    /// By number, the flags for stores that lose their region, and the flags for accesses that lose
    /// `can_move`.
    without_region: Vec<Option<MemFlags>>,
    pinned: Vec<Option<MemFlags>>,
    /// Loads of the entry block before its first call.
    first_loads: FxHashSet<Inst>,
    /// Results of calls that were replaced.
    returned: Vec<Value>,
    /// The addresses of copies of structures passed by value.
    structures: Vec<Value>,
    has_copies: bool,
    /// Whether no store of the caller has a region.
    regions_gone: bool,
    dropped: DroppedPromises,
}

/// A load that makes a promise.
#[derive(Clone, Copy)]
struct EntryLoad {
    number: usize,
    opcode: Opcode,
    value: Value,
    ty: Type,
    flags: MemFlags,
}

impl CallerPromises {
    /// Starts with a caller into which nothing was spliced.
    pub(super) fn start(&mut self, options: &SpliceOptions) {
        self.kinds = options.memory_promises;
        self.no_alias_regions = options.no_alias_regions;
        self.scanned = false;
        self.loads.clear();
        self.before.clear();
        self.globals.clear();
        self.without_region.clear();
        self.pinned.clear();
        self.first_loads.clear();
        self.returned.clear();
        self.structures.clear();
        self.has_copies = false;
        self.regions_gone = false;
        self.dropped = DroppedPromises::default();
    }

    /// Returns whether stores of the caller or of any copy may have regions in the end, beside a
    /// copy that accesses memory.
    pub(super) fn stores_have_regions(&self) -> bool {
        self.kinds == MemoryPromises::WholeProgram && !self.no_alias_regions
    }

    pub(super) fn dropped(&self) -> DroppedPromises {
        self.dropped
    }

    /// Returns the global values of the caller whose loads are in its prologue.
    pub(super) fn globals(&self) -> &[ir::GlobalValue] {
        &self.globals
    }

    /// Returns how many flags the next copy may add to the `flags` ones of `caller`, beyond its own
    /// `used` ones.
    pub(super) fn most_flags_added(
        &self,
        caller: &Function,
        flags: usize,
        used: usize,
        copies_structures: bool,
    ) -> usize {
        match self.kinds {
            MemoryPromises::PerFunction if !self.scanned => match flags {
                // Each without region, and each of all these without `can_move`.
                0..=FEW_FLAGS => 3 * flags,
                _ => {
                    let used = used_flags(caller);
                    let without_region = used.iter().filter_map(|&flags| without_region(flags));
                    let all = used.iter().copied().chain(without_region.clone());
                    let added = without_region.chain(all.filter_map(pinned));
                    let added = added.filter(|&flags| caller.dfg.mem_flags.get(flags).is_none());
                    added.collect::<FxHashSet<_>>().len()
                }
            },
            MemoryPromises::WholeProgram if copies_structures || !self.structures.is_empty() => {
                // All accesses may turn out to be of a structure in the end.
                flags + used
            }
            _ => 0,
        }
    }

    /// Reads the caller before the first copy, and makes the flags that its accesses may need.
    pub(super) fn prepare(&mut self, caller: &mut Function) -> Result<(), Refusal> {
        if self.kinds == MemoryPromises::WholeProgram || self.scanned {
            return Ok(());
        }
        let mut own = flags_of(caller).nth(FEW_FLAGS).map(|_| used_flags(caller));
        let is_used = |flags: &MemFlagsData| own.as_ref().is_none_or(|own| own.contains(flags));
        self.without_region = added_flags(caller, |flags| {
            Some(flags).filter(is_used).and_then(without_region)
        })?;
        if let Some(own) = &mut own {
            let plain: Vec<_> = own.iter().copied().filter_map(without_region).collect();
            own.extend(plain);
        }
        let is_used = |flags: &MemFlagsData| own.as_ref().is_none_or(|own| own.contains(flags));
        self.pinned = added_flags(caller, |flags| Some(flags).filter(is_used).and_then(pinned))?;
        self.scan(caller);
        self.scanned = true;
        Ok(())
    }

    fn scan(&mut self, caller: &Function) {
        self.scan_globals(caller);
        if !flags_of(caller).any(is_promising) {
            return;
        }
        let Some(entry) = caller.layout.entry_block() else {
            return;
        };
        let dfg = &caller.dfg;
        let mut number = 0;
        for inst in caller.layout.block_insts(entry) {
            if !dfg.inst_is_valid(inst) {
                // No call of such a block is replaced, and the loads are not known to come before
                // others.
                self.loads.clear();
                return;
            }
            let data = dfg.insts[inst];
            if data.opcode().is_call() {
                self.before.insert(inst, number);
            } else if data.opcode().can_load() && self.before.is_empty() {
                self.first_loads.insert(inst);
            }
            let InstructionData::Load {
                opcode,
                arg,
                flags,
                offset,
            } = data
            else {
                continue;
            };
            let promises = dfg.mem_flags.is_valid(flags) && is_promising(dfg.mem_flags[flags]);
            let base = resolve_alias(dfg, arg).filter(|&base| is_lasting(caller, base));
            if let (true, Some(base), &[value]) = (promises, base, dfg.inst_results(inst))
                && dfg.value_is_valid(value)
            {
                number += 1;
                self.loads
                    .entry((base, offset))
                    .or_default()
                    .push(EntryLoad {
                        number,
                        opcode,
                        value,
                        ty: dfg.value_type(value),
                        flags,
                    });
            }
        }
    }

    /// Finds the global values of the stack limit, which Cranelift computes in the prologue.
    fn scan_globals(&mut self, caller: &Function) {
        let mut next = caller.stack_limit;
        while let Some(global) = next
            && self.globals.len() <= caller.global_values.len()
        {
            next = match caller.global_values.get(global) {
                Some(GlobalValueData::Load { base, .. }) => {
                    self.globals.push(global);
                    Some(*base)
                }
                Some(GlobalValueData::IAddImm { base, .. }) => Some(*base),
                _ => None,
            };
        }
    }

    /// Notes where `call` returns to, before a copy is in its place.
    pub(super) fn start_copy(&mut self, caller: &Function, call: Inst) {
        self.has_copies = true;
        if !self.can_pin() {
            return;
        }
        let dfg = &caller.dfg;
        self.returned.extend(dfg.inst_results(call));
        if let Some(table) = dfg.insts[call].exception_table()
            && let Some(table) = dfg.exception_tables.get(table)
        {
            let normal = table.normal_return();
            let params = dfg.block_params(normal.block(&dfg.value_lists));
            let args = normal.args(&dfg.value_lists).zip(params);
            let returned = args.filter(|(arg, _)| matches!(arg, BlockArg::TryCallRet(_)));
            self.returned.extend(returned.map(|(_, &param)| param));
        }
    }

    /// Returns whether some access of the caller can move.
    fn can_pin(&self) -> bool {
        self.pinned.iter().any(Option::is_some)
    }

    /// Restores the promises of a copy's loads that the caller makes too, and drops the regions of
    /// the caller's own stores where the copy needs that. `values` maps the callee's values to the
    /// copy's.
    pub(super) fn finish_copy(
        &mut self,
        caller: &mut Function,
        callee: &Callee<'_>,
        call: Inst,
        values: &[Value],
        copied_calls: &[CopiedCall],
    ) {
        if self.kinds == MemoryPromises::WholeProgram {
            if callee.tables().facts.structures > 0 {
                self.note_structures(callee, values);
            }
            return;
        }
        let tables = callee.tables();
        let memory = &tables.memory;
        let kept = self.keep_promises(caller, callee, call, values);
        debug_assert!(
            kept.flags <= memory.promising.flags && kept.regions <= memory.promising.regions,
            "more is kept than was promised"
        );
        self.dropped += DroppedPromises {
            flags: memory.promising.flags.saturating_sub(kept.flags),
            regions: memory.promising.regions.saturating_sub(kept.regions),
        };
        if let Some(&number) = self.before.get(&call) {
            let came_in = copied_calls.iter().map(|copied| (copied.inst, number));
            self.before.extend(came_in);
        }
        if memory.outside > kept.readonly || tables.facts.structures > 0 {
            self.drop_regions(caller);
        }
    }

    fn keep_promises(
        &self,
        caller: &mut Function,
        callee: &Callee<'_>,
        call: Inst,
        values: &[Value],
    ) -> Kept {
        let MemoryUse { promised, .. } = &callee.tables().memory;
        let mut kept = Kept::default();
        if self.loads.is_empty() || promised.is_empty() {
            return kept;
        }
        let executed = self.before.get(&call).copied().unwrap_or(usize::MAX);
        // For each load of the callee, the caller's load from the same address.
        let mut same: Vec<Option<Value>> = Vec::with_capacity(promised.len());
        for load in promised {
            let base = match load.base {
                Base::Value(value) => values.get(value.index()).copied(),
                Base::Load(number) => same.get(number).copied().flatten(),
            };
            let found = base.and_then(|base| self.loads.get(&(base, load.offset)));
            let wanted = callee.func.dfg.mem_flags[load.flags];
            let ty = callee.func.dfg.value_type(load.result);
            let found = found.into_iter().flatten().find(|known| {
                let flags = caller.dfg.mem_flags[known.flags];
                known.number <= executed
                    && known.opcode == load.opcode
                    && known.ty == ty
                    && flags.with_alias_region(None) == wanted.with_alias_region(None)
            });
            same.push(found.filter(|_| wanted.readonly()).map(|known| known.value));
            if let (Some(known), Some(inst)) = (found, load_of(caller, values, load.result))
                && let Some(flags) = caller.dfg.insts[inst].memflags_mut()
            {
                *flags = known.flags;
                kept.flags += 1;
                kept.readonly += usize::from(wanted.readonly());
                kept.regions += usize::from(wanted.alias_region().is_some());
            }
        }
        kept
    }

    fn note_structures(&mut self, callee: &Callee<'_>, values: &[Value]) {
        let func = callee.func;
        let entry = func.layout.entry_block();
        let params = entry.map_or(&[][..], |entry| func.dfg.block_params(entry));
        let params = params.iter().zip(&func.signature.params);
        let structures = params
            .filter(|(_, param)| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
            .filter_map(|(value, _)| values.get(value.index()));
        self.structures.extend(structures);
    }

    /// Returns the flags in a copy for the callee's `flags`.
    pub(super) fn flags_in_copy(&self, flags: MemFlagsData) -> MemFlagsData {
        match self.kinds {
            MemoryPromises::PerFunction => without_promises(flags),
            MemoryPromises::WholeProgram => flags,
        }
    }
}

/// The number of loads of a copy that keep their promises, because the caller makes them for the
/// same address.
#[derive(Default)]
struct Kept {
    flags: usize,
    readonly: usize,
    /// Those that had a region, and have the caller's now, if that has any for this address.
    regions: usize,
}

/// Returns the copy of the load with this result.
fn load_of(caller: &Function, values: &[Value], result: Value) -> Option<Inst> {
    let copy = values.get(result.index()).copied()?;
    caller.dfg.value_def(copy).inst()
}

/// Returns whether `value` stays a value of its own: the result of a call may become an alias of a
/// copy's return value later.
fn is_lasting(func: &Function, value: Value) -> bool {
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => {
            func.dfg.inst_is_valid(inst) && !func.dfg.insts[inst].opcode().is_call()
        }
        ValueDef::Param(..) => true,
        ValueDef::Union(..) => false,
    }
}

/// Finds one of the global values `promised` of `caller` with the content of `data`, ignoring the
/// region.
pub(super) fn same_promise(
    caller: &Function,
    promised: &[ir::GlobalValue],
    wanted_flags: MemFlagsData,
    data: &GlobalValueData,
) -> Option<ir::GlobalValue> {
    let GlobalValueData::Load {
        base: wanted_base,
        offset: wanted_offset,
        global_type: wanted_type,
        ..
    } = data
    else {
        return None;
    };
    let wanted_flags = wanted_flags.with_alias_region(None);
    let mem_flags = &caller.dfg.mem_flags;
    promised.iter().copied().find(|&global| {
        matches!(
            caller.global_values.get(global),
            Some(GlobalValueData::Load { base, offset, global_type, flags })
                if base == wanted_base
                    && offset == wanted_offset
                    && global_type == wanted_type
                    && mem_flags.is_valid(*flags)
                    && mem_flags[*flags].with_alias_region(None) == wanted_flags
        )
    })
}
