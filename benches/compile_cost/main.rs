//! Instructions executed to inline and compile, against compiling alone.
//!
//! ```text
//! cargo bench --workspace --all-features --bench compile_cost
//! cargo bench --workspace --all-features --bench compile_cost -- --set small
//! ```
//!
//! Two sets: small modules of 5 to 50 functions, like those that a JIT compiles, and the corpus (or
//! the repository's own modules). Each module is compiled on one thread, once unmeasured and then
//! once under `valgrind --tool=callgrind`: by Cranelift alone with a context that is kept from
//! function to function, and by the pass, under `Never`, under the default policy without the
//! optimizer, and with it. The figures are ratios to Cranelift alone. The last column has the
//! instructions of the optimizer's transforms as a share of those of compiling alone.
//!
//! `--profile FOLDER` keeps callgrind's files.

mod small;

#[path = "../upstream/modules.rs"]
mod modules;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{CostModel, Never};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const CHILD: &str = "--compile-for-counting";

const VARIANTS: [&str; 4] = ["plain", "never", "inlined", "default"];

fn main() {
    let mut arguments = env::args().skip(1);
    let mut wanted = String::new();
    let mut folder = None;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            CHILD => return run_child(&value(), &value()),
            "--set" => wanted = value(),
            "--profile" => folder = Some(PathBuf::from(value())),
            _ => {}
        }
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    println!("| module | never | inlined | default | transforms |");
    println!("|---|---:|---:|---:|---:|");
    for (set, names) in [("small", small::names()), ("corpus", corpus())] {
        if !set.contains(&wanted) {
            continue;
        }
        let rows = names.iter().map(|name| measure(name, &folder));
        let rows: Vec<[f64; 4]> = rows.collect();
        let mean = |column: usize| {
            let logs = rows.iter().map(|row| row[column].ln());
            (logs.sum::<f64>() / rows.len() as f64).exp()
        };
        let shares: f64 = rows.iter().map(|row| row[3]).sum();
        let means = [mean(0), mean(1), mean(2), shares / rows.len() as f64];
        print(&format!("mean, {set}"), &means);
    }
}

fn corpus() -> Vec<String> {
    let modules = modules::modules().into_iter();
    modules.map(|module| module.name).collect()
}

fn measure(name: &str, folder: &Path) -> [f64; 4] {
    let counts = VARIANTS.map(|variant| {
        let counted = count(name, variant, folder);
        counted.unwrap_or_else(|reason| panic!("{name}, {variant}: {reason}"))
    });
    let plain = counts[0].all as f64;
    let [never, inlined, default] = [1, 2, 3].map(|variant| counts[variant].all as f64 / plain);
    let row = [never, inlined, default, counts[3].transforms as f64 / plain];
    print(name, &row);
    row
}

fn print(name: &str, row: &[f64; 4]) {
    let [never, inlined, default, transforms] = row;
    println!("| {name} | {never:.3} | {inlined:.3} | {default:.3} | {transforms:.3} |");
}

struct Counts {
    all: u64,
    /// Those of the optimizer.
    transforms: u64,
}

fn count(name: &str, variant: &str, folder: &Path) -> Result<Counts, String> {
    let file = folder.join(format!("{name}.{variant}"));
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*compile_cost::measured*",
        ])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().map_err(|error| error.to_string())?)
        .args([CHILD, name, variant])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let profile = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let all = total.and_then(|total| total.trim().parse().ok());
    Ok(Counts {
        all: all.filter(|&all| all > 0).ok_or("nothing was counted")?,
        transforms: inclusive(&profile, "::driver::optimize_checked"),
    })
}

/// Returns the instructions of calls of functions whose name contains `part`.
fn inclusive(profile: &str, part: &str) -> u64 {
    let mut wanted: Vec<&str> = Vec::new();
    let mut lines = profile.lines();
    let mut sum = 0;
    while let Some(line) = lines.next() {
        // A number stands for a name from its first use on: `cfn=(12) name`.
        if let Some((_, named)) = line.split_once("fn=(") {
            let (number, name) = named.split_once(')').unwrap_or_default();
            if name.contains(part) {
                wanted.push(number);
            }
            if line.starts_with("cfn=") && wanted.contains(&number) {
                let cost = lines.by_ref().nth(1).unwrap_or_default();
                let cost = cost
                    .split(' ')
                    .nth(1)
                    .and_then(|cost| cost.parse::<u64>().ok());
                sum += cost.unwrap_or(0);
            }
        }
    }
    sum
}

fn run_child(name: &str, variant: &str) {
    let program = small::program(name).unwrap_or_else(|| {
        let mut modules = modules::modules().into_iter();
        let module = modules.find(|module| module.name == name);
        module
            .and_then(|module| module.program())
            .expect("a module")
    });
    let settings = TargetSettings::new().opt_level(OptLevel::Speed);
    let isa = target("host", &settings).expect("this machine");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a thread").install(|| {
        let work = Work::new(variant, &program);
        work.run(&*isa);
        measured(Work::new(variant, &program), &*isa);
    });
}

/// Callgrind finds this function by its name.
#[inline(never)]
fn measured(work: Work<'_>, isa: &dyn TargetIsa) {
    work.run(isa);
}

enum Work<'a> {
    Plain(Vec<Function>),
    Pass(Box<Inliner<'static>>, &'a Program),
}

impl<'a> Work<'a> {
    fn new(variant: &str, program: &'a Program) -> Self {
        let inliner = match variant {
            "plain" => {
                let bodies = program
                    .iter()
                    .map(|(_, function)| (**function.body()).clone());
                return Work::Plain(bodies.collect());
            }
            "never" => Inliner::new(Never),
            "inlined" => Inliner::new(CostModel::default()).optimize(Optimize::None),
            _ => Inliner::new(CostModel::default()),
        };
        Work::Pass(Box::new(inliner), program)
    }

    fn run(self, isa: &dyn TargetIsa) {
        match self {
            Work::Plain(bodies) => {
                let mut context = Context::new();
                for body in bodies {
                    context.clear();
                    context.func = body;
                    let compiled = context.compile(isa, &mut ControlPlane::default());
                    compiled.expect("a body that compiles");
                }
            }
            Work::Pass(inliner, program) => {
                inliner
                    .run_and_compile(program, isa)
                    .expect("a program that compiles");
            }
        }
    }
}
