//! Linking programs into an executable for the emulator.

use super::process::Callable;
use super::{EmulatedPrograms, Emulator, emulated};
use crate::execute::declared::declared;
use crate::execute::error::ExecuteError;
use crate::execute::glue::{self, Number};
use crate::execute::image::Image;
use crate::execute::tables::{self, TableData};
use cranelift_codegen::ir::{Function, Signature, UserFuncName};
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, ObjectFunction, ObjectLinkage, RelocationTarget,
    compile_function, default_symbol, write_object,
};
use cranelift_inliner::program::{FunctionName, Linkage, Program};
use object::{Object, ObjectSymbol};
use rustc_hash::FxHashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The most programs for one executable; a command line has an end.
const MOST_PROGRAMS: usize = 10_000;

/// The most slots of a call, for which `host.c` has space.
const MOST_SLOTS: usize = 4096;

/// Programs to be linked into one executable.
#[derive(Debug)]
pub struct EmulatedLinker<'e> {
    emulator: &'e Emulator,
    folder: TempDir,
    programs: Vec<Added>,
    objects: Vec<PathBuf>,
    /// The functions of the host, by number, of all programs.
    host: Vec<(FunctionName, Signature)>,
    /// The data of all programs, for the assembler.
    data: String,
    /// By signature, the symbols of entries.
    entries: FxHashMap<Signature, String>,
    scratch: CompileScratch,
}

/// A program in an object file.
#[derive(Debug)]
struct Added {
    /// With their symbols.
    functions: Vec<(String, CompiledFunction)>,
    callable: Vec<Entry>,
}

/// A function that can be called from outside.
#[derive(Debug)]
struct Entry {
    name: FunctionName,
    signature: Signature,
    symbol: String,
    entry: String,
}

impl<'e> EmulatedLinker<'e> {
    pub(super) fn new(emulator: &'e Emulator) -> Result<Self, ExecuteError> {
        Ok(EmulatedLinker {
            emulator,
            folder: tempfile::tempdir().map_err(emulated)?,
            programs: Vec::new(),
            objects: Vec::new(),
            host: Vec::new(),
            data: String::new(),
            entries: FxHashMap::default(),
            scratch: CompileScratch::new(),
        })
    }

    /// Adds `functions`, which must be compiled for the emulator's [`isa`](Emulator::isa) from
    /// `source`, and returns the program's number. After an error the linker is as before, and can
    /// be used further.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Link`] if a function refers to data that is not a
    /// [table](Program::add_table) of `source`, or to a function without code;
    /// [`ExecuteError::Signature`] if a function of the host has two declared signatures or cannot
    /// be called through values; [`ExecuteError::Emulated`] if the object file cannot be made.
    pub fn add<'a>(
        &mut self,
        source: &Program,
        functions: impl IntoIterator<Item = &'a CompiledFunction>,
    ) -> Result<usize, ExecuteError> {
        let number = self.programs.len();
        if number >= MOST_PROGRAMS {
            return Err(emulated("too many programs for one executable"));
        }
        let functions: Vec<&CompiledFunction> = functions.into_iter().collect();
        let mut object = Contents::default();
        for (index, function) in functions.iter().enumerate() {
            let name = FunctionName::from(function.name().clone());
            object.symbols.insert(name, format!("p{number}_f{index}"));
        }
        let hosts = self.host.len();
        let added = self.fill(number, source, &functions, &mut object);
        let added = added.and_then(|()| self.write(number, &functions, &object));
        if let Err(error) = added {
            self.host.truncate(hosts);
            return Err(error);
        }
        self.data.push_str(&object.data);
        for (signature, entry) in object.new_entries {
            self.entries.insert(signature, entry);
        }
        let symbols = (0..functions.len()).map(|index| format!("p{number}_f{index}"));
        self.programs.push(Added {
            functions: symbols.zip(functions.into_iter().cloned()).collect(),
            callable: object.callable,
        });
        Ok(number)
    }

    /// Adds the functions of the host to which `functions` refer, and all glue.
    fn fill(
        &mut self,
        number: usize,
        source: &Program,
        functions: &[&CompiledFunction],
        object: &mut Contents,
    ) -> Result<(), ExecuteError> {
        let declared = declared(source)?;
        let tables = tables::referenced(source, functions);
        let tables = tables.map_err(|reason| ExecuteError::Unsupported { reason })?;
        for function in functions {
            for relocation in function.relocations() {
                let name = match &relocation.target {
                    RelocationTarget::Function(name) | RelocationTarget::Data(name) => {
                        FunctionName::from(name.clone())
                    }
                    RelocationTarget::LibCall(_) | RelocationTarget::FunctionOffset(_) => continue,
                    target => return Err(missing(function, format!("there is no {target:?}"))),
                };
                if !tables.contains_key(&name) {
                    self.need(number, source, &declared, function, name, object)?;
                }
            }
        }
        let in_tables = tables.values().flat_map(|table| &table.entries);
        for ((_, name), function) in in_tables.zip(functions.iter().cycle()) {
            self.need(number, source, &declared, function, name.clone(), object)?;
        }
        for (index, (name, table)) in tables.into_iter().enumerate() {
            let symbol = format!("p{number}_t{index}");
            object.data += &in_assembler(&symbol, &table, &object.symbols);
            object.symbols.insert(name, symbol);
        }
        for (_, function) in source.iter() {
            let name = function.name();
            let Some(symbol) = object.symbols.get(name).cloned() else {
                continue;
            };
            let signature = &function.body().signature;
            if function.linkage() == Linkage::Local || check_signature(signature).is_err() {
                continue;
            }
            let known = self.entries.get(signature);
            let known = known.or_else(|| object.new_entries.get(signature)).cloned();
            let entry = match known {
                Some(entry) => entry,
                None => {
                    let symbol = format!("p{number}_e{}", object.new_entries.len());
                    let mut body = glue::entry(signature, &*self.emulator.glue_isa);
                    body.name = UserFuncName::testcase(&symbol);
                    let symbol = self.compile_glue(symbol, body, object)?;
                    object.new_entries.insert(signature.clone(), symbol.clone());
                    symbol
                }
            };
            object.callable.push(Entry {
                name: name.clone(),
                signature: signature.clone(),
                symbol,
                entry,
            });
        }
        Ok(())
    }

    /// Adds the function `name`, to which `function` refers, itself or through a table.
    fn need(
        &mut self,
        number: usize,
        source: &Program,
        declared: &FxHashMap<FunctionName, &Signature>,
        function: &CompiledFunction,
        name: FunctionName,
        object: &mut Contents,
    ) -> Result<(), ExecuteError> {
        if object.symbols.contains_key(&name) {
            return Ok(());
        }
        let signature = declared.get(&name).copied();
        let signature = signature.filter(|_| source.id(&name).is_none());
        let signature = signature.ok_or_else(|| {
            let reason = format!("it refers to {name}, which is not a function with code");
            missing(function, reason)
        })?;
        let shim = format!("p{number}_h{}", self.host.len());
        let host = u32::try_from(self.host.len()).map_err(emulated)?;
        let isa = &*self.emulator.glue_isa;
        check_signature(signature).map_err(|reason| ExecuteError::Signature {
            function: name.clone(),
            reason,
        })?;
        let mut body = glue::shim(signature, isa, Number::Constant(host));
        body.name = name.as_user_func_name().clone();
        let shim = self.compile_glue(shim, body, object)?;
        object.symbols.insert(name.clone(), shim);
        self.host.push((name, signature.clone()));
        Ok(())
    }

    fn compile_glue(
        &mut self,
        symbol: String,
        body: Function,
        object: &mut Contents,
    ) -> Result<String, ExecuteError> {
        let isa = &*self.emulator.glue_isa;
        let compiled = compile_function(isa, &body, &mut self.scratch)?;
        object.glue.push((symbol.clone(), compiled));
        Ok(symbol)
    }

    fn write(
        &mut self,
        number: usize,
        functions: &[&CompiledFunction],
        object: &Contents,
    ) -> Result<(), ExecuteError> {
        let symbol_of = |name: &UserFuncName| {
            let name = FunctionName::from(name.clone());
            match object.symbols.get(&name) {
                Some(symbol) => symbol.clone(),
                None => default_symbol(name.as_user_func_name()),
            }
        };
        let own = functions.iter().map(|function| {
            ObjectFunction::new(symbol_of(function.name()), ObjectLinkage::Export, function)
        });
        let glue = object.glue.iter().map(|(symbol, compiled)| {
            ObjectFunction::new(symbol.clone(), ObjectLinkage::Export, compiled)
        });
        let all: Vec<ObjectFunction<'_>> = own.chain(glue).collect();
        let bytes =
            write_object(&self.emulator.isa, "program", &all, symbol_of).map_err(emulated)?;
        let path = self.folder.path().join(format!("{number}.o"));
        fs::write(&path, bytes).map_err(emulated)?;
        self.objects.push(path);
        Ok(())
    }

    /// Links the programs and starts them.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Emulated`] if the C compiler or the emulator fails.
    pub fn link(self) -> Result<EmulatedPrograms, ExecuteError> {
        let executable = self.executable()?;
        let bytes = fs::read(&executable).map_err(emulated)?;
        let file = object::File::parse(&*bytes).map_err(emulated)?;
        let symbols = file.symbols();
        let addresses: FxHashMap<&str, u64> = symbols
            .filter_map(|symbol| Some((symbol.name().ok()?, symbol.address())))
            .collect();
        let address = |symbol: &str| {
            let address = addresses.get(symbol).copied();
            address.ok_or_else(|| emulated(format!("the executable has no {symbol}")))
        };
        let mut image = Image::default();
        let mut programs = Vec::with_capacity(self.programs.len());
        for program in self.programs {
            for (symbol, function) in &program.functions {
                image.place(function, address(symbol)?);
            }
            let mut callable = FxHashMap::default();
            for entry in program.callable {
                let addresses = [address(&entry.entry)?, address(&entry.symbol)?];
                callable.insert(
                    entry.name,
                    Callable {
                        signature: entry.signature,
                        addresses,
                    },
                );
            }
            programs.push(callable);
        }
        image.sort();
        image.host = self.host;
        EmulatedPrograms::start(self.emulator, self.folder, &executable, image, programs)
    }

    /// Links the programs with the host in C.
    fn executable(&self) -> Result<PathBuf, ExecuteError> {
        let folder = self.folder.path();
        let counts = self.host.iter();
        let counts = counts.map(|(_, signature)| glue::slot_count(signature).to_string());
        let counts: Vec<String> = counts.chain(["0".to_owned()]).collect();
        let host = format!(
            "{}\nconst uint64_t slot_counts[] = {{{}}};\n{}",
            include_str!("host.c"),
            counts.join(", "),
            self.data
        );
        let (source, executable) = (folder.join("host.c"), folder.join("programs"));
        fs::write(&source, host).map_err(emulated)?;
        let mut compiler = Command::new(self.emulator.machine.compiler);
        compiler.args(["-O1", "-fno-omit-frame-pointer", "-no-pie", "-static", "-o"]);
        compiler
            .args([&executable, &source])
            .args(&self.objects)
            .arg("-lm");
        run(&mut compiler, &source)?;
        Ok(executable)
    }
}

/// The functions of an object file.
#[derive(Default)]
struct Contents {
    /// By the names in code.
    symbols: FxHashMap<FunctionName, String>,
    glue: Vec<(String, CompiledFunction)>,
    /// The tables, for the assembler.
    data: String,
    new_entries: FxHashMap<Signature, String>,
    callable: Vec<Entry>,
}

fn missing(function: &CompiledFunction, reason: String) -> ExecuteError {
    ExecuteError::Link {
        function: FunctionName::from(function.name().clone()),
        reason,
    }
}

/// Returns a table as assembly in C. `symbols` has all its functions.
fn in_assembler(
    symbol: &str,
    table: &TableData,
    symbols: &FxHashMap<FunctionName, String>,
) -> String {
    let mut lines = vec![
        ".section .rodata".to_owned(),
        ".balign 16".to_owned(),
        format!(".globl {symbol}"),
        format!(".set {symbol}, . + {}", table.before),
    ];
    let mut at = 0;
    for (offset, name) in &table.entries {
        lines.push(format!(".skip {}", offset - at));
        let function = symbols.get(name).map_or("0", String::as_str);
        lines.push(format!(".quad {function}"));
        at = offset + 8;
    }
    lines.push(".text".to_owned());
    let lines = lines.iter().map(|line| format!("    \"{line}\\n\"\n"));
    format!("__asm__(\n{});\n", lines.collect::<String>())
}

fn check_signature(signature: &Signature) -> Result<(), String> {
    glue::check_signature(signature)?;
    match glue::slot_count(signature) <= MOST_SLOTS {
        true => Ok(()),
        false => Err(format!("it has more than {MOST_SLOTS} values")),
    }
}

fn run(command: &mut Command, source: &Path) -> Result<(), ExecuteError> {
    let output = command.output().map_err(emulated)?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(emulated(format!("{}: {errors}", source.display())))
}
