//! The wall time from bytes of WebAssembly to code, with and without a barrier.
//!
//! ```text
//! cargo bench --workspace --all-features --bench wasm_stream -- [--rounds N] [--threads N] [--only N] [FILE.wasm ...]
//! ```
//!
//! Without files, the programs of `programs/` are compiled. One thread translates, and gets help
//! from the pool. In each round the ways take turns: without inlining, a function is compiled as
//! soon as it is translated, and its code is thrown away; the pass waits for the last translation;
//! the stream has scanned the module before, and takes functions as they come. Printed are the
//! least wall times over all rounds, relative to those without inlining, and the geometric mean
//! over all programs. All ways use the default policy and the same settings. `--only N` does the
//! way of this number alone and prints nothing: for `valgrind --tool=callgrind`.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_inliner_wasm::{Options, Schedule, jit, jit_isa, jit_module, translate_each};
use rayon::ThreadPoolBuilder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() {
    let mut rounds = 9;
    let mut threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut only = None;
    let mut files: Vec<PathBuf> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let number = arguments.next().and_then(|number| number.parse().ok());
            number.expect("a number follows")
        };
        match &*argument {
            "--rounds" => rounds = number(),
            "--threads" => threads = number(),
            "--only" => only = Some(number()),
            // Cargo passes it to every bench.
            "--bench" => {}
            _ => files.push(argument.into()),
        }
    }
    // A stream of a module works on the global pool.
    let pool = ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.expect("there is none yet");
    if files.is_empty() {
        files = programs();
    }
    println!("{threads} threads, least of {rounds} rounds, without inlining = 1");
    println!("{:24} {:>7} {:>7}", "", "pass", "stream");
    let (mut products, mut count) = ([1.0f64; 2], 0);
    for file in files {
        let wasm = fs::read(&file).expect("the file can be read");
        let mut best = [Duration::MAX; 3];
        for _ in 0..rounds {
            let compile: [&dyn Fn(); 3] = [
                &|| plain(&wasm),
                &|| inlined(&wasm, Schedule::InParallel),
                &|| inlined(&wasm, Schedule::InBackground),
            ];
            for (way, compile) in compile.into_iter().enumerate() {
                if only.is_none_or(|only| only == way) {
                    best[way] = best[way].min(time(compile));
                }
            }
        }
        if only.is_some() {
            continue;
        }
        let [pass, stream] = [1, 2].map(|way| best[way].as_secs_f64() / best[0].as_secs_f64());
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        println!("{name:24} {pass:7.3} {stream:7.3}");
        products[0] *= pass;
        products[1] *= stream;
        count += 1;
    }
    if only.is_some() {
        return;
    }
    let [pass, stream] = products.map(|product| product.powf(1.0 / f64::from(count)));
    println!("{:24} {pass:7.3} {stream:7.3}", "geometric mean");
}

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let files = fs::read_dir(folder).expect("the folder is there");
    let files = files.map(|file| file.expect("it can be listed").path());
    let is_program = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".wasm") && !name.ends_with(".inlined.wasm")
    };
    let mut files: Vec<PathBuf> = files.filter(is_program).collect();
    files.sort();
    files
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn plain(wasm: &[u8]) {
    let mut jit = jit_module().expect("the host is known");
    let isa = jit_isa().expect("the host is known");
    rayon::in_place_scope(|scope| {
        let define = |_, function: Function| {
            let isa = &*isa;
            scope.spawn(move |_| {
                let mut context = Context::for_function(function);
                let compiled = context.compile(isa, &mut ControlPlane::default());
                compiled.unwrap_or_else(|error| panic!("{}", error.inner));
            });
        };
        translate_each(wasm, &mut jit, false, define).expect("it is valid");
    });
    // SAFETY: no function is defined in it.
    unsafe { jit.free_memory() }
}

fn inlined(wasm: &[u8], schedule: Schedule) {
    let options = Options {
        schedule,
        ..Options::default()
    };
    jit(wasm, &options).expect("it is valid");
}
