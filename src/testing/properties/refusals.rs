//! A refused splice has not touched its caller.

use super::broken::{Broken, Property};
use crate::graph::CallGraph;
use crate::program::Program;
use crate::splice::{Callee, SpliceContext, SpliceOptions};

/// How many calls of one function are tried.
const CALLS: usize = 50;
/// How many callees are tried at each call.
const CALLEES: usize = 4;

/// Splices into each function of `program`, with the right callees and with others, which mostly
/// have another signature; where that is refused, the caller is what it was.
///
/// At most 50 calls of each function are tried.
///
/// # Errors
///
/// The call at which a refused splice changed something.
pub fn refusals_change_nothing(program: &Program, options: &SpliceOptions) -> Result<(), Broken> {
    let graph = CallGraph::new(program);
    let mut context = SpliceContext::new();
    for (id, function) in program.iter() {
        let mut body = (**function.body()).clone();
        let mut session = context.session(&mut body, options);
        let mut spliced = false;
        for site in graph.callees(id).take(CALLS) {
            // The wrong ones first: after the right one there is no call any more.
            let others = program
                .ids()
                .filter(|&other| Some(other) != site.callee_function());
            let others = others.take(CALLEES - 1);
            for callee in others.chain(site.callee_function()) {
                let Ok(callee) = Callee::new(program[callee].body()) else {
                    continue;
                };
                let before = session.caller().clone();
                let Err(refusal) = session.splice(site.edge.inst, &callee) else {
                    spliced = true;
                    break;
                };
                if *session.caller() != before {
                    let difference = format!("refused because {refusal}, and yet it changed");
                    let broken = Broken::new(Property::Refusals, difference);
                    let broken = broken.in_function(function.name());
                    return Err(broken.at(site.edge.inst.to_string()));
                }
            }
        }
        session.finish();
        if !spliced && body != **function.body() {
            let broken = Broken::new(
                Property::Refusals,
                "nothing was spliced, and yet it changed",
            );
            return Err(broken.in_function(function.name()));
        }
    }
    Ok(())
}
