//! A refused splice has not touched its caller.

use super::broken::{Broken, Property};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::program::Program;

/// How many calls of one function are tried.
const CALLS: usize = 50;
/// How many callees are tried at each call.
const CALLEES: usize = 4;

/// Splices into each function of `program` with `splice`, which is given a caller, a call and a
/// callee; where it refuses, the caller is what it was.
///
/// Tried are the right callee and up to three others, which mostly have another signature, at up
/// to 50 calls of each function.
///
/// ```
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner::splice::{SpliceOptions, splice};
/// use cranelift_inliner_testing::properties::refusals_change_nothing;
///
/// let program = Program::from_clif("
/// function %f() system_v {
///     fn0 = patchable %f() system_v
/// block0:
///     call fn0()
///     return
/// }", "f.clif")?;
/// let options = SpliceOptions::default();
/// refusals_change_nothing(&program, |caller, call, callee| {
///     splice(caller, call, callee, &options)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The call at which a refused splice changed something.
pub fn refusals_change_nothing<E: std::fmt::Display>(
    program: &Program,
    mut splice: impl FnMut(&mut Function, Inst, &Function) -> Result<(), E>,
) -> Result<(), Broken> {
    let graph = CallGraph::new(program);
    for (id, function) in program.iter() {
        let mut body = (**function.body()).clone();
        for site in graph.callees(id).take(CALLS) {
            let right = site.callee_function();
            let others = program.ids().filter(|&other| Some(other) != right);
            // The right one last: after it there is no call any more.
            for callee in others.take(CALLEES - 1).chain(right) {
                let before = body.clone();
                let Err(refusal) = splice(&mut body, site.edge.inst, program[callee].body()) else {
                    break;
                };
                if body != before {
                    let difference = format!("it was refused: {refusal}");
                    let broken = Broken::new(Property::Refusals, difference);
                    let broken = broken.in_function(function.name());
                    return Err(broken.at(site.edge.inst.to_string()));
                }
            }
        }
    }
    Ok(())
}
