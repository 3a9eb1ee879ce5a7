//! Entities of a callee in the caller's tables, where text does not show them well.

use cranelift_codegen::ir::{Function, GlobalValueData, Inst, InstructionData, Opcode, types};
use cranelift_inliner::splice::{Callee, Refusal, SpliceOptions, splice};

/// Returns a callee, and a caller of it.
fn pair(text: &str) -> [Function; 2] {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    functions.try_into().map_err(|_| "two functions").unwrap()
}

fn calls_of(func: &Function) -> Vec<Inst> {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    insts
        .filter(|&inst| func.dfg.insts[inst].opcode().is_call())
        .collect()
}

/// Splices every call of the caller.
fn spliced(text: &str) -> Function {
    let [callee, mut caller] = pair(text);
    for call in calls_of(&caller) {
        splice(&mut caller, call, &callee, &SpliceOptions::default()).unwrap();
    }
    caller
}

#[test]
fn dynamic_types_come_with_their_scale() {
    let caller = spliced(
        "function %callee() system_v {
             gv0 = dyn_scale_target_const.i8x16
             gv1 = dyn_scale_target_const.i32x4
             dt0 = i32x4*gv1
             dt1 = i8x16*gv0
         block0:
             return
         }
         function %caller() system_v {
             fn0 = %callee() system_v
         block0:
             call fn0()
             call fn0()
             return
         }",
    );
    let found: Vec<_> = caller
        .dfg
        .dynamic_types
        .values()
        .map(|data| {
            (
                data.base_vector_ty,
                &caller.global_values[data.dynamic_scale],
            )
        })
        .collect();
    let scale = |vector_type| GlobalValueData::DynScaleTargetConst { vector_type };
    assert_eq!(
        found,
        [
            (types::I32X4, &scale(types::I32X4)),
            (types::I8X16, &scale(types::I8X16))
        ]
    );
}

#[test]
fn dynamic_types_that_the_caller_has_are_shared() {
    let caller = spliced(
        "function %callee() system_v {
             gv0 = dyn_scale_target_const.i32x4
             dt0 = i32x4*gv0
         block0:
             return
         }
         function %caller() system_v {
             gv0 = dyn_scale_target_const.i16x8
             gv1 = dyn_scale_target_const.i32x4
             dt0 = i16x8*gv0
             dt1 = i32x4*gv1
             fn0 = %callee() system_v
         block0:
             call fn0()
             return
         }",
    );
    assert_eq!(caller.dfg.dynamic_types.len(), 2);
    assert_eq!(caller.global_values.len(), 2);
}

#[test]
fn a_dynamic_type_whose_scale_does_not_exist_is_refused() {
    let [mut callee, _] = pair(
        "function %callee() system_v {
             gv0 = dyn_scale_target_const.i32x4
             dt0 = i32x4*gv0
         block0:
             return
         }
         function %other() system_v {
         block0:
             return
         }",
    );
    callee.global_values.clear();
    assert!(matches!(
        Callee::new(&callee),
        Err(Refusal::MalformedCallee(_))
    ));
}

#[test]
fn sums_on_vmctx_have_constants_of_their_type() {
    for (ty, offset, constant) in [
        ("i64", -8, -8),
        ("i32", -8, 0xffff_fff8),
        ("i32", 12, 12),
        ("i16", -1, 0xffff),
        ("i8", i64::from(i8::MIN), 0x80),
    ] {
        let caller = spliced(&format!(
            "function %callee({ty} vmctx) -> {ty} system_v {{
                 gv0 = vmctx
                 gv1 = iadd_imm.{ty} gv0, {offset}
             block0(v0: {ty}):
                 v1 = symbol_value.{ty} gv1
                 return v1
             }}
             function %caller({ty}) -> {ty} system_v {{
                 fn0 = %callee({ty} vmctx) -> {ty} system_v
             block0(v0: {ty}):
                 v1 = call fn0(v0)
                 return v1
             }}"
        ));
        let entry = caller.layout.entry_block().unwrap();
        let first = caller.layout.first_inst(entry).unwrap();
        let InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } = caller.dfg.insts[first]
        else {
            panic!("{caller}");
        };
        assert_eq!(imm.bits(), constant, "{caller}");
    }
}

#[test]
fn sums_on_vmctx_that_no_instruction_can_compute_are_refused() {
    for (base, globals, ty) in [
        // Integers wider than an immediate, and types that are not integers.
        ("i128", "gv1 = iadd_imm.i128 gv0, 8", "i128"),
        ("f64", "gv1 = iadd_imm.f64 gv0, 8", "f64"),
        // A sum has the type of its first operand.
        ("i64", "gv1 = iadd_imm.i32 gv0, 8", "i32"),
        (
            "i64",
            "gv2 = load.i32 notrap aligned gv0\n gv1 = iadd_imm.i64 gv2, 8",
            "i64",
        ),
        // A value has the type of the global value.
        ("i64", "gv1 = iadd_imm.i64 gv0, 8", "i32"),
    ] {
        let [callee, _] = pair(&format!(
            "function %callee({base} vmctx) -> {ty} system_v {{
                 gv0 = vmctx
                 {globals}
             block0(v0: {base}):
                 v1 = symbol_value.{ty} gv1
                 return v1
             }}
             function %other() system_v {{
             block0:
                 return
             }}"
        ));
        let refusal = Callee::new(&callee).map(drop).unwrap_err();
        assert!(matches!(refusal, Refusal::MalformedCallee(_)), "{callee}");
    }
}

#[test]
fn a_load_from_vmctx_has_its_own_type() {
    let [callee, _] = pair(
        "function %callee(i64 vmctx) -> i32 system_v {
             gv0 = vmctx
             gv1 = load.i32 notrap aligned gv0
         block0(v0: i64):
             v1 = symbol_value.i32 gv1
             return v1
         }
         function %other() system_v {
         block0:
             return
         }",
    );
    assert!(Callee::new(&callee).is_ok());
}

#[test]
fn immediates_that_the_caller_has_are_shared() {
    let shuffle = |mask: &str| format!("shuffle v0, v0, 0x{mask}");
    let (one, other) = ("0f0e0d0c0b0a09080706050403020100", "1".repeat(32));
    let caller = spliced(&format!(
        "function %callee(i8x16) -> i8x16 system_v {{
         block0(v0: i8x16):
             v1 = {}
             v2 = {}
             v3 = band v1, v2
             return v3
         }}
         function %caller(i8x16) -> i8x16 system_v {{
             fn0 = %callee(i8x16) -> i8x16 system_v
         block0(v0: i8x16):
             v1 = {}
             v2 = call fn0(v1)
             v3 = call fn0(v2)
             return v3
         }}",
        shuffle(one),
        shuffle(&other),
        shuffle(one),
    ));
    assert_eq!(caller.dfg.immediates.len(), 2, "{caller}");
}
