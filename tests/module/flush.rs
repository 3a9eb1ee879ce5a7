//! Definition of finished functions while more are to come.

use crate::support::{ObjectFile, call, front_end, inlining, jit, names, object};
use cranelift_inliner::decide::{Always, Never};
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Linkage;
use cranelift_module::ModuleError;

#[test]
fn flushed_functions_run_and_are_inlined_into_later_ones() {
    let mut module = inlining(jit());
    let first = front_end("export fn three(x) = x * 3;", &mut module).unwrap();
    module.flush().unwrap();
    module.module_mut().finalize_definitions().unwrap();
    let three = module.module().get_finalized_function(first["three"]);
    assert_eq!(call(three, &[5]), 15);

    let text = "export fn three(x); export fn nine(x) = three(three(x));";
    let second = front_end(text, &mut module).unwrap();
    assert_eq!(second["three"], first["three"]);
    let report = module.flush().unwrap();
    assert_eq!(report.defined(), [second["nine"]]);
    assert!(report.inlined().sites().all(|site| site.inlined));
    let sites = report.inlined().sites();
    let path = report.inlined().path(sites.last().unwrap());
    assert_eq!(path.len(), 1);
    module.module_mut().finalize_definitions().unwrap();
    let nine = module.module().get_finalized_function(second["nine"]);
    assert_eq!(call(nine, &[5]), 45);
    assert_eq!(module.held().len(), 0);
}

#[test]
fn a_flushed_function_is_not_changed_and_not_defined_again() {
    let mut module = inlining(jit());
    let text = "export fn leaf(x) = x + 1; export fn middle(x) = leaf(x) * 2;";
    front_end(text, &mut module).unwrap();
    module.flush().unwrap();
    let again = front_end("export fn leaf(x) = x + 2;", &mut module);
    assert!(matches!(again, Err(ModuleError::DuplicateDefinition(name)) if name == "leaf"));

    let text = "export fn middle(x); export fn top(x) = middle(x);";
    let ids = front_end(text, &mut module).unwrap();
    let report = module.flush().unwrap();
    let middle = "middle".parse().unwrap();
    let middle = report.program().id(&middle).unwrap();
    let linkage = report.program()[middle].linkage();
    assert_eq!(linkage, Linkage::AvailableExternally);
    module.module_mut().finalize_definitions().unwrap();
    let top = module.module().get_finalized_function(ids["top"]);
    assert_eq!(call(top, &[20]), 42);
}

#[test]
fn an_unused_local_function_waits_for_its_users() {
    let mut module = inlining(jit()).drop_unused(true);
    front_end(
        "fn helper(n) = if n < 1 then 0 else 1 + helper(n - 1);",
        &mut module,
    )
    .unwrap();
    let report = module.flush().unwrap();
    assert!(report.defined().is_empty());
    assert!(report.dropped().is_empty());
    assert_eq!(module.held().len(), 1);

    let text = "fn helper(n); export fn main(n) = helper(n);";
    let ids = front_end(text, &mut module).unwrap();
    let report = module.flush().unwrap();
    assert_eq!(names(module.module(), report.defined()), ["helper", "main"]);
    module.module_mut().finalize_definitions().unwrap();
    let main = module.module().get_finalized_function(ids["main"]);
    assert_eq!(call(main, &[9]), 9);
    let (_, report) = module.finish().unwrap();
    assert!(report.defined().is_empty());
}

#[test]
fn a_preemptible_function_is_not_inlined_after_its_flush_either() {
    let mut module = inlining(object());
    front_end("weak fn replaceable(x) = x + 1;", &mut module).unwrap();
    module.flush().unwrap();
    let text = "fn replaceable(x); export fn main(x) = replaceable(x);";
    front_end(text, &mut module).unwrap();
    let (module, report) = module.finish().unwrap();
    assert!(!report.inlined().sites().next().unwrap().inlined);
    assert_eq!(ObjectFile::of(module).relocations(".text"), ["replaceable"]);
}

#[test]
fn flushing_function_by_function_computes_the_same() {
    let text = [
        "export fn a(x) = if x < 1 then 1 else x * a(x - 1);",
        "fn a(x); export fn b(x) = a(x) + a(x + 1);",
        "fn a(x); fn b(x); export fn c(x) = b(a(x) % 5) - b(x);",
    ];
    let mut module = inlining(jit());
    let mut last = None;
    for piece in text {
        let ids = front_end(piece, &mut module).unwrap();
        module.flush().unwrap();
        last = ids.get("c").copied();
    }
    let (mut jit, _) = module.finish().unwrap();
    jit.finalize_definitions().unwrap();
    let whole = crate::support::plain_jit(
        "export fn a(x) = if x < 1 then 1 else x * a(x - 1);
         export fn b(x) = a(x) + a(x + 1);
         export fn c(x) = b(a(x) % 5) - b(x);",
    );
    for x in 0..8 {
        let staged = call(jit.get_finalized_function(last.unwrap()), &[x]);
        assert_eq!(staged, whole.call("c", &[x]));
    }
}

/// A front end that flushes after each function does not pay for all earlier ones each time.
#[test]
fn a_flush_looks_at_the_nearest_of_the_earlier_functions() {
    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    let mut largest = 0;
    let sum = (0..40).map(|i| format!(" + x * {i}")).collect::<String>();
    let mut ids = front_end("fn f0(x) = x;", &mut module).unwrap();
    for number in 1..300 {
        let before = number - 1;
        let text = format!("fn f{before}(x); fn f{number}(x) = f{before}(x) + 1 + 0 * (x{sum});");
        ids.extend(front_end(&text, &mut module).unwrap());
        let report = module.flush().unwrap();
        largest = largest.max(report.program().len());
        let callee = format!("f{before}").parse().unwrap();
        assert!(report.program().id(&callee).is_some());
    }
    assert!(
        (3..50).contains(&largest),
        "{largest} functions in a program"
    );
    module.module_mut().finalize_definitions().unwrap();
    let last = module.module().get_finalized_function(ids["f299"]);
    assert_eq!(call(last, &[1]), 300);
}

#[test]
fn a_flushed_body_that_no_limit_lets_in_is_external() {
    let limits = {
        let mut limits = cranelift_inliner::decide::Limits::default();
        (limits.function_growth, limits.function_growth_floor) = (0.0, 10);
        limits
    };
    let inliner = Inliner::new(Always).limits(limits);
    let mut module = InliningModule::new(jit(), inliner);
    let sum = (0..10).map(|i| format!(" + x * {i}")).collect::<String>();
    let text = format!("fn small(x) = x + 1; fn large(x) = x{sum};");
    front_end(&text, &mut module).unwrap();
    module.flush().unwrap();
    let text = "fn small(x); fn large(x); fn main(x) = small(x) + large(x);";
    front_end(text, &mut module).unwrap();
    let report = module.flush().unwrap();
    let sites = report.inlined().sites();
    let seen: Vec<_> = sites
        .map(|site| (site.callee.to_string(), site.inlined))
        .collect();
    assert_eq!(
        seen,
        [("%large".to_owned(), false), ("%small".to_owned(), true)]
    );
}
