//! (e) The growth of the cost of one call with the size of the program.
//!
//! Three shapes of N calls: all in one block, each of a chain of functions that call the next, and
//! one in each of N functions that call the same one.

use crate::decisions::Decisions;
use crate::job::{splice_ours, splice_upstream};
use crate::options::Options;
use crate::plot::{Line, draw};
use crate::rounds::time;
use crate::stage::Stage;
use crate::table::{Measured, Results, Row};
use cranelift_codegen::Context;
use cranelift_inliner::decide::{Always, Limits};
use cranelift_inliner::pass::{Inliner, RecordLevel};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceContext;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

/// A peer that takes longer than this for one size skips larger ones.
const PATIENCE: Duration = Duration::from_secs(4);

/// Makes a program of about N functions or calls.
type Make = fn(usize) -> String;

pub(crate) fn measure(options: &Options, results: &mut Results) {
    let mut lines = Vec::new();
    let shapes: [(&'static str, Make); 3] = [("block", block), ("chain", chain), ("star", star)];
    for (shape, make) in shapes {
        let sizes = [100, 400, 1_000, 4_000, 10_000, 40_000, 100_000];
        let sizes = sizes.into_iter().filter(|&size| size <= options.largest);
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        let mut patient = true;
        for size in sizes {
            let program = Program::from_clif(&make(size), shape);
            let program = program.unwrap_or_else(|error| panic!("{error}"));
            // Everything is legal here, and checking that for the peer is quadratic.
            let decisions = Decisions::record_all(&program, &everything());
            let (our, peer) = times(shape, &program, &decisions, options, patient);
            let calls: usize = decisions.sites.iter().map(|(_, sites)| sites.len()).sum();
            let per_call = |time: Duration| time.as_secs_f64() / calls as f64;
            ours.push((size, per_call(our)));
            if let Some(peer) = peer {
                patient = peer < PATIENCE;
                peers.push((size, per_call(peer)));
                results.push(Row {
                    module: format!("{shape} of {size}"),
                    policy: "always",
                    what: format!("time, {shape}"),
                    ours: our.as_secs_f64() * 1e3,
                    peer: peer.as_secs_f64() * 1e3,
                    unit: "ms",
                    measured: Measured::Least,
                });
            } else {
                results.note(format!("{shape} of {size}: the peer was not waited for"));
            }
        }
        compare_sizes(shape, &ours, results);
        lines.push(Line {
            name: format!("{shape}, ours"),
            points: ours,
        });
        lines.push(Line {
            name: format!("{shape}, upstream"),
            points: peers,
        });
    }
    match draw(&lines, options.svg.as_ref()) {
        Ok(()) => eprintln!("wrote {}", options.svg),
        Err(error) => results.note(format!("no plot: {error}")),
    }
}

/// Inlines all calls except those that would nest too deeply, such as every 33rd of a chain.
fn everything() -> Inliner<'static> {
    let mut limits = Limits::default();
    limits.function_insts = usize::MAX;
    limits.function_growth = f64::INFINITY;
    limits.program_growth = f64::INFINITY;
    Inliner::new(Always).limits(limits)
}

/// Returns the least of a few times of either side.
fn times(
    shape: &str,
    program: &Program,
    decisions: &Decisions,
    options: &Options,
    patient: bool,
) -> (Duration, Option<Duration>) {
    let best = |run: &mut dyn FnMut() -> Duration| {
        let first = run();
        // Long runs vary little.
        let more = if first > Duration::from_secs(1) {
            1
        } else {
            options.rounds
        };
        (1..more).map(|_| run()).fold(first, Duration::min)
    };
    if shape == "block" {
        let work = decisions.work(program);
        let ours = best(&mut || {
            let mut callers = work.callers();
            time(|| splice_ours(black_box(&work), &mut callers, &mut SpliceContext::new()))
        });
        let peer = patient.then(|| {
            best(&mut || {
                let mut callers = work.callers();
                time(|| splice_upstream(black_box(&work), &mut callers, &mut Context::new()))
            })
        });
        return (ours, peer);
    }
    let stage = Stage::new(program, decisions);
    let ours = best(&mut || time(|| stage.ours(RecordLevel::All)));
    let peer = patient.then(|| best(&mut || time(|| stage.upstream())));
    (ours, peer)
}

/// Returns the cost of a call at each size relative to that at 400, where fixed costs no longer
/// matter.
fn compare_sizes(shape: &str, points: &[(usize, f64)], results: &mut Results) {
    let Some(&(_, base)) = points.iter().find(|(size, _)| *size == 400) else {
        return;
    };
    for &(size, per_call) in points.iter().filter(|(size, _)| *size > 400) {
        results.push(Row {
            module: format!("{shape} of {size}"),
            policy: "always",
            what: format!("a call at {size} against one at 400, {shape}"),
            ours: per_call * 1e6,
            peer: base * 1e6,
            unit: "us",
            measured: Measured::Least,
        });
    }
}

const LEAF: &str = "function %leaf(i32) -> i32 fast {
block0(v0: i32):
    v1 = imul v0, v0
    v2 = iadd v1, v0
    return v2
}
";

fn block(calls: usize) -> String {
    let mut text = LEAF.to_owned();
    text.push_str("function %caller(i32) -> i32 fast {\n    fn0 = %leaf(i32) -> i32 fast\n");
    text.push_str("block0(v0: i32):\n");
    for call in 0..calls {
        let _ = writeln!(text, "    v{} = call fn0(v{call})", call + 1);
    }
    let _ = writeln!(text, "    return v{calls}\n}}");
    text
}

fn chain(functions: usize) -> String {
    let mut text = LEAF.replace("%leaf", "u0:0");
    for function in 1..functions {
        let _ = writeln!(
            text,
            "function u0:{function}(i32) -> i32 fast {{
    fn0 = u0:{}(i32) -> i32 fast
block0(v0: i32):
    v1 = iadd v0, v0
    v2 = call fn0(v1)
    return v2
}}",
            function - 1
        );
    }
    text
}

fn star(functions: usize) -> String {
    let mut text = LEAF.to_owned();
    for function in 0..functions {
        let _ = writeln!(
            text,
            "function u0:{function}(i32) -> i32 fast {{
    fn0 = %leaf(i32) -> i32 fast
block0(v0: i32):
    v1 = iadd v0, v0
    v2 = call fn0(v1)
    return v2
}}"
        );
    }
    text
}
