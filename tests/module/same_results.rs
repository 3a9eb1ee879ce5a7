//! A front end that knows of no inlining gets the same results.

use crate::support::{
    Code, ObjectFile, call, front_end, inlined_jit, inlining, isa, jit, object, object_builder,
    plain_jit,
};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_inliner::decide::{Always, CostModel};
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_module::Module;
use cranelift_object::ObjectModule;

const PROGRAM: &str = "
    fn outside(x);
    fn square(x) = x * x;
    fn clamp(x, limit) = if x < limit then x else limit;
    fn even(n) = if n < 1 then 1 else odd(n - 1);
    fn odd(n) = if n < 1 then 0 else even(n - 1);
    hidden fn scaled(x) = outside(square(x)) / 3;
    export fn squares(n) = sum i from 0 to n of clamp(square(i), 500);
    export fn parity(n) = even(n) * 10 + odd(n);
    export fn factorial(n) = if n < 2 then 1 else n * factorial(n - 1);
    export fn all(a, b) =
        let total = squares(a) + scaled(b) in total % 1000 + parity(a) + factorial(b % 10);
";

#[test]
fn a_jit_computes_the_same_with_and_without_the_stage() {
    let plain = plain_jit(PROGRAM);
    for in_parallel in [false, true] {
        let (staged, report) = inlined_jit(PROGRAM, in_parallel);
        for (a, b) in [(0, 0), (1, 9), (30, -7), (100, 12345)] {
            assert_eq!(staged.call("all", &[a, b]), plain.call("all", &[a, b]));
            assert_eq!(staged.call("squares", &[a]), plain.call("squares", &[a]));
            assert_eq!(staged.call("scaled", &[b]), plain.call("scaled", &[b]));
        }
        let inlined = report.inlined().sites();
        assert!(inlined.filter(|site| site.inlined).count() >= 8);
    }
}

#[test]
fn ids_are_those_of_a_plain_module() {
    let plain = plain_jit(PROGRAM);
    let (staged, _) = inlined_jit(PROGRAM, false);
    assert_eq!(staged.ids, plain.ids);
}

#[test]
fn a_module_behind_a_reference_or_a_box_can_be_wrapped() {
    let mut plain = jit();
    let ids = {
        let boxed: Box<dyn Module> = Box::new(&mut plain);
        let mut module = inlining(boxed);
        let ids = front_end(PROGRAM, &mut module).unwrap();
        let _ = module.finish().unwrap();
        ids
    };
    plain.finalize_definitions().unwrap();
    let code = Code { module: plain, ids };
    assert_eq!(code.call("parity", &[7]), 1);
}

#[test]
fn a_stage_in_a_stage_is_a_module_too() {
    let never = Inliner::new(cranelift_inliner::decide::Never);
    let mut module = inlining(InliningModule::new(jit(), never));
    let ids = front_end(PROGRAM, &mut module).unwrap();
    let (inner, _) = module.finish().unwrap();
    let (mut plain, _) = inner.finish().unwrap();
    plain.finalize_definitions().unwrap();
    assert_eq!(
        call(plain.get_finalized_function(ids["factorial"]), &[5]),
        120
    );
}

#[test]
fn where_nothing_is_inlined_the_object_file_is_that_of_the_plain_module() {
    let compile = |inliner: Option<Inliner<'_>>| {
        let mut builder = object_builder();
        builder.unwind_info(true);
        let plain = ObjectModule::new(builder);
        let Some(inliner) = inliner else {
            let mut module = plain;
            front_end(PROGRAM, &mut module).unwrap();
            return module.finish().emit().unwrap();
        };
        let mut module = InliningModule::new(plain, inliner);
        front_end(PROGRAM, &mut module).unwrap();
        module.finish().unwrap().0.finish().emit().unwrap()
    };
    let never = Inliner::new(cranelift_inliner::decide::Never);
    assert_eq!(compile(Some(never)), compile(None));
    let always = Inliner::new(Always);
    assert_ne!(compile(Some(always)), compile(None));
}

#[test]
fn an_object_module_makes_unwind_information_for_functions_with_inlined_calls() {
    let unwind_bytes = |in_parallel: bool| {
        let mut builder = object_builder();
        builder.unwind_info(true);
        let module = InliningModule::new(ObjectModule::new(builder), Inliner::new(Always));
        let mut module = module.compile_in_parallel(in_parallel);
        front_end(PROGRAM, &mut module).unwrap();
        ObjectFile::of(module.finish().unwrap().0).section_size(".eh_frame")
    };
    assert!(unwind_bytes(false) > 0);
    assert_eq!(unwind_bytes(true), 0, "as the documentation says");
}

#[test]
fn compiled_contexts_are_given_on_demand() {
    let isa = isa(false);
    let mut seen = Vec::new();
    let inliner = Inliner::new(CostModel::default()).verify_with(&*isa);
    let mut module = InliningModule::new(object(), inliner).on_define(|id, context| {
        let compiled = context.compiled_code().unwrap();
        let unwind = compiled.create_unwind_info(&*isa).unwrap();
        assert!(matches!(unwind, Some(UnwindInfo::SystemV(_))));
        assert!(compiled.vcode.is_some(), "a listing was asked for");
        seen.push(id);
    });
    let mut listing = module.make_context();
    listing.set_disasm(true);
    let mut functions = front_end_with(&mut module, listing);
    let (_, report) = module.finish().unwrap();
    functions.retain(|id| !report.dropped().contains(id));
    assert_eq!(seen, functions);
    assert_eq!(seen, report.defined());
}

/// Returns two functions that ask for a listing: `%f` and `%g`, which calls it.
fn front_end_with<M: Module>(
    module: &mut M,
    mut context: cranelift_codegen::Context,
) -> Vec<cranelift_module::FuncId> {
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    let signature = module.make_signature();
    let mut ids = Vec::new();
    for name in ["f", "g"] {
        let linkage = cranelift_module::Linkage::Export;
        let id = module.declare_function(name, linkage, &signature).unwrap();
        context.func.signature = signature.clone();
        let callee = ids
            .first()
            .map(|&first| module.declare_func_in_func(first, &mut context.func));
        let block = context.func.dfg.make_block();
        context.func.layout.append_block(block);
        let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
        if let Some(callee) = callee {
            cursor.ins().call(callee, &[]);
        }
        cursor.ins().return_(&[]);
        module.define_function(id, &mut context).unwrap();
        context.func.clear();
        ids.push(id);
    }
    ids
}
