//! A small language, compiled by a JIT and run, without and with inlining.
//!
//! ```text
//! cargo run --release --example expressions_jit
//! ```
//!
//! The same front end runs both times; [`with_inlining`] shows the changes for an existing
//! compiler. [`traps::trap_in`] shows backtraces, on Linux: at a division by zero in an inlined
//! function, the backtrace table of the code has all functions around it.

mod expressions;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[path = "expressions/traps.rs"]
mod traps;

use cranelift_codegen::settings::{self, Configurable};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::Inliner;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::default_libcall_names;
use expressions::compiler::compile;
use expressions::parser::parse;
use expressions::syntax::Program;
use std::error::Error;
use std::time::{Duration, Instant};

const PROGRAM: &str = "
    fn square(x) = x * x;
    fn mix(x, y) = (square(x) + 3 * y) % 1009;
    fn clamp(x, limit) = if x > limit then limit else x;
    fn step(state, i) = clamp(mix(state, i), 1000);

    # It calls itself, and these calls stay.
    fn collatz(n, steps) =
        if n < 2 then steps
        else if n % 2 > 0 then collatz(3 * n + 1, steps + 1)
        else collatz(n / 2, steps + 1);

    # Records, options, closures and iterators live in stack slots, until all is inlined.
    record range { at, end };
    fn range_next(r: range): option =
        if r.at < r.end then let at = r.at in set r.at = at + 1 in some at else none;
    fn sum_of(r: range, f: closure) = fold total = 0 over x in r of total + f(x);
    record point { x, y };
    fn plus(a: point, b: point): point = point { x: a.x + b.x, y: a.y + b.y };
    fn norm(p: point) = square(p.x) + square(p.y);

    export fn iterate(n) = sum_of(range { at: 0, end: n }, |x| clamp(x * 7 % 1000, n));
    export fn points(n) =
        sum i from 0 to n of norm(plus(point { x: i, y: 1 }, point { x: 2, y: i })) % 1009;
    export fn steps(n) = sum i from 0 to n of step(i, step(i + 1, i));
    export fn longest(n) = sum i from 1 to n of collatz(i, 0) > 100;
";

/// The functions to run, each with its argument.
const RUNS: [(&str, i64); 4] = [
    ("steps", 20_000_000),
    ("longest", 200_000),
    ("iterate", 20_000_000),
    ("points", 20_000_000),
];

/// The number of compilations of each way: the first ones are slower.
const COMPILATIONS: usize = 10;

/// A finished JIT, and the addresses of its functions.
struct Code {
    module: JITModule,
    addresses: Vec<*const u8>,
    compiling: Duration,
}

fn jit() -> Result<JITModule, Box<dyn Error>> {
    let mut flags = settings::builder();
    flags.set("opt_level", "speed")?;
    // For the frames of a trap.
    flags.set("preserve_frame_pointers", "true")?;
    let isa = cranelift_native::builder()?.finish(settings::Flags::new(flags))?;
    Ok(JITModule::new(JITBuilder::with_isa(
        isa,
        default_libcall_names(),
    )))
}

fn without_inlining(program: &Program) -> Result<Code, Box<dyn Error>> {
    let start = Instant::now();
    let mut module = jit()?;
    let ids = compile(program, &mut module)?;
    module.finalize_definitions()?;
    let addresses = RUNS.map(|(name, _)| module.get_finalized_function(ids[name]));
    Ok(Code {
        module,
        addresses: addresses.to_vec(),
        compiling: start.elapsed(),
    })
}

fn with_inlining(program: &Program) -> Result<(Code, ModuleReport), Box<dyn Error>> {
    let start = Instant::now();
    let mut module = InliningModule::new(jit()?, Inliner::new(CostModel::default()));
    let ids = compile(program, &mut module)?;
    let (mut module, report) = module.finish()?;
    module.finalize_definitions()?;
    let addresses = RUNS.map(|(name, _)| module.get_finalized_function(ids[name]));
    let code = Code {
        module,
        addresses: addresses.to_vec(),
        compiling: start.elapsed(),
    };
    Ok((code, report))
}

impl Code {
    /// Returns each function's result and time.
    fn run(&self) -> Vec<(i64, Duration)> {
        let calls = self.addresses.iter().zip(RUNS);
        calls
            .map(|(&address, (_, argument))| {
                // SAFETY: functions of the language have the host's calling convention, and these
                // have one parameter. The module outlives the call.
                let function: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(address) };
                let start = Instant::now();
                (function(argument), start.elapsed())
            })
            .collect()
    }

    /// Merges the results of `other`, with the shorter times.
    fn replace(&mut self, mut other: Code) {
        other.compiling = other.compiling.min(self.compiling);
        std::mem::replace(self, other).free();
    }

    fn free(self) {
        // SAFETY: the module's code is not running, and its addresses are not kept.
        unsafe { self.module.free_memory() }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = parse(PROGRAM)?;
    let mut plain = without_inlining(&program)?;
    let (mut inlined, report) = with_inlining(&program)?;
    for _ in 1..COMPILATIONS {
        plain.replace(without_inlining(&program)?);
        inlined.replace(with_inlining(&program)?.0);
    }

    println!("{report:#}\n");
    let ratio = |with: Duration, without: Duration| with.as_secs_f64() / without.as_secs_f64();
    for ((name, argument), (without, with)) in
        RUNS.iter().zip(plain.run().into_iter().zip(inlined.run()))
    {
        println!(
            "{name}({argument}) = {} in {:.1?} without inlining, {} in {:.1?} with: {:.2} of the time",
            without.0,
            without.1,
            with.0,
            with.1,
            ratio(with.1, without.1)
        );
        if without.0 != with.0 {
            return Err(format!("{name}: the results differ").into());
        }
    }
    println!(
        "compiling took {:.2} of the time without inlining, at best of {COMPILATIONS} times each",
        ratio(inlined.compiling, plain.compiling)
    );
    plain.free();
    inlined.free();

    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    {
        use cranelift_inliner::decide::{Always, Never};
        let ((without, _), (with, calls)) = (traps::trap_in(Never)?, traps::trap_in(Always)?);
        println!("\na trap after {calls} inlined calls: {with}");
        if without != with {
            return Err(format!("without inlining, the trap is {without}").into());
        }
    }
    Ok(())
}
