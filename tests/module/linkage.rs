//! The meaning of each linkage, on a JIT and in an object file.

use crate::support::{
    ObjectFile, front_end, inlined_jit, inlined_object, inlining, inlining_object, jit, names,
    object, plain_jit,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::{Inliner, Optimize, Reason};
use cranelift_module::{DataDescription, Linkage, Module, ModuleReloc, ModuleRelocTarget};
use object::{ObjectSymbol, SymbolScope};

/// Returns a text in which `%main` calls `%callee`, whose linkage is put before it.
fn calling(linkage: &str) -> String {
    format!("{linkage} fn callee(x) = x * 3; export fn main(x) = callee(x) + callee(1);")
}

/// Returns whether all calls of `%main` were inlined; not some.
fn all_inlined(report: &ModuleReport) -> bool {
    let sites: Vec<_> = report.inlined().sites().collect();
    let inlined = sites.iter().filter(|site| site.inlined).count();
    assert!(inlined == 0 || inlined == sites.len());
    assert_eq!(sites.len(), 2);
    inlined > 0
}

#[test]
fn a_local_function_is_inlined_and_dropped() {
    let (file, report) = inlined_object(&calling(""));
    assert!(all_inlined(&report));
    assert_eq!(report.dropped().len(), 1);
    assert_eq!(file.relocations(".text"), [""; 0]);
    assert!(file.code("callee").unwrap().len() <= 8, "a trap is left");
    assert!(file.code("main").unwrap().len() > 8);
    let local = |symbol: &object::Symbol<'_, '_>| symbol.scope() == SymbolScope::Compilation;
    assert_eq!(file.symbol("callee", local), Some(true));

    let mut module = inlining(jit()).drop_unused(true);
    let ids = front_end(&calling(""), &mut module).unwrap();
    let (mut module, report) = module.finish().unwrap();
    assert!(all_inlined(&report));
    assert_eq!(names(&module, report.dropped()), ["callee"]);
    assert_eq!(names(&module, report.defined()), ["main"]);
    module.finalize_definitions().unwrap();
    let main = module.get_finalized_function(ids["main"]);
    assert_eq!(crate::support::call(main, &[5]), 18);
}

#[test]
fn a_local_function_that_a_call_still_needs_is_kept() {
    let text = "fn twice(x) = if x < 1 then 0 else 2 + twice(x - 1);
                export fn main(x) = twice(x);";
    let (file, report) = inlined_object(text);
    assert!(report.dropped().is_empty());
    assert!(file.code("twice").unwrap().len() > 8);
    let (code, _) = inlined_jit(text, false);
    assert_eq!(code.call("main", &[21]), 42);
}

#[test]
fn exported_and_hidden_functions_are_inlined_and_kept() {
    for (linkage, scope) in [
        ("export", SymbolScope::Dynamic),
        ("hidden", SymbolScope::Linkage),
    ] {
        let (file, report) = inlined_object(&calling(linkage));
        assert!(all_inlined(&report));
        assert!(report.dropped().is_empty());
        assert!(file.code("callee").is_some());
        assert_eq!(file.symbol("callee", |symbol| symbol.scope()), Some(scope));
        assert_eq!(
            file.symbol("callee", |symbol| symbol.is_weak()),
            Some(false)
        );

        let (code, report) = inlined_jit(&calling(linkage), false);
        assert!(all_inlined(&report));
        assert_eq!(code.call("main", &[5]), 18);
        assert_eq!(code.call("callee", &[5]), 15);
    }
}

#[test]
fn a_preemptible_function_is_called_and_kept() {
    let (file, report) = inlined_object(&calling("weak"));
    assert!(!all_inlined(&report));
    let mut reasons = report.inlined().sites().map(|site| &site.reason);
    assert!(reasons.all(|reason| *reason == Reason::Interposable));
    assert_eq!(file.relocations(".text"), ["callee"; 2]);
    assert_eq!(file.symbol("callee", |symbol| symbol.is_weak()), Some(true));

    let (code, report) = inlined_jit(&calling("weak"), false);
    assert!(!all_inlined(&report));
    assert_eq!(code.call("main", &[5]), 18);
}

#[test]
fn calls_are_inlined_into_a_preemptible_function() {
    let text = "fn leaf(x) = x + 1; weak fn replaceable(x) = leaf(x) * 2;";
    let (file, report) = inlined_object(text);
    assert!(report.inlined().sites().next().unwrap().inlined);
    assert_eq!(file.relocations(".text"), [""; 0]);
}

#[test]
fn an_import_is_external() {
    let text = "fn outside(x); export fn main(x) = outside(x) + 1;";
    let (file, report) = inlined_object(text);
    assert_eq!(
        report.inlined().sites().next().unwrap().reason,
        Reason::External
    );
    assert_eq!(file.relocations(".text"), ["outside"]);
    assert_eq!(
        file.symbol("outside", |symbol| symbol.is_undefined()),
        Some(true)
    );
    let (code, _) = inlined_jit(text, false);
    assert_eq!(code.call("main", &[1]), plain_jit(text).call("main", &[1]));
}

#[test]
fn a_function_defined_by_its_bytes_is_external_and_its_references_count() {
    let text = "fn ready(x); fn used(x) = x + 1; fn unused(x) = x + 2;
                export fn main(x) = ready(used(unused(x)));";
    let mut module = inlining_object();
    let mut signature = module.make_signature();
    let word = cranelift_codegen::ir::AbiParam::new(cranelift_codegen::ir::types::I64);
    signature.params.push(word);
    signature.returns.push(word);
    let ready = module
        .declare_function("ready", Linkage::Local, &signature)
        .unwrap();
    let ids = front_end(text, &mut module).unwrap();
    let relocation = ModuleReloc {
        offset: 0,
        kind: cranelift_codegen::binemit::Reloc::Abs8,
        name: ModuleRelocTarget::from(ids["used"]),
        addend: 0,
    };
    module
        .define_function_bytes(ready, 16, &[0; 16], &[relocation])
        .unwrap();
    let (module, report) = module.finish().unwrap();
    assert_eq!(names(&module, report.dropped()), ["unused"]);
    assert_eq!(names(&module, report.defined()), ["used", "main"]);
    let sites = report.inlined().sites();
    let external: Vec<_> = sites.filter(|site| !site.inlined).collect();
    assert_eq!(external.len(), 1);
    assert_eq!(external[0].callee.to_string(), "%ready");
    let file = ObjectFile::of(module);
    let mut relocated = file.relocations(".text");
    relocated.sort();
    assert_eq!(relocated, ["ready", "used"]);
}

#[test]
fn a_local_function_whose_address_is_taken_is_kept() {
    let text = "fn target(x) = x + 7; export fn address() = &target;
                export fn main(x) = target(x);";
    let mut module = inlining(jit()).drop_unused(true);
    let ids = front_end(text, &mut module).unwrap();
    let (mut module, report) = module.finish().unwrap();
    assert!(report.dropped().is_empty());
    module.finalize_definitions().unwrap();
    let code = crate::support::Code { module, ids };
    let address = code.call("address", &[]) as *const u8;
    assert_eq!(crate::support::call(address, &[1]), 8);
}

/// Returns a table of the addresses of `%table_used`, and a declaration of `%declared_only` in it.
fn with_table<M: Module>(module: &mut M) -> cranelift_module::DataId {
    let text = "fn table_used(x) = x + 7; fn declared_only(x) = x + 8;
                export fn main(x) = table_used(x) + declared_only(x);";
    let ids = front_end(text, module).unwrap();
    let table = module
        .declare_data("table", Linkage::Export, false, false)
        .unwrap();
    let mut data = DataDescription::new();
    data.define_zeroinit(8);
    data.init = cranelift_module::Init::Bytes {
        contents: vec![0; 8].into(),
    };
    let used = module.declare_func_in_data(ids["table_used"], &mut data);
    module.declare_func_in_data(ids["declared_only"], &mut data);
    data.write_function_addr(0, used);
    module.define_data(table, &data).unwrap();
    table
}

#[test]
fn a_local_function_that_data_refers_to_is_kept() {
    let mut module = inlining_object();
    with_table(&mut module);
    let (module, report) = module.finish().unwrap();
    assert_eq!(names(&module, report.dropped()), ["declared_only"]);
    let file = ObjectFile::of(module);
    assert_eq!(file.relocations(".data.rel.ro"), ["table_used"]);
    assert!(file.code("table_used").unwrap().len() > 8);

    let mut module = inlining(jit());
    let table = with_table(&mut module);
    let (mut module, _) = module.finish().unwrap();
    module.finalize_definitions().unwrap();
    let (address, _) = module.get_finalized_data(table);
    // SAFETY: the table holds one address.
    let function = unsafe { *address.cast::<*const u8>() };
    assert_eq!(crate::support::call(function, &[1]), 8);
}

#[test]
fn a_function_without_a_name_is_local() {
    let mut module = inlining_object();
    let signature = module.make_signature();
    let unused = module.declare_anonymous_function(&signature).unwrap();
    let mut context = module.make_context();
    let block = context.func.dfg.make_block();
    context.func.layout.append_block(block);
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
    cursor.ins().return_(&[]);
    module.define_function(unused, &mut context).unwrap();
    let (module, report) = module.finish().unwrap();
    assert_eq!(report.dropped(), [unused]);
    // In a debug build this checks that all local functions are defined.
    ObjectFile::of(module);
}

#[test]
fn the_linkage_that_counts_is_the_last_one() {
    let mut module = inlining_object();
    let ids = front_end(&calling(""), &mut module).unwrap();
    let declarations = module.declarations();
    let signature = declarations
        .get_function_decl(ids["callee"])
        .signature
        .clone();
    let again = module.declare_function("callee", Linkage::Export, &signature);
    assert_eq!(again.unwrap(), ids["callee"]);
    let (module, report) = module.finish().unwrap();
    assert!(report.dropped().is_empty());
    assert!(ObjectFile::of(module).code("callee").unwrap().len() > 8);
}

#[test]
fn functions_to_be_kept_are_kept() {
    let mut module = inlining(jit()).drop_unused(true);
    let ids = front_end(&calling(""), &mut module).unwrap();
    module.keep(ids["callee"]);
    let (mut module, report) = module.finish().unwrap();
    assert!(all_inlined(&report));
    module.finalize_definitions().unwrap();
    let callee = module.get_finalized_function(ids["callee"]);
    assert_eq!(crate::support::call(callee, &[2]), 6);
}

/// The linker may put another table in its place, even if that is declared after the definition.
#[test]
fn a_table_that_may_be_replaced_in_the_end_says_nothing_about_targets() {
    for (last, is_known) in [(Linkage::Local, true), (Linkage::Preemptible, false)] {
        let inliner = Inliner::new(Always).optimize(Optimize::All).check(true);
        let mut module = InliningModule::for_object_file(object(), inliner);
        let text = "fn target(x) = x + 7; export fn main(x) = x;";
        let ids = front_end(text, &mut module).unwrap();
        let declarations = module.declarations();
        let target = declarations.get_function_decl(ids["target"]);
        let signature = target.signature.clone();
        let table = module
            .declare_data("table", Linkage::Local, false, false)
            .unwrap();
        let mut data = DataDescription::new();
        data.define(vec![0; 8].into());
        let function = module.declare_func_in_data(ids["target"], &mut data);
        data.write_function_addr(0, function);
        module.define_data(table, &data).unwrap();
        let caller = module
            .declare_function("caller", Linkage::Export, &signature)
            .unwrap();
        let mut context = module.make_context();
        context.func.signature = signature.clone();
        let table = module.declare_data_in_func(table, &mut context.func);
        let block = context.func.dfg.make_block();
        context.func.layout.append_block(block);
        let word = cranelift_codegen::ir::types::I64;
        let x = context.func.dfg.append_block_param(block, word);
        let sig_ref = context.func.import_signature(signature);
        use cranelift_codegen::cursor::{Cursor, FuncCursor};
        use cranelift_codegen::ir::{InstBuilder, MemFlagsData};
        let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
        let start = cursor.ins().symbol_value(word, table);
        let address = cursor.ins().load(word, MemFlagsData::trusted(), start, 0);
        let call = cursor.ins().call_indirect(sig_ref, address, &[x]);
        let result = cursor.func.dfg.first_result(call);
        cursor.ins().return_(&[result]);
        module.define_function(caller, &mut context).unwrap();
        module.declare_data("table", last, false, false).unwrap();
        let (_, report) = module.finish().unwrap();
        let resolved = report.inlined().sites().filter(|site| site.is_resolved());
        assert_eq!(resolved.count() == 1, is_known, "{last:?}");
    }
}
