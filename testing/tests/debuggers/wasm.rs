//! The WebAssembly programs that this repository ships, with their runtime.

use super::programs::{Lines, Subject};
use super::session::{Host, bytes};
use super::shipped::with_visits;
use super::trees::Case;
use cranelift_inliner::decide::Small;
use cranelift_inliner_testing::generate::Generated;
use cranelift_inliner_wasm::{Options, Policy, object};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A module without its code, as the runtime reads it.
pub(crate) struct Image {
    bytes: Vec<u8>,
    functions: usize,
    entries: Vec<u32>,
}

impl Image {
    /// Adds a run of the build whose symbols begin with `prefix`. Functions that it left out have
    /// no address.
    pub(crate) fn add_to(&self, host: &mut Host, prefix: &str) -> usize {
        let symbols = |names: &[String]| {
            let mut declarations = String::new();
            for name in names {
                let symbol = format!("extern const char {prefix}{name}[]");
                writeln!(declarations, "{symbol} __attribute__((weak));").unwrap();
            }
            let names: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
            (declarations, names.join(", "))
        };
        let functions: Vec<String> = (0..self.functions)
            .map(|number| format!("wasm{number}"))
            .collect();
        let entries: Vec<String> = self.entries.iter().map(u32::to_string).collect();
        let (mut declarations, functions) = symbols(&functions);
        let (more, entries) = symbols(&entries);
        declarations += &more;
        writeln!(
            declarations,
            "static const uint8_t {prefix}image[] = {{{}}};\n\
             static const void *const {prefix}functions[] = {{{functions}}};\n\
             static const void *const {prefix}entries[] = {{{entries}}};",
            bytes(&self.bytes)
        )
        .unwrap();
        let row =
            format!("{prefix}image, sizeof {prefix}image, {prefix}functions, {prefix}entries");
        host.add_run(&declarations, &row)
    }
}

/// Returns the runtime as a static library, which Cargo puts beside this test.
pub(crate) fn runtime() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let files = fs::read_dir(program.parent().unwrap()).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let libraries = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libcranelift_inliner_wasm_runtime") && name.ends_with(".a")
    });
    let newest = libraries.max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    if newest.is_none() {
        eprintln!("passed over: the runtime is not built as a static library");
    }
    newest
}

/// Returns `count` of the programs from the number `first` on, each with calls of `%visit`.
pub(crate) fn programs(first: u64, count: u64) -> Vec<Case> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/wasm/programs"
    ));
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".wasm") && !name.ends_with(".inlined.wasm")
        })
        .collect();
    files.sort();
    let count = count.min(files.len() as u64);
    let cases = (first..first + count).map(|seed| {
        let path = &files[seed as usize % files.len()];
        let (program, image) = translate(&fs::read(path).unwrap());
        let generated = Generated {
            program,
            invocations: Vec::new(),
        };
        let mut subject = Subject::new(&generated, Lines::Unique).unwrap();
        // The runtime has the others.
        subject
            .hosts
            .retain(|(name, _)| name.to_string() == "%visit");
        Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            subject,
            seed,
            wasm: Some(image),
        }
    });
    cases.collect()
}

/// Returns the functions of a module before inlining, with calls of `%visit`, and the rest of it.
fn translate(wasm: &[u8]) -> (cranelift_inliner::program::Program, Image) {
    // Without a policy the compiler keeps no functions.
    let options = Options {
        policy: Policy::Small(Small::default()),
        ..Options::default()
    };
    let (bytes, compiled) = object(wasm, &options).unwrap();
    let report = compiled.report.unwrap();
    let program = report.program().with_bodies(|_, function| {
        let is_entry = function.name().to_string().starts_with("%entry");
        Some(match is_entry {
            true => Arc::clone(function.body()),
            false => Arc::new(with_visits(function.body())),
        })
    });
    let file = object::File::parse(&*bytes).unwrap();
    let symbol = file.symbol_by_name("wasm_image").unwrap();
    let section = file
        .section_by_index(symbol.section_index().unwrap())
        .unwrap();
    let start = symbol.address() as usize;
    let image = Image {
        bytes: section.data().unwrap()[start..start + symbol.size() as usize].to_vec(),
        functions: compiled.image.functions.len(),
        entries: compiled.image.entries.clone(),
    };
    (program.unwrap(), image)
}
