//! Bodies that were not verified: an answer, and no panic.

use crate::support::read;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    Block, BlockCall, FuncRef, Function, Inst, InstructionData, StackSlot, Value,
};
use cranelift_inliner::check::{Alone, check_optimized};

const TEXT: &str = "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    sig0 = (i32) -> i32 system_v
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    store v0, v2
    v3 = load.i32 v2
    brif v3, block1(v3), block2
block1(v4: i32):
    v5 = call fn0(v4)
    br_table v5, block2, [block1(v5)]
block2:
    try_call fn0(v0), sig0, block3(ret0), [ default: block4 ]
block3(v6: i32):
    return v6
block4:
    trap user1
}";

fn check_both_ways(broken: &Function) {
    let sound = read(TEXT).unwrap();
    assert!(check_optimized(&sound, broken, &Alone(None)).is_err());
    // The broken part may be one that is not read.
    let _ = check_optimized(broken, &sound, &Alone(None));
    let _ = check_optimized(broken, broken, &Alone(None));
}

fn insts(func: &Function) -> Vec<Inst> {
    let blocks = func.layout.blocks();
    blocks
        .flat_map(|block| func.layout.block_insts(block))
        .collect()
}

#[test]
fn an_empty_function() {
    check_both_ways(&Function::new());
}

#[test]
fn operands_that_do_not_exist() {
    for inst in insts(&read(TEXT).unwrap()) {
        let mut func = read(TEXT).unwrap();
        let args = func.dfg.inst_args_mut(inst);
        if let Some(arg) = args.first_mut() {
            *arg = Value::new(1000);
            check_both_ways(&func);
        }
    }
}

#[test]
fn blocks_without_instructions_or_end() {
    for inst in insts(&read(TEXT).unwrap()) {
        let mut func = read(TEXT).unwrap();
        func.layout.remove_inst(inst);
        let _ = check_optimized(&read(TEXT).unwrap(), &func, &Alone(None));
        let _ = check_optimized(&func, &read(TEXT).unwrap(), &Alone(None));
    }
}

#[test]
fn entities_that_do_not_exist() {
    for inst in insts(&read(TEXT).unwrap()) {
        let mut func = read(TEXT).unwrap();
        let nowhere = BlockCall::new(Block::new(77), [], &mut func.dfg.value_lists);
        match &mut func.dfg.insts[inst] {
            InstructionData::StackAddr { stack_slot, .. } => *stack_slot = StackSlot::new(77),
            InstructionData::Call { func_ref, .. } | InstructionData::TryCall { func_ref, .. } => {
                *func_ref = FuncRef::new(77);
            }
            InstructionData::Brif { blocks, .. } => blocks[0] = nowhere,
            _ => continue,
        }
        check_both_ways(&func);
    }
}

#[test]
fn edges_that_pass_other_numbers_of_values() {
    let text = TEXT.replace("brif v3, block1(v3), block2", "brif v3, block1, block2");
    check_both_ways(&read(&text).unwrap());
    let text = TEXT.replace("[block1(v5)]", "[block1(v5, v5)]");
    check_both_ways(&read(&text).unwrap());
}
