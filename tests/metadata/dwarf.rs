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
use cranelift_inliner::locations::{CodeLocations, LocationMode, LocationTable};
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
        let variable = |function: &str, name: &str, offset| Variable {
            function: function.parse().unwrap(),
            name: name.to_owned(),
            ty: VariableType {
                name: "int".to_owned(),
                size: 4,
                encoding: VariableEncoding::Signed,
            },
            offset,
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
    let mut program = Program::from_clif(TEXT, "nested.clif").unwrap();
    let local: FunctionName = "%norm".parse().unwrap();
    program.set_linkage(&local, Linkage::Local).unwrap();
    let settings = TargetSettings::new()
        .setting(&format!("opt_level={level}"))
        .setting("is_pic=true");
    let isa = target(target_name, &settings).unwrap();
    let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let functions: Vec<_> = compiled
        .iter()
        .map(|(_, code)| ObjectFunction {
            symbol: default_symbol(code.name()),
            linkage: ObjectLinkage::Export,
            compiled: code,
        })
        .collect();
    let debug: Vec<_> = compiled
        .iter()
        .map(|(id, compiled_function)| DebugFunction {
            compiled: compiled_function,
            locations: compiled.locations(id).unwrap(),
        })
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

type Reader = gimli::EndianArcSlice<gimli::RunTimeEndian>;

/// The debug information of an object file that was not linked: every section
/// is at 0 and gets its relocations applied.
fn read(bytes: &[u8]) -> gimli::Dwarf<Reader> {
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

/// Name and line of each frame, innermost first.
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
            let mut deepest = 0;
            for (id, code) in built.compiled.iter() {
                let table: &LocationTable = built.compiled.locations(id).unwrap();
                let places = CodeLocations::new(code, table);
                let start = address_of(&file, &default_symbol(code.name()));
                for offset in 0..code.code().len() as u32 {
                    let chain: Vec<_> = places.lookup(offset).collect();
                    let found = frames(&context, start + u64::from(offset));
                    let names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
                    let expected: Vec<_> =
                        chain.iter().map(|place| place.function.symbol()).collect();
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
    let functions = [ObjectFunction {
        symbol: "check".to_owned(),
        linkage: ObjectLinkage::Export,
        compiled: code,
    }];
    let table = LocationTable::own("%check".parse().unwrap());
    let debug = DebugFunction {
        compiled: code,
        locations: &table,
    };
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
    let debug = DebugFunction {
        compiled: code,
        locations: built.compiled.locations(id).unwrap(),
    };
    let mut product = build_object(&isa, "nested", &[], default_symbol).unwrap();
    let lines = clif_lines();
    let error = DebugInfo::new(&*isa, &lines).add_to(&mut product, &[debug]);
    let expected = DebugInfoError::NotInObject {
        function: "%check".to_owned(),
        number: 0,
    };
    assert_eq!(error, Err(expected));
}

/// What a program prints; `None`, with a message, where it is not installed.
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
