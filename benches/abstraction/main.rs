//! Run time of programs with small functions, records, options, closures and iterators, compared
//! with the same programs written by hand in plain loops and values.
//!
//! ```text
//! cargo bench --bench abstraction
//! cargo bench --bench abstraction -- --rounds 31 --program iterator
//! cargo bench --bench abstraction -- --write folder
//! ```
//!
//! Each program runs as four variants, interleaved: compiled without inlining, inlined, inlined and
//! optimized, and written by hand (compiled without inlining). A figure is the least thread CPU
//! time of all rounds, or the median where the table says so. Code sizes are those of an object
//! file. `valgrind --tool=callgrind`, if installed, counts the instructions executed while
//! compiling. `--write` runs nothing and writes the CLIF and the object files into a folder.

mod build;
mod counts;
mod programs;
mod table;

#[path = "../../examples/expressions/mod.rs"]
mod expressions;

use build::{Code, Variant};
use cpu_time::ThreadTime;
use programs::{PROGRAMS, Program};
use std::path::PathBuf;
use std::time::Duration;
use table::Row;

/// With fewer rounds the least time still varies from run to run.
const ROUNDS: usize = 15;

fn main() {
    let mut rounds = ROUNDS;
    let mut wanted = String::new();
    let mut folder = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                rounds = arguments
                    .next()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(ROUNDS)
            }
            "--program" => wanted = arguments.next().unwrap_or_default(),
            "--write" => folder = arguments.next().map(PathBuf::from),
            counts::CHILD => return counts::run_child(arguments),
            _ => {}
        }
    }
    let programs = PROGRAMS.iter();
    let programs = programs.filter(|program| program.name.contains(&wanted));
    if let Some(folder) = folder {
        for program in programs {
            build::write(program, &folder).unwrap();
        }
        return;
    }
    let rows: Vec<Row> = programs.map(|program| measure(program, rounds)).collect();
    table::print(&rows);
    match counts::count() {
        Ok(counts) => table::print_counts(counts),
        Err(reason) => println!("instructions of compiling are not counted: {reason}"),
    }
}

fn measure(program: &Program, rounds: usize) -> Row {
    let codes = Variant::ALL.map(|variant| Code::new(program, variant));
    let mut times: [Vec<Duration>; 4] = Default::default();
    let mut expected = None;
    for round in 0..rounds {
        for turn in 0..codes.len() {
            // Another variant is first in each round.
            let index = (round + turn) % codes.len();
            let start = ThreadTime::now();
            let result = codes[index].run(program.argument);
            times[index].push(start.elapsed());
            let expected = *expected.get_or_insert(result);
            assert_eq!(
                result,
                expected,
                "{}: {:?}",
                program.name,
                Variant::ALL[index]
            );
        }
    }
    Row {
        name: program.name,
        times: times.map(table::Times::new),
        bytes: Variant::ALL.map(|variant| build::code_bytes(program, variant)),
    }
}
