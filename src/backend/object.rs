//! Object files from compiled functions.
//!
//! Every function becomes a symbol with its linkage. A name that the code refers to and no function
//! defines is imported: as a function, as data or as a thread-local, after the body's own
//! declaration. Runtime-library calls get the symbols of
//! [`cranelift_module::default_libcall_names`]. The bytes depend on the functions and their order
//! alone.
//!
//! cranelift-module's own conversion of relocations panics on names such as `%name`, and it lets
//! two names become one symbol without a word; so the targets are resolved here.

use super::compiled::CompiledFunction;
use super::error::printable;
use super::relocation::{Relocation, RelocationTarget};
use crate::panics;
use cranelift_codegen::ir::{Signature, UserFuncName};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_module::{
    DataId, FuncId, FuncOrDataId, Linkage, Module, ModuleError, ModuleReloc, ModuleRelocTarget,
    default_libcall_names,
};
use cranelift_object::{ObjectBuilder, ObjectModule, ObjectProduct};
use rustc_hash::FxHashMap;
use std::slice;
use thiserror::Error;

/// A function to write into an object file.
#[derive(Clone, Debug)]
pub struct ObjectFunction<'a> {
    /// Its symbol, without the prefix that an object format may add.
    pub symbol: String,
    /// Who sees the symbol.
    pub linkage: ObjectLinkage,
    /// Its code.
    pub compiled: &'a CompiledFunction,
}

/// Who sees a function's symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectLinkage {
    /// Everyone.
    Export,
    /// The object file alone.
    Local,
    /// Everyone, and the linker may put another definition in its place (a weak symbol).
    Preemptible,
}

/// Why an object file could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The target has no object format that can be written.
    #[error("no object file for the target {target}: {reason}")]
    Target {
        /// The target's triple.
        target: String,
        /// cranelift-object's words.
        reason: String,
    },
    /// A symbol that object files cannot hold.
    #[error("{function}: `{}` cannot be a symbol", .symbol.escape_default())]
    BadSymbol {
        /// The function's name as CLIF prints it.
        function: String,
        /// The symbol: empty, or with a NUL byte in it.
        symbol: String,
    },
    /// Two functions have the same symbol or the same name, or a name that no function defines has
    /// the symbol of another name's definition.
    #[error("the symbol `{symbol}` stands for both {first} and {second}")]
    DuplicateSymbol {
        /// The symbol.
        symbol: String,
        /// The name of the function that has it, as CLIF prints it.
        first: String,
        /// The other name, as CLIF prints it.
        second: String,
    },
    /// A symbol is thread-local in one function and not in another.
    #[error(
        "{function}: the symbol `{symbol}` is thread-local here and not elsewhere, or the other way round"
    )]
    ThreadLocalMismatch {
        /// The function where it was noticed, as CLIF prints it.
        function: String,
        /// The symbol.
        symbol: String,
    },
    /// A relocation that the object format does not have.
    #[error(
        "{function}: no relocation {kind} at offset {offset:#x} in this object format: {reason}"
    )]
    Relocation {
        /// The function's name as CLIF prints it.
        function: String,
        /// The relocation's kind as Cranelift prints it.
        kind: String,
        /// Bytes from the start of the function.
        offset: u32,
        /// cranelift-object's words.
        reason: String,
    },
    /// A relocation lies outside of its function's code.
    #[error("{function}: a relocation at offset {offset:#x}, outside of the code")]
    RelocationOffset {
        /// The function's name as CLIF prints it.
        function: String,
        /// Bytes from the start of the function.
        offset: u32,
    },
    /// cranelift-object failed otherwise.
    #[error("the object file cannot be written: {reason}")]
    Writing {
        /// Its words.
        reason: String,
    },
}

/// The bytes of an object file called `name` (what its file symbol says) with `functions` in their
/// order. `symbol_of` gives the symbols of the names that none of them defines;
/// [`default_symbol`](super::default_symbol) is a good one. `isa` must be the target that the
/// functions were compiled for.
///
/// # Errors
///
/// See [`ObjectError`].
///
/// ```
/// use cranelift_inliner::backend::{
///     CompileScratch, ObjectFunction, ObjectLinkage, TargetSettings, compile_function,
///     default_symbol, target, write_object,
/// };
///
/// let functions = cranelift_reader::parse_functions(
///     "function %answer() -> i64 fast {\nblock0:\n    v0 = iconst.i64 42\n    return v0\n}",
/// )?;
/// let isa = target("x64", &TargetSettings::new())?;
/// let compiled = compile_function(&*isa, &functions[0], &mut CompileScratch::new())?;
/// let function = ObjectFunction {
///     symbol: default_symbol(compiled.name()),
///     linkage: ObjectLinkage::Export,
///     compiled: &compiled,
/// };
/// let bytes = write_object(&isa, "answer", &[function], default_symbol)?;
/// assert_eq!(&bytes[1..4], b"ELF");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_object(
    isa: &OwnedTargetIsa,
    name: &str,
    functions: &[ObjectFunction<'_>],
    symbol_of: impl Fn(&UserFuncName) -> String,
) -> Result<Vec<u8>, ObjectError> {
    let product = build_object(isa, name, functions, symbol_of)?;
    panics::catch(|| product.emit())
        .map_err(|reason| ObjectError::Writing { reason })?
        .map_err(|error| ObjectError::Writing {
            reason: error.to_string(),
        })
}

/// The object file that [`write_object`] writes, before it becomes bytes, for who adds sections of
/// their own. The functions have the ids 0, 1, … in their order.
///
/// # Errors
///
/// See [`ObjectError`].
pub fn build_object(
    isa: &OwnedTargetIsa,
    name: &str,
    functions: &[ObjectFunction<'_>],
    symbol_of: impl Fn(&UserFuncName) -> String,
) -> Result<ObjectProduct, ObjectError> {
    let no_target = |reason: String| ObjectError::Target {
        target: isa.triple().to_string(),
        reason,
    };
    let builder = panics::catch(|| {
        let builder = ObjectBuilder::new(isa.clone(), name, default_libcall_names());
        builder.map_err(|error| error.to_string())
    })
    .unwrap_or_else(Err)
    .map_err(no_target)?;

    let mut writer = Writer {
        module: ObjectModule::new(builder),
        signature: Signature::new(isa.default_call_conv()),
        symbol_of,
        by_name: FxHashMap::default(),
        by_symbol: FxHashMap::default(),
    };
    let mut ids = Vec::with_capacity(functions.len());
    for function in functions {
        ids.push(writer.declare(function)?);
    }
    for (function, id) in functions.iter().zip(ids) {
        writer.define(function, id)?;
    }
    let Writer { module, .. } = writer;
    panics::catch(|| module.finish()).map_err(|reason| ObjectError::Writing { reason })
}

/// What a symbol is in the object file.
#[derive(Clone, Copy)]
enum Symbol {
    Function(FuncId),
    Data(DataId),
    ThreadLocal(DataId),
}

impl Symbol {
    fn is_thread_local(self) -> bool {
        matches!(self, Symbol::ThreadLocal(_))
    }

    fn target(self) -> ModuleRelocTarget {
        ModuleRelocTarget::from(match self {
            Symbol::Function(id) => FuncOrDataId::Func(id),
            Symbol::Data(id) | Symbol::ThreadLocal(id) => FuncOrDataId::Data(id),
        })
    }
}

struct Writer<'a, F> {
    module: ObjectModule,
    /// Object files know no signatures; cranelift-module asks for one all the same.
    signature: Signature,
    symbol_of: F,
    by_name: FxHashMap<UserFuncName, Symbol>,
    /// Each symbol with the name that defines it; `None` for an import, which any number of names
    /// may share.
    by_symbol: FxHashMap<String, (Symbol, Option<&'a UserFuncName>)>,
}

impl<'a, F: Fn(&UserFuncName) -> String> Writer<'a, F> {
    fn declare(&mut self, function: &ObjectFunction<'a>) -> Result<FuncId, ObjectError> {
        let name = function.compiled.name();
        let symbol = &function.symbol;
        check_symbol(name, symbol)?;
        let same_symbol = self.by_symbol.get(symbol);
        if let Some(first) = same_symbol.and_then(|(_, definer)| *definer) {
            return Err(duplicate(symbol, first, name));
        }
        if self.by_name.contains_key(name) {
            return Err(duplicate(symbol, name, name));
        }
        let linkage = match function.linkage {
            ObjectLinkage::Export => Linkage::Export,
            ObjectLinkage::Local => Linkage::Local,
            ObjectLinkage::Preemptible => Linkage::Preemptible,
        };
        let id = self
            .module
            .declare_function(symbol, linkage, &self.signature)
            .map_err(writing)?;
        let declared = Symbol::Function(id);
        self.by_symbol
            .insert(symbol.clone(), (declared, Some(name)));
        self.by_name.insert(name.clone(), declared);
        Ok(id)
    }

    fn define(&mut self, function: &ObjectFunction<'_>, id: FuncId) -> Result<(), ObjectError> {
        let compiled = function.compiled;
        let relocations = compiled.relocations().iter();
        let relocations = relocations
            .map(|relocation| self.convert(compiled, id, relocation))
            .collect::<Result<Vec<_>, _>>()?;
        let minimum = self.module.isa().function_alignment().minimum;
        let alignment = u64::from(compiled.alignment().max(minimum));
        let module = &mut self.module;
        let mut define = |relocations: &[ModuleReloc]| {
            panics::catch(|| {
                let code = compiled.code();
                let defined = module.define_function_bytes(id, alignment, code, relocations);
                defined.map_err(writing)
            })
        };
        define(&relocations).unwrap_or_else(|reason| {
            // cranelift-object panics at a relocation that the format lacks, before it defines
            // anything, and does not say at which: it is the one that does it alone as well.
            let mut each = relocations.iter();
            let lacking = each.find(|relocation| define(slice::from_ref(relocation)).is_err());
            Err(match lacking {
                Some(relocation) => ObjectError::Relocation {
                    function: printable(compiled.name()),
                    kind: relocation.kind.to_string(),
                    offset: relocation.offset,
                    reason,
                },
                None => ObjectError::Writing { reason },
            })
        })
    }

    fn convert(
        &mut self,
        compiled: &CompiledFunction,
        id: FuncId,
        relocation: &Relocation,
    ) -> Result<ModuleReloc, ObjectError> {
        if relocation.offset as usize >= compiled.code().len() {
            return Err(ObjectError::RelocationOffset {
                function: printable(compiled.name()),
                offset: relocation.offset,
            });
        }
        let name = match &relocation.target {
            RelocationTarget::LibCall(call) => ModuleRelocTarget::LibCall(*call),
            RelocationTarget::KnownSymbol(symbol) => ModuleRelocTarget::KnownSymbol(*symbol),
            RelocationTarget::FunctionOffset(offset) => {
                ModuleRelocTarget::FunctionOffset(id, *offset)
            }
            RelocationTarget::Function(name)
            | RelocationTarget::Data(name)
            | RelocationTarget::ThreadLocal(name) => {
                let symbol = match self.by_name.get(name) {
                    Some(known) => *known,
                    None => self.import(compiled, name, &relocation.target)?,
                };
                let thread_local = matches!(relocation.target, RelocationTarget::ThreadLocal(_));
                if symbol.is_thread_local() != thread_local {
                    return Err(ObjectError::ThreadLocalMismatch {
                        function: printable(compiled.name()),
                        symbol: printable(name),
                    });
                }
                symbol.target()
            }
        };
        Ok(ModuleReloc {
            offset: relocation.offset,
            kind: relocation.kind,
            name,
            addend: relocation.addend,
        })
    }

    /// Declares `name`, which no function defines.
    fn import(
        &mut self,
        compiled: &CompiledFunction,
        name: &UserFuncName,
        target: &RelocationTarget,
    ) -> Result<Symbol, ObjectError> {
        let symbol = (self.symbol_of)(name);
        check_symbol(compiled.name(), &symbol)?;
        let declared = match self.by_symbol.get(&symbol) {
            Some((_, Some(definer))) => return Err(duplicate(&symbol, definer, name)),
            Some((imported, None)) => *imported,
            None => match target {
                RelocationTarget::ThreadLocal(_) => {
                    Symbol::ThreadLocal(self.declare_data(&symbol, true)?)
                }
                RelocationTarget::Data(_) => Symbol::Data(self.declare_data(&symbol, false)?),
                _ => Symbol::Function(
                    self.module
                        .declare_function(&symbol, Linkage::Import, &self.signature)
                        .map_err(writing)?,
                ),
            },
        };
        self.by_symbol.insert(symbol, (declared, None));
        self.by_name.insert(name.clone(), declared);
        Ok(declared)
    }

    fn declare_data(&mut self, symbol: &str, thread_local: bool) -> Result<DataId, ObjectError> {
        self.module
            .declare_data(symbol, Linkage::Import, true, thread_local)
            .map_err(writing)
    }
}

fn check_symbol(function: &UserFuncName, symbol: &str) -> Result<(), ObjectError> {
    if symbol.is_empty() || symbol.contains('\0') {
        return Err(ObjectError::BadSymbol {
            function: printable(function),
            symbol: symbol.to_owned(),
        });
    }
    Ok(())
}

fn duplicate(symbol: &str, first: &UserFuncName, second: &UserFuncName) -> ObjectError {
    ObjectError::DuplicateSymbol {
        symbol: symbol.to_owned(),
        first: printable(first),
        second: printable(second),
    }
}

fn writing(error: ModuleError) -> ObjectError {
    ObjectError::Writing {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectError, ObjectFunction, ObjectLinkage, write_object};
    use crate::backend::{
        CompileScratch, CompiledFunction, TargetSettings, compile_function, default_symbol, target,
    };
    use cranelift_codegen::ir::UserFuncName;
    use cranelift_codegen::isa::OwnedTargetIsa;
    use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
    use std::process::Command;

    const MODULE: &str = "
        function %entry(i64) -> i64 system_v {
            gv0 = symbol %counter
            fn0 = %host_add(i64, i64) -> i64 system_v
            fn1 = colocated u1:2(i64) -> i64 system_v
        block0(v0: i64):
            v1 = symbol_value.i64 gv0
            v2 = load.i64 v1
            v3 = call fn0(v0, v2)
            v4 = call fn1(v3)
            return v4
        }
        function u1:2(i64) -> i64 system_v {
            fn0 = %table(i64) -> i64 system_v
        block0(v0: i64):
            v1 = func_addr.i64 fn0
            v2 = call_indirect sig0, v1(v0)
            return v2
        }
        function %table(i64) -> i64 system_v {
        block0(v0: i64):
            v1 = ireduce.i32 v0
            br_table v1, block3, [block1, block2]
        block1:
            v2 = iconst.i64 11
            return v2
        block2:
            v3 = iconst.i64 22
            return v3
        block3:
            v4 = imul_imm v0, 2
            return v4
        }";

    fn module() -> String {
        // `call_indirect` needs the signature under a name of its own.
        MODULE.replace(
            "fn0 = %table(i64)",
            "sig0 = (i64) -> i64 system_v\n            fn0 = %table(i64)",
        )
    }

    fn compile(isa: &OwnedTargetIsa, text: &str) -> Vec<CompiledFunction> {
        let functions = cranelift_reader::parse_functions(text).unwrap();
        let mut scratch = CompileScratch::new();
        let compiled = functions.iter();
        compiled
            .map(|function| compile_function(&**isa, function, &mut scratch).unwrap())
            .collect()
    }

    fn described(compiled: &[CompiledFunction]) -> Vec<ObjectFunction<'_>> {
        let linkages = [
            ObjectLinkage::Export,
            ObjectLinkage::Local,
            ObjectLinkage::Preemptible,
        ];
        let functions = compiled.iter().zip(linkages.into_iter().cycle());
        functions
            .map(|(compiled, linkage)| ObjectFunction {
                symbol: default_symbol(compiled.name()),
                linkage,
                compiled,
            })
            .collect()
    }

    fn write(target_name: &str, text: &str) -> Result<Vec<u8>, ObjectError> {
        let isa = target(target_name, &TargetSettings::new()).unwrap();
        let compiled = compile(&isa, text);
        write_object(&isa, "module", &described(&compiled), default_symbol)
    }

    /// The symbols that the relocations of `.text` refer to.
    fn relocated_symbols(file: &object::File<'_>) -> Vec<String> {
        let text = file.section_by_name(".text").unwrap();
        let mut names: Vec<String> = text
            .relocations()
            .filter_map(|(_, relocation)| match relocation.target() {
                RelocationTarget::Symbol(index) => Some(
                    file.symbol_by_index(index)
                        .unwrap()
                        .name()
                        .unwrap()
                        .to_owned(),
                ),
                _ => None,
            })
            .filter(|name| !name.starts_with(".L"))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    #[cfg(feature = "all-arch")]
    #[test]
    fn every_architecture_gets_its_symbols_and_relocations() {
        for (name, architecture) in [
            ("x64", object::Architecture::X86_64),
            ("aarch64", object::Architecture::Aarch64),
            ("riscv64", object::Architecture::Riscv64),
            ("s390x", object::Architecture::S390x),
        ] {
            let bytes = write(name, &module()).unwrap();
            let file = object::File::parse(&*bytes).unwrap();
            assert_eq!(file.architecture(), architecture);
            let symbol = |wanted: &str| {
                let mut symbols = file.symbols();
                symbols
                    .find(|symbol| symbol.name() == Ok(wanted))
                    .expect(wanted)
            };
            assert!(
                symbol("entry").is_global() && symbol("entry").is_definition(),
                "{name}"
            );
            assert!(
                symbol("u1_2").is_local() && symbol("u1_2").is_definition(),
                "{name}"
            );
            assert!(
                symbol("table").is_weak() && symbol("table").is_definition(),
                "{name}"
            );
            for import in ["counter", "host_add"] {
                assert!(
                    symbol(import).is_undefined() && !symbol(import).is_local(),
                    "{name}"
                );
            }
            assert_eq!(
                relocated_symbols(&file),
                ["counter", "host_add", "table", "u1_2"],
                "{name}"
            );
        }
    }

    #[cfg(feature = "all-arch")]
    #[test]
    fn a_relocation_lies_where_the_code_of_its_function_lies() {
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let compiled = compile(&isa, &module());
        let bytes = write_object(&isa, "m", &described(&compiled), default_symbol).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let text = file.section_by_name(".text").unwrap();
        let written: Vec<u64> = text.relocations().map(|(offset, _)| offset).collect();
        let mut expected = Vec::new();
        for function in &compiled {
            let symbol = default_symbol(function.name());
            let start = file.symbol_by_name(&symbol).unwrap().address();
            let data = text.data().unwrap();
            assert_eq!(data[start as usize], function.code()[0]);
            let relocations = function.relocations().iter();
            expected.extend(relocations.map(|relocation| start + u64::from(relocation.offset)));
        }
        assert_eq!(written, expected);
    }

    #[test]
    fn the_bytes_are_the_same_each_time() {
        assert_eq!(write("host", &module()), write("host", &module()));
    }

    #[test]
    fn thread_local_and_library_symbols_are_imported() {
        let text = "
            function %f(f64) -> i64, f64 fast {
                gv0 = symbol tls u1:7
            block0(v0: f64):
                v1 = tls_value.i64 gv0
                v2 = fma v0, v0, v0
                return v1, v2
            }";
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let compiled = compile(&isa, text);
        let bytes = write_object(&isa, "m", &described(&compiled), default_symbol).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(
            file.symbol_by_name("u1_7").unwrap().kind(),
            object::SymbolKind::Tls
        );
        assert!(file.symbol_by_name("fma").unwrap().is_undefined());
        assert!(
            file.symbol_by_name("__tls_get_addr")
                .unwrap()
                .is_undefined()
        );
    }

    #[test]
    fn symbols_that_clash_are_told_apart() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let compiled = compile(
            &isa,
            "function %f() fast {\nblock0:\n    return\n}
             function %g() fast {\nfn0 = %f() fast\nblock0:\n    call fn0()\n    return\n}",
        );
        let function = |index: usize, symbol: &str| ObjectFunction {
            symbol: symbol.to_owned(),
            linkage: ObjectLinkage::Export,
            compiled: &compiled[index],
        };
        let write = |functions: &[ObjectFunction<'_>]| {
            write_object(&isa, "m", functions, |_: &UserFuncName| "s".to_owned())
        };
        let clash = |first: &str, second: &str, symbol: &str| {
            Err(ObjectError::DuplicateSymbol {
                symbol: symbol.to_owned(),
                first: first.to_owned(),
                second: second.to_owned(),
            })
        };
        assert_eq!(
            write(&[function(0, "a"), function(1, "a")]),
            clash("%f", "%g", "a")
        );
        assert_eq!(
            write(&[function(0, "a"), function(0, "b")]),
            clash("%f", "%f", "b")
        );
        // `%f` is not written, and as an import it would become a call of `%g`.
        assert_eq!(write(&[function(1, "s")]), clash("%g", "%f", "s"));
        for bad in ["", "nul\0"] {
            assert!(matches!(
                write(&[function(0, bad)]),
                Err(ObjectError::BadSymbol { function, symbol })
                    if function == "%f" && symbol == bad
            ));
        }
        assert!(write(&[function(0, "a"), function(1, "b")]).is_ok());
    }

    #[test]
    fn a_symbol_is_thread_local_everywhere_or_nowhere() {
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let compiled = compile(
            &isa,
            "function %f() -> i64 fast {\ngv0 = symbol %v\nblock0:
                 v0 = symbol_value.i64 gv0\n    return v0\n}
             function %g() -> i64 fast {\ngv0 = symbol tls %v\nblock0:
                 v0 = tls_value.i64 gv0\n    return v0\n}",
        );
        assert!(matches!(
            write_object(&isa, "m", &described(&compiled), default_symbol),
            Err(ObjectError::ThreadLocalMismatch { function, .. }) if function == "%g"
        ));
    }

    #[test]
    fn a_target_without_an_object_format_is_an_error() {
        let isa = target("x86_64-unknown-unknown", &TargetSettings::new()).unwrap();
        let result = write_object(&isa, "m", &[], default_symbol);
        assert!(
            matches!(result, Err(ObjectError::Target { .. })),
            "{result:?}"
        );
    }

    #[cfg(feature = "all-arch")]
    #[test]
    fn a_relocation_that_the_format_lacks_is_an_error_that_names_the_place() {
        // Thread-local access the ELF way, in a Mach-O file.
        let settings = TargetSettings::new().setting("tls_model=elf_gd");
        let isa = target("x86_64-apple-darwin", &settings).unwrap();
        let compiled = compile(
            &isa,
            "function %f() -> i64 system_v {
                 fn0 = %g() system_v
                 gv0 = symbol tls %v
             block0:
                 call fn0()
                 v0 = tls_value.i64 gv0
                 return v0
             }",
        );
        let lacking = compiled[0].relocations().iter();
        let lacking = lacking.map(|relocation| (relocation.kind.to_string(), relocation.offset));
        let lacking = lacking
            .clone()
            .find(|(kind, _)| kind == "ElfX86_64TlsGd")
            .unwrap();
        match write_object(&isa, "m", &described(&compiled), default_symbol) {
            Err(ObjectError::Relocation {
                function,
                kind,
                offset,
                ..
            }) => {
                assert_eq!(function, "%f");
                assert_eq!((kind, offset), lacking);
            }
            other => panic!("{other:?}"),
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_object_links_with_c_and_runs() {
        if Command::new("cc").arg("--version").output().is_err() {
            eprintln!("passed over: there is no `cc` here to link with");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("module.o"), write("host", &module()).unwrap()).unwrap();
        std::fs::write(
            path("main.c"),
            "#include <stdio.h>
             long counter = 40;
             long host_add(long a, long b) { return a + b; }
             extern long entry(long);
             int main(void) {
                 printf(\"%ld %ld %ld\", entry(-40), entry(-39), entry(60));
                 return 0;
             }",
        )
        .unwrap();
        let linked = Command::new("cc")
            .args([
                path("main.c"),
                path("module.o"),
                "-o".into(),
                path("program"),
            ])
            .output()
            .unwrap();
        assert!(
            linked.status.success(),
            "{}",
            String::from_utf8_lossy(&linked.stderr)
        );
        let ran = Command::new(path("program")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "11 22 200");
    }
}
