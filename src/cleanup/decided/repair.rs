//! Values with several definitions become one again, by parameters where ways meet.

use super::{DecidedContext, replace_operands};
use crate::body::{branches, branches_mut, copy_labels_within, operands, resolve_alias};
use crate::cleanup::flow::{Flow, append_args};
use crate::cleanup::promote::reaching::{Origin, Touch};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, Value};
use smallvec::SmallVec;

/// A value of a join, and its counterpart in a copy of the join.
pub(super) struct Definition {
    pub(super) value: Value,
    pub(super) join: Block,
    pub(super) copied: Value,
    pub(super) copy: Block,
}

/// A value that has several definitions.
struct Variable {
    value: Value,
    join: Block,
}

/// An instruction that uses some of the variables.
struct User {
    block: u32,
    inst: Inst,
}

/// Lets each use of a value that has several definitions see the one that reaches it.
pub(super) fn repair(func: &mut Function, flow: &Flow, context: &mut DecidedContext) {
    let variables = number_variables(context);
    let mut users: Vec<User> = Vec::new();
    let mut written: Vec<Option<Value>> = Vec::new();
    find_touches(func, flow, context, &variables, &mut users, &mut written);
    if users.is_empty() {
        forget(context, &variables);
        return;
    }
    let reaching = &mut context.reaching;
    reaching.find_live(flow, variables.len(), &context.touches);
    reaching.find_origins(flow);

    // The touches are sorted by variable, and the values that they write with them.
    let mut values: Vec<Option<Value>> = vec![None; reaching.len()];
    let mut next: Vec<u32> = (0..variables.len())
        .map(|variable| reaching.first_touch(variable))
        .collect();
    for (touch, value) in context.touches.iter().zip(&written) {
        let at = &mut next[touch.variable as usize];
        values[*at as usize] = *value;
        *at += 1;
    }

    let mut params: Vec<((usize, u32), Value)> = Vec::new();
    for (variable, block) in reaching.params() {
        let value = variables[variable].value;
        let ty = func.dfg.value_type(value);
        let param = func
            .dfg
            .append_block_param(flow.blocks()[block as usize], ty);
        copy_labels_within(func, &[(value, param)]);
        params.push(((variable, block), param));
    }
    params.sort_unstable_by_key(|(of, _)| *of);
    // A use that no definition precedes, which is not valid, stays as it is.
    let value_of = |variable: usize, origin: Option<Origin>| match origin? {
        Origin::Write(touch) => *values.get(touch as usize)?,
        Origin::Param(block) => {
            let at = params.binary_search_by_key(&(variable, block), |(of, _)| *of);
            at.ok().map(|at| params[at].1)
        }
        Origin::Nothing | Origin::Unknown => None,
    };
    for &((variable, block), _) in &params {
        for &edge in flow.edges_into(block) {
            let passed = value_of(variable, reaching.at_end(variable, edge.from));
            let passed = passed.unwrap_or(variables[variable].value);
            append_args(func, edge, std::iter::once(passed));
        }
    }
    for User { block, inst } in users {
        let operands: SmallVec<[Value; 8]> = func.dfg.inst_values(inst).collect();
        let mut replaced: SmallVec<[(Value, Value); 4]> = SmallVec::new();
        for operand in operands {
            let Some(index) = variable_of(func, &context.variables, operand) else {
                continue;
            };
            // No value enters a block that defines it itself.
            if let Some(value) = value_of(index, reaching.entering(index, block)) {
                replaced.push((operand, value));
            }
        }
        replace(func, inst, &replaced);
    }
    forget(context, &variables);
}

fn forget(context: &mut DecidedContext, variables: &[Variable]) {
    for variable in variables {
        context.variables[variable.value] = 0;
    }
}

/// Returns the values that have several definitions, each once, in the order of `definitions`;
/// their numbers, plus one, go into the context.
fn number_variables(context: &mut DecidedContext) -> Vec<Variable> {
    let mut variables = Vec::new();
    for &Definition { value, join, .. } in &context.definitions {
        if context.variables[value] == 0 {
            variables.push(Variable { value, join });
            context.variables[value] = u32::try_from(variables.len()).unwrap_or(0);
        }
    }
    variables
}

fn variable_of(
    func: &Function,
    numbers: &SecondaryMap<Value, u32>,
    operand: Value,
) -> Option<usize> {
    let value = resolve_alias(&func.dfg, operand)?;
    numbers[value].checked_sub(1).map(|number| number as usize)
}

/// Finds the definitions and uses of variables, with the value of each definition.
fn find_touches(
    func: &Function,
    flow: &Flow,
    context: &mut DecidedContext,
    variables: &[Variable],
    users: &mut Vec<User>,
    written: &mut Vec<Option<Value>>,
) {
    let DecidedContext {
        definitions,
        variables: numbers,
        touches,
        ..
    } = context;
    let mut defined: Vec<(u32, u32, Value)> = Vec::new();
    let mut define = |block: Block, number: u32, value| {
        if let Some(variable) = number.checked_sub(1)
            && func.layout.is_block_inserted(block)
        {
            defined.push((flow.number(block), variable, value));
        }
    };
    for variable in variables {
        define(variable.join, numbers[variable.value], variable.value);
    }
    for definition in definitions {
        define(
            definition.copy,
            numbers[definition.value],
            definition.copied,
        );
    }
    defined.sort_unstable_by_key(|&(block, variable, _)| (block, variable));
    let mut defined = defined.into_iter().peekable();

    touches.clear();
    for (number, &block) in (0u32..).zip(flow.blocks()) {
        while let Some((_, variable, value)) = defined.next_if(|(at, ..)| *at == number) {
            touches.push(Touch {
                variable,
                block: number,
                writes: true,
            });
            written.push(Some(value));
        }
        let last = func.layout.last_inst(block);
        for inst in func.layout.block_insts(block) {
            let mut is_user = false;
            let note = |operand| {
                let variable = variable_of(func, numbers, operand);
                if let Some(variable) = variable
                    && variables[variable].join != block
                {
                    is_user = true;
                    touches.push(Touch {
                        variable: u32::try_from(variable).unwrap_or(u32::MAX),
                        block: number,
                        writes: false,
                    });
                    written.push(None);
                }
            };
            // Only the last one can have more values than its operands.
            match last == Some(inst) {
                true => func.dfg.inst_values(inst).for_each(note),
                false => operands(&func.dfg, inst).iter().copied().for_each(note),
            }
            if is_user {
                users.push(User {
                    block: number,
                    inst,
                });
            }
        }
    }
}

/// Replaces operands of `inst`. Its arguments for blocks go into a new list, because another branch
/// may share the old one.
fn replace(func: &mut Function, inst: Inst, values: &[(Value, Value)]) {
    for index in 0..branches(func, inst).len() {
        let pool = &func.dfg.value_lists;
        let call = branches(func, inst)[index];
        let target = call.block(pool);
        let args: SmallVec<[BlockArg; 8]> = call.args(pool).collect();
        let call = BlockCall::new(target, args, &mut func.stencil.dfg.value_lists);
        branches_mut(func, inst)[index] = call;
    }
    replace_operands(func, inst, values);
}
