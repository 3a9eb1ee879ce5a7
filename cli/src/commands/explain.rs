//! `clif-inline explain`: prints the inline trees of functions.

use super::job::Job;
use crate::arguments::{ExplainArguments, FormatArgument};
use crate::explanation::Explanation;
use crate::explanation_json::JsonTrees;
use crate::failure::Failure;
use crate::names;
use crate::output::{self, Output};
use crate::statistics::counted;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use std::cmp::Reverse;

/// The number of functions shown if none is named.
const MOST_FUNCTIONS: usize = 5;

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let mut job = Job::begin(&arguments.common, &arguments.plan, &arguments.target)?;
    let program = job.read(&arguments.inputs.paths, &[])?;
    let functions = find(&program, &arguments.functions)?;
    let inlined = job.inline(&program)?;
    let (finished, text) = job.write("writing", &program, &inlined, |_| {
        let depth = arguments.depth.unwrap_or(usize::MAX);
        let chosen = match functions.is_empty() {
            true => changed_most(&program, &inlined),
            false => Chosen {
                functions,
                others: 0,
            },
        };
        match arguments.format {
            FormatArgument::Text => Ok(as_text(&program, &inlined, &chosen, depth)),
            FormatArgument::Json => as_json(&program, &inlined, &chosen, depth),
        }
    })?;
    output::print_styled(&text)?;
    finished.print(&Output::StandardOutput)
}

/// The functions to explain.
struct Chosen {
    functions: Vec<FunctionId>,
    /// The number of other functions that changed.
    others: usize,
}

/// Returns the functions whose sizes changed most, the greatest change first; among equals, in the
/// order of the input.
fn changed_most(program: &Program, inlined: &Inlined) -> Chosen {
    let change = |&id: &FunctionId| {
        let stats = inlined.stats(id);
        stats.insts_after.abs_diff(stats.insts_before)
    };
    let is_changed = |id: &FunctionId| change(id) > 0 || inlined.stats(*id).inlined > 0;
    let mut functions: Vec<_> = program.ids().filter(is_changed).collect();
    functions.sort_by_key(|id| Reverse(change(id)));
    let others = functions.len().saturating_sub(MOST_FUNCTIONS);
    functions.truncate(MOST_FUNCTIONS);
    Chosen { functions, others }
}

fn as_text(program: &Program, inlined: &Inlined, chosen: &Chosen, depth: usize) -> String {
    let mut explanation = Explanation::new(program, inlined, depth);
    for &id in &chosen.functions {
        explanation.add(id);
    }
    let mut text = explanation.into_text();
    if chosen.functions.is_empty() {
        text.push_str("No function changed; use --function NAME to show one.\n");
    } else if chosen.others > 0 {
        let others = counted(chosen.others, "more function");
        text.push_str(&format!(
            "\n{others} changed; use --function NAME to show one.\n"
        ));
    }
    text
}

fn as_json(
    program: &Program,
    inlined: &Inlined,
    chosen: &Chosen,
    depth: usize,
) -> Result<String, Failure> {
    let mut trees = JsonTrees::new(program, inlined, depth);
    let trees: Vec<_> = chosen
        .functions
        .iter()
        .filter_map(|&id| trees.of(id))
        .collect();
    let json = serde_json::to_string_pretty(&trees);
    let json = json
        .map_err(|error| Failure::new(format!("the trees cannot be written as JSON: {error}")))?;
    Ok(json + "\n")
}

fn find(program: &Program, names: &[FunctionName]) -> Result<Vec<FunctionId>, Failure> {
    let find = |name: &FunctionName| {
        let id = program.id(name);
        id.ok_or_else(|| names::unknown("--function", name, program))
    };
    names.iter().map(find).collect()
}
