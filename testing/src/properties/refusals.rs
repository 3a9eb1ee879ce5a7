//! A refused splice leaves its caller unchanged.

use super::broken::{Broken, Property};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::program::Program;

/// The most calls tried per function.
const CALLS: usize = 50;
/// The most callees tried per call.
const CALLEES: usize = 4;

/// Splices into each function of `program` with `splice`, which gets a caller, a call and a callee.
/// If it refuses, the caller must be unchanged.
///
/// It tries the right callee and up to three others, which mostly have another signature, at up to
/// 50 calls per function.
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
            // The right one comes last, since it removes the call.
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
