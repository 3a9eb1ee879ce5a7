//! (a) The cost of splicing: the same calls, the same callers, the same callee bodies.

use crate::counts;
use crate::job::{Work, splice_ours, splice_upstream};
use crate::options::Options;
use crate::rounds::{Rounds, time};
use crate::table::{Measured, Results, Row};
use cranelift_codegen::Context;
use cranelift_inliner::splice::SpliceContext;
use std::hint::black_box;

/// Splices are faster than compilations by this factor, and are timed this many times as often.
const SHORT: usize = 5;

pub(crate) fn measure(
    module: &str,
    policy: &'static str,
    work: &Work,
    options: &Options,
    results: &mut Results,
) {
    if work.jobs.is_empty() {
        return;
    }
    // Both keep scratch memory from one function to the next, so its first allocation does not
    // belong to any splice.
    let (mut context, mut peer_context) = (SpliceContext::new(), Context::new());
    let rounds = Rounds::run(
        options.rounds.saturating_mul(SHORT),
        || {
            let mut callers = work.callers();
            time(|| splice_ours(black_box(work), &mut callers, &mut context))
        },
        || {
            let mut callers = work.callers();
            time(|| splice_upstream(black_box(work), &mut callers, &mut peer_context))
        },
    );
    let (ours, peer) = rounds.medians();
    results.push(Row {
        module: module.to_owned(),
        policy,
        what: "splice time".into(),
        ours,
        peer,
        unit: "ms",
        measured: Measured::InRounds(rounds.ratios()),
    });
    if !options.counts {
        return;
    }
    let sample = counts::sample(work);
    let insts = sample.spliced_insts() as f64;
    if insts == 0.0 {
        return;
    }
    let kept = options.profiles.as_ref();
    let kept = kept.map(|folder| folder.join(format!("{module}-{policy}")));
    match counts::count(&sample, kept.as_deref()) {
        Ok((ours, peer)) => results.push(Row {
            module: module.to_owned(),
            policy,
            what: "instructions executed per spliced instruction".into(),
            ours: ours as f64 / insts,
            peer: peer as f64 / insts,
            unit: "",
            measured: Measured::Exactly,
        }),
        Err(error) => results.note(format!(
            "{module}, {policy}: no instruction counts: {error}"
        )),
    }
}
