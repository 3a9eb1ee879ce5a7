//! The cost of one splice in a block with N calls, which should not depend on N.
//!
//! ```text
//! cargo bench --bench linear
//! ```
//!
//! Criterion prints the throughput in calls, which should be the same for each N. The time includes
//! the session's single walk over the caller, but not the construction of the caller. Large callers
//! exceed the processor's caches, so the machine causes some loss of throughput.

use cranelift_codegen::ir::{Function, Inst};
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::fmt::Write;
use std::hint::black_box;

const CALLEE: &str = "function %callee(i32) -> i32 fast {
block0(v0: i32):
    v1 = imul v0, v0
    v2 = iadd v1, v0
    return v2
}";

const BRANCHING_CALLEE: &str = "function %callee(i32) -> i32 fast {
block0(v0: i32):
    brif v0, block1, block2
block1:
    v1 = imul v0, v0
    return v1
block2:
    v2 = bnot v0
    return v2
}";

fn function(text: &str) -> Function {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    functions.into_iter().next().unwrap()
}

/// Makes a caller with `count` calls in one block.
fn caller(count: usize) -> (Function, Vec<Inst>) {
    let mut text = "function %caller(i32) -> i32 fast {
    fn0 = %callee(i32) -> i32 fast
block0(v0: i32):\n"
        .to_owned();
    for number in 0..count {
        writeln!(text, "    v{} = call fn0(v{number})", number + 1).unwrap();
    }
    writeln!(text, "    return v{count}\n}}").unwrap();
    let caller = function(&text);
    let block = caller.layout.entry_block().unwrap();
    let insts = caller.layout.block_insts(block);
    let calls = insts
        .filter(|&inst| caller.dfg.insts[inst].opcode().is_call())
        .collect();
    (caller, calls)
}

fn calls_in_one_block(criterion: &mut Criterion) {
    for (name, callee) in [("straight", CALLEE), ("branching", BRANCHING_CALLEE)] {
        let callee = function(callee);
        let callee = Callee::new(&callee).unwrap();
        let options = SpliceOptions::default();
        let mut group = criterion.benchmark_group(format!("calls_in_one_block/{name}"));
        for count in [400, 4_000, 40_000] {
            let (caller, calls) = caller(count);
            let mut context = SpliceContext::new();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter_batched_ref(
                    || caller.clone(),
                    |caller| {
                        let mut session = context.session(caller, &options);
                        for &call in &calls {
                            black_box(session.splice(call, &callee).unwrap());
                        }
                        session.finish();
                    },
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, calls_in_one_block);
criterion_main!(benches);
