//! The properties hold of the modules of this repository.

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{RelSourceLoc, ValueLabel, ValueLabelAssignments, ValueLabelStart};
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Inline, Small};
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceOptions;
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::properties;
use std::fs;
use std::path::{Path, PathBuf};

/// Finds the CLIF files below a folder of the repository.
fn clif_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            clif_files(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "clif")
        {
            files.push(path);
        }
    }
}

/// Returns the modules, without the part below a filetest's marker.
fn modules() -> Vec<(String, Program)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut files = Vec::new();
    for folder in [
        "tests/filetests",
        "tests/checking/modules",
        "examples/modules",
    ] {
        clif_files(&root.join(folder), &mut files);
    }
    files.sort();
    let modules: Vec<_> = files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let before = text.split("; ==>").next().unwrap_or_default();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            (name.clone(), Program::from_clif(before, &name).unwrap())
        })
        .collect();
    assert!(modules.len() > 45);
    modules
}

fn options() -> SpliceOptions {
    let mut options = SpliceOptions::default();
    options.allow_frame_pointer = true;
    options.allow_stack_pointer = true;
    options.allow_return_address = true;
    options
}

fn check(policy: &dyn Inline, clean_up: bool) {
    let broken: Vec<String> = modules()
        .iter()
        .filter_map(|(name, program)| {
            let inliner = Inliner::new(policy)
                .splice_options(options())
                .clean_up(clean_up);
            let broken = properties::all(program, &[], &inliner).err()?;
            Some(format!("{name}: {broken}"))
        })
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn under_the_policy_always() {
    check(&Always, true);
    check(&Always, false);
}

#[test]
fn under_the_other_policies() {
    check(&Small::default(), true);
    check(&CostModel::default(), true);
}

/// One session after each splice, in either order: the code after a call is cold once the callee
/// has returned from a cold block.
#[test]
fn coldness_does_not_depend_on_the_order() {
    let (_, program) = modules()
        .into_iter()
        .find(|(name, _)| name.ends_with("cold_returns.clif"))
        .unwrap();
    for clean_up in [true, false] {
        let inliner = Inliner::new(Always).clean_up(clean_up);
        let inlined = inliner.run(&program).unwrap();
        for first in [0, 1] {
            // Several sessions, which call first, another session, the rest.
            let mut answers = [1, first, 1].into_iter();
            let answer = |_| answers.next().unwrap_or(0);
            let found = properties::any_order(&program, &inlined, &inliner, answer);
            found.unwrap_or_else(|broken| panic!("{clean_up} {first}: {broken}"));
        }
        for seed in 0..32 {
            let order = properties::seeded(seed);
            let found = properties::any_order(&program, &inlined, &inliner, order);
            found.unwrap_or_else(|broken| panic!("{clean_up} {seed}: {broken}"));
        }
    }
}

/// The call of the host has arguments on the stack that the `return_call` before it did not take
/// over.
#[test]
fn frames_are_seen_from_calls_with_arguments_on_the_stack() {
    let params = vec!["i64"; 20].join(", ");
    let args = vec!["v0"; 20].join(", ");
    let text = format!(
        "function %main(i64) -> i64 system_v {{
             fn0 = %middle(i64) -> i64 tail
         block0(v0: i64):
             <1, 4> v1 = call fn0(v0)
             return v1
         }}
         function %middle(i64) -> i64 tail {{
             fn0 = %host({params}) -> i64 tail
         block0(v0: i64):
             <0> return_call fn0({args})
         }}"
    );
    let program = Program::from_clif(&text, "frames.clif").unwrap();
    let invocation = Invocation {
        function: "main".parse().unwrap(),
        arguments: vec![DataValue::I64(3)],
    };
    let inlined = Inliner::new(Always).run(&program).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 1);
    properties::same_frames(&program, &inlined, &[invocation], &CountedFrames).unwrap();
}

/// A function without a return, and one that calls it.
const STOPS: &str = "
     function %wraps() {
         fn0 = %stop()
     block0:
         call fn0()
         return
     }
     function %stop() {
     block0:
         trap user1
     }";

/// Checks that the order of four splices into `%main` does not matter.
fn check_orders_of_main(text: &str) {
    let program = Program::from_clif(text, "main").unwrap();
    let only_into_main = |site: &CallSite<'_>| match site.caller_name().to_string().as_str() {
        "%main" => Decision::inline("into main"),
        _ => Decision::keep("elsewhere"),
    };
    let inliner = Inliner::new(only_into_main);
    let inlined = inliner.run(&program).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 4);
    for seed in 0..64 {
        let order = properties::seeded(seed);
        properties::any_order(&program, &inlined, &inliner, order).unwrap();
    }
}

/// A call behind one that does not return is never spliced if that one was spliced before it.
/// Otherwise it leaves its slot. The order to compare with may be of either kind.
#[test]
fn a_slot_of_a_removed_copy_may_stay() {
    let text = "function %main() {
         fn0 = %wraps()
         fn1 = %keyed()
     block0:
         call fn0()
         call fn1()
         call fn1()
         return
     }
     function %keyed() {
         ss0 = explicit_slot 16, align = 16, key = 4001
     block0:
         return
     }";
    check_orders_of_main(&format!("{text}{STOPS}"));
}

/// Like above, but the copy would take the promise of the caller's store.
#[test]
fn a_promise_that_a_removed_copy_takes_may_stay() {
    let text = "function %main(i64) {
         region0 = 0 \"main\"
         fn0 = %wraps()
         fn1 = %stores(i64)
     block0(v0: i64):
         v1 = iconst.i64 7
         store notrap aligned region0 v1, v0
         call fn0()
         call fn1(v0)
         call fn1(v0)
         return
     }
     function %stores(i64) {
         region0 = 0 \"stores\"
     block0(v0: i64):
         v1 = iconst.i64 9
         store notrap aligned region0 v1, v0
         return
     }";
    check_orders_of_main(&format!("{text}{STOPS}"));
}

/// If the call with a handler is spliced first, the one in the handler never is. Otherwise it
/// leaves the label of its parameter on a value that is needed for nothing else.
#[test]
fn a_label_from_a_removed_copy_may_keep_a_value() {
    let text = "function %main(i64) -> i64 tail {
         sig0 = (i64) -> i64 tail
         fn0 = %same(i64) -> i64 tail
     block0(v0: i64):
         v1 = imul v0, v0
         try_call fn0(v0), sig0, block1(ret0), [ default: block2 ]
     block1(v2: i64):
         return v2
     block2:
         v3 = call fn0(v1)
         jump block1(v3)
     }
     function %same(i64) -> i64 tail {
     block0(v0: i64):
         return v0
     }";
    let mut program = Program::new();
    for mut func in cranelift_reader::parse_functions(text).unwrap() {
        let label = ValueLabelStart {
            from: RelSourceLoc::default(),
            label: ValueLabel::from_u32(7),
        };
        let entry = func.layout.entry_block().unwrap();
        let param = func.dfg.block_params(entry).first().copied();
        func.dfg.collect_debug_info();
        let labels = func.dfg.values_labels.as_mut().unwrap();
        labels.extend(param.map(|param| (param, ValueLabelAssignments::Starts(vec![label]))));
        program.add(func).unwrap();
    }
    let mut options = SpliceOptions::default();
    options.unwinder_restores_registers = true;
    let inliner = Inliner::new(Always).splice_options(options);
    let inlined = inliner.run(&program).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 2);
    for seed in 0..16 {
        let order = properties::seeded(seed);
        properties::any_order(&program, &inlined, &inliner, order).unwrap();
    }
}
