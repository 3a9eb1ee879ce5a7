//! Faults in debug information are found by the comparison of backtraces.
//!
//! A linked program has two builds, one without inlining. Each fault is put into the sections of
//! the other, in every place of its kind, as a mistake of the writer would be.

use super::builds::{Build, Order, REFERENCE};
use super::differences::difference;
use super::image::Image;
use super::programs::{Lines, Subject};
use super::session::{Host, LLDB, Machine, NATIVE, Stop};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::pass::Optimize;
use cranelift_inliner::program::{Attributes, FunctionName, InlineAttribute, Program};
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::generate::Generated;
use std::fs;
use std::ops::Range;
use std::path::Path;

const TEXT: &str = "\
function %leaf(i64, i64) -> i64 tail {
    fn0 = %first(i64) -> i64 system_v
    fn1 = %note(i64) system_v
block0(v0: i64, v1: i64):
    v2 = call fn0(v0)
    trapz v1, user2
    v3 = imul v2, v1
    call fn1(v3)
    return v3
}
function %ends() tail {
    fn0 = %bare() system_v
block0:
    call fn0()
    return
}
function %ends_too(i64) tail {
    fn0 = %bare() system_v
block0(v0: i64):
    trapz v0, user3
    call fn0()
    return
}
function %last(i64) -> i64 tail {
    fn0 = %note(i64) system_v
block0(v0: i64):
    v1 = imul v0, v0
    call fn0(v1)
    return v1
}
function %middle(i64, i64) -> i64 system_v {
    fn0 = %leaf(i64, i64) -> i64 tail
    fn1 = %second(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    v3 = imul v0, v1
    v4 = bxor v2, v3
    v5 = call fn0(v2, v0)
    v6 = call fn0(v3, v1)
    v7 = iadd v5, v4
    v8 = iadd v7, v3
    v9 = call fn1(v8)
    v10 = isub v9, v2
    v11 = iadd v10, v6
    v12 = imul v11, v7
    v13 = bxor v12, v8
    v14 = iadd v13, v0
    v15 = iadd v14, v1
    v16 = bxor v15, v4
    v17 = iadd v16, v5
    return v17
}
function %main(i64, i64) -> i64 system_v {
    fn0 = %middle(i64, i64) -> i64 system_v
    fn1 = %last(i64) -> i64 tail
    fn2 = %bare() system_v
    fn3 = %ends() tail
    fn4 = %ends_too(i64) tail
block0(v0: i64, v1: i64):
    v2 = bxor v0, v1
    v3 = iadd v0, v1
    v4 = call fn0(v0, v1)
    v5 = call fn1(v4)
    v6 = iadd v5, v2
    v7 = call fn0(v6, v3)
    v8 = iadd v7, v2
    v9 = iadd v8, v0
    call fn3()
    call fn2()
    call fn4(v9)
    call fn2()
    return v9
}
";

/// A change of the bytes of one number.
type Change = fn(&mut [u8]);

/// A fault: its description, the places that it changes, and the change.
type Fault = (&'static str, fn(&Image<'_>) -> Vec<Range<usize>>, Change);

const FAULTS: [Fault; 20] = [
    (
        "the line of a call is off by one",
        |image| image.of(INLINED, gimli::DW_AT_call_line),
        flip,
    ),
    (
        "the line of a call is far off",
        |image| image.of(INLINED, gimli::DW_AT_call_line),
        |bytes| bytes[0] ^= 0x20,
    ),
    (
        "a body is another function's",
        |image| image.of(INLINED, gimli::DW_AT_abstract_origin),
        |bytes| bytes.copy_from_slice(&[0; 4]),
    ),
    (
        "a body starts after its first bytes",
        |image| image.of(INLINED, gimli::DW_AT_low_pc),
        |bytes| add(bytes, 40),
    ),
    (
        "a body ends a byte early",
        |image| image.of(INLINED, gimli::DW_AT_high_pc),
        |bytes| add_varint(bytes, -1),
    ),
    (
        "a body ends too late",
        |image| image.of(INLINED, gimli::DW_AT_high_pc),
        |bytes| add_varint(bytes, 40),
    ),
    (
        "a body has another's ranges",
        |image| image.of(INLINED, gimli::DW_AT_ranges),
        |bytes| add(bytes, 16),
    ),
    (
        "ranges end a byte early",
        |image| image.ranges(1),
        |bytes| add(bytes, -1),
    ),
    (
        "ranges start late",
        |image| image.ranges(0),
        |bytes| add(bytes, 8),
    ),
    (
        "a function starts early",
        |image| image.of(gimli::DW_TAG_subprogram, gimli::DW_AT_low_pc),
        |bytes| add(bytes, -64),
    ),
    (
        "functions have another name",
        |image| image.of(gimli::DW_TAG_subprogram, gimli::DW_AT_name),
        |bytes| add(bytes, 1),
    ),
    (
        "variables have another name",
        |image| image.of(gimli::DW_TAG_variable, gimli::DW_AT_name),
        |bytes| add(bytes, 3),
    ),
    (
        "values are smaller",
        |image| image.of(gimli::DW_TAG_base_type, gimli::DW_AT_byte_size),
        |bytes| bytes[0] = 1,
    ),
    (
        "a variable is in another register",
        |image| image.registers(),
        |bytes| bytes[0] ^= 1,
    ),
    (
        "a variable is at another place of the frame",
        |image| image.frame_offsets(),
        |bytes| bytes[0] ^= 8,
    ),
    (
        "a variable keeps its place too long",
        |image| image.places(1),
        |bytes| add(bytes, 60),
    ),
    (
        "lines are off by one",
        |image| image.line_base(),
        |bytes| bytes[0] = bytes[0].wrapping_add(1),
    ),
    (
        "lines start too late",
        |image| image.line_starts(),
        |bytes| add(bytes, 7),
    ),
    (
        "a saved register is at another place",
        |image| image.saved_registers(),
        |bytes| bytes[1] ^= 1,
    ),
    (
        "the frame is at another place",
        |image| image.frame_sizes(),
        |bytes| bytes[1] ^= 8,
    ),
];

const INLINED: gimli::DwTag = gimli::DW_TAG_inlined_subroutine;

fn flip(bytes: &mut [u8]) {
    bytes[0] ^= 1;
}

fn add(bytes: &mut [u8], number: i64) {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let sum = i64::from_le_bytes(word).wrapping_add(number);
    let length = bytes.len();
    bytes.copy_from_slice(&sum.to_le_bytes()[..length]);
}

/// Adds to a number in groups of seven bits, without another length.
fn add_varint(bytes: &mut [u8], number: i64) {
    let low = i64::from(bytes[0] & 0x7f) + number;
    bytes[0] = bytes[0] & 0x80 | low.clamp(1, 0x7f) as u8;
}

fn subject() -> Subject {
    let mut program = Program::from_clif(TEXT, "faults.clif").unwrap();
    program.export_only(&["%main".parse().unwrap()]).unwrap();
    // The registers that it saves are those of its caller.
    let never = Attributes::default().with_inline(InlineAttribute::Never);
    let middle: FunctionName = "%middle".parse().unwrap();
    program.set_attributes(&middle, never).unwrap();
    let invocation = |one, two| Invocation {
        function: "%main".parse().unwrap(),
        arguments: vec![DataValue::I64(one), DataValue::I64(two)],
    };
    let generated = Generated {
        program,
        invocations: vec![invocation(3, 4), invocation(5, 0), invocation(-7, 9)],
    };
    Subject::new(&generated, Lines::Unique).unwrap()
}

/// Returns the stops of the build without inlining and of the other.
fn stops(host: &Host, machine: &Machine, folder: &Path) -> Option<[Vec<Vec<Stop>>; 2]> {
    let mut stops = host.stops_on(machine, folder)?;
    let other = stops.split_off(stops.len() / 2);
    Some([stops, other])
}

#[test]
fn every_fault_is_found_in_gdb() {
    assert_eq!(missed(&NATIVE), [""; 0]);
}

#[test]
fn seventeen_faults_are_found_in_lldb() {
    // With these, lldb 14 shows the same as without.
    const NOT_SEEN: [&str; 3] = [
        "ranges start late",
        "a variable keeps its place too long",
        "the frame is at another place",
    ];
    let mut missed = missed(&LLDB);
    missed.retain(|missed| !NOT_SEEN.iter().any(|fault| missed.starts_with(fault)));
    assert_eq!(missed, [""; 0]);
}

/// Returns the faults that the debugger does not show, with the number of their places.
fn missed(machine: &Machine) -> Vec<String> {
    if !machine.is_here() {
        return Vec::new();
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let subject = subject();
    let inlined = Build {
        policy: "always",
        optimize: Optimize::None,
        level: OptLevel::Speed,
        order: Order::Rounds,
    };
    let mut host = Host::default();
    for (number, build) in [REFERENCE, inlined].into_iter().enumerate() {
        let prefix = format!("entry_{number}_");
        fs::write(
            folder.join(format!("{number}.o")),
            build.object(&subject, 0, "x64", &prefix),
        )
        .unwrap();
        host.add_all(&subject, &prefix);
    }
    host.link(machine.compiler, machine.options, folder);
    let Some([expected, right]) = stops(&host, machine, folder) else {
        return Vec::new();
    };
    let differs = |actual: &[Vec<Stop>]| {
        let mut pairs = expected.iter().zip(actual);
        let mut at_entries = 0;
        pairs.any(|(one, other)| {
            let difference = difference(&subject, one, other, &mut at_entries);
            difference.is_some() || at_entries > 0
        })
    };
    assert!(!differs(&right));
    let program = fs::read(folder.join("host")).unwrap();
    let image = Image::of_entries(&program, "entry_0_2", "entry_1_0");
    let mut missed = Vec::new();
    for (what, places, change) in FAULTS {
        let places = places(&image);
        let mut bytes = program.clone();
        for place in &places {
            change(&mut bytes[place.clone()]);
        }
        if bytes == program {
            missed.push(format!("{what}: no place"));
            continue;
        }
        fs::write(folder.join("host"), &bytes).unwrap();
        let found = match host.try_stops_on(machine, folder) {
            Ok(mut stops) => differs(&stops.split_off(expected.len())),
            // gdb complains, or its output makes no sense.
            Err(_) => true,
        };
        if !found {
            missed.push(format!("{what}: {} places", places.len()));
        }
    }
    missed
}
