//! Branches on conditions that constant arguments decide: clean-up takes the edge that the program
//! would take, and the checker agrees.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstructionData, Opcode};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;

/// Inlines `%choose` into `%main` with constant arguments, and returns the result of `%main`.
/// `%choose` returns 10 if `condition` computes another value than 0 from `v0` and `v1`, and 20
/// otherwise.
fn chosen(types: [&str; 2], condition: &str, arguments: [i64; 2]) -> i64 {
    let [a, b] = types;
    let [x, y] = arguments;
    let text = format!(
        "function %choose({a}, {b}) -> i32 system_v {{
         block0(v0: {a}, v1: {b}):
             {condition}
             brif v9, block1, block2
         block1:
             v10 = iconst.i32 10
             return v10
         block2:
             v20 = iconst.i32 20
             return v20
         }}
         function %main() -> i32 system_v {{
             fn0 = %choose({a}, {b}) -> i32 system_v
         block0:
             v0 = iconst.{a} {x}
             v1 = iconst.{b} {y}
             v2 = call fn0(v0, v1)
             return v2
         }}"
    );
    let program = Program::from_clif(&text, "test").unwrap();
    let inlined = Inliner::new(Always).check(true).run(&program).unwrap();
    let main = program.id(&"%main".parse().unwrap()).unwrap();
    let body = inlined.body(main).unwrap();
    assert_eq!(body.layout.blocks().count(), 1, "{body}");
    let entry = body.layout.entry_block().unwrap();
    let end = body.layout.last_inst(entry).unwrap();
    let returned = body.dfg.resolve_aliases(body.dfg.inst_args(end)[0]);
    let made_by = body.dfg.value_def(returned).unwrap_inst();
    let InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm,
    } = body.dfg.insts[made_by]
    else {
        panic!("{body}");
    };
    imm.bits()
}

#[test]
fn every_comparison_is_decided_as_it_would_be_executed() {
    // -128, -1, 0, 1 and 127 as CLIF wants them: without bits beyond the type.
    let numbers = [0x80, 0xff, 0, 1, 0x7f];
    for condition in IntCC::all() {
        for x in numbers {
            for y in numbers {
                let (sx, sy) = (x as u8 as i8, y as u8 as i8);
                let holds = match condition {
                    IntCC::Equal => x == y,
                    IntCC::NotEqual => x != y,
                    IntCC::SignedLessThan => sx < sy,
                    IntCC::SignedLessThanOrEqual => sx <= sy,
                    IntCC::SignedGreaterThan => sx > sy,
                    IntCC::SignedGreaterThanOrEqual => sx >= sy,
                    IntCC::UnsignedLessThan => x < y,
                    IntCC::UnsignedLessThanOrEqual => x <= y,
                    IntCC::UnsignedGreaterThan => x > y,
                    IntCC::UnsignedGreaterThanOrEqual => x >= y,
                };
                let compare = format!("v9 = icmp {condition} v0, v1");
                let expected = if holds { 10 } else { 20 };
                let found = chosen(["i8", "i8"], &compare, [x, y]);
                assert_eq!(found, expected, "{condition} {x:#x} {y:#x}");
            }
        }
    }
}

#[test]
fn extensions_and_truncations_are_followed() {
    for (types, condition, arguments, expected) in [
        (
            ["i8", "i32"],
            "v2 = uextend.i32 v0\n v9 = icmp eq v2, v1",
            [0xff, 0xff],
            10,
        ),
        (
            ["i8", "i32"],
            "v2 = sextend.i32 v0\n v9 = icmp eq v2, v1",
            [0xff, 0xff],
            20,
        ),
        (
            ["i8", "i32"],
            "v2 = sextend.i32 v0\n v9 = icmp eq v2, v1",
            [0xff, 0xffff_ffff],
            10,
        ),
        (
            ["i8", "i32"],
            "v2 = sextend.i32 v0\n v9 = icmp slt v2, v1",
            [0x80, 0],
            10,
        ),
        (
            ["i8", "i32"],
            "v2 = uextend.i32 v0\n v9 = icmp slt v2, v1",
            [0x80, 0],
            20,
        ),
        (
            ["i32", "i8"],
            "v2 = ireduce.i8 v0\n v9 = icmp eq v2, v1",
            [0x1_05, 5],
            10,
        ),
        (
            ["i32", "i8"],
            "v2 = ireduce.i8 v0\n v9 = icmp ne v2, v1",
            [0x1_05, 5],
            20,
        ),
        (["i64", "i64"], "v9 = icmp slt v0, v1", [-1, 1], 10),
        (["i64", "i64"], "v9 = icmp ult v0, v1", [-1, 1], 20),
        (["i16", "i8"], "v9 = ireduce.i8 v0", [0x100, 0], 20),
        (["i16", "i8"], "v9 = uextend.i64 v0", [0x100, 0], 10),
    ] {
        let found = chosen(types, condition, arguments);
        assert_eq!(found, expected, "{condition} of {arguments:x?}");
    }
}
