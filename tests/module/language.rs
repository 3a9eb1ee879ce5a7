//! The example language's records, options, closures, iterators and tables: the same results
//! plainly compiled, inlined, and in both versions of a program.

use crate::support::{inlined_jit, plain_jit};

/// Compiles `text` plainly and with everything inlined; both must give `expected` for `argument`.
fn check(text: &str, function: &str, argument: i64, expected: i64) {
    let plain = plain_jit(text);
    assert_eq!(plain.call(function, &[argument]), expected, "plain");
    let (inlined, _) = inlined_jit(text, false);
    assert_eq!(inlined.call(function, &[argument]), expected, "inlined");
}

#[test]
fn loops_over_variables_give_their_result() {
    let text = "export fn power(n) = loop i = 0, p = 1 while i < n next i + 1, p * 2 in p;";
    check(text, "power", 10, 1024);
    check(text, "power", 0, 1);
}

#[test]
fn records_are_passed_by_reference_and_returned_by_copy() {
    let text = "
        record point { x, y };
        fn moved(p: point, by): point = point { x: p.x + by, y: p.y };
        fn shift(p: point) = set p.x = p.x * 10 in p.y;
        export fn both(n) =
            let p = point { x: n, y: 1 } in let q = moved(p, 5) in
            shift(p) * 1000000 + p.x * 1000 + q.x;";
    check(text, "both", 7, 1_070_012);
}

#[test]
fn options_tell_their_sides_apart() {
    let text = "
        fn half(n): option = if n % 2 > 0 then none else some n / 2;
        fn quarter(n): option = match half(n) some h then half(h) else none;
        export fn or_one(n) = match quarter(n) some q then q else 1;";
    for (argument, expected) in [(12, 3), (6, 1), (7, 1), (0, 0)] {
        check(text, "or_one", argument, expected);
    }
}

#[test]
fn closures_capture_values_and_references() {
    let text = "
        record cell { value };
        fn twice(f: closure, x) = f(f(x));
        export fn count(n) = let c = cell { value: 0 } in
            let add = |x| set c.value = c.value + 1 in x + n in
            twice(add, twice(|x| add(x) * 2, 1)) * 10 + c.value;";
    // The inner closure captures the outer one: ((1 + n) * 2 + n) * 2 + 2 n, four calls.
    check(text, "count", 3, (((1 + 3) * 2 + 3) * 2 + 3 + 3) * 10 + 4);
}

#[test]
fn folds_ask_their_iterator_until_it_ends() {
    let text = "
        record range { at, end };
        fn range_next(r: range): option =
            if r.at < r.end then let at = r.at in set r.at = at + 1 in some at else none;
        record take { inner: range, left };
        fn take_next(t: take): option =
            if t.left > 0 then set t.left = t.left - 1 in range_next(t.inner) else none;
        export fn total(n) = let r = range { at: 0, end: n } in
            (fold t = 0 over x in take { inner: r, left: 3 } of t + x) * 100
            + (fold t = 0 over x in r of t + x);";
    check(text, "total", 5, 3 * 100 + 7);
}

#[test]
fn tables_hold_the_addresses_of_functions() {
    let text = "
        fn square(x) = x * x;
        fn negated(x) = 0 - x;
        table operations = [square, negated];
        export fn both(n) = operations[0](n) + (sum i from 0 to 2 of operations[i](n));";
    check(text, "both", 9, 81 + 81 - 9);
}

#[test]
fn a_call_through_a_constant_table_is_a_call_of_the_function_there() {
    let text = "
        fn square(x) = x * x;
        fn negated(x) = 0 - x;
        table operations = [square, negated];
        export fn second(n) = operations[1](n);";
    for in_parallel in [false, true] {
        let (code, report) = inlined_jit(text, in_parallel);
        assert_eq!(code.call("second", &[9]), -9);
        let resolved = report.inlined().sites().filter(|site| site.is_resolved());
        let resolved: Vec<_> = resolved
            .map(|site| (site.callee.to_string(), site.inlined))
            .collect();
        assert_eq!(resolved, [("%negated".to_owned(), true)]);
    }
}
