//! Instruction counts, from running this program again under callgrind in a child.
//!
//! Callgrind is many times slower, so the child gets a sample of the callers, as CLIF text, and
//! only the splicing is counted.

use crate::job::{Job, Work, splice_ours, splice_upstream};
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, Inst, InstructionData};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{CompileScratch, compile_function};
use cranelift_inliner::splice::SpliceContext;
use serde_json::{Value, json};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A child that parses this many instructions takes a few seconds.
const SAMPLE_INSTS: usize = 60_000;

/// Compiling costs more per instruction than splicing.
const COMPILED_INSTS: usize = 20_000;

/// The arguments that select the child's work.
pub(crate) const CHILD: &str = "--splice-for-counting";
pub(crate) const COMPILING_CHILD: &str = "--compile-for-counting";

/// Selects callers at even distances, as many as the child can take.
pub(crate) fn sample(work: &Work) -> Work {
    let sizes: Vec<usize> = work
        .jobs
        .iter()
        .map(|job| job.caller.dfg.num_insts())
        .collect();
    let callees: usize = work.bodies.iter().map(|body| body.dfg.num_insts()).sum();
    let all: usize = sizes.iter().sum::<usize>() + callees;
    let step = all.div_ceil(SAMPLE_INSTS).max(1);
    let mut sample = Work::default();
    let mut indices = vec![None; work.bodies.len()];
    for job in work.jobs.iter().skip(step / 2).step_by(step) {
        let sites = job.sites.iter().map(|&(call, body)| {
            let index = *indices[body].get_or_insert_with(|| {
                sample.bodies.push(Arc::clone(&work.bodies[body]));
                sample.bodies.len() - 1
            });
            (call, index)
        });
        sample.jobs.push(Job {
            sites: sites.collect(),
            caller: Arc::clone(&job.caller),
        });
    }
    sample
}

/// Returns the instructions that each side executes to splice `work`.
///
/// The child's inputs and callgrind's profiles stay in `kept`, if given.
pub(crate) fn count(work: &Work, kept: Option<&Path>) -> Result<(u64, u64), String> {
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = kept.unwrap_or(temporary.path());
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    write(work, folder)?;
    let count = |side: &str| in_child(CHILD, side, &format!("*job::splice_{side}*"), folder);
    Ok((count("ours")?, count("upstream")?))
}

/// Returns the instructions executed for compiling either side's results, for functions at even
/// distances.
pub(crate) fn count_compiling(
    ours: &[Arc<Function>],
    peers: &[Arc<Function>],
) -> Result<(u64, u64), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let all: usize = ours.iter().map(|body| body.dfg.num_insts()).sum();
    let step = all.div_ceil(COMPILED_INSTS).max(1);
    for (side, bodies) in [("ours", ours), ("upstream", peers)] {
        let mut sample = String::new();
        for body in bodies.iter().skip(step / 2).step_by(step) {
            let _ = writeln!(sample, "{body}");
        }
        let path = folder.path().join(format!("{side}.clif"));
        fs::write(path, sample).map_err(|error| error.to_string())?;
    }
    let count = |side| {
        let function = "*counts::compile_for_counting*";
        in_child(COMPILING_CHILD, side, function, folder.path())
    };
    Ok((count("ours")?, count("upstream")?))
}

/// Returns the instructions that `function` executes in a child with the work `what`.
fn in_child(what: &str, side: &str, function: &str, folder: &Path) -> Result<u64, String> {
    let profile = folder.join(format!("callgrind.out.{side}"));
    let valgrind = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().map_err(|error| error.to_string())?)
        .args([what, side])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !valgrind.status.success() {
        return Err(String::from_utf8_lossy(&valgrind.stderr).into_owned());
    }
    let profile = fs::read_to_string(profile).map_err(|error| error.to_string())?;
    let total = profile.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let total = total.and_then(|total| total.trim().parse().ok());
    match total {
        Some(total) if total > 0 => Ok(total),
        _ => Err("callgrind counted nothing".to_owned()),
    }
}

fn write(work: &Work, folder: &Path) -> Result<(), String> {
    let text = |functions: &mut dyn Iterator<Item = &Arc<Function>>| {
        let mut text = String::new();
        for function in functions {
            let _ = writeln!(text, "{function}");
        }
        text
    };
    let sites: Vec<Vec<(usize, usize)>> = work.jobs.iter().map(ordinals).collect();
    let store = |name: &str, text: String| {
        fs::write(folder.join(name), text).map_err(|error| error.to_string())
    };
    store(
        "callers.clif",
        text(&mut work.jobs.iter().map(|job| &job.caller)),
    )?;
    store("bodies.clif", text(&mut work.bodies.iter()))?;
    store("sites.json", json!(sites).to_string())
}

/// Returns the sites of a job, with each call as its index among the direct calls of the caller,
/// which printing and parsing preserve.
fn ordinals(job: &Job) -> Vec<(usize, usize)> {
    let calls = direct_calls(&job.caller);
    let sites = job.sites.iter().filter_map(|&(call, body)| {
        let place = calls.iter().position(|&other| other == call)?;
        Some((place, body))
    });
    sites.collect()
}

fn direct_calls(func: &Function) -> Vec<Inst> {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    let calls = insts.filter(|&inst| {
        matches!(
            func.dfg.insts[inst],
            InstructionData::Call { .. } | InstructionData::TryCall { .. }
        )
    });
    calls.collect()
}

/// Does the child's work: splices the functions in `folder` with the engine `side`.
pub(crate) fn run_child(side: &str, folder: &Path) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let parse = |name: &str| cranelift_reader::parse_functions(&read(name)).unwrap();
    let sites: Value = serde_json::from_str(&read("sites.json")).unwrap();
    let sites: Vec<Vec<(usize, usize)>> = serde_json::from_value(sites).unwrap();
    let jobs = parse("callers.clif").into_iter().zip(sites);
    let work = Work {
        jobs: jobs
            .map(|(caller, sites)| {
                let calls = direct_calls(&caller);
                let sites = sites.into_iter().map(|(place, body)| (calls[place], body));
                Job {
                    sites: sites.collect(),
                    caller: Arc::new(caller),
                }
            })
            .collect(),
        bodies: parse("bodies.clif").into_iter().map(Arc::new).collect(),
    };
    let mut callers = work.callers();
    match side {
        "ours" => splice_ours(&work, &mut callers, &mut SpliceContext::new()),
        _ => splice_upstream(&work, &mut callers, &mut Context::new()),
    }
}

/// Does the other child's work: compiles the results of `side` for the functions in `folder`.
pub(crate) fn run_compiling_child(side: &str, folder: &Path, isa: &dyn TargetIsa) {
    let text = fs::read_to_string(folder.join(format!("{side}.clif"))).unwrap();
    let bodies = cranelift_reader::parse_functions(&text).unwrap();
    compile_for_counting(&bodies, isa);
}

/// Compiles bodies. Callgrind finds this function by its name.
#[inline(never)]
fn compile_for_counting(bodies: &[Function], isa: &dyn TargetIsa) {
    let mut scratch = CompileScratch::new();
    for body in bodies {
        compile_function(isa, body, &mut scratch).unwrap();
    }
}
