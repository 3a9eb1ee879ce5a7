//! Entities and settings of the functions as a whole.

use super::Unproved;
use super::contents::ContentId;
use super::liveness::is_used;
use super::nodes::Side;
use super::walk::{Outcome, Walk};
use cranelift_codegen::ir::{Function, GlobalValue, GlobalValueData, StackSlotData};
use rustc_hash::{FxHashMap, FxHashSet};

impl Walk<'_> {
    pub(super) fn check_header(&mut self) -> Outcome {
        let (before, after) = (self.before.func, self.after.func);
        if before.name != after.name || before.signature != after.signature {
            let message = "the function has another name or signature";
            return Err(Unproved::wrong(message));
        }
        let mut limit = |func: &Function| {
            let limit = func.stack_limit;
            limit.map(|limit: GlobalValue| self.world.contents.global(func, limit))
        };
        if limit(before) != limit(after) {
            return Err(Unproved::wrong("the function has another stack limit"));
        }
        let dynamic = |func: &Function| {
            let slots = func.dynamic_stack_slots.values();
            slots
                .map(|slot| (slot.kind, slot.dyn_ty))
                .collect::<Vec<_>>()
        };
        let types = |func: &Function| {
            let types = func.dfg.dynamic_types.values();
            types.map(|ty| ty.base_vector_ty).collect::<Vec<_>>()
        };
        if dynamic(before) != dynamic(after) || types(before) != types(after) {
            return Err(Unproved::wrong("the function has other dynamic slots"));
        }
        let mut scales = |func: &Function| -> Vec<_> {
            let scales = func.dfg.dynamic_types.values().map(|ty| ty.dynamic_scale);
            scales
                .map(|scale| self.world.contents.global(func, scale))
                .collect()
        };
        if scales(before) != scales(after) {
            return Err(Unproved::wrong("the function has other dynamic types"));
        }
        Ok(())
    }

    /// Checks that symbols and functions are declared to be as near as before: as values, their
    /// addresses are the same either way. Functions whose addresses come from data alone were not
    /// declared.
    pub(super) fn check_declarations(&mut self) -> Outcome {
        let (before, after) = (self.before.func, self.after.func);
        let contents = &mut self.world.contents;
        let mut symbols = |func: &Function| -> FxHashSet<_> {
            let globals = func.global_values.iter();
            let symbols =
                globals.filter(|(_, data)| matches!(data, GlobalValueData::Symbol { .. }));
            symbols
                .map(|(global, _)| contents.global(func, global))
                .collect()
        };
        if !symbols(after).is_subset(&symbols(before)) {
            return Err(Unproved::wrong("the function declares another symbol"));
        }
        let mut functions = |func: &Function| -> FxHashSet<_> {
            let functions = func.dfg.ext_funcs.values();
            functions
                .map(|data| (contents.name(func, &data.name), data.colocated))
                .collect()
        };
        let (known, declared) = (functions(before), functions(after));
        let is_known = |&(name, is_near): &(ContentId, bool)| {
            known.contains(&(name, is_near)) || !is_near && !known.contains(&(name, true))
        };
        match declared.iter().all(is_known) {
            true => Ok(()),
            false => Err(Unproved::wrong("a function is declared nearer or farther")),
        }
    }

    /// Checks named blocks: each is the one with the same call at its end. An address that has no
    /// counterpart was taken for zero.
    pub(super) fn check_named_blocks(&self) -> Outcome {
        for &(inst, a, result, b) in &self.named_blocks {
            let last = self.before.func.layout.last_inst(a);
            let matched = last.and_then(|last| self.matched.get(&last));
            let same = match (matched, b) {
                (Some(matched), Some(b)) => {
                    let other = self.after.func.layout.last_inst(b);
                    matched.len() == 1 && other.is_some_and(|other| matched.contains(&other))
                }
                // The block is unreachable on both sides.
                (None, Some(b)) => self.states[b].is_none(),
                // It is unreachable, or nothing depends on its address.
                (None, None) => true,
                (Some(_), None) => !is_used(self.before.func, inst),
            };
            if !same {
                return Err(self.differs(inst, result, ", which names another block"));
            }
        }
        Ok(())
    }

    /// Checks that slots with a key are there, used or not, and no others with a key.
    pub(super) fn check_keyed_slots(&mut self) -> Outcome {
        let (before, after) = (self.before.func, self.after.func);
        let mut open: FxHashMap<&StackSlotData, i64> = FxHashMap::default();
        let mut keyed = Vec::new();
        for (slot, data) in before.sized_stack_slots.iter() {
            if data.key.is_some() && self.world.tracking.pair(slot).is_none() {
                *open.entry(data).or_default() += 1;
                keyed.push(data);
            }
        }
        for (slot, data) in after.sized_stack_slots.iter() {
            if data.key.is_some() && !self.world.tracking.is_paired(slot) {
                *open.entry(data).or_default() -= 1;
                keyed.push(data);
            }
        }
        for data in keyed {
            let message = match open.get(data).copied().unwrap_or_default() {
                0 => continue,
                1.. => "is missing",
                _ => "comes from nowhere",
            };
            let key = data.key.map_or(0, |key| key.bits());
            return Err(Unproved::wrong(format!("a slot with key {key} {message}")));
        }
        Ok(())
    }

    pub(super) fn is_after(side: Side) -> bool {
        side == Side::After
    }
}
