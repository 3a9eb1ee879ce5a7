//! References that lead nowhere, in bodies that no verifier has seen, are refused.

use cranelift_codegen::ir::{Function, GlobalValue, GlobalValueData, Inst, InstructionData, types};
use cranelift_inliner::splice::{Callee, Checker, Refusal, SpliceContext, SpliceOptions, splice};

fn pair(text: &str) -> [Function; 2] {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    functions.try_into().map_err(|_| "two functions").unwrap()
}

fn first_inst(func: &Function) -> Inst {
    func.layout
        .first_inst(func.layout.entry_block().unwrap())
        .unwrap()
}

fn malformed(callee: &Function) -> String {
    match Callee::new(callee).map(drop) {
        Err(Refusal::MalformedCallee(why)) => why,
        other => panic!("{other:?}"),
    }
}

const PLAIN: &str = "
function %callee(i64 vmctx) -> i64 system_v {
    ss0 = explicit_slot 8
    gv0 = vmctx
    gv1 = iadd_imm.i64 gv0, 8
block0(v0: i64):
    v1 = symbol_value.i64 gv1
    v2 = stack_addr.i64 ss0
    return v1
}
function %caller(i64) -> i64 system_v {
    fn0 = %callee(i64 vmctx) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}";

#[test]
fn a_global_value_that_starts_from_none() {
    let [mut callee, _] = pair(PLAIN);
    let missing = GlobalValue::from_u32(50);
    callee.global_values[GlobalValue::from_u32(1)] = GlobalValueData::IAddImm {
        base: missing,
        offset: 8.into(),
        global_type: types::I64,
    };
    let why = malformed(&callee);
    assert!(why.contains("gv50"), "{why}");
}

#[test]
fn a_global_value_that_starts_from_itself() {
    let [mut callee, _] = pair(PLAIN);
    let itself = GlobalValue::from_u32(1);
    callee.global_values[itself] = GlobalValueData::IAddImm {
        base: itself,
        offset: 8.into(),
        global_type: types::I64,
    };
    let why = malformed(&callee);
    assert!(why.contains("gv1"), "{why}");
}

#[test]
fn a_slot_that_is_not_there() {
    let [mut callee, _] = pair(PLAIN);
    callee.sized_stack_slots.clear();
    let why = malformed(&callee);
    assert!(why.contains("ss0 does not exist"), "{why}");
}

#[test]
fn a_try_call_whose_table_has_another_signature() {
    let [callee, caller] = pair(
        "function %callee(i32) -> i32 tail {
         block0(v0: i32):
             return v0
         }
         function %caller(i32) -> i32 tail {
             sig0 = (i32) -> i32 tail
             sig1 = (i64) -> i32 tail
             fn0 = %callee sig0
         block0(v0: i32):
             try_call fn0(v0), sig1, block1(ret0), [ default: block2 ]
         block1(v1: i32):
             return v1
         block2:
             return v0
         }",
    );
    let mut func = caller.clone();
    let options = SpliceOptions::default();
    let refusal = splice(&mut func, first_inst(&caller), &callee, &options).unwrap_err();
    assert!(matches!(refusal, Refusal::MalformedCall(_)), "{refusal}");
    assert!(func == caller);
}

#[test]
fn a_checker_answers_like_a_session() {
    let [callee, mut caller] = pair(PLAIN);
    let callee = Callee::new(&callee).unwrap();
    let call = first_inst(&caller);
    let options = SpliceOptions::default();
    assert_eq!(Checker::new(&caller, &options).check(call, &callee), Ok(()));
    let end = caller
        .layout
        .last_inst(caller.layout.entry_block().unwrap())
        .unwrap();
    let no_call = Checker::new(&caller, &options).check(end, &callee);
    assert_eq!(no_call, Err(Refusal::NotADirectCall(end)));

    // A block without a terminator.
    caller.layout.remove_inst(end);
    let expected = SpliceContext::new()
        .session(&mut caller, &options)
        .check(call, &callee);
    assert!(matches!(expected, Err(Refusal::MalformedCaller(_))));
    assert_eq!(
        Checker::new(&caller, &options).check(call, &callee),
        expected
    );
}

#[test]
fn a_call_of_a_function_that_is_not_declared() {
    let [callee, mut caller] = pair(PLAIN);
    let call = first_inst(&caller);
    assert!(matches!(
        caller.dfg.insts[call],
        InstructionData::Call { .. }
    ));
    caller.dfg.ext_funcs.clear();
    let before = caller.clone();
    let options = SpliceOptions::default();
    let refusal = splice(&mut caller, call, &callee, &options).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::MalformedCall(_) | Refusal::MalformedCaller(_)
        ),
        "{refusal}"
    );
    assert!(caller == before);
}
