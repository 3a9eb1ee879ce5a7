//! Facts about functions before they are translated, for a stream.
//!
//! A scan over the operators finds the calls of each body, and estimates its size. It follows the
//! translation in one respect: operators that are never reached become no instructions.

use crate::compile::Front;
use crate::entry::wrapped;
use crate::error::Result;
use crate::parse::{Body, ParsedModule};
use crate::translate::host_function;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::DeclaredProgram;
use cranelift_inliner::program::FunctionName;
use cranelift_inliner_wasm_runtime::{find_host_function, symbol};
use cranelift_module::{FuncId, Module};
use std::collections::BTreeMap;
use wasmparser::Operator;

/// An entry stores its place, loads the arguments, and stores the results.
const ENTRY_INSTS: usize = 16;
/// A wrapper calls and returns.
const WRAPPER_INSTS: usize = 3;

/// Returns the known facts about all functions, and the order in which to translate the bodies of
/// the module, by their positions: callees before their callers, which wait for them.
pub(crate) fn declarations<M: Module>(
    front: &Front<'_>,
    stage: &mut InliningModule<'_, M>,
) -> Result<(DeclaredProgram, Vec<usize>)> {
    let module = &front.module;
    let mut callees = Vec::with_capacity(module.bodies.len());
    let mut program = DeclaredProgram::new();
    let mut add = |id: FuncId, facts: Facts, caught: Vec<FunctionName>| -> Result<()> {
        let declaration = stage.declaration(id, facts.insts)?;
        let declaration = declaration
            .with_calls(facts.calls.into_iter().collect())
            .with_indirect_calls(facts.indirect_calls)
            .with_caught_calls(caught);
        program.declare(declaration);
        Ok(())
    };
    for (import, &id) in module.imports.iter().zip(&front.declared.functions) {
        let mut facts = Facts::new(WRAPPER_INSTS);
        if let Some(host) = wrapped(import) {
            facts.call(FunctionName::testcase(host.symbol));
        }
        add(id, facts, Vec::new())?;
    }
    for body in &module.bodies {
        let id = front.declared.functions[body.0.index as usize];
        let mut facts = scan(module, body)?;
        callees.push(std::mem::take(&mut facts.callees));
        add(id, facts, Vec::new())?;
    }
    for (&number, &id) in front.entries.iter().zip(&front.entry_ids) {
        let entered = FunctionName::testcase(symbol(number));
        let mut facts = Facts::new(ENTRY_INSTS + 2 * module.signature(number).params.len());
        facts.call(entered.clone());
        add(id, facts, vec![entered])?;
    }
    Ok((program, callees_first(&callees, module.imports.len())))
}

/// Returns the bodies in an order of their last visits, depth first. `callees` are functions, of
/// which imported ones come first.
fn callees_first(callees: &[Vec<u32>], imports: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(callees.len());
    let mut visited = vec![false; callees.len()];
    for root in 0..callees.len() {
        // The bodies around the current one, each with the number of callees that were visited.
        let mut path = Vec::new();
        if !std::mem::replace(&mut visited[root], true) {
            path.push((root, 0));
        }
        while let Some((body, next)) = path.last_mut() {
            let Some(&callee) = callees[*body].get(*next) else {
                order.push(*body);
                path.pop();
                continue;
            };
            *next += 1;
            let callee = (callee as usize).checked_sub(imports);
            if let Some(callee) = callee
                && !std::mem::replace(&mut visited[callee], true)
            {
                path.push((callee, 0));
            }
        }
    }
    order
}

/// The facts about a body before it is translated.
struct Facts {
    insts: usize,
    calls: BTreeMap<FunctionName, usize>,
    /// The functions of the module among them, perhaps more than once.
    callees: Vec<u32>,
    indirect_calls: usize,
}

impl Facts {
    fn new(insts: usize) -> Self {
        Facts {
            insts,
            calls: BTreeMap::new(),
            callees: Vec::new(),
            indirect_calls: 0,
        }
    }

    fn call(&mut self, callee: FunctionName) {
        *self.calls.entry(callee).or_default() += 1;
    }
}

/// A block, loop or `if` that has begun and not ended.
struct Frame {
    kind: Kind,
    /// Whether something goes to the code after it.
    exits: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Code that is never reached.
    Dead,
    /// A block, or an `if` whose `else` has begun.
    Block,
    Loop,
    If,
}

fn scan(module: &ParsedModule<'_>, (validator, body): &Body<'_>) -> Result<Facts> {
    let mut facts = Facts::new(1 + module.signature(validator.index).results.len());
    let mut frames = vec![Frame {
        kind: Kind::Block,
        exits: false,
    }];
    let mut reachable = true;
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let operator = reader.read()?;
        let begins = match operator {
            Operator::Block { .. } => Some(Kind::Block),
            Operator::Loop { .. } => Some(Kind::Loop),
            Operator::If { .. } => Some(Kind::If),
            _ => None,
        };
        if let Some(kind) = begins {
            let kind = if reachable { kind } else { Kind::Dead };
            frames.push(Frame { kind, exits: false });
            continue;
        }
        match operator {
            Operator::Else => begin_else(&mut frames, &mut reachable),
            Operator::End => {
                if frames.last().is_some_and(|frame| frame.kind == Kind::If) {
                    begin_else(&mut frames, &mut reachable);
                }
                if let Some(frame) = frames.pop()
                    && frame.kind == Kind::Block
                {
                    reachable |= frame.exits;
                }
            }
            _ if !reachable => {}
            Operator::Br { relative_depth } => {
                branch(&mut frames, relative_depth);
                reachable = false;
            }
            Operator::BrIf { relative_depth } => branch(&mut frames, relative_depth),
            Operator::BrTable { ref targets } => {
                for depth in targets.targets() {
                    branch(&mut frames, depth?);
                }
                branch(&mut frames, targets.default());
                reachable = false;
            }
            Operator::Return | Operator::Unreachable => reachable = false,
            Operator::Call { function_index } => {
                facts.call(FunctionName::testcase(symbol(function_index)));
                facts.callees.push(function_index);
            }
            Operator::CallIndirect { .. } => {
                facts.indirect_calls += 1;
                facts.insts += 10;
            }
            _ => {
                let host = host_function(&operator).and_then(find_host_function);
                if let Some(host) = host {
                    facts.call(FunctionName::testcase(host.symbol));
                }
            }
        }
        facts.insts += usize::from(reachable) * insts(&operator);
    }
    Ok(facts)
}

/// Estimates the instructions that the operator becomes.
fn insts(operator: &Operator<'_>) -> usize {
    match operator {
        Operator::LocalGet { .. }
        | Operator::LocalSet { .. }
        | Operator::LocalTee { .. }
        | Operator::Else
        | Operator::End
        | Operator::Drop
        | Operator::Nop => 0,
        Operator::GlobalGet { .. } | Operator::GlobalSet { .. } => 1,
        operator if is_access(operator) => 4,
        _ => 1,
    }
}

fn is_access(operator: &Operator<'_>) -> bool {
    use Operator as Op;
    matches!(
        operator,
        Op::I32Load { .. }
            | Op::I64Load { .. }
            | Op::F32Load { .. }
            | Op::F64Load { .. }
            | Op::I32Load8S { .. }
            | Op::I32Load8U { .. }
            | Op::I32Load16S { .. }
            | Op::I32Load16U { .. }
            | Op::I64Load8S { .. }
            | Op::I64Load8U { .. }
            | Op::I64Load16S { .. }
            | Op::I64Load16U { .. }
            | Op::I64Load32S { .. }
            | Op::I64Load32U { .. }
            | Op::I32Store { .. }
            | Op::I64Store { .. }
            | Op::F32Store { .. }
            | Op::F64Store { .. }
            | Op::I32Store8 { .. }
            | Op::I32Store16 { .. }
            | Op::I64Store8 { .. }
            | Op::I64Store16 { .. }
            | Op::I64Store32 { .. }
    )
}

fn branch(frames: &mut [Frame], depth: u32) {
    let frame = frames.iter_mut().rev().nth(depth as usize);
    if let Some(frame) = frame {
        frame.exits = true;
    }
}

fn begin_else(frames: &mut [Frame], reachable: &mut bool) {
    if let Some(frame) = frames.last_mut()
        && frame.kind == Kind::If
    {
        frame.exits |= *reachable;
        frame.kind = Kind::Block;
        *reachable = true;
    }
}
