//! Local functions that no code calls any more: those that callers can still ask for are there.

use crate::support::{
    ObjectFile, call, front_end, inlining, inlining_object, jit, names, object, plain_jit,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_module::{FuncOrDataId, Module};
use cranelift_object::ObjectModule;

/// A front end of a JIT that exports nothing and takes its entries by their ids.
const LOCAL: &str = "fn square(x) = x * x;
                     fn norm(x, y) = square(x) + square(y);
                     fn entry(x) = norm(x, x + 1);";

#[test]
fn a_jit_runs_an_entry_that_is_local() {
    let expected = plain_jit(LOCAL).call("entry", &[3]);
    for in_parallel in [false, true] {
        let mut module = inlining(jit()).compile_in_parallel(in_parallel);
        let ids = front_end(LOCAL, &mut module).unwrap();
        let (mut module, report) = module.finish().unwrap();
        module.finalize_definitions().unwrap();
        assert!(report.inlined().sites().all(|site| site.inlined));
        assert_eq!(report.dropped(), []);
        assert_eq!(names(&module, report.unused()), ["square", "norm", "entry"]);
        let entry = module.get_finalized_function(ids["entry"]);
        assert_eq!(call(entry, &[3]), expected);
        // The functions that were inlined can be asked for as well.
        assert_eq!(call(module.get_finalized_function(ids["square"]), &[9]), 81);
        assert_eq!(call(module.get_finalized_function(ids["norm"]), &[1, 2]), 5);
    }
}

#[test]
fn a_local_function_can_be_asked_for_by_its_name() {
    let mut module = inlining(jit());
    front_end(LOCAL, &mut module).unwrap();
    let (mut module, _) = module.finish().unwrap();
    module.finalize_definitions().unwrap();
    let Some(FuncOrDataId::Func(id)) = module.get_name("entry") else {
        panic!("`entry` is a function");
    };
    assert_eq!(call(module.get_finalized_function(id), &[0]), 1);
}

#[test]
fn a_flush_defines_a_local_function_too() {
    let mut module = inlining(jit());
    let ids = front_end(LOCAL, &mut module).unwrap();
    assert_eq!(module.flush().unwrap().defined().len(), 3);
    assert_eq!(module.held().len(), 0);
    module.module_mut().finalize_definitions().unwrap();
    let entry = module.module().get_finalized_function(ids["entry"]);
    assert_eq!(call(entry, &[3]), 25);
}

#[test]
fn an_object_file_lacks_unused_functions() {
    let text = "fn square(x) = x * x;
                fn norm(x, y) = square(x) + square(y);
                fn forgotten(x) = norm(x, x);
                export fn entry(x) = norm(x, x + 1);";
    let mut module = inlining_object();
    front_end(text, &mut module).unwrap();
    let (module, report) = module.finish().unwrap();
    let dropped_names = names(&module, report.dropped());
    assert_eq!(dropped_names, ["square", "norm", "forgotten"]);
    assert_eq!(report.unused(), []);
    let small = ObjectFile::of(module);
    for dropped in &dropped_names {
        assert!(small.code(dropped).unwrap().len() <= 8, "a trap is left");
    }

    let mut module = inlining(object());
    front_end(text, &mut module).unwrap();
    let (module, report) = module.finish().unwrap();
    assert_eq!(report.dropped(), []);
    assert_eq!(names(&module, report.unused()), dropped_names);
    let large = ObjectFile::of(module);
    assert!(large.code("forgotten").unwrap().len() > 8);
    assert_eq!(large.code("entry"), small.code("entry"));
}

#[test]
fn a_jit_drops_unused_functions_on_request() {
    for in_parallel in [false, true] {
        let module = inlining(jit()).compile_in_parallel(in_parallel);
        let mut module = module.drop_unused(true);
        let ids = front_end(LOCAL, &mut module).unwrap();
        module.keep(ids["entry"]);
        let (mut module, report) = module.finish().unwrap();
        assert_eq!(names(&module, report.dropped()), ["square", "norm"]);
        assert_eq!(names(&module, report.defined()), ["entry"]);
        module.finalize_definitions().unwrap();
        let entry = module.get_finalized_function(ids["entry"]);
        assert_eq!(call(entry, &[3]), 25);
    }
}

#[test]
fn a_module_of_which_nothing_is_left_warns() {
    let told = |module: InliningModule<'_, ObjectModule>, text: &str| {
        let mut module = module;
        front_end(text, &mut module).unwrap();
        module.finish().unwrap().1.to_string()
    };
    let warning =
        "warning: no function is exported, so nothing can call them and all 3 are dropped";
    let text = told(inlining_object(), LOCAL);
    assert_eq!(text.lines().last(), Some(warning), "{text}");
    for (module, text) in [
        (inlining(object()), LOCAL.to_owned()),
        (
            inlining_object(),
            LOCAL.replace("fn entry", "export fn entry"),
        ),
    ] {
        let text = told(module, &text);
        assert!(!text.contains("warning"), "{text}");
    }
}

/// The caller is in the wrapped module by then, and calls by a relocation.
#[test]
fn a_local_function_that_a_flushed_one_calls_is_kept() {
    for in_parallel in [false, true] {
        let module = InliningModule::for_object_file(jit(), Inliner::new(Always).check(true));
        let mut module = module.compile_in_parallel(in_parallel);
        let text = "fn helper(x); fn unused(x); export fn main(x) = helper(x) + 1;";
        let ids = front_end(text, &mut module).unwrap();
        module.flush().unwrap();
        front_end(
            "fn helper(x) = x * 10; fn unused(x) = helper(x);",
            &mut module,
        )
        .unwrap();
        let (mut module, report) = module.finish().unwrap();
        assert_eq!(names(&module, report.dropped()), ["unused"]);
        module.finalize_definitions().unwrap();
        let main = module.get_finalized_function(ids["main"]);
        assert_eq!(call(main, &[4]), 41);
    }
}

#[test]
fn functions_with_calls_or_references_are_not_unused() {
    let text = "fn called(x) = if x < 1 then 0 else called(x - 1);
                fn through(x) = called(x);
                fn taken(x) = x;
                fn alone(x) = alone(x);
                export fn main(x) = called(x);
                export fn address() = &taken;";
    let mut module = inlining(jit());
    let ids = front_end(text, &mut module).unwrap();
    module.keep(ids["through"]);
    let (module, report) = module.finish().unwrap();
    assert_eq!(names(&module, report.unused()), ["alone"]);
}
