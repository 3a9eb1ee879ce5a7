//! Backtraces of a module's functions, which its report has.

use crate::expressions::{compiler::compile, parser::parse};
use crate::support::jit;
use cranelift_codegen::ValueLabelsRanges;
use cranelift_codegen::ir::{
    AbiParam, Function, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart, types,
};
use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces};
use cranelift_inliner::decide::{Always, Inline, Never};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_module::{FuncId, Linkage, Module};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

const TEXT: &str = "fn divide(a, b) = a / b;
export fn outer(a, b) =
    divide(a, b) + 1;
fn outside(x);
export fn calls(x) =
    outside(divide(x, 2));
";

/// Returns the backtraces of `outer` and `calls`.
fn backtraces(policy: impl Inline + 'static, in_parallel: bool) -> Vec<FunctionBacktraces> {
    let inliner = Inliner::new(policy).locations(LocationMode::InlinedAt);
    let module = InliningModule::new(jit(), inliner);
    let mut module = module
        .keep_backtraces(true)
        .compile_in_parallel(in_parallel);
    let ids = compile(&parse(TEXT).unwrap(), &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let found = ["outer", "calls"].map(|name| report.backtraces(ids[name]).cloned());
    assert!(report.backtraces(ids["divide"]).is_some());
    // It is defined elsewhere.
    assert!(report.backtraces(ids["outside"]).is_none());
    found.into_iter().flatten().collect()
}

/// Returns the places of each trap and each return address.
fn chains(function: &FunctionBacktraces) -> Vec<String> {
    let table = BacktraceTable::link([(0, function)]).unwrap();
    let reader = table.reader();
    let offsets = 0..=reader.text_bytes();
    let found = offsets.flat_map(|offset| {
        [reader.trap(offset), reader.return_address(offset)].map(|places| {
            let places = places.unwrap()?;
            let places: Vec<_> = places.map(|place| place.unwrap().to_string()).collect();
            Some(places.join(", "))
        })
    });
    let mut found: Vec<_> = found.flatten().collect();
    found.dedup();
    found
}

#[test]
fn a_report_has_the_chains_of_each_defined_function() {
    let inlined = backtraces(Always, false);
    // Lines in hexadecimal. The conditions of a division trap alike.
    assert_eq!(chains(&inlined[0]), ["%divide @0001, %outer @0003"]);
    assert_eq!(chains(&inlined[1]), ["%calls @0006"]);
    assert_eq!(backtraces(Always, true), inlined);
    let plain = backtraces(Never, false);
    assert_eq!(chains(&plain[0]), ["%outer @0003"]);
    assert_eq!(chains(&plain[1]), ["%calls @0006"]);
}

/// A body that was flushed has the locations of its code, and comes into others with them.
#[test]
fn chains_go_through_functions_of_earlier_flushes() {
    for optimize in [Optimize::Inlined, Optimize::All] {
        for in_parallel in [false, true] {
            let inliner = Inliner::new(Always)
                .locations(LocationMode::InlinedAt)
                .optimize(optimize);
            let mut module = InliningModule::new(jit(), inliner)
                .keep_backtraces(true)
                .compile_in_parallel(in_parallel);
            let mut ids = HashMap::new();
            for text in [
                TEXT,
                "export fn outer(a, b);\n\n\nexport fn middle(a, b) =\n  outer(a, b);",
                "export fn middle(a, b);\n\nfn top(a, b) = a +\n\n\n\nmiddle(a, b);",
            ] {
                ids.extend(compile(&parse(text).unwrap(), &mut module).unwrap());
                let report = module.flush().unwrap();
                let last = report.defined().last().copied().unwrap();
                let found = chains(report.backtraces(last).unwrap());
                let expected = match last {
                    last if last == ids["calls"] => "%calls @0006",
                    last if last == ids["middle"] => "%divide @0001, %outer @0003, %middle @0005",
                    _ => "%divide @0001, %outer @0003, %middle @0005, %top @0007",
                };
                assert_eq!(found, [expected], "{optimize:?} {in_parallel}");
            }
        }
    }
}

#[test]
fn only_requested_backtraces_are_kept() {
    for (mode, is_kept) in [(LocationMode::InlinedAt, false), (LocationMode::Keep, true)] {
        let inliner = Inliner::new(Always).locations(mode);
        let mut module = InliningModule::new(jit(), inliner).keep_backtraces(is_kept);
        let ids = compile(&parse(TEXT).unwrap(), &mut module).unwrap();
        let (_, report) = module.finish().unwrap();
        assert!(report.backtraces(ids["outer"]).is_none());
    }
}

/// Returns a body whose result has the label 5.
fn labelled(text: &str) -> Function {
    let mut func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    func.dfg.collect_debug_info();
    let start = ValueLabelStart {
        from: Default::default(),
        label: ValueLabel::from_u32(5),
    };
    let value = Value::from_u32(1);
    let starts = ValueLabelAssignments::Starts(vec![start]);
    let labels = func.dfg.values_labels.get_or_insert_default();
    labels.insert(value, starts);
    func
}

/// Labels have the same number in both functions, and are two variables in the one.
#[test]
fn a_report_has_the_variables_of_labels() {
    let texts = [
        "function u0:0(i64) -> i64 system_v {
        block0(v0: i64):
        @0001   v1 = imul v0, v0
        @0002   return v1
        }",
        "function u0:1(i64) -> i64 system_v {
            fn0 = u0:0(i64) -> i64 system_v
            fn1 = u0:2(i64) system_v
        block0(v0: i64):
        @0001   v1 = iadd v0, v0
        @0002   v2 = call fn0(v1)
        @0003   call fn1(v2)
        @0004   v3 = iadd v1, v2
        @0005   return v3
        }",
    ];
    for (mode, in_parallel) in [
        (LocationMode::InlinedAt, false),
        (LocationMode::InlinedAt, true),
        (LocationMode::Keep, false),
    ] {
        let seen: Mutex<HashMap<FuncId, HashSet<u32>>> = Mutex::default();
        let note = |id, ranges: &ValueLabelsRanges| {
            let labels = ranges.keys().map(|label| label.as_u32()).collect();
            seen.lock().unwrap().insert(id, labels);
        };
        let inliner = Inliner::new(Always).locations(mode);
        let mut module = InliningModule::new(jit(), inliner)
            .compile_in_parallel(in_parallel)
            .on_define(|id, context| {
                note(id, &context.compiled_code().unwrap().value_labels_ranges);
            })
            .on_compiled(|id, code| note(id, code.value_label_ranges()));
        let mut signature = module.make_signature();
        signature.params.push(AbiParam::new(types::I64));
        let outside = signature.clone();
        signature.returns.push(AbiParam::new(types::I64));
        let ids = ["callee", "caller"]
            .map(|name| module.declare_function(name, Linkage::Export, &signature));
        module
            .declare_function("elsewhere", Linkage::Import, &outside)
            .unwrap();
        let ids = ids.map(Result::unwrap);
        let mut context = module.make_context();
        for (id, text) in ids.into_iter().zip(texts) {
            context.func = labelled(text);
            module.define_function(id, &mut context).unwrap();
            module.clear_context(&mut context);
        }
        let (_, report) = module.finish().unwrap();
        let [callee, caller] = ids;
        let variables = |id| {
            let table = report.labels(id)?;
            let locations = report.locations(id).unwrap();
            let numbers: HashSet<u32> = table.iter().map(|v| v.number.as_u32()).collect();
            assert_eq!(seen.lock().unwrap()[&id], numbers, "{in_parallel}");
            let told = table.iter().map(|variable| {
                let place = locations.innermost(variable.body);
                (place.function.to_string(), variable.label.as_u32())
            });
            Some(told.collect::<Vec<_>>())
        };
        if mode == LocationMode::Keep {
            assert_eq!(variables(caller), None);
            assert_eq!(seen.lock().unwrap()[&caller], HashSet::from([5]));
            continue;
        }
        let own = |name: &str| (name.to_owned(), 5);
        assert_eq!(variables(callee), Some(vec![own("%callee")]));
        assert_eq!(
            variables(caller),
            Some(vec![own("%caller"), own("%callee")])
        );
    }
}
