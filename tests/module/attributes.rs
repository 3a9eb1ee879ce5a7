//! Demands of the front end.

use crate::support::{front_end, inlining, jit};
use cranelift_codegen::ir::Inst;
use cranelift_inliner::decide::{Always, Never};
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::{Inliner, Reason};
use cranelift_inliner::program::{Attributes, InlineAttribute, SiteHint};

const TEXT: &str = "fn callee(x) = x * 3; export fn main(x) = callee(x);";

fn attribute(inline: InlineAttribute) -> Attributes {
    Attributes::default().with_inline(inline)
}

#[test]
fn attributes_win_over_the_policy() {
    let mut module = inlining(jit());
    let ids = front_end(TEXT, &mut module).unwrap();
    module.set_attributes(ids["callee"], attribute(InlineAttribute::Never));
    let (_, report) = module.finish().unwrap();
    assert!(!report.inlined().sites().next().unwrap().inlined);

    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    let ids = front_end(TEXT, &mut module).unwrap();
    module.set_attributes(ids["callee"], attribute(InlineAttribute::Always));
    let (_, report) = module.finish().unwrap();
    let site = report.inlined().sites().next().unwrap();
    assert!(site.inlined);
    assert_eq!(site.reason, Reason::Attribute(InlineAttribute::Always));
}

#[test]
fn limits_are_those_of_the_pass() {
    let mut limits = cranelift_inliner::decide::Limits::default();
    limits.function_insts = 1;
    let mut module = InliningModule::new(jit(), Inliner::new(Always).limits(limits));
    front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    assert_eq!(
        report.inlined().sites().next().unwrap().reason,
        Reason::FunctionSize
    );
}

/// Returns the calls of the last function of a program. A front end that gives hints knows them
/// itself.
fn calls_of_last(text: &str) -> Vec<Inst> {
    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    front_end(text, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let last = report.program().ids().next_back();
    let sites = report.inlined().sites();
    let calls = sites.filter(|site| Some(site.caller) == last);
    calls.map(|site| site.inst).collect()
}

#[test]
fn hints_are_set_on_instructions_and_outlive_a_flush() {
    let text = "export fn leaf(x) = x * 3; export fn middle(x) = leaf(x) + leaf(x + 1);";
    let calls = calls_of_last(text);
    let mut module = inlining(jit());
    let ids = front_end(text, &mut module).unwrap();
    module.set_hint(ids["middle"], calls[1], SiteHint::Never);
    let report = module.flush().unwrap();
    let decided: Vec<_> = report.inlined().sites().map(|s| s.inlined).collect();
    assert_eq!(decided, [true, false]);

    let later = "export fn middle(x); export fn main(x) = middle(x);";
    front_end(later, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let sites: Vec<_> = report.inlined().sites().collect();
    assert_eq!(sites.len(), 2);
    assert!(sites[0].inlined, "%middle");
    assert_eq!(sites[1].reason, Reason::Hint(SiteHint::Never));
}

#[test]
fn a_hint_on_another_instruction_than_a_call_is_an_error_of_the_flush() {
    let mut module = inlining(jit());
    let ids = front_end(TEXT, &mut module).unwrap();
    module.set_hint(ids["main"], Inst::from_u32(77), SiteHint::Always);
    let error = module.flush().map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("inst77 of function %main is not a direct call"),
        "{error}"
    );
}

#[test]
fn the_report_tells_which_demands_are_not_met() {
    let text = "export fn main(x) = if x < 1 then 0 else main(x - 1);";
    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    let ids = front_end(text, &mut module).unwrap();
    let flatten = Attributes::default().with_flatten(true);
    module.set_attributes(ids["main"], flatten);
    let (_, report) = module.finish().unwrap();
    assert_eq!(report.inlined().unmet().count(), 1);
    let expected = "kept    main: recursion, though %main is to be flattened";
    for text in [format!("{report}"), format!("{report:#}")] {
        assert!(text.contains(expected), "{text}");
    }
}
