//! The size of instructions and of stack frames: the one measure for policies, limits, budgets,
//! statistics and the schedule.
//!
//! The unit of code is the instruction. One with a long list counts as several, because each entry
//! becomes code of its own: a target of a `br_table` is a word in the table, an argument without a
//! register a store, a handler an entry of the call site's table. The first entries of a list do
//! not count, so that ordinary code is measured in instructions, and the numbers are comparable
//! with those of other inliners.

use crate::panics;
use cranelift_codegen::ir::{
    ArgumentPurpose, BlockCall, ExceptionTable, ExceptionTableItem, FuncRef, Function, Inst,
    InstructionData, SigRef,
};

/// Entries of a list that are part of their instruction.
///
/// As many as calling conventions pass in registers, and as the code around the table of a
/// `br_table` makes up for.
pub(crate) const ENTRIES_IN_ONE: usize = 8;

/// Returns the size of all code in the layout.
///
/// In an unverified function with a missing list, each instruction counts as one.
pub(crate) fn code_size(func: &Function) -> usize {
    let insts = || {
        let blocks = func.layout.blocks();
        blocks.flat_map(|block| func.layout.block_insts(block))
    };
    panics::catch(|| insts().map(|inst| inst_size(func, inst)).sum())
        .unwrap_or_else(|_| insts().count())
}

/// Returns the size of `inst`: one, and one more for each entry of its lists from the ninth on.
///
/// Lists are the arguments and results of a call, the returned values, the arguments of an edge,
/// the targets of a `br_table`, the handlers and contexts of a `try_call`, and the arguments of all
/// edges of such a table together.
///
/// # Panics
///
/// Where `inst` or one of its lists does not exist.
#[inline]
fn inst_size(func: &Function, inst: Inst) -> usize {
    match &func.dfg.insts[inst] {
        InstructionData::Call { .. }
        | InstructionData::CallIndirect { .. }
        | InstructionData::TryCall { .. }
        | InstructionData::TryCallIndirect { .. }
        | InstructionData::MultiAry { .. }
        | InstructionData::Jump { .. }
        | InstructionData::Brif { .. }
        | InstructionData::BranchTable { .. } => listing_size(func, inst),
        _ => 1,
    }
}

fn listing_size(func: &Function, inst: Inst) -> usize {
    let dfg = &func.dfg;
    let args = beyond_one(dfg.inst_args(inst).len());
    let more = match dfg.insts[inst] {
        InstructionData::Call { func_ref, .. } => results(func, declared(func, func_ref)),
        InstructionData::CallIndirect { sig_ref, .. } => results(func, Some(sig_ref)),
        InstructionData::TryCall { exception, .. }
        | InstructionData::TryCallIndirect { exception, .. } => {
            let signature = dfg.exception_tables.get(exception);
            let results = results(func, signature.map(|table| table.signature()));
            results + handlers_size(func, exception)
        }
        InstructionData::Jump { destination, .. } => beyond_one(edge_args(func, &destination)),
        InstructionData::Brif { blocks, .. } => {
            let edges = blocks.iter();
            edges.map(|edge| beyond_one(edge_args(func, edge))).sum()
        }
        InstructionData::BranchTable { table, .. } => {
            let table = dfg.jump_tables.get(table);
            table.map_or(0, |table| table_size(func, table.all_branches(), 0))
        }
        _ => 0,
    };
    1 + args + more
}

/// Returns the number of arguments of an edge.
///
/// [`BlockCall::len`] wraps around in a release build where the list is missing; this panics.
fn edge_args(func: &Function, edge: &BlockCall) -> usize {
    edge.args(&func.dfg.value_lists).len()
}

fn beyond_one(entries: usize) -> usize {
    entries.saturating_sub(ENTRIES_IN_ONE)
}

fn declared(func: &Function, func_ref: FuncRef) -> Option<SigRef> {
    let declared = func.dfg.ext_funcs.get(func_ref);
    declared.map(|declared| declared.signature)
}

fn results(func: &Function, signature: Option<SigRef>) -> usize {
    let signature = signature.and_then(|signature| func.dfg.signatures.get(signature));
    beyond_one(signature.map_or(0, |signature| signature.returns.len()))
}

/// Returns a table of edges, with contexts among them.
fn table_size(func: &Function, edges: &[BlockCall], contexts: usize) -> usize {
    let args = edges.iter().map(|edge| edge_args(func, edge));
    beyond_one(edges.len() + contexts) + beyond_one(args.sum())
}

fn handlers_size(func: &Function, table: ExceptionTable) -> usize {
    let Some(table) = func.dfg.exception_tables.get(table) else {
        return 0;
    };
    let contexts = table.items();
    let contexts = contexts.filter(|item| matches!(item, ExceptionTableItem::Context(_)));
    table_size(func, table.all_branches(), contexts.count())
}

/// Returns how much larger a copy in place of the `try_call` of `table` is than its callee, which
/// makes `calls` calls: each of them gets the handlers of the replaced one.
pub(crate) fn handler_copies_size(func: &Function, table: ExceptionTable, calls: usize) -> usize {
    let size = panics::catch(|| handlers_size(func, table)).unwrap_or(0);
    calls.saturating_mul(size)
}

/// Returns the bytes of stack that a copy of the function may take in its caller's frame: those of
/// its sized stack slots, and of its structure arguments that are passed by value.
///
/// Slots of dynamic vector types are left out, because their size depends on the target.
pub(crate) fn frame_bytes(func: &Function) -> u64 {
    let structures = func.signature.params.iter();
    let structures = structures.map(|param| match param.purpose {
        ArgumentPurpose::StructArgument(size) => u64::from(size),
        _ => 0,
    });
    slot_bytes(func) + structures.sum::<u64>()
}

/// Returns the bytes of the function's sized stack slots.
pub(crate) fn slot_bytes(func: &Function) -> u64 {
    let slots = func.sized_stack_slots.values();
    slots.map(|slot| u64::from(slot.size)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn function(text: &str) -> Function {
        cranelift_reader::parse_functions(text).unwrap().remove(0)
    }

    /// Returns the size of a function with one instruction of interest and a `return`.
    fn size(preamble: &str, params: usize, body: &str) -> usize {
        let types: Vec<&str> = vec!["i64"; params];
        let params: Vec<String> = (0..params).map(|index| format!("v{index}: i64")).collect();
        let (types, params) = (types.join(", "), params.join(", "));
        code_size(&function(&format!(
            "function %f({types}) system_v {{ {preamble}\nblock0({params}):\n{body}\n}}"
        )))
    }

    fn list(length: usize, entry: impl Fn(usize) -> String) -> String {
        let entries: Vec<String> = (0..length).map(entry).collect();
        entries.join(", ")
    }

    #[test]
    fn entries_count_from_the_ninth_on() {
        for (length, more) in [(0, 0), (1, 0), (8, 0), (9, 1), (20_000, 19_992)] {
            // The default is a target as well.
            let targets = length.max(1) - 1;
            let table = list(targets, |_| "block1".into());
            let body = format!("v100000 = iconst.i32 0\nbr_table v100000, block1, [{table}]");
            assert_eq!(size("", 0, &format!("{body}\nblock1: return")), 3 + more);

            let types = list(length, |_| "i64".into());
            let args = list(length, |_| "v0".into());
            let callee = format!("fn0 = %g({types}) system_v");
            assert_eq!(
                size(&callee, 1, &format!("call fn0({args})\nreturn")),
                2 + more
            );
            let callee = format!("fn0 = %g() -> {types} system_v");
            let callee = if length == 0 {
                "fn0 = %g() system_v"
            } else {
                &callee
            };
            let results = list(length, |index| format!("v{}", index + 1));
            let call = if length == 0 {
                "call fn0()".into()
            } else {
                format!("{results} = call fn0()")
            };
            assert_eq!(size(callee, 1, &format!("{call}\nreturn")), 2 + more);

            let params = list(length, |index| format!("v{}: i64", index + 1));
            let (args, params) = match length {
                0 => (String::new(), String::new()),
                _ => (format!("({args})"), format!("({params})")),
            };
            let jump = format!("jump block1{args}\nblock1{params}: return");
            assert_eq!(size("", 1, &jump), 2 + more);
            let branch = format!("brif v0, block1{args}, block1{args}\nblock1{params}: return");
            assert_eq!(size("", 1, &branch), 2 + 2 * more);
        }
    }

    #[test]
    fn a_table_counts_the_arguments_of_its_edges() {
        let body = |targets: usize| {
            let table = list(targets, |_| "block1(v0, v0)".into());
            format!(
                "v100 = iconst.i32 0\nbr_table v100, block1(v0, v0), [{table}]\n\
                 block1(v1: i64, v2: i64): return"
            )
        };
        // The default is a target as well. Four have eight arguments.
        assert_eq!(size("", 1, &body(3)), 3);
        assert_eq!(size("", 1, &body(4)), 3 + 2);
        assert_eq!(size("", 1, &body(19)), 3 + 12 + 32);
    }

    #[test]
    fn handlers_count_and_so_do_their_copies() {
        let mut handlers = String::new();
        for tag in 0..20 {
            write!(handlers, "tag{tag}: block2(exn0), context v0, ").unwrap();
        }
        let text = format!(
            "function %f(i64) tail {{
                sig0 = () tail
                fn0 = %g() tail
            block0(v0: i64):
                try_call fn0(), sig0, block1(), [ {handlers} default: block1 ]
            block1:
                return
            block2(v1: i64):
                return
            }}"
        );
        let func = function(&text);
        // The normal edge, 20 handlers and as many contexts, and the default; their arguments.
        let more = (1 + 20 + 20 + 1 - 8) + (20 - 8);
        assert_eq!(code_size(&func), 3 + more);
        let table = func.dfg.exception_tables.keys().next().unwrap();
        assert_eq!(handler_copies_size(&func, table, 5), 5 * more);
        let missing = ExceptionTable::from_u32(7);
        assert_eq!(handler_copies_size(&func, missing, 5), 0);
    }

    #[test]
    fn a_list_that_is_not_there_counts_as_none() {
        let mut func = function(
            "function %f(i64) system_v { block0(v0: i64): jump block1(v0) block1(v1: i64): return }",
        );
        func.dfg.value_lists.clear();
        assert_eq!(code_size(&func), 2);
    }

    #[test]
    fn frames_hold_slots_and_structures() {
        let func = function(
            "function %f(i64 sarg(100), i64) system_v {
                ss0 = explicit_slot 16
                ss1 = explicit_slot 1000, align = 64
            block0(v0: i64, v1: i64):
                return
            }",
        );
        assert_eq!((slot_bytes(&func), frame_bytes(&func)), (1016, 1116));
    }
}
