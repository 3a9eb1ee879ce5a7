//! The stack as it was at calls of the host.

use crate::support::{call, engine, name, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;

#[test]
fn each_call_of_the_host_has_the_stack_it_was_made_on() {
    let clif = "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8
    fn0 = %inner(i64) tail
    fn1 = %host(i64, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1
    call fn0(v0)
    v2 = iconst.i64 1
    v3 = iadd v0, v2
    store v3, v1
    call fn1(v1, v0)
    v4 = load.i64 v1
    return v4
}
function %inner(i64) tail {
    ss0 = explicit_slot 8
    fn0 = %host(i64, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = bnot v0
    store v2, v1
    call fn0(v1, v2)
    return
}";
    let native = engine(OptLevel::None).compile(&program(clif)).unwrap();
    let main = call("main", &[DataValue::I64(0x1234_5678)]);
    let (seen, snapshots) = native.call_with_snapshots(&main).unwrap();
    assert_eq!(seen.host_calls.len(), 2);
    assert_eq!(snapshots.len(), 2);
    let places = ["inner", "main"].map(|function| {
        let start = native.text() + native.offset(&name(function)).unwrap();
        start..start + 0x200
    });
    let values = [!0x1234_5678_i64, 0x1234_5679];
    for index in 0..2 {
        let snapshot = &snapshots[index];
        assert!(places[index].contains(&snapshot.pc));
        let [DataValue::I64(slot), _] = seen.host_calls[index].arguments[..] else {
            panic!("{seen:?}");
        };
        let at = (slot as u64 - snapshot.base) as usize;
        assert_eq!(snapshot.stack[at..at + 8], values[index].to_le_bytes());
        assert!(slot as u64 <= snapshot.fp && snapshot.base <= slot as u64);
    }
    // `%inner`'s frame has that of `%main` above it.
    assert!(snapshots[0].fp < snapshots[1].fp);
    let saved = (snapshots[0].fp - snapshots[0].base) as usize;
    let saved = &snapshots[0].stack[saved..saved + 8];
    assert_eq!(saved, snapshots[1].fp.to_le_bytes());
    assert_eq!(native.offset(&name("host")), None);
}

#[test]
fn throwing_is_a_call_of_the_host_too() {
    let clif = "
function %main() tail {
    fn0 = %throw(i64, i64) tail
block0:
    v0 = iconst.i64 5
    call fn0(v0, v0)
    return
}";
    let native = engine(OptLevel::None).compile(&program(clif)).unwrap();
    let (seen, snapshots) = native.call_with_snapshots(&call("main", &[])).unwrap();
    assert_eq!(seen.host_calls.len(), 1);
    assert_eq!(snapshots.len(), 1);
}
