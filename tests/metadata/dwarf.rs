//! DWARF of inlined code, read by a library and by the tools that are there.

use addr2line::Context;
use cranelift_codegen::ir::StackSlotKey;
use cranelift_inliner::backend::{
    ObjectFunction, ObjectLinkage, TargetSettings, build_object, default_symbol, target,
};
use cranelift_inliner::debug_info::{
    ClifLines, DebugFunction, DebugInfo, DebugInfoError, LineIsLocation, SourceMap, Variable,
    VariableEncoding, VariableSchema, VariableType,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::locations::{CodeLocations, LocationMode, LocationTable, Place};
use cranelift_inliner::pass::{CompiledProgram, Inliner};
use cranelift_inliner::program::{FunctionName, Linkage, Program};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const TEXT: &str = "\
function %check(i32) system_v {
    ss0 = explicit_slot 16, key = 5
    fn0 = %probe(i32) system_v
block0(v0: i32):
    v9 = stack_addr.i64 ss0
@0003   store v0, v9+8
<ss0> @0004 call fn0(v0)
@0005   trapz v0, user7
@0006   return
}

function %norm(i32, i32) -> i32 system_v {
    fn0 = %check(i32) system_v
block0(v0: i32, v1: i32):
@0010   call fn0(v0)
@0011   call fn0(v1)
@0012   v2 = iadd v0, v1
@0013   return v2
}

function %start(i32) -> i32 system_v {
    ss0 = explicit_slot 8, key = 6
    fn0 = %norm(i32, i32) -> i32 system_v
block0(v0: i32):
    v9 = stack_addr.i64 ss0
    v8 = iconst.i32 1
@0020   store v0, v9
@0021   v1 = ushr v0, v8
@0022   v2 = call fn0(v0, v1)
@0023   v3 = call fn0(v2, v0)
@0024   return v3
}
";

struct Schema;

impl VariableSchema for Schema {
    fn variables(&self, key: StackSlotKey) -> Vec<Variable> {
        let variable = |function: &str, name: &str, offset| {
            Variable::new(
                function.parse().unwrap(),
                name.to_owned(),
                VariableType::new("int", 4, VariableEncoding::Signed),
                offset,
            )
        };
        match key.bits() {
            5 => vec![variable("%check", "value", 8)],
            6 => vec![variable("%start", "seed", 0)],
            _ => Vec::new(),
        }
    }
}

struct Built {
    program: Program,
    compiled: CompiledProgram,
    object: Vec<u8>,
}

fn build(target_name: &str, level: &str, source: &dyn SourceMap) -> Built {
    build_text(TEXT, target_name, level, source)
}

fn build_text(text: &str, target_name: &str, level: &str, source: &dyn SourceMap) -> Built {
    let mut program = Program::from_clif(text, "nested.clif").unwrap();
    let local: FunctionName = "%norm".parse().unwrap();
    if program.id(&local).is_some() {
        program.set_linkage(&local, Linkage::Local).unwrap();
    }
    let settings = TargetSettings::new()
        .setting(&format!("opt_level={level}"))
        .setting("is_pic=true");
    let isa = target(target_name, &settings).unwrap();
    let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let functions: Vec<_> = compiled
        .iter()
        .map(|(_, code)| {
            ObjectFunction::new(default_symbol(code.name()), ObjectLinkage::Export, code)
        })
        .collect();
    let debug: Vec<_> = compiled
        .iter()
        .map(|(id, code)| DebugFunction::new(code, compiled.locations(id).unwrap()))
        .collect();
    let mut product = build_object(&isa, "nested", &functions, default_symbol).unwrap();
    DebugInfo::new(&*isa, source)
        .variables(&Schema)
        .add_to(&mut product, &debug)
        .unwrap();
    let object = product.emit().unwrap();
    Built {
        program,
        compiled,
        object,
    }
}

fn clif_lines() -> ClifLines {
    ClifLines::new("nested.clif", "/project", TEXT)
}

fn clif_line(function: &str, location: u32) -> Option<u32> {
    let map = clif_lines();
    let position = map.position(
        &function.parse().unwrap(),
        cranelift_codegen::ir::SourceLoc::new(location),
    );
    position.map(|position| position.line as u32)
}

#[test]
fn the_clif_text_is_a_source() {
    assert_eq!(clif_line("%check", 4), Some(7));
    assert_eq!(clif_line("%check", 5), Some(8));
    assert_eq!(clif_line("%norm", 0x10), Some(15));
    assert_eq!(clif_line("%norm", 5), None);
    let map = clif_lines();
    let declaration = map.declaration(&"%start".parse().unwrap()).unwrap();
    assert_eq!((declaration.file, declaration.line), ("nested.clif", 21));
}

pub(crate) type Reader = gimli::EndianArcSlice<gimli::RunTimeEndian>;

/// Returns the debug information of an object file that was not linked: every section is at 0 and
/// gets its relocations applied.
pub(crate) fn read(bytes: &[u8]) -> gimli::Dwarf<Reader> {
    let file = object::File::parse(bytes).unwrap();
    let endian = match file.is_little_endian() {
        true => gimli::RunTimeEndian::Little,
        false => gimli::RunTimeEndian::Big,
    };
    let mut sections: HashMap<String, Vec<u8>> = HashMap::new();
    for section in file.sections() {
        if !section.name().unwrap().starts_with(".debug_") {
            continue;
        }
        let mut data = section.data().unwrap().to_vec();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("{relocation:?}");
            };
            let address = file.symbol_by_index(symbol).unwrap().address();
            let value = address.wrapping_add_signed(relocation.addend());
            let size = usize::from(relocation.size() / 8);
            let at = offset as usize..offset as usize + size;
            match endian {
                gimli::RunTimeEndian::Little => {
                    data[at].copy_from_slice(&value.to_le_bytes()[..size])
                }
                gimli::RunTimeEndian::Big => {
                    data[at].copy_from_slice(&value.to_be_bytes()[8 - size..])
                }
            }
        }
        sections.insert(section.name().unwrap().to_owned(), data);
    }
    gimli::Dwarf::load(|id| {
        let data = sections.get(id.name()).cloned().unwrap_or_default();
        Ok::<_, gimli::Error>(Reader::new(Arc::from(data), endian))
    })
    .unwrap()
}

/// Returns name and line of each frame, innermost first.
fn frames(context: &Context<Reader>, address: u64) -> Vec<(String, Option<u32>)> {
    let mut frames = context.find_frames(address).skip_all_loads().unwrap();
    let mut found = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        let name = frame.function.unwrap().raw_name().unwrap().into_owned();
        found.push((name, frame.location.and_then(|place| place.line)));
    }
    found
}

fn address_of(file: &object::File<'_>, name: &str) -> u64 {
    let mut symbols = file.symbols();
    symbols
        .find(|symbol| symbol.name() == Ok(name))
        .unwrap()
        .address()
}

#[cfg(feature = "all-arch")]
#[test]
fn a_reader_finds_the_chain_of_every_byte() {
    for target_name in ["x64", "aarch64", "riscv64", "s390x"] {
        for level in ["none", "speed"] {
            let built = build(target_name, level, &clif_lines());
            let file = object::File::parse(&built.object[..]).unwrap();
            let context = Context::from_dwarf(read(&built.object)).unwrap();
            let (mut deepest, mut lengthened) = (0, 0);
            for (id, code) in built.compiled.iter() {
                let table: &LocationTable = built.compiled.locations(id).unwrap();
                let places = CodeLocations::new(code, table);
                let start = address_of(&file, &default_symbol(code.name()));
                let traps: Vec<_> = code.traps().iter().map(|trap| trap.offset).collect();
                for offset in 0..code.code().len() as u32 {
                    let chain: Vec<_> = places.lookup(offset).collect();
                    let found = frames(&context, start + u64::from(offset));
                    let names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
                    let symbols = |chain: &[Place<'_>]| -> Vec<_> {
                        chain.iter().map(|place| place.function.symbol()).collect()
                    };
                    let expected = symbols(&chain);
                    // The body of a trap that stands apart may start a byte earlier.
                    let next: Vec<_> = places.lookup(offset + 1).collect();
                    if traps.contains(&(offset + 1)) && names == symbols(&next) {
                        lengthened += usize::from(names != expected);
                        continue;
                    }
                    assert_eq!(names, expected, "{target_name} {level} {offset:#x}");
                    for ((_, line), place) in found.iter().zip(&chain) {
                        if !place.location.is_default() {
                            let name = place.function.to_string();
                            let expected = clif_line(&name, place.location.bits());
                            assert_eq!(*line, expected, "{target_name} {level} {offset:#x}");
                        }
                    }
                    deepest = deepest.max(chain.len());
                }
            }
            assert_eq!(deepest, 3, "{target_name} {level}");
            // Traps of riscv64 stand within their code.
            assert!(lengthened > 0 || target_name != "x64", "{level}");
        }
    }
}

/// `%leaf` has a cold part, and `%main` calls it twice on one line, twice without a line, and twice
/// on one line of `%middle`, which it calls in a block of its own that is cold.
const SAME_LINE: &str = "\
function %leaf(i64) -> i64 system_v {
block0(v0: i64):
@0010   v1 = load.i64 v0
@0011   brif v1, block1, block2
block1:
@0012   v2 = load.i64 v0+8
@0013   return v2
block2 cold:
@0014   v3 = load.i64 v0+16
@0015   trapz v3, user1
@0016   return v3
}
function %middle(i64, i64) -> i64 system_v {
    fn0 = %leaf(i64) -> i64 system_v
block0(v0: i64, v1: i64):
@0020   v2 = call fn0(v0)
@0020   v3 = call fn0(v1)
@0021   v4 = iadd v2, v3
@0022   return v4
}
function %main(i64, i64, i64, i64) -> i64 system_v {
    fn0 = %leaf(i64) -> i64 system_v
    fn1 = %middle(i64, i64) -> i64 system_v
block0(v0: i64, v1: i64, v2: i64, v3: i64):
@0030   v4 = call fn0(v0)
@0030   v5 = call fn0(v1)
    v6 = call fn0(v2)
    v7 = call fn0(v3)
@0031   v8 = iadd v4, v5
@0032   v9 = iadd v6, v7
@0033   brif v8, block1, block2
block1 cold:
@0034   v10 = call fn1(v9, v8)
@0035   return v10
block2:
@0036   return v9
}
";

/// An entry for an inlined body: its depth, its callee, the line of the call, and the code.
struct InlinedBody {
    depth: isize,
    name: String,
    line: Option<u64>,
    ranges: Vec<(u64, u64)>,
}

/// Returns the inlined bodies of the function `main`, in order.
fn inlined_bodies(dwarf: &gimli::Dwarf<Reader>) -> Vec<InlinedBody> {
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let name = |offset| {
        let entry = unit.entry(offset).unwrap();
        let name = entry.attr_value(gimli::DW_AT_name).unwrap();
        let name = dwarf.attr_string(&unit, name).unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    };
    let mut entries = unit.entries();
    let mut found = Vec::new();
    let mut in_main = false;
    while let Some(entry) = entries.next_dfs().unwrap() {
        let origin = match entry.attr_value(gimli::DW_AT_abstract_origin) {
            Some(gimli::AttributeValue::UnitRef(offset)) => Some(name(offset)),
            _ => None,
        };
        if entry.tag() == gimli::DW_TAG_subprogram {
            let own = entry.attr_value(gimli::DW_AT_name);
            let own = own.map(|_| name(entry.offset()));
            in_main = origin.clone().or(own).as_deref() == Some("main");
        }
        if entry.tag() != gimli::DW_TAG_inlined_subroutine || !in_main {
            continue;
        }
        let mut ranges = Vec::new();
        let mut all = dwarf.die_ranges(&unit, entry).unwrap();
        while let Some(range) = all.next().unwrap() {
            ranges.push((range.begin, range.end));
        }
        let line = entry.attr_value(gimli::DW_AT_call_line);
        found.push(InlinedBody {
            depth: entry.depth(),
            name: origin.unwrap(),
            line: line.and_then(|line| line.udata_value()),
            ranges,
        });
    }
    found
}

#[cfg(feature = "all-arch")]
#[test]
fn each_inlined_call_is_an_entry_of_its_own_though_calls_share_a_line() {
    for target_name in ["x64", "aarch64", "riscv64"] {
        for level in ["none", "speed"] {
            let lines = ClifLines::new("nested.clif", "/project", SAME_LINE);
            let built = build_text(SAME_LINE, target_name, level, &lines);
            let bodies = inlined_bodies(&read(&built.object));
            let top = bodies[0].depth;
            let mut told: Vec<_> = bodies
                .iter()
                .map(|body| (body.depth - top, body.name.as_str(), body.line))
                .collect();
            told.sort();
            let line = |text: &str| {
                let line = SAME_LINE.lines().position(|line| line.contains(text));
                line.map(|line| line as u64 + 1)
            };
            let expected = [
                (0, "leaf", Some(0)),
                (0, "leaf", Some(0)),
                (0, "leaf", line("v4 = call fn0(v0)")),
                (0, "leaf", line("v4 = call fn0(v0)")),
                (0, "middle", line("call fn1")),
                (1, "leaf", line("v2 = call fn0(v0)")),
                (1, "leaf", line("v2 = call fn0(v0)")),
            ];
            assert_eq!(told, expected, "{target_name} {level}");
            // No two bodies on one level have a byte in common, and a cold part is a second range.
            for (index, body) in bodies.iter().enumerate() {
                assert!(!body.ranges.is_empty());
                for other in bodies[..index]
                    .iter()
                    .filter(|other| other.depth == body.depth)
                {
                    for (begin, end) in &body.ranges {
                        let apart = |(from, to): &(u64, u64)| end <= from || to <= begin;
                        assert!(other.ranges.iter().all(apart), "{target_name} {level}");
                    }
                }
            }
            let of_several = bodies.iter().filter(|body| body.ranges.len() > 1);
            assert!(of_several.count() >= 4, "{target_name} {level}");
        }
    }
}

#[test]
fn a_dropped_function_is_seen_as_inlined_only() {
    let built = build("x64", "speed", &clif_lines());
    let names: Vec<_> = built
        .compiled
        .iter()
        .map(|(_, code)| default_symbol(code.name()))
        .collect();
    assert_eq!(names, ["check", "start"]);
    assert_eq!(built.program.len(), 3);
}

#[test]
fn locations_can_be_lines() {
    let built = build("x64", "speed", &LineIsLocation::new("main.src", "/project"));
    let file = object::File::parse(&built.object[..]).unwrap();
    let context = Context::from_dwarf(read(&built.object)).unwrap();
    let (id, code) = built.compiled.iter().last().unwrap();
    assert!(!built.compiled.locations(id).unwrap().is_own());
    let start = address_of(&file, "start");
    let trap = code
        .traps()
        .iter()
        .find(|trap| trap.code.to_string() == "user7")
        .unwrap();
    let frame = |name: &str, line| (name.to_owned(), Some(line));
    assert_eq!(
        frames(&context, start + u64::from(trap.offset)),
        [
            frame("check", 0x5),
            frame("norm", 0x10),
            frame("start", 0x22)
        ]
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bytes = || build("aarch64", "speed", &clif_lines()).object;
    assert_eq!(bytes(), bytes());
}

#[test]
fn formats_that_keep_dwarf_elsewhere_are_an_error() {
    let program = Program::from_clif(TEXT, "nested.clif").unwrap();
    let isa = target("x86_64-apple-darwin", &TargetSettings::new()).unwrap();
    let (_, compiled) = Inliner::new(Always)
        .run_and_compile(&program, &*isa)
        .unwrap();
    let (_, code) = compiled.iter().next().unwrap();
    let functions = [ObjectFunction::new("check", ObjectLinkage::Export, code)];
    let table = LocationTable::own("%check".parse().unwrap());
    let debug = DebugFunction::new(code, &table);
    let mut product = build_object(&isa, "nested", &functions, default_symbol).unwrap();
    let lines = clif_lines();
    let error = DebugInfo::new(&*isa, &lines).add_to(&mut product, &[debug]);
    assert!(
        matches!(error, Err(DebugInfoError::Format { .. })),
        "{error:?}"
    );
}

#[test]
fn a_function_that_is_not_in_the_object_is_an_error() {
    let built = build("x64", "speed", &clif_lines());
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let (id, code) = built.compiled.iter().next().unwrap();
    let debug = DebugFunction::new(code, built.compiled.locations(id).unwrap());
    let mut product = build_object(&isa, "nested", &[], default_symbol).unwrap();
    let lines = clif_lines();
    let error = DebugInfo::new(&*isa, &lines).add_to(&mut product, &[debug]);
    let expected = DebugInfoError::NotInObject {
        function: FunctionName::testcase("check"),
        number: 0,
    };
    assert_eq!(error, Err(expected));
}

/// Returns the output of a program; `None`, with a message, if it is not installed.
fn run(program: &str, args: &[&str], folder: &Path) -> Option<String> {
    let output = match Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            eprintln!("passed over: {program}: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    Some(format!("{text}{errors}"))
}

#[test]
fn the_verifier_of_llvm_finds_no_fault() {
    for target_name in ["x64", "aarch64"] {
        let built = build(target_name, "speed", &clif_lines());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nested.o"), &built.object).unwrap();
        let Some(said) = run("llvm-dwarfdump", &["--verify", "nested.o"], folder.path()) else {
            return;
        };
        assert!(said.contains("No errors."), "{said}");
        let frames = run("llvm-dwarfdump", &["--eh-frame", "nested.o"], folder.path());
        let frames = frames.unwrap_or_default();
        assert_eq!(frames.matches(" FDE ").count(), 2, "{frames}");
    }
}

#[test]
fn addr2line_prints_the_inlined_frames() {
    let built = build("x64", "speed", &clif_lines());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nested.o"), &built.object).unwrap();
    let file = object::File::parse(&built.object[..]).unwrap();
    let (_, code) = built.compiled.iter().last().unwrap();
    let trap = code
        .traps()
        .iter()
        .find(|trap| trap.code.to_string() == "user7")
        .unwrap();
    let address = format!("{:#x}", address_of(&file, "start") + u64::from(trap.offset));
    for tool in ["addr2line", "llvm-addr2line"] {
        let args = ["-f", "-i", "-e", "nested.o", &address];
        let Some(said) = run(tool, &args, folder.path()) else {
            continue;
        };
        let lines: Vec<_> = said.lines().collect();
        let expected = [
            "check",
            "/project/nested.clif:8",
            "norm",
            "/project/nested.clif:15",
            "start",
            "/project/nested.clif:29",
        ];
        assert_eq!(lines, expected, "{tool}");
    }
}

const MAIN: &str = "
extern int start(int);
int calls;
void probe(int value) { calls += value; }
int main(void) { return start(41) == 0; }
";

/// The object runs, gdb stops in `probe`, and the stack shows inlined frames
/// and their variables.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn gdb_shows_inlined_frames_and_variables() {
    let built = build("x64", "speed", &clif_lines());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("nested.o"), &built.object).unwrap();
    std::fs::write(folder.join("main.c"), MAIN).unwrap();
    let Some(said) = run("cc", &["-O1", "main.c", "nested.o", "-o", "main"], folder) else {
        return;
    };
    assert_eq!(said, "");
    // The first stop is in the copy for the first call, the second in the other
    // copy, and each has the value in a slot of its own.
    let script = [
        "break probe",
        "run",
        "backtrace",
        "up",
        "info locals",
        "up 2",
        "info locals",
        "continue",
        "backtrace",
        "up",
        "info locals",
    ];
    let mut args = vec!["--batch", "-nx", "-ex", "set confirm off"];
    for command in &script {
        args.extend(["-ex", command]);
    }
    args.push("main");
    let Some(said) = run("gdb", &args, folder) else {
        return;
    };
    if said.contains("ptrace") {
        eprintln!("passed over: gdb may not trace here: {said}");
        return;
    }
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with('#') || line.contains(" = "))
        .map(|line| match line.split_once(" in ") {
            Some((level, rest)) => format!("{} {rest}", &level[..2]),
            None => line.split_whitespace().collect::<Vec<_>>().join(" "),
        })
        .collect();
    let expected = [
        "#0 probe ()",
        "#1 check () at nested.clif:7",
        "#2 norm () at nested.clif:15",
        "#3 start () at nested.clif:29",
        "#4 main ()",
        "#1 check () at nested.clif:7",
        "value = 41",
        "#3 start () at nested.clif:29",
        "seed = 41",
        "#0 probe ()",
        "#1 check () at nested.clif:7",
        "#2 norm () at nested.clif:16",
        "#3 start () at nested.clif:29",
        "#4 main ()",
        "#1 check () at nested.clif:7",
        "value = 20",
    ];
    assert_eq!(lines, expected, "{said}");
}
