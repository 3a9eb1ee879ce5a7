use std::path::Path;

use super::{RunReport, Script, execute};

const HOST: &str = if cfg!(target_arch = "x86_64") {
    "x86_64"
} else if cfg!(target_arch = "aarch64") {
    "aarch64"
} else if cfg!(target_arch = "riscv64") {
    "riscv64"
} else {
    "s390x"
};

const OTHER: &str = if cfg!(target_arch = "x86_64") {
    "aarch64"
} else {
    "x86_64"
};

fn run(text: &str) -> RunReport {
    let script = Script::parse(Path::new("sample.clif"), text).expect("the text is CLIF");
    execute(&script, &script.functions, None)
}

fn assert_all_pass(text: &str) {
    let report = run(text);
    let failed: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
    let over: Vec<String> = report.passed_over.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{text}");
    assert!(over.is_empty(), "{over:#?}\n{text}");
    assert_eq!(report.passed, text.matches("; run").count());
}

/// Returns a file whose header asks for one run here, with `flags` set before its target.
fn on_host(flags: &str, functions: &str) -> String {
    format!("test run\n{flags}\ntarget {HOST}\n{functions}")
}

const ADD: &str = "
function %add(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    return v2
}
";

#[test]
fn a_directive_that_holds_passes_and_one_that_does_not_names_its_line() {
    let report = run(&format!(
        "{ADD}; run: %add(2, 3) == 5\n; run: %add(2, 3) == 6\n; run: %add(1, 1) != 2\n"
    ));
    assert_eq!(report.passed, 1);
    let failed: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
    assert_eq!(
        failed,
        [
            "sample.clif:8: run: %add(2, 3) == 6, but it returned 5 (target host)",
            "sample.clif:9: run: %add(1, 1) != 2, but it returned 2 (target host)",
        ]
    );
}

#[test]
fn print_directives_print_the_call_and_its_results() {
    let report = run(&format!("{ADD}; print: %add(40, 2)\n"));
    assert_eq!(report.printed, ["%add(40, 2) -> 42"]);
    assert_eq!((report.passed, report.failed.len()), (1, 0));
}

#[test]
fn run_alone_asks_for_a_result_other_than_zero() {
    let constant = |value: i64| {
        format!(
            "function %f() -> i64 {{\nblock0:\n  v0 = iconst.i64 {value}\n  return v0\n}}\n; run\n"
        )
    };
    assert_eq!(run(&constant(1 << 40)).passed, 1);
    let report = run(&constant(0));
    assert_eq!((report.passed, report.failed.len()), (0, 1));
    assert_eq!(report.failed[0].line, 6);
}

#[test]
fn comments_in_prose_are_no_directives() {
    let script = Script::parse(
        Path::new("sample.clif"),
        &format!("{ADD}; run this by hand\n; printing is next\n;; run : %add(0, 1) == 1\n"),
    )
    .expect("the text is CLIF");
    assert_eq!(script.directive_count(), 1);
    assert_eq!(execute(&script, &script.functions, None).passed, 1);
}

#[test]
fn a_malformed_directive_fails() {
    let report = run(&format!("{ADD}; run: %add(2) == 5\n"));
    assert_eq!((report.passed, report.failed.len()), (0, 1));
    assert_eq!(report.failed[0].line, 7);
}

#[test]
fn directives_are_held_against_the_functions_given_not_those_of_the_file() {
    let text = format!("{ADD}; run: %add(2, 3) == 5\n");
    let script = Script::parse(Path::new("sample.clif"), &text).expect("the text is CLIF");
    let other = Script::parse(Path::new("sample.clif"), &text.replace("iadd", "isub"));
    let other = other.expect("the text is CLIF");
    let report = execute(&script, &other.functions, None);
    assert_eq!((report.passed, report.failed.len()), (0, 1));
    let report = execute(
        &script,
        &Vec::<cranelift_codegen::ir::Function>::new(),
        None,
    );
    assert_eq!((report.passed, report.failed.len()), (0, 1));
    assert!(report.failed[0].message.contains("%add"));
}

#[test]
fn a_text_that_is_not_clif_is_an_error_with_its_line() {
    let error = Script::parse(
        Path::new("bad.clif"),
        "function %f() {\nblock0:\n  frob\n}\n",
    )
    .err()
    .expect("no such instruction");
    assert_eq!(error.line, 3);
    assert!(error.to_string().starts_with("bad.clif:3: "));
}

#[test]
fn each_target_of_this_machine_runs_once_and_others_are_passed_over() {
    let report = run(&format!(
        "test run\ntarget {HOST}\nset opt_level=speed\ntarget {HOST}\ntarget {OTHER}\n\
         {ADD}; run: %add(2, 3) == 5\n; run: %add(2, 3) == 4\n"
    ));
    assert_eq!(report.passed, 2);
    assert_eq!(report.failed.len(), 2);
    assert_eq!(report.directives_passed_over(), 2);
    let [entry] = report.passed_over.as_slice() else {
        panic!("one reason for both directives: {:?}", report.passed_over);
    };
    assert!(entry.reason.starts_with(&format!("target {OTHER}: ")));
}

#[test]
fn files_that_ask_for_other_tests_are_passed_over_with_the_reason() {
    let report = run(&format!("test interpret\n{ADD}; run: %add(2, 3) == 4\n"));
    assert_eq!((report.passed, report.failed.len()), (0, 0));
    assert_eq!(
        report.passed_over[0].to_string(),
        "sample.clif: its header asks for `test interpret`, not `test run`"
    );
    let pinned = on_host(
        "set enable_pinned_reg",
        &format!("{ADD}; run: %add(2, 3) == 4\n"),
    );
    let report = run(&pinned);
    assert_eq!((report.passed, report.failed.len()), (0, 0));
    assert!(report.passed_over[0].reason.contains("enable_pinned_reg"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn features_that_a_target_does_not_name_are_not_used() {
    let shuffle = "function %s(i8x16, i8x16) -> i8x16 {
block0(v0: i8x16, v1: i8x16):
    v2 = swizzle v0, v1
    v3 = shuffle v2, v1, [0 31 2 3 4 5 6 7 8 9 10 11 12 13 14 15]
    return v3
}
; run: %s([9 8 7 6 5 4 3 2 1 0 1 2 3 4 5 6], [1 0 99 15 1 1 1 1 1 1 1 1 1 1 1 4]) \
== [8 4 0 6 8 8 8 8 8 8 8 8 8 8 8 5]
";
    // Without SSSE3 this goes through a routine of the host.
    assert_all_pass(&on_host("", shuffle));
}

#[test]
fn calls_that_cannot_run_here_are_passed_over_and_the_rest_runs() {
    let report = run(&format!(
        "{ADD}; run: %add(2, 3) == 5
function %thread_local() -> i64 {{
    gv0 = symbol tls %counter
block0:
    v0 = tls_value.i64 gv0
    return v0
}}
; run: %thread_local() == 0
function %unknown() -> i64 {{
    fn0 = %no_function_has_this_name() -> i64
block0:
    v0 = call fn0()
    return v0
}}
function %reaches_unknown() -> i64 {{
    fn0 = %unknown() -> i64
block0:
    v0 = call fn0()
    return v0
}}
; run: %reaches_unknown() == 0
function %by_value(i64 sarg(64)) -> i64 {{
block0(v0: i64):
    return v0
}}
; run: %by_value(0) == 0
"
    ));
    assert_eq!((report.passed, report.failed.len()), (1, 0));
    let over: Vec<_> = report
        .passed_over
        .iter()
        .map(|entry| (entry.line, entry.reason.as_str()))
        .collect();
    let [(Some(14), tls), (Some(27), unknown), (Some(32), by_value)] = over.as_slice() else {
        panic!("{over:#?}");
    };
    assert!(tls.contains("thread-local"));
    assert!(unknown.contains("%no_function_has_this_name"));
    assert!(by_value.contains("by-value"));
}

#[test]
fn a_trap_fails_its_directive_and_the_next_ones_run() {
    let report = run("
function %divide(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = udiv v0, v1
    return v2
}
; run: %divide(6, 3) == 2
; run: %divide(6, 0) == 2
; run: %divide(6, 2) == 3
function %write(i64) {
block0(v0: i64):
    store v0, v0
    return
}
; run: %write(8) == []
function %nothing() {
block0:
    return
}
; run: %nothing() == []
");
    assert_eq!(report.passed, 3);
    let failed: Vec<_> = report.failed.iter().map(|failure| failure.line).collect();
    assert_eq!(failed, [8, 15]);
    for failure in &report.failed {
        assert!(failure.message.contains("signal"), "{failure}");
    }
}

#[test]
fn a_function_that_does_not_compile_fails_the_directives_that_reach_it() {
    let report = run(&format!(
        "{ADD}; run: %add(2, 3) == 5
function %twice_defined(i32) -> i32 {{
block0(v0: i32):
    v1 = iadd v0, v0
    jump block1
block1:
    v2 = iadd v1, v3
    v3 = iadd v1, v1
    return v2
}}
; run: %twice_defined(1) == 1
function %caller(i32) -> i32 {{
    fn0 = %twice_defined(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}}
; run: %caller(1) == 1
"
    ));
    assert_eq!(report.passed, 1);
    let lines: Vec<_> = report.failed.iter().map(|failure| failure.line).collect();
    assert_eq!(lines, [17, 24]);
    for failure in &report.failed {
        let message = &failure.message;
        assert!(
            message.contains("%twice_defined does not compile"),
            "{failure}"
        );
    }
}

#[test]
fn values_of_every_type_go_through_registers_and_stack_unchanged() {
    let samples = [
        ("i8", "-128"),
        ("i16", "-32768"),
        ("i32", "0x80000001"),
        ("i64", "0x8000000000000001"),
        ("i128", "0xFEDCBA98_76543210_F7E6D5C4_B3A29180"),
        ("f32", "-0x1.8p-3"),
        ("f32", "+sNaN:0x1"),
        ("f64", "-NaN:0x4000000000001"),
        ("i8x16", "[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -1]"),
        ("i16x8", "[1 2 3 4 5 6 7 -1]"),
        ("i32x4", "[1 2 3 -1]"),
        ("i64x2", "[1 -2]"),
        ("f32x4", "[0x1.0 0x2.0 -0x3.0 +NaN]"),
        ("f64x2", "[0x1.0 -Inf]"),
    ];
    let mut text = on_host(
        "set enable_llvm_abi_extensions\nset enable_multi_ret_implicit_sret",
        "",
    );
    for convention in ["system_v", "fast", "tail"] {
        for (number, (ty, value)) in samples.iter().enumerate() {
            // One in a register, and one behind so many others that the stack holds it.
            let name = format!("{convention}_{number}");
            let params = ["i64"; 12].join(", ");
            let filler: Vec<String> = (2..14).map(|v| format!("v{v}: i64")).collect();
            let filler = filler.join(", ");
            text += &format!(
                "function %{name}({ty}, {params}, {ty}) -> {ty}, i64, i64, i64, {ty} {convention} {{
block0(v0: {ty}, {filler}, v1: {ty}):
    return v1, v2, v7, v13, v0
}}
; run: %{name}({value}, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, {value}) == [{value}, 2, 7, 13, {value}]
"
            );
        }
    }
    assert_all_pass(&text);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn narrow_and_wide_floats_go_through() {
    assert_all_pass(&on_host(
        "set enable_llvm_abi_extensions",
        "function %half(f16, f16) -> f16 tail {
block0(v0: f16, v1: f16):
    return v1
}
; run: %half(0x1.0, -0x1.4p1) == -0x1.4p1
function %quad(f128, f128) -> f128 {
block0(v0: f128, v1: f128):
    return v1
}
; run: %quad(0x1.0, 0x0.8000000000000000000000000000p-16382) == 0x0.8000000000000000000000000000p-16382
",
    ));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_remaining_calling_conventions_are_called() {
    assert_all_pass(&on_host(
        "",
        "function %windows(i64, f64, i64, i64, i8, i64) -> i64 windows_fastcall {
block0(v0: i64, v1: f64, v2: i64, v3: i64, v4: i8, v5: i64):
    v6 = isub v0, v5
    return v6
}
; run: %windows(9, 0x1.0, 1, 2, 3, 4) == 5
function %winch(i64, i64) -> i64 winch {
block0(v0: i64, v1: i64):
    v2 = isub v0, v1
    return v2
}
; run: %winch(9, 4) == 5
function %preserve(i64) preserve_all {
block0(v0: i64):
    return
}
; run: %preserve(1) == []
",
    ));
}

#[test]
fn functions_call_each_other_by_any_name_and_the_host_by_its_names() {
    assert_all_pass(&on_host(
        "",
        "function u0:7(i64) -> i64 {
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}
; run: %u(4) == 8
function %near(i64) -> i64 {
    fn0 = colocated u0:7(i64) -> i64
    fn1 = colocated %through_address(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}
; run: %near(4) == 16
function %through_address(i64) -> i64 {
    sig0 = (i64) -> i64
    fn0 = u0:7(i64) -> i64
block0(v0: i64):
    v1 = func_addr.i64 fn0
    v2 = call_indirect sig0, v1(v0)
    return v2
}
; run: %through_address(4) == 8
function %routines(f32) -> f32, i32 {
    fn0 = %CeilF32(f32) -> f32
    fn1 = colocated %toupper(i32) -> i32
block0(v0: f32):
    v1 = call fn0(v0)
    v2 = iconst.i32 97
    v3 = call fn1(v2)
    return v1, v3
}
; run: %routines(0x0.5) == [0x1.0, 65]
function %own_address() -> i8 {
    gv0 = symbol colocated %own_address
    fn0 = %own_address() -> i8
block0:
    v0 = symbol_value.i64 gv0
    v1 = func_addr.i64 fn0
    v2 = icmp eq v0, v1
    return v2
}
; run
",
    ));
}

#[test]
fn rounding_without_the_instructions_goes_through_host_routines() {
    assert_all_pass(&on_host(
        "",
        "function %round(f32, f64) -> f32, f64, f32, f64, f64 tail {
block0(v0: f32, v1: f64):
    v2 = ceil v0
    v3 = floor v1
    v4 = trunc v0
    v5 = nearest v1
    v6 = fma v1, v1, v1
    return v2, v3, v4, v5, v6
}
; run: %round(-0x1.8, 0x2.8) == [-0x1.0, 0x2.0, -0x1.0, 0x2.0, 0x8.c]
",
    ));
}

#[cfg(all(unix, target_arch = "x86_64"))]
mod exceptions {
    use super::{assert_all_pass, on_host, run};

    /// Throws tag 1 with the payload 42 and 100, looking up to the frame of `%entry`, from a
    /// function with enough parameters that some are on the stack.
    const THROW: &str = "
function %throw(i64, i64, i64, i64, i64, i64, i64, i64, i64) tail {
    sig0 = (i64, i64, i64, i32, i64, i64) system_v
    fn0 = %__cranelift_throw(i64, i64, i64, i32, i64, i64) system_v
block0(v0: i64, v10: i64, v11: i64, v12: i64, v13: i64, v14: i64, v15: i64, v16: i64, v17: i64):
    v1 = get_frame_pointer.i64
    v2 = load.i64 v1
    v3 = get_return_address.i64
    v4 = iconst.i32 1
    v5 = iconst.i64 42
    v6 = iconst.i64 100
    v7 = func_addr.i64 fn0
    call_indirect sig0, v7(v0, v2, v3, v4, v5, v6)
    trap user1
}
";

    fn caught_by(handler: &str) -> String {
        let functions = format!(
            "{THROW}
function %helper(i64) -> i64 tail {{
block0(v0: i64):
    v1 = iconst.i64 1000
    v2 = iadd v0, v1
    return v2
}}
function %entry(i64) -> i64 {{
    ss0 = explicit_slot 8
    sig0 = (i64, i64, i64, i64, i64, i64, i64, i64, i64) tail
    fn0 = %throw(i64, i64, i64, i64, i64, i64, i64, i64, i64) tail
    fn1 = %helper(i64) -> i64 tail
block0(v0: i64):
    v20 = stack_addr.i64 ss0
    store v0, v20
    v1 = get_frame_pointer.i64
    try_call fn0(v1, v1, v1, v1, v1, v1, v1, v1, v1), sig0, block1, [ {handler} ]
block1:
    v2 = iconst.i64 -1
    return v2
block2(v3: i64, v4: i64):
    v5 = isub v4, v3
    v6 = call fn1(v5)
    v21 = stack_addr.i64 ss0
    v7 = load.i64 v21
    v8 = iadd v6, v7
    return v8
}}
; run: %entry(7) == 1065
"
        );
        on_host("set preserve_frame_pointers=true", &functions)
    }

    #[test]
    fn a_handler_gets_the_payload_and_its_frame_is_intact() {
        assert_all_pass(&caught_by("tag1: block2(exn0, exn1)"));
        assert_all_pass(&caught_by("default: block2(exn0, exn1)"));
    }

    #[test]
    fn an_exception_that_nobody_handles_fails_the_directive() {
        let report = run(&caught_by("tag2: block2(exn0, exn1)"));
        assert_eq!((report.passed, report.failed.len()), (0, 1));
        assert!(report.failed[0].message.contains("no handler"));
    }
}
