//! Invalid CLIF is refused, and the refusal names the defect.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::ir::{AbiParam, Function, Inst, InstructionData, Opcode, SigRef, types};
use cranelift_inliner::splice::{Callee, Refusal, SpliceOptions, splice};

fn parse(text: &str) -> Vec<Function> {
    cranelift_reader::parse_functions(text).unwrap()
}

fn inst(func: &Function, index: usize) -> Inst {
    let mut insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    insts.nth(index).unwrap()
}

/// Returns the error about the first function of `text` after `change`.
fn told(text: &str, change: impl FnOnce(&mut Function)) -> String {
    let mut callee = parse(text).remove(0);
    assert!(Callee::new(&callee).is_ok(), "{callee}");
    change(&mut callee);
    match Callee::new(&callee).map(drop) {
        Err(Refusal::MalformedCallee(why)) => why,
        other => panic!("{other:?}: {callee}"),
    }
}

/// Returns the error about the first function of `text`, which is malformed as it is.
fn told_at_once(text: &str) -> String {
    match Callee::new(&parse(text)[0]).map(drop) {
        Err(Refusal::MalformedCallee(why)) => why,
        other => panic!("{other:?}: {text}"),
    }
}

#[test]
fn a_body_that_is_not_its_signatures() {
    let params = "the entry block's parameters are not the signature's";
    for (signature, block) in [
        ("i32, i32", "v0: i32"),
        ("i32", "v0: i32, v1: i32"),
        ("i32", "v0: i64"),
    ] {
        let text = format!("function %f({signature}) tail {{\nblock0({block}):\n return\n}}");
        assert_eq!(told_at_once(&text), params);
    }
    let returns = "inst0 does not return the types of the signature";
    for (signature, end) in [
        ("i32, i32", "return v0"),
        ("i32", "return v0, v0"),
        ("i64", "return v0"),
        ("i64", "return_call fn0(v0)"),
        ("i32, i32", "return_call fn0(v0)"),
    ] {
        let text = format!(
            "function %f(i32) -> {signature} tail {{
                 fn0 = %g(i32) -> i32 tail
             block0(v0: i32):
                 {end}
             }}"
        );
        assert_eq!(told_at_once(&text), returns);
    }
}

const TWO_CALLS: &str = "
function %f(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    sig1 = (i32) -> i32 system_v
    fn0 = %g sig0
    fn1 = %h sig1
block0(v0: i32):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}";

#[test]
fn results_that_are_not_their_instructions() {
    // The call before has results of the right types.
    assert_eq!(
        told(TWO_CALLS, |func| {
            let signature = &mut func.dfg.signatures[SigRef::from_u32(1)];
            signature.returns[0] = AbiParam::new(types::I64);
        }),
        "inst1 has the result v2, which is not i64"
    );
    assert_eq!(
        told(TWO_CALLS, |func| {
            let signature = &mut func.dfg.signatures[SigRef::from_u32(1)];
            signature.returns.push(AbiParam::new(types::I32));
        }),
        "inst1 has another number of results than its opcode"
    );
    assert_eq!(
        told(TWO_CALLS, |func| {
            let [from, to] = [0, 1].map(|index| func.dfg.first_result(inst(func, index)));
            func.dfg.make_value_alias_for_serialization(from, to);
        }),
        "v2 is defined twice"
    );
}

#[test]
fn a_result_that_is_not_its_opcodes() {
    let text = "function %f(i32) -> i32 tail {
        block0(v0: i32):
            v1 = iadd v0, v0
            return v1
        }";
    assert_eq!(
        told(text, |func| {
            let add = inst(func, 0);
            let InstructionData::Binary { args, .. } = func.dfg.insts[add] else {
                panic!("{func}");
            };
            let (opcode, cond) = (Opcode::Icmp, IntCC::Equal);
            func.dfg.insts[add] = InstructionData::IntCompare { opcode, args, cond };
        }),
        "inst0 has the result v1, which is not i8"
    );
}

/// Each opcode gives a result of the type that the instruction has, or none where it has none.
#[test]
fn an_opcode_of_another_format() {
    let text = "function %f(i64, i8) -> i64 tail {
        block0(v0: i64, v1: i8):
            v2 = load.i64 v0
            v3 = ineg v0
            v4 = iadd v0, v0
            v5 = icmp eq v1, v1
            v6 = load.i64 v0
            store v0, v0
            v7 = iconst.i64 1
            return v4
        }";
    let wrong = [
        (1, Opcode::Iadd),
        (2, Opcode::Ineg),
        (3, Opcode::Iadd),
        (4, Opcode::Ineg),
        (5, Opcode::Nop),
        (6, Opcode::GetFramePointer),
    ];
    for (index, wrong) in wrong {
        let why = told(text, |func| {
            let inst = inst(func, index);
            match &mut func.dfg.insts[inst] {
                InstructionData::Unary { opcode, .. }
                | InstructionData::Binary { opcode, .. }
                | InstructionData::IntCompare { opcode, .. }
                | InstructionData::Load { opcode, .. }
                | InstructionData::Store { opcode, .. }
                | InstructionData::UnaryImm { opcode, .. } => *opcode = wrong,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(why, format!("inst{index} has an opcode of another format"));
    }
}

#[test]
fn instructions_out_of_their_place() {
    assert_eq!(
        told(TWO_CALLS, |func| {
            let (first, last) = (inst(func, 0), inst(func, 2));
            func.layout.remove_inst(first);
            func.layout.insert_inst(first, last);
        }),
        "inst1: v1 is used before its definition"
    );
    assert_eq!(
        told(TWO_CALLS, |func| {
            let (first, entry) = (inst(func, 0), func.layout.entry_block().unwrap());
            func.layout.remove_inst(first);
            func.layout.append_inst(first, entry);
        }),
        "inst1: v1 is used before its definition"
    );
    let branch = "function %f() system_v {\nblock0:\n jump block1\nblock1:\n return\n}";
    assert_eq!(
        told(branch, |func| {
            let last = func.layout.last_block().unwrap();
            func.layout.remove_block_and_insts(last);
        }),
        "block0 branches to block1, which is not in the layout"
    );
    assert_eq!(
        told(branch, |func| {
            let (jump, last) = (inst(func, 0), func.layout.last_block().unwrap());
            func.layout.remove_inst(jump);
            func.layout.append_inst(jump, last);
        }),
        "block0 is empty"
    );
}

#[test]
fn entities_that_are_not_there() {
    assert_eq!(
        told(
            "function %f() system_v {\n fn0 = u0:1() system_v\nblock0:\n call fn0()\n return\n}",
            |func| func.params = FunctionParameters::new(),
        ),
        "inst0: fn0 has no name"
    );
    assert_eq!(
        told(
            "function %f() -> i64 system_v {
                 gv0 = symbol u0:1
             block0:
                 v0 = symbol_value.i64 gv0
                 return v0
             }",
            |func| func.params = FunctionParameters::new(),
        ),
        "inst0: gv0 has no name"
    );
    assert_eq!(
        told(
            "function %f() -> i64 system_v {
                 gv0 = dyn_scale_target_const.i32x4
                 dt0 = i32x4*gv0
                 dss0 = explicit_dynamic_slot dt0
             block0:
                 v0 = dynamic_stack_addr.i64 dss0
                 return v0
             }",
            |func| func.dfg.dynamic_types.clear(),
        ),
        "inst0: dss0 does not exist"
    );
}

#[test]
fn tables_that_are_not_there() {
    let missing = "inst0 refers to a table that does not exist";
    assert_eq!(
        told(
            "function %f(i32) tail {
             block0(v0: i32):
                 br_table v0, block1, [block1]
             block1:
                 return
             }",
            |func| func.dfg.jump_tables.clear(),
        ),
        missing
    );
    assert_eq!(
        told(
            "function %f() tail {
                 sig0 = () tail
                 fn0 = %g sig0
             block0:
                 try_call fn0(), sig0, block1, []
             block1:
                 return
             }",
            |func| func.dfg.exception_tables.clear(),
        ),
        missing
    );
}

#[test]
fn an_alias_region_that_is_not_there() {
    let text = "function %f(i64) tail {
            region0 = 5 \"table\"
        block0(v0: i64):
            store region0 v0, v0
            return
        }";
    assert_eq!(
        told(text, |func| func.dfg.alias_regions.clear()),
        "inst0: memflags0 does not exist"
    );
}

/// Returns the error about the only call of the second function, after `change`.
fn told_of_call(text: &str, change: impl FnOnce(&mut [Function])) -> Result<(), Refusal> {
    let mut functions = parse(text);
    change(&mut functions);
    let mut caller = functions[1].clone();
    let call = inst(&caller, 0);
    let result = splice(&mut caller, call, &functions[0], &SpliceOptions::default());
    assert!(result.is_ok() || caller == functions[1], "{caller}");
    result
}

fn wrong(why: &'static str) -> Result<(), Refusal> {
    Err(Refusal::MalformedCall(why))
}

const CALL: &str = "
function %callee(i32) -> i32 system_v {
block0(v0: i32):
    return v0
}
function %caller(i32, i64) -> i32 system_v {
    fn0 = %callee(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = call fn0(v0)
    return v2
}";

#[test]
fn a_call_that_is_not_its_signatures() {
    assert_eq!(told_of_call(CALL, |_| {}), Ok(()));
    assert_eq!(
        told_of_call(CALL, |functions| {
            functions[1].dfg.signatures.clear();
        }),
        wrong("its signature is not declared")
    );
    let number = "it has another number of arguments than its signature";
    for args in ["", "v0, v0"] {
        let text = CALL.replace("call fn0(v0)", &format!("call fn0({args})"));
        assert_eq!(told_of_call(&text, |_| {}), wrong(number));
    }
    let text = CALL.replace("call fn0(v0)", "call fn0(v1)");
    assert_eq!(
        told_of_call(&text, |_| {}),
        wrong("an argument has another type")
    );
    // The callee is one of the new signature, so that it is the call that is wrong.
    for (returns, end) in [
        ("i64", "v1 = uextend.i64 v0\n return v1"),
        ("i32, i32", "return v0, v0"),
    ] {
        let text = CALL
            .replace(
                "%callee(i32) -> i32 system_v {",
                &format!("%callee(i32) -> {returns} system_v {{"),
            )
            .replacen("return v0", end, 1);
        assert_eq!(
            told_of_call(&text, |functions| {
                let signature = functions[0].signature.clone();
                functions[1].dfg.signatures[SigRef::from_u32(0)] = signature;
            }),
            wrong("its results are not its signature's")
        );
    }
}

#[test]
fn a_tail_call_to_another_kind_of_function() {
    let text = |signature: &str| {
        format!(
            "function %callee(i32) -> i32 tail {{
             block0(v0: i32):
                 return v0
             }}
             function %caller(i32) -> {signature} {{
                 fn0 = %callee(i32) -> i32 tail
             block0(v0: i32):
                 return_call fn0(v0)
             }}"
        )
    };
    assert_eq!(told_of_call(&text("i32 tail"), |_| {}), Ok(()));
    for signature in ["i32 system_v", "i64 tail", "i32, i32 tail"] {
        assert_eq!(
            told_of_call(&text(signature), |_| {}),
            wrong("a tail call to another kind of function"),
            "{signature}"
        );
    }
}

#[test]
fn a_structure_at_a_value_that_is_not_an_address() {
    let text = |ty: &str| {
        format!(
            "function %callee({ty} sarg(8)) system_v {{
             block0(v0: {ty}):
                 return
             }}
             function %caller({ty}) system_v {{
                 fn0 = %callee({ty} sarg(8)) system_v
             block0(v0: {ty}):
                 call fn0(v0)
                 return
             }}"
        )
    };
    for ty in ["i32", "i64"] {
        assert_eq!(told_of_call(&text(ty), |_| {}), Ok(()));
    }
    for ty in ["i16", "i128", "f64"] {
        let why = format!("a structure's address cannot be of type {ty}");
        assert_eq!(
            told_of_call(&text(ty), |_| {}),
            Err(Refusal::MalformedCallee(why))
        );
    }
}
