//! Linking a program with the glue to the recorded host.
//!
//! The program's functions come first, then the entries of callable ones, then a shim for each
//! referenced function of the host.

use super::loader::{Loader, Target};
use super::machine::{self, Code};
use super::{Callable, Engine, GlueKind, NativeProgram};
use crate::execute::declared::declared;
use crate::execute::error::ExecuteError;
use crate::execute::glue::{NUMBER, RECORDER};
use crate::execute::image::Image;
use crate::execute::tables::{self, TableData};
use cranelift_codegen::ir::Signature;
use cranelift_inliner::backend::{CompiledFunction, RelocationTarget};
use cranelift_inliner::panics;
use cranelift_inliner::program::{FunctionName, Linkage as ProgramLinkage, Program};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn link(
    engine: &Engine,
    source: &Program,
    functions: Vec<&CompiledFunction>,
) -> Result<NativeProgram, ExecuteError> {
    let plan = Plan::new(engine, source, &functions)?;
    let place = |first: &CompiledFunction, reason| ExecuteError::Link {
        function: FunctionName::from(first.name().clone()),
        reason,
    };
    let linked = panics::catch(|| plan.link(engine, &functions));
    linked
        .unwrap_or_else(Err)
        .map_err(|reason| match functions.first() {
            Some(first) => place(first, reason),
            None => ExecuteError::Unsupported { reason },
        })
}

/// The inputs of linking.
struct Plan {
    /// For each callable function its place among the functions.
    callable: Vec<(usize, Signature, Arc<CompiledFunction>)>,
    /// The functions that are not callable because of their signatures.
    not_callable: Vec<(FunctionName, ExecuteError)>,
    /// The referenced functions of the host, with their shims.
    host: Vec<(FunctionName, Signature, Arc<CompiledFunction>)>,
    /// The referenced tables.
    tables: BTreeMap<FunctionName, TableData>,
    known: FxHashMap<FunctionName, Known>,
}

/// The meaning of a name.
#[derive(Clone, Copy)]
enum Known {
    /// A function of the program, by place among the functions.
    Function(usize),
    /// A function of the host, by number.
    Host(usize),
}

impl Plan {
    fn new(
        engine: &Engine,
        source: &Program,
        functions: &[&CompiledFunction],
    ) -> Result<Self, ExecuteError> {
        let declared = declared(source)?;
        let tables = tables::referenced(source, functions);
        let tables = tables.map_err(|reason| ExecuteError::Unsupported { reason })?;
        let mut plan = Plan {
            tables,
            callable: Vec::new(),
            not_callable: Vec::new(),
            host: Vec::new(),
            known: FxHashMap::default(),
        };
        for (index, function) in functions.iter().enumerate() {
            let name = FunctionName::from(function.name().clone());
            let of_source = source.id(&name).and_then(|id| source.get(id));
            if let Some(of_source) = of_source
                && of_source.linkage() != ProgramLinkage::Local
            {
                let signature = &of_source.body().signature;
                match engine.glue(GlueKind::Entry, &name, signature) {
                    Ok(entry) => plan.callable.push((index, signature.clone(), entry)),
                    Err(reason) => plan.not_callable.push((name.clone(), reason)),
                }
            }
            plan.known.insert(name, Known::Function(index));
        }
        for function in functions {
            for relocation in function.relocations() {
                plan.need(engine, source, &declared, function, &relocation.target)?;
            }
        }
        let of_tables: Vec<FunctionName> = plan
            .tables
            .values()
            .flat_map(|table| table.entries.iter().map(|(_, name)| name.clone()))
            .collect();
        if let Some(first) = functions.first() {
            for name in of_tables {
                plan.need_name(engine, source, &declared, first, name)?;
            }
        }
        Ok(plan)
    }

    /// Adds the functions that `function` refers to.
    fn need(
        &mut self,
        engine: &Engine,
        source: &Program,
        declared: &FxHashMap<FunctionName, &Signature>,
        function: &CompiledFunction,
        target: &RelocationTarget,
    ) -> Result<(), ExecuteError> {
        let missing = |reason| {
            Err(ExecuteError::Link {
                function: FunctionName::from(function.name().clone()),
                reason,
            })
        };
        let name = match target {
            RelocationTarget::Function(name) | RelocationTarget::Data(name) => {
                FunctionName::from(name.clone())
            }
            RelocationTarget::LibCall(_) | RelocationTarget::FunctionOffset(_) => return Ok(()),
            RelocationTarget::ThreadLocal(_) | RelocationTarget::KnownSymbol(_) => {
                return missing(format!("there is no {target:?}"));
            }
        };
        match self.tables.contains_key(&name) {
            true => Ok(()),
            false => self.need_name(engine, source, declared, function, name),
        }
    }

    /// Adds the function `name`, to which `function` refers, itself or through a table.
    fn need_name(
        &mut self,
        engine: &Engine,
        source: &Program,
        declared: &FxHashMap<FunctionName, &Signature>,
        function: &CompiledFunction,
        name: FunctionName,
    ) -> Result<(), ExecuteError> {
        let missing = |reason| {
            Err(ExecuteError::Link {
                function: FunctionName::from(function.name().clone()),
                reason,
            })
        };
        if self.known.contains_key(&name) {
            return Ok(());
        }
        if source.id(&name).is_some() {
            return missing(format!("it refers to {name}, which was not compiled"));
        }
        let Some(&signature) = declared.get(&name) else {
            return missing(format!("it refers to {name}, which is not a function"));
        };
        let shim = engine.glue(GlueKind::Shim, &name, signature)?;
        self.known
            .insert(name.clone(), Known::Host(self.host.len()));
        self.host.push((name, signature.clone(), shim));
        Ok(())
    }

    fn link(
        self,
        engine: &Engine,
        functions: &[&CompiledFunction],
    ) -> Result<NativeProgram, String> {
        let glue = self.callable.iter().map(|(.., entry)| &**entry);
        let glue = glue.chain(self.host.iter().map(|(.., shim)| &**shim));
        let all = functions.iter().copied().chain(glue);
        let numbers = (0..self.host.len())
            .map(|number| (number_symbol(number), std::ptr::without_provenance(number)));
        let recorder = (RECORDER.to_owned(), machine::recorder());
        let symbols = numbers.chain([recorder]).collect();
        let mut loader = Loader::new(&engine.isa, all, self.tables.values(), symbols)?;

        let ids = loader.declare(functions.len())?;
        let entries = loader.declare(self.callable.len())?;
        let shims = loader.declare(self.host.len())?;

        let function = |name: &FunctionName| match self.known.get(name)? {
            Known::Function(index) => ids.get(*index).copied(),
            Known::Host(number) => shims.get(*number).copied(),
        };
        let mut tables: FxHashMap<&FunctionName, Target> = FxHashMap::default();
        for (name, table) in &self.tables {
            tables.insert(name, loader.define_table(table, function)?);
        }
        for (compiled, &id) in functions.iter().zip(&ids) {
            loader.define(id, compiled, |name| match tables.get(name) {
                Some(table) => Some(*table),
                None => function(name).map(Target::function),
            })?;
        }
        for ((.., entry), &id) in self.callable.iter().zip(&entries) {
            loader.define(id, entry, |_| None)?;
        }
        for (number, ((.., shim), &id)) in self.host.iter().zip(&shims).enumerate() {
            let recorder = loader.import(RECORDER)?;
            let number = loader.import(&number_symbol(number))?;
            loader.define(id, shim, |name| {
                Some(Target::function(
                    match *name == FunctionName::testcase(RECORDER) {
                        true => recorder,
                        false => number,
                    },
                ))
            })?;
        }

        let code = Code::new(loader.finish()?);
        let mut image = Image::default();
        for (function, &id) in functions.iter().zip(&ids) {
            image.place(function, code.address(id));
        }
        let glue = self.callable.iter().map(|(.., entry)| entry).zip(&entries);
        let glue = glue.chain(self.host.iter().map(|(.., shim)| shim).zip(&shims));
        for (glue, &id) in glue {
            image.place_glue(code.address(id), glue.code().len() as u64);
        }
        image.sort();
        let host = self.host.into_iter();
        image.host = host.map(|(name, signature, _)| (name, signature)).collect();

        let names = functions.iter();
        let names = names.map(|function| FunctionName::from(function.name().clone()));
        let addresses = ids.iter().map(|&id| code.address(id));
        let functions: Vec<(FunctionName, u64)> = names.zip(addresses).collect();
        let callable = self.callable.into_iter().zip(&entries);
        let callable = callable.filter_map(|((index, signature, _), &entry)| {
            let (name, callee) = functions.get(index)?;
            let callable = Callable {
                signature,
                entry: code.address(entry),
                callee: *callee,
            };
            Some((name.clone(), Ok(callable)))
        });
        let not_callable = self.not_callable.into_iter();
        let not_callable = not_callable.map(|(name, reason)| (name, Err(reason)));
        Ok(NativeProgram {
            callable: callable.chain(not_callable).collect(),
            code,
            image,
            functions,
        })
    }
}

/// Returns the symbol whose address is `number`.
fn number_symbol(number: usize) -> String {
    format!("{NUMBER}{number}")
}
