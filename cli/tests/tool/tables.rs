//! Read-only tables of functions in the text, in the tool.

use crate::support::Workplace;

/// The form in which rustc compiles a call of a trait's method: the object's data, and its vtable.
const DYN: &str = "\
function %main(i64) -> i64 {
    ss0 = explicit_slot 8
    gv0 = symbol colocated %vtable
    fn0 = colocated %drive(i64, i64, i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store notrap v0, v1
    v2 = symbol_value.i64 gv0
    v3 = call fn0(v1, v2, v0)
    return v3
}
function %drive(i64, i64, i64) -> i64 {
    sig0 = (i64, i64) -> i64
block0(v0: i64, v1: i64, v2: i64):
    v3 = iconst.i64 24
    v4 = iadd v1, v3
    v5 = load.i64 notrap v4
    v6 = call_indirect sig0, v5(v0, v2)
    return v6
}
function %area(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = load.i64 notrap v0
    v3 = imul v2, v1
    return v3
}
";

#[test]
fn tables_in_the_text_resolve_virtual_calls() {
    let with = format!("; The vtable of a square.\n; table: %vtable 24=%area\n\n{DYN}");
    let place = Workplace::with(&[("with.clif", &with), ("without.clif", DYN)]);
    let arguments = "--policy always --export main --check --stats=json";
    let stats = place
        .run(&format!("opt with.clif -o out.clif {arguments}"))
        .json();
    assert_eq!(stats["transforms"]["calls_resolved"], 1);
    assert_eq!(stats["transforms"]["table_loads_replaced"], 1);
    assert_eq!(stats["transforms"]["slots_promoted"], 1);
    let out = place.read("out.clif");
    assert!(
        out.starts_with("; table: %vtable 24=%area\n\nfunction %main"),
        "{out}"
    );
    assert!(!out.contains("call"), "{out}");
    // The table still holds it.
    assert!(out.contains("function %area"), "{out}");
    let again = place.run("opt out.clif --policy always -o again.clif");
    again.ok();
    assert_eq!(place.read("again.clif"), out);
    let stats = place
        .run(&format!("opt without.clif -o out.clif {arguments}"))
        .json();
    assert_eq!(stats["transforms"]["calls_resolved"], 0);
}

#[test]
fn tables_of_several_files_are_put_together() {
    let functions: Vec<_> = DYN.split_inclusive("}\n").collect();
    let place = Workplace::with(&[
        (
            "a.clif",
            &format!("; table: %vtable 24=%area\n{}", functions[0]),
        ),
        (
            "b.clif",
            &format!("; table: %vtable 0=%drop\n{}", functions[1]),
        ),
        ("c.clif", functions[2]),
        (
            "other.clif",
            &format!("\n; table: %vtable 24=%drop\n{}", functions[2]),
        ),
    ]);
    place
        .run("opt a.clif b.clif c.clif -o out.clif --policy always")
        .ok();
    let out = place.read("out.clif");
    assert!(
        out.starts_with("; table: %vtable 0=%drop 24=%area\n"),
        "{out}"
    );
    let failed = place
        .run("opt a.clif b.clif other.clif -o out.clif")
        .failed();
    assert!(
        failed.contains("other.clif:2: table %vtable has %drop at 24, and has %area elsewhere"),
        "{failed}"
    );
}

#[test]
fn modules_with_tables_run_inlined_or_not() {
    // The directive calls the function before it.
    let functions: Vec<_> = DYN.split_inclusive("}\n").collect();
    let ordered = format!(
        "; table: %vtable 24=%area\n\n{}{}{}; run: %main(7) == 49\n",
        functions[1], functions[2], functions[0]
    );
    let bad = ordered.replace("24=%area", "24:%area");
    let missing = ordered.replace("24=%area", "24=%no_such_function");
    let place = Workplace::with(&[
        ("m.clif", &ordered),
        ("bad.clif", &bad),
        ("missing.clif", &missing),
    ]);
    for policy in ["never", "always"] {
        let told = place.run(&format!("run m.clif --policy {policy}")).ok();
        assert!(told.contains("1 passed"), "{told}");
    }
    let failed = place.run("run bad.clif").failed();
    assert!(failed.contains("bad.clif:1: "), "{failed}");
    // A table with an unknown function passes the directive over, with the reason.
    let told = place.run("run missing.clif --policy never").ok();
    assert!(told.contains("no function %no_such_function"), "{told}");
}
