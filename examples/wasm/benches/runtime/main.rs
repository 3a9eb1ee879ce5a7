//! How long programs run, how large their code is and how long it takes to make, by policy.
//!
//! ```text
//! cargo bench --bench runtime
//! cargo bench --bench runtime -- --rounds 3 --program json --model threshold=40,loop_bonus=60
//! ```
//!
//! The programs of `programs/` are compiled in each way and run, interleaved: another way is first
//! in each round. A time is that of the thread's processor in `_start`, the least of all rounds,
//! and the median where it says so. Times of compiling are of the whole process's processors, from
//! bytes of WebAssembly to code, the least of all compilations. A profile is of one round with
//! another seed. `--model` adds a cost model with other numbers, and may be repeated; `--counts`
//! adds executed instructions by valgrind, which takes minutes; `--json FILE` writes everything to
//! a file, and `--svg FILE` draws a picture, with `--from FILE` from the output of `--json`.

mod counts;
mod peer;
mod plot;
mod table;
mod variants;

use cpu_time::{ProcessTime, ThreadTime};
use cranelift_inliner::profile::Profile;
use cranelift_inliner_wasm::{JitProgram, Options as Compilation, Policy, jit};
use cranelift_inliner_wasm_runtime::{Outcome, Wasi};
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Cell, Row};
use variants::Variant;

struct Options {
    rounds: usize,
    /// How often each is compiled.
    compilations: usize,
    /// Parts of names, separated by commas; all programs if it is empty.
    programs: String,
    json: Option<PathBuf>,
    /// The output of `--json`, to draw it instead of measuring.
    from: Option<PathBuf>,
    svg: Option<PathBuf>,
    counts: bool,
    /// Ways to compile, by name; all if there are none.
    variants: Vec<String>,
    models: Vec<String>,
}

const OPTIONS: &str = "--rounds N, --compilations N, --program NAMES, --variants NAMES, --model NUMBERS, \
                       --counts, --json FILE, --svg FILE and --from FILE";

fn options(mut arguments: impl Iterator<Item = String>) -> Options {
    let mut options = Options {
        rounds: 9,
        compilations: 5,
        programs: String::new(),
        json: None,
        from: None,
        svg: None,
        counts: false,
        variants: Vec::new(),
        models: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.unwrap_or_else(|| panic!("{argument} takes a value"))
        };
        match argument.as_str() {
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--compilations" => options.compilations = value().parse().expect("a number"),
            "--program" => options.programs = value(),
            "--json" => options.json = Some(value().into()),
            "--from" => options.from = Some(value().into()),
            "--svg" => options.svg = Some(value().into()),
            "--counts" => options.counts = true,
            "--variants" => options.variants = value().split(',').map(str::to_owned).collect(),
            "--model" => options.models.push(value()),
            // Cargo's own.
            "--bench" => {}
            _ => {
                eprintln!("unknown option {argument}; there are {OPTIONS}");
                std::process::exit(2);
            }
        }
    }
    options
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((counts::CHILD, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return counts::child(rest);
    }
    let options = options(arguments.into_iter());
    if let Some(path) = options.from {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let svg = options.svg.expect("--from goes with --svg");
        return plot::draw(&table::points_from(&text), &svg).expect("the picture can be drawn");
    }
    let mut variants = Variant::all();
    if !options.variants.is_empty() {
        variants.retain(|variant| options.variants.contains(&variant.name));
    }
    variants.extend(options.models.iter().map(|model| Variant::model(model)));
    let mut rows = Vec::new();
    for name in programs(&options.programs) {
        eprintln!("{name}");
        rows.push(measure(&name, &variants, &options));
    }
    table::print(&variants, &rows);
    if let Some(path) = options.json {
        std::fs::write(&path, table::json(&variants, &rows)).expect("the file can be written");
    }
    if let Some(path) = options.svg {
        plot::draw(&table::points(&variants, &rows), &path).expect("the picture can be drawn");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Returns the names of the programs in which one of the wanted parts occurs.
fn programs(wanted: &str) -> Vec<String> {
    let files = folder().read_dir().expect("there are programs");
    let paths = files.flatten().map(|file| file.path());
    let is_source = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "c" || end == "cpp")
    };
    let sources = paths.filter(is_source);
    let names = sources.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let is_wanted = |name: &String| wanted.split(',').any(|part| name.contains(part));
    let mut names: Vec<String> = names.filter(is_wanted).collect();
    names.sort();
    names
}

/// A program without and with LLVM's inlining.
struct Inputs {
    plain: Vec<u8>,
    inlined: Vec<u8>,
}

impl Inputs {
    fn read(name: &str) -> Self {
        let read = |suffix| {
            let path = folder().join(format!("{name}{suffix}.wasm"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Self {
            plain: read(""),
            inlined: read(".inlined"),
        }
    }

    fn of(&self, variant: &Variant) -> &[u8] {
        match variant.inlined_by_llvm {
            true => &self.inlined,
            false => &self.plain,
        }
    }

    /// Returns the counts of one round with another seed than usual.
    fn profile(&self, name: &str, variant: &Variant) -> Option<Profile> {
        if !variant.with_profile {
            return None;
        }
        let options = Compilation {
            policy: Policy::None,
            count_calls: true,
            ..Compilation::default()
        };
        let program = jit(self.of(variant), &options);
        let program = program.unwrap_or_else(|error| panic!("{name}: {error}"));
        call(&program, name, &["1", "7"]);
        program.profile()
    }
}

/// Runs a program. Returns its time and its output.
fn call(program: &JitProgram, name: &str, arguments: &[&str]) -> (Duration, Vec<u8>) {
    let mut wasi = Wasi::captured();
    let all = std::iter::once(&name).chain(arguments);
    wasi.set_args(all.map(|argument| argument.as_bytes().to_vec()));
    let instance = program.instantiate(wasi);
    let mut instance = instance.unwrap_or_else(|error| panic!("{name}: {error}"));
    let start = ThreadTime::now();
    let outcome = instance.call("_start", &[]);
    let time = start.elapsed();
    assert_eq!(outcome, Some((Outcome::Returned, vec![])), "{name}");
    (time, instance.output().to_vec())
}

fn measure(name: &str, variants: &[Variant], options: &Options) -> Row {
    let inputs = Inputs::read(name);
    let profiles = variants.iter().map(|variant| inputs.profile(name, variant));
    let profiles: Vec<Option<Profile>> = profiles.collect();
    let mut compile_times = vec![Vec::new(); variants.len()];
    let mut programs = Vec::new();
    for round in 0..options.compilations.max(1) {
        for ((variant, profile), times) in variants.iter().zip(&profiles).zip(&mut compile_times) {
            let start = ProcessTime::now();
            let program = variant.compile(inputs.of(variant), profile.as_ref());
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
            let (time, output) = call(&programs[index], name, &[]);
            run_times[index].push(time);
            let expected = expected.get_or_insert_with(|| output.clone());
            assert_eq!(&output, expected, "{name}, {}", variants[index].name);
        }
    }
    let counts = variants.iter().zip(&profiles).map(|(variant, profile)| {
        let counts = options
            .counts
            .then(|| counts::count(name, variant, profile.as_ref()))?;
        counts.map_err(|error| eprintln!("{error}")).ok()
    });
    let cells = run_times
        .into_iter()
        .zip(compile_times)
        .zip(&programs)
        .zip(counts);
    Row {
        name: name.to_owned(),
        cells: cells
            .map(|(((run, compile), program), counts)| Cell {
                run: least(&run),
                run_median: median(run),
                compile: least(&compile),
                code: program.compiled.code_bytes,
                counts,
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
