//! Linkage: the code that may refer to a function, as the embedder declares it.

use super::support::{
    body_text, calls_left, id, isa, leaf, name, program, program_exporting, run, run_always,
    sites_of, through,
};
use cranelift_inliner::decide::{CallSite, CostModel, Decision, Never};
use cranelift_inliner::pass::{Inliner, Reason, Warning};
use cranelift_inliner::program::{Attributes, InlineAttribute, Linkage, Program};

fn attributes(inline: InlineAttribute) -> Attributes {
    Attributes::default().with_inline(inline)
}

#[test]
fn an_interposable_function_is_never_inlined_and_never_dropped() {
    let mut program = program_exporting(
        &(leaf("replaceable", 2) + &through("main", &["replaceable"])),
        &["main"],
    );
    program
        .set_linkage(&name("replaceable"), Linkage::Interposable)
        .unwrap();
    program
        .set_attributes(&name("replaceable"), attributes(InlineAttribute::Always))
        .unwrap();
    let inlined = run_always(&program);
    let sites = sites_of(&inlined, &program, "main");
    assert_eq!(sites[0].reason, Reason::Interposable);
    assert!(!sites[0].inlined);
    assert_eq!(inlined.program().len(), 2);
}

#[test]
fn an_interposable_function_is_itself_inlined_into() {
    let mut program = program(&(leaf("leaf", 2) + &through("replaceable", &["leaf"])));
    program
        .set_linkage(&name("replaceable"), Linkage::Interposable)
        .unwrap();
    let inlined = run_always(&program);
    assert!(sites_of(&inlined, &program, "replaceable")[0].inlined);
}

#[test]
fn a_program_of_which_nothing_is_exported_warns() {
    let text = leaf("leaf", 2) + &through("main", &["leaf"]);
    let warnings = |program: &Program| -> Vec<Warning> {
        let inlined = run_always(program);
        inlined.warnings().cloned().collect()
    };
    let nothing = Warning::NothingExported { functions: 2 };
    let mut program = program_exporting(&text, &[]);
    assert_eq!(warnings(&program), [nothing]);
    assert_eq!(run_always(&program).program().len(), 0);

    program
        .set_linkage(&name("main"), Linkage::Interposable)
        .unwrap();
    assert_eq!(warnings(&program), []);
    assert_eq!(warnings(&program_exporting(&text, &["main"])), []);
    // No function that is defined elsewhere is dropped.
    for function in ["main", "leaf"] {
        program
            .set_linkage(&name(function), Linkage::AvailableExternally)
            .unwrap();
    }
    assert_eq!(warnings(&program), []);
    assert_eq!(warnings(&Program::new()), []);
}

#[test]
fn local_functions_that_nothing_calls_any_more_are_dropped_and_exported_ones_kept() {
    let text = leaf("local", 2)
        + &leaf("exported", 2)
        + &leaf("unused", 2)
        + &through("main", &["local", "exported"]);
    let program = program_exporting(&text, &["main", "exported"]);
    let inlined = run_always(&program);
    let names: Vec<String> = inlined
        .program()
        .iter()
        .map(|(_, function)| function.name().to_string())
        .collect();
    assert_eq!(names, ["%exported", "%main"]);
    assert!(inlined.stats(id(&program, "local")).dropped);
    assert!(inlined.stats(id(&program, "unused")).dropped);
    assert!(!inlined.stats(id(&program, "exported")).dropped);
    // The body of a dropped function is still available.
    assert!(body_text(&inlined, &program, "local").contains("%local"));
}

#[test]
fn a_local_function_that_one_call_still_needs_is_kept() {
    let text = leaf("shared", 2) + &through("a", &["shared"]) + &through("b", &["shared"]);
    let program = program_exporting(&text, &["a", "b"]);
    let not_into_b = |site: &cranelift_inliner::decide::CallSite<'_>| {
        use cranelift_inliner::decide::Decision;
        if *site.caller_name() == name("b") {
            Decision::keep("not into %b")
        } else {
            Decision::inline("into the others")
        }
    };
    let inlined = run(Inliner::new(not_into_b), &program);
    assert_eq!(inlined.program().len(), 3);
    assert_eq!(
        sites_of(&inlined, &program, "b")[0].reason,
        Reason::Policy("not into %b".into())
    );
}

#[test]
fn a_local_function_whose_address_is_taken_is_kept() {
    let text = leaf("target", 2)
        + "function %main(i32) -> i32 fast {
               sig0 = (i32) -> i32 fast
               fn0 = %target sig0
           block0(v0: i32):
               v1 = func_addr.i64 fn0
               v2 = call fn0(v0)
               v3 = call_indirect sig0, v1(v2)
               return v3
           }
           function %hands_out() -> i64 fast {
               fn0 = %handed_out(i32) -> i32 fast
           block0:
               v0 = func_addr.i64 fn0
               return v0
           }
           function %by_symbol() -> i64 fast {
               gv0 = symbol colocated %pointed_to
           block0:
               v0 = symbol_value.i64 gv0
               return v0
           }"
        + &leaf("pointed_to", 2)
        + &leaf("handed_out", 2);
    let program = program_exporting(&text, &["main", "hands_out", "by_symbol"]);
    let inlined = run_always(&program);
    assert!(sites_of(&inlined, &program, "main")[0].inlined);
    // The one use of its address was a call.
    assert!(inlined.stats(id(&program, "target")).dropped);
    assert!(!inlined.stats(id(&program, "handed_out")).dropped);
    assert!(!inlined.stats(id(&program, "pointed_to")).dropped);
}

#[test]
fn attributes_win_over_the_policy() {
    let text = leaf("always", 30)
        + &leaf("never", 2)
        + &leaf("plain", 2)
        + &through("main", &["always", "never", "plain"]);
    let mut program = program(&text);
    for (function, attribute) in [
        ("always", InlineAttribute::Always),
        ("never", InlineAttribute::Never),
    ] {
        program
            .set_attributes(&name(function), attributes(attribute))
            .unwrap();
    }
    let under_never = run(Inliner::new(Never), &program);
    let decisions = |inlined: &cranelift_inliner::pass::Inlined| -> Vec<(bool, &'static str)> {
        let sites = sites_of(inlined, &program, "main");
        sites
            .iter()
            .map(|site| (site.inlined, site.reason.slug()))
            .collect()
    };
    assert_eq!(
        decisions(&under_never),
        [(true, "attribute"), (false, "attribute"), (false, "policy")]
    );
    assert_eq!(
        decisions(&run_always(&program)),
        [(true, "attribute"), (false, "attribute"), (true, "policy")]
    );
}

#[test]
fn a_cold_function_is_worth_less_than_a_hot_one() {
    // 30 instructions are worth it under the default model, unless they seldom run.
    let text = leaf("callee", 30) + &through("main", &["callee"]);
    let mut program = program(&text);
    let inlined = run(Inliner::new(CostModel::default()), &program);
    assert!(sites_of(&inlined, &program, "main")[0].inlined);
    let cold = Attributes::default().with_cold(true);
    program.set_attributes(&name("callee"), cold).unwrap();
    let inlined = run(Inliner::new(CostModel::default()), &program);
    assert!(!sites_of(&inlined, &program, "main")[0].inlined);
}

/// Returns a program whose `%main` calls `%inlined` and `%kept`, which are defined elsewhere;
/// `%kept` calls `%inner`.
fn elsewhere() -> Program {
    let text = leaf("inlined", 2)
        + &leaf("inner", 3)
        + &through("kept", &["inner", "inner"])
        + &through("main", &["inlined", "kept", "inlined"]);
    let mut program = program_exporting(&text, &["main"]);
    for available in ["inlined", "kept"] {
        let linkage = Linkage::AvailableExternally;
        program.set_linkage(&name(available), linkage).unwrap();
    }
    program.export_only(&[name("main")]).unwrap();
    program
}

fn all_but_kept(site: &CallSite<'_>) -> Decision {
    match site.callee_name().to_string().as_str() {
        "%kept" => Decision::keep("it is elsewhere"),
        _ => Decision::inline("small"),
    }
}

#[test]
fn a_function_that_is_available_externally_is_inlined_but_not_emitted() {
    let program = elsewhere();
    let inlined = run(Inliner::new(all_but_kept), &program);
    let names = inlined.program().iter();
    let names: Vec<_> = names.map(|(_, f)| f.name().to_string()).collect();
    assert_eq!(names, ["%main"]);
    assert_eq!(calls_left(&inlined, &program, "main"), 1);
    assert!(sites_of(&inlined, &program, "kept").is_empty());
    assert_eq!(
        calls_left(&inlined, &program, "kept"),
        2,
        "nothing is inlined into it"
    );
    assert!(inlined.stats(id(&program, "kept")).dropped);
}

#[test]
fn functions_called_only_from_elsewhere_are_not_compiled() {
    let program = elsewhere();
    let isa = isa("x86_64");
    let inliner = Inliner::new(all_but_kept);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let ids: Vec<_> = compiled.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [id(&program, "main")]);
    // Inlined, the body brings its calls along.
    let (inlined, compiled) = Inliner::new(|site: &CallSite<'_>| {
        if site.callee_name().to_string() == "%kept" {
            Decision::inline("chosen")
        } else {
            Decision::keep("not chosen")
        }
    })
    .run_and_compile(&program, &*isa)
    .unwrap();
    let ids: Vec<_> = compiled.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [id(&program, "inner"), id(&program, "main")]);
    let sites = sites_of(&inlined, &program, "main");
    assert_eq!(sites.iter().filter(|site| site.inlined).count(), 1);
}

#[test]
fn a_local_function_is_kept_for_a_global_value_of_a_body_that_was_inlined_into() {
    let main = "
        function %main(i32) -> i64 fast {
            gv0 = symbol colocated %pointed
            fn0 = colocated %leaf(i32) -> i32 fast
        block0(v0: i32):
            v1 = call fn0(v0)
            v2 = symbol_value.i64 gv0
            return v2
        }";
    let text = leaf("leaf", 2) + &leaf("pointed", 2) + main;
    let program = program_exporting(&text, &["main"]);
    let inlined = run_always(&program);
    assert_eq!(calls_left(&inlined, &program, "main"), 0);
    assert!(inlined.stats(id(&program, "leaf")).dropped);
    assert!(!inlined.stats(id(&program, "pointed")).dropped);
}
