//! Read-only tables of functions.

use crate::program::FunctionName;
use cranelift_codegen::ir::Signature;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Data that is never written and holds addresses of functions: vtables, tables of handlers.
///
/// [`optimize`](super::optimize) replaces a load from the symbol of such data by the address there.
/// The pass adds those that a [`Program`](crate::program::Program::add_table) has.
///
/// ```
/// use cranelift_codegen::{ir::Signature, isa::CallConv};
/// use cranelift_inliner::cleanup::{TableFunction, Tables};
///
/// let function = TableFunction::new("f".parse()?, Signature::new(CallConv::Fast));
/// let mut tables = Tables::default();
/// tables.insert("handlers".parse()?, 8, function);
/// assert!(tables.get(&"handlers".parse()?, 8).is_some());
/// assert!(tables.get(&"handlers".parse()?, 0).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tables(FxHashMap<FunctionName, BTreeMap<i64, TableFunction>>);

/// A function whose address a table holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TableFunction {
    /// Its name.
    pub name: FunctionName,
    /// Its signature.
    pub signature: Signature,
}

impl TableFunction {
    /// Returns the function of this name and signature.
    pub fn new(name: FunctionName, signature: Signature) -> Self {
        TableFunction { name, signature }
    }
}

impl Tables {
    /// Declares that the address of `function` is always `offset` bytes behind the symbol `table`.
    /// Returns the earlier entry.
    pub fn insert(
        &mut self,
        table: FunctionName,
        offset: i64,
        function: TableFunction,
    ) -> Option<TableFunction> {
        self.0.entry(table).or_default().insert(offset, function)
    }

    /// Returns the function whose address is at this offset.
    pub fn get(&self, table: &FunctionName, offset: i64) -> Option<&TableFunction> {
        self.0.get(table)?.get(&offset)
    }

    /// Returns the functions of all tables, in no fixed order.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &FunctionName> {
        let functions = self.0.values().flat_map(BTreeMap::values);
        functions.map(|function| &function.name)
    }

    /// Returns whether there are entries of this table.
    pub fn contains(&self, table: &FunctionName) -> bool {
        self.0.contains_key(table)
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
