//! The cost of a frame table: inlines and compiles a module with tags in Wasmtime's form, builds
//! the table, and prints its size relative to the tags and its time relative to compilation.
//!
//! ```text
//! cargo run --release --example frame_table_cost -- MODULE.clif
//! ```

use cranelift_codegen::ir::DebugTag;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{Always, CostModel, Never};
use cranelift_inliner::frames::{FrameTableBuilder, WasmtimeFrames};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceOptions;
use rayon::prelude::*;
use std::error::Error;
use std::mem::size_of;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("usage: frame_table_cost MODULE.clif…".into());
    }
    for path in &paths {
        let program = Program::from_clif(&std::fs::read_to_string(path)?, path)?;
        println!("{path}: {} functions", program.len());
        println!(
            "{:8} {:>9} {:>8} {:>9} {:>11} {:>11} {:>7} {:>10} {:>10} {:>6}",
            "policy",
            "code",
            "points",
            "frames",
            "tag bytes",
            "table",
            "ratio",
            "compile",
            "build",
            "share"
        );
        measure(&program, "never", Inliner::new(Never))?;
        measure(&program, "cost", Inliner::new(CostModel::default()))?;
        measure(&program, "always", Inliner::new(Always))?;
    }
    Ok(())
}

fn measure(program: &Program, policy: &str, inliner: Inliner<'_>) -> Result<(), Box<dyn Error>> {
    let mut options = SpliceOptions::default();
    options.allow_stack_pointer = true;
    let isa = target("x64", &TargetSettings::new())?;
    let inliner = inliner.splice_options(options);
    let (inlined, compiled) = inliner.run_and_compile(program, &*isa)?;
    let functions: Vec<_> = compiled.iter().collect();

    let mut offsets = vec![None; program.len()];
    let mut next = 0_u64;
    for (id, function) in &functions {
        offsets[id.as_u32() as usize] = Some(next);
        next += function.code().len().next_multiple_of(16) as u64;
    }
    // Summed over threads, like the pass's compile time.
    let new = || (FrameTableBuilder::new(WasmtimeFrames), Duration::ZERO);
    let (mut builder, collecting) = functions
        .par_iter()
        .try_fold(new, |(mut builder, time), (id, function)| {
            let start = Instant::now();
            builder.add(u64::from(id.as_u32()), function)?;
            Ok((builder, time + start.elapsed()))
        })
        .try_reduce(new, |(mut one, time), (other, more)| {
            one.merge(other)?;
            Ok::<_, cranelift_inliner::frames::BuildError>((one, time + more))
        })?;
    let start = Instant::now();
    for (_, function) in program.iter() {
        let name = function.name().to_string();
        builder.describe_slots(function.body(), |_, _| Some(name.as_bytes()))?;
    }
    let table = builder.link(|identity| offsets.get(identity as usize).copied().flatten())?;
    let build = collecting + start.elapsed();

    let points = functions
        .iter()
        .flat_map(|(_, function)| function.debug_tags());
    let tags: usize = points.map(|point| point.tags.len()).sum();
    let tag_bytes = tags * size_of::<DebugTag>();
    let compile = inlined.times().compile;
    let bytes = table.bytes().len();
    println!(
        "{policy:8} {:>9} {:>8} {:>9} {tag_bytes:>11} {bytes:>11} {:>6.1}% {:>10.1?} {:>10.1?} {:>5.2}%",
        compiled.code_bytes(),
        table.reader().point_count(),
        table.reader().frame_count(),
        100.0 * bytes as f64 / tag_bytes as f64,
        compile,
        build,
        100.0 * build.as_secs_f64() / compile.as_secs_f64(),
    );
    Ok(())
}
