//! The ways in which a traced program is built: policies, orders of splicing, levels.

use super::recording::{Build, compile};
use cranelift_codegen::ir::{Function, Inst, Opcode};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target, verify_function};
use cranelift_inliner::decide::{Always, CostModel, Never, Small};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::{FunctionId, Program};
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
use std::collections::HashMap;

pub(crate) const LEVELS: [OptLevel; 3] = [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize];
pub(crate) const POLICIES: [&str; 4] = ["never", "always", "small", "cost"];

pub(crate) fn isa(name: &str, level: OptLevel) -> OwnedTargetIsa {
    let settings = TargetSettings::new()
        .opt_level(level)
        .position_independent(false);
    target(name, &settings).unwrap()
}

/// Returns the program as the pass makes it, with how many calls it inlined.
pub(crate) fn by_pass(
    program: &Program,
    isa: &dyn TargetIsa,
    policy: &str,
    clean_up: bool,
) -> (Build, usize) {
    let inliner = match policy {
        "never" => Inliner::new(Never),
        "always" => Inliner::new(Always),
        "small" => Inliner::new(Small::new(20, 200)),
        "cost" => Inliner::new(CostModel::default()),
        other => panic!("no policy {other}"),
    };
    let inliner = inliner.clean_up(clean_up).verify_with(isa);
    let inliner = inliner.splice_options(splice_options());
    let (inlined, compiled) = inliner.run_and_compile(program, isa).unwrap();
    let build = compiled.iter();
    let build = build.map(|(id, compiled)| (u64::from(id.as_u32()), compiled.clone()));
    let count = inlined.sites().filter(|site| site.inlined).count();
    (build.collect(), count)
}

/// The order in which the calls of one function are spliced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// The function's own calls first to last, then those that came in with bodies.
    BreadthFirst,
    /// As above, last to first.
    Backwards,
    /// The calls that came in with a body right after it.
    DepthFirst,
    /// As the numbers of a generator with this seed say.
    Shuffled(u64),
    /// Into each callee first, which is then spliced as a whole.
    BottomUp,
}

pub(crate) const ORDERS: [Order; 6] = [
    Order::BreadthFirst,
    Order::Backwards,
    Order::DepthFirst,
    Order::Shuffled(7),
    Order::Shuffled(8),
    Order::BottomUp,
];

/// Returns the program with everything inlined into `%main`, in `order`, except recursive calls;
/// the other functions stay as they are.
pub(crate) fn by_order(
    program: &Program,
    isa: &dyn TargetIsa,
    order: Order,
) -> Vec<(u64, Function)> {
    let bodies = program.iter().map(|(id, function)| {
        let mut body = Function::clone(function.body());
        if function.name().to_string() == "%main" {
            splice_all(program, &mut body, &[id], order);
            verify_function(&body, isa).unwrap_or_else(|error| panic!("{order:?}: {error}"));
        }
        (u64::from(id.as_u32()), body)
    });
    bodies.collect()
}

pub(crate) fn compile_order(program: &Program, isa: &dyn TargetIsa, order: Order) -> Build {
    compile(isa, &by_order(program, isa, order))
}

/// Returns the options. The stack is checked by its pointer. `%probe` is a `system_v` function that
/// never throws, and functions that throw are `tail`, so no handler ever needs registers restored.
fn splice_options() -> SpliceOptions {
    let mut options = SpliceOptions::default();
    options.unwinder_restores_registers = true;
    options.allow_stack_pointer = true;
    options
}

/// Splices every direct call of a function of the program that is not in `around` already.
fn splice_all(program: &Program, body: &mut Function, around: &[FunctionId], order: Order) {
    let mut work = direct_calls(body);
    // The functions around each call.
    let mut nesting: HashMap<Inst, Vec<FunctionId>> =
        work.iter().map(|&inst| (inst, around.to_vec())).collect();
    let mut random = match order {
        Order::Shuffled(seed) => seed,
        _ => 0,
    };
    let mut context = SpliceContext::new();
    let options = splice_options();
    let mut session = context.session(body, &options);
    while !work.is_empty() {
        let next = match order {
            Order::Backwards => work.len() - 1,
            Order::Shuffled(_) => {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 33) as usize % work.len()
            }
            _ => 0,
        };
        let call = work.remove(next);
        let around = nesting[&call].clone();
        let func_ref = session.caller().dfg.insts[call];
        let func_ref = match func_ref.analyze_call(
            &session.caller().dfg.value_lists,
            &session.caller().dfg.exception_tables,
        ) {
            cranelift_codegen::ir::instructions::CallInfo::Direct(func_ref, _)
            | cranelift_codegen::ir::instructions::CallInfo::DirectWithSig(func_ref, ..) => {
                func_ref
            }
            _ => continue,
        };
        let Some(id) = program.callee(session.caller(), func_ref) else {
            continue;
        };
        // The functions of a debugger see their physical frames, and stay.
        let name = program[id].name().to_string();
        if around.contains(&id) || ["%breakpoint", "%raise"].contains(&name.as_str()) {
            continue;
        }
        let inner: Vec<FunctionId> = around.iter().copied().chain([id]).collect();
        let mut callee = Function::clone(program[id].body());
        if matches!(order, Order::BottomUp) {
            splice_all(program, &mut callee, &inner, order);
        }
        let callee = Callee::new(&callee).unwrap();
        let copied = session.splice(call, &callee);
        let copied = copied.unwrap_or_else(|refusal| panic!("{refusal}"));
        let mut at = 0;
        for copy in copied {
            nesting.insert(copy.inst, inner.clone());
            match order {
                Order::BottomUp => {}
                Order::DepthFirst => {
                    work.insert(at, copy.inst);
                    at += 1;
                }
                _ => work.push(copy.inst),
            }
        }
    }
    session.finish();
}

fn direct_calls(body: &Function) -> Vec<Inst> {
    let blocks = body.layout.blocks();
    let insts = blocks.flat_map(|block| body.layout.block_insts(block));
    insts
        .filter(|&inst| {
            matches!(
                body.dfg.insts[inst].opcode(),
                Opcode::Call | Opcode::ReturnCall | Opcode::TryCall
            )
        })
        .collect()
}
