//! gdb shows the frames that the backtrace table and the frame table have, and faults in the tables
//! are found by that.

mod backtraces;
mod bytes;
mod compare;
mod faults;
mod frames;
mod tagged;

use super::builds::{Build, REFERENCE, Unit, builds};
use super::programs::{Subject, generated, shape};
use super::session::{AARCH64, Host, Machine, NATIVE, Stop, number};
use super::shipped;
use super::trees::first;
use backtraces::Backtraces;
use compare::{Compared, Stack, Tables, shown_name};
use cranelift_codegen::entity::EntityRef;
use cranelift_inliner::backend::{default_symbol, emit_object};
use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces, add_backtrace_section};
use cranelift_inliner::frames::{
    CountedFrames, FrameTableBuilder, add_frame_section, text_offsets,
};
use cranelift_module::FuncId;
use cranelift_object::ObjectProduct;
use faults::{Fault, IN_BACKTRACES, IN_FRAMES};
use frames::Frames;
use object::{Object, ObjectSection, ObjectSymbol};
use std::fs;
use std::path::Path;

/// The code has its addresses in the linked file.
const ON_X64: Machine = Machine {
    options: &["-no-pie"],
    keeps_stacks: true,
    ..NATIVE
};

const ON_AARCH64: Machine = Machine {
    keeps_stacks: true,
    ..AARCH64
};

/// The builds of each program, besides the one without inlining.
const BUILDS: usize = 3;

/// The programs.
const PROGRAMS: u64 = 40;

/// A build of a program in the host.
struct Built {
    subject: usize,
    build: Build,
    prefix: String,
    functions: Vec<String>,
    /// From the start of the text to the code of the first entry.
    entry: u64,
    runs: Vec<usize>,
}

/// Adds both tables of the functions `units` to their object file. Returns the offset of the code
/// of the first entry.
fn add_tables(product: &mut ObjectProduct, units: &[Unit], subject: &Subject, prefix: &str) -> u64 {
    let offsets = text_offsets(product, (0..units.len()).map(FuncId::new)).unwrap();
    let backtraces: Vec<FunctionBacktraces> = units
        .iter()
        .map(|unit| FunctionBacktraces::of(&unit.code, &unit.locations).unwrap())
        .collect();
    let table = BacktraceTable::link(offsets.iter().copied().zip(&backtraces)).unwrap();
    let symbol = format!("{prefix}backtraces");
    add_backtrace_section(product, &table, Some(&symbol)).unwrap();
    let mut builder = FrameTableBuilder::new(CountedFrames);
    for (_, function) in subject.program.iter() {
        let name = shown_name(function.name());
        builder
            .describe_slots(function.body(), |_, _| Some(name.as_bytes()))
            .unwrap();
    }
    for (identity, unit) in (0..).zip(units) {
        builder.add(identity, &unit.code).unwrap();
    }
    let table = builder.link(|identity| Some(offsets[identity as usize]));
    let symbol = format!("{prefix}frames");
    add_frame_section(product, &table.unwrap(), Some(&symbol)).unwrap();
    let entry = units
        .iter()
        .position(|unit| name(unit) == "entry0")
        .unwrap();
    offsets[entry]
}

fn name(unit: &Unit) -> String {
    default_symbol(unit.code.name())
}

fn build_all(subjects: &[Subject], host: &mut Host, target: &str, folder: &Path) -> Vec<Built> {
    let all = builds();
    let mut built = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let seed = first() + number as u64;
        let others = (0..BUILDS).map(|at| all[(seed as usize * BUILDS + at) % all.len()]);
        for (at, build) in [REFERENCE].into_iter().chain(others).enumerate() {
            let prefix = format!("entry_{number}_{at}_");
            let (mut product, units) = build.product(subject, seed, target, &prefix);
            let entry = add_tables(&mut product, &units, subject, &prefix);
            let object = emit_object(product).unwrap();
            fs::write(folder.join(format!("{number}_{at}.o")), object).unwrap();
            built.push(Built {
                subject: number,
                build,
                entry,
                functions: units.iter().map(name).collect(),
                runs: host.add_all(subject, &prefix),
                prefix,
            });
        }
    }
    built
}

/// Returns the tables of each build from the linked program.
fn read_tables<'a>(program: &[u8], built: &'a [Built], subjects: &'a [Subject]) -> Vec<Tables<'a>> {
    let file = object::File::parse(program).unwrap();
    let address = |symbol: &str| file.symbol_by_name(symbol).unwrap().address();
    let table = |symbol: &str| {
        let symbol = file.symbol_by_name(symbol).unwrap();
        let section = symbol.section_index().unwrap();
        let section = file.section_by_index(section).unwrap();
        let start = (symbol.address() - section.address()) as usize;
        section.data().unwrap()[start..start + symbol.size() as usize].to_vec()
    };
    let tables = built.iter().map(|built| Tables {
        subject: &subjects[built.subject],
        text: address(&format!("{}0", built.prefix)) - built.entry,
        functions: &built.functions,
        backtraces: table(&format!("{}backtraces", built.prefix)),
        frames: table(&format!("{}frames", built.prefix)),
    });
    tables.collect()
}

/// Returns the stacks in the order of the stops.
fn read_stacks(folder: &Path) -> Vec<Stack> {
    let text = fs::read_to_string(folder.join("stacks.txt")).unwrap();
    let stacks = text.lines().map(|line| {
        let (start, bytes) = line.split_once(' ').unwrap();
        let digits = bytes.as_bytes().as_chunks::<2>().0;
        let bytes = digits.iter().map(|digits| {
            let digits = std::str::from_utf8(digits).unwrap();
            u8::from_str_radix(digits, 16).unwrap()
        });
        Stack {
            start: number(start),
            bytes: bytes.collect(),
        }
    });
    stacks.collect()
}

/// A stop of a build, with the stack.
type Seen<'a> = (usize, &'a Stop, &'a Stack);

/// Returns whether a fault is found at any stop; `None` if there is no place for it.
fn is_found<T: Clone + PartialEq>(
    fault: Fault<T>,
    contents: &[T],
    seen: &[Seen<'_>],
    tables: &mut [Tables<'_>],
    write: impl Fn(&T, &mut Tables<'_>),
) -> Option<bool> {
    let mut has_place = false;
    for (content, tables) in contents.iter().zip(&mut *tables) {
        let mut wrong = content.clone();
        (fault.1)(&mut wrong);
        has_place |= wrong != *content;
        write(&wrong, tables);
    }
    let mut compared = Compared::default();
    let found = seen.iter().any(|(at, stop, stack)| {
        let difference = tables[*at].difference(stop, stack, &mut compared);
        difference.is_some() || compared.at_entries > 0
    });
    for (content, tables) in contents.iter().zip(tables) {
        write(content, tables);
    }
    has_place.then_some(found)
}

/// Programs that ran in gdb.
struct Run<'a> {
    subjects: &'a [Subject],
    built: Vec<Built>,
    stops: Vec<Vec<Stop>>,
    stacks: Vec<Stack>,
    program: Vec<u8>,
}

impl<'a> Run<'a> {
    /// Returns `None` where that is not possible.
    fn of(subjects: &'a [Subject], mut host: Host, machine: &Machine) -> Option<Self> {
        if !machine.is_here() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let built = build_all(subjects, &mut host, machine.target, folder);
        host.link(machine.compiler, machine.options, folder);
        let stops = host.stops_on(machine, folder)?;
        let stacks = read_stacks(folder);
        assert_eq!(stacks.len(), stops.iter().map(Vec::len).sum::<usize>());
        let program = fs::read(folder.join("host")).unwrap();
        Some(Run {
            subjects,
            built,
            stops,
            stacks,
            program,
        })
    }

    fn seen(&self) -> Vec<Seen<'_>> {
        let mut stacks = self.stacks.iter();
        let mut seen = Vec::new();
        for (at, built) in self.built.iter().enumerate() {
            for stop in built.runs.iter().flat_map(|&run| &self.stops[run]) {
                seen.push((at, stop, stacks.next().unwrap()));
            }
        }
        seen
    }

    /// Compares all stops, and returns the numbers of frames.
    fn compare(&self) -> Compared {
        let tables = read_tables(&self.program, &self.built, self.subjects);
        let (mut compared, mut differences) = (Compared::default(), Vec::new());
        let seen = self.seen();
        for (at, stop, stack) in &seen {
            if let Some(difference) = tables[*at].difference(stop, stack, &mut compared) {
                let Built { subject, build, .. } = &self.built[*at];
                differences.push(format!("{subject} {build:?}: {difference}\n{stop:x?}"));
            }
        }
        let programs = self.subjects.len();
        eprintln!("{programs} programs, {} stops, {compared:?}", seen.len());
        for difference in differences.iter().take(10) {
            eprintln!("{difference}");
        }
        assert_eq!(differences.len(), 0);
        compared
    }
}

/// Returns tagged programs from the number `first` on.
fn tagged_from(first: u64) -> Vec<Subject> {
    let seeds = first..first + PROGRAMS;
    seeds
        .filter_map(|seed| tagged::tagged(&generated(seed, &shape())?))
        .collect()
}

#[test]
fn gdb_shows_the_frames_of_both_tables() {
    compare_from(first() + PROGRAMS, &ON_X64);
}

#[test]
fn gdb_shows_the_frames_of_both_tables_on_aarch64() {
    compare_from(first() + 2 * PROGRAMS, &ON_AARCH64);
}

fn compare_from(first: u64, machine: &Machine) {
    let subjects = tagged_from(first);
    if let Some(run) = Run::of(&subjects, Host::default(), machine) {
        let compared = run.compare();
        assert!(compared.slots > 0 && compared.slots == compared.tagged);
    }
}

#[test]
fn gdb_shows_the_frames_of_both_tables_of_the_shipped_programs() {
    let programs = shipped::generated();
    let subjects: Vec<Subject> = programs
        .iter()
        .map(|(_, program)| tagged::tagged(program).unwrap())
        .collect();
    if let Some(run) = Run::of(&subjects, Host::stopping_first(20), &ON_X64) {
        let compared = run.compare();
        assert!(compared.slots > 500 && compared.slots == compared.tagged);
    }
}

/// These programs execute all that the faults are put into.
#[test]
fn every_fault_in_the_tables_is_found() {
    let subjects = tagged_from(0);
    let Some(run) = Run::of(&subjects, Host::default(), &ON_X64) else {
        return;
    };
    assert_eq!(run.compare().at_entries, 0);
    let seen = run.seen();
    let mut tables = read_tables(&run.program, &run.built, run.subjects);
    let mut missed = Vec::new();
    let contents = tables
        .iter()
        .map(|tables| Backtraces::read(&tables.backtraces));
    let contents: Vec<Backtraces> = contents.collect();
    for (content, tables) in contents.iter().zip(&tables) {
        assert_eq!(content.write(), tables.backtraces);
    }
    for fault in IN_BACKTRACES {
        let write = |content: &Backtraces, tables: &mut Tables<'_>| {
            tables.backtraces = content.write();
        };
        let found = is_found(fault, &contents, &seen, &mut tables, write);
        missed.extend((found != Some(true)).then_some((fault.0, found)));
    }
    let contents = tables.iter().map(|tables| Frames::read(&tables.frames));
    let contents: Vec<Frames> = contents.collect();
    for (content, tables) in contents.iter().zip(&tables) {
        assert_eq!(content.write(), tables.frames);
    }
    for fault in IN_FRAMES {
        let write = |content: &Frames, tables: &mut Tables<'_>| tables.frames = content.write();
        let found = is_found(fault, &contents, &seen, &mut tables, write);
        missed.extend((found != Some(true)).then_some((fault.0, found)));
    }
    assert_eq!(missed, []);
}
