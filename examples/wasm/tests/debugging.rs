//! A debugger in the process sees the same program, inlined or not.
//!
//! Programs are compiled for debugging, in Wasmtime's form of tags: before each instruction is a
//! call that stops for the debugger. At a stop the stack is walked with the frame table of the
//! code, and the slots of all frames are read. Frames, program counters, shapes, keys and contents
//! must be those of the run without inlining.
//!
//! The programs of `programs/` and the random modules of `generated.modules` are run, a few of them
//! by default. `DEBUG_ALL` runs all with more stops.

use cranelift_inliner::decide::{CostModel, Small};
use cranelift_inliner::frames::{FrameTableReader, WasmtimeFrames};
use cranelift_inliner_testing::execute::Snapshot;
use cranelift_inliner_testing::trace::{Tag, VirtualStack, WrittenBytes};
use cranelift_inliner_wasm::{JitProgram, Options, Policy, jit};
use cranelift_inliner_wasm_runtime::{Exported, Outcome, Stop, ValueType, Wasi};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::rc::Rc;

fn is_all() -> bool {
    std::env::var_os("DEBUG_ALL").is_some()
}

/// Returns the ways to build a program: the policy, and whether all functions are optimized.
fn ways() -> Vec<(Policy, bool)> {
    let (small, cost) = (
        Policy::Small(Small::default()),
        Policy::Cost(CostModel::default()),
    );
    let mut ways = vec![(Policy::Always, true), (cost, true)];
    if is_all() {
        let more = [
            (Policy::None, true),
            (Policy::Always, false),
            (small, true),
            (cost, false),
        ];
        ways.extend(more);
    }
    ways
}

fn build(wasm: &[u8], (policy, optimize): (Policy, bool)) -> Option<JitProgram> {
    let options = Options {
        policy,
        optimize,
        debug: true,
        ..Options::default()
    };
    jit(wasm, &options).ok()
}

type Frames = Vec<Vec<Tag>>;

/// A run as the debugger sees it.
#[derive(Default)]
struct Seen {
    /// The number of all stops.
    stops: usize,
    /// The stacks at some of them, outermost frames first.
    stacks: Vec<Result<Frames, String>>,
    outcomes: Vec<(Outcome, Vec<u64>)>,
    output: Vec<u8>,
}

/// The stops of one run.
struct Stops {
    /// The stacks at the first stops are kept, and then at every 61st.
    first: usize,
    /// The program ends at the last.
    last: usize,
}

/// Runs `_start`, or else all exported functions with some arguments.
fn run(program: &JitProgram, table: &[u8], text: u64, stops: &Stops) -> Seen {
    let source = program
        .compiled
        .report
        .as_ref()
        .expect("it is there for debugging");
    let written = WrittenBytes::of(source.program(), &WasmtimeFrames);
    let seen = Rc::new(RefCell::new(Seen::default()));
    let Ok(mut instance) = program.instantiate(Wasi::captured()) else {
        return Seen::default();
    };
    let (sight, table) = (Rc::clone(&seen), table.to_vec());
    let (first, last) = (stops.first, stops.last);
    instance.set_debugger(move |stop| {
        let seen = &mut *sight.borrow_mut();
        let number = seen.stops;
        seen.stops += 1;
        if number < first || number.is_multiple_of(61) {
            let table = FrameTableReader::new(&table).map_err(|error| error.to_string());
            let stack = table.and_then(|table| view(table, text, stop, &written));
            seen.stacks.push(stack);
        }
        seen.stops < last
    });
    let image = &program.compiled.image;
    let functions = image
        .exports
        .iter()
        .filter_map(|export| match &export.item {
            Exported::Function { params, .. } => Some((&export.name, params)),
            _ => None,
        });
    let functions: Vec<_> = functions.collect();
    let start = functions.iter().find(|(name, _)| *name == "_start");
    let calls = match start {
        Some(&start) => vec![start],
        None => functions,
    };
    for (name, params) in calls {
        let arguments = params
            .iter()
            .zip(3..)
            .map(|(ty, number): (_, u64)| match ty {
                ValueType::F32 => (number as f32).to_bits().into(),
                ValueType::F64 => (number as f64).to_bits(),
                ValueType::I32 | ValueType::I64 => number,
            });
        let arguments: Vec<u64> = arguments.collect();
        let (outcome, values) = instance.call(name, &arguments).expect("it is exported");
        let outcome = match outcome {
            // The frames of a trap tell which of them were inlined.
            Outcome::Trapped(mut trap) => {
                trap.frames
                    .iter_mut()
                    .for_each(|frame| frame.inlined = false);
                Outcome::Trapped(trap)
            }
            other => other,
        };
        let values = match outcome {
            Outcome::Returned => values,
            _ => Vec::new(),
        };
        let is_over = seen.borrow().stops >= last;
        seen.borrow_mut().outcomes.push((outcome, values));
        if is_over {
            break;
        }
    }
    let output = instance.output().to_vec();
    drop(instance);
    let mut seen = seen.take();
    seen.output = output;
    seen
}

/// Returns the frames on the stack of a stopped program.
fn view(
    table: FrameTableReader<'_>,
    text: u64,
    stop: &Stop,
    written: &WrittenBytes,
) -> Result<Frames, String> {
    let (base, bytes) = stop.stack();
    let snapshot = Snapshot {
        pc: stop.pc,
        fp: stop.fp,
        base,
        stack: bytes,
    };
    let stack = VirtualStack::read(table, text, &snapshot);
    let mut stack = stack.map_err(|error| error.to_string())?;
    if !stack.is_complete {
        return Err("a frame has no tags".to_owned());
    }
    written.clear_others(&mut stack);
    // The first word is the address of the context, which differs from run to run: it is compared
    // with that of the outermost frame.
    let context = |frame: &[Tag]| match frame.first() {
        Some(Tag::Slot { value, .. }) => value.get(..8).map(<[u8]>::to_vec),
        _ => None,
    };
    let outermost = stack.frames.first().and_then(|frame| context(frame));
    for frame in &mut stack.frames {
        if let Some(Tag::Slot { value, .. }) = frame.first_mut()
            && let Some(word) = value.get_mut(..8)
        {
            let is_same = Some(&*word) == outermost.as_deref();
            word.fill(u8::from(is_same));
        }
    }
    Ok(stack.frames)
}

/// Returns the first difference.
fn difference(expected: &Seen, actual: &Seen) -> Option<String> {
    let stacks = expected.stacks.iter().zip(&actual.stacks);
    for (index, (expected, actual)) in stacks.enumerate() {
        if expected != actual {
            return Some(format!(
                "stack {index}\n{expected:?}\ninstead of\n{actual:?}"
            ));
        }
    }
    if (expected.stops, &expected.outcomes) != (actual.stops, &actual.outcomes) {
        return Some(format!(
            "{} stops, {:?}\ninstead of {}, {:?}",
            expected.stops, expected.outcomes, actual.stops, actual.outcomes
        ));
    }
    (expected.output != actual.output).then(|| "the output differs".to_owned())
}

#[derive(Default)]
struct Tally {
    runs: usize,
    stops: usize,
    compared: usize,
    frames: usize,
    inlined: usize,
    deepest: usize,
    /// By the number of the module, the key, and the program counter.
    places: BTreeSet<(usize, u64, u32)>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs with {} inlined calls, {} stops, of which {} compared, with {} frames, at most {} \
             at once, at {} places",
            self.runs,
            self.inlined,
            self.stops,
            self.compared,
            self.frames,
            self.deepest,
            self.places.len()
        )
    }
}

/// Compares all ways with the one without inlining.
fn compare(module: usize, name: &str, wasm: &[u8], stops: &Stops, tally: &mut Tally) {
    let Some(plain) = build(wasm, (Policy::None, false)) else {
        return;
    };
    let (table, text) = plain.frame_table().expect("the tags have the form");
    let expected = run(&plain, table.bytes(), text, stops);
    for way in ways() {
        let program = build(wasm, way).expect("it was built before");
        let (table, text) = program.frame_table().expect("the tags have the form");
        table.reader().validate().expect("the table was just made");
        let actual = run(&program, table.bytes(), text, stops);
        if let Some(difference) = difference(&expected, &actual) {
            panic!("{name}, {way:?}: {difference}");
        }
        let report = program.compiled.report.as_ref().expect("there is one");
        tally.inlined += report.inlined().sites().filter(|site| site.inlined).count();
        tally.runs += 1;
        tally.stops += actual.stops;
        tally.compared += actual.stacks.len();
        let frames = actual.stacks.iter().flatten().map(Vec::len);
        tally.frames += frames.sum::<usize>();
    }
    for stack in &expected.stacks {
        let stack = stack.as_ref().expect("the stack can be read");
        tally.deepest = tally.deepest.max(stack.len());
        for frame in stack {
            if let [Tag::Slot { key: Some(key), .. }, Tag::User(pc), _] = frame[..] {
                tally.places.insert((module, key, pc));
            }
        }
    }
}

#[test]
fn programs_look_the_same_to_a_debugger() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let expected = fs::read_to_string(folder.join("expected.txt")).expect("it is there");
    let mut names: Vec<&str> = expected
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let stops = match is_all() {
        true => Stops {
            first: 2000,
            last: 200_000,
        },
        false => {
            names.retain(|name| ["json", "regex"].contains(name));
            Stops {
                first: 300,
                last: 10_000,
            }
        }
    };
    let mut tally = Tally::default();
    for (number, name) in names.iter().enumerate() {
        let wasm = fs::read(folder.join(format!("{name}.wasm"))).expect("it is there");
        compare(number, name, &wasm, &stops, &mut tally);
    }
    println!("{tally}");
    assert!(tally.inlined > 100 && tally.deepest > 3, "{tally}");
}

fn generated() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated.modules");
    let mut bytes = &fs::read(path).expect("it is in the repository")[..];
    let mut modules = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (module, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        modules.push(module.to_vec());
        bytes = rest;
    }
    modules
}

#[test]
fn generated_modules_look_the_same_to_a_debugger() {
    let mut modules = generated();
    if !is_all() {
        modules.truncate(12);
    }
    let stops = Stops {
        first: 200,
        // Some modules do nothing but call themselves, and then stacks are deep.
        last: 3000,
    };
    let mut tally = Tally::default();
    for (number, wasm) in modules.iter().enumerate() {
        compare(
            number,
            &format!("module {number}"),
            wasm,
            &stops,
            &mut tally,
        );
    }
    println!("{tally}");
    assert!(tally.compared > 500 && tally.inlined > 10, "{tally}");
}

/// Three functions, of which the innermost runs twice.
const NESTED: &str = r#"(module
    (func $leaf (param i32 i64) (result i64) (local f64)
        (local.set 2 (f64.convert_i32_s (local.get 0)))
        (i64.add (local.get 1) (i64.trunc_f64_s (f64.mul (local.get 2) (f64.const 1.5)))))
    (func $middle (param i32) (result i64) (local i64)
        (local.set 1 (i64.const 77))
        (i64.mul (call $leaf (local.get 0) (local.get 1)) (call $leaf (i32.const 5) (i64.const 6))))
    (func (export "main") (param i32) (result i64) (local i32)
        (local.set 1 (i32.const 9))
        (i64.add (i64.const 1) (call $middle (i32.add (local.get 0) (local.get 1))))))"#;

#[test]
fn every_fault_in_the_places_of_slots_is_noticed() {
    let wasm = wat::parse_str(NESTED).expect("the text is right");
    let stops = Stops {
        first: 1000,
        last: 1000,
    };
    let plain = build(&wasm, (Policy::None, false)).expect("it is valid");
    let (table, text) = plain.frame_table().expect("the tags have the form");
    let expected = run(&plain, table.bytes(), text, &stops);
    assert_eq!(
        expected.outcomes[0],
        (Outcome::Returned, vec![(12 + 6 + 77) * 13 + 1])
    );

    let program = build(&wasm, (Policy::Always, true)).expect("it is valid");
    let (table, text) = program.frame_table().expect("the tags have the form");
    let actual = run(&program, table.bytes(), text, &stops);
    assert_eq!(difference(&expected, &actual), None);
    // The format is in docs/FRAMES.md.
    let word = |at: usize| {
        let bytes = table.bytes()[at..]
            .first_chunk()
            .expect("it is in the header");
        u32::from_le_bytes(*bytes) as usize
    };
    let (functions, points, frames, slots) = (word(16), word(20), word(28), word(36));
    let places = 64 + 16 * functions + 8 * points.div_ceil(32) + 4 * frames.div_ceil(16);
    // In `main` are the slots of all bodies, and copies of one share them.
    assert!(slots >= 3, "{slots}");
    for slot in 0..slots {
        for (field, by) in [
            (0, 1),
            (0, 8_u32.wrapping_neg()),
            (4, 1),
            (4, u32::MAX),
            (8, 1),
        ] {
            let mut bytes = table.bytes().to_vec();
            let at = places + 12 * slot + field;
            let old = word(at) as u32;
            let changed = old.wrapping_add(by);
            bytes[at..at + 4].copy_from_slice(&changed.to_le_bytes());
            let actual = run(&program, &bytes, text, &stops);
            assert!(
                difference(&expected, &actual).is_some(),
                "slot {slot}, byte {field}: {old} is {changed}"
            );
        }
    }
}
