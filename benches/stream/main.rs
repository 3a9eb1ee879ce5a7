//! The wall time of translating, inlining and compiling, with and without a barrier.
//!
//! ```text
//! cargo bench --workspace --all-features --bench stream -- [--rounds N] [--threads N] [FILE.clif ...]
//! ```
//!
//! The front end reads the CLIF text of each function, on the same threads as the rest, and has
//! scanned its source for the declarations. In each round the ways take turns: without inlining, a
//! function is compiled as soon as it is translated; the pass over the whole program waits for the
//! last body; a stream takes bodies as they come, in the order of the file, or as it asks for them.
//! Printed are the least wall times over all rounds, and the times to the first compiled function,
//! relative to those without inlining, and the most bodies that a stream held at a time, original
//! and final ones: their number, as a share of all functions, and their instructions, as a share of
//! those that came in. A second table has the wall times of a simulation for more threads, with its
//! error against the real ones; see [`simulate`].

mod simulate;

use cpu_time::ThreadTime;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_entity::EntityRef;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::{DeclaredProgram, HeldBodies, Inliner, Optimize, Stream};
use cranelift_inliner::program::{Program, function_text};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use simulate::{Costs, Model, Way};
use std::error::Error;
use std::fmt::Write;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The functions of the program without an input file.
const FUNCTIONS: usize = 600;

fn main() -> Result<(), Box<dyn Error>> {
    let mut rounds = 9;
    let mut threads = std::thread::available_parallelism()?.get();
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap_or_default().parse();
        match &*argument {
            "--rounds" => rounds = number()?,
            "--threads" => threads = number()?,
            // Cargo passes it to every bench.
            "--bench" => {}
            _ => files.push(argument),
        }
    }
    let isa = target("host", &TargetSettings::new())?;
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    println!("{threads} threads, least of {rounds} rounds, without inlining = 1");
    println!(
        "{:24} {:>7} {:>7} {:>7}   {:>7} {:>7} {:>7}   {:>7} {:>7}   {:>7} {:>7}",
        "",
        "pass",
        "stream",
        "asked",
        "pass",
        "stream",
        "asked",
        "bodies",
        "asked",
        "insts",
        "asked"
    );
    let mut simulated = Vec::new();
    let mut inputs = Vec::new();
    for file in &files {
        inputs.push((
            file.clone(),
            Program::from_clif(&std::fs::read_to_string(file)?, file)?,
        ));
    }
    if inputs.is_empty() {
        inputs.push((format!("{FUNCTIONS} generated functions"), generated()?));
    }
    for (name, program) in &inputs {
        let job = Job::new(program, &isa, &pool)?;
        let best = job.rounds(rounds);
        let ratio = |of: Duration, to: Duration| of.as_secs_f64() / to.as_secs_f64();
        let [plain, others @ ..] = best;
        print!("{name:24}");
        for times in others {
            print!(" {:7.3}", ratio(times.whole, plain.whole));
        }
        print!("  ");
        for times in others {
            print!(" {:7.3}", ratio(times.first, plain.first));
        }
        print!("  ");
        let share = |part: usize, of: usize| print!(" {:7.3}", part as f64 / of as f64);
        for times in &others[1..] {
            share(times.held.functions, program.len());
        }
        print!("  ");
        for times in &others[1..] {
            share(times.held.insts, job.insts);
        }
        println!();
        let costs = job.costs(rounds);
        let model = Model::new(program, &costs);
        let ways = [
            Way::Plain,
            Way::Pass,
            Way::Stream { asked: false },
            Way::Stream { asked: true },
        ];
        let errors = ways
            .map(|way| model.run(way, threads))
            .into_iter()
            .zip(best);
        let errors = errors.map(|(simulated, real)| ratio(simulated, real.whole));
        let mut row = format!("{name:24}");
        for error in errors {
            write!(row, " {error:7.3}")?;
        }
        for threads in [threads, 8, 16, 64] {
            let [plain, others @ ..] = ways.map(|way| model.run(way, threads));
            row.push_str("  ");
            for time in others {
                write!(row, " {:7.3}", ratio(time, plain))?;
            }
        }
        simulated.push(row);
    }
    println!("simulated / real: plain, pass, stream, asked; then pass, stream, asked / plain on");
    println!("{threads}, 8, 16 and 64 threads");
    for row in simulated {
        println!("{row}");
    }
    Ok(())
}

/// Makes layers of functions: each branches, loops, and calls up to three functions of the layer
/// below.
fn generated() -> Result<Program, Box<dyn Error>> {
    let mut text = String::new();
    for number in 0..FUNCTIONS {
        let callees = [1, 2, 3].map(|step| number + step * (1 + number % 37));
        let callees: Vec<usize> = callees
            .into_iter()
            .filter(|&callee| callee < FUNCTIONS)
            .collect();
        writeln!(text, "function %f{number}(i64, i64) -> i64 fast {{")?;
        for (index, callee) in callees.iter().enumerate() {
            writeln!(text, "    fn{index} = %f{callee}(i64, i64) -> i64 fast")?;
        }
        writeln!(text, "block0(v0: i64, v1: i64):\n    jump block1(v0, v1)")?;
        writeln!(text, "block1(v2: i64, v3: i64):")?;
        let mut value = 3;
        for step in 0..number % 60 {
            let opcode = ["iadd", "bxor", "imul", "isub"][step % 4];
            writeln!(text, "    v{} = {opcode} v{value}, v2", value + 1)?;
            value += 1;
        }
        for index in 0..callees.len() {
            writeln!(text, "    v{} = call fn{index}(v{value}, v2)", value + 1)?;
            value += 1;
        }
        let (one, less) = (value + 1, value + 2);
        writeln!(
            text,
            "    v{one} = iconst.i64 1\n    v{less} = isub v2, v{one}"
        )?;
        writeln!(text, "    brif v{less}, block1(v{less}, v{value}), block2")?;
        writeln!(text, "block2:\n    return v{value}\n}}")?;
    }
    let mut program = Program::from_clif(&text, "generated")?;
    program.export_only(&["f0".parse()?])?;
    Ok(program)
}

#[derive(Clone, Copy)]
struct Times {
    whole: Duration,
    /// Until the first function was compiled.
    first: Duration,
    /// The most bodies that were there at a time.
    held: HeldBodies,
}

struct Job<'a> {
    texts: Vec<String>,
    program: &'a Program,
    declared: DeclaredProgram,
    insts: usize,
    isa: &'a OwnedTargetIsa,
    pool: &'a ThreadPool,
}

impl<'a> Job<'a> {
    fn new(
        program: &'a Program,
        isa: &'a OwnedTargetIsa,
        pool: &'a ThreadPool,
    ) -> Result<Self, Box<dyn Error>> {
        let texts = program
            .iter()
            .map(|(_, function)| function_text(function.body()));
        let graph = CallGraph::new(program);
        let declarations = program.ids().filter_map(|id| graph.declaration(id));
        Ok(Job {
            insts: declarations.map(|declaration| declaration.insts).sum(),
            texts: texts.collect::<Result<_, _>>()?,
            program,
            declared: DeclaredProgram::of(program).ok_or("a call of Cranelift's own routines")?,
            isa,
            pool,
        })
    }

    fn rounds(&self, rounds: usize) -> [Times; 4] {
        let mut best: Option<[Times; 4]> = None;
        for _ in 0..rounds.max(1) {
            let times = [
                self.pool.install(|| self.plain()),
                self.pool.install(|| self.pass()),
                self.pool.install(|| self.stream(Order::File)),
                self.pool.install(|| self.stream(Order::Asked)),
            ];
            let least = |one: Times, other: Times| Times {
                whole: one.whole.min(other.whole),
                first: one.first.min(other.first),
                held: match one.held.insts >= other.held.insts {
                    true => one.held,
                    false => other.held,
                },
            };
            best = Some(match best {
                None => times,
                Some(best) => [0, 1, 2, 3].map(|way| least(best[way], times[way])),
            });
        }
        best.unwrap_or_else(|| unreachable!("there is a round"))
    }

    fn plain(&self) -> Times {
        let start = Start::new();
        let isa: &dyn TargetIsa = &**self.isa;
        self.texts
            .par_iter()
            .for_each_init(Context::new, |context, text| {
                context.clear();
                context.func = translate(text);
                let compiled = context.compile(isa, &mut ControlPlane::default());
                compiled.unwrap_or_else(|error| panic!("{}", error.inner));
                start.compiled();
            });
        start.end()
    }

    fn pass(&self) -> Times {
        let start = Start::new();
        let bodies: Vec<Function> = self.texts.par_iter().map(|text| translate(text)).collect();
        let mut program = Program::new();
        for ((_, function), body) in self.program.iter().zip(bodies) {
            let function = function.clone().with_body(body);
            program
                .add_function(function)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let result = inliner()
            .observe(&start)
            .run_and_compile(&program, &**self.isa);
        result.unwrap_or_else(|error| panic!("{error}"));
        start.end()
    }

    fn stream(&self, order: Order) -> Times {
        let start = Start::new();
        let define = |stream: &Stream<'_, '_>, text: &str| {
            let body = translate(text);
            let defined = stream.define(body);
            defined.unwrap_or_else(|error| panic!("{error}"));
        };
        let result = inliner().stream(
            &self.declared,
            &**self.isa,
            &|_, _| start.compiled(),
            |stream| match order {
                Order::File => self.texts.par_iter().for_each(|text| define(stream, text)),
                Order::Asked => {
                    rayon::broadcast(|_| {
                        while let Some(id) = stream.next_wanted() {
                            define(stream, &self.texts[id.index()]);
                        }
                    });
                }
            },
        );
        let result = result.unwrap_or_else(|error| panic!("{error}"));
        Times {
            held: result.held,
            ..start.end()
        }
    }
}

impl Job<'_> {
    /// Measures the times of each function on one thread: the least of some rounds.
    fn costs(&self, rounds: usize) -> Costs {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.unwrap_or_else(|error| panic!("{error}"));
        let measure = || pool.install(|| self.costs_once());
        (1..rounds.max(1)).fold(measure(), |costs, _| costs.least(&measure()))
    }

    fn costs_once(&self) -> Costs {
        let isa: &dyn TargetIsa = &**self.isa;
        let mut costs = Costs::new(self.texts.len());
        let mut context = Context::new();
        for (index, text) in self.texts.iter().enumerate() {
            context.clear();
            context.func = translate(text);
            let start = processor_time();
            let compiled = context.compile(isa, &mut ControlPlane::default());
            compiled.unwrap_or_else(|error| panic!("{}", error.inner));
            costs.plain[index] = processor_time() - start;
        }
        let clock = Clock(Mutex::new((processor_time(), costs)));
        let result = inliner().observe(&clock).stream(
            &self.declared,
            isa,
            &|id, _| clock.tick(|costs, took| costs.compile[id.index()] = took),
            |stream| {
                for (index, text) in self.texts.iter().enumerate() {
                    clock.tick(|_, _| {});
                    let body = translate(text);
                    clock.tick(|costs, took| costs.translate[index] = took);
                    let defined = stream.define(body);
                    defined.unwrap_or_else(|error| panic!("{error}"));
                }
            },
        );
        result.unwrap_or_else(|error| panic!("{error}"));
        clock
            .0
            .into_inner()
            .unwrap_or_else(|error| panic!("{error}"))
            .1
    }
}

/// Returns the time of the processor for this thread so far.
fn processor_time() -> Duration {
    ThreadTime::now().as_duration()
}

/// Gives the time since the last event to that which has just ended, on one thread. It is the
/// processor's, which does not depend on other work of the machine.
struct Clock(Mutex<(Duration, Costs)>);

impl Clock {
    fn tick(&self, record: impl FnOnce(&mut Costs, Duration)) {
        let mut clock = self.0.lock().unwrap_or_else(|error| panic!("{error}"));
        let took = processor_time() - clock.0;
        record(&mut clock.1, took);
        clock.0 = processor_time();
    }
}

impl cranelift_inliner::pass::Observer for Clock {
    fn inlined(&self, id: cranelift_inliner::program::FunctionId) {
        self.tick(|costs, took| costs.inline[id.index()] = took);
    }
}

/// The order in which the front end translates.
#[derive(Clone, Copy)]
enum Order {
    File,
    Asked,
}

fn inliner() -> Inliner<'static> {
    Inliner::new(CostModel::default()).optimize(Optimize::Inlined)
}

fn translate(text: &str) -> Function {
    let functions = cranelift_reader::parse_functions(text);
    let mut functions = functions.unwrap_or_else(|error| panic!("{error}"));
    functions.remove(0)
}

struct Start {
    at: Instant,
    first: OnceLock<Duration>,
}

impl Start {
    fn new() -> Self {
        Start {
            at: Instant::now(),
            first: OnceLock::new(),
        }
    }

    fn compiled(&self) {
        self.first.get_or_init(|| self.at.elapsed());
    }

    fn end(self) -> Times {
        let whole = self.at.elapsed();
        Times {
            whole,
            first: self.first.into_inner().unwrap_or(whole),
            held: HeldBodies::default(),
        }
    }
}

impl cranelift_inliner::pass::Observer for Start {
    fn compiled(&self, _: cranelift_inliner::program::FunctionId) {
        Start::compiled(self);
    }
}
