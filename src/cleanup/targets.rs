//! Turns indirect calls of known targets into direct ones.
//!
//! The callee is known if every value that can reach it through block parameters and selects is the
//! address of the same function: a `func_addr`, or an entry of a [read-only table](super::Tables).
//! The signatures of call and function are compared as data; if they differ, the call is kept,
//! because its effect depends on the machine.

use super::constant::computed_constant;
use super::flow::Flow;
use super::{OptimizeOptions, Tables};
use crate::body::{branches, resolve_alias};
use crate::program::FunctionName;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, Function, GlobalValueData, Inst, InstructionData, Opcode,
    SigRef, UserFuncName, Value, ValueDef,
};
use smallvec::SmallVec;

/// The limit of values that are followed for one callee. Only a loop that passes one of many
/// functions on has more than a few.
const MOST_VALUES: usize = 64;

/// The limit of additions of constants from a load to the symbol of its table.
const MOST_ADDITIONS: usize = 8;

/// The findings, by instruction.
#[derive(Default)]
pub(super) struct TargetsContext {
    /// The calls that became direct.
    pub(super) resolved: Vec<Inst>,
    /// The calls that stayed indirect because of their signature, with their target. Calls that
    /// were looked at more than once are there more than once.
    pub(super) mismatched: Vec<(Inst, FunctionName)>,
    leaves: Leaves,
}

impl TargetsContext {
    pub(super) fn clear(&mut self) {
        self.resolved.clear();
        self.mismatched.clear();
    }
}

/// The changes by [`resolve_targets`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) calls: usize,
    pub(super) loads: usize,
}

/// Makes known targets direct. Nothing may be unreachable.
pub(super) fn resolve_targets(
    func: &mut Function,
    flow: &Flow,
    options: &OptimizeOptions,
    context: &mut TargetsContext,
) -> Resolved {
    let mut done = Resolved::default();
    if flow.returns_to_entry() {
        return done;
    }
    if !options.tables.is_empty() && names_a_table(func, &options.tables) {
        done.loads = replace_table_loads(func, flow, &options.tables, context);
    }
    for &block in flow.blocks() {
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            if is_indirect(&func.dfg.insts[inst]) && resolve_call(func, flow, context, inst) {
                done.calls += 1;
            }
        }
    }
    done
}

fn is_indirect(data: &InstructionData) -> bool {
    matches!(
        data,
        InstructionData::CallIndirect { .. } | InstructionData::TryCallIndirect { .. }
    )
}

/// Returns whether the call became direct.
fn resolve_call(
    func: &mut Function,
    flow: &Flow,
    context: &mut TargetsContext,
    call: Inst,
) -> bool {
    let Some(&callee) = func.dfg.inst_args(call).first() else {
        return false;
    };
    let Some(func_ref) = known_function(func, flow, &mut context.leaves, callee) else {
        return false;
    };
    if !has_signature(func, call, func_ref) {
        // A reference to it may be dropped and another get its number.
        let name = FunctionName::of_callee(func, func_ref);
        context.mismatched.extend(name.map(|name| (call, name)));
        return false;
    }
    let Some(data) = direct_call(func, call, func_ref) else {
        return false;
    };
    func.dfg.insts[call] = data;
    context.resolved.push(call);
    true
}

/// Returns whether a function is declared with the signature of an indirect call.
pub(super) fn has_signature(func: &Function, call: Inst, func_ref: FuncRef) -> bool {
    let signature = match func.dfg.insts[call] {
        InstructionData::CallIndirect { sig_ref, .. } => Some(sig_ref),
        InstructionData::TryCallIndirect { exception, .. } => {
            let table = func.dfg.exception_tables.get(exception);
            table.map(|table| table.signature())
        }
        _ => None,
    };
    let declared = func.dfg.ext_funcs.get(func_ref).map(|data| data.signature);
    match (signature, declared) {
        (Some(signature), Some(declared)) => is_equal(func, signature, declared),
        _ => false,
    }
}

/// Returns an indirect call as a direct call of a function, with lists and a table of its own.
pub(super) fn direct_call(
    func: &mut Function,
    call: Inst,
    func_ref: FuncRef,
) -> Option<InstructionData> {
    let dfg = &mut func.stencil.dfg;
    let pool = &mut dfg.value_lists;
    match dfg.insts[call] {
        InstructionData::CallIndirect { opcode, args, .. } => {
            let mut args = args.deep_clone(pool);
            args.remove(0, pool);
            let opcode = match opcode {
                Opcode::ReturnCallIndirect => Opcode::ReturnCall,
                _ => Opcode::Call,
            };
            Some(InstructionData::Call {
                opcode,
                args,
                func_ref,
            })
        }
        InstructionData::TryCallIndirect {
            args, exception, ..
        } => {
            let mut args = args.deep_clone(pool);
            args.remove(0, pool);
            let table = dfg.exception_tables.get(exception)?.deep_clone(pool);
            let exception = dfg.exception_tables.push(table);
            Some(InstructionData::TryCall {
                opcode: Opcode::TryCall,
                args,
                func_ref,
                exception,
            })
        }
        _ => None,
    }
}

fn is_equal(func: &Function, one: SigRef, other: SigRef) -> bool {
    let signatures = &func.dfg.signatures;
    match (signatures.get(one), signatures.get(other)) {
        (Some(a), Some(b)) => one == other || a == b,
        _ => false,
    }
}

/// Returns the one function whose address `value` is, as one of the references to it.
fn known_function(
    func: &Function,
    flow: &Flow,
    leaves: &mut Leaves,
    value: Value,
) -> Option<FuncRef> {
    let mut known: Option<FuncRef> = None;
    for &leaf in leaves.of(func, flow, value)? {
        let ValueDef::Result(inst, 0) = func.dfg.value_def(leaf) else {
            return None;
        };
        let InstructionData::FuncAddr { func_ref, .. } = func.dfg.insts[inst] else {
            return None;
        };
        match known {
            None => known = Some(func_ref),
            Some(known) if is_same_function(func, known, func_ref) => {}
            Some(_) => return None,
        }
    }
    known
}

/// Returns whether two references are to one function, declared alike.
pub(super) fn is_same_function(func: &Function, one: FuncRef, other: FuncRef) -> bool {
    if one == other {
        return true;
    }
    let declared = &func.dfg.ext_funcs;
    let (Some(one), Some(other)) = (declared.get(one), declared.get(other)) else {
        return false;
    };
    one.patchable == other.patchable
        && is_equal(func, one.signature, other.signature)
        && is_same_name(func, &one.name, &other.name)
}

fn is_same_name(func: &Function, one: &ExternalName, other: &ExternalName) -> bool {
    let name = |name| FunctionName::of_external(func, name);
    one == other || name(one).is_some_and(|one| Some(one) == name(other))
}

/// The values that can reach a value through block parameters and selects.
#[derive(Default)]
struct Leaves {
    seen: SmallVec<[Value; 8]>,
    leaves: SmallVec<[Value; 4]>,
}

impl Leaves {
    /// Finds the values that can reach `value`; `None` if there are too many, or one is not a value
    /// of the function.
    fn of(&mut self, func: &Function, flow: &Flow, value: Value) -> Option<&[Value]> {
        self.seen.clear();
        self.leaves.clear();
        self.note(func, value)?;
        let mut next = 0;
        while let Some(&value) = self.seen.get(next) {
            next += 1;
            match func.dfg.value_def(value) {
                ValueDef::Param(block, index) => {
                    let number = flow.number(block);
                    if number == 0 || !func.layout.is_block_inserted(block) {
                        self.leaves.push(value);
                        continue;
                    }
                    for edge in flow.edges_into(number) {
                        let call = branches(func, edge.inst).get(edge.index as usize)?;
                        let arg = call.args(&func.dfg.value_lists).nth(index)?;
                        self.note(func, arg.as_value()?)?;
                    }
                }
                ValueDef::Result(inst, 0) => match func.dfg.insts[inst] {
                    InstructionData::Ternary {
                        opcode: Opcode::Select | Opcode::SelectSpectreGuard,
                        args: [_, one, other],
                    } => {
                        self.note(func, one)?;
                        self.note(func, other)?;
                    }
                    _ => self.leaves.push(value),
                },
                ValueDef::Result(..) | ValueDef::Union(..) => return None,
            }
        }
        Some(&self.leaves)
    }

    fn note(&mut self, func: &Function, value: Value) -> Option<()> {
        let value = resolve_alias(&func.dfg, value)?;
        if !self.seen.contains(&value) {
            if self.seen.len() == MOST_VALUES {
                return None;
            }
            self.seen.push(value);
        }
        Some(())
    }
}

/// Returns whether a global value of `func` is the symbol of a table.
fn names_a_table(func: &Function, tables: &Tables) -> bool {
    func.global_values.values().any(|data| match data {
        GlobalValueData::Symbol { name, .. } => {
            FunctionName::of_external(func, name).is_some_and(|name| tables.contains(&name))
        }
        _ => false,
    })
}

/// Makes loads of tables the addresses that they load; returns their number.
fn replace_table_loads(
    func: &mut Function,
    flow: &Flow,
    tables: &Tables,
    context: &mut TargetsContext,
) -> usize {
    let mut replaced = 0;
    for &block in flow.blocks() {
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            let Some(func_ref) = loaded_function(func, flow, tables, &mut context.leaves, inst)
            else {
                continue;
            };
            func.dfg.insts[inst] = InstructionData::FuncAddr {
                opcode: Opcode::FuncAddr,
                func_ref,
            };
            replaced += 1;
        }
    }
    replaced
}

/// Returns the function whose address `load` loads from a table.
fn loaded_function(
    func: &mut Function,
    flow: &Flow,
    tables: &Tables,
    leaves: &mut Leaves,
    load: Inst,
) -> Option<FuncRef> {
    let (arg, offset) = match func.dfg.insts[load] {
        InstructionData::Load {
            opcode: Opcode::Load,
            arg,
            offset,
            ..
        } => (arg, i64::from(offset)),
        InstructionData::LoadNoOffset {
            opcode: Opcode::Load,
            arg,
            ..
        } => (arg, 0),
        _ => return None,
    };
    let flags = func.dfg.insts[load].memflags_data(&func.dfg)?;
    let result = *func.dfg.inst_results(load).first()?;
    let is_address = func.dfg.value_type(result) == func.dfg.value_type(arg);
    // Tags stay on the instruction that they are for.
    let is_tagged = !func.debug_tags.get(load).is_empty();
    if !is_address || is_tagged || flags.explicit_endianness().is_some() {
        return None;
    }
    let (name, base) = symbol(func, flow, leaves, arg)?;
    let target = tables.get(&name, base.checked_add(offset)?)?;
    let declared = func.dfg.ext_funcs.iter();
    let existing = declared.filter(|(_, data)| {
        !data.patchable
            && func.dfg.signatures.get(data.signature) == Some(&target.signature)
            && FunctionName::of_external(func, &data.name).as_ref() == Some(&target.name)
    });
    if let Some((known, _)) = existing.into_iter().next() {
        return Some(known);
    }
    let name = match target.name.as_user_func_name() {
        UserFuncName::Testcase(name) => ExternalName::TestCase(name.clone()),
        UserFuncName::User(name) => {
            ExternalName::user(func.declare_imported_user_function(name.clone()))
        }
    };
    let signature = func.import_signature(target.signature.clone());
    Some(func.import_function(ExtFuncData {
        name,
        signature,
        // Its distance is unknown.
        colocated: false,
        patchable: false,
    }))
}

/// Returns the one symbol that `value` is an address in, and how many bytes behind it.
fn symbol(
    func: &Function,
    flow: &Flow,
    leaves: &mut Leaves,
    mut value: Value,
) -> Option<(FunctionName, i64)> {
    let mut offset = 0i64;
    for _ in 0..MOST_ADDITIONS {
        let (&first, rest) = leaves.of(func, flow, value)?.split_first()?;
        if !rest.is_empty() {
            // The same symbol on all ways, or none.
            let mut all = rest.iter().map(|&leaf| symbol_of(func, leaf));
            let known = symbol_of(func, first)?;
            let is_same = all.all(|other| other.as_ref() == Some(&known));
            return is_same
                .then(|| Some((known.0, known.1.checked_add(offset)?)))
                .flatten();
        }
        if let Some((name, base)) = symbol_of(func, first) {
            return Some((name, base.checked_add(offset)?));
        }
        let ValueDef::Result(inst, 0) = func.dfg.value_def(first) else {
            return None;
        };
        let InstructionData::Binary {
            opcode: Opcode::Iadd,
            args: [one, other],
        } = func.dfg.insts[inst]
        else {
            return None;
        };
        let constant = |value| computed_constant(&func.dfg, value).map(u64::cast_signed);
        let (base, added) = match (constant(one), constant(other)) {
            (None, Some(added)) => (one, added),
            (Some(added), None) => (other, added),
            _ => return None,
        };
        value = base;
        offset = offset.checked_add(added)?;
    }
    None
}

fn symbol_of(func: &Function, value: Value) -> Option<(FunctionName, i64)> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    let InstructionData::UnaryGlobalValue {
        opcode: Opcode::SymbolValue,
        global_value,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    match func.global_values.get(global_value)? {
        GlobalValueData::Symbol {
            name,
            offset,
            tls: false,
            ..
        } => Some((FunctionName::of_external(func, name)?, offset.bits())),
        _ => None,
    }
}
