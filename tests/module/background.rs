//! Work that begins while functions are still being defined.

use super::support::{isa, object};
use cranelift_codegen::ir::{Function, Inst, UserFuncName};
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Inline};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::{DeclaredProgram, Inliner};
use cranelift_inliner::program::{Attributes, FunctionName, InlineAttribute, Program, SiteHint};
use cranelift_module::{DataDescription, FuncId, Linkage, Module};
use cranelift_object::ObjectModule;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The functions of a module, as its front end makes them: `u0:1` is the one with the id 1.
const TEXT: &str = "
    function u0:0(i64) -> i64 system_v {
    block0(v0: i64):
        v1 = iadd v0, v0
        return v1
    }
    function u0:1(i64) -> i64 system_v {
        fn0 = u0:0(i64) -> i64 system_v
        fn1 = u0:1(i64) -> i64 system_v
    block0(v0: i64):
        v1 = call fn0(v0)
        brif v1, block1, block2
    block1:
        v2 = call fn1(v1)
        return v2
    block2:
        v3 = call fn0(v1)
        return v3
    }
    function u0:2(i64) -> i64 system_v {
        fn0 = u0:1(i64) -> i64 system_v
        fn1 = u0:3(i64) -> i64 system_v
    block0(v0: i64):
        v1 = call fn0(v0)
        v2 = call fn1(v1)
        return v2
    }
    function u0:3(i64) -> i64 system_v {
        fn0 = u0:0(i64) -> i64 system_v
    block0(v0: i64):
        v1 = call fn0(v0)
        v2 = imul v1, v1
        return v2
    }";

const LINKAGE: [Linkage; 4] = [
    Linkage::Local,
    Linkage::Export,
    Linkage::Export,
    Linkage::Local,
];

const ORDERS: [[u32; 4]; 3] = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];

fn functions() -> Program {
    Program::from_clif(TEXT, "module").unwrap()
}

/// Returns a module in which the functions are declared.
fn module(inliner: Inliner<'static>) -> InliningModule<'static, ObjectModule> {
    let mut module = InliningModule::for_object_file(object(), inliner).compile_in_parallel(true);
    for (number, ((_, function), linkage)) in functions().iter().zip(LINKAGE).enumerate() {
        let signature = &function.body().signature;
        let id = module.declare_function(&format!("f{number}"), linkage, signature);
        assert_eq!(id.unwrap(), FuncId::from_u32(number.try_into().unwrap()));
    }
    module
}

fn declared(module: &mut InliningModule<'static, ObjectModule>) -> DeclaredProgram {
    let program = functions();
    let graph = CallGraph::new(&program);
    let mut declared = DeclaredProgram::new();
    declared.has_handlers = false;
    declared.has_alias_regions = false;
    for id in program.ids() {
        let known = graph.declaration(id).unwrap();
        let declaration = module.declaration(func_id(&known.name), known.insts);
        let calls = known.calls.iter();
        let calls = calls.map(|(name, count)| (module.symbol(func_id(name)).unwrap(), *count));
        declared.declare(declaration.unwrap().with_calls(calls.collect()));
    }
    declared
}

fn func_id(name: &FunctionName) -> FuncId {
    match name.clone().into() {
        UserFuncName::User(name) => FuncId::from_u32(name.index),
        UserFuncName::Testcase(_) => panic!("{name} has no number"),
    }
}

fn define(module: &mut impl Module, order: &[u32]) {
    let program = functions();
    let mut context = module.make_context();
    for &number in order {
        let name = FunctionName::user(0, number);
        let function = &program[program.id(&name).unwrap()];
        context.func = (**function.body()).clone();
        module
            .define_function(FuncId::from_u32(number), &mut context)
            .unwrap();
        module.clear_context(&mut context);
    }
}

fn finish(module: InliningModule<'static, ObjectModule>) -> (Vec<u8>, ModuleReport) {
    let (module, report) = module.finish().unwrap();
    (module.finish().emit().unwrap(), report)
}

/// Compiles with and without the background. `between` is done after the start, before the first
/// definition, and `after` after the last. Returns whether the work was done in the background.
fn compare(
    inliner: impl Fn() -> Inliner<'static>,
    order: &[u32],
    between: impl Fn(&mut InliningModule<'static, ObjectModule>),
    after: impl Fn(&mut InliningModule<'static, ObjectModule>),
) -> bool {
    let compile = |starts: bool| {
        let mut module = module(inliner());
        if starts {
            let declared = declared(&mut module);
            module.start(declared, isa(true)).unwrap();
        }
        between(&mut module);
        define(&mut module, order);
        after(&mut module);
        finish(module)
    };
    let (plain, report) = compile(false);
    assert!(!report.is_from_background());
    let (bytes, background) = compile(true);
    assert!(bytes == plain, "other bytes in order {order:?}");
    assert_eq!(background.defined(), report.defined());
    assert_eq!(background.dropped(), report.dropped());
    background.is_from_background()
}

#[test]
fn the_background_gives_the_same_object_file() {
    for order in ORDERS {
        for _ in 0..10 {
            assert!(compare(|| Inliner::new(Always), &order, |_| {}, |_| {}));
            let model = || Inliner::new(CostModel::default());
            assert!(compare(model, &order, |_| {}, |_| {}));
        }
    }
}

#[test]
fn changes_after_the_start_are_seen() {
    let order = [0, 1, 2, 3];
    let inliner = || Inliner::new(Always);
    let never = Attributes::default().with_inline(InlineAttribute::Never);
    let zero = FuncId::from_u32(0);
    let attributes = |module: &mut InliningModule<'static, ObjectModule>| {
        module.set_attributes(zero, never);
    };
    assert!(!compare(inliner, &order, attributes, |_| {}));
    assert!(!compare(inliner, &order, |_| {}, attributes));
    let keep = |module: &mut InliningModule<'static, ObjectModule>| module.keep(zero);
    assert!(!compare(inliner, &order, keep, |_| {}));
    assert!(!compare(inliner, &order, |_| {}, keep));
    // The first call of `f1`.
    let hint = |module: &mut InliningModule<'static, ObjectModule>| {
        module.set_hint(FuncId::from_u32(1), Inst::from_u32(0), SiteHint::Never);
    };
    assert!(compare(inliner, &order, hint, |_| {}));
    assert!(!compare(inliner, &order, |_| {}, hint));
}

/// Data that refers to a function makes it used, and a table of functions known.
#[test]
fn data_after_the_start_is_seen() {
    let data = |module: &mut InliningModule<'static, ObjectModule>| {
        let id = module
            .declare_data("table", Linkage::Export, false, false)
            .unwrap();
        let mut data = DataDescription::new();
        data.define(vec![0; 8].into());
        let function = module.declare_func_in_data(FuncId::from_u32(0), &mut data);
        data.write_function_addr(0, function);
        module.define_data(id, &data).unwrap();
    };
    let inliner = || Inliner::new(Always);
    assert!(!compare(inliner, &[0, 1, 2, 3], data, |_| {}));
    assert!(!compare(inliner, &[0, 1, 2, 3], |_| {}, data));
    let mut module = module(inliner());
    data(&mut module);
    let declared = declared(&mut module);
    module.start(declared, isa(true)).unwrap();
    define(&mut module, &[1, 0, 2, 3]);
    assert!(finish(module).1.is_from_background());
}

#[test]
fn functions_that_were_not_declared_are_compiled_with_all_others() {
    let compile = |starts: bool, change: &dyn Fn(&mut DeclaredProgram)| {
        let mut module = module(Inliner::new(Always));
        if starts {
            let mut declared = declared(&mut module);
            change(&mut declared);
            module.start(declared, isa(true)).unwrap();
        }
        define(&mut module, &[0, 1, 2, 3]);
        finish(module)
    };
    let (plain, _) = compile(false, &|_| {});
    let part = |declared: &mut DeclaredProgram| {
        let mut part = DeclaredProgram::new();
        part.has_handlers = declared.has_handlers;
        *declared = part;
    };
    let (bytes, report) = compile(true, &part);
    assert!(bytes == plain && !report.is_from_background());
}

/// A body that is not as declared is compiled like all others.
#[test]
fn wrong_declarations_change_nothing() {
    let mut module = module(Inliner::new(Always));
    let mut wrong = DeclaredProgram::new();
    for number in 0..4 {
        let declaration = module.declaration(FuncId::from_u32(number), 10);
        wrong.declare(declaration.unwrap());
    }
    module.start(wrong, isa(true)).unwrap();
    define(&mut module, &[0, 1, 2, 3]);
    let (bytes, report) = finish(module);
    assert!(!report.is_from_background());
    let mut plain = self::module(Inliner::new(Always));
    define(&mut plain, &[0, 1, 2, 3]);
    assert!(bytes == finish(plain).0);
}

struct Counts(Arc<AtomicUsize>);

impl Inline for Counts {
    fn decide(&self, _: &CallSite<'_>) -> Decision {
        self.0.fetch_add(1, Ordering::Relaxed);
        Decision::inline("counted")
    }
}

/// The policy is asked before the last function is defined, and then no more than once a call.
#[test]
fn the_work_begins_early() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut module = module(Inliner::new(Counts(Arc::clone(&asked))));
    let declared = declared(&mut module);
    module.start(declared, isa(true)).unwrap();
    define(&mut module, &[0, 3]);
    while asked.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    define(&mut module, &[1, 2]);
    assert!(finish(module).1.is_from_background());
    let in_background = asked.swap(0, Ordering::Relaxed);
    let mut plain = self::module(Inliner::new(Counts(Arc::clone(&asked))));
    define(&mut plain, &[0, 3, 1, 2]);
    finish(plain);
    assert_eq!(asked.load(Ordering::Relaxed), in_background);
}

/// No thread outlives the module: it would hold the policy.
#[test]
fn a_dropped_module_ends_its_thread() {
    let asked = Arc::new(AtomicUsize::new(0));
    for defined in [&[][..], &[0], &[0, 1, 2, 3]] {
        let mut module = module(Inliner::new(Counts(Arc::clone(&asked))));
        let declared = declared(&mut module);
        module.start(declared, isa(true)).unwrap();
        define(&mut module, defined);
        assert!(Arc::strong_count(&asked) > 1);
        drop(module);
        assert_eq!(Arc::strong_count(&asked), 1);
    }
}

/// A second flush has no background, and inlines functions that the first one compiled.
#[test]
fn later_flushes_go_on_without_it() {
    let mut module = module(Inliner::new(Always));
    let mut declared = DeclaredProgram::new();
    declared.has_handlers = false;
    declared.has_alias_regions = false;
    let one = FuncId::from_u32(0);
    module.keep(one);
    declared.declare(module.declaration(one, 2).unwrap());
    module.start(declared.clone(), isa(true)).unwrap();
    define(&mut module, &[0]);
    assert!(module.flush().unwrap().is_from_background());
    // Too late: functions were flushed.
    module.start(declared, isa(true)).unwrap();
    define(&mut module, &[1, 2, 3]);
    let (_, report) = finish(module);
    assert!(!report.is_from_background());
    assert!(report.inlined().sites().any(|site| site.inlined));
}

#[test]
#[should_panic(expected = "the policy gave up")]
fn a_panic_of_the_policy_comes_out_of_the_flush() {
    let policy = |_: &CallSite<'_>| -> Decision { panic!("the policy gave up") };
    let mut module = module(Inliner::new(policy));
    let declared = declared(&mut module);
    module.start(declared, isa(true)).unwrap();
    define(&mut module, &[0, 1, 2, 3]);
    let _ = module.finish();
}

#[test]
fn another_target_is_refused() {
    let mut module = module(Inliner::new(Always));
    let declared = declared(&mut module);
    let error = module.start(declared, isa(false)).unwrap_err();
    assert!(
        error.to_string().contains("not that of the module"),
        "{error}"
    );
    define(&mut module, &[0, 1, 2, 3]);
    assert!(!finish(module).1.is_from_background());
}

/// The stream's work runs on the threads of the pool, and these may all be waiting for it.
#[test]
fn modules_may_be_finished_and_dropped_on_all_threads_of_the_pool() {
    let plain = {
        let mut module = module(Inliner::new(Always));
        define(&mut module, &[0, 1, 2, 3]);
        finish(module).0
    };
    for _ in 0..10 {
        rayon::broadcast(|_| {
            let start = || {
                let mut module = module(Inliner::new(Always));
                let declared = declared(&mut module);
                module.start(declared, isa(true)).unwrap();
                module
            };
            let mut finished = start();
            define(&mut finished, &[0, 1, 2, 3]);
            let (bytes, report) = finish(finished);
            assert!(bytes == plain && report.is_from_background());
            let mut dropped = start();
            define(&mut dropped, &[0, 3]);
            drop(dropped);
        });
    }
}

/// A stream that was given up still waits for its work, and takes no more bodies.
#[test]
fn functions_may_be_defined_on_all_threads_of_the_pool() {
    const FUNCTIONS: u32 = 200;
    for _ in 0..5 {
        rayon::broadcast(|_| {
            let module = InliningModule::for_object_file(object(), Inliner::new(Always));
            let mut module = module.compile_in_parallel(true);
            let program = functions();
            let body = program[program.id(&FunctionName::user(0, 0)).unwrap()].body();
            let mut declared = DeclaredProgram::new();
            declared.has_handlers = false;
            let mut declare = |number: u32| {
                let name = format!("f{number}");
                let id = module.declare_function(&name, Linkage::Export, &body.signature);
                let id = id.unwrap();
                let declaration = module.declaration(id, 2).unwrap();
                let called = vec![("%g".parse().unwrap(), 1)];
                // Not as it is.
                declared.declare(match number {
                    5 => declaration.with_calls(called),
                    _ => declaration,
                });
                id
            };
            let ids: Vec<FuncId> = (0..FUNCTIONS).map(&mut declare).collect();
            module.start(declared, isa(true)).unwrap();
            let mut context = module.make_context();
            for id in ids {
                context.func = Function::clone(body);
                module.define_function(id, &mut context).unwrap();
                module.clear_context(&mut context);
            }
            assert!(!finish(module).1.is_from_background());
        });
    }
}
