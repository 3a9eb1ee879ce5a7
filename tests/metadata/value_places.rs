//! The code in which DWARF gives a value a place: the value must be there at each instruction, also
//! at those between two instructions of the program.

use super::dwarf::read;
use cranelift_codegen::ir::types;
use cranelift_inliner::backend::{
    CompiledFunction, ObjectFunction, ObjectLinkage, TargetSettings, build_object, default_symbol,
    target,
};
use cranelift_inliner::debug_info::{
    ClifLines, ClifValues, DebugFunction, DebugInfo, VariableEncoding, value_type,
};
use cranelift_inliner::decide::Never;
use cranelift_inliner::locations::{CodeLocations, LocationMode};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use std::ops::Range;

const TEXT: &str = "\
function %f(i64, i64) -> i64 system_v {
    fn0 = %host(i64) -> i64 system_v
block0(v0: i64, v1: i64):
@0001   v2 = bxor v0, v1
@0002   v3 = call fn0(v2)
@0003   v4 = isub v0, v3
@0004   v5 = icmp slt v4, v1
@0005   brif v5, block1, block2
block1:
@0006   v6 = imul v4, v3
@0007   v7 = rotl v6, v1
@0008   jump block3(v7, v4, v6, v3)
block2:
@0009   v8 = isub v3, v4
@000a   jump block3(v4, v8, v8, v1)
block3(v9: i64, v10: i64, v17: i64, v18: i64):
@000b   v11 = isub v9, v10
@000c   v12 = call fn0(v11)
@000d   v13 = isub v1, v12
@000e   v14 = bxor v13, v11
@000f   v15 = call fn0(v14)
@0010   v16 = isub v1, v15
@0011   v19 = call fn0(v15)
@0012   v20 = call fn0(v16)
@0013   v21 = bxor v19, v20
@0014   return v21
}
";

/// The first way into `block6` knows its branch, so it gets a copy of the block. In the copy `v35`
/// is `v21` and `v36` is `v27`, otherwise they are `v27` and `v1`.
const COPIED: &str = "\
function %f(i64, i64) -> i64 system_v {
    fn0 = %host(i64) -> i64 system_v
block0(v0: i64, v1: i64):
@0001   v8 = icmp ult v0, v1
@0002   brif v8, block1, block2
block1:
@0003   v12 = iconst.i64 77
@0004   jump block3(v12)
block2:
@0005   v18 = call fn0(v0)
@0006   jump block3(v18)
block3(v21: i64):
@0007   v27 = rotl v0, v21
@0008   v29 = icmp slt v27, v21
@0009   brif v29, block4, block5
block4:
@000a   jump block6(v21, v27)
block5:
@000b   jump block6(v27, v1)
block6(v35: i64, v36: i64):
@000c   v42 = bxor v36, v35
@000d   v43 = icmp slt v36, v21
@000e   brif v43, block7, block8
block7:
@000f   v50 = iadd v35, v42
@0010   return v50
block8:
@0011   v51 = isub v42, v36
@0012   return v51
}
";

/// A variable in a register.
struct InRegister {
    name: String,
    register: u16,
    code: Range<u64>,
}

struct Built {
    code: CompiledFunction,
    /// The starts of the code of each location.
    starts: Vec<(u32, u64)>,
    found: Vec<InRegister>,
}

fn build(target_name: &str, level: &str, text: &str, optimize: Optimize) -> Built {
    let program = Program::from_clif(text, "values.clif").unwrap();
    let values = ClifValues::new(&program);
    let program = values.label(&program);
    let settings = TargetSettings::new().setting(&format!("opt_level={level}"));
    let isa = target(target_name, &settings).unwrap();
    let inliner = Inliner::new(Never)
        .optimize(optimize)
        .locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let (id, code) = compiled.iter().next().unwrap();
    let symbol = default_symbol(code.name());
    let functions = [ObjectFunction::new(symbol, ObjectLinkage::Export, code)];
    let mut product = build_object(&isa, "values", &functions, default_symbol).unwrap();
    let locations = compiled.locations(id).unwrap();
    let debug = [DebugFunction::new(code, locations).with_labels(compiled.labels(id))];
    let lines = ClifLines::new("values.clif", "/project", text);
    DebugInfo::new(&*isa, &lines)
        .labels(&values)
        .add_to(&mut product, &debug)
        .unwrap();
    let ranges = CodeLocations::new(code, locations).ranges();
    let starts = ranges.map(|(range, location)| {
        let place = locations.innermost(location);
        (place.location.bits(), u64::from(range.start))
    });
    Built {
        starts: starts.collect(),
        code: code.clone(),
        found: in_registers(&product.emit().unwrap()),
    }
}

fn in_registers(bytes: &[u8]) -> Vec<InRegister> {
    let dwarf = read(bytes);
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let mut entries = unit.entries();
    let mut found = Vec::new();
    while let Some(entry) = entries.next_dfs().unwrap() {
        let Some(location) = entry.attr_value(gimli::DW_AT_location) else {
            continue;
        };
        let name = entry.attr_value(gimli::DW_AT_name).unwrap();
        let name = dwarf.attr_string(&unit, name).unwrap();
        let mut places = dwarf.attr_locations(&unit, location).unwrap().unwrap();
        while let Some(place) = places.next().unwrap() {
            let mut operations = place.data.operations(unit.encoding());
            if let Some(gimli::Operation::Register { register }) = operations.next().unwrap() {
                found.push(InRegister {
                    name: String::from_utf8(name.to_vec()).unwrap(),
                    register: register.0,
                    code: place.range.begin..place.range.end,
                });
            }
        }
    }
    found
}

fn for_each_build(mut check: impl FnMut(&str, &Built)) {
    for target_name in ["x64", "aarch64", "riscv64"] {
        for level in ["none", "speed"] {
            let built = build(target_name, level, TEXT, Optimize::None);
            assert!(!built.found.is_empty(), "{target_name} {level}");
            check(target_name, &built);
        }
    }
}

/// A debugger is at the return address after `finish`.
#[test]
fn no_register_that_a_call_overwrites_has_a_value_at_the_return_address() {
    for_each_build(|target_name, built| {
        let is_saved = |register: u16| match target_name {
            "x64" => matches!(register, 3 | 12..=15),
            "aarch64" => matches!(register, 19..=28),
            _ => matches!(register, 9 | 18..=27),
        };
        for call in built.code.call_sites() {
            let after = u64::from(call.ret_addr);
            let lost = built.found.iter().filter(|found| !is_saved(found.register));
            for found in lost.clone().filter(|found| found.code.contains(&after)) {
                let mut before = lost
                    .clone()
                    .filter(|other| (&other.name, other.register) == (&found.name, found.register));
                // The shortest call has two bytes.
                let survives = before.any(|other| other.code.contains(&(after - 2)));
                assert!(!survives, "{target_name} {} {after:#x}", found.name);
            }
        }
    });
}

/// The moves to the parameters of the target are behind the start of the line.
#[test]
fn no_value_is_shown_at_a_jump_behind_moves() {
    for_each_build(|target_name, built| {
        for location in [0x8, 0xa] {
            let starts = built.starts.iter().filter(|(at, _)| *at == location);
            for (_, start) in starts {
                let is_jump = match target_name {
                    "x64" => matches!(built.code.code()[*start as usize], 0xe9 | 0xeb),
                    _ => false,
                };
                let mut shown = built.found.iter().map(|found| (&found.name, &found.code));
                let shown = shown.find(|(_, code)| is_jump && code.contains(start));
                assert!(shown.is_none(), "{target_name} {start:#x} {shown:x?}");
            }
        }
    });
}

#[test]
fn a_parameter_that_is_another_value_on_another_way_is_not_shown_as_that_value() {
    for target_name in ["x64", "aarch64", "riscv64"] {
        let built = build(target_name, "speed", COPIED, Optimize::All);
        let of = |name: &'static str| built.found.iter().filter(move |found| found.name == name);
        assert!(of("v27").next().is_some(), "{target_name}");
        for value in of("v27").chain(of("v1")).chain(of("v21")) {
            for param in of("v35").chain(of("v36")) {
                let apart =
                    value.code.end <= param.code.start || param.code.end <= value.code.start;
                assert!(
                    apart || value.register != param.register,
                    "{target_name} {} {}",
                    value.name,
                    param.name
                );
            }
        }
    }
}

/// Debuggers on x64 take 16 bytes of a float for a `long double` of 80 bits, and 1.5 was 0.
#[test]
fn a_float_of_128_bits_is_shown_as_a_number() {
    assert_eq!(value_type(types::F64).encoding, VariableEncoding::Float);
    let wide = value_type(types::F128);
    assert_eq!((wide.encoding, wide.size), (VariableEncoding::Unsigned, 16));
}
