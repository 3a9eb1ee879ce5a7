//! Calls in child processes.

use cranelift_codegen::data_value::DataValue;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, TargetSettings, compile_function, target,
};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::{
    ExecuteError, Invocation, IsolatedOutcome, IsolatedProgram, SharedCounters, process_symbol,
};

fn link(
    text: &str,
    symbol: impl Fn(&FunctionName) -> Option<*const u8>,
) -> Result<IsolatedProgram, ExecuteError> {
    let program = Program::from_clif(text, "isolated.clif").unwrap();
    let settings = TargetSettings::new().position_independent(false);
    let isa = target("host", &settings).unwrap();
    let mut scratch = CompileScratch::new();
    let compiled = program
        .iter()
        .map(|(_, function)| compile_function(&*isa, function.body(), &mut scratch).unwrap());
    let compiled: Vec<CompiledFunction> = compiled.collect();
    let compiled: Vec<&CompiledFunction> = compiled.iter().collect();
    let callable = program
        .iter()
        .map(|(_, function)| (function.name(), &function.body().signature));
    IsolatedProgram::link(&isa, &program, &compiled, callable, symbol)
}

fn call(function: &str, arguments: &[i64]) -> Invocation {
    Invocation {
        function: function.parse().unwrap(),
        arguments: arguments
            .iter()
            .map(|&value| DataValue::I64(value))
            .collect(),
    }
}

const COUNT_AND_DIVIDE: &str = "
function %divide(i64, i64) -> i64 {
    gv0 = symbol %counter
block0(v0: i64, v1: i64):
    v2 = symbol_value.i64 gv0
    v3 = load.i64 v2
    v6 = iconst.i64 1
    v4 = iadd v3, v6
    store v4, v2
    v5 = sdiv v0, v1
    return v5
}
function %by_value(i64 sarg(16)) {
block0(v0: i64):
    return
}";

#[test]
fn a_call_that_ends_its_process_does_not_end_the_others() {
    let counters = SharedCounters::new(1).unwrap();
    let program = link(COUNT_AND_DIVIDE, |_| Some(counters.address())).unwrap();
    let invocations = [
        call("divide", &[9, 3]),
        call("divide", &[9, 0]),
        call("divide", &[8, 2]),
        call("divide", &[8]),
        call("unknown", &[]),
        call("by_value", &[0]),
    ];
    let ended = program.call_all(&invocations);
    let [first, second, third, fourth, fifth, sixth] = ended.as_slice() else {
        panic!("{ended:?}");
    };
    let returned = |outcome: &Result<_, _>, value| matches!(outcome, Ok(IsolatedOutcome::Returned(values)) if *values == [DataValue::I64(value)]);
    assert!(returned(first, 3) && returned(third, 4), "{ended:?}");
    assert!(
        matches!(second, Ok(IsolatedOutcome::Ended(how)) if how.contains("signal")),
        "{second:?}"
    );
    assert!(matches!(fourth, Err(ExecuteError::Arguments { .. })));
    assert!(matches!(fifth, Err(ExecuteError::UnknownFunction { .. })));
    assert!(matches!(sixth, Err(ExecuteError::Signature { .. })));
    // Including the counts of the child that died.
    assert_eq!(counters.counts(), [3]);
}

#[test]
fn a_name_without_an_address_is_an_error_with_the_name() {
    let error = link(COUNT_AND_DIVIDE, |_| None).unwrap_err();
    assert!(matches!(error, ExecuteError::Link { .. }));
    assert!(error.to_string().contains("%counter"), "{error}");
}

#[test]
fn symbols_are_those_of_the_process_and_of_cranelift() {
    for symbol in [
        "abs",
        "ceilf",
        "__cranelift_throw",
        "__cranelift_x86_pshufb",
    ] {
        assert!(process_symbol(symbol).is_some(), "{symbol}");
    }
    for symbol in ["", "no_function_has_this_name", "with\0zero"] {
        assert_eq!(process_symbol(symbol), None);
    }
}

#[test]
fn tables_are_defined_for_isolated_programs() {
    let text = "\
; table: %handlers -8=%twice 16=%outside

function %main(i64, i64) -> i64 {
    gv0 = symbol colocated %handlers
    sig0 = (i64) -> i64
block0(v0: i64, v1: i64):
    v2 = symbol_value.i64 gv0
    v3 = iadd v2, v0
    v4 = load.i64 notrap v3
    v5 = call_indirect sig0, v4(v1)
    return v5
}
function %twice(i64) -> i64 {
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}";
    let outside = |name: &FunctionName| {
        let is_outside = name.to_string() == "%outside";
        is_outside.then(|| process_symbol("labs")).flatten()
    };
    let program = link(text, outside).unwrap();
    let ended = program.call_all(&[call("main", &[-8, -21]), call("main", &[16, -21])]);
    let returned = |outcome: &Result<_, _>, value| matches!(outcome, Ok(IsolatedOutcome::Returned(values)) if *values == [DataValue::I64(value)]);
    assert!(
        returned(&ended[0], -42) && returned(&ended[1], 21),
        "{ended:?}"
    );
    let error = link(text, |_| None).unwrap_err().to_string();
    assert!(error.contains("%outside"), "{error}");
}
