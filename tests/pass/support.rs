//! Small programs, and short queries for their results.

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{Always, CostModel, Inline, Small};
use cranelift_inliner::pass::{DeclaredProgram, Inlined, Inliner, SiteRecord};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};

/// The shipped policies that inline, by the names that the tool gives them.
pub(super) const POLICIES: [&str; 3] = ["always", "small", "cost"];

pub(super) fn policy(name: &str) -> Box<dyn Inline> {
    match name {
        "always" => Box::new(Always),
        "small" => Box::new(Small::default()),
        "cost" => Box::new(CostModel::default()),
        other => panic!("no policy {other}"),
    }
}

pub(super) fn isa(name: &str) -> OwnedTargetIsa {
    target(name, &TargetSettings::new()).unwrap()
}

pub(super) fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

pub(super) fn program(text: &str) -> Program {
    let program = Program::from_clif(text, "test").unwrap();
    program.verify(&*isa("x86_64")).unwrap();
    program
}

/// Returns the program with only `exported` visible from outside.
pub(super) fn program_exporting(text: &str, exported: &[&str]) -> Program {
    let mut program = program(text);
    let names: Vec<_> = exported.iter().map(|text| name(text)).collect();
    program.export_only(&names).unwrap();
    program
}

/// Runs the pass on `program`, each step verified.
pub(super) fn run(inliner: Inliner<'_>, program: &Program) -> Inlined {
    let isa = isa("x86_64");
    let inlined = inliner.verify_with(&*isa).run(program).unwrap();
    inlined.program().verify(&*isa).unwrap();
    inlined
}

pub(super) fn run_always(program: &Program) -> Inlined {
    run(Inliner::new(Always), program)
}

/// Returns the declarations of a program, for a stream that keeps the bodies.
pub(super) fn declared_keeping(program: &Program) -> DeclaredProgram {
    let mut declared = DeclaredProgram::of(program).unwrap();
    declared.keep_bodies = true;
    declared
}

pub(super) fn id(program: &Program, text: &str) -> FunctionId {
    program.id(&name(text)).unwrap()
}

/// Returns the sites of a caller, in the order of the report.
pub(super) fn sites_of<'a>(
    inlined: &'a Inlined,
    program: &Program,
    caller: &str,
) -> Vec<&'a SiteRecord> {
    let caller = id(program, caller);
    let sites = inlined.sites();
    sites.filter(|site| site.caller == caller).collect()
}

/// Returns the text of a function after the pass.
pub(super) fn body_text(inlined: &Inlined, program: &Program, function: &str) -> String {
    inlined
        .body(id(program, function))
        .unwrap()
        .display()
        .to_string()
}

/// Returns how many calls of any kind a function has after the pass.
pub(super) fn calls_left(inlined: &Inlined, program: &Program, function: &str) -> usize {
    let body = inlined.body(id(program, function)).unwrap();
    let insts = body
        .layout
        .blocks()
        .flat_map(|block| body.layout.block_insts(block));
    insts
        .filter(|&inst| body.dfg.insts[inst].opcode().is_call())
        .count()
}

/// Returns a function `%name(i32) -> i32` that passes twice its parameter through each of `callees`
/// in turn: two instructions and the calls.
pub(super) fn through(name: &str, callees: &[&str]) -> String {
    let mut text = format!("function %{name}(i32) -> i32 fast {{\n");
    for (index, callee) in callees.iter().enumerate() {
        text += &format!("    fn{index} = colocated %{callee}(i32) -> i32 fast\n");
    }
    text += "block0(v0: i32):\n    v1 = iadd v0, v0\n";
    for index in 0..callees.len() {
        text += &format!("    v{} = call fn{index}(v{})\n", index + 2, index + 1);
    }
    text + &format!("    return v{}\n}}\n", callees.len() + 1)
}

/// Returns a function `%name(i32) -> i32` of `insts` instructions, the return included.
pub(super) fn leaf(name: &str, insts: usize) -> String {
    let mut text = format!("function %{name}(i32) -> i32 fast {{\nblock0(v0: i32):\n");
    for index in 1..insts {
        text += &format!("    v{index} = iadd v{}, v0\n", index - 1);
    }
    text + &format!("    return v{}\n}}\n", insts - 1)
}
