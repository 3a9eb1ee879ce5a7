//! The modules that the repository ships go through the whole flow under each policy, and those
//! that Cranelift's interpreter understands give the values that their directives ask for.

use super::support::{POLICIES, isa, policy, run_always};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_interpreter::environment::FunctionStore;
use cranelift_interpreter::interpreter::{Interpreter, InterpreterState};
use cranelift_interpreter::step::ControlFlow;
use cranelift_reader::parse_run_command;
use std::fs;
use std::path::Path;

fn modules() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/modules");
    let mut modules: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    modules.sort();
    modules
}

/// Returns the program of a module, with the functions that its directives call exported.
fn program(name: &str, text: &str) -> Program {
    let mut program = Program::from_clif(text, name).unwrap();
    let called: Vec<FunctionName> = program
        .iter()
        .filter(|(_, function)| !function.run_directives().is_empty())
        .map(|(_, function)| function.name().clone())
        .collect();
    assert!(!called.is_empty(), "{name} has no directive");
    program.export_only(&called).unwrap();
    program
}

fn inlined(program: &Program, policy_name: &str) -> Inlined {
    let isa = isa("x86_64");
    let inliner = Inliner::new(policy(policy_name)).verify_with(&*isa);
    inliner.run(program).unwrap()
}

#[test]
fn every_module_verifies_and_compiles_on_both_architectures_under_each_policy() {
    let modules = modules();
    assert_eq!(modules.len(), 5);
    for (name, text) in modules {
        let program = program(&name, &text);
        for target in ["x86_64", "aarch64"] {
            let isa = isa(target);
            program.verify(&*isa).unwrap();
            for policy_name in POLICIES {
                let inliner = Inliner::new(policy(policy_name)).verify_with(&*isa);
                let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
                assert_eq!(compiled.iter().len(), inlined.program().len());
                assert_eq!(compiled.fallbacks().count(), 0, "{name} on {target}");
                assert!(
                    inlined.sites().any(|site| site.inlined),
                    "nothing of {name} was inlined with {policy_name}"
                );
            }
        }
    }
}

#[test]
fn interpreted_directives_hold_before_and_after_inlining() {
    let mut held = 0;
    for (name, text) in modules() {
        if !text.contains("test interpret") {
            continue;
        }
        let program = program(&name, &text);
        held += check_directives(&program, &program);
        for policy_name in POLICIES {
            held += check_directives(&program, inlined(&program, policy_name).program());
        }
    }
    assert_eq!(held % (POLICIES.len() + 1), 0);
    assert!(held >= 60, "{held} directives held");
}

/// Runs the directives of `source` against the functions of `program`; returns how many held.
fn check_directives(source: &Program, program: &Program) -> usize {
    let mut store = FunctionStore::default();
    for (_, function) in program.iter() {
        store.add(function.name().to_string(), function.body());
    }
    let mut held = 0;
    for (_, function) in source.iter() {
        for directive in function.run_directives() {
            let command = parse_run_command(&directive.text, &function.body().signature)
                .unwrap()
                .unwrap();
            let run = |name: &str, args: &[DataValue]| {
                let state = InterpreterState::default().with_function_store(store.clone());
                let mut interpreter = Interpreter::new(state).with_fuel(Some(10_000_000));
                match interpreter.call_by_name(&format!("%{name}"), args) {
                    Ok(ControlFlow::Return(values)) => Ok(values.to_vec()),
                    Ok(other) => Err(format!("ends in {other:?}")),
                    Err(error) => Err(error.to_string()),
                }
            };
            if let Err(message) = command.run(run) {
                panic!("{}: {message}", directive.text);
            }
            held += 1;
        }
    }
    held
}

#[test]
fn the_debug_module_keeps_its_hooks_and_shows_its_refusals() {
    let (name, text) = modules()
        .into_iter()
        .find(|(name, _)| name == "checked_debug")
        .unwrap();
    let program = program(&name, &text);
    let inlined = run_always(&program);
    let refused = |slug: &str| {
        let sites = inlined.sites();
        sites.filter(|site| site.reason.slug() == slug).count()
    };
    assert!(refused("patchable") > 0);
    assert!(refused("frame-introspection") > 0);
    // The remaining functions are entered, patchable, or read their own frames.
    let kept: Vec<String> = inlined
        .program()
        .iter()
        .map(|(_, function)| function.name().to_string())
        .collect();
    assert_eq!(kept, ["%hook", "%throw", "%main", "%count"]);
}
