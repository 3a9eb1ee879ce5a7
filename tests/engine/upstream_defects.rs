//! Defects of Cranelift's own `Context::inline` in 0.135.8, which this crate's replacement of it
//! does not have.

use crate::body::Body;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, GlobalValueData};
use cranelift_inliner::splice::inline_calls;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the functions of `text`. The first one is the callee of the second.
fn parse(text: &str) -> [Function; 2] {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    functions.try_into().map_err(|_| "two functions").unwrap()
}

fn ours(callee: &Function, caller: &Function) -> Function {
    let mut func = caller.clone();
    assert!(inline_calls(&mut func, Body(callee)).unwrap());
    func
}

fn upstreams(callee: &Function, caller: &Function) -> Function {
    let mut context = Context::for_function(caller.clone());
    assert!(context.inline(Body(callee)).unwrap());
    context.func
}

#[cfg(all(target_arch = "x86_64", unix))]
mod native {
    use cranelift_codegen::data_value::DataValue;
    use cranelift_codegen::ir::Function;
    use cranelift_inliner::backend::TargetSettings;
    use cranelift_inliner::program::Program;
    use cranelift_inliner_testing::execute::{Engine, Invocation, Outcome};

    /// Returns the result of `%caller` for `argument`.
    pub(crate) fn call_caller(callee: &Function, caller: &Function, argument: i64) -> i64 {
        let mut program = Program::new();
        program.add(callee.clone()).unwrap();
        program.add(caller.clone()).unwrap();
        let engine = Engine::new(&TargetSettings::new()).unwrap();
        let invocation = Invocation {
            function: "caller".parse().unwrap(),
            arguments: vec![DataValue::I64(argument)],
        };
        let seen = engine.compile(&program).unwrap().call(&invocation).unwrap();
        match seen.outcome {
            Outcome::Returned(values) => match values[..] {
                [DataValue::I64(result)] => result,
                _ => panic!("{values:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

/// Returns whether `func` verifies and compiles for `target`.
fn check(func: &Function, target: &str) -> Result<(), String> {
    let isa = crate::checks::isa(target, &[])?;
    let valid = catch_unwind(AssertUnwindSafe(|| crate::checks::check_valid(func, &*isa)));
    valid.unwrap_or_else(|_| Err("the verifier panics".into()))?;
    crate::checks::compile(func, &*isa)
}

/// A symbol's name is an entity of its function, too.
#[test]
fn symbols_keep_their_names() {
    let [callee, caller] = parse(
        "function %callee() -> i64 system_v {
             gv0 = symbol colocated u1:22
         block0:
             v0 = symbol_value.i64 gv0
             return v0
         }
         function %caller() -> i64 system_v {
             gv0 = symbol colocated u7:77
             fn0 = %callee() -> i64 system_v
         block0:
             v0 = call fn0()
             v1 = symbol_value.i64 gv0
             v2 = isub v0, v1
             return v2
         }",
    );
    let names = |func: &Function| {
        let globals = func.global_values.values().filter_map(|data| match data {
            GlobalValueData::Symbol { name, .. } => {
                Some(name.display(Some(&func.params)).to_string())
            }
            _ => None,
        });
        globals.collect::<Vec<_>>()
    };
    assert_eq!(names(&ours(&callee, &caller)), ["u7:77", "u1:22"]);
    assert_ne!(names(&upstreams(&callee, &caller)), ["u7:77", "u1:22"]);
}

/// By value means that the callee may write to its structure unseen.
#[cfg(all(target_arch = "x86_64", unix))]
#[test]
fn a_structure_passed_by_value_stays_the_callers() {
    let [callee, caller] = parse(
        "function %callee(i64 sarg(16), i64) -> i64 system_v {
         block0(v0: i64, v1: i64):
             v2 = load.i64 v0+8
             v3 = iadd v2, v1
             store v3, v0+8
             v4 = load.i64 v0+8
             return v4
         }
         function %caller(i64) -> i64 system_v {
             ss0 = explicit_slot 16, align = 8
             fn0 = colocated %callee(i64 sarg(16), i64) -> i64 system_v
         block0(v0: i64):
             v1 = stack_addr.i64 ss0
             v2 = iconst.i64 1000
             store v2, v1+8
             v3 = call fn0(v1, v0)
             v4 = load.i64 v1+8
             v5 = imul v3, v4
             return v5
         }",
    );
    let run = |caller: &Function| native::call_caller(&callee, caller, 7);
    assert_eq!(run(&caller), 1007 * 1000);
    assert_eq!(run(&ours(&callee, &caller)), 1007 * 1000);
    assert_eq!(run(&upstreams(&callee, &caller)), 1007 * 1007);
}

/// Large structures are copied in a loop; every byte must arrive, and only
/// those.
#[cfg(all(target_arch = "x86_64", unix))]
#[test]
fn a_large_structure_arrives_whole() {
    let [callee, caller] = parse(
        "function %callee(i64 sarg(264)) -> i64 system_v {
         block0(v0: i64):
             v1 = iconst.i64 0
             jump block1(v1, v1)
         block1(v2: i64, v3: i64):
             v4 = iadd v0, v2
             v5 = load.i64 v4
             v6 = iconst.i64 31
             v7 = imul v3, v6
             v8 = iadd v7, v5
             store v8, v4
             v9 = iconst.i64 8
             v10 = iadd v2, v9
             v11 = iconst.i64 264
             v12 = icmp ult v10, v11
             brif v12, block1(v10, v8), block2
         block2:
             return v8
         }
         function %caller(i64) -> i64 system_v {
             ss0 = explicit_slot 264, align = 8
             fn0 = colocated %callee(i64 sarg(264)) -> i64 system_v
         block0(v0: i64):
             v1 = stack_addr.i64 ss0
             v2 = iconst.i64 0
             jump block1(v2, v0)
         block1(v3: i64, v4: i64):
             v5 = iadd v1, v3
             store v4, v5
             v6 = iconst.i64 6364136223846793005
             v7 = imul v4, v6
             v8 = iconst.i64 8
             v9 = iadd v3, v8
             v10 = iconst.i64 264
             v11 = icmp ult v9, v10
             brif v11, block1(v9, v7), block2
         block2:
             v12 = call fn0(v1)
             v13 = call fn0(v1)
             v14 = isub v12, v13
             brif v14, block3, block4
         block3:
             trap user1
         block4:
             return v12
         }",
    );
    let run = |caller: &Function| native::call_caller(&callee, caller, 12345);
    assert_eq!(run(&ours(&callee, &caller)), run(&caller));
}

/// A dynamic type is numbered within its function, and the slots that have it
/// must follow when it gets another number.
#[test]
fn dynamic_types_are_numbered_anew() {
    let [callee, caller] = parse(
        "function %callee(i64) system_v {
             gv0 = dyn_scale_target_const.i32x4
             gv1 = dyn_scale_target_const.i16x8
             dt0 = i32x4*gv0
             dt1 = i16x8*gv1
             dss0 = explicit_dynamic_slot dt1
         block0(v0: i64):
             v1 = dynamic_stack_addr.i64 dss0
             store v0, v1
             return
         }
         function %caller(i64) system_v {
             gv0 = dyn_scale_target_const.i64x2
             dt0 = i64x2*gv0
             dss0 = explicit_dynamic_slot dt0
             dss1 = explicit_dynamic_slot dt0
             fn0 = %callee(i64) system_v
         block0(v0: i64):
             v1 = dynamic_stack_addr.i64 dss0
             v2 = dynamic_stack_addr.i64 dss1
             store v2, v1
             call fn0(v0)
             return
         }",
    );
    let types = |func: &Function| {
        let slots = func.dynamic_stack_slots.values();
        slots
            .map(|slot| {
                func.dfg
                    .dynamic_types
                    .get(slot.dyn_ty)
                    .map(|ty| ty.base_vector_ty)
            })
            .collect::<Vec<_>>()
    };
    use cranelift_codegen::ir::types::{I16X8, I64X2};
    let right = [Some(I64X2), Some(I64X2), Some(I16X8)];
    let func = ours(&callee, &caller);
    assert_eq!(types(&func), right);
    check(&func, "aarch64").unwrap();
    let func = upstreams(&callee, &caller);
    assert_ne!(types(&func), right);
    check(&func, "aarch64").unwrap_err();
}

/// The block that a handler address names ends in a `try_call`; where calls
/// before it become `try_call`s, it is another block.
#[test]
fn handler_addresses_follow_their_try_call() {
    let [callee, caller] = parse(
        "function %callee(i64) -> i64 tail {
             sig0 = (i64) -> i64 tail
             fn0 = %g(i64) -> i64 tail
         block0(v0: i64):
             jump block1
         block1:
             v1 = get_exception_handler_address.i64 block1, 1
             v2 = call fn0(v1)
             try_call fn0(v2), sig0, block2(ret0), [ tag1: block2(exn0), tag2: block2(exn1) ]
         block2(v3: i64):
             return v3
         }
         function %caller(i64) -> i64 tail {
             sig0 = (i64) -> i64 tail
             fn0 = %callee(i64) -> i64 tail
         block0(v0: i64):
             try_call fn0(v0), sig0, block1(ret0), [ tag3: block1(exn0) ]
         block1(v1: i64):
             return v1
         }",
    );
    for target in ["x86_64", "aarch64"] {
        check(&ours(&callee, &caller), target).unwrap();
        check(&upstreams(&callee, &caller), target).unwrap_err();
    }
}
