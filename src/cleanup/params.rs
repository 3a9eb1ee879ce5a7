//! Replaces block parameters that have one value, or equal constants, on all ways.
//!
//! This is an optimistic fixpoint: first the values over back edges are assumed to be the same.
//! Where they are not, the parameter stays and the rest is checked again.

use super::flow::{Edge, Flow, remove_params};
use super::scope::Scope;
use crate::body::{branches, move_labels, resolve_alias};
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{Block, BlockArg, Function, InstructionData, Value, ValueDef};
use smallvec::SmallVec;

/// After this number of phases, no parameter is removed: loops are nested far less deeply.
const MOST_PHASES: usize = 64;

/// The known value of a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Unseen,
    /// This value, which is not itself a parameter with a known value.
    Value(Value),
    /// This constant, or others like it. Where it is the only one on the ways that go forward, it
    /// stands above all of them, and so above the block, unless a loop has another entry.
    Constant { value: Value, only: bool },
    /// A value of its own.
    Itself,
}

/// Scratch memory.
#[derive(Default)]
pub(super) struct ParamsContext {
    known: SecondaryMap<Value, Known>,
    changed: Vec<Value>,
    /// The numbers of the blocks that are looked at.
    joins: Vec<u32>,
    around: WaysAround,
}

/// A search for ways into loops that have several.
#[derive(Default)]
struct WaysAround {
    seen: EntitySet<Block>,
    work: Vec<u32>,
}

impl WaysAround {
    /// Returns whether a way from the entry comes to a back edge of this block without having been
    /// in the block. Then a value above the edges that go forward need not be above the block.
    fn leads_to(&mut self, flow: &Flow, block: u32) -> bool {
        let WaysAround { seen, work } = self;
        seen.clear();
        work.clear();
        let back = flow.edges_into(block).iter();
        work.extend(back.map(|edge| edge.from).filter(|&from| from >= block));
        while let Some(at) = work.pop() {
            if at == 0 {
                return true;
            }
            if at != block && seen.insert(flow.blocks()[at as usize]) {
                work.extend(flow.edges_into(at).iter().map(|edge| edge.from));
            }
        }
        false
    }
}

/// Removes parameters of blocks in `scope` that have one value on all ways; returns their number.
/// Nothing may be unreachable.
pub(super) fn unify_params(
    func: &mut Function,
    flow: &Flow,
    scope: &Scope,
    context: &mut ParamsContext,
) -> usize {
    if flow.returns_to_entry() {
        return 0;
    }
    context.find_joins(func, flow, scope);
    if !find(func, flow, context) {
        return 0;
    }
    let mut removed = 0;
    let joins = std::mem::take(&mut context.joins);
    for &number in &joins {
        let block = flow.blocks()[number as usize];
        let params: SmallVec<[Value; 8]> = func.dfg.block_params(block).into();
        let is_known = |param: &Value| context.known[*param] != Known::Itself;
        let goes: SmallVec<[bool; 8]> = params.iter().map(is_known).collect();
        if !goes.contains(&true) {
            continue;
        }
        remove_params(func, flow, number, &goes);
        for (&param, _) in params.iter().zip(&goes).filter(|(_, goes)| **goes) {
            let value = match context.known[param] {
                Known::Value(value) => value,
                Known::Constant { value, only: true } => value,
                Known::Constant { value, only: false } => match copied(func, value, block) {
                    Some(copy) => copy,
                    None => value,
                },
                Known::Unseen | Known::Itself => {
                    debug_assert!(false, "every reachable parameter is passed something");
                    continue;
                }
            };
            removed += 1;
            if param != value {
                func.dfg.change_to_alias(param, value);
                move_labels(func, param, value);
            }
        }
    }
    context.joins = joins;
    removed
}

impl ParamsContext {
    /// Finds the blocks with parameters that are looked at.
    fn find_joins(&mut self, func: &Function, flow: &Flow, scope: &Scope) {
        let numbered = (0u32..).zip(flow.blocks()).skip(1);
        let joins = numbered.filter(|&(_, &block)| {
            !func.dfg.block_params(block).is_empty() && scope.contains(block)
        });
        self.joins.clear();
        self.joins.extend(joins.map(|(number, _)| number));
    }
}

/// Finds the known value of each parameter; returns whether there is any.
fn find(func: &Function, flow: &Flow, context: &mut ParamsContext) -> bool {
    context.known.clear();
    context.known.resize(func.dfg.num_values());
    let mut met: SmallVec<[Known; 8]> = SmallVec::new();
    for phase in 0.. {
        if phase == MOST_PHASES {
            return false;
        }
        let mut some = false;
        // Values over forward edges.
        for &number in &context.joins {
            let params = func.dfg.block_params(flow.blocks()[number as usize]);
            met.clear();
            met.extend(params.iter().map(|&param| match context.known[param] {
                Known::Itself => Known::Itself,
                _ => Known::Unseen,
            }));
            for edge in flow.edges_into(number) {
                if edge.from < number {
                    meet_passed(func, context, edge, &mut met);
                }
            }
            some |= met.iter().any(|known| *known != Known::Itself);
            for (&param, &known) in params.iter().zip(&met) {
                context.known[param] = known;
            }
        }
        if !some {
            return false;
        }
        // Values over back edges.
        for &number in &context.joins {
            let back = flow.edges_into(number).iter();
            let mut back = back.filter(|edge| edge.from >= number).peekable();
            if back.peek().is_none() {
                continue;
            }
            let params = func.dfg.block_params(flow.blocks()[number as usize]);
            met.clear();
            met.extend(params.iter().map(|&param| context.known[param]));
            for edge in back {
                meet_passed(func, context, edge, &mut met);
            }
            let mut is_bypassed = None;
            for (&param, &known) in params.iter().zip(&met) {
                let was_only = matches!(context.known[param], Known::Constant { only: true, .. });
                let stays = match known {
                    Known::Itself => context.known[param] != Known::Itself,
                    Known::Constant { only: false, .. } if was_only => {
                        *is_bypassed.get_or_insert_with(|| context.around.leads_to(flow, number))
                    }
                    _ => false,
                };
                if stays {
                    context.changed.push(param);
                }
            }
        }
        if context.changed.is_empty() {
            return true;
        }
        for param in context.changed.drain(..) {
            context.known[param] = Known::Itself;
        }
    }
    false
}

/// Adds the arguments of `edge` to the known values of its target's parameters.
fn meet_passed(func: &Function, context: &ParamsContext, edge: &Edge, met: &mut [Known]) {
    let Some(call) = branches(func, edge.inst).get(edge.index as usize) else {
        debug_assert!(false, "{} has the edge", edge.inst);
        met.fill(Known::Itself);
        return;
    };
    let pool = &func.dfg.value_lists;
    debug_assert_eq!(call.len(pool), met.len(), "each parameter is passed");
    for (known, arg) in met.iter_mut().zip(call.args(pool)) {
        if *known != Known::Itself {
            *known = meet(func, *known, passed(func, context, arg));
        }
    }
}

/// Returns the known value of an argument.
fn passed(func: &Function, context: &ParamsContext, arg: BlockArg) -> Known {
    let value = arg.as_value();
    let Some(value) = value.and_then(|value| resolve_alias(&func.dfg, value)) else {
        return Known::Itself;
    };
    match func.dfg.value_def(value) {
        ValueDef::Param(..) => match context.known[value] {
            // Those of the entry block, and of blocks out of scope, were not looked at.
            Known::Unseen | Known::Itself => Known::Value(value),
            known => known,
        },
        ValueDef::Result(inst, _) if is_constant(&func.dfg.insts[inst]) => {
            Known::Constant { value, only: true }
        }
        _ => Known::Value(value),
    }
}

fn meet(func: &Function, one: Known, other: Known) -> Known {
    match (one, other) {
        (Known::Unseen, known) | (known, Known::Unseen) => known,
        (Known::Value(a), Known::Value(b)) if a == b => one,
        (
            Known::Constant { value: a, only },
            Known::Constant {
                value: b,
                only: other,
            },
        ) if is_equal(func, a, b) => Known::Constant {
            value: a,
            only: only && other && a == b,
        },
        _ => Known::Itself,
    }
}

fn is_constant(data: &InstructionData) -> bool {
    matches!(
        data,
        InstructionData::UnaryImm { .. }
            | InstructionData::UnaryIeee16 { .. }
            | InstructionData::UnaryIeee32 { .. }
            | InstructionData::UnaryIeee64 { .. }
            | InstructionData::UnaryConst { .. }
            | InstructionData::FuncAddr { .. }
            | InstructionData::StackAddr { .. }
    )
}

fn is_equal(func: &Function, one: Value, other: Value) -> bool {
    let of = |value| (definition(func, value), func.dfg.value_type(value));
    one == other || of(one) == of(other)
}

fn definition(func: &Function, value: Value) -> Option<InstructionData> {
    let inst = func.dfg.value_def(value).inst()?;
    Some(func.dfg.insts[inst])
}

/// Returns the constant `value` once more, at the begin of `block`.
fn copied(func: &mut Function, value: Value, block: Block) -> Option<Value> {
    let ty = func.dfg.value_type(value);
    let data = definition(func, value)?;
    let copy = func.dfg.make_inst(data);
    func.dfg.make_inst_results(copy, ty);
    match func.layout.first_inst(block) {
        Some(first) => func.layout.insert_inst(copy, first),
        None => func.layout.append_inst(copy, block),
    }
    func.dfg.inst_results(copy).first().copied()
}
