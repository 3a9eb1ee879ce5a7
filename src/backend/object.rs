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
use super::relocation::{Relocation, RelocationTarget};
use crate::panics;
use crate::program::FunctionName;
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
#[non_exhaustive]
pub struct ObjectFunction<'a> {
    /// Its symbol, without the prefix that an object format may add.
    pub symbol: String,
    /// The visibility of the symbol.
    pub linkage: ObjectLinkage,
    /// Its code.
    pub compiled: &'a CompiledFunction,
}

impl<'a> ObjectFunction<'a> {
    /// Makes a function with the code `compiled` under the symbol `symbol`.
    pub fn new(
        symbol: impl Into<String>,
        linkage: ObjectLinkage,
        compiled: &'a CompiledFunction,
    ) -> Self {
        ObjectFunction {
            symbol: symbol.into(),
            linkage,
            compiled,
        }
    }
}

/// The visibility of a function's symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectLinkage {
    /// All object files see it.
    Export,
    /// All object files that are linked into the same executable or library see it.
    Hidden,
    /// Only its own object file sees it.
    Local,
    /// All object files see it, and the linker may put another definition in its place (a weak
    /// symbol).
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
        /// cranelift-object's message.
        reason: String,
    },
    /// A symbol that object files cannot hold.
    #[error("{function}: `{}` cannot be a symbol", .symbol.escape_default())]
    BadSymbol {
        /// The function.
        function: FunctionName,
        /// The symbol: empty, or with a NUL byte in it.
        symbol: String,
    },
    /// Two functions have the same symbol or the same name, or a name that no function defines has
    /// the symbol of another name's definition.
    #[error("the symbol `{symbol}` stands for both {first} and {second}")]
    DuplicateSymbol {
        /// The symbol.
        symbol: String,
        /// The function that has it.
        first: FunctionName,
        /// The other name.
        second: FunctionName,
    },
    /// A symbol is thread-local in one function and not in another.
    #[error(
        "{function}: the symbol `{symbol}` is thread-local here and not elsewhere, or the other way round"
    )]
    ThreadLocalMismatch {
        /// The function where it was noticed.
        function: FunctionName,
        /// The symbol.
        symbol: String,
    },
    /// A relocation that the object format does not have.
    #[error(
        "{function}: no relocation {kind} at offset {offset:#x} in this object format: {reason}"
    )]
    Relocation {
        /// The function.
        function: FunctionName,
        /// The relocation's kind as Cranelift prints it.
        kind: String,
        /// Bytes from the start of the function.
        offset: u32,
        /// cranelift-object's message.
        reason: String,
    },
    /// A relocation lies outside of its function's code.
    #[error("{function}: a relocation at offset {offset:#x}, outside of the code")]
    RelocationOffset {
        /// The function.
        function: FunctionName,
        /// Bytes from the start of the function.
        offset: u32,
    },
    /// cranelift-object failed otherwise.
    #[error("the object file cannot be written: {reason}")]
    Writing {
        /// The library's message.
        reason: String,
    },
}

/// Writes an object file with `functions` in their order; `name` becomes its file symbol.
/// `symbol_of` gives the symbols of the names that none of them defines;
/// [`default_symbol`](super::default_symbol) is a good one. `isa` must be the target of the
/// compilation.
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
/// let isa = target("host", &TargetSettings::new())?;
/// let compiled = compile_function(&*isa, &functions[0], &mut CompileScratch::new())?;
/// let symbol = default_symbol(compiled.name());
/// let function = ObjectFunction::new(symbol, ObjectLinkage::Export, &compiled);
/// let bytes = write_object(&isa, "answer", &[function], default_symbol)?;
/// assert!(bytes.len() > compiled.code().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_object(
    isa: &OwnedTargetIsa,
    name: &str,
    functions: &[ObjectFunction<'_>],
    symbol_of: impl Fn(&UserFuncName) -> String,
) -> Result<Vec<u8>, ObjectError> {
    emit_object(build_object(isa, name, functions, symbol_of)?)
}

/// Returns the bytes of an object file from [`build_object`], with later additions.
///
/// # Errors
///
/// [`ObjectError::Writing`].
pub fn emit_object(product: ObjectProduct) -> Result<Vec<u8>, ObjectError> {
    panics::catch(|| product.emit())
        .map_err(|reason| ObjectError::Writing { reason })?
        .map_err(|error| ObjectError::Writing {
            reason: error.to_string(),
        })
}

/// Builds the object file that [`write_object`] writes, before it becomes bytes, for embedders that
/// add sections. The functions have the ids 0, 1, … in their order.
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

/// The definition of a symbol in the object file.
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
    /// Object files have no signatures, but cranelift-module requires one.
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
            ObjectLinkage::Hidden => Linkage::Hidden,
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
            // anything, without naming it. So each one is tried alone.
            let mut each = relocations.iter();
            let lacking = each.find(|relocation| define(slice::from_ref(relocation)).is_err());
            Err(match lacking {
                Some(relocation) => ObjectError::Relocation {
                    function: FunctionName::from(compiled.name().clone()),
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
                function: FunctionName::from(compiled.name().clone()),
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
                        function: FunctionName::from(compiled.name().clone()),
                        symbol: FunctionName::from(name.clone()).to_string(),
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
            function: FunctionName::from(function.clone()),
            symbol: symbol.to_owned(),
        });
    }
    Ok(())
}

fn duplicate(symbol: &str, first: &UserFuncName, second: &UserFuncName) -> ObjectError {
    ObjectError::DuplicateSymbol {
        symbol: symbol.to_owned(),
        first: FunctionName::from(first.clone()),
        second: FunctionName::from(second.clone()),
    }
}

fn writing(error: ModuleError) -> ObjectError {
    ObjectError::Writing {
        reason: error.to_string(),
    }
}
