//! The parameters that have one value on all ways, as Cranelift finds them.
//!
//! Cranelift replaces such a parameter by its value before it moves anything. Equal constants are
//! different values here, other than where [parameters are removed](super::params).

use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, BlockArg, Function, Value, ValueDef};
use rustc_hash::FxHashMap;
use std::cell::OnceCell;

/// The parameters of a function that have one value. They are found when the first one is asked
/// for: most addresses come from parameters of the function itself.
pub(super) struct OneValue<'a> {
    func: &'a Function,
    found: OnceCell<Found>,
}

/// The value of each parameter; `None` if it has several.
type Found = FxHashMap<Value, Option<Value>>;

impl<'a> OneValue<'a> {
    pub(super) fn new(func: &'a Function) -> Self {
        OneValue {
            func,
            found: OnceCell::new(),
        }
    }

    /// Returns the one value of a parameter, or else `value`.
    pub(super) fn of(&self, value: Value) -> Value {
        match is_param(self.func, value) {
            true => value_of(self.found.get_or_init(|| one_values(self.func)), value),
            false => value,
        }
    }
}

/// Finds the parameters with one value like Cranelift: at first all may have one, and those that do
/// not are found until there are no more.
fn one_values(func: &Function) -> Found {
    let mut found = Found::default();
    let Some(entry) = func.layout.entry_block() else {
        return found;
    };
    let (pool, dfg) = (&func.dfg.value_lists, &func.dfg);
    let mut passed: Vec<(Value, BlockArg)> = Vec::new();
    let mut seen: EntitySet<Block> = EntitySet::new();
    let mut pending = vec![entry];
    seen.insert(entry);
    while let Some(block) = pending.pop() {
        let last = func.layout.last_inst(block);
        for call in last.map_or(&[][..], |last| branches(func, last)) {
            let target = call.block(pool);
            let params = dfg.block_params(target);
            passed.extend(params.iter().copied().zip(call.args(pool)));
            if seen.insert(target) {
                pending.push(target);
            }
        }
    }
    // Its parameters come from the caller too.
    let params = dfg.block_params(entry);
    found.extend(params.iter().map(|&param| (param, None)));
    let mut is_changed = true;
    while is_changed {
        is_changed = false;
        for &(param, arg) in &passed {
            let arg = arg.as_value().and_then(|value| resolve_alias(dfg, value));
            let arg = match arg {
                Some(value) if value == param => continue,
                // No value was seen to be passed to it yet.
                Some(value) if is_param(func, value) && !found.contains_key(&value) => continue,
                Some(value) => Some(value_of(&found, value)),
                None => None,
            };
            if arg == Some(param) {
                continue;
            }
            match found.get(&param) {
                None => {
                    found.insert(param, arg);
                    is_changed = true;
                }
                Some(known) if known.is_some() && *known != arg => {
                    found.insert(param, None);
                    is_changed = true;
                }
                Some(_) => {}
            }
        }
    }
    found
}

/// Returns whether `value` is a parameter of a block other than the entry.
fn is_param(func: &Function, value: Value) -> bool {
    matches!(func.dfg.value_def(value), ValueDef::Param(block, _)
        if func.layout.entry_block() != Some(block))
}

fn value_of(found: &Found, value: Value) -> Value {
    found.get(&value).copied().flatten().unwrap_or(value)
}
