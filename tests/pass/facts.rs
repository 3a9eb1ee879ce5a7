//! The facts about a call site that a policy sees are true.

use super::support::{name, program_exporting, run};
use cranelift_codegen::ir::Opcode;
use cranelift_inliner::decide::{Argument, CallSite, Decision};
use cranelift_inliner::graph::{CallKind, Recursion};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Linkage;
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Debug, PartialEq)]
struct Facts {
    kind: CallKind,
    loop_depth: u32,
    cold: bool,
    arguments: Vec<Argument>,
}

/// Keeps every call and returns the facts by the call's source location.
fn facts(text: &str, exported: &[&str]) -> BTreeMap<u32, Facts> {
    let program = program_exporting(text, exported);
    let seen = Mutex::new(BTreeMap::new());
    let policy = |site: &CallSite<'_>| {
        let facts = Facts {
            kind: site.kind(),
            loop_depth: site.loop_depth(),
            cold: site.is_cold(),
            arguments: site.arguments().collect(),
        };
        assert_eq!(site.arguments().len(), site.args().len());
        seen.lock().unwrap().insert(site.srcloc().bits(), facts);
        Decision::keep("only looking")
    };
    run(Inliner::new(policy), &program);
    seen.into_inner().unwrap()
}

const CALLEE: &str = "
function %f(i64) -> i64 tail {
block0(v0: i64):
    return v0
}";

#[test]
fn loops_and_coldness_are_those_of_the_calls_block() {
    let text = format!(
        "{CALLEE}
        function %main(i64) -> i64 tail {{
            sig0 = (i64) -> i64 tail
            fn0 = %f sig0
        block0(v0: i64):
        @0001    v1 = call fn0(v0)
            jump block1
        block1:
        @0002    v2 = call fn0(v0)
            jump block2
        block2:
        @0003    v3 = call fn0(v0)
            brif v3, block2, block3
        block3:
            brif v2, block1, block4
        block4 cold:
        @0004    v4 = call fn0(v0)
            brif v4, block5, block6
        block5:
        @0005    v5 = call fn0(v0)
            trap user1
        block6:
        @0006    try_call fn0(v0), sig0, block7(ret0), []
        block7(v6: i64):
        @0007    return_call fn0(v6)
        }}"
    );
    let facts = facts(&text, &["main"]);
    let of = |line: u32| {
        let facts = &facts[&line];
        (facts.kind, facts.loop_depth, facts.cold)
    };
    assert_eq!(of(1), (CallKind::Call, 0, false));
    assert_eq!(of(2), (CallKind::Call, 1, false));
    assert_eq!(of(3), (CallKind::Call, 2, false));
    assert_eq!(of(4), (CallKind::Call, 0, true), "the block is marked");
    assert_eq!(of(5), (CallKind::Call, 0, true), "the block ends in a trap");
    assert_eq!(of(6), (CallKind::TryCall, 0, false));
    assert_eq!(of(7), (CallKind::ReturnCall, 0, false));
}

/// An unreachable block that branches into two loops used to take all memory.
#[test]
fn unreachable_blocks_make_no_loop() {
    let text = format!(
        "{CALLEE}
        function %main(i64) tail {{
            fn0 = %f(i64) -> i64 tail
        block0(v0: i64):
            jump block1
        block1:
        @0001    v1 = call fn0(v0)
            brif v0, block2, block5
        block2:
        @0002    v2 = call fn0(v0)
            brif v0, block1, block3
        block3:
        @0003    v3 = call fn0(v0)
            jump block2
        block4:
        @0004    v4 = call fn0(v0)
            jump block5
        block5:
        @0005    v5 = call fn0(v0)
            jump block4
        block9:
        @0009    v9 = call fn0(v0)
            brif v0, block4, block3
        block10:
        @0010    v10 = call fn0(v0)
            brif v0, block10, block2
        }}"
    );
    let facts = facts(&text, &["main"]);
    let depths = facts.iter().map(|(&line, facts)| (line, facts.loop_depth));
    let expected = [(1, 1), (2, 2), (3, 2), (4, 1), (5, 1), (9, 0), (16, 0)];
    assert_eq!(depths.collect::<Vec<_>>(), expected);
}

#[test]
fn arguments_are_described_by_their_definitions() {
    let text = "
        function %f(i64, f32, i64, i64, i64, i64, i8x16) fast {
        block0(v0: i64, v1: f32, v2: i64, v3: i64, v4: i64, v5: i64, v6: i8x16):
            return
        }
        function %main(i64) fast {
            ss0 = explicit_slot 8
            gv0 = symbol %data
            fn0 = %f(i64, f32, i64, i64, i64, i64, i8x16) fast
        block0(v0: i64):
            v1 = iconst.i64 -3
            v10 -> v1
            v2 = f32const 0x1.0
            v3 = func_addr.i64 fn0
            v4 = stack_addr.i64 ss0
            v5 = symbol_value.i64 gv0
            v6 = iadd v0, v0
            v7 = vconst.i8x16 0x01
        @0001    call fn0(v10, v2, v3, v4, v5, v6, v7)
            return
        }";
    let facts = facts(text, &["main"]);
    assert_eq!(
        facts[&1].arguments,
        [
            Argument::Int(-3),
            Argument::OtherConstant,
            Argument::FunctionAddress,
            Argument::Address,
            Argument::Address,
            Argument::Unknown,
            Argument::OtherConstant,
        ]
    );
    let constant: Vec<bool> = facts[&1]
        .arguments
        .iter()
        .map(|a| a.is_constant())
        .collect();
    assert_eq!(constant, [true, true, true, false, false, false, true]);
}

#[test]
fn the_summary_is_that_of_the_finished_callee() {
    let text = "
        function %leaf(i64) -> i64 fast {
            ss0 = explicit_slot 24
        block0(v0: i64):
            v1 = stack_addr.i64 ss0
            store v0, v1
            v2 = load.i64 v1
            return v2
        }
        function %loops(i64, i64) -> i64 fast {
            ss0 = explicit_slot 8
            sig0 = (i64) -> i64 fast
            fn0 = %leaf sig0
            fn1 = %outside sig0
        block0(v0: i64, v1: i64):
            v9 = stack_addr.i64 ss0
            store v0, v9
            jump block1(v0)
        block1(v2: i64):
            v3 = call fn0(v2)
            v4 = call fn1(v3)
            v5 = call_indirect sig0, v1(v4)
            v6 = iadd v5, v5
            v7 = icmp eq v6, v5
            brif v7, block2, block3
        block2:
            return v6
        block3:
            brif v6, block1(v6), block4
        block4:
            return v0
        }
        function %main(i64, i64) -> i64 fast {
            sig0 = (i64, i64) -> i64 fast
            fn0 = %loops sig0
        block0(v0: i64, v1: i64):
        @0001    v2 = call fn0(v0, v1)
        @0002    v3 = call fn0(v2, v1)
            return v3
        }";
    let program = program_exporting(text, &["main"]);
    let looked = Mutex::new(0);
    let policy = |site: &CallSite<'_>| {
        if *site.callee_name() != name("loops") {
            return Decision::inline("its leaf");
        }
        let summary = site.summary();
        // Its twelve own instructions; the leaf came with four and replaced one.
        assert_eq!(summary.insts(), 14);
        assert_eq!(summary.blocks(), 5);
        assert_eq!(summary.loops(), 1);
        assert_eq!(summary.calls(), 2, "one external, one indirect");
        assert_eq!(summary.returns(), 2);
        assert_eq!(summary.slot_bytes(), 32);
        assert_eq!(summary.call_sites(), 2);
        assert_eq!(summary.linkage(), Linkage::Local);
        assert_eq!(summary.recursion(), Recursion::None);
        assert!(!summary.is_address_taken() && !summary.has_sole_call_site());
        let parameters = summary.parameters();
        assert_eq!(parameters.len(), 2);
        assert_eq!(parameters[0].indirect_calls, 0);
        assert_eq!(parameters[1].indirect_calls, 1);
        assert_eq!(parameters[1].uses, 1);

        assert_eq!(site.caller_name(), &name("main"));
        assert_eq!(site.opcode(), Opcode::Call);
        assert_eq!(site.caller_insts_at_start(), 3);
        let line = site.srcloc().bits() as usize;
        assert_eq!(site.caller_insts(), 3 + 14 * (line - 1));
        assert_eq!(site.depth(), 0);
        assert_eq!(
            site.caller().layout.inst_block(site.call()),
            Some(site.block())
        );
        *looked.lock().unwrap() += 1;
        Decision::inline("looked at")
    };
    run(Inliner::new(policy).optimize(Optimize::None), &program);
    assert_eq!(looked.into_inner().unwrap(), 2);
}
