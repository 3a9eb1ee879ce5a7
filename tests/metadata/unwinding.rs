//! Unwind information of functions that Cranelift describes wrongly.

use cranelift_inliner::backend::{
    CompiledFunction, ObjectFunction, ObjectLinkage, TargetSettings, build_object, default_symbol,
    target,
};
use cranelift_inliner::debug_info::{DebugFunction, DebugInfo, LineIsLocation};
use cranelift_inliner::decide::Never;
use cranelift_inliner::locations::{LocationMode, LocationTable};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_module::{Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use gimli::{RegisterRule, UnwindSection};
use object::{Object, ObjectSection};

/// The numbers of rbx, r12, r13, r14 and r15.
const SAVED: [u16; 5] = [3, 12, 13, 14, 15];

/// Returns the rules of the saved registers at the return address of the function's only call.
fn rules(text: &str) -> Vec<Option<RegisterRule<usize>>> {
    let program = Program::from_clif(text, "unwinding.clif").unwrap();
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let inliner = Inliner::new(Never).locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let (id, code) = compiled.iter().next().unwrap();
    let functions = [ObjectFunction::new(
        default_symbol(code.name()),
        ObjectLinkage::Export,
        code,
    )];
    let mut product = build_object(&isa, "unwinding", &functions, default_symbol).unwrap();
    let debug = [DebugFunction::new(code, compiled.locations(id).unwrap())];
    let lines = LineIsLocation::new("unwinding.src", "/project");
    DebugInfo::new(&*isa, &lines)
        .add_to(&mut product, &debug)
        .unwrap();
    let bytes = product.emit().unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(".eh_frame").unwrap();
    let frames = gimli::EhFrame::new(section.data().unwrap(), gimli::LittleEndian);
    let bases = gimli::BaseAddresses::default().set_eh_frame(0);
    let mut entries = frames.entries(&bases);
    let mut context = gimli::UnwindContext::new();
    while let Some(entry) = entries.next().unwrap() {
        let gimli::CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(gimli::EhFrame::cie_from_offset).unwrap();
        let calls = code.call_sites().map(|site| u64::from(site.ret_addr) - 1);
        let address = fde.initial_address() + calls.min().unwrap();
        let row = fde.unwind_info_for_address(&frames, &bases, &mut context, address);
        let row = row.unwrap();
        return SAVED
            .map(|register| row.register(gimli::Register(register)))
            .to_vec();
    }
    panic!("no entry");
}

fn function(limit: &str, tail_call: &str) -> String {
    format!(
        "function %f(i64 vmctx, i64) -> i64 tail {{
             gv0 = vmctx
             gv1 = load.i64 notrap aligned gv0
             {limit}
             fn0 = %g(i64) -> i64 tail
             fn1 = %h(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64) -> i64 tail
         block0(v0: i64, v1: i64):
             v2 = call fn0(v1)
             {tail_call}
         }}"
    )
}

const LARGER: &str = "return_call fn1(v0, v0, v0, v0, v0, v0, v0, v0, v1, v2)";
const NONE: &str = "v3 = iadd v0, v1\n    v4 = iadd v3, v2\n    return v4";

#[test]
fn a_register_that_is_saved_below_a_moved_frame_is_unknown() {
    for limit in ["", "stack_limit = gv0", "stack_limit = gv1"] {
        let rules = rules(&function(limit, LARGER));
        let known = rules
            .iter()
            .filter(|rule| **rule != Some(RegisterRule::Undefined));
        assert_eq!(known.count(), 0, "{limit}: {rules:?}");
    }
}

#[test]
fn a_register_that_is_saved_below_another_frame_is_known() {
    for limit in ["", "stack_limit = gv0", "stack_limit = gv1"] {
        let rules = rules(&function(limit, NONE));
        let saved = rules
            .iter()
            .filter(|rule| matches!(rule, Some(RegisterRule::Offset(_))));
        assert_eq!(saved.count(), 2, "{limit}: {rules:?}");
    }
}

/// An embedder's object file may have unwind information of other functions, such as those of
/// another module.
#[test]
fn unwinding_is_added_behind_that_of_other_functions() {
    let text = "function u0:0(i64) -> i64 system_v {\nblock0(v0: i64):\n return v0\n}";
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let mut builder = ObjectBuilder::new(isa.clone(), "two", default_libcall_names()).unwrap();
    builder.unwind_info(true);
    let mut module = ObjectModule::new(builder);
    let mut context = module.make_context();
    context.func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    let signature = context.func.signature.clone();
    let id = module.declare_function("f", Linkage::Export, &signature);
    module.define_function(id.unwrap(), &mut context).unwrap();
    let code = CompiledFunction::from_context(&context).unwrap().unwrap();
    let mut product = module.finish();
    let locations = LocationTable::own("%f".parse().unwrap());
    let lines = LineIsLocation::new("unwinding.src", "/project");
    DebugInfo::new(&*isa, &lines)
        .add_to(&mut product, &[DebugFunction::new(&code, &locations)])
        .unwrap();
    let bytes = product.emit().unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(".eh_frame").unwrap();
    let places: Vec<u64> = section.relocations().map(|(at, _)| at).collect();
    let frames = gimli::EhFrame::new(section.data().unwrap(), gimli::LittleEndian);
    let bases = gimli::BaseAddresses::default().set_eh_frame(0);
    let mut entries = frames.entries(&bases);
    let mut wanted = Vec::new();
    while let Some(entry) = entries.next().unwrap() {
        if let gimli::CieOrFde::Fde(partial) = entry {
            let fde = partial.parse(gimli::EhFrame::cie_from_offset).unwrap();
            // Behind the length and the place of the common entry, of four bytes each.
            wanted.push(fde.offset() as u64 + 8);
        }
    }
    assert_eq!(wanted.len(), 2);
    assert_eq!(places, wanted);
}
