//! The CLIF and the programs of the example language that this repository ships.
//!
//! They call no host, so a call of one is put at the beginning of each function and before each
//! return.

use super::expressions::{compiler::compile, parser::parse};
use super::programs::{Lines, Subject};
use super::trees::Case;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, Function, Inst, InstBuilder, Signature,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::Never;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::generate::Generated;
use cranelift_module::default_libcall_names;
use cranelift_object::{ObjectBuilder, ObjectModule};
use cranelift_reader::{RunCommand, parse_run_command};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The example programs, each with calls of its functions.
const EXPRESSIONS: [(&str, &[(&str, i64)]); 2] = [
    (
        "expressions_jit.rs",
        &[
            ("steps", 30),
            ("longest", 12),
            ("iterate", 9),
            ("points", 7),
        ],
    ),
    ("expressions_object.rs", &[("main", 0)]),
];

/// Returns all of them, each several times to be built in different ways.
pub(crate) fn all() -> Vec<Case> {
    let programs = generated().into_iter().enumerate();
    let cases = programs.flat_map(|(number, (name, generated))| {
        let builds = (0..3).map(move |at| Case {
            name: format!("{name} {at}"),
            subject: Subject::new(&generated, Lines::Unique).unwrap(),
            seed: number as u64 * 3 + at,
            wasm: None,
        });
        builds.collect::<Vec<_>>()
    });
    cases.collect()
}

/// Returns the programs with their names and with calls of `%visit`.
pub(crate) fn generated() -> Vec<(String, Generated)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut programs = Vec::new();
    for path in clif_files(root) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let program = Program::from_clif(&text, &name).unwrap();
        let invocations = invocations(&text, &program);
        programs.push((name, program, invocations));
    }
    for (file, calls) in EXPRESSIONS {
        let text = fs::read_to_string(root.join("examples").join(file)).unwrap();
        let (_, text) = text.split_once("const PROGRAM: &str = \"").unwrap();
        let program = from_expressions(text.split_once("\";").unwrap().0);
        let invocations = calls.iter().map(|&(function, argument)| {
            let function: FunctionName = format!("%{function}").parse().unwrap();
            let id = program.id(&function).unwrap();
            let count = program[id].body().signature.params.len();
            Invocation {
                function,
                arguments: vec![DataValue::I64(argument); count],
            }
        });
        let invocations = invocations.collect();
        programs.push((file.to_owned(), program, invocations));
    }
    assert!(programs.len() > 7);
    let programs = programs.into_iter();
    let programs = programs.map(|(name, program, invocations)| {
        let program = program.with_bodies(|_, function| {
            let body = with_visits(function.body());
            Some(Arc::new(body))
        });
        let generated = Generated {
            program: program.unwrap(),
            invocations,
        };
        (name, generated)
    });
    programs.collect()
}

fn clif_files(root: &Path) -> Vec<PathBuf> {
    let folders = ["examples/modules", "examples/debugging"];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "clif")
        })
        .collect();
    files.sort();
    files
}

/// Returns the calls of the module's `; run:` lines, each of the function that stands before it. A
/// module without them has one call of each exported function.
fn invocations(text: &str, program: &Program) -> Vec<Invocation> {
    let mut invocations = Vec::new();
    let mut signature = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("function ") {
            let name: FunctionName = rest.split('(').next().unwrap().parse().unwrap();
            signature = program.id(&name).map(|id| &program[id].body().signature);
        }
        let command = line
            .strip_prefix("; ")
            .filter(|rest| rest.starts_with("run:"));
        let command = command.map(|command| parse_run_command(command, signature.unwrap()));
        if let Some(RunCommand::Run(call, ..)) = command.and_then(|command| command.unwrap()) {
            invocations.push(Invocation {
                function: format!("%{}", call.func).parse().unwrap(),
                arguments: call.args,
            });
        }
    }
    if invocations.is_empty() {
        let functions = program.iter().map(|(_, function)| function);
        invocations.extend(functions.filter_map(|function| {
            let params = &function.body().signature.params;
            let arguments = params.iter().map(|param| match param.value_type.bits() {
                64 => Some(DataValue::I64(5)),
                32 => Some(DataValue::I32(5)),
                _ => None,
            });
            Some(Invocation {
                function: function.name().clone(),
                arguments: arguments.collect::<Option<_>>()?,
            })
        }));
    }
    invocations
}

/// Returns the functions that a front end makes of a program in the example language.
fn from_expressions(text: &str) -> Program {
    let isa = target("host", &TargetSettings::new()).unwrap();
    let builder = ObjectBuilder::new(isa, "expressions", default_libcall_names()).unwrap();
    let module = ObjectModule::new(builder);
    let mut module = InliningModule::for_object_file(module, Inliner::new(Never));
    compile(&parse(text).unwrap(), &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    report.program().clone()
}

/// Returns the function with calls of `%visit` at its beginning and before it returns.
pub(crate) fn with_visits(function: &Function) -> Function {
    let mut function = function.clone();
    let visit = import_visit(&mut function);
    let blocks: Vec<_> = function.layout.blocks().collect();
    let lasts: Vec<Inst> = blocks
        .iter()
        .filter_map(|block| function.layout.last_inst(*block))
        .filter(|inst| function.dfg.insts[*inst].opcode().is_return())
        .collect();
    let mut cursor = FuncCursor::new(&mut function);
    for last in lasts {
        cursor.goto_inst(last);
        cursor.ins().call(visit, &[]);
    }
    cursor.goto_first_insertion_point(blocks[0]);
    cursor.ins().call(visit, &[]);
    function
}

fn import_visit(function: &mut Function) -> FuncRef {
    let signature = function.import_signature(Signature::new(CallConv::SystemV));
    function.import_function(ExtFuncData {
        name: ExternalName::testcase("visit"),
        signature,
        colocated: false,
        patchable: false,
    })
}
