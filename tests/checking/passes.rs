//! The checker accepts every correct result: for any order of the splices, cleaned up or not, from
//! the engine alone and from the pass.

use crate::copies::{Functions, Order, parse, splice_all};
use cranelift_codegen::ir::Function;
use cranelift_inliner::check::{CopyTree, check};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};
use cranelift_inliner::decide::{Always, CostModel, Inline, Small};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceOptions;
use std::fs;
use std::path::{Path, PathBuf};

const ORDERS: [Order; 6] = [
    Order::Forwards,
    Order::Backwards,
    Order::Mixed(1),
    Order::Mixed(2),
    Order::Mixed(3),
    Order::Mixed(4),
];

/// Returns the CLIF files below a folder of the repository.
fn clif_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "clif")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Returns the functions of each file, without the text below a filetest's marker.
fn modules() -> Vec<(String, String)> {
    let folders = [
        "tests/filetests",
        "tests/checking/modules",
        "examples/modules",
    ];
    let files = folders.into_iter().flat_map(clif_files);
    let modules: Vec<_> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let before = text.split("; ==>").next().unwrap_or_default();
            (path.display().to_string(), before.to_string())
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

/// Splices and cleans up, checking both; returns the number of copies.
fn check_orders(file: &str, caller: &Function, functions: &Functions) -> usize {
    let mut copies = 0;
    for order in ORDERS {
        let mut spliced = splice_all(caller, functions, &options(), order);
        copies += spliced.claims.len();
        for stage in ["splicing", "cleaning up", "cleaning up again"] {
            if stage != "splicing" {
                clean_up(&mut spliced.after, &mut CleanupContext::new());
            }
            if let Err(difference) = check(&spliced.tree(caller, functions), &spliced.after) {
                let text = &spliced.after;
                panic!("{file}, {order:?}, after {stage}: {difference}\n{caller}\n{text}");
            }
        }
    }
    copies
}

#[test]
fn every_order_of_splices_is_accepted() {
    let mut copies = 0;
    for (file, text) in modules() {
        let functions = parse(&text);
        for caller in functions.values() {
            copies += check_orders(&file, caller, &functions);
        }
    }
    assert!(copies > 1500, "{copies}");
}

/// Callees that are themselves results of splices and clean-up.
#[test]
fn prepared_callees_are_accepted() {
    for (file, text) in modules() {
        let before = parse(&text);
        let mut functions = before.clone();
        for (name, func) in &before {
            let mut spliced = splice_all(func, &before, &options(), Order::Mixed(9));
            clean_up(&mut spliced.after, &mut CleanupContext::new());
            functions.insert(name.clone(), spliced.after);
        }
        for caller in before.values() {
            check_orders(&file, caller, &functions);
        }
    }
}

fn run_pass(file: &str, text: &str, policy: impl Inline, clean: bool) -> usize {
    let program = Program::from_clif(text, file).unwrap();
    let inliner = Inliner::new(policy)
        .splice_options(options())
        .clean_up(clean);
    match inliner.check(true).run(&program) {
        Ok(inlined) => inlined.sites().filter(|site| site.inlined).count(),
        Err(error) => panic!("{file}: {error}"),
    }
}

#[test]
fn the_pass_is_accepted_under_every_policy() {
    let mut inlined = [0; 3];
    for (file, text) in modules() {
        for clean in [false, true] {
            inlined[0] += run_pass(&file, &text, Always, clean);
            inlined[1] += run_pass(&file, &text, Small::default(), clean);
            inlined[2] += run_pass(&file, &text, CostModel::default(), clean);
        }
    }
    assert!(inlined.iter().all(|&count| count > 100), "{inlined:?}");
}

/// Each of these branches decides nothing, and together they go round for ever,
/// so that clean-up leaves an empty loop. Looking down both sides of each, and
/// round again, would never come to an end.
#[test]
fn branches_that_decide_nothing_in_a_loop_for_ever() {
    let forks = 12;
    let mut text = String::from(
        "function %nothing() system_v {\nblock0:\n    return\n}\n\
         function %caller(i8) system_v {\n    fn0 = %nothing() system_v\n\
         block0(v0: i8):\n    call fn0()\n    jump block1\n",
    );
    for fork in 0..forks {
        let [head, left, right] = [1, 2, 3].map(|block| fork * 3 + block);
        let next = (fork + 1) % forks * 3 + 1;
        text += &format!(
            "block{head}:\n    brif v0, block{left}, block{right}\n\
             block{left}:\n    jump block{next}\nblock{right}:\n    jump block{next}\n"
        );
    }
    text += "}\n";
    let program = Program::from_clif(&text, "loop.clif").unwrap();
    let inlined = Inliner::new(Always).check(true).run(&program).unwrap();
    assert!(inlined.sites().all(|site| site.inlined));
}

/// The sides meet in `block2` with different values, which nothing needs, and go on to `block3`
/// with the same ones.
#[test]
fn a_branch_that_decides_about_unneeded_values() {
    let text = "
function %leaf() system_v {
block0:
    return
}
function %caller(i32, i32) -> i32 system_v {
    fn0 = %leaf() system_v
block0(v0: i32, v1: i32):
    call fn0()
    brif v0, block1, block2(v0)
block1:
    jump block2(v1)
block2(v2: i32):
    jump block3(v0)
block3(v3: i32):
    return v3
}";
    let program = Program::from_clif(text, "meet.clif").unwrap();
    let inlined = Inliner::new(Always).check(true).run(&program).unwrap();
    let caller = program.id(&"caller".parse().unwrap()).unwrap();
    let result = inlined.body(caller).unwrap();
    assert_eq!(result.layout.blocks().count(), 1);

    // Where it is needed, the branch may not be gone.
    let needed = text.replace("return v3", "v4 = iadd v3, v2\n    return v4");
    let program = Program::from_clif(&needed, "meet.clif").unwrap();
    let [leaf, before] = ["leaf", "caller"].map(|name| {
        let id = program.id(&name.parse().unwrap()).unwrap();
        program[id].body()
    });
    let entry = before.layout.entry_block().unwrap();
    let mut tree = CopyTree::new(before);
    tree.add(
        CopyTree::ROOT,
        before.layout.first_inst(entry).unwrap(),
        leaf,
    );
    let wrong = "function %caller(i32, i32) -> i32 system_v {
    block0(v0: i32, v1: i32):
        v4 = iadd v0, v1
        return v4
    }";
    let wrong = cranelift_reader::parse_functions(wrong).unwrap().remove(0);
    assert!(check(&tree, &wrong).is_err());
}

/// `%middle` is spliced first, and then its table has the handler of `%caller`.
#[test]
fn contexts_without_handlers_below_a_handler() {
    let text = "
function %leaf() tail {
    fn0 = %throws() tail
block0:
    call fn0()
    return
}
function %middle() tail {
    sig0 = () tail
    fn0 = %leaf() tail
block0:
    v0 = iconst.i64 7
    try_call fn0(), sig0, block1, [ context v0 ]
block1:
    return
}
function %caller() tail {
    sig0 = () tail
    fn0 = %middle() tail
block0:
    try_call fn0(), sig0, block1, [ default: block2 ]
block1:
    return
block2:
    trap user1
}";
    let functions = parse(text);
    for caller in functions.values() {
        check_orders("contexts", caller, &functions);
    }
    let program = Program::from_clif(text, "contexts.clif").unwrap();
    Inliner::new(Always).check(true).run(&program).unwrap();
}
