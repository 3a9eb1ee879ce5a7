//! A program in shards does the same as the whole.

use super::behaves::{compare, interpreted};
use super::broken::{Broken, Property};
use crate::execute::Invocation;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::{FunctionId, Linkage, Program};
use cranelift_inliner::shard::{
    ShardFunctions, ShardPlan, ShardSummary, SummarizeOptions, thin, thin_each,
};
use std::fmt::Display;
use std::io::Cursor;

/// Splits a program into shards; the n-th function goes to the shard `shard_of(n)`. The result is
/// in the order of the shards' numbers, without empty ones.
///
/// A function becomes local if `is_local` says so and nothing in other shards refers to it, and
/// stays exported otherwise, and so do the functions of `invocations`. Names are not changed. Each
/// shard has all tables.
///
/// # Panics
///
/// If a program cannot hold the functions of `program`, which it can.
pub fn split(
    program: &Program,
    invocations: &[Invocation],
    shard_of: impl Fn(usize) -> usize,
    is_local: impl Fn(usize) -> bool,
) -> Vec<Program> {
    let graph = CallGraph::new(program);
    let shard = |id: FunctionId| shard_of(id.as_u32() as usize);
    let mut numbers: Vec<usize> = program.ids().map(shard).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let parts = numbers.into_iter().map(|number| {
        let mut part = Program::new();
        for (id, function) in program.iter().filter(|&(id, _)| shard(id) == number) {
            let callers = graph.callers(id);
            let is_called_here_only = callers.into_iter().all(|site| shard(site.caller) == number);
            let mut invoked = invocations.iter().map(|invocation| &invocation.function);
            let is_invoked = invoked.any(|name| name == function.name());
            let stays_here = is_called_here_only && !is_invoked && !graph.is_address_taken(id);
            let linkage = match stays_here && is_local(id.as_u32() as usize) {
                true => Linkage::Local,
                false => Linkage::Exported,
            };
            let added = part.add_function(function.clone().with_linkage(linkage));
            added.expect("the names of a program are different");
        }
        add_tables(&mut part, program);
        part
    });
    parts.collect()
}

/// Adds the tables of `other` to `program`.
fn add_tables(program: &mut Program, other: &Program) {
    for name in other.tables() {
        let entries = other.table(name);
        let entries = entries.map(|(offset, function)| (offset, function.clone()));
        program.add_table(name.clone(), entries);
    }
}

/// Checks that shards, linked again, do the same as the whole program, by way of the bytes of their
/// summaries and functions, and the text of their plans. Shards get the names `0`, `1` and so on.
///
/// # Errors
///
/// The first invocation with a difference, and the difference.
pub fn in_shards(
    program: &Program,
    shards: &[Program],
    invocations: &[Invocation],
    inliner: &Inliner<'_>,
    level: OptLevel,
) -> Result<(), Broken> {
    let wrong = |what: &dyn Display| Broken::new(Property::Shards, what.to_string());
    let options = SummarizeOptions::default();
    let (mut summaries, mut bodies) = (Vec::new(), Vec::new());
    for (number, shard) in shards.iter().enumerate() {
        let (summary, functions) =
            ShardSummary::summarize_with_bodies(shard, &number.to_string(), &options);
        bodies.push(functions.to_bytes());
        let read = ShardSummary::from_bytes(&summary.to_bytes());
        let read = read.map_err(|error| wrong(&error))?;
        if read != summary {
            return Err(wrong(&"a summary reads back as another one"));
        }
        summaries.push(read);
    }
    let plans = thin(&summaries, None, inliner).map_err(|error| wrong(&error))?;
    summaries.reverse();
    let again = thin(&summaries, None, inliner).map_err(|error| wrong(&error))?;
    if again.plans != plans.plans {
        return Err(wrong(&"plans depend on the order of summaries"));
    }
    let mut same = true;
    let mut made = plans.plans.iter();
    thin_each(summaries, None, inliner, |plan| {
        same &= made
            .next()
            .is_some_and(|made| made.to_string() == plan.text);
    })
    .map_err(|error| wrong(&error))?;
    if !same {
        return Err(wrong(&"a plan is printed unlike it was written"));
    }
    let mut result = Program::new();
    add_tables(&mut result, program);
    for plan in &plans.plans {
        let read = plan.to_string().parse::<ShardPlan>();
        let read = read.map_err(|error| wrong(&format!("{error} of\n{plan}")))?;
        if read != *plan {
            return Err(wrong(&format!("a plan reads back as another one:\n{plan}")));
        }
        let of = |name: &str| {
            let bytes = bodies.get(name.parse::<usize>().ok()?)?;
            Some(ShardFunctions::read(&mut Cursor::new(bytes)))
        };
        let Some(own) = of(plan.shard()) else {
            return Err(wrong(&"a plan is of no shard"));
        };
        let own = own.map_err(|error| wrong(&error))?;
        let mut error = None;
        let import = |name: &str| of(name)?.map_err(|other| error = Some(other)).ok();
        let linked = read.link(own.program(), import);
        if let Some(error) = error {
            return Err(wrong(&error));
        }
        let linked = linked.map_err(|error| wrong(&error))?;
        if let Some(missing) = linked.missing().first() {
            return Err(wrong(missing));
        }
        let inlined = linked.run(inliner).map_err(|error| wrong(&error))?;
        for (_, function) in inlined.program().iter() {
            let is_copy = function.linkage() == Linkage::Local;
            if result.id(function.name()).is_some() && is_copy {
                continue;
            }
            let function = function.clone().with_linkage(Linkage::Exported);
            result
                .add_function(function)
                .map_err(|error| wrong(&error))?;
        }
    }
    // All that the program refers to must be there.
    for (_, function) in program.iter() {
        let is_gone = result.id(function.name()).is_none();
        let is_referred_to = CallGraph::new(&result).externals().any(|(_, node)| {
            matches!(node, cranelift_inliner::graph::CallNode::External(name) if name == function.name())
        });
        if is_gone && is_referred_to {
            let wrong = wrong(&"it is referred to, and no shard has it");
            return Err(wrong.in_function(function.name()));
        }
    }
    let interpreted = interpreted(program, invocations);
    compare(program, &result, invocations, &interpreted, level)
}
