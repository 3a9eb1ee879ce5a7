//! The errors of a plain module, from the same call where that is possible.

use crate::support::{front_end, inlining, jit, object};
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{self, AbiParam, InstBuilder, InstructionData, types};
use cranelift_inliner::backend::{CompileError, TargetSettings, target};
use cranelift_inliner::decide::{Always, CallSite, Decision, Limits};
use cranelift_inliner::module::{DefineError, InliningModule};
use cranelift_inliner::pass::{Inliner, PassError};
use cranelift_inliner::program::SiteHint;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleError, default_libcall_names};
use cranelift_object::ObjectModule;

/// Makes the mistakes of a front end, step by step; returns each step's error as text.
fn mistakes<M: Module>(module: &mut M) -> Vec<String> {
    let mut signature = module.make_signature();
    let mut other = module.make_signature();
    other.params.push(AbiParam::new(types::I64));
    let mut errors = Vec::new();
    let mut note = |what: &str, result: Result<(), ModuleError>| {
        errors.push(match result {
            Ok(()) => format!("{what}: fine"),
            Err(error) => format!("{what}: {error}"),
        });
    };
    let f = module
        .declare_function("f", Linkage::Local, &signature)
        .unwrap();
    let import = module
        .declare_function("import", Linkage::Import, &signature)
        .unwrap();
    let again = module.declare_function("f", Linkage::Export, &signature);
    note("declared again", again.map(|id| assert_eq!(id, f)));
    let changed = module.declare_function("f", Linkage::Export, &other);
    note("another signature", changed.map(|_| ()));
    let data = module.declare_data("f", Linkage::Export, true, false);
    note("data of that name", data.map(|_| ()));
    let datum = module
        .declare_data("datum", Linkage::Import, true, false)
        .unwrap();
    let function = module.declare_function("datum", Linkage::Import, &signature);
    note("a function of that name", function.map(|_| ()));
    let mut data = cranelift_module::DataDescription::new();
    data.define_zeroinit(4);
    note("imported data defined", module.define_data(datum, &data));

    let define = |module: &mut M, id| module.define_function(id, &mut returning(module));
    note("defined", define(module, f));
    note("defined again", define(module, f));
    note(
        "defined again by bytes",
        module.define_function_bytes(f, 1, &[0], &[]),
    );
    note("import defined", define(module, import));
    note(
        "import defined by bytes",
        module.define_function_bytes(import, 1, &[0], &[]),
    );
    let bytes = module
        .declare_function("bytes", Linkage::Hidden, &signature)
        .unwrap();
    note("bytes", module.define_function_bytes(bytes, 1, &[0], &[]));
    note("bytes and a body", define(module, bytes));
    let anonymous = module.declare_anonymous_function(&signature).unwrap();
    note("no name", define(module, anonymous));
    note("no name, again", define(module, anonymous));

    module.clear_signature(&mut signature);
    let wrong = module
        .declare_function("wrong", Linkage::Export, &signature)
        .unwrap();
    let mut invalid = returning(module);
    invalid
        .func
        .signature
        .returns
        .push(AbiParam::new(types::I64));
    note("invalid", module.define_function(wrong, &mut invalid));
    note("corrected", define(module, wrong));
    errors
}

fn returning<M: Module>(module: &M) -> Context {
    let mut context = module.make_context();
    let block = context.func.dfg.make_block();
    context.func.layout.append_block(block);
    FuncCursor::new(&mut context.func)
        .at_bottom(block)
        .ins()
        .return_(&[]);
    context
}

fn verifying_jit() -> JITModule {
    let settings = TargetSettings::new().setting("is_pic=false");
    let isa = target("host", &settings.setting("enable_verifier=true")).unwrap();
    JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()))
}

#[test]
fn each_mistake_is_the_error_of_a_plain_module() {
    let expected = mistakes(&mut verifying_jit());
    let mut staged = inlining(verifying_jit());
    assert_eq!(mistakes(&mut staged), expected);
    assert!(
        expected
            .iter()
            .any(|e| e.starts_with("invalid: Compilation error: Verifier"))
    );
    assert!(expected.contains(&"defined again: Duplicate definition of identifier: f".to_owned()));
    staged.finish().unwrap();
}

#[test]
fn an_id_of_another_module_is_an_error() {
    let mut module = inlining(object());
    let mut context = returning(&module);
    let strange = FuncId::from_u32(77);
    let error = module.define_function(strange, &mut context).unwrap_err();
    assert!(matches!(error, ModuleError::Undeclared(_)));
}

/// Returns a front end whose function `%big` has a frame that no target allows, and is called by
/// `%main`.
fn with_big_frame<M: Module>(module: &mut M) -> [FuncId; 2] {
    let signature = module.make_signature();
    let big = module
        .declare_function("big", Linkage::Local, &signature)
        .unwrap();
    let main = module
        .declare_function("main", Linkage::Export, &signature)
        .unwrap();
    let mut context = returning(module);
    add_slot(&mut context.func, 3_000_000_000);
    add_slot(&mut context.func, 3_000_000_000);
    module.define_function(big, &mut context).unwrap();
    module.clear_context(&mut context);
    define_calls(module, main, &[big]);
    [big, main]
}

/// Adds a slot of so many bytes, and an instruction that needs it.
fn add_slot(func: &mut ir::Function, bytes: u32) {
    let slot = ir::StackSlotData::new(ir::StackSlotKind::ExplicitSlot, bytes, 0);
    let slot = func.create_sized_stack_slot(slot);
    let entry = func.layout.entry_block().unwrap();
    let mut cursor = FuncCursor::new(func).at_first_insertion_point(entry);
    let address = cursor.ins().stack_addr(types::I64, slot, 0);
    let flags = ir::MemFlagsData::trusted();
    cursor.ins().store(flags, address, address, 0);
}

fn define_calls<M: Module>(module: &mut M, id: FuncId, callees: &[FuncId]) {
    let mut context = returning(module);
    for &callee in callees {
        let callee = module.declare_func_in_func(callee, &mut context.func);
        let entry = context.func.layout.entry_block().unwrap();
        let mut cursor = FuncCursor::new(&mut context.func).at_first_insertion_point(entry);
        cursor.ins().call(callee, &[]);
    }
    module.define_function(id, &mut context).unwrap();
}

#[test]
fn an_error_of_the_wrapped_module_names_the_function() {
    for in_parallel in [false, true] {
        let mut module = inlining(jit()).compile_in_parallel(in_parallel);
        let [big, _] = with_big_frame(&mut module);
        module.keep(big);
        let error = module.finish().map(|_| ()).unwrap_err();
        let ModuleError::Backend(error) = error else {
            panic!("{error}");
        };
        assert!(error.to_string().contains("big"), "{error}");
        if !in_parallel {
            let error = error.downcast_ref::<DefineError>().unwrap();
            assert_eq!((error.id, error.function.as_str()), (big, "big"));
            assert!(matches!(error.source, ModuleError::Compilation(_)));
        }
    }
}

/// Cranelift panics about such calls, and about some again while it prints that, which ends the
/// process.
#[test]
fn an_indirect_call_without_a_callee_is_an_error_that_names_the_function() {
    for form in [
        "v1 = call_indirect sig0, v0(v0)\n return v1",
        "return_call_indirect sig0, v0(v0)",
        "try_call_indirect v0(v0), sig0, block1(ret0), []\nblock1(v2: i64):\n return v2",
    ] {
        for in_parallel in [false, true] {
            let mut module = inlining(jit()).compile_in_parallel(in_parallel);
            let mut context = module.make_context();
            let text = format!(
                "function u0:0(i64) -> i64 tail {{\nsig0 = (i64) -> i64 tail\nblock0(v0: i64):\n{form}\n}}"
            );
            context.func = cranelift_reader::parse_functions(&text).unwrap().remove(0);
            let func = &mut context.func;
            let entry = func.layout.entry_block().unwrap();
            let call = func.layout.first_inst(entry).unwrap();
            match &mut func.dfg.insts[call] {
                InstructionData::CallIndirect { args, .. }
                | InstructionData::TryCallIndirect { args, .. } => *args = ir::ValueList::new(),
                other => panic!("{other:?}"),
            }
            let odd = module
                .declare_function("odd", Linkage::Export, &func.signature)
                .unwrap();
            module.define_function(odd, &mut context).unwrap();
            let error = module.finish().map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("odd"), "{error}");
            let [CompileError::NoCallee { inst, .. }] = compile_errors(&error)[..] else {
                panic!("{error}");
            };
            assert_eq!(inst, call);
        }
    }
}

/// Returns the errors of compiling among the sources of an error.
fn compile_errors(error: &ModuleError) -> Vec<CompileError> {
    let first: &(dyn std::error::Error + 'static) = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    let errors = chain.filter_map(|error| match error.downcast_ref::<PassError>() {
        Some(PassError::Compile(error)) => Some(error.clone()),
        _ => error.downcast_ref::<CompileError>().cloned(),
    });
    errors.collect()
}

#[test]
fn after_an_error_the_rest_is_still_held_back() {
    let mut module = inlining(jit());
    let good = front_end("export fn good(x) = x;", &mut module).unwrap()["good"];
    let [big, main] = with_big_frame(&mut module);
    module.keep(big);
    module.flush().map(|_| ()).unwrap_err();
    assert_eq!(module.held().collect::<Vec<_>>(), [big, main]);
    let mut jit = module.into_module();
    jit.finalize_definitions().unwrap();
    assert_eq!(
        crate::support::call(jit.get_finalized_function(good), &[4]),
        4
    );
}

/// Only ids of the module name its functions in bodies.
#[test]
fn a_name_that_the_module_does_not_have_is_an_error_that_names_the_function() {
    for in_parallel in [false, true] {
        let mut module = inlining(object()).compile_in_parallel(in_parallel);
        let mut context = module.make_context();
        let text = "function u0:0() system_v {\nfn0 = %elsewhere() system_v\nblock0:\n call fn0()\n return\n}";
        context.func = cranelift_reader::parse_functions(text).unwrap().remove(0);
        let odd = module
            .declare_function("odd", Linkage::Export, &context.func.signature)
            .unwrap();
        module.define_function(odd, &mut context).unwrap();
        let error = module.finish().map(|_| ()).unwrap_err();
        let ModuleError::Backend(error) = error else {
            panic!("{error}");
        };
        let error = error.downcast_ref::<DefineError>().unwrap();
        assert_eq!(error.function, "odd");
    }
}

/// Functions of a flush that fails later are in the wrapped module, with backtraces and counters.
#[test]
fn the_report_of_a_flush_that_fails_is_told() {
    let mut told: Vec<Vec<FuncId>> = Vec::new();
    let (good, big);
    {
        let inliner = Inliner::new(Always).check(true);
        let module = InliningModule::new(jit(), inliner);
        let mut module = module.on_flush(|report| told.push(report.defined().to_vec()));
        good = front_end("export fn good(x) = x;", &mut module).unwrap()["good"];
        [big, _] = with_big_frame(&mut module);
        module.flush().map(|_| ()).unwrap_err();
        module.flush().map(|_| ()).unwrap_err();
    }
    assert_ne!(good, big);
    assert_eq!(told, [[good]]);
}

/// A plain module does not define a function with an error either, and takes another body for it.
#[test]
fn a_function_with_an_error_can_be_defined_anew() {
    for in_parallel in [false, true] {
        let mut module = inlining(jit()).compile_in_parallel(in_parallel);
        let [big, main] = with_big_frame(&mut module);
        let error = module.flush().map(|_| ()).unwrap_err();
        assert_eq!(module.culprit(&error), Some(big), "{error}");
        assert!(module.discard(big));
        assert_eq!(module.culprit(&error), None, "it is not held any more");
        assert!(!module.discard(big));
        assert_eq!(module.held().collect::<Vec<_>>(), [main]);
        let mut context = returning(&module);
        module.define_function(big, &mut context).unwrap();
        let report = module.flush().unwrap();
        let mut defined = report.defined().to_vec();
        defined.sort();
        assert_eq!(defined, [big, main]);
        assert!(!module.discard(main), "the wrapped module has it");
        let again = module.define_function(big, &mut context);
        assert!(matches!(again, Err(ModuleError::DuplicateDefinition(_))));
    }
}

/// No name of the module leads to such a function.
#[test]
fn a_function_without_a_name_that_has_an_error_is_found() {
    for in_parallel in [false, true] {
        let mut module = inlining(jit()).compile_in_parallel(in_parallel);
        let signature = module.make_signature();
        let ids = [8, 3_000_000_000, 16].map(|size| {
            let id = module.declare_anonymous_function(&signature).unwrap();
            let mut context = returning(&module);
            add_slot(&mut context.func, size);
            add_slot(&mut context.func, size);
            module.define_function(id, &mut context).unwrap();
            id
        });
        let error = module.flush().map(|_| ()).unwrap_err();
        assert_eq!(module.culprit(&error), Some(ids[1]), "{error}");
        assert!(module.discard(ids[1]));
        module.flush().unwrap();
        assert_eq!(module.held().len(), 0);
    }
}

/// A hint for another instruction is an error of each flush, until it goes with its function.
#[test]
fn a_wrong_hint_goes_with_its_function() {
    let mut module = inlining(jit());
    let ids = front_end("fn f(x) = x; export fn g(x) = x;", &mut module).unwrap();
    module.set_hint(ids["f"], ir::Inst::from_u32(0), SiteHint::Always);
    let error = module.flush().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("function `f`"), "{error}");
    assert_eq!(module.culprit(&error), Some(ids["f"]));
    assert!(module.discard(ids["f"]));
    front_end("fn f(x) = x + 1;", &mut module).unwrap();
    assert_eq!(module.flush().unwrap().defined().len(), 2);
}

#[test]
fn functions_too_large_by_inlining_are_defined_as_they_were() {
    // A frame may have 1 GiB: each half fits, both in %main do not. Slots of one size would be
    // shared.
    for in_parallel in [false, true] {
        let mut limits = Limits::default();
        limits.frame_bytes = u64::MAX;
        let inliner = Inliner::new(Always).limits(limits);
        let mut module = InliningModule::new(object(), inliner).compile_in_parallel(in_parallel);
        let signature = module.make_signature();
        let mut halves = Vec::new();
        for (name, size) in [("left", 600_000_000), ("right", 600_000_008)] {
            let id = module
                .declare_function(name, Linkage::Local, &signature)
                .unwrap();
            let mut context = returning(&module);
            add_slot(&mut context.func, size);
            module.define_function(id, &mut context).unwrap();
            halves.push(id);
        }
        let main = module
            .declare_function("main", Linkage::Export, &signature)
            .unwrap();
        define_calls(&mut module, main, &halves);
        let (module, report) = module.finish().unwrap();
        assert_eq!(report.fallbacks().len(), 1);
        assert_eq!(report.fallbacks()[0].0, main);
        // It calls a function that was to be dropped.
        assert!(report.dropped().is_empty());
        let mut defined = report.defined().to_vec();
        defined.sort();
        assert_eq!(defined, [halves[0], halves[1], main]);
        let file = crate::support::ObjectFile::of(module);
        let mut calls = file.relocations(".text");
        calls.sort();
        assert_eq!(calls, ["left", "right"]);
    }
}

/// Its counters are in the original body too, also where that is inlined later.
#[test]
fn functions_defined_as_they_were_count_their_calls() {
    for in_parallel in [false, true] {
        let mut limits = Limits::default();
        limits.frame_bytes = u64::MAX;
        let inliner = Inliner::new(Always).limits(limits);
        let mut module = InliningModule::new(object(), inliner)
            .compile_in_parallel(in_parallel)
            .count_calls(true);
        let signature = module.make_signature();
        let declare = |module: &mut InliningModule<'static, ObjectModule>, name: &str| {
            let linkage = Linkage::Export;
            module.declare_function(name, linkage, &signature).unwrap()
        };
        let [left, right, main, later] =
            ["left", "right", "main", "later"].map(|name| declare(&mut module, name));
        for (id, size) in [(left, 600_000_000), (right, 600_000_008)] {
            let mut context = returning(&module);
            add_slot(&mut context.func, size);
            module.define_function(id, &mut context).unwrap();
        }
        define_calls(&mut module, main, &[left, right]);
        let report = module.flush().unwrap();
        assert_eq!(report.fallbacks()[0].0, main);
        define_calls(&mut module, later, &[main]);
        let (module, report) = module.finish().unwrap();
        let main = report.program().id(&"main".parse().unwrap()).unwrap();
        assert_eq!(report.program()[main].body().global_values.len(), 1);
        let file = crate::support::ObjectFile::of(module);
        let mut used = file.relocations(".text");
        used.sort();
        // Each flush has a table, and `later` is as it was too.
        let expected = [".Ldata0", ".Ldata1", "left", "main", "right"];
        assert_eq!(used, expected, "{in_parallel}");
    }
}

/// A function that comes back because of a fallback may call others that were to be dropped.
#[test]
fn the_callees_of_functions_that_come_back_are_defined_too() {
    for in_parallel in [false, true] {
        let mut limits = Limits::default();
        limits.frame_bytes = u64::MAX;
        let into_main = |site: &CallSite<'_>| match site.caller_name().to_string() == "%main" {
            true => Decision::inline("into main"),
            false => Decision::keep("elsewhere"),
        };
        let inliner = Inliner::new(into_main).limits(limits);
        let module = InliningModule::for_object_file(object(), inliner);
        let mut module = module.compile_in_parallel(in_parallel);
        let signature = module.make_signature();
        let declare = |module: &mut InliningModule<'static, ObjectModule>, name, linkage| {
            module.declare_function(name, linkage, &signature).unwrap()
        };
        let names = ["last", "helper", "left", "right"];
        let [last, helper, left, right] =
            names.map(|name| declare(&mut module, name, Linkage::Local));
        let main = declare(&mut module, "main", Linkage::Export);
        define_calls(&mut module, last, &[]);
        define_calls(&mut module, helper, &[last]);
        for (id, size) in [(left, 600_000_000), (right, 600_000_008)] {
            let mut context = returning(&module);
            add_slot(&mut context.func, size);
            let callee = module.declare_func_in_func(helper, &mut context.func);
            let entry = context.func.layout.entry_block().unwrap();
            let mut cursor = FuncCursor::new(&mut context.func).at_first_insertion_point(entry);
            cursor.ins().call(callee, &[]);
            module.define_function(id, &mut context).unwrap();
        }
        define_calls(&mut module, main, &[left, right]);
        let (module, report) = module.finish().unwrap();
        assert_eq!(report.fallbacks()[0].0, main);
        assert_eq!(report.dropped(), []);
        let mut defined = report.defined().to_vec();
        defined.sort();
        assert_eq!(defined, [last, helper, left, right, main]);
        let file = crate::support::ObjectFile::of(module);
        let mut calls = file.relocations(".text");
        calls.sort();
        assert_eq!(calls, ["helper", "helper", "last", "left", "right"]);
    }
}
