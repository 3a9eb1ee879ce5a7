//! Comparing what rides on instructions and values.

use super::difference::Difference;
use super::tree::CopyId;
use super::walk::{NamedBlock, Walk};
use cranelift_codegen::ir::{
    BlockArg, DebugTag, Function, Inst, SourceLoc, UserStackMapEntry, Value, ValueDef, ValueLabel,
    ValueLabelAssignments,
};
use rustc_hash::{FxHashMap, FxHashSet};

impl Walk<'_> {
    pub(super) fn check_metadata(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        self.check_tags(copy, inst, result)?;
        self.check_stack_map(copy, inst, result)?;
        self.check_srcloc(copy, inst, result)?;
        self.check_cold(copy, inst, result)
    }

    /// The replaced calls around a copy, outermost first.
    fn sites_around(&self, copy: CopyId) -> Vec<(CopyId, Inst)> {
        let mut sites = Vec::new();
        let mut site = self.tree.site(copy);
        while let Some(around) = site {
            sites.push((around.parent, around.call));
            site = self.tree.site(around.parent);
        }
        sites.reverse();
        sites
    }

    fn check_tags(&mut self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        let own = self.tree.func(copy).debug_tags.get(inst);
        let mut expected: Vec<(CopyId, DebugTag)> = Vec::new();
        if !own.is_empty() {
            for (parent, call) in self.sites_around(copy) {
                let tags = self.tree.func(parent).debug_tags.get(call);
                expected.extend(tags.iter().map(|tag| (parent, tag.clone())));
            }
            expected.extend(own.iter().map(|tag| (copy, tag.clone())));
        }
        let actual = self.after.debug_tags.get(result).to_vec();
        let mut same = actual.len() == expected.len();
        for ((of, tag), actual) in expected.iter().zip(&actual) {
            same &= match (tag, actual) {
                (DebugTag::User(a), DebugTag::User(b)) => a == b,
                (DebugTag::StackSlot(a), DebugTag::StackSlot(b)) => self.same_slot(*of, *a, *b),
                _ => false,
            };
        }
        if same {
            return Ok(());
        }
        let list = |tags: &mut dyn Iterator<Item = &DebugTag>| {
            let tags: Vec<String> = tags.map(ToString::to_string).collect();
            tags.join(", ")
        };
        let message = format!(
            "its tags are <{}> instead of <{}>",
            list(&mut actual.iter()),
            list(&mut expected.iter().map(|(_, tag)| tag))
        );
        Err(self.at(copy, inst, message).with_result(result))
    }

    fn check_stack_map(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        if !self.after.dfg.insts[result].opcode().is_safepoint() {
            return Ok(());
        }
        let mut expected: Vec<(CopyId, UserStackMapEntry)> = Vec::new();
        let mut around = self.sites_around(copy);
        around.push((copy, inst));
        for (of, at) in around {
            let entries = self.tree.func(of).dfg.user_stack_map_entries(at);
            expected.extend(
                entries
                    .unwrap_or_default()
                    .iter()
                    .map(|entry| (of, entry.clone())),
            );
        }
        let actual = self.after.dfg.user_stack_map_entries(result);
        let actual = actual.unwrap_or_default().to_vec();
        let mut same = actual.len() == expected.len();
        for ((of, a), b) in expected.iter().zip(&actual) {
            same &= a.ty == b.ty && a.offset == b.offset && self.same_slot(*of, a.slot, b.slot);
        }
        if same {
            Ok(())
        } else {
            Err(self
                .at(copy, inst, "its stack map is another")
                .with_result(result))
        }
    }

    pub(super) fn check_srcloc(
        &self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        let expected = self.tree.func(copy).srcloc(inst);
        let actual = self.after.srcloc(result);
        if expected == actual || !self.tree.keeps_locations {
            return Ok(());
        }
        let message = format!("its source location is {actual} instead of {expected}");
        Err(self.at(copy, inst, message).with_result(result))
    }

    fn check_cold(&self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        let is_cold = |func: &Function, inst: Inst| {
            let block = func.layout.inst_block(inst);
            block.is_some_and(|block| func.layout.is_cold(block))
        };
        let mut around = self.sites_around(copy);
        around.push((copy, inst));
        let mut around = around.into_iter();
        let expected = around.any(|(of, inst)| is_cold(self.tree.func(of), inst));
        if expected && !is_cold(self.after, result) {
            return Err(self
                .at(copy, inst, "its block is no longer cold")
                .with_result(result));
        }
        Ok(())
    }

    /// A block that is named is the one with the same `try_call`.
    pub(super) fn check_named_blocks(&self) -> Result<(), Difference> {
        for &NamedBlock {
            copy,
            inst,
            block,
            result,
        } in &self.named_blocks
        {
            let last = self.tree.func(copy).layout.last_inst(block);
            let matched = last.and_then(|last| self.matches.get(&(copy, last)).copied());
            let same = match (matched, result) {
                (Some(matched), Some(_)) => self.after.layout.inst_block(matched) == result,
                // Nothing reaches the block on either side.
                (None, Some(named)) => !self.domtree.is_reachable(named),
                (matched, None) => matched.is_none(),
            };
            if !same {
                return Err(self.at(copy, inst, "it names another block"));
            }
        }
        Ok(())
    }

    /// Each labelled source value that is reached has its labels in the result,
    /// and the result has no others, but of values that are not reached. What
    /// no instruction uses may be gone with a block that clean-up went past.
    pub(super) fn check_labels(&self) -> Result<(), Difference> {
        let mut known: FxHashSet<(Value, Label)> = FxHashSet::default();
        // Where the source is not followed, it is not known what became of a
        // value: that of a call may be one that is reached.
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

    /// Whether no instruction that is in the result uses `value` but to pass it
    /// on, and `value` is the parameter of a block after the entry, or is what
    /// a copy returned of which nothing is in the result.
    fn is_passed_over(&self, copy: CopyId, value: Value) -> bool {
        let func = self.tree.func(copy);
        let may_be = match func.dfg.value_def(value) {
            ValueDef::Param(block, _) => func.layout.entry_block() != Some(block),
            ValueDef::Result(call, _) => self
                .tree
                .child(copy, call)
                .is_some_and(|child| !self.matches.keys().any(|(of, _)| *of == child)),
            ValueDef::Union(..) => false,
        };
        let uses = |inst: Inst| {
            let args = func.dfg.inst_args(inst).iter();
            args.map(|&arg| func.dfg.resolve_aliases(arg))
                .any(|arg| arg == value)
        };
        let blocks = func.layout.blocks();
        let mut insts = blocks.flat_map(|block| func.layout.block_insts(block));
        may_be && !insts.any(|inst| self.matches.contains_key(&(copy, inst)) && uses(inst))
    }

    /// The labels of each value of the result and of its aliases: those that
    /// the caller's own aliases had stay where they were.
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
    /// Where locations are not compared, nor are those at which labels start.
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
