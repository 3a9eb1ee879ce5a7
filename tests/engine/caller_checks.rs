//! The parts of its caller that a session reads, and those that it leaves alone.

use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Block, DebugTag, Function, Inst, StackSlot};
use cranelift_inliner::splice::{Callee, Refusal, SpliceContext, SpliceOptions, splice};

fn functions(text: &str) -> Vec<Function> {
    cranelift_reader::parse_functions(text).unwrap()
}

fn last_block(func: &Function) -> Block {
    func.layout.last_block().unwrap()
}

fn first_call(func: &Function) -> Inst {
    func.layout
        .first_inst(func.layout.entry_block().unwrap())
        .unwrap()
}

const PLAIN: &str = "
function %callee(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iadd v0, v0
    return v1
}";

const WITH_SLOT: &str = "
function %callee(i32) -> i32 system_v {
    ss0 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = load.i32 v1
    return v2
}";

const LEAVES: &str = "
function %callee(i32) -> i32 system_v {
block0(v0: i32):
    trap user1
}";

const LEAVES_LATER: &str = "
function %callee(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iadd v0, v0
    v2 = iadd v1, v1
    trap user1
}";

/// Returns the caller with its call in the first of three blocks.
fn caller() -> Function {
    functions(
        "function %caller(i32) -> i32 system_v {
             sig0 = () system_v
             fn0 = %callee(i32) -> i32 system_v
             fn1 = %other sig0
         block0(v0: i32):
             v1 = call fn0(v0)
             brif v1, block1, block2
         block1:
             return v1
         block2:
             call fn1()
             return v0
         }",
    )
    .remove(0)
}

/// Returns the outcome of splicing `callee` into `caller`; a refusal has changed nothing.
fn spliced(caller: &Function, callee: &str) -> Result<Function, Refusal> {
    let callee = &functions(callee)[0];
    let mut func = caller.clone();
    let call = first_call(caller);
    match splice(&mut func, call, callee, &SpliceOptions::default()) {
        Ok(()) => Ok(func),
        Err(refusal) => {
            assert!(func == *caller);
            Err(refusal)
        }
    }
}

#[test]
fn blocks_without_a_call_to_be_replaced_may_be_anything() {
    let mut broken = caller();
    let block = last_block(&broken);
    let end = broken.layout.last_inst(block).unwrap();
    broken.layout.remove_inst(end);
    let after = spliced(&broken, PLAIN).unwrap();
    assert_eq!(
        after.layout.last_inst(block),
        broken.layout.last_inst(block)
    );
    assert!(after.to_string().contains("= iadd v0, v0"), "{after}");
}

#[test]
fn entities_that_are_only_in_the_layout_keep_their_numbers() {
    for ahead in 0..4 {
        let mut broken = caller();
        let block = last_block(&broken);
        let missing = Inst::new(broken.dfg.num_insts() + ahead);
        broken.layout.append_inst(missing, block);
        // One instruction is copied, and one jump is made on the way.
        let refusal = spliced(&broken, PLAIN);
        let is_refused = matches!(refusal, Err(Refusal::MalformedCaller(_)));
        assert!(is_refused || ahead > 1, "{ahead}");

        // Of a callee without a `return`, each instruction is copied.
        let refusal = spliced(&broken, LEAVES_LATER);
        let is_refused = matches!(refusal, Err(Refusal::MalformedCaller(_)));
        assert!(is_refused || ahead > 2, "{ahead}");

        let mut broken = caller();
        let missing = Block::new(broken.dfg.num_blocks() + ahead);
        broken.layout.append_block(missing);
        let refusal = spliced(&broken, PLAIN);
        let is_refused = matches!(refusal, Err(Refusal::MalformedCaller(_)));
        assert!(is_refused || ahead > 0, "{ahead}");
    }
}

#[test]
fn numbers_are_looked_up_for_later_copies_as_well() {
    let mut broken = caller();
    let block = broken.layout.entry_block().unwrap();
    let call = first_call(&broken);
    for _ in 0..20 {
        let data = broken.dfg.insts[call];
        let copy = broken.dfg.make_inst(data);
        broken
            .dfg
            .make_inst_results(copy, cranelift_codegen::ir::types::INVALID);
        broken.layout.insert_inst(copy, call);
    }
    // Beyond the first copy's instructions, and not beyond the last one's.
    let missing = Inst::new(broken.dfg.num_insts() + 15);
    let end = last_block(&broken);
    broken.layout.append_inst(missing, end);

    let calls: Vec<Inst> = broken.layout.block_insts(block).take(21).collect();
    let callee = functions(PLAIN).remove(0);
    let callee = Callee::new(&callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut broken, &options);
    let results: Vec<bool> = calls
        .iter()
        .map(|&call| session.splice(call, &callee).is_ok())
        .collect();
    session.finish();
    assert!(results[0], "{results:?}");
    assert!(!results[20], "{results:?}");
    assert_eq!(broken.layout.inst_block(missing), Some(end));
    assert_eq!(broken.layout.last_inst(end), Some(missing));
}

#[test]
fn a_new_slot_takes_the_place_of_none_that_a_tag_names() {
    let mut broken = caller();
    let other = broken.layout.first_inst(last_block(&broken)).unwrap();
    let tag = DebugTag::StackSlot(StackSlot::new(0));
    broken.debug_tags.set(other, [tag]);
    assert!(spliced(&broken, PLAIN).is_ok());
    let refusal = spliced(&broken, WITH_SLOT).unwrap_err();
    assert_eq!(refusal.slug(), "malformed-caller");
}

#[test]
fn blocks_that_branches_lead_to_go_only_where_they_can_be_read() {
    // Nothing reaches the blocks behind a call that does not return.
    let after = spliced(&caller(), LEAVES).unwrap();
    assert_eq!(after.layout.blocks().count(), 1);

    let mut broken = caller();
    let gone = last_block(&broken);
    broken.layout.remove_block_and_insts(gone);
    let after = spliced(&broken, LEAVES).unwrap();
    assert_eq!(after.layout.blocks().count(), 1);
}

#[test]
fn a_call_in_a_block_that_is_only_in_the_layout_is_refused() {
    let mut broken = caller();
    let call = first_call(&broken);
    let missing = Block::new(500);
    broken.layout.append_block(missing);
    let block = broken.layout.entry_block().unwrap();
    let end = broken.layout.last_inst(block).unwrap();
    for inst in [call, end] {
        broken.layout.remove_inst(inst);
        broken.layout.append_inst(inst, missing);
    }
    let callee = &functions(PLAIN)[0];
    let before = broken.clone();
    let refusal = splice(&mut broken, call, callee, &SpliceOptions::default()).unwrap_err();
    assert_eq!(refusal.slug(), "malformed-caller");
    assert!(broken == before);
}

/// The blocks after calls that get the handlers of the `try_call` around them are new; no malformed
/// block is reused.
#[test]
fn blocks_that_a_copy_adds_are_not_taken_for_missing_ones() {
    let callees = functions(
        "function %catches() system_v {
             sig0 = () system_v
             fn0 = %calls sig0
         block0:
             try_call fn0(), sig0, block1, [ default: block2 ]
         block1:
             return
         block2:
             return
         }
         function %calls() system_v {
             sig0 = () system_v
         block0:
             v0 = iconst.i64 0
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             call_indirect sig0, v0()
             return
         }",
    );
    let mut caller = functions(
        "function %caller() system_v {
             fn0 = %catches() system_v
         block0:
             call fn0()
             call fn0()
             return
         }",
    )
    .remove(0);
    let entry = caller.layout.entry_block().unwrap();
    let calls: Vec<Inst> = caller.layout.block_insts(entry).take(2).collect();
    let [catches, inner] = [0, 1].map(|index| Callee::new(&callees[index]).unwrap());
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut caller, &options);
    for call in calls {
        let came_in = session.splice(call, &catches).unwrap()[0].inst;
        session.splice(came_in, &inner).unwrap();
    }
    session.finish();
    cranelift_codegen::verify_function(
        &caller,
        &cranelift_codegen::settings::Flags::new(cranelift_codegen::settings::builder()),
    )
    .unwrap();
}
