//! Edges have lists of arguments of their own: Cranelift changes the arguments of each edge in
//! place.

use arbitrary::Unstructured;
use cranelift_codegen::ir::{Function, Value};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner_testing::generate::Shape;
use std::collections::BTreeSet;

/// Returns the instructions with an argument that changes more than once if each is to change once.
fn sharing(function: &Function) -> BTreeSet<String> {
    let mut function = function.clone();
    // No function has this one.
    let changed = Value::from_u32((1 << 30) - 1);
    let blocks: Vec<_> = function.layout.blocks().collect();
    let mut found = BTreeSet::new();
    for block in blocks {
        let insts: Vec<_> = function.layout.block_insts(block).collect();
        for inst in insts {
            let shown = function.dfg.display_inst(inst).to_string();
            function.dfg.map_inst_values(inst, |value| {
                if value == changed {
                    found.insert(shown.clone());
                }
                changed
            });
        }
    }
    found
}

#[test]
fn no_edges_share_a_list_before_and_after_inlining() {
    let shape = Shape::new();
    let inliner = Inliner::new(Always).optimize(Optimize::All);
    let mut long = 0;
    for seed in 0..600_u64 {
        let bytes: Vec<u8> = (0..900_u64)
            .map(|at| {
                (seed * 900 + at)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .to_le_bytes()[7]
            })
            .collect();
        let generated = shape.generate(&mut Unstructured::new(&bytes)).unwrap();
        let program = &generated.program;
        let inlined = inliner.run(program).unwrap();
        for (id, function) in program.iter() {
            let body = function.body();
            let tables = body.dfg.jump_tables.values();
            long += tables.filter(|table| table.as_slice().len() > 8).count();
            assert_eq!(sharing(body), BTreeSet::new(), "seed {seed}");
            let body = inlined.body(id).unwrap();
            assert_eq!(sharing(body), BTreeSet::new(), "seed {seed}, inlined");
        }
    }
    assert!(long > 0);
}
