//! Random modules, compiled with and without inlining, against an interpreter: `wasmi`.
//!
//! The modules of `generated.modules` are always tried. `WASM_MODULES` names a file of more, or a
//! pipe, so that there can be any number:
//!
//! ```text
//! cargo run --release --manifest-path examples/wasm/modules/Cargo.toml -- 1000 100000 > pipe &
//! WASM_MODULES=pipe cargo test --release --workspace --all-features --test interpreter
//! ```

use cranelift_inliner::decide::Small;
use cranelift_inliner_wasm::{Error, Options, Policy, Schedule, jit};
use cranelift_inliner_wasm_runtime::{
    Exported, InstantiateError, Outcome, TrapKind, ValueType, Wasi,
};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;
use wasmi::{Engine, Linker, Module, Store, TrapCode, Val};

/// The visible behaviour of a module: the results of its exported functions one after the other,
/// and the final globals and memories of its instances. After a trap comes a new instance, since
/// the fuel may be used up.
#[derive(Debug, Default, PartialEq)]
struct Behavior {
    /// The reason why it could not be made ready.
    not_ready: Option<&'static str>,
    calls: Vec<(String, Result<Vec<u64>, &'static str>)>,
    left: Vec<(BTreeMap<String, u64>, u64)>,
}

/// How often each function is called.
const CALLS: usize = 2;

fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|&word| u64::from_le_bytes(word));
    let rest = rest.iter().map(|&byte| u64::from(byte));
    words.chain(rest).fold(bytes.len() as u64, |hash, word| {
        (hash ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29)
    })
}

/// Returns the arguments of a call: the same for both engines, different from call to call.
fn argument(call: usize, index: usize, ty: ValueType) -> u64 {
    let number = (call as u64 * 7 + index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match ty {
        ValueType::I32 => number >> 40,
        ValueType::I64 => number,
        ValueType::F32 => ((number >> 32) as i32 as f32).to_bits().into(),
        ValueType::F64 => (number as i64 as f64).to_bits(),
    }
}

fn trap_name(kind: TrapKind) -> &'static str {
    match kind {
        TrapKind::Unreachable => "unreachable",
        TrapKind::IntegerDivisionByZero => "division by zero",
        TrapKind::IntegerOverflow => "overflow",
        TrapKind::BadConversion => "conversion",
        TrapKind::MemoryOutOfBounds => "memory",
        TrapKind::TableOutOfBounds => "table",
        TrapKind::NullCall => "null",
        TrapKind::WrongSignature => "signature",
        TrapKind::StackOverflow => "stack",
        TrapKind::Exit => "exit",
        TrapKind::StoppedByDebugger => "debugger",
    }
}

fn wasmi_trap_name(error: &wasmi::Error) -> &'static str {
    match error.as_trap_code() {
        Some(TrapCode::UnreachableCodeReached) => "unreachable",
        Some(TrapCode::IntegerDivisionByZero) => "division by zero",
        Some(TrapCode::IntegerOverflow) => "overflow",
        Some(TrapCode::BadConversionToInteger) => "conversion",
        Some(TrapCode::MemoryOutOfBounds) => "memory",
        Some(TrapCode::TableOutOfBounds) => "table",
        Some(TrapCode::IndirectCallToNull) => "null",
        Some(TrapCode::BadSignature) => "signature",
        Some(TrapCode::StackOverflow) => "stack",
        // Of a segment that is out of bounds it tells otherwise than of an instruction.
        None if error.to_string().contains("table access") => "table",
        None if error.to_string().contains("memory access") => "memory",
        _ => panic!("wasmi says {error}"),
    }
}

/// Compiles and runs. `Ok(None)` if the compiler lacks a feature.
fn ours(wasm: &[u8], options: &Options<'_>) -> Option<Behavior> {
    let program = match jit(wasm, options) {
        Ok(program) => program,
        Err(Error::Unsupported { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    // The scan has told the stream all that the translation found.
    if let Some(report) = &program.compiled.report {
        let in_background = options.schedule == Schedule::InBackground;
        assert_eq!(report.is_from_background(), in_background);
    }
    let mut behavior = Behavior::default();
    // The interpreter tells the exports in another order.
    let mut exports: Vec<_> = program.compiled.image.exports.iter().collect();
    exports.sort_by_key(|export| &export.name);
    let mut calls = (0..CALLS).flat_map(|_| exports.iter()).enumerate();
    let mut trapped = true;
    while std::mem::take(&mut trapped) {
        let mut instance = match program.instantiate(Wasi::captured()) {
            Ok(instance) => instance,
            Err(error) => {
                behavior.not_ready = Some(match error {
                    InstantiateError::Segment(_, kind) => trap_name(kind),
                    InstantiateError::Start(trap) => trap_name(trap.kind),
                    other => panic!("{other}"),
                });
                return Some(behavior);
            }
        };
        for (call, export) in calls.by_ref() {
            let Exported::Function { params, .. } = &export.item else {
                continue;
            };
            let arguments = params.iter().enumerate();
            let arguments: Vec<u64> = arguments
                .map(|(index, &ty)| argument(call, index, ty))
                .collect();
            let (outcome, values) = instance
                .call(&export.name, &arguments)
                .expect("it is exported");
            let result = match outcome {
                Outcome::Returned => Ok(values),
                Outcome::Trapped(trap) => Err(trap_name(trap.kind)),
                Outcome::Exited(_) => Err("exit"),
            };
            trapped = result.is_err();
            behavior.calls.push((export.name.clone(), result));
            if trapped {
                break;
            }
        }
        let globals = exports
            .iter()
            .filter_map(|export| Some((export.name.clone(), instance.global(&export.name)?)));
        let globals = globals.collect();
        behavior.left.push((globals, hash(instance.memory())));
    }
    Some(behavior)
}

fn bits(value: &Val) -> Option<u64> {
    match value {
        Val::I32(value) => Some(u64::from(*value as u32)),
        Val::I64(value) => Some(*value as u64),
        Val::F32(value) => Some(value.to_bits().into()),
        Val::F64(value) => Some(value.to_bits()),
        _ => None,
    }
}

fn theirs(wasm: &[u8]) -> Behavior {
    let engine = Engine::default();
    let module = Module::new(&engine, wasm).expect("wasmi takes it");
    let mut behavior = Behavior::default();
    let mut exports: Vec<_> = module.exports().collect();
    exports.sort_by_key(|export| export.name());
    let mut calls = (0..CALLS).flat_map(|_| exports.iter()).enumerate();
    let mut trapped = true;
    while std::mem::take(&mut trapped) {
        let mut store = Store::new(&engine, ());
        let instance = match Linker::new(&engine).instantiate_and_start(&mut store, &module) {
            Ok(instance) => instance,
            Err(error) => {
                behavior.not_ready = Some(wasmi_trap_name(&error));
                return behavior;
            }
        };
        for (call, export) in calls.by_ref() {
            let Some(function) = instance.get_func(&store, export.name()) else {
                continue;
            };
            let ty = function.ty(&store);
            let arguments = ty.params().iter().enumerate();
            let arguments: Vec<Val> = arguments
                .map(|(index, ty)| their_argument(call, index, ty))
                .collect();
            let mut results = vec![Val::I32(0); ty.results().len()];
            let called = function.call(&mut store, &arguments, &mut results);
            let result = match called {
                Ok(()) => Ok(results.iter().filter_map(bits).collect()),
                Err(error) => Err(wasmi_trap_name(&error)),
            };
            trapped = result.is_err();
            behavior.calls.push((export.name().to_owned(), result));
            if trapped {
                break;
            }
        }
        let globals = exports.iter().filter_map(|export| {
            let global = instance.get_global(&store, export.name())?;
            let value = bits(&global.get(&store)).expect("a number");
            Some((export.name().to_owned(), value))
        });
        let globals = globals.collect();
        let memories = exports.iter();
        let mut memories = memories.filter_map(|export| instance.get_memory(&store, export.name()));
        let memory = memories.next_back();
        let memory = hash(memory.as_ref().map_or(&[], |memory| memory.data(&store)));
        behavior.left.push((globals, memory));
    }
    behavior
}

fn their_argument(call: usize, index: usize, ty: &wasmi::ValType) -> Val {
    let bits = |ty| argument(call, index, ty);
    match ty {
        wasmi::ValType::I32 => Val::I32(bits(ValueType::I32) as i32),
        wasmi::ValType::I64 => Val::I64(bits(ValueType::I64) as i64),
        wasmi::ValType::F32 => Val::F32(wasmi::F32::from_bits(bits(ValueType::F32) as u32)),
        wasmi::ValType::F64 => Val::F64(wasmi::F64::from_bits(bits(ValueType::F64))),
        other => panic!("a parameter of type {other:?}"),
    }
}

fn policies() -> [Policy; 4] {
    let small = Policy::Small(Small::default());
    [Policy::None, small, Policy::default(), Policy::Always]
}

const SCHEDULES: [Schedule; 3] = [
    Schedule::InTurn,
    Schedule::InBackground,
    Schedule::InParallel,
];

#[derive(Debug, Default)]
struct Tally {
    modules: usize,
    unsupported: usize,
    not_ready: usize,
    overflows: usize,
    calls: usize,
    traps: BTreeMap<&'static str, usize>,
}

/// Compares all modules of a file with one policy after the other, from module to module.
fn compare(file: impl Read, all_policies: bool) -> Tally {
    let mut file = BufReader::new(file);
    let all = policies();
    let mut tally = Tally::default();
    loop {
        let mut len = [0; 4];
        match file.read_exact(&mut len) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return tally,
            read => read.expect("the file can be read"),
        }
        let mut wasm = vec![0; u32::from_le_bytes(len) as usize];
        file.read_exact(&mut wasm).expect("the module is whole");
        let turn = tally.modules % all.len();
        let policies = match all_policies {
            true => &all[..],
            false => &all[turn..=turn],
        };
        let number = tally.modules;
        tally.modules += 1;
        let mut expected = None;
        for &policy in policies {
            let optimize = number % 2 == 0;
            let options = Options {
                policy,
                optimize,
                schedule: SCHEDULES[number / 4 % SCHEDULES.len()],
                ..Options::default()
            };
            let Some(ours) = ours(&wasm, &options) else {
                tally.unsupported += 1;
                break;
            };
            let expected = expected.get_or_insert_with(|| theirs(&wasm));
            // How deep is too deep is up to an engine.
            if overflows(&ours) || overflows(expected) {
                tally.overflows += 1;
                continue;
            }
            assert_same(&ours, expected, number, policy, &wasm);
            tally.not_ready += usize::from(ours.not_ready.is_some());
            tally.calls += ours.calls.len();
            for (_, call) in &ours.calls {
                if let Err(trap) = call {
                    *tally.traps.entry(trap).or_default() += 1;
                }
            }
        }
    }
}

fn overflows(behavior: &Behavior) -> bool {
    let mut calls = behavior.calls.iter();
    behavior.not_ready == Some("stack") || calls.any(|(_, call)| *call == Err("stack"))
}

fn assert_same(ours: &Behavior, theirs: &Behavior, number: usize, how: impl Debug, wasm: &[u8]) {
    if ours != theirs {
        let path = std::env::temp_dir().join(format!("different-{number}.wasm"));
        std::fs::write(&path, wasm).expect("the module can be kept");
        panic!(
            "module {number} ({}), {how:?}\nours:   {ours:?}\ntheirs: {theirs:?}",
            path.display()
        );
    }
}

#[test]
fn generated_modules_behave_as_in_an_interpreter() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated.modules");
    let tally = compare(File::open(path).expect("it is in the repository"), true);
    println!("{tally:?}");
    // Little would be compared if most modules were refused, or trapped at once.
    assert!(tally.unsupported * 4 < tally.modules, "{tally:?}");
    assert!(tally.overflows * 4 < tally.modules, "{tally:?}");
    let traps: usize = tally.traps.values().sum();
    assert!((tally.calls - traps) * 4 > tally.calls, "{tally:?}");
}

#[test]
fn many_more_modules_behave_as_in_an_interpreter() {
    if let Some(path) = std::env::var_os("WASM_MODULES") {
        let tally = compare(File::open(path).expect("WASM_MODULES can be read"), false);
        println!("{tally:?}");
        assert!(tally.modules > 0);
    }
}

/// Generated modules seldom have that many.
#[test]
fn many_results_are_those_of_an_interpreter() {
    let types = "(param i64 f64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 f64 i32 f32 i64 f64)";
    let values: String = (1..10)
        .map(|factor| format!("(i64.mul (local.get 0) (i64.const {factor}))"))
        .collect();
    let drops = "(drop)".repeat(11);
    let text = format!(
        r#"(module
            (type $many (func {types}))
            (memory (export "memory") 1)
            (global (export "global") (mut i64) (i64.const 7))
            (table funcref (elem $many))
            (func $many (export "many") {types}
                {values} (local.get 1) (i32.const 5) (f32.demote_f64 (local.get 1))
                (i64.add (global.get 0) (local.get 0)) (f64.neg (local.get 1)))
            (func (export "branch") {types}
                (local.get 0) (local.get 1)
                (block (type $many) (call $many)
                    (br_if 0 (i64.eqz (global.get 0))) (return)))
            (func (export "through a table") {types}
                (call_indirect (type $many) (local.get 0) (local.get 1) (i32.const 0)))
            (func (export "twice") {types} (local i64)
                (call $many (local.get 0) (local.get 1))
                (drop) (global.set 0) {drops} (local.set 2)
                (call $many (local.get 2) (local.get 1))))"#
    );
    let wasm = wat::parse_str(text).expect("the text is right");
    let mut file = (wasm.len() as u32).to_le_bytes().to_vec();
    file.extend(wasm);
    let tally = compare(&file[..], true);
    assert_eq!(
        (tally.calls, tally.traps.len()),
        (4 * 4 * CALLS, 0),
        "{tally:?}"
    );
}
