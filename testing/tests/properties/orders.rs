//! Functions whose calls were spliced one by one.

use arbitrary::Unstructured;
use cranelift_codegen::ir::Function;
use cranelift_inliner::decide::Always;
use cranelift_inliner::locations::{LocationMode, LocationTable};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner_testing::generate::Shape;
use cranelift_inliner_testing::orders::{OneByOne, seeded};
use std::collections::BTreeMap;

/// Returns how many instructions of each opcode have each chain of places.
fn chains(body: &Function, table: &LocationTable) -> BTreeMap<String, usize> {
    let mut chains = BTreeMap::new();
    let blocks = body.layout.blocks();
    for inst in blocks.flat_map(|block| body.layout.block_insts(block)) {
        let opcode = body.dfg.insts[inst].opcode();
        // Blocks are joined differently in several sessions.
        if opcode.is_branch() {
            continue;
        }
        let chain: Vec<String> = table
            .chain(body.srcloc(inst))
            .map(|place| place.to_string())
            .collect();
        let key = format!("{opcode} {}", chain.join(" in "));
        *chains.entry(key).or_default() += 1;
    }
    chains
}

#[test]
fn locations_do_not_depend_on_the_order_of_splices() {
    let inliner = Inliner::new(Always)
        .optimize(Optimize::None)
        .locations(LocationMode::InlinedAt);
    let (mut compared, mut several, mut other) = (0, 0, 0);
    for seed in 0..200_u64 {
        let bytes: Vec<u8> = (0..600_u64)
            .map(|at| {
                (seed * 600 + at)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .to_le_bytes()[7]
            })
            .collect();
        let generated = Shape::new().generate(&mut Unstructured::new(&bytes));
        let program = generated.unwrap().program;
        let inlined = inliner.run(&program).unwrap();
        let mut one_by_one = OneByOne::new(&program, &inlined, &inliner);
        for (id, function) in program.iter() {
            let Some(spliced) = one_by_one.splice(id, seeded(seed)).unwrap() else {
                continue;
            };
            let body = inlined.body(id).unwrap();
            several += usize::from(spliced.sessions > 1);
            other += usize::from(spliced.body.display().to_string() != body.display().to_string());
            if !spliced.lost {
                let expected = chains(body, inlined.locations(id).unwrap());
                let actual = chains(&spliced.body, &spliced.locations.unwrap());
                assert_eq!(actual, expected, "seed {seed}, {}", function.name());
                compared += 1;
            }
        }
    }
    assert!(
        compared > 50 && several > 20 && other > 20,
        "{compared} {several} {other}"
    );
}
