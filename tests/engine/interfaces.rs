//! The engine's answers about callees, copies and refusals.

use crate::body::Body;
use crate::functions::{calls_of, parse};
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{self, AbiParam, Function, Inst, Opcode, Signature, types};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::splice::{
    Callee, KeepLocations, Refusal, SignatureMismatch, SpliceContext, SpliceLocations,
    SpliceOptions, inline_calls, inline_calls_with,
};

/// Its blocks stand in another order than they are reached.
const OUT_OF_ORDER: &str = "
function %callee(i32) -> i32 system_v {
    fn0 = %f(i32) -> i32 system_v
block0(v0: i32):
    jump block2
block1(v1: i32):
    v2 = call fn0(v1)
    return v2
block2:
    v3 = call fn0(v0)
    jump block1(v3)
block3:
    trap user1
}
function %caller(i32) -> i32 system_v {
    fn0 = %callee(i32) -> i32 system_v
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}";

#[test]
fn a_callee_tells_the_size_of_its_copies() {
    let functions = parse(OUT_OF_ORDER);
    let callee = Callee::new(&functions[0]).unwrap();
    assert_eq!(callee.reachable_blocks(), 3);
    assert_eq!(callee.reachable_insts(), 5);
    assert!(std::ptr::eq(callee.function(), &functions[0]));
}

#[test]
fn copied_calls_come_in_the_order_in_which_they_stand() {
    let functions = parse(OUT_OF_ORDER);
    let callee = Callee::new(&functions[0]).unwrap();
    let mut caller = functions[1].clone();
    let call = calls_of(&caller)[0];
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut caller, &options);
    let copied = session.splice(call, &callee).unwrap().to_vec();
    session.finish();
    let originals: Vec<Inst> = copied.iter().map(|copied| copied.callee_inst).collect();
    assert_eq!(originals, calls_of(&functions[0]));
    let copies: Vec<Inst> = copied.iter().map(|copied| copied.inst).collect();
    assert_eq!(copies, calls_of(&caller));
}

#[test]
fn every_refusal_has_a_name_of_its_own() {
    let named = [
        (
            Refusal::NotADirectCall(Inst::from_u32(1)),
            "not-a-direct-call",
        ),
        (Refusal::MalformedCall("why"), "malformed-call"),
        (Refusal::MalformedCaller("why".into()), "malformed-caller"),
        (Refusal::MalformedCallee("why".into()), "malformed-callee"),
        (Refusal::Unreachable, "unreachable"),
        (Refusal::Patchable, "patchable"),
        (
            Refusal::SignatureMismatch(SignatureMismatch::ParamCount(1, 2)),
            "signature-mismatch",
        ),
        (
            Refusal::FrameIntrospection(Opcode::GetFramePointer),
            "frame-introspection",
        ),
        (
            Refusal::HandlerAddress(ir::Block::from_u32(1)),
            "handler-address",
        ),
        (Refusal::StackLimit, "stack-limit"),
        (
            Refusal::UncatchableCall(CallConv::SystemV),
            "uncatchable-call",
        ),
        (Refusal::PatchableUnderHandler, "patchable-under-handler"),
        (Refusal::ExceptionContext, "exception-context"),
        (Refusal::StructTooLarge(1), "struct-too-large"),
        (
            Refusal::DynamicType(ir::DynamicType::from_u32(1)),
            "dynamic-type",
        ),
        (
            Refusal::VmctxGlobal(ir::GlobalValue::from_u32(1)),
            "vmctx-global",
        ),
        (Refusal::MemFlagsFull, "mem-flags-full"),
        (Refusal::TooManyEntities("values"), "too-many-entities"),
    ];
    for (refusal, name) in named {
        assert_eq!(refusal.slug(), name);
        assert!(!refusal.to_string().is_empty());
    }
}

#[test]
fn the_first_difference_of_two_signatures_is_told() {
    let mut call = Signature::new(CallConv::SystemV);
    call.params = vec![AbiParam::new(types::I32), AbiParam::new(types::I64)];
    call.returns = vec![AbiParam::new(types::I32)];
    assert_eq!(SignatureMismatch::between(&call, &call), None);

    let told = |change: &dyn Fn(&mut Signature)| {
        let mut definition = call.clone();
        change(&mut definition);
        SignatureMismatch::between(&call, &definition)
            .unwrap()
            .to_string()
    };
    let convention = told(&|definition| definition.call_conv = CallConv::Fast);
    assert_eq!(convention, "calling convention `system_v` against `fast`");
    let fewer = told(&|definition| definition.params.truncate(1));
    assert_eq!(fewer, "2 parameters against 1");
    let param = told(&|definition| definition.params[1].value_type = types::F64);
    assert_eq!(param, "parameter 1 is `i64` against `f64`");
    let extended = told(&|definition| definition.params[0] = AbiParam::new(types::I32).uext());
    assert_eq!(extended, "parameter 0 is `i32` against `i32 uext`");
    let none = told(&|definition| definition.returns.clear());
    assert_eq!(none, "1 returns against 0");
    let returned = told(&|definition| definition.returns[0].value_type = types::I8);
    assert_eq!(returned, "return 0 is `i32` against `i8`");
}

#[test]
fn kept_locations_are_those_of_the_callee() {
    let [own, call] = [ir::SourceLoc::new(3), ir::SourceLoc::new(4)];
    assert_eq!(KeepLocations.spliced(own, call), own);
    let unknown = ir::SourceLoc::default();
    assert_eq!(KeepLocations.spliced(unknown, call), unknown);
    assert!(!KeepLocations.places_unknown());
}

/// A session that leaves something behind of all that a context keeps: a call
/// whose tags its copies inherit, and calls that are dead.
const FIRST: &str = "
function %middle(i32) -> i32 system_v {
    fn0 = %inner(i32) -> i32 system_v
    fn1 = %other(i32) -> i32 system_v
block0(v0: i32):
<2> sequence_point
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}
function %fail(i32) -> i32 system_v {
block0(v0: i32):
    trap user1
}
function %caller(i32) -> i32 system_v {
    fn0 = %middle(i32) -> i32 system_v
    fn1 = %fail(i32) -> i32 system_v
block0(v0: i32):
<1> v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = call fn0(v2)
    v4 = call fn0(v3)
    return v4
}";

#[test]
fn a_used_context_gives_the_result_of_a_new_one() {
    let mut second = String::from(
        "function %second(i32) -> i32 fast {\n fn0 = %middle(i32) -> i32 system_v\nblock0(v0: i32):\n",
    );
    for index in 1..20 {
        second += &format!(" jump block{index}\nblock{index}:\n v{index} = call fn0(v0)\n");
    }
    second += " return v0\n}";
    let second = parse(&second).remove(0);
    let functions = parse(FIRST);
    let (middle, fail) = (
        Callee::new(&functions[0]).unwrap(),
        Callee::new(&functions[1]).unwrap(),
    );
    let options = SpliceOptions::default();

    let splice_all = |context: &mut SpliceContext| {
        let mut func = second.clone();
        let mut session = context.session(&mut func, &options);
        for call in calls_of(&second) {
            session.splice(call, &middle).unwrap();
        }
        session.finish();
        func
    };
    let expected = splice_all(&mut SpliceContext::new());

    let mut used = SpliceContext::new();
    let mut first = functions[2].clone();
    let calls = calls_of(&first);
    let mut session = used.session(&mut first, &options);
    session.splice(calls[0], &middle).unwrap();
    session.splice(calls[1], &fail).unwrap();
    session.finish();
    let func = splice_all(&mut used);
    assert_eq!(func.to_string(), expected.to_string());
    assert!(func == expected);
}

#[test]
fn the_drop_in_offers_direct_calls_that_are_not_patchable() {
    struct Offered<'o>(&'o mut Vec<(Opcode, ir::FuncRef)>);
    impl Inline for Offered<'_> {
        fn inline(
            &mut self,
            _: &Function,
            _: Inst,
            opcode: Opcode,
            func_ref: ir::FuncRef,
            _: &[ir::Value],
        ) -> InlineCommand<'_> {
            self.0.push((opcode, func_ref));
            InlineCommand::KeepCall
        }
    }
    let mut caller = parse(
        "function %caller(i64) tail {
             sig0 = () tail
             fn0 = colocated %plain() tail
             fn1 = colocated patchable %patchable() tail
         block0(v0: i64):
             call fn1()
             call fn0()
             call_indirect sig0, v0()
             try_call fn0(), sig0, block1, [ default: block1 ]
         block1:
             return_call fn0()
         }",
    )
    .remove(0);
    let before = caller.clone();
    let mut offered = Vec::new();
    assert!(!inline_calls(&mut caller, Offered(&mut offered)).unwrap());
    let plain = ir::FuncRef::from_u32(0);
    let direct = [Opcode::Call, Opcode::TryCall, Opcode::ReturnCall];
    assert_eq!(offered, direct.map(|opcode| (opcode, plain)));
    assert!(caller == before);
}

#[test]
fn the_drop_in_is_content_with_calls_that_nothing_reaches_any_more() {
    let mut functions = parse(
        "function %fail() system_v {
         block0:
             trap user1
         }
         function %caller(i32) system_v {
             fn0 = %fail() system_v
         block0(v0: i32):
             brif v0, block1, block2
         block1:
             call fn0()
             call fn0()
             call fn0()
             return
         block2:
             call fn0()
             return
         }",
    );
    let mut caller = functions.pop().unwrap();
    assert!(inline_calls(&mut caller, Body(&functions[0])).unwrap());
    let blocks = caller.layout.blocks();
    let sizes = blocks.map(|block| caller.layout.block_insts(block).count());
    assert_eq!(Vec::from_iter(sizes), [1; 3], "{caller}");
    assert_eq!(calls_of(&caller), []);
}

/// Returns a loop of an embedder's own: `inline_calls` by the public interface alone.
fn inline_by_session(
    func: &mut Function,
    bodies: &[Function],
    options: &SpliceOptions,
) -> Vec<&'static str> {
    let mut calls = calls_of(func);
    calls.reverse();
    let mut refused = Vec::new();
    let mut context = SpliceContext::new();
    let mut session = context.session(func, options);
    while let Some(call) = calls.pop() {
        let caller = session.caller();
        let Some(name) = called_name(caller, call) else {
            continue;
        };
        let Some(body) = bodies.iter().find(|body| body.name.to_string() == name) else {
            continue;
        };
        // A body that this loop could not keep, such as one out of a cache.
        let body = body.clone();
        let callee = Callee::new(&body).unwrap();
        match session.splice(call, &callee) {
            Ok(copied) => calls.extend(copied.iter().rev().map(|copied| copied.inst)),
            Err(refusal) => refused.push(refusal.slug()),
        }
        session.forget(&callee);
    }
    session.finish();
    refused
}

fn called_name(func: &Function, call: Inst) -> Option<String> {
    match func.dfg.insts[call] {
        ir::InstructionData::Call { func_ref, .. } => {
            Some(func.dfg.ext_funcs[func_ref].name.display(None).to_string())
        }
        _ => None,
    }
}

/// The bodies by their names, and their own calls visited.
struct ByName<'b>(&'b [Function]);

impl Inline for ByName<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        call: Inst,
        _: Opcode,
        _: ir::FuncRef,
        _: &[ir::Value],
    ) -> InlineCommand<'_> {
        let name = called_name(caller, call);
        match self
            .0
            .iter()
            .find(|body| Some(body.name.to_string()) == name)
        {
            Some(body) => InlineCommand::Inline {
                callee: std::borrow::Cow::Borrowed(body),
                visit_callee: true,
            },
            None => InlineCommand::KeepCall,
        }
    }
}

/// Every function begins with a check of the stack.
const CHECKED: &str = "
function %leaf(i64) -> i64 system_v {
block0(v0: i64):
    v1 = get_stack_pointer.i64
    v2 = icmp ult v1, v0
    trapnz v2, stk_ovf
    v3 = load.i64 v0
    return v3
}
function %middle(i64) -> i64 system_v {
    fn0 = %leaf(i64) -> i64 system_v
    fn1 = %outside() system_v
block0(v0: i64):
    v1 = get_stack_pointer.i64
    v2 = icmp ult v1, v0
    trapnz v2, stk_ovf
    v3 = call fn0(v0)
    call fn1()
    v4 = call fn0(v3)
    return v4
}
function %caller(i64) -> i64 system_v {
    fn0 = %middle(i64) -> i64 system_v
    fn1 = %leaf(i64) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = call fn0(v2)
    return v3
}";

#[test]
fn the_drop_in_follows_its_options() {
    let mut functions = parse(CHECKED);
    let caller = functions.pop().unwrap();
    let inlined = |options: Option<&SpliceOptions>| {
        let mut func = caller.clone();
        let by_name = ByName(&functions);
        let any = match options {
            None => inline_calls(&mut func, by_name),
            Some(options) => inline_calls_with(&mut func, by_name, options),
        };
        assert_eq!(any.unwrap(), func != caller);
        func
    };
    let mut options = SpliceOptions::default();
    assert!(inlined(None) == caller);
    assert!(inlined(Some(&options)) == caller);
    options.allow_stack_pointer = true;
    let func = inlined(Some(&options));
    let left: Vec<_> = calls_of(&func)
        .into_iter()
        .filter_map(|call| called_name(&func, call))
        .collect();
    assert_eq!(left, ["%outside"; 2]);
    let checks = func.to_string().matches("get_stack_pointer").count();
    assert_eq!(checks, 2 * 3 + 1);
}

#[test]
fn the_drop_in_can_be_written_with_a_session() {
    let mut functions = parse(CHECKED);
    let caller = functions.pop().unwrap();
    let mut options = SpliceOptions::default();
    let mut func = caller.clone();
    let refused = inline_by_session(&mut func, &functions, &options);
    assert_eq!(refused, ["frame-introspection"; 3]);
    assert!(func == caller);

    options.allow_stack_pointer = true;
    let refused = inline_by_session(&mut func, &functions, &options);
    assert_eq!(refused, [""; 0]);
    let mut expected = caller.clone();
    inline_calls_with(&mut expected, ByName(&functions), &options).unwrap();
    assert_eq!(func.to_string(), expected.to_string());
    assert!(func == expected);
}
