//! Programs that are called in child processes.

use super::child::{self, Call, Ending};
use super::loader::{Loader, Target};
use super::machine::Code;
use super::{Callable, check_arguments, compile_glue};
use crate::execute::Invocation;
use crate::execute::error::ExecuteError;
use crate::execute::glue;
use crate::execute::image::Image;
use crate::execute::tables;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_inliner::backend::{CompileScratch, CompiledFunction};
use cranelift_inliner::panics;
use cranelift_inliner::program::{FunctionName, Program};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Linked code that is called in forked children of this process. A trap, a wild store or a call of
/// more than a minute ends only the child. The code calls real functions of the process, not the
/// recorded host of [`NativeProgram`](super::NativeProgram), and runs on Unix on every architecture
/// of Cranelift. [`Engine`](super::Engine) is much faster for well-behaved programs.
///
/// ```
/// use cranelift_codegen::data_value::DataValue;
/// use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function, target};
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner_testing::execute::{
///     Invocation, IsolatedOutcome, IsolatedProgram, process_symbol,
/// };
///
/// let program = Program::from_clif("
/// function %absolute(i32) -> i32 {
///     sig0 = (i32) -> i32
///     fn0 = %abs sig0
/// block0(v0: i32):
///     v1 = func_addr.i64 fn0
///     v2 = call_indirect sig0, v1(v0)
///     return v2
/// }", "absolute.clif")?;
/// let settings = TargetSettings::new().position_independent(false);
/// let isa = target("host", &settings)?;
/// let (_, function) = program.iter().next().ok_or("no function")?;
/// let compiled = compile_function(&*isa, function.body(), &mut CompileScratch::new())?;
/// # if !cfg!(unix) { return Ok(()) }
/// let callable = [(function.name(), &function.body().signature)];
/// let symbol = |name: &_| (*name == "abs".parse().ok()?).then(|| process_symbol("abs"))?;
/// let linked = IsolatedProgram::link(&isa, &program, &[&compiled], callable, symbol)?;
/// let call = Invocation { function: "absolute".parse()?, arguments: vec![DataValue::I32(-7)] };
/// let ended = linked.call_all([&call]).remove(0)?;
/// assert!(matches!(ended, IsolatedOutcome::Returned(values) if values == [DataValue::I32(7)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IsolatedProgram {
    /// Code that is executed by address; kept until all calls have ended.
    _code: Code,
    image: Arc<Image>,
    callable: FxHashMap<FunctionName, Result<Callable, ExecuteError>>,
}

/// The end of an isolated call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IsolatedOutcome {
    /// It returned these values, with the bits from the code.
    Returned(Vec<DataValue>),
    /// The child process did not survive the call. The text has the signal that ended it, or says
    /// that an exception has no handler.
    Ended(String),
}

impl std::fmt::Debug for IsolatedProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IsolatedProgram").finish_non_exhaustive()
    }
}

impl IsolatedProgram {
    /// Links `functions`, which must be compiled for `isa`, this machine's, without `is_pic`.
    /// Functions in `callable` can be called, by name and signature. The
    /// [tables](Program::add_table) of `program` to which they refer are defined. `symbol` looks up
    /// all other names.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Link`] if a name has no address or the code needs a relocation that memory
    /// cannot have.
    pub fn link<'a>(
        isa: &OwnedTargetIsa,
        program: &Program,
        functions: &[&CompiledFunction],
        callable: impl IntoIterator<Item = (&'a FunctionName, &'a Signature)>,
        symbol: impl Fn(&FunctionName) -> Option<*const u8>,
    ) -> Result<Self, ExecuteError> {
        let mut scratch = CompileScratch::new();
        let mut entries: FxHashMap<&Signature, usize> = FxHashMap::default();
        let mut glue: Vec<Result<CompiledFunction, String>> = Vec::new();
        let wanted: Vec<(&FunctionName, &Signature, usize)> = callable
            .into_iter()
            .map(|(name, signature)| {
                let entry = *entries.entry(signature).or_insert_with(|| {
                    glue.push(entry(signature, &**isa, &mut scratch));
                    glue.len() - 1
                });
                (name, signature, entry)
            })
            .collect();
        let linked = panics::catch(|| place(isa, program, functions, &glue, symbol));
        let Placed {
            code,
            image,
            addresses,
            entries,
        } = linked
            .unwrap_or_else(Err)
            .map_err(|reason| match functions.first() {
                Some(first) => ExecuteError::Link {
                    function: FunctionName::from(first.name().clone()),
                    reason,
                },
                None => ExecuteError::Unsupported { reason },
            })?;
        let callable = wanted.into_iter().map(|(name, signature, entry)| {
            let callee = addresses.get(name).copied();
            let callee = callee.ok_or_else(|| ExecuteError::UnknownFunction {
                function: name.clone(),
            });
            let callable = callee.and_then(|callee| match entries.get(entry) {
                Some(Ok(entry)) => Ok(Callable {
                    signature: signature.clone(),
                    entry: *entry,
                    callee,
                }),
                Some(Err(reason)) => Err(bad_signature(name, reason)),
                None => Err(bad_signature(name, "it has no entry")),
            });
            (name.clone(), callable)
        });
        Ok(Self {
            callable: callable.collect(),
            _code: code,
            image: Arc::new(image),
        })
    }

    /// Makes the calls in order, and returns the end of each. A call after one that ended its
    /// process starts with the original memory.
    ///
    /// # Errors
    ///
    /// Per call: [`ExecuteError::UnknownFunction`] for a function that is not callable,
    /// [`ExecuteError::Arguments`], [`ExecuteError::Signature`] if the function cannot be called
    /// through values, and [`ExecuteError::Unsupported`] without a process to call it in.
    pub fn call_all<'a>(
        &self,
        invocations: impl IntoIterator<Item = &'a Invocation>,
    ) -> Vec<Result<IsolatedOutcome, ExecuteError>> {
        let mut calls = Vec::new();
        let mut signatures = Vec::new();
        let planned: Vec<Result<(), ExecuteError>> = invocations
            .into_iter()
            .map(|invocation| {
                let callable = self.callable(invocation)?;
                calls.push(Call {
                    entry: callable.entry,
                    callee: callable.callee,
                    slots: glue::fill(&invocation.arguments, &callable.signature, glue::NATIVE),
                });
                signatures.push(&callable.signature);
                Ok(())
            })
            .collect();
        let mut endings = child::call_all(&self.image, &mut calls)
            .into_iter()
            .zip(signatures);
        let mut next = || match endings.next() {
            Some((Ending::Returned(slots), signature)) => Ok(IsolatedOutcome::Returned(
                glue::read(&slots, &signature.returns, glue::NATIVE),
            )),
            Some((Ending::Ended(how), _)) => Ok(IsolatedOutcome::Ended(how)),
            Some((Ending::NotRun(reason), _)) => Err(ExecuteError::Unsupported { reason }),
            None => Err(ExecuteError::Unsupported {
                reason: "the call was not made".to_owned(),
            }),
        };
        planned
            .into_iter()
            .map(|plan| plan.and_then(|()| next()))
            .collect()
    }

    fn callable(&self, invocation: &Invocation) -> Result<&Callable, ExecuteError> {
        let name = &invocation.function;
        let callable = self.callable.get(name);
        let callable = callable.ok_or_else(|| ExecuteError::UnknownFunction {
            function: name.clone(),
        })?;
        let callable = callable.as_ref().map_err(Clone::clone)?;
        check_arguments(&invocation.arguments, &callable.signature).map_err(|reason| {
            ExecuteError::Arguments {
                function: name.clone(),
                reason,
            }
        })?;
        Ok(callable)
    }
}

fn entry(
    signature: &Signature,
    isa: &dyn TargetIsa,
    scratch: &mut CompileScratch,
) -> Result<CompiledFunction, String> {
    glue::check_signature(signature)?;
    compile_glue(isa, &glue::entry(signature, isa), scratch)
}

fn bad_signature(name: &FunctionName, reason: &str) -> ExecuteError {
    ExecuteError::Signature {
        function: name.clone(),
        reason: reason.to_owned(),
    }
}

/// Code in memory, and its addresses.
struct Placed {
    code: Code,
    image: Image,
    addresses: FxHashMap<FunctionName, u64>,
    entries: Vec<Result<u64, String>>,
}

fn place(
    isa: &OwnedTargetIsa,
    program: &Program,
    functions: &[&CompiledFunction],
    glue: &[Result<CompiledFunction, String>],
    symbol: impl Fn(&FunctionName) -> Option<*const u8>,
) -> Result<Placed, String> {
    let name_of = |function: &CompiledFunction| FunctionName::from(function.name().clone());
    let mut known: FxHashMap<FunctionName, usize> = FxHashMap::default();
    for (index, function) in functions.iter().enumerate() {
        known.insert(name_of(function), index);
    }
    let mut tables = tables::referenced(program, functions)?;
    tables.retain(|name, _| !known.contains_key(name));
    let mut symbols = Vec::new();
    let mut imports: FxHashMap<FunctionName, usize> = FxHashMap::default();
    let relocations = functions.iter().flat_map(|function| function.relocations());
    let of_code = relocations.filter_map(|relocation| relocation.target.name());
    let of_code = of_code.cloned().map(FunctionName::from);
    let of_tables = tables.values().flat_map(|table| &table.entries);
    for name in of_code.chain(of_tables.map(|(_, name)| name.clone())) {
        let is_here = known.contains_key(&name) || tables.contains_key(&name);
        if is_here || imports.contains_key(&name) {
            continue;
        }
        let address = symbol(&name).ok_or_else(|| format!("there is no {name}"))?;
        imports.insert(name, symbols.len());
        symbols.push((format!("symbol{}", symbols.len()), address));
    }

    let sound = glue.iter().filter_map(|entry| entry.as_ref().ok());
    let all = functions.iter().copied().chain(sound);
    let mut loader = Loader::new(isa, all, tables.values(), symbols.clone())?;
    let ids = loader.declare(functions.len())?;
    let imported = symbols.iter().map(|(symbol, _)| loader.import(symbol));
    let imported: Vec<_> = imported.collect::<Result<_, String>>()?;
    let of_name = |name: &FunctionName| match known.get(name) {
        Some(&index) => ids.get(index).copied(),
        None => imported.get(*imports.get(name)?).copied(),
    };
    let mut places: FxHashMap<&FunctionName, Target> = FxHashMap::default();
    for (name, table) in &tables {
        places.insert(name, loader.define_table(table, of_name)?);
    }
    for (function, &id) in functions.iter().zip(&ids) {
        loader.define(id, function, |name| match places.get(name) {
            Some(table) => Some(*table),
            None => of_name(name).map(Target::function),
        })?;
    }
    let mut entry_ids = Vec::new();
    for entry in glue {
        entry_ids.push(match entry {
            Err(reason) => Err(reason.clone()),
            Ok(entry) => {
                let id = loader.declare(1)?.first().copied();
                let id = id.ok_or("an entry was not declared")?;
                loader.define(id, entry, |_| None)?;
                Ok(id)
            }
        });
    }

    let code = Code::new(loader.finish()?);
    let mut image = Image::default();
    let mut addresses = FxHashMap::default();
    for (function, &id) in functions.iter().zip(&ids) {
        let start = code.address(id);
        image.place(function, start);
        addresses.insert(name_of(function), start);
    }
    image.sort();
    let entries = entry_ids
        .into_iter()
        .map(|id| id.map(|id| code.address(id)))
        .collect();
    Ok(Placed {
        code,
        image,
        addresses,
        entries,
    })
}
