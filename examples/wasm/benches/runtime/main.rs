//! How long programs run, how large their code is and how long it takes to make, by policy.
//!
//! ```text
//! cargo bench --bench runtime
//! cargo bench --bench runtime -- --rounds 3 --program json --model threshold=40,loop_bonus=60
//! ```
//!
//! The programs of `programs/` are compiled in each way and run, interleaved: another way is first
//! in each round. A time is that of the thread's processor in `_start`, the least of all rounds, and
//! the median where it says so. Times of compiling are of the whole process's processors, from bytes
//! of WebAssembly to code, the least of all compilations. `--model` adds a cost model with other
//! numbers, and `--json FILE` writes everything to a file.

mod peer;
mod table;
mod variants;

use cpu_time::{ProcessTime, ThreadTime};
use cranelift_inliner_wasm_runtime::{Outcome, Wasi};
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Cell, Row};
use variants::Variant;

struct Options {
    rounds: usize,
    /// How often each is compiled.
    compilations: usize,
    program: String,
    json: Option<PathBuf>,
    /// Ways to compile, by name; all if there are none.
    variants: Vec<String>,
    model: Option<String>,
}

fn options() -> Options {
    let mut options = Options {
        rounds: 9,
        compilations: 5,
        program: String::new(),
        json: None,
        variants: Vec::new(),
        model: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.unwrap_or_else(|| panic!("{argument} takes a value"))
        };
        match argument.as_str() {
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--compilations" => options.compilations = value().parse().expect("a number"),
            "--program" => options.program = value(),
            "--json" => options.json = Some(value().into()),
            "--variants" => options.variants = value().split(',').map(str::to_owned).collect(),
            "--model" => options.model = Some(value()),
            // Cargo's own.
            "--bench" => {}
            _ => panic!("unknown option {argument}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let mut variants = Variant::all();
    variants.extend(options.model.as_deref().map(Variant::model));
    if !options.variants.is_empty() {
        variants.retain(|variant| options.variants.contains(&variant.name));
    }
    let mut rows = Vec::new();
    for name in programs(&options.program) {
        eprintln!("{name}");
        rows.push(measure(&name, &variants, &options));
    }
    table::print(&variants, &rows);
    if let Some(path) = options.json {
        std::fs::write(&path, table::json(&variants, &rows)).expect("the file can be written");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

fn programs(wanted: &str) -> Vec<String> {
    let files = folder().read_dir().expect("there are programs");
    let paths = files.flatten().map(|file| file.path());
    let sources = paths.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let names = sources.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| name.contains(wanted)).collect();
    names.sort();
    names
}

fn measure(name: &str, variants: &[Variant], options: &Options) -> Row {
    let read = |suffix| {
        let path = folder().join(format!("{name}{suffix}.wasm"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (plain, inlined) = (read(""), read(".inlined"));
    let bytes = |variant: &Variant| match variant.inlined_by_llvm {
        true => &inlined,
        false => &plain,
    };
    let mut compile_times = vec![Vec::new(); variants.len()];
    let mut programs = Vec::new();
    for round in 0..options.compilations.max(1) {
        for (variant, times) in variants.iter().zip(&mut compile_times) {
            let start = ProcessTime::now();
            let program = variant.compile(bytes(variant));
            times.push(start.elapsed());
            if round == 0 {
                programs.push(program);
            }
        }
    }
    let mut run_times = vec![Vec::new(); variants.len()];
    let mut expected: Option<Vec<u8>> = None;
    for round in 0..options.rounds.max(1) {
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            let instance = programs[index].instantiate(Wasi::captured());
            let mut instance = instance.unwrap_or_else(|error| panic!("{name}: {error}"));
            let start = ThreadTime::now();
            let outcome = instance.call("_start", &[]);
            run_times[index].push(start.elapsed());
            let variant = &variants[index].name;
            assert_eq!(
                outcome,
                Some((Outcome::Returned, vec![])),
                "{name}, {variant}"
            );
            let output = instance.output();
            let expected = expected.get_or_insert_with(|| output.to_vec());
            assert_eq!(output, expected, "{name}, {variant}");
        }
    }
    let cells = run_times.into_iter().zip(compile_times).zip(&programs);
    Row {
        name: name.to_owned(),
        cells: cells
            .map(|((run, compile), program)| Cell {
                run: least(&run),
                run_median: median(run),
                compile: least(&compile),
                code: program.compiled.code_bytes,
            })
            .collect(),
    }
}

fn least(times: &[Duration]) -> Duration {
    times.iter().copied().min().unwrap_or_default()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
