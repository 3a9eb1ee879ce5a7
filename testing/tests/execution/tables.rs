//! Read-only tables of functions, as data of a program.

use crate::emulated::{EMULATED, emulator};
use crate::support::{FUEL, call, compile, engine, everywhere, natively, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner_testing::execute::{ExecuteError, Outcome, interpret};

/// A choice among the entries of a table: two functions of the program, one of the host, and one
/// before the symbol.
const CHOICE: &str = "\
; table: %handlers -16=%thrice 0=%twice 8=%outside 24=%thrice

function %main(i64, i64) -> i64 {
    gv0 = symbol colocated %handlers
    gv1 = symbol %handlers+8
    sig0 = (i64) -> i64
    fn0 = %outside(i64) -> i64
block0(v0: i64, v1: i64):
    v2 = symbol_value.i64 gv0
    v3 = iadd v2, v0
    v4 = load.i64 notrap v3
    v5 = call_indirect sig0, v4(v1)
    v6 = symbol_value.i64 gv1
    v7 = load.i64 notrap v6+16
    v8 = call_indirect sig0, v7(v5)
    return v8
}
function %twice(i64) -> i64 {
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}
function %thrice(i64) -> i64 {
block0(v0: i64):
    v1 = iadd v0, v0
    v2 = iadd v1, v0
    return v2
}
";

#[test]
fn calls_through_tables_reach_their_functions() {
    for (offset, factor) in [(-16, 3), (0, 2), (24, 3)] {
        let invocation = call("main", &[DataValue::I64(offset), DataValue::I64(7)]);
        let seen = everywhere(CHOICE, &invocation);
        let expected = Outcome::Returned(vec![DataValue::I64(21 * factor)]);
        assert_eq!(seen.outcome, expected, "{offset}");
        assert_eq!(seen.host_calls, []);
    }
    let seen = everywhere(
        CHOICE,
        &call("main", &[DataValue::I64(8), DataValue::I64(7)]),
    );
    assert_eq!(seen.host_calls.len(), 1);
    assert_eq!(seen.host_calls[0].arguments, [DataValue::I64(7)]);
}

#[test]
fn emulated_calls_through_tables_reach_their_functions_too() {
    let program = program(CHOICE);
    for architecture in EMULATED {
        let Some(emulator) = emulator(architecture, OptLevel::Speed) else {
            continue;
        };
        let compiled = compile(&program, emulator.isa()).unwrap();
        let mut linker = emulator.linker().unwrap();
        let number = linker.add(&program, &compiled).unwrap();
        let mut emulated = linker.link().unwrap();
        for offset in [-16, 0, 8, 24] {
            let invocation = call("main", &[DataValue::I64(offset), DataValue::I64(7)]);
            let expected = interpret(&program, &invocation, FUEL).unwrap();
            assert_eq!(emulated.call(number, &invocation), Ok(expected), "{offset}");
        }
    }
}

#[test]
fn tables_that_cannot_be_data_are_errors() {
    let invocation = call("main", &[DataValue::I64(0), DataValue::I64(7)]);
    for (entries, reason) in [
        ("0=%twice 4=%thrice", "overlap"),
        ("0=%twice 0x1000000=%thrice", "larger than 1 MiB"),
        ("0=%unknown", "%unknown"),
    ] {
        let text = CHOICE.replace("-16=%thrice 0=%twice 8=%outside 24=%thrice", entries);
        let error = natively(&text, &invocation).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // Other data is still unknown.
    let text = CHOICE.replace("%handlers+8", "%other+8");
    let error = engine(OptLevel::None).compile(&program(&text));
    assert!(matches!(error, Err(ExecuteError::Link { .. })), "{error:?}");
}
