//! Compares the labels of values.

use super::difference::Difference;
use super::tables::Walk;
use super::tree::CopyId;
use cranelift_codegen::ir::{
    BlockArg, Function, Inst, Opcode, SourceLoc, Value, ValueDef, ValueLabel, ValueLabelAssignments,
};
use rustc_hash::{FxHashMap, FxHashSet};

impl Walk<'_> {
    /// Checks that each reached, labelled source value has its labels in the result, and that the
    /// result has no other labels, except of unreached values. A value that no instruction uses may
    /// be gone with a block that clean-up removed.
    pub(super) fn check_labels(&self) -> Result<(), Difference> {
        let mut known: FxHashSet<(Value, Label)> = FxHashSet::default();
        // The fate of values in unreached parts of the source is unknown: the result of a call may
        // have become a reached value.
        let mut unreached: FxHashSet<Label> = FxHashSet::default();
        let labels_after = self.labels_after();
        let mut on_the_way: FxHashMap<(CopyId, Value), Vec<Value>> = FxHashMap::default();
        for &(copy, value, result) in &self.passed {
            on_the_way.entry((copy, value)).or_default().push(result);
        }
        for (copy, data) in self.tree.copies.iter() {
            let Some(labels) = &data.func.dfg.values_labels else {
                continue;
            };
            let mut values: Vec<Value> = labels.keys().copied().collect();
            values.sort_unstable();
            for value in values {
                let wanted = self.labels_of(data.func, value);
                let resolved = data.func.dfg.resolve_aliases(value);
                let Some(terms) = &self.terms[copy][resolved] else {
                    unreached.extend(wanted);
                    continue;
                };
                let mut found = terms.is_empty();
                for term in terms {
                    if let BlockArg::Value(result) = *term {
                        let has = |&label: &Label| labels_after.contains(&(result, label));
                        found |= wanted.iter().all(has);
                        known.extend(wanted.iter().map(|&label| (result, label)));
                    }
                }
                let on_the_way = on_the_way.get(&(copy, resolved));
                found |= on_the_way.into_iter().flatten().any(|&result| {
                    let has = |&label: &Label| labels_after.contains(&(result, label));
                    wanted.iter().all(has)
                });
                if !found && !self.is_passed_over(copy, resolved) {
                    let message = format!("the labels of {value} of {copy} are lost");
                    return Err(Difference::general(message));
                }
            }
        }
        for &(copy, value, result) in &self.passed {
            let labels = self.labels_of(self.tree.func(copy), value);
            known.extend(labels.into_iter().map(|label| (result, label)));
        }
        self.check_no_other_labels(&known, &unreached)
    }

    /// Returns whether `value` may be gone: instructions of the result only pass it on, and
    /// splicing makes it a block parameter, which goes away with a block that clean-up removed.
    fn is_passed_over(&self, copy: CopyId, value: Value) -> bool {
        let (mut copy, mut value) = (copy, value);
        // A valid function has no cycle of such values.
        for _ in 0..=self.tree.copies.len() {
            let func = self.tree.func(copy);
            if self.is_used(copy, value) {
                return false;
            }
            match func.dfg.value_def(value) {
                ValueDef::Param(block, index) if func.layout.entry_block() == Some(block) => {
                    // It is its argument.
                    let Some(site) = self.tree.site(copy) else {
                        return false;
                    };
                    let around = self.tree.func(site.parent);
                    let Some(&arg) = around.dfg.inst_args(site.call).get(index) else {
                        return false;
                    };
                    (copy, value) = (site.parent, around.dfg.resolve_aliases(arg));
                }
                ValueDef::Param(..) => return true,
                ValueDef::Result(call, index) => {
                    let Some(child) = self.tree.child(copy, call) else {
                        return self.became_try_call(copy, call);
                    };
                    // It is the value of the only `return`; several returns meet in a block that
                    // has it as parameter.
                    let mut returns = Vec::new();
                    self.find_returns(child, &mut returns);
                    let [(of, only)] = returns[..] else {
                        return true;
                    };
                    let returning = self.tree.func(of);
                    let Some(&returned) = returning.dfg.inst_args(only).get(index) else {
                        return false;
                    };
                    (copy, value) = (of, returning.dfg.resolve_aliases(returned));
                }
                ValueDef::Union(..) => return false,
            }
        }
        false
    }

    /// Returns whether a call got handlers, so that its results are parameters of a block.
    fn became_try_call(&self, copy: CopyId, call: Inst) -> bool {
        let result = self.matches.get(&(copy, call));
        result.is_some_and(|&result| {
            let opcode = self.after.dfg.insts[result].opcode();
            matches!(opcode, Opcode::TryCall | Opcode::TryCallIndirect)
        })
    }

    fn is_used(&self, copy: CopyId, value: Value) -> bool {
        let func = self.tree.func(copy);
        let uses = |inst: Inst| {
            let args = func.dfg.inst_args(inst).iter();
            args.map(|&arg| func.dfg.resolve_aliases(arg))
                .any(|arg| arg == value)
        };
        let blocks = func.layout.blocks();
        let mut insts = blocks.flat_map(|block| func.layout.block_insts(block));
        insts.any(|inst| self.matches.contains_key(&(copy, inst)) && uses(inst))
    }

    /// Finds the `return`s of a copy, and of the copies that replaced its tail calls.
    fn find_returns(&self, copy: CopyId, returns: &mut Vec<(CopyId, Inst)>) {
        let mut work = vec![copy];
        while let Some(copy) = work.pop() {
            let func = self.tree.func(copy);
            let blocks = func.layout.blocks();
            for last in blocks.filter_map(|block| func.layout.last_inst(block)) {
                match func.dfg.insts[last].opcode() {
                    Opcode::Return => returns.push((copy, last)),
                    Opcode::ReturnCall => work.extend(self.tree.child(copy, last)),
                    _ => {}
                }
            }
        }
    }

    /// Returns the labels of each value of the result and of its aliases: those that the caller's
    /// own aliases had stay where they were.
    fn labels_after(&self) -> FxHashSet<(Value, Label)> {
        let dfg = &self.after.dfg;
        let labelled = dfg.values_labels.iter().flat_map(|labels| labels.keys());
        labelled
            .flat_map(|&value| {
                let resolved = dfg.resolve_aliases(value);
                let labels = self.labels_of(self.after, value).into_iter();
                labels.map(move |label| (resolved, label))
            })
            .collect()
    }

    fn check_no_other_labels(
        &self,
        known: &FxHashSet<(Value, Label)>,
        unreached: &FxHashSet<Label>,
    ) -> Result<(), Difference> {
        let dfg = &self.after.dfg;
        let labels = dfg.values_labels.iter().flat_map(|labels| labels.keys());
        let mut values: Vec<Value> = labels.copied().collect();
        values.sort_unstable();
        for value in values {
            let resolved = dfg.resolve_aliases(value);
            let block = match dfg.value_def(resolved) {
                ValueDef::Result(inst, _) => self.after.layout.inst_block(inst),
                ValueDef::Param(block, _) => Some(block),
                ValueDef::Union(..) => None,
            };
            let is_reached = block.is_some_and(|block| self.domtree.is_reachable(block));
            let labels = self.labels_of(self.after, value);
            let is_known =
                |label: &Label| known.contains(&(resolved, *label)) || unreached.contains(label);
            if is_reached && !labels.iter().all(is_known) {
                let message = format!("{value} of the result has a label that comes from nowhere");
                return Err(Difference::general(message));
            }
        }
        Ok(())
    }
}

/// A label and where it starts.
type Label = (ValueLabel, SourceLoc);

impl Walk<'_> {
    /// Returns the labels of a value, without their start locations if locations are not compared.
    fn labels_of(&self, func: &Function, value: Value) -> Vec<Label> {
        let mut labels = labels_of(func, value);
        if !self.tree.keeps_locations {
            for (_, from) in &mut labels {
                *from = SourceLoc::default();
            }
        }
        labels
    }
}

fn labels_of(func: &Function, value: Value) -> Vec<Label> {
    let Some(labels) = &func.dfg.values_labels else {
        return Vec::new();
    };
    let mut value = value;
    for _ in 0..=labels.len() {
        match labels.get(&value) {
            Some(ValueLabelAssignments::Starts(starts)) => {
                let base = func.params.base_srcloc();
                let labels = starts.iter();
                return labels
                    .map(|start| (start.label, start.from.expand(base)))
                    .collect();
            }
            Some(ValueLabelAssignments::Alias { value: next, .. }) => value = *next,
            None => break,
        }
    }
    Vec::new()
}
