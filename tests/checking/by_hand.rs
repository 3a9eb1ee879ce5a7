//! Callers with callees, and results of inlining by hand: right ones, and wrong ones that differ in
//! one point.

use cranelift_codegen::ir::{Function, InstructionData};
use cranelift_inliner::check::{CopyTree, check};

/// Returns the checker's answer for `after`, in which all direct calls of `%caller` to functions of
/// `text` are replaced.
fn told(text: &str, after: &str) -> Result<(), String> {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    let named = |name: &str| functions.iter().find(|f| f.name.to_string() == name);
    let caller = named("%caller").unwrap();
    let mut copies = CopyTree::new(caller);
    for block in caller.layout.blocks() {
        for inst in caller.layout.block_insts(block) {
            let (InstructionData::Call { func_ref, .. }
            | InstructionData::TryCall { func_ref, .. }) = caller.dfg.insts[inst]
            else {
                continue;
            };
            let name = &caller.dfg.ext_funcs[func_ref].name;
            if let Some(callee) = named(&name.display(Some(&caller.params)).to_string()) {
                copies.add(CopyTree::ROOT, inst, callee);
            }
        }
    }
    let after: Function = cranelift_reader::parse_functions(after).unwrap().remove(0);
    let settings = cranelift_codegen::settings::builder();
    let settings = cranelift_codegen::settings::Flags::new(settings);
    cranelift_codegen::verify_function(&after, &settings).unwrap();
    check(&copies, &after).map_err(|error| error.to_string())
}

#[track_caller]
fn accepts(text: &str, after: &str) {
    assert_eq!(told(text, after), Ok(()));
}

/// Changes one place of a right result, and expects a message.
#[track_caller]
fn rejects(text: &str, after: &str, (from, to): (&str, &str), message: &str) {
    accepts(text, after);
    assert_eq!(after.matches(from).count(), 1, "{from}");
    let found = told(text, &after.replace(from, to)).unwrap_err();
    assert!(found.contains(message), "{found}");
}

/// The branch goes another way when the source comes to it again.
const TWO_ROUNDS: &str = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 0
    jump block1(v1)
block1(v3: i8):
    brif v3, block1(v2), block2
block2:
    return v0
}";

#[test]
fn a_loop_that_constants_end_is_not_endless() {
    let ends = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 0
    jump block1
block1:
    return v0
}";
    let endless = ("return v0", "jump block1");
    rejects(TWO_ROUNDS, ends, endless, "loops forever before it");
}

/// Two values change places in each round, so that everything repeats after two.
#[test]
fn a_loop_that_repeats_itself_after_some_rounds_is_endless() {
    let source = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 2
    jump block1(v0, v1, v2)
block1(v3: i32, v4: i8, v5: i8):
    brif v4, block1(v3, v5, v4), block2
block2:
    return v0
}";
    let endless = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 2
    jump block1
block1:
    jump block1
}";
    let ends = ("\n    jump block1\n}", "\n    return v0\n}");
    rejects(source, endless, ends, "where the source loops forever");
}

/// On the way to its branch the result goes one way, and on the way back to it the other one.
#[test]
fn a_loop_of_the_result_that_constants_end_is_not_endless() {
    let source = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 0
    brif v1, block1, block2
block1:
    jump block1
block2:
    return v0
}";
    let endless = "
function %caller(i32) -> i32 system_v {
block0(v0: i32):
    v1 = iconst.i8 1
    v2 = iconst.i8 0
    jump block1(v1)
block1(v3: i8):
    brif v3, block2, block3
block2:
    jump block2
block3:
    return v0
}";
    let ends = ("jump block2", "jump block1(v2)");
    rejects(source, endless, ends, "where the source loops forever");
}

const HANDLERS: &str = "
function %callee(i32) -> i32 tail {
    fn0 = %host(i32) tail
block0(v0: i32):
    jump block1(v0)
block1(v1: i32):
    call fn0(v1)
    v2 = iadd v1, v1
    brif v2, block1(v2), block2
block2:
    return v2
}
function %caller(i32) -> i32 tail {
    sig0 = (i32) -> i32 tail
    fn0 = %callee(i32) -> i32 tail
block0(v0: i32):
    jump block1(v0)
block1(v1: i32):
    try_call fn0(v1), sig0, block2(ret0, v1), [ context v1, tag1: block3(v1) ]
block2(v2: i32, v3: i32):
    v4 = isub v2, v3
    return v4
block3(v5: i32):
    return v5
}";

const UNDER_HANDLERS: &str = "
function %caller(i32) -> i32 tail {
    sig0 = (i32) tail
    fn0 = %host(i32) tail
block0(v0: i32):
    jump block1(v0)
block1(v1: i32):
    try_call fn0(v1), sig0, block4, [ context v0, tag1: block3(v0) ]
block4:
    v2 = iadd v1, v1
    brif v2, block1(v2), block5
block5:
    jump block2(v2, v0)
block2(v3: i32, v4: i32):
    v5 = isub v3, v4
    return v5
block3(v6: i32):
    return v6
}";

/// In the first round of the copy's loop, its parameter is the caller's value too.
#[test]
fn an_argument_of_a_replaced_try_call_is_not_the_parameter_of_a_loop_in_its_copy() {
    let another = "with another operand";
    let wrong = ("jump block2(v2, v0)", "jump block2(v2, v1)");
    rejects(HANDLERS, UNDER_HANDLERS, wrong, another);
    let wrong = ("tag1: block3(v0)", "tag1: block3(v1)");
    rejects(HANDLERS, UNDER_HANDLERS, wrong, another);
    let wrong = ("context v0", "context v1");
    rejects(HANDLERS, UNDER_HANDLERS, wrong, "has another item");
}

const HANDLER_ADDRESS: &str = "
function %callee(i64 sarg(8)) -> i32 system_v {
block0(v0: i64):
    v1 = load.i32 v0
    return v1
}
function %caller(i64) -> i32 system_v {
    sig0 = (i64 sarg(8)) -> i32 system_v
    fn0 = %callee(i64 sarg(8)) -> i32 system_v
block0(v0: i64):
    v1 = get_exception_handler_address.i64 block1, 0
    store v1, v0
    jump block1
block1:
    try_call fn0(v0), sig0, block2(ret0), [ default: block3 ]
block2(v2: i32):
    return v2
block3:
    v3 = iconst.i32 0
    return v3
}";

#[test]
fn the_address_of_a_handler_that_is_gone_is_zero_with_the_same_type() {
    let zero = "
function %caller(i64) -> i32 system_v {
    ss0 = explicit_slot 8, align = 16
block0(v0: i64):
    v1 = iconst.i64 0
    store v1, v0
    jump block1
block1:
    v2 = stack_addr.i64 ss0
    v3 = load.i64 notrap v0
    store notrap v3, v2
    v4 = load.i32 v2
    return v4
}";
    let narrow = ("v1 = iconst.i64 0", "v1 = iconst.i32 0");
    rejects(HANDLER_ADDRESS, zero, narrow, "other types");
    let one = ("v1 = iconst.i64 0", "v1 = iconst.i64 1");
    rejects(HANDLER_ADDRESS, zero, one, "became");
}

#[test]
fn a_computed_global_value_stays_cold() {
    let source = "
function %callee(i64 vmctx) -> i64 system_v {
    gv0 = vmctx
    gv1 = load.i64 notrap aligned gv0+8
block0(v0: i64):
    brif v0, block1, block2
block1 cold:
    v1 = symbol_value.i64 gv1
    jump block2
block2:
    return v0
}
function %caller(i64 vmctx, i64) -> i64 system_v {
    fn0 = %callee(i64 vmctx) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = call fn0(v1)
    return v2
}";
    let computed = "
function %caller(i64 vmctx, i64) -> i64 system_v {
block0(v0: i64, v1: i64):
    brif v1, block1, block2
block1 cold:
    v2 = load.i64 notrap aligned v1+8
    jump block2
block2:
    return v1
}";
    rejects(
        source,
        computed,
        ("block1 cold:", "block1:"),
        "no longer cold",
    );
}

/// The limit is loaded in the prologue, before any copy. Its flags alone do not tell its address.
#[test]
fn a_global_value_promises_nothing_beside_a_stack_limit_with_the_same_flags() {
    let source = "
function %callee(i64 vmctx) -> i64 system_v {
    gv0 = vmctx
    gv1 = load.i64 notrap aligned readonly gv0+8
    gv2 = load.i64 notrap aligned readonly gv1+24
block0(v0: i64):
    v1 = symbol_value.i64 gv2
    return v1
}
function %caller(i64 vmctx) -> i64 system_v {
    gv0 = vmctx
    gv1 = load.i64 notrap aligned readonly gv0+8
    gv2 = load.i64 notrap aligned readonly gv1+16
    stack_limit = gv2
    fn0 = %callee(i64 vmctx) -> i64 system_v
block0(v0: i64):
    v2 = call fn0(v0)
    return v2
}";
    let plain = "
function %caller(i64 vmctx) -> i64 system_v {
    gv0 = vmctx
    gv1 = load.i64 notrap aligned readonly gv0+8
    gv2 = load.i64 notrap aligned readonly gv1+16
    gv3 = load.i64 notrap aligned gv1+24
    stack_limit = gv2
block0(v0: i64):
    v1 = symbol_value.i64 gv3
    return v1
}";
    let promising = ("notrap aligned gv1+24", "notrap aligned readonly gv1+24");
    rejects(source, plain, promising, "computed in another way");
    let limit = source.replace("gv1+24", "gv1+16");
    accepts(
        &limit,
        &plain.replace("symbol_value.i64 gv3", "symbol_value.i64 gv2"),
    );
}

/// Cranelift assumes that a load without a region does not see a store with one.
#[test]
fn a_store_has_no_region_beside_a_copy_that_loads_a_global_value() {
    let source = "
function %callee() -> i64 system_v {
    gv0 = symbol %data
    gv1 = load.i64 notrap aligned gv0+8
block0:
    v1 = symbol_value.i64 gv1
    return v1
}
function %caller(i64) -> i64 system_v {
    region0 = 1 \"a\"
    fn0 = %callee() -> i64 system_v
block0(v0: i64):
    store region0 v0, v0
    v2 = call fn0()
    return v2
}";
    let plain = "
function %caller(i64) -> i64 system_v {
    region0 = 1 \"a\"
    gv0 = symbol %data
    gv1 = load.i64 notrap aligned gv0+8
block0(v0: i64):
    store v0, v0
    v1 = symbol_value.i64 gv1
    return v1
}";
    let with_region = ("store v0, v0", "store region0 v0, v0");
    rejects(
        source,
        plain,
        with_region,
        "a copy may access the same memory",
    );
}
