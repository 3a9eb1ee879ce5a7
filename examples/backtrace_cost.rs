//! The cost of backtraces: inlines and compiles modules, builds their backtrace tables, and prints
//! the size relative to the code, and the time relative to compilation.
//!
//! ```text
//! cargo run --release --example backtrace_cost -- MODULE.clif
//! ```

use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces};
use cranelift_inliner::decide::{Always, CostModel, Never};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// Enough for a time per look-up.
const LOOKUPS: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("usage: backtrace_cost MODULE.clif…".into());
    }
    println!(
        "{:24} {:8} {:>10} {:>8} {:>10} {:>9} {:>10} {:>10} {:>8}",
        "module",
        "policy",
        "code",
        "points",
        "table",
        "of code",
        "of compile",
        "ns/look-up",
        "frames"
    );
    for path in &paths {
        let program = Program::from_clif(&std::fs::read_to_string(path)?, path)?;
        // Some modules have no locations; these get as many as a front end's.
        let program = program.with_bodies(|_, function| {
            let mut body = (**function.body()).clone();
            locate(&mut body);
            Some(body.into())
        })?;
        let name = path.rsplit('/').next().unwrap_or(path);
        measure(name, "never", &program, Inliner::new(Never))?;
        measure(name, "cost", &program, Inliner::new(CostModel::default()))?;
        measure(name, "always", &program, Inliner::new(Always))?;
    }
    Ok(())
}

fn measure(
    name: &str,
    policy: &str,
    program: &Program,
    inliner: Inliner<'_>,
) -> Result<(), Box<dyn Error>> {
    let isa = target("x64", &TargetSettings::new())?;
    let inliner = inliner.locations(LocationMode::InlinedAt);
    let (inlined, compiled) = inliner.run_and_compile(program, &*isa)?;
    let start = Instant::now();
    let mut functions = Vec::new();
    let mut end = 0;
    for (id, code) in compiled.iter() {
        let locations = compiled.locations(id).ok_or("no locations")?;
        functions.push((end, FunctionBacktraces::of(code, locations)?));
        end += code.code().len().next_multiple_of(16) as u64;
    }
    let table = BacktraceTable::link(functions.iter().map(|(at, function)| (*at, function)))?;
    let building = start.elapsed();
    let mut points = Vec::new();
    for ((start, _), (_, code)) in functions.iter().zip(compiled.iter()) {
        let start = u32::try_from(*start)?;
        points.extend(code.call_sites().map(|call| (start + call.ret_addr, false)));
        points.extend(code.traps().iter().map(|trap| (start + trap.offset, true)));
    }
    let reader = table.reader();
    let start = Instant::now();
    let mut frames = 0;
    for number in 0..LOOKUPS {
        // Scattered, like the return addresses of a stack.
        let (offset, is_trap) = points[number.wrapping_mul(2_654_435_761) % points.len()];
        let places = match is_trap {
            true => reader.trap(offset)?,
            false => reader.return_address(offset)?,
        };
        for place in places.ok_or("a point without a place")? {
            black_box(place?);
            frames += 1;
        }
    }
    let lookup = start.elapsed();
    println!(
        "{name:24} {policy:8} {:10} {:8} {:10} {:8.2}% {:9.2}% {:10.0} {:8.2}",
        compiled.code_bytes(),
        reader.point_count(),
        table.bytes().len(),
        100.0 * table.bytes().len() as f64 / compiled.code_bytes() as f64,
        100.0 * building.as_secs_f64() / inlined.times().compile.as_secs_f64(),
        lookup.as_nanos() as f64 / LOOKUPS as f64,
        f64::from(frames) / LOOKUPS as f64,
    );
    Ok(())
}

/// Gives each instruction of a body without locations one of its own.
fn locate(body: &mut cranelift_codegen::ir::Function) {
    use cranelift_codegen::ir::SourceLoc;
    let blocks: Vec<_> = body.layout.blocks().collect();
    let insts: Vec<_> = blocks
        .iter()
        .flat_map(|&block| body.layout.block_insts(block))
        .collect();
    if insts.iter().any(|&inst| !body.srcloc(inst).is_default()) {
        return;
    }
    for (number, inst) in (0..).zip(insts) {
        body.set_srcloc(inst, SourceLoc::new(2 * number));
    }
}
