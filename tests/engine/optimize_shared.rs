//! Functions made by builders, in which two branches share entities that text gives to each of
//! them.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AbiParam, Block, Function, InstBuilder, JumpTableData, MemFlagsData, Signature, StackSlotData,
    StackSlotKind, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::{settings, verify_function};
use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, optimize};

/// Two `br_table`s with one table, whose entries are one list of arguments: if a value is passed to
/// their target, each edge gets that of its own block.
#[test]
fn branches_that_share_a_table_pass_their_own_values() {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params = vec![AbiParam::new(types::I32); 3];
    signature.returns = vec![AbiParam::new(types::I32)];
    let mut func = Function::with_name_signature(Default::default(), signature);
    let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, 4, 2);
    let slot = func.create_sized_stack_slot(slot);
    let blocks = [(); 5].map(|()| func.dfg.make_block());
    let [entry, one, other, last, end] = blocks;
    for block in blocks {
        func.layout.append_block(block);
    }
    let [choice, a, b] = [(); 3].map(|()| func.dfg.append_block_param(entry, types::I32));
    let call = func.dfg.block_call(last, &[]);
    let to_end = func.dfg.block_call(end, &[]);
    let table = JumpTableData::new(to_end, &[call; 3]);
    let table = func.create_jump_table(table);
    let mut cursor = FuncCursor::new(&mut func).at_bottom(entry);
    let address = cursor.ins().stack_addr(types::I64, slot, 0);
    let flags = MemFlagsData::new();
    cursor.ins().store(flags, choice, address, 0);
    cursor.ins().brif(choice, one, &[], other, &[]);
    for (block, value) in [(one, a), (other, b)] {
        cursor.goto_bottom(block);
        cursor.ins().store(flags, value, address, 0);
        cursor.ins().br_table(value, table);
    }
    cursor.goto_bottom(last);
    let loaded = cursor.ins().load(types::I32, flags, address, 0);
    cursor.ins().return_(&[loaded]);
    cursor.goto_bottom(end);
    cursor.ins().return_(&[choice]);

    let options = OptimizeOptions::default();
    let stats = optimize(&mut func, &options, &mut CleanupContext::new());
    assert_eq!(stats.slots_promoted, 1);
    let shared = settings::Flags::new(settings::builder());
    verify_function(&func, &shared).unwrap();
    let text = func.to_string();
    let passed = |block: Block, value| {
        let last = func.layout.last_inst(block).unwrap();
        let shown = func.dfg.display_inst(last).to_string();
        let expected = format!("[{0}({value}), {0}({value}), {0}({value})]", "block3");
        assert!(shown.contains(&expected), "{text}");
    };
    passed(one, a);
    passed(other, b);
}
