//! Programs whose calls have debug tags: a slot, the number of the function, and the line.

use crate::programs::{Lines, SLOT_KEYS, Subject};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    DebugTag, Function, Inst, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKey,
    StackSlotKind, types,
};
use cranelift_inliner_testing::generate::Generated;
use std::sync::Arc;

/// Returns the program with a slot in each function, which holds the function's number, and tags on
/// each call. A call that does not return has an empty frame.
pub(super) fn tagged(generated: &Generated) -> Option<Subject> {
    let mut slots = Vec::new();
    let program = generated.program.with_bodies(|_, function| {
        let mut body = Function::clone(function.body());
        slots.push(add_slot(&mut body, slots.len() as u64));
        Some(Arc::new(body))
    });
    let generated = Generated {
        program: program.unwrap(),
        invocations: generated.invocations.clone(),
    };
    let mut subject = Subject::new(&generated, Lines::Unique)?;
    subject.is_tagged = true;
    let mut numbers = 0..;
    let program = subject.program.with_bodies(|_, function| {
        let number = numbers.next().unwrap();
        let mut body = Function::clone(function.body());
        tag(&mut body, slots[number], number as u32);
        Some(Arc::new(body))
    });
    subject.program = program.unwrap();
    Some(subject)
}

fn add_slot(body: &mut Function, number: u64) -> StackSlot {
    let key = StackSlotKey::new(SLOT_KEYS + number);
    let data = StackSlotData::new_with_key(StackSlotKind::ExplicitSlot, 8, 3, key);
    let slot = body.create_sized_stack_slot(data);
    let entry = body.layout.entry_block().unwrap();
    let mut cursor = FuncCursor::new(body);
    cursor.goto_first_insertion_point(entry);
    let value = cursor.ins().iconst(types::I64, number as i64);
    let address = cursor.ins().stack_addr(types::I64, slot, 0);
    let flags = MemFlagsData::trusted();
    cursor.ins().store(flags, value, address, 0);
    slot
}

fn tag(body: &mut Function, slot: StackSlot, number: u32) {
    body.debug_tags.clear();
    let blocks = body.layout.blocks();
    let insts: Vec<Inst> = blocks
        .flat_map(|block| body.layout.block_insts(block))
        .collect();
    for inst in insts {
        let opcode = body.dfg.insts[inst].opcode();
        let line = body.srcloc(inst).bits();
        if opcode.is_call() {
            let tags = match opcode.is_return() {
                true => vec![DebugTag::User(0)],
                false => vec![
                    DebugTag::User(3),
                    DebugTag::StackSlot(slot),
                    DebugTag::User(number),
                    DebugTag::User(line),
                ],
            };
            body.debug_tags.set(inst, tags);
        }
    }
}
