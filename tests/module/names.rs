//! Names in the wrapped module and in the report.

use crate::support::{ObjectFile, front_end, inlining, inlining_object, jit};
use cranelift_codegen::ir::{TrapCode, UserFuncName};
use cranelift_inliner::decide::{Always, Never};
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::{Inliner, RecordLevel};
use cranelift_inliner::program::Program;
use cranelift_module::{DataDescription, Linkage, Module};

const TEXT: &str = "fn leaf(x) = x + 1; fn outside(x); export fn main(x) = outside(leaf(x));";

#[test]
fn the_report_names_functions_by_their_symbols() {
    let mut module = inlining_object();
    let ids = front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let names = report.program().iter();
    let names: Vec<_> = names.map(|(_, f)| f.name().to_string()).collect();
    assert_eq!(names, ["%leaf", "%main"]);
    let main = report.function(ids["main"]).unwrap();
    assert_eq!(report.program()[main].name().to_string(), "%main");
    assert_eq!(report.function(ids["leaf"]), None);
    let text = format!("{report:#}");
    assert!(text.contains("main: 3 -> 4 instructions"), "{text}");
    assert!(text.contains("inlined leaf: policy always"), "{text}");
    assert!(
        text.contains("kept    outside: the callee is external"),
        "{text}"
    );
    let last = "1 call inlined, 1 kept (1 external); 1 function defined, 1 dropped";
    assert_eq!(text.lines().last(), Some(last));
}

#[test]
fn a_report_is_short_unless_all_is_asked_for() {
    let calls = "outside(x) + ".repeat(50);
    let text =
        format!("fn outside(x); export fn main(x) = {calls} main(x) * leaf(x); fn leaf(x) = x;");
    let mut module = inlining(jit());
    front_end(&text, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    assert_eq!(
        report.to_string(),
        "1 call inlined, 51 kept (50 external, 1 recursion); 2 functions defined (1 of them unused), 0 dropped"
    );
    // A line for `%main`, one for each call, and the summary.
    assert_eq!(format!("{report:#}").lines().count(), 1 + 52 + 1);
}

/// The number of calls is unknown then.
#[test]
fn a_report_without_all_records_counts_inlined_calls() {
    let inliner = Inliner::new(Always).records(RecordLevel::Changes);
    let mut module = InliningModule::new(jit(), inliner).drop_unused(true);
    front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let text = format!("{report:#}");
    assert!(!text.contains("outside"), "{text}");
    let last = "1 call inlined; 1 function defined, 1 dropped";
    assert_eq!(text.lines().last(), Some(last));
}

#[test]
fn the_wrapped_module_sees_the_names_of_the_front_end() {
    let mut names = Vec::new();
    let module = InliningModule::new(jit(), Inliner::new(Always));
    let mut module = module.on_define(|id, context| {
        names.push((id, context.func.name.clone()));
        // Callees are numbers again.
        let text = context.func.display().to_string();
        assert!(!text.contains('%'), "{text}");
    });
    let ids = {
        let mut context = module.make_context();
        let signature = module.make_signature();
        let mut ids = Vec::new();
        for number in 0..3 {
            let id = module
                .declare_function(&format!("f{number}"), Linkage::Export, &signature)
                .unwrap();
            context.func.name = UserFuncName::user(7, 10 + number);
            context.func.signature = signature.clone();
            let callee = ids
                .last()
                .map(|&last| module.declare_func_in_func(last, &mut context.func));
            let block = context.func.dfg.make_block();
            context.func.layout.append_block(block);
            use cranelift_codegen::cursor::{Cursor, FuncCursor};
            use cranelift_codegen::ir::InstBuilder;
            let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
            if let Some(callee) = callee {
                cursor.ins().call(callee, &[]);
            }
            cursor.ins().return_(&[]);
            module.define_function(id, &mut context).unwrap();
            module.clear_context(&mut context);
            ids.push(id);
        }
        ids
    };
    module.finish().unwrap();
    let expected: Vec<_> = (10..13).map(|index| UserFuncName::user(7, index)).collect();
    let (seen_ids, seen): (Vec<_>, Vec<_>) = names.into_iter().unzip();
    assert_eq!(seen_ids, ids);
    assert_eq!(seen, expected);
}

/// Returns the trap codes in the code of `%main`, as the wrapped module compiles it.
fn traps_of_main(inliner: Inliner<'_>) -> Vec<TrapCode> {
    let text = "fn quotient(a, b) = a / b; export fn main(a, b) = quotient(a, b);";
    let mut traps = Vec::new();
    let module = InliningModule::new(jit(), inliner);
    // The last definition is that of `%main`.
    let mut module = module.on_define(|_, context| {
        let compiled = context.compiled_code().unwrap();
        let codes = compiled.buffer.traps().iter().map(|trap| trap.code);
        traps = codes.collect();
    });
    front_end(text, &mut module).unwrap();
    module.finish().unwrap();
    traps
}

#[test]
fn traps_come_with_the_bodies_that_they_are_in() {
    assert_eq!(traps_of_main(Inliner::new(Never)), []);
    let traps = traps_of_main(Inliner::new(Always));
    assert!(
        traps.contains(&TrapCode::INTEGER_DIVISION_BY_ZERO),
        "{traps:?}"
    );
}

#[test]
fn relocations_name_functions_and_data_that_came_in_with_bodies() {
    // %reader returns the address of `datum`, and calls %outside; both come into %main.
    let mut module = inlining_object();
    let datum = module
        .declare_data("datum", Linkage::Local, true, false)
        .unwrap();
    let mut data = DataDescription::new();
    data.define_zeroinit(8);
    module.define_data(datum, &data).unwrap();

    let outside = module.make_signature();
    let outside = module
        .declare_function("outside", Linkage::Import, &outside)
        .unwrap();
    let mut signature = module.make_signature();
    let pointer = module.target_config().pointer_type();
    signature
        .returns
        .push(cranelift_codegen::ir::AbiParam::new(pointer));
    let reader = module
        .declare_function("reader", Linkage::Local, &signature)
        .unwrap();
    let main = module
        .declare_function("main", Linkage::Export, &signature)
        .unwrap();
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    let mut context = module.make_context();
    for id in [reader, main] {
        context.func.signature = signature.clone();
        let block = context.func.dfg.make_block();
        context.func.layout.append_block(block);
        let callee = if id == main { reader } else { outside };
        let callee = module.declare_func_in_func(callee, &mut context.func);
        let global = module.declare_data_in_func(datum, &mut context.func);
        let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
        let call = cursor.ins().call(callee, &[]);
        let result = if id == main {
            cursor.func.dfg.first_result(call)
        } else {
            cursor.ins().symbol_value(pointer, global)
        };
        cursor.ins().return_(&[result]);
        module.define_function(id, &mut context).unwrap();
        module.clear_context(&mut context);
    }
    let (module, report) = module.finish().unwrap();
    assert_eq!(report.dropped(), [reader]);
    let file = ObjectFile::of(module);
    let mut relocations = file.relocations(".text");
    relocations.sort();
    assert_eq!(relocations, ["datum", "outside"]);
}

#[test]
fn a_front_end_may_use_a_name_that_is_made_up_elsewhere() {
    let mut module = inlining_object();
    let ids = front_end(TEXT, &mut module).unwrap();
    let next = ids.len();
    let signature = module.make_signature();
    // The function without a name has the next id, and hence this name.
    let taken = format!(".Lfn{:x}", next);
    let anonymous = module.declare_anonymous_function(&signature).unwrap();
    let named = module
        .declare_function(&taken, Linkage::Local, &signature)
        .unwrap();
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    for id in [anonymous, named] {
        let mut context = module.make_context();
        let block = context.func.dfg.make_block();
        context.func.layout.append_block(block);
        let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
        cursor.ins().return_(&[]);
        module.define_function(id, &mut context).unwrap();
    }
    let (_, report) = module.finish().unwrap();
    assert!(report.dropped().contains(&anonymous));
    assert!(report.dropped().contains(&named));
}

/// Front ends have names that CLIF does not, and users look at the result nevertheless.
#[test]
fn a_program_with_the_names_of_a_front_end_can_be_written_as_clif() {
    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    let bodies = [
        (
            "pkg.half",
            "function u0:0(i64) -> i64 system_v {
             block0(v0: i64):
                 v1 = iadd v0, v0
                 return v1
             }",
        ),
        (
            "pkg::main",
            "function u0:1(i64) -> i64 system_v {
                 fn0 = colocated u0:0(i64) -> i64 system_v
             block0(v0: i64):
                 v1 = call fn0(v0)
                 return v1
             }",
        ),
    ];
    for (name, text) in bodies {
        let mut context = module.make_context();
        context.func = cranelift_reader::parse_functions(text).unwrap().remove(0);
        let id = module
            .declare_function(name, Linkage::Export, &context.func.signature)
            .unwrap();
        module.define_function(id, &mut context).unwrap();
    }
    let (_, report) = module.finish().unwrap();
    let error = report.program().to_clif().unwrap_err().to_string();
    assert!(
        error.ends_with("`Program::with_clif_names` renames it"),
        "{error}"
    );
    let (program, _) = report.program().with_clif_names();
    let text = program.to_clif().unwrap();
    let names = [
        "function %pkg_half(i64)",
        "function %pkg__main(i64)",
        "fn0 = colocated %pkg_half ",
    ];
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
    // The tools do with it as the module did.
    let read = Program::from_clif(&text, "text").unwrap();
    let inlined = Inliner::new(Always).run(&read).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 1);
}
