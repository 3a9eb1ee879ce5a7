//! (b) The cost of compiling either side's output, and its size.
//!
//! Only functions with an inlined call are compared; all others are equal.

use crate::counts;
use crate::options::Options;
use crate::rounds::{Rounds, time};
use crate::stage::Stage;
use crate::table::{Measured, Results, Row};
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{CompileScratch, compile_function};
use cranelift_inliner::pass::RecordLevel;
use std::sync::Arc;

/// Sizes of compiled functions, added up.
#[derive(Default)]
struct Sizes {
    code: usize,
    frame: usize,
}

pub(crate) fn measure(
    module: &str,
    policy: &'static str,
    stage: &Stage<'_>,
    targets: &[(&'static str, &dyn TargetIsa)],
    options: &Options,
    results: &mut Results,
) {
    let inlined = stage.ours(RecordLevel::All);
    let mut upstream = stage.upstream();
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for id in stage.callers() {
        let bodies = inlined.body(id).cloned().zip(upstream.remove(&id));
        let Some((our, peer)) = bodies else {
            continue;
        };
        if compiles(&our, targets) && compiles(&peer, targets) {
            ours.push(our);
            peers.push(peer);
        } else {
            results.note(format!("{module}, {policy}: {} does not compile", our.name));
        }
    }
    if ours.is_empty() {
        return;
    }
    let mut counted = None;
    if options.counts {
        match counts::count_compiling(&ours, &peers) {
            Ok(counts) => counted = Some(counts),
            Err(error) => results.note(format!("{module}, {policy}: not counted: {error}")),
        }
    }
    let mut push = |what: String, ours: f64, peer: f64, unit, measured| {
        results.push(Row {
            module: module.to_owned(),
            policy,
            what,
            ours,
            peer,
            unit,
            measured,
        });
    };
    let count = |bodies: &[Arc<Function>], of: &dyn Fn(&Function) -> usize| {
        bodies.iter().map(|body| of(body)).sum::<usize>() as f64
    };
    for (what, of) in [
        ("blocks", &blocks as &dyn Fn(&Function) -> usize),
        ("block parameters", &block_params),
        ("instructions", &insts),
    ] {
        push(
            what.into(),
            count(&ours, of),
            count(&peers, of),
            "",
            Measured::Exactly,
        );
    }
    if let Some((our, peer)) = counted {
        let what = "instructions executed to compile, x64";
        push(what.into(), our as f64, peer as f64, "", Measured::Exactly);
    }
    for &(name, isa) in targets {
        let (our, peer) = (sizes(&ours, isa), sizes(&peers, isa));
        push(
            format!("code, {name}"),
            our.code as f64,
            peer.code as f64,
            "bytes",
            Measured::Exactly,
        );
        push(
            format!("frames, {name}"),
            our.frame as f64,
            peer.frame as f64,
            "bytes",
            Measured::Exactly,
        );
        let rounds = Rounds::run(
            options.rounds,
            || time(|| sizes(&ours, isa)),
            || time(|| sizes(&peers, isa)),
        );
        let (our, peer) = rounds.medians();
        push(
            format!("compile time, {name}"),
            our,
            peer,
            "ms",
            Measured::InRounds(rounds.ratios()),
        );
    }
}

fn compiles(body: &Function, targets: &[(&'static str, &dyn TargetIsa)]) -> bool {
    let mut scratch = CompileScratch::new();
    targets
        .iter()
        .all(|(_, isa)| compile_function(*isa, body, &mut scratch).is_ok())
}

fn sizes(bodies: &[Arc<Function>], isa: &dyn TargetIsa) -> Sizes {
    let mut sizes = Sizes::default();
    let mut scratch = CompileScratch::new();
    for body in bodies {
        if let Ok(compiled) = compile_function(isa, body, &mut scratch) {
            sizes.code += compiled.code().len();
            sizes.frame += compiled.frame_to_fp_offset().unwrap_or(0) as usize;
        }
    }
    sizes
}

fn blocks(func: &Function) -> usize {
    func.layout.blocks().count()
}

fn block_params(func: &Function) -> usize {
    let blocks = func.layout.blocks();
    blocks.map(|block| func.dfg.num_block_params(block)).sum()
}

fn insts(func: &Function) -> usize {
    let blocks = func.layout.blocks();
    blocks
        .map(|block| func.layout.block_insts(block).count())
        .sum()
}
