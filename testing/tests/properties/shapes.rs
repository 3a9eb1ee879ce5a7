//! Generated programs are valid, small where their bytes are few, and end.

use arbitrary::Unstructured;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    ArgumentExtension, Block, ExceptionTableItem, Function, Inst, Opcode, UserFuncName,
};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function, target};
use cranelift_inliner::graph::CallGraph as Graph;
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::{Engine, Outcome, interpret};
use cranelift_inliner_testing::generate::{CallGraph, Feature, Generated, Shape};
use std::collections::BTreeSet;

const SEEDS: u64 = 300;

/// Returns bytes that differ in each of their parts from one seed to the next.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let length = 16 + seed as usize % 700;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}

fn generate(shape: &Shape, seed: u64) -> Generated {
    shape
        .generate(&mut Unstructured::new(&bytes(seed)))
        .unwrap()
}

/// Returns all architectures; riscv64 with the feature that vectors need.
fn isas() -> [OwnedTargetIsa; 4] {
    let plain = TargetSettings::new();
    let vectors = TargetSettings::new().setting("has_v");
    let isa = |name, settings| target(name, settings).unwrap();
    [
        isa("x64", &plain),
        isa("aarch64", &plain),
        isa("riscv64", &vectors),
        isa("s390x", &plain),
    ]
}

#[test]
fn programs_verify_on_every_architecture_and_print_stably() {
    let shape = Shape::new();
    let isas = isas();
    for seed in 0..SEEDS {
        let generated = generate(&shape, seed);
        let text = generated.program.to_clif().unwrap();
        for isa in &isas {
            if let Err(error) = generated.program.verify(&**isa) {
                panic!("seed {seed}: {error}\n{generated:?}");
            }
        }
        let again = Program::from_clif(&text, "generated").unwrap();
        assert_eq!(again.to_clif().unwrap(), text, "seed {seed}");
        assert_eq!(
            format!("{:?}", generate(&shape, seed)),
            format!("{generated:?}")
        );
    }
}

#[test]
fn programs_compile_on_every_architecture() {
    let shape = Shape::new();
    for isa in isas() {
        let mut scratch = CompileScratch::new();
        for seed in 0..SEEDS {
            let generated = generate(&shape, seed);
            for (_, function) in generated.program.iter() {
                if let Err(error) = compile_function(&*isa, function.body(), &mut scratch) {
                    panic!("seed {seed} for {}: {error}\n{generated:?}", isa.name());
                }
            }
        }
    }
}

#[test]
fn invocations_fit_their_functions() {
    for seed in 0..SEEDS {
        let generated = generate(&Shape::new(), seed);
        assert!(!generated.invocations.is_empty());
        for invocation in &generated.invocations {
            let id = generated.program.id(&invocation.function).unwrap();
            let function = &generated.program[id];
            let params = &function.body().signature.params;
            let given = &invocation.arguments;
            assert_eq!(given.len(), params.len(), "seed {seed}");
            for (value, param) in given.iter().zip(params) {
                let (given, taken) = (value.ty(), param.value_type);
                // A value does not know how many lanes it has.
                let fits = given == taken || (value.is_vector() && given.bytes() == taken.bytes());
                assert!(fits, "seed {seed}: {value} for {taken}");
            }
        }
    }
}

#[test]
fn the_chosen_graph_is_the_programs() {
    for seed in 0..SEEDS {
        let edges = |call_graph, functions| {
            let shape = Shape::new()
                .functions(functions..=functions)
                .call_graph(call_graph);
            let generated = generate(&shape, seed);
            let graph = Graph::new(&generated.program);
            let sites = generated.program.ids().flat_map(|id| graph.callees(id));
            let calls = sites.filter_map(|site| Some((site.caller, site.callee_function()?)));
            let mut edges: Vec<_> = calls.map(|(a, b)| (a.as_u32(), b.as_u32())).collect();
            // Copies of bytes, and closures, have functions of their own.
            edges.retain(|&(_, callee)| callee < functions as u32);
            edges.sort_unstable();
            edges.dedup();
            edges
        };
        assert_eq!(edges(CallGraph::Chain, 4), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(edges(CallGraph::FanOut, 4), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(
            edges(CallGraph::Diamond, 4),
            [(0, 1), (0, 2), (1, 3), (2, 3)]
        );
        assert!(edges(CallGraph::Forward, 4).iter().all(|(a, b)| a <= b));
    }
}

#[test]
fn no_bytes_give_the_smallest_program() {
    let generated = Shape::new().generate(&mut Unstructured::new(&[])).unwrap();
    let expected = "function %f0() system_v {\nblock0:\n    return\n}\n";
    assert_eq!(generated.program.to_clif().unwrap(), expected);
}

#[test]
fn programs_end_and_do_the_same_natively_and_interpreted() {
    let engines: Vec<Engine> = [OptLevel::None, OptLevel::Speed]
        .into_iter()
        .filter(|_| Engine::works_here())
        .map(|level| Engine::new(&TargetSettings::new().opt_level(level)).unwrap())
        .collect();
    let shape = Shape::new();
    let (mut returned, mut trapped, mut threw) = (0, 0, 0);
    for seed in 0..SEEDS {
        let generated = generate(&shape, seed);
        let natives = engines
            .iter()
            .map(|engine| engine.compile(&generated.program));
        let natives: Vec<_> = natives.map(Result::unwrap).collect();
        for invocation in &generated.invocations {
            let seen = interpret(&generated.program, invocation, shape.max_steps());
            let seen = seen.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{generated:?}"));
            match seen.outcome {
                Outcome::Returned(_) => returned += 1,
                Outcome::Trapped(_) => trapped += 1,
                _ => threw += 1,
            }
            for native in &natives {
                let natively = native.call(invocation).unwrap();
                assert_eq!(natively, seen, "seed {seed}: {invocation:?}\n{generated:?}");
            }
        }
    }
    // All ways to end are there, and none is rare.
    assert!(returned > SEEDS / 2, "{returned} of {SEEDS}");
    assert!(trapped > SEEDS / 50, "{trapped} of {SEEDS}");
    assert!(threw > SEEDS / 100, "{threw} of {SEEDS}");
}

#[test]
fn large_programs_end_too() {
    let shape = Shape::new().functions(1..=16).statements(60);
    for seed in 0..SEEDS / 6 {
        let bytes: Vec<u8> = (0..8)
            .flat_map(|part| bytes(700 * seed + 699 + part))
            .collect();
        let generated = shape.generate(&mut Unstructured::new(&bytes)).unwrap();
        for invocation in &generated.invocations {
            interpret(&generated.program, invocation, shape.max_steps()).unwrap();
        }
    }
}

#[test]
fn programs_take_the_addresses_of_handlers() {
    let shape = Shape::new().plain().with(Feature::Exceptions);
    let shape = shape.with(Feature::HandlerAddresses);
    let isas = isas();
    let mut scratch = CompileScratch::new();
    let mut taken = 0;
    for seed in 0..SEEDS {
        let program = generate(&shape, seed).program;
        for (_, function) in program.iter() {
            let body = function.body();
            let insts = body.layout.blocks();
            let insts = insts.flat_map(|block| body.layout.block_insts(block));
            let is_address =
                |inst: &Inst| body.dfg.insts[*inst].opcode() == Opcode::GetExceptionHandlerAddress;
            let addresses = insts.filter(is_address).count();
            taken += addresses;
            for isa in isas.iter().filter(|_| addresses > 0) {
                compile_function(&**isa, body, &mut scratch).unwrap();
            }
        }
    }
    assert!(taken > 20, "{taken}");
}

/// The interpreter cannot switch stacks, so where it gives up and native code does not, some were.
#[test]
fn programs_switch_stacks_and_come_back() {
    if !Engine::works_here() {
        return;
    }
    let shape = Shape::new()
        .plain()
        .with(Feature::StackSwitches)
        .functions(1..=2);
    let engine = Engine::new(&TargetSettings::new()).unwrap();
    let mut switched = 0;
    for seed in 0..SEEDS {
        let generated = generate(&shape, seed);
        let native = engine.compile(&generated.program).unwrap();
        for invocation in &generated.invocations {
            let seen = native.call(invocation).unwrap();
            assert!(matches!(seen.outcome, Outcome::Returned(_)), "{seed}");
            let interpreted = interpret(&generated.program, invocation, shape.max_steps());
            switched += usize::from(interpreted.is_err());
        }
    }
    assert!(switched > 50, "{switched}");
}

#[test]
fn everything_occurs() {
    let mut seen = BTreeSet::new();
    // Late constructs of a function are rare if many may come before.
    let small = Shape::new().plain().functions(1..=1);
    for seed in 0..4 * SEEDS {
        for shape in [&Shape::new(), &small] {
            for (_, function) in generate(shape, seed).program.iter() {
                occurrences(function.body(), &mut seen);
            }
        }
    }
    let expected = [
        "atomic_cas",
        "atomic_load",
        "atomic_rmw",
        "atomic_store",
        "bitcast",
        "br_table",
        "call",
        "call_indirect",
        "f128const",
        "f16const",
        "fma",
        "iconcat",
        "isplit",
        "istore8",
        "popcnt",
        "return_call",
        "return_call_indirect",
        "rotl",
        "sdiv",
        "select",
        "sequence_point",
        "sload32",
        "stack_addr",
        "trap",
        "trapnz",
        "trapz",
        "try_call",
        "try_call_indirect",
        "uadd_overflow",
        "uadd_overflow_trap",
        "vconst",
        // Types.
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "f16",
        "f32",
        "f64",
        "f128",
        "i8x16",
        "i16x8",
        "i32x4",
        "i64x2",
        "f32x4",
        "f64x2",
        // Calling conventions.
        "fast",
        "preserve_all",
        "system_v",
        "tail",
        // Other features.
        "alias",
        "cold",
        "context",
        "default",
        "extended",
        "key",
        "label",
        "large slot",
        "long table",
        "many handlers",
        "many parameters",
        "recursion",
        "region",
        "srcloc",
        "stack_limit",
        "stack_map",
        "tags",
        "two results",
        "unreachable, into two loops",
        "user name",
    ];
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !seen.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(seen.len() > 150, "{seen:?}");
}

/// Returns whether a block that nothing reaches branches into two loops.
fn enters_two_loops(func: &Function) -> bool {
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let is_header = |block: Block| {
        let mut sources = cfg.pred_iter(block).map(|from| from.block);
        sources.any(|from| domtree.is_reachable(from) && domtree.block_dominates(block, from))
    };
    let mut unreached = func
        .layout
        .blocks()
        .filter(|&block| !domtree.is_reachable(block));
    unreached.any(|block| cfg.succ_iter(block).filter(|&to| is_header(to)).count() > 1)
}

/// Records in `seen` the features of `func`, by name.
fn occurrences(func: &Function, seen: &mut BTreeSet<String>) {
    let mut note = |what: &dyn std::fmt::Display| seen.insert(what.to_string());
    let params = func.signature.params.iter().chain(&func.signature.returns);
    if params
        .clone()
        .any(|param| param.extension != ArgumentExtension::None)
    {
        note(&"extended");
    }
    note(&func.signature.call_conv);
    let facts = [
        ("two results", func.signature.returns.len() == 2),
        ("user name", matches!(func.name, UserFuncName::User(_))),
        ("stack_limit", func.stack_limit.is_some()),
        ("region", func.dfg.alias_regions.len() > 0),
        ("unreachable, into two loops", enters_two_loops(func)),
        (
            "large slot",
            func.sized_stack_slots.values().any(|slot| slot.size >= 500),
        ),
        (
            "long table",
            func.dfg
                .jump_tables
                .values()
                .any(|table| table.all_branches().len() > 40),
        ),
        (
            "many handlers",
            func.dfg
                .exception_tables
                .values()
                .any(|table| table.all_branches().len() > 10),
        ),
        ("many parameters", func.signature.params.len() > 16),
        (
            "key",
            func.sized_stack_slots
                .values()
                .any(|slot| slot.key.is_some()),
        ),
        (
            "label",
            func.dfg
                .values_labels
                .as_ref()
                .is_some_and(|labels| !labels.is_empty()),
        ),
        (
            "alias",
            func.dfg
                .values()
                .any(|value| func.dfg.value_is_alias(value)),
        ),
    ];
    for (name, _) in facts.iter().filter(|(_, there)| *there) {
        note(name);
    }
    for value in func.dfg.values() {
        note(&func.dfg.value_type(value));
    }
    for table in func.dfg.exception_tables.values() {
        for item in table.items() {
            match item {
                ExceptionTableItem::Context(_) => note(&"context"),
                ExceptionTableItem::Default(_) => note(&"default"),
                ExceptionTableItem::Tag(..) => note(&"tag"),
            };
        }
    }
    for data in func.dfg.ext_funcs.values() {
        let own = FunctionName::from(func.name.clone());
        let name = FunctionName::of_external(func, &data.name);
        if name == Some(own) {
            note(&"recursion");
        }
    }
    for block in func.layout.blocks() {
        if func.layout.is_cold(block) {
            note(&"cold");
        }
        for inst in func.layout.block_insts(block) {
            note(&func.dfg.insts[inst].opcode());
            if !func.srcloc(inst).is_default() {
                note(&"srcloc");
            }
            if func.debug_tags.has(inst) {
                note(&"tags");
            }
            if func.dfg.user_stack_map_entries(inst).is_some() {
                note(&"stack_map");
            }
        }
    }
}

#[test]
fn a_feature_that_is_left_out_does_not_occur() {
    let mut plain = BTreeSet::new();
    let mut without = BTreeSet::new();
    let mut with = BTreeSet::new();
    let no_exceptions = Shape::new().without(Feature::Exceptions);
    let overflow = Shape::new().with(Feature::BeyondRiscv64);
    for seed in 0..SEEDS {
        for (shape, seen) in [
            (Shape::new().plain(), &mut plain),
            (no_exceptions.clone(), &mut without),
            (overflow.clone(), &mut with),
        ] {
            for (_, function) in generate(&shape, seed).program.iter() {
                occurrences(function.body(), seen);
            }
        }
    }
    for absent in [
        "f64",
        "i128",
        "i32x4",
        "load",
        "stack_addr",
        "tail",
        "tags",
        "trap",
        "srcloc",
    ] {
        assert!(!plain.contains(absent), "{absent}");
    }
    assert!(plain.contains("call") && plain.contains("brif"));
    assert!(!without.contains("try_call") && without.contains("tags"));
    assert!(with.contains("smul_overflow"));
}
