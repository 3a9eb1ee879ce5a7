//! Linking reports missing and ambiguous definitions.

use crate::support::{call, engine, name, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function, target};
use cranelift_inliner_testing::execute::{Engine, ExecuteError};

fn link_error(clif: &str) -> ExecuteError {
    let result = engine(OptLevel::None).compile(&program(clif));
    result.expect_err("an error")
}

#[test]
fn a_function_that_was_dropped_and_is_called_is_missed() {
    let program = program(
        "
function %main() {
    fn0 = %dropped()
block0:
    call fn0()
    return
}
function %dropped() {
block0:
    return
}",
    );
    let engine = engine(OptLevel::None);
    let main = program.id(&name("main")).unwrap();
    let body = program[main].body();
    let compiled = compile_function(engine.isa(), body, &mut CompileScratch::new()).unwrap();
    match engine.link(&program, [&compiled]) {
        Err(ExecuteError::Link { function, reason }) => {
            assert_eq!(function, name("main"));
            assert!(
                reason.contains("%dropped, which was not compiled"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_is_no_data() {
    let error = link_error(
        "
function %main() -> i64 {
    gv0 = symbol %table
block0:
    v0 = symbol_value.i64 gv0
    return v0
}",
    );
    match error {
        ExecuteError::Link { function, reason } => {
            assert_eq!(function, name("main"));
            assert!(
                reason.contains("%table, which is not a function"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_function_of_the_host_has_one_signature() {
    let error = link_error(
        "
function %main(i32) {
    fn0 = %host(i32)
    fn1 = %host(i32) -> i32
block0(v0: i32):
    call fn0(v0)
    v1 = call fn1(v0)
    return
}",
    );
    assert!(
        matches!(&error, ExecuteError::Signature { function, .. } if *function == name("host")),
        "{error:?}"
    );
}

#[test]
fn only_functions_called_from_outside_must_be_callable_so() {
    let clif = "
function %by_value(i64 sarg(16)) -> i64 system_v {
block0(v0: i64):
    v1 = load.i64 v0+8
    return v1
}
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 16, align = 8
    fn0 = colocated %by_value(i64 sarg(16)) -> i64 system_v
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1+8
    v2 = call fn0(v1)
    return v2
}";
    let native = engine(OptLevel::Speed).compile(&program(clif)).unwrap();
    let seen = native.call(&call("main", &[DataValue::I64(9)])).unwrap();
    assert_eq!(format!("{:?}", seen.outcome), "Returned([I64(9)])");
    let by_value = native.call(&call("by_value", &[DataValue::I64(0)]));
    assert!(
        matches!(&by_value, Err(ExecuteError::Signature { reason, .. }) if reason.contains("struct")),
        "{by_value:?}"
    );
}

#[test]
fn only_exported_functions_are_called_from_outside() {
    let mut program = program(
        "
function %main() {
block0:
    return
}
function %other() {
block0:
    return
}",
    );
    program.export_only(&[name("main")]).unwrap();
    let native = engine(OptLevel::None).compile(&program).unwrap();
    assert!(native.call(&call("main", &[])).is_ok());
    let other = native.call(&call("other", &[]));
    assert!(matches!(other, Err(ExecuteError::UnknownFunction { .. })));
}

#[test]
fn handlers_that_need_registers_restored_are_refused() {
    let error = link_error(
        "
function %main() {
    sig0 = () system_v
    fn0 = %host sig0
block0:
    try_call fn0(), sig0, block1, [ default: block1 ]
block1:
    return
}",
    );
    match error {
        ExecuteError::Signature { function, reason } => {
            assert_eq!(function, name("main"));
            assert!(reason.contains("system_v"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_engine_is_for_this_machine() {
    let plain = TargetSettings::new().position_independent(false);
    let no_frames = plain.clone().setting("preserve_frame_pointers=false");
    for (name, settings) in [
        ("aarch64", &plain),
        ("host", &TargetSettings::new()),
        ("host", &no_frames),
    ] {
        let engine = Engine::for_isa(target(name, settings).unwrap());
        assert!(
            matches!(engine, Err(ExecuteError::Unsupported { .. })),
            "{name}"
        );
    }
    assert!(Engine::for_isa(target("host", &plain).unwrap()).is_ok());
    let unknown = Engine::new(&TargetSettings::new().setting("has_wings"));
    assert!(matches!(unknown, Err(ExecuteError::Target(_))));
}
