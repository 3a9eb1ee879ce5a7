//! Whole programs: the results of clean-up pass, and random mistakes in them that pass change no
//! observable behaviour.

use crate::support::Whole;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::immediates::{Imm64, Offset32};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Endianness, Function, Inst, InstructionData, Opcode, Value,
};
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::check::check_optimized;
use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, clean_up, optimize};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::interpret;
use cranelift_inliner_testing::generate::{CallGraph, Feature, Generated, Shape, programs};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestCaseError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Returns a configuration with this many programs, the same each time; or as many as
/// `PROPTEST_CASES` says, and others each time. About one right body of a thousand is not proved,
/// so the run of all tests does not search for new ones.
fn cases(cases: u32) -> ProptestConfig {
    let by_default = ProptestConfig::default();
    let (cases, rng_seed) = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => (by_default.cases, by_default.rng_seed),
        None => (cases, RngSeed::Fixed(14)),
    };
    ProptestConfig {
        cases,
        rng_seed,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 500,
        ..by_default
    }
}

/// Returns a program with everything inlined, and not cleaned up.
fn spliced(program: &Program) -> Program {
    let inlined = Inliner::new(Always).clean_up(false).run(program).unwrap();
    let bodies = program.with_bodies(|id, _| inlined.body(id).map(Arc::clone));
    bodies.unwrap()
}

/// Checks that every body passes against itself, and cleaned up.
fn check_cleaned_up(program: &Program, endianness: Endianness) -> Result<(), String> {
    let surroundings = Whole {
        program: program.clone(),
        endianness: Some(endianness),
    };
    let mut context = CleanupContext::new();
    for (_, function) in program.iter() {
        let before: &Function = function.body();
        let mut after = before.clone();
        for what in ["itself", "cleaned up"] {
            if let Err(unproved) = check_optimized(before, &after, &surroundings) {
                return Err(format!("{what}: {unproved}\n{before}\n{after}"));
            }
            clean_up(&mut after, &mut context);
        }
    }
    Ok(())
}

fn clif_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "clif")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn modules_of_this_repository_pass() {
    let folders = [
        "tests/filetests",
        "tests/checking/modules",
        "examples/modules",
    ];
    let mut programs = 0;
    let mut failures = Vec::new();
    for path in folders.into_iter().flat_map(clif_files) {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("; ==>").next().unwrap_or_default();
        let Ok(program) = Program::from_clif(text, "module.clif") else {
            continue;
        };
        programs += 1;
        for program in [spliced(&program), program] {
            let order = Endianness::Little;
            let checks = [
                check_cleaned_up(&program, order),
                check_optimized_bodies(&program, Some(order), [true; 7]),
                check_optimized_bodies(&program, None, [true; 7]),
            ];
            for message in checks.into_iter().filter_map(Result::err) {
                failures.push(format!("{}: {message}", path.display()));
            }
        }
    }
    assert!(programs > 40, "{programs}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Checks that every body passes optimised, like in the pass, with all transforms or some.
fn check_optimized_bodies(
    program: &Program,
    endianness: Option<Endianness>,
    switches: [bool; 7],
) -> Result<(), String> {
    let surroundings = Whole {
        program: program.clone(),
        endianness,
    };
    let mut options = OptimizeOptions::default();
    [
        options.promote_slots,
        options.drop_stores,
        options.drop_params,
        options.drop_insts,
        options.thread_branches,
        options.resolve_targets,
        options.simplify_comparisons,
    ] = switches;
    options.endianness = endianness;
    options
        .memory_functions
        .copy
        .push("copy_bytes".parse().unwrap());
    let mut context = CleanupContext::new();
    for (_, function) in program.iter() {
        let mut before: Function = (**function.body()).clone();
        for _ in 0..2 {
            let mut after = before.clone();
            optimize(&mut after, &options, &mut context);
            if let Err(unproved) = check_optimized(&before, &after, &surroundings) {
                return Err(format!("{unproved}\n{before}\n{after}"));
            }
            clean_up(&mut before, &mut context);
        }
    }
    Ok(())
}

/// Returns a shape without tables of hundreds of targets, for which the checker gives up, and
/// without large slots, which make no difference to it.
fn shape() -> Shape {
    Shape::new()
        .without(Feature::LongLists)
        .without(Feature::LargeFrames)
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn optimized_programs_pass(
        generated in programs(shape().with(Feature::Aggregates)),
        order in prop_oneof![
            Just(None),
            Just(Some(Endianness::Little)),
            Just(Some(Endianness::Big)),
        ],
        switches in prop_oneof![4 => Just([true; 7]), 1 => any::<[bool; 7]>()],
    ) {
        let Generated { program, .. } = generated;
        for program in [spliced(&program), program] {
            check_optimized_bodies(&program, order, switches).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn generated_programs_pass(generated in programs(shape()), is_big in any::<bool>()) {
        let endianness = if is_big { Endianness::Big } else { Endianness::Little };
        let Generated { program, .. } = generated;
        for program in [spliced(&program), program] {
            check_cleaned_up(&program, endianness).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn generated_programs_of_other_shapes_pass(
        plain in programs(shape().plain()),
        chain in programs(shape().functions(2..=6).call_graph(CallGraph::Chain)),
        recursive in programs(shape().functions(2..=4).call_graph(CallGraph::Recursive)),
    ) {
        for Generated { program, .. } in [plain, chain, recursive] {
            let program = spliced(&program);
            check_cleaned_up(&program, Endianness::Little).map_err(TestCaseError::fail)?;
        }
    }
}

/// Numbers that stand for choices.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// Changes one thing in a function, if it finds something to change.
fn mutate(func: &mut Function, dice: &mut Dice) -> bool {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    let insts: Vec<Inst> = blocks
        .iter()
        .flat_map(|&block| func.layout.block_insts(block))
        .collect();
    let inst = insts[dice.below(insts.len())];
    let values: Vec<Value> = func.dfg.values().collect();
    let data = func.dfg.insts[inst];
    match dice.below(4) {
        // Another operand.
        0 => {
            let args = func.dfg.inst_args(inst).to_vec();
            if args.is_empty() {
                return false;
            }
            let index = dice.below(args.len());
            let ty = func.dfg.value_type(args[index]);
            let same: Vec<Value> = values
                .into_iter()
                .filter(|&value| func.dfg.value_type(value) == ty)
                .collect();
            func.dfg.inst_args_mut(inst)[index] = same[dice.below(same.len())];
            true
        }
        // Another value passed.
        1 => {
            let mut calls: Vec<BlockCall> = func.dfg.insts[inst]
                .branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables)
                .to_vec();
            if calls.is_empty() {
                return false;
            }
            let index = dice.below(calls.len());
            let call = calls[index];
            let block = call.block(&func.dfg.value_lists);
            let mut args: Vec<BlockArg> = call.args(&func.dfg.value_lists).collect();
            if args.is_empty() || dice.below(4) == 0 {
                // Another block.
                let types = |block: Block| -> Vec<_> {
                    let params = func.dfg.block_params(block).iter();
                    params.map(|&param| func.dfg.value_type(param)).collect()
                };
                let alike: Vec<Block> = blocks
                    .into_iter()
                    .filter(|&other| types(other) == types(block))
                    .collect();
                let block = alike[dice.below(alike.len())];
                calls[index] = BlockCall::new(block, args, &mut func.dfg.value_lists);
            } else {
                let at = dice.below(args.len());
                let BlockArg::Value(value) = args[at] else {
                    return false;
                };
                let ty = func.dfg.value_type(value);
                let same: Vec<Value> = values
                    .into_iter()
                    .filter(|&value| func.dfg.value_type(value) == ty)
                    .collect();
                args[at] = BlockArg::Value(same[dice.below(same.len())]);
                calls[index] = BlockCall::new(block, args, &mut func.dfg.value_lists);
            }
            let dfg = &mut func.stencil.dfg;
            let destinations = dfg.insts[inst]
                .branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
            destinations[index] = calls[index];
            true
        }
        // Gone, or moved before the one in front of it.
        2 => {
            if data.opcode().is_terminator() {
                return false;
            }
            let results = func.dfg.inst_results(inst);
            if results.is_empty() && dice.below(2) == 0 {
                func.layout.remove_inst(inst);
                return true;
            }
            let Some(previous) = func.layout.prev_inst(inst) else {
                return false;
            };
            func.layout.remove_inst(inst);
            let mut cursor = FuncCursor::new(func).at_inst(previous);
            cursor.insert_inst(inst);
            true
        }
        _ => {
            let new = match data {
                InstructionData::UnaryImm { opcode, imm } => InstructionData::UnaryImm {
                    opcode,
                    imm: Imm64::new(imm.bits() ^ 1),
                },
                InstructionData::Binary { opcode, args } => InstructionData::Binary {
                    opcode: match opcode {
                        Opcode::Iadd => Opcode::Isub,
                        Opcode::Band => Opcode::Bor,
                        other => other,
                    },
                    args: [args[1], args[0]],
                },
                InstructionData::IntCompare { opcode, args, cond } => {
                    let cond = match dice.below(2) {
                        0 => cond.complement(),
                        _ if cond == IntCC::Equal => IntCC::UnsignedLessThan,
                        _ => cond.swap_args(),
                    };
                    InstructionData::IntCompare { opcode, args, cond }
                }
                InstructionData::Brif {
                    opcode,
                    arg,
                    blocks,
                } => InstructionData::Brif {
                    opcode,
                    arg,
                    blocks: [blocks[1], blocks[0]],
                },
                InstructionData::Load {
                    opcode,
                    arg,
                    flags,
                    offset,
                } => InstructionData::Load {
                    opcode,
                    arg,
                    flags,
                    offset: Offset32::new(i32::from(offset) ^ (1 << dice.below(4))),
                },
                InstructionData::Store {
                    opcode,
                    args,
                    flags,
                    offset,
                } => InstructionData::Store {
                    opcode,
                    args,
                    flags,
                    offset: Offset32::new(i32::from(offset) ^ (1 << dice.below(4))),
                },
                InstructionData::StackAddr { opcode, offset, .. } => InstructionData::StackAddr {
                    opcode,
                    stack_slot: EntityRef::new(dice.below(func.sized_stack_slots.len())),
                    offset,
                },
                _ => return false,
            };
            func.dfg.insts[inst] = new;
            true
        }
    }
}

/// Returns how many mistakes were made, and how many passed.
fn check_mistakes(generated: &Generated, shape: &Shape, seed: u64) -> Result<[usize; 2], String> {
    let program = spliced(&generated.program);
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let mut dice = Dice(seed);
    let mut made = 0;
    let mut passed = 0;
    for (id, function) in program.iter() {
        let before: &Function = function.body();
        for round in 0..12 {
            let mut after = before.clone();
            if round % 2 == 0 {
                clean_up(&mut after, &mut CleanupContext::new());
            }
            if !mutate(&mut after, &mut dice) {
                continue;
            }
            let verified = cranelift_codegen::verify_function(&after, &*isa);
            if verified.is_err() || after.to_string() == before.to_string() {
                continue;
            }
            made += 1;
            let surroundings = Whole {
                program: program.clone(),
                endianness: Some(Endianness::Little),
            };
            if check_optimized(before, &after, &surroundings).is_err() {
                continue;
            }
            passed += 1;
            let after = Arc::new(after);
            let mutant = program.with_bodies(|other, function| {
                Some(match other == id {
                    true => Arc::clone(&after),
                    false => Arc::clone(function.body()),
                })
            });
            let mutant = mutant.unwrap();
            for invocation in &generated.invocations {
                let steps = shape.max_steps();
                let [was, is] =
                    [&program, &mutant].map(|program| interpret(program, invocation, steps));
                if let (Ok(was), Ok(is)) = (was, is)
                    && was != is
                {
                    return Err(format!("{was:?} became {is:?} in\n{before}\n{after}"));
                }
            }
        }
    }
    Ok([made, passed])
}

#[test]
fn mistakes_that_pass_change_nothing() {
    let shape = shape();
    let mut runner = proptest::test_runner::TestRunner::new(cases(40));
    let mut sums = [0, 0];
    let cases = runner.config().cases;
    for seed in 0..cases {
        let tree = programs(shape.clone()).new_tree(&mut runner).unwrap();
        let generated = proptest::strategy::ValueTree::current(&tree);
        match check_mistakes(&generated, &shape, seed.into()) {
            Ok(counts) => {
                sums[0] += counts[0];
                sums[1] += counts[1];
            }
            Err(message) => panic!("{message}"),
        }
    }
    let [made, passed] = sums;
    println!("{made} mistakes, {passed} passed");
    assert!(made > 100);
    assert!(made - passed > 80, "{passed} of {made} passed");
}
