//! The data of read-only tables of functions.

use cranelift_inliner::backend::{CompiledFunction, RelocationTarget};
use cranelift_inliner::program::{FunctionName, Program};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum size of a table, in bytes.
const MAX_BYTES: i64 = 1 << 20;

/// The bytes of an address.
const ADDRESS: i64 = 8;

/// A table as an object in memory.
pub(super) struct TableData {
    /// The bytes before the table's symbol; entries may have negative offsets.
    pub(super) before: i64,
    pub(super) size: usize,
    /// The offset of each entry from the first byte, and its function.
    pub(super) entries: Vec<(u32, FunctionName)>,
}

impl TableData {
    fn new(program: &Program, name: &FunctionName) -> Result<Self, String> {
        let entries: Vec<(i64, &FunctionName)> = program.table(name).collect();
        let first = entries.first().map_or(0, |&(offset, _)| offset.min(0));
        let last = entries.last().map_or(0, |&(offset, _)| offset);
        let size = last.checked_sub(first).filter(|&size| size < MAX_BYTES);
        let size = size.ok_or_else(|| format!("the table {name} is larger than 1 MiB"))?;
        let overlaps = |pair: &[(i64, &FunctionName)]| pair[1].0 - pair[0].0 < ADDRESS;
        if entries.windows(2).any(overlaps) {
            return Err(format!("entries of the table {name} overlap"));
        }
        let place = |&(offset, function): &(i64, &FunctionName)| {
            let place = u32::try_from(offset - first).ok()?;
            Some((place, function.clone()))
        };
        Ok(TableData {
            before: -first,
            size: usize::try_from(size + ADDRESS).unwrap_or(0),
            entries: entries.iter().filter_map(place).collect(),
        })
    }
}

/// Returns the tables of `program` to which `functions` refer.
pub(super) fn referenced(
    program: &Program,
    functions: &[&CompiledFunction],
) -> Result<BTreeMap<FunctionName, TableData>, String> {
    let tables: BTreeSet<&FunctionName> = program.tables().collect();
    let mut found = BTreeMap::new();
    if tables.is_empty() {
        return Ok(found);
    }
    for relocation in functions.iter().flat_map(|function| function.relocations()) {
        let RelocationTarget::Data(name) = &relocation.target else {
            continue;
        };
        let name = FunctionName::from(name.clone());
        if tables.contains(&name) && !found.contains_key(&name) {
            let data = TableData::new(program, &name)?;
            found.insert(name, data);
        }
    }
    Ok(found)
}
