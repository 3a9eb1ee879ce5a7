//! Arguments, results, and calls of the host, for every type and convention.

use crate::support::{FUEL, call, everywhere, name, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner_testing::execute::{Outcome, interpret};

#[test]
fn calls_of_the_host_are_noted_in_order() {
    let clif = "
function %main(i64) -> i64 {
    fn0 = %first(i64) -> i64
    fn1 = %inner(i64) -> i64 tail
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = call fn0(v2)
    v4 = iadd v1, v3
    return v4
}
function %inner(i64) -> i64 tail {
    fn0 = u7:3(i64, f32) -> i64, i8 fast
    fn1 = %last(i64, i8) -> i64 tail
block0(v0: i64):
    v1 = f32const 0x1.8
    v2, v3 = call fn0(v0, v1)
    return_call fn1(v2, v3)
}";
    let seen = everywhere(clif, &call("main", &[DataValue::I64(5)]));
    let names: Vec<_> = seen.host_calls.iter().map(|call| &call.function).collect();
    assert_eq!(
        names,
        [&name("first"), &name("u7:3"), &name("last"), &name("first")]
    );
    assert_eq!(seen.host_calls[0].arguments, [DataValue::I64(5)]);
    assert_eq!(
        seen.host_calls[1].arguments[1],
        DataValue::F32(1.5_f32.into())
    );
    assert!(matches!(&seen.outcome, Outcome::Returned(values) if values.len() == 1));
    // The second call of the same function with other arguments answers otherwise.
    let other = everywhere(clif, &call("main", &[DataValue::I64(6)]));
    assert_ne!(seen.outcome, other.outcome);
}

/// Returns more parameters of all types than there are registers, in and out.
fn all_types(convention: &str, results: &str) -> String {
    let types = "i8, i16, i32, i64, i128, f32, f64, i8x16, i16x8, i32x4, i64x2, f32x4, f64x2";
    let both = format!("{types}, {types}");
    let params: Vec<String> = both
        .split(", ")
        .enumerate()
        .map(|(index, ty)| format!("v{index}: {ty}"))
        .collect();
    let arguments: Vec<String> = (0..params.len()).map(|index| format!("v{index}")).collect();
    let returned: Vec<String> = (0..results.split(", ").count())
        .map(|index| format!("v{}", 100 + index))
        .collect();
    format!(
        "
function %main({both}) -> {results} {convention} {{
    fn0 = %inner({both}) -> {results} {convention}
block0({params}):
    {returned} = call fn0({arguments})
    return {returned}
}}
function %inner({both}) -> {results} {convention} {{
    fn0 = %host({both}) -> {results} {convention}
block0({params}):
    {returned} = call fn0({arguments})
    return {returned}
}}",
        params = params.join(", "),
        arguments = arguments.join(", "),
        returned = returned.join(", "),
    )
}

fn values() -> Vec<DataValue> {
    let lanes = |first: u8| {
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = first + index as u8;
        }
        DataValue::V128(bytes)
    };
    let mut values = Vec::new();
    for round in 1..=2_u8 {
        let n = i64::from(round);
        values.extend([
            DataValue::I8(-n as i8),
            DataValue::I16(-300 * n as i16),
            DataValue::I32(-70_000 * n as i32),
            DataValue::I64(-5_000_000_000 * n),
            DataValue::I128(i128::MIN + i128::from(n)),
            DataValue::F32((n as f32 / 4.0).into()),
            DataValue::F64((n as f64 / 8.0).into()),
        ]);
        values.extend((0..6).map(|lane| lanes(round * 100 + lane)));
    }
    values
}

#[test]
fn every_type_passes_through_every_convention() {
    let many = "i8, i16, i32, i64, i128, f32, f64, i8x16, i16x8, i32x4, i64x2, f32x4, f64x2";
    for (convention, results) in [
        ("fast", "i128, i32x4, f32"),
        ("tail", many),
        ("system_v", "i8, f32"),
        ("system_v", "i128"),
        ("system_v", "i32x4, f64x2"),
        ("windows_fastcall", "i64"),
        ("windows_fastcall", "f64"),
    ] {
        let mut clif = all_types(convention, results);
        let mut arguments = values();
        if convention == "windows_fastcall" {
            // It has no i128.
            clif = clif.replace("i128", "i64");
            for value in &mut arguments {
                if let DataValue::I128(bits) = value {
                    *value = DataValue::I64(*bits as i64);
                }
            }
        }
        let seen = everywhere(&clif, &call("main", &arguments));
        assert_eq!(seen.host_calls.len(), 1, "{convention}");
        assert_eq!(seen.host_calls[0].arguments, arguments, "{convention}");
        let Outcome::Returned(returned) = seen.outcome else {
            panic!("{convention}: {seen:?}");
        };
        assert_eq!(returned.len(), results.split(", ").count(), "{convention}");
    }
}

#[test]
fn addresses_of_functions_can_be_called() {
    let clif = "
function %main(i64) -> i64 {
    sig0 = (i64) -> i64
    fn0 = %inner(i64) -> i64
    fn1 = %host(i64) -> i64
block0(v0: i64):
    v1 = func_addr.i64 fn0
    v2 = call_indirect sig0, v1(v0)
    v3 = func_addr.i64 fn1
    v4 = call_indirect sig0, v3(v2)
    return v4
}
function %inner(i64) -> i64 {
block0(v0: i64):
    v2 = iconst.i64 3
    v1 = iadd v0, v2
    return v1
}";
    let seen = everywhere(clif, &call("main", &[DataValue::I64(5)]));
    assert_eq!(seen.host_calls.len(), 1);
    assert_eq!(seen.host_calls[0].function, name("host"));
    assert_eq!(seen.host_calls[0].arguments, [DataValue::I64(8)]);
}

#[test]
fn every_nan_is_the_same_and_the_sign_of_zero_is_not() {
    let clif = "
function %main(f64, f64) -> f64, i64 {
    fn0 = %host(f64)
block0(v0: f64, v1: f64):
    v2 = fdiv v0, v1
    call fn0(v0)
    v3 = bitcast.i64 v2
    return v2, v3
}";
    let odd_nan = DataValue::F64(f64::from_bits(0xfff8_0000_0000_0007).into());
    let zero = |sign: f64| DataValue::F64((sign * 0.0).into());
    let main = |one: &DataValue, other: &DataValue| {
        everywhere(clif, &call("main", &[one.clone(), other.clone()]))
    };
    let canonical = f64::from_bits(0x7ff8_0000_0000_0000);
    let expected = Outcome::Returned(vec![
        DataValue::F64(canonical.into()),
        DataValue::I64(canonical.to_bits() as i64),
    ]);
    let of_nan = main(&odd_nan, &zero(1.0));
    assert_eq!(of_nan.outcome, expected);
    assert!(of_nan.host_calls[0].arguments[0].bitwise_eq(&DataValue::F64(canonical.into())));
    assert_eq!(main(&zero(1.0), &zero(1.0)).outcome, expected);
    assert_ne!(main(&zero(-1.0), &zero(1.0)), main(&zero(1.0), &zero(1.0)));
}

#[test]
fn results_of_the_host_are_fixed_and_go_both_ways() {
    let clif = "
function %main(i64) -> i64, i64, f32, i8, f64x2 tail {
    fn0 = %host(i64) -> i64, f32, i8, f64x2 tail
block0(v0: i64):
    v1, v2, v3, v4 = call fn0(v0)
    v5, v6, v7, v8 = call fn0(v0)
    return v1, v5, v2, v3, v4
}";
    let program = program(clif);
    let mut small = 0;
    let mut zero = 0;
    let mut floats = Vec::new();
    for argument in 0..400 {
        let main = call("main", &[DataValue::I64(argument)]);
        let seen = interpret(&program, &main, FUEL).unwrap();
        assert_eq!(interpret(&program, &main, FUEL).unwrap(), seen);
        let Outcome::Returned(values) = seen.outcome else {
            panic!("{seen:?}");
        };
        let [
            DataValue::I64(first),
            DataValue::I64(second),
            DataValue::F32(float),
            DataValue::I8(byte),
            DataValue::V128(lanes),
        ] = values[..]
        else {
            panic!("{values:?}");
        };
        // The same arguments at another place in the order.
        if (-8..8).contains(&first) {
            small += 1;
        } else {
            assert_ne!(first, second);
        }
        zero += usize::from(byte == 0);
        floats.push(f64::from(float.as_f32()));
        for lane in lanes.as_chunks::<8>().0 {
            floats.push(f64::from_le_bytes(*lane));
        }
    }
    assert!((120..280).contains(&small), "{small}");
    assert!((20..120).contains(&zero), "{zero}");
    for &float in &floats {
        assert!((-8.0..8.0).contains(&float) && (float * 4.0).fract() == 0.0);
    }
    floats.sort_by(f64::total_cmp);
    floats.dedup();
    assert_eq!(floats.len(), 64);
}
