//! Plans of modules: functions are named by their symbols, so a plan outlasts a
//! run of the front end.

use crate::support::{ObjectFile, front_end, object};
use cranelift_inliner::decide::{CallSite, Decision, Inline};
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::plan::{Fallback, Plan, Replay};
use cranelift_inliner::program::{Attributes, InlineAttribute};

const PROGRAM: &str = "
    fn leaf(x) = x * 3;
    fn middle(x) = leaf(x) + leaf(x + 1);
    export fn main(x) = middle(x) - leaf(x);
";

/// Keeps one call and inlines the others.
fn but_one(site: &CallSite<'_>) -> Decision {
    match (
        site.caller_name().to_string().as_str(),
        site.call().as_u32(),
    ) {
        ("%middle", 0) => Decision::keep("the first"),
        _ => Decision::inline("not the first"),
    }
}

/// Returns the code of `%main` and `%middle` with these decisions.
fn compile(inliner: Inliner<'_>, inline: InlineAttribute) -> ([Option<Vec<u8>>; 2], ModuleReport) {
    let mut module = InliningModule::new(object(), inliner);
    let ids = front_end(PROGRAM, &mut module).unwrap();
    let attributes = Attributes::default().with_inline(inline);
    module.set_attributes(ids["leaf"], attributes);
    module.keep(ids["middle"]);
    let (module, report) = module.finish().unwrap();
    let file = ObjectFile::of(module);
    (["main", "middle"].map(|name| file.code(name)), report)
}

fn replay(plan: &Plan) -> Inliner<'_> {
    Inliner::new(Replay::new(plan, Fallback::Keep))
}

#[test]
fn a_plan_of_a_module_is_followed_in_another_run() {
    let policy: &dyn Inline = &but_one;
    let (code, report) = compile(Inliner::new(policy), InlineAttribute::None);
    let plan = Plan::record(report.inlined());
    assert!(plan.inlined() >= 3 && plan.inlined() < plan.len(), "{plan}");
    let read: Plan = plan.to_string().parse().unwrap();
    let (again, report) = compile(replay(&read), InlineAttribute::None);
    assert!(again == code);
    assert_eq!(read.deviations(report.inlined()), []);

    // An attribute comes first, unless demands are not met.
    let (demanded, _) = compile(replay(&read), InlineAttribute::Always);
    assert!(demanded != code);
    let alone = replay(&read).meet_demands(false);
    let (alone, report) = compile(alone, InlineAttribute::Always);
    assert!(alone == code);
    assert_eq!(report.inlined().unmet().count(), 0);
}
