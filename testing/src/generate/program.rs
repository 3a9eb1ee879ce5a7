//! A program: its functions and the calls from outside.

use super::body::Body;
use super::choices::Choices;
use super::copy_bytes::copy_bytes;
use super::helpers;
use super::instructions::constants;
use super::methods;
use super::plan::Plan;
use super::stacks;
use super::{Generated, Shape};
use crate::execute::Invocation;
use cranelift_inliner::program::{FunctionName, Program};

/// Makes a program of `shape`.
pub(super) fn generate(
    shape: &Shape,
    choices: &mut Choices<'_, '_>,
) -> arbitrary::Result<Generated> {
    let mut plan = Plan::new(shape, choices);
    let mut program = Program::new();
    for index in 0..plan.functions.len() {
        let body = Body::generate(&mut plan, index, shape.statements, choices);
        let added = program.add(body);
        added.map_err(|_| arbitrary::Error::IncorrectFormat)?;
    }
    for function in stacks::functions(&plan) {
        let added = program.add(function);
        added.map_err(|_| arbitrary::Error::IncorrectFormat)?;
    }
    if plan.copies_bytes {
        let added = program.add(copy_bytes());
        added.map_err(|_| arbitrary::Error::IncorrectFormat)?;
    }
    for function in helpers::functions(&plan) {
        let added = program.add(function);
        added.map_err(|_| arbitrary::Error::IncorrectFormat)?;
    }
    for (name, entries) in methods::tables(&plan) {
        program.add_table(name, entries);
    }
    let exported = plan.functions.iter().filter(|function| function.exported);
    let names: Vec<FunctionName> = exported
        .clone()
        .map(|function| function.name.clone())
        .collect();
    let exporting = program.export_only(&names);
    exporting.map_err(|_| arbitrary::Error::IncorrectFormat)?;
    let mut invocations = Vec::new();
    for function in exported {
        for _ in 0..1 + choices.below(3) {
            let params = function.signature.params.iter();
            let arguments = params.map(|param| constants::data_value(choices, param.value_type));
            invocations.push(Invocation {
                function: function.name.clone(),
                arguments: arguments.collect(),
            });
        }
    }
    Ok(Generated {
        program,
        invocations,
    })
}
