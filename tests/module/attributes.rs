//! What the front end demands.

use crate::support::{front_end, inlining, jit};
use cranelift_inliner::decide::{Always, Never};
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::{Inliner, Reason};
use cranelift_inliner::program::{Attributes, InlineAttribute};

const TEXT: &str = "fn callee(x) = x * 3; export fn main(x) = callee(x);";

fn attribute(inline: InlineAttribute) -> Attributes {
    Attributes {
        inline,
        ..Attributes::default()
    }
}

#[test]
fn attributes_win_over_the_policy() {
    let mut module = inlining(jit());
    let ids = front_end(TEXT, &mut module).unwrap();
    module.set_attributes(ids["callee"], attribute(InlineAttribute::Never));
    let (_, report) = module.finish().unwrap();
    assert!(!report.inlined().sites()[0].inlined);

    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    let ids = front_end(TEXT, &mut module).unwrap();
    module.set_attributes(ids["callee"], attribute(InlineAttribute::Always));
    let (_, report) = module.finish().unwrap();
    let site = &report.inlined().sites()[0];
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
    assert_eq!(report.inlined().sites()[0].reason, Reason::FunctionSize);
}
