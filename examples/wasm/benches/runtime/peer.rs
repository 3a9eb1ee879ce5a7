//! Cranelift's own `Context::inline`, with the embedder's part done like in Wasmtime: callees
//! before callers, none into itself or a cycle it is in, and two thresholds for sizes.

use cranelift_codegen::Context;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, Inst, Opcode, Value};
use cranelift_inliner_wasm::{JitProgram, Result, define_plainly, jit_module, translate};
use cranelift_module::FuncId;
use std::borrow::Cow;
use std::collections::HashMap;

/// Callees up to this size are always inlined.
const SMALL: usize = 50;
/// Others if the caller and they are together not larger than this.
const SUM: usize = 2000;

/// Compiles a module so.
pub(crate) fn compile(wasm: &[u8]) -> Result<JitProgram> {
    let mut jit = jit_module()?;
    let mut translated = translate(wasm, &mut jit, false)?;
    inline_all(&mut translated.functions);
    let compiled = define_plainly(&mut translated, &mut jit)?;
    JitProgram::new(translated, jit, compiled)
}

fn inline_all(functions: &mut [(FuncId, Function)]) {
    let indices: HashMap<u32, usize> = functions
        .iter()
        .enumerate()
        .map(|(index, (id, _))| (id.as_u32(), index))
        .collect();
    let callees: Vec<Vec<usize>> = functions
        .iter()
        .map(|(_, function)| {
            let references = function.dfg.ext_funcs.keys();
            let called = references.filter_map(|reference| called(function, reference));
            called.filter_map(|id| indices.get(&id).copied()).collect()
        })
        .collect();
    let mut done: HashMap<u32, Function> = HashMap::new();
    for index in bottom_up(&callees) {
        let (id, function) = &mut functions[index];
        let mut context = Context::for_function(std::mem::replace(function, Function::new()));
        let size = context.func.dfg.num_values();
        let inlined = context.inline(Thresholds { done: &done, size });
        inlined.unwrap_or_else(|error| panic!("{error}"));
        *function = context.func.clone();
        done.insert(id.as_u32(), context.func);
    }
}

/// Returns the id of a function that is called by name.
fn called(function: &Function, reference: FuncRef) -> Option<u32> {
    match function.dfg.ext_funcs[reference].name {
        ExternalName::User(name) => Some(function.params.user_named_funcs()[name].index),
        _ => None,
    }
}

/// Callees before callers, as far as there are no cycles.
fn bottom_up(callees: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; callees.len()];
    for root in 0..callees.len() {
        let mut stack = vec![(root, 0)];
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        while let Some((function, next)) = stack.last_mut() {
            match callees[*function].get(*next) {
                Some(&callee) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[callee], true) {
                        stack.push((callee, 0));
                    }
                }
                None => {
                    order.push(*function);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// A callee that is not done is the caller, or in a cycle with it.
struct Thresholds<'d> {
    done: &'d HashMap<u32, Function>,
    size: usize,
}

impl Inline for Thresholds<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        _: Inst,
        opcode: Opcode,
        callee: FuncRef,
        _: &[Value],
    ) -> InlineCommand<'_> {
        let callee = called(caller, callee).and_then(|id| self.done.get(&id));
        // Entries stay as they are, whose handlers are named by address.
        let (Some(callee), Opcode::Call) = (callee, opcode) else {
            return InlineCommand::KeepCall;
        };
        let size = callee.dfg.num_values();
        if size > SMALL && self.size + size > SUM {
            return InlineCommand::KeepCall;
        }
        self.size += size;
        InlineCommand::Inline {
            callee: Cow::Borrowed(callee),
            visit_callee: false,
        }
    }
}
