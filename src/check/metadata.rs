//! Comparison of the metadata of instructions.

use super::difference::Difference;
use super::tables::{NamedBlock, Walk};
use super::tree::CopyId;
use cranelift_codegen::ir::{DebugTag, Function, Inst, Opcode, UserStackMapEntry};

impl Walk<'_> {
    pub(super) fn check_metadata(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        self.check_tags(copy, inst, result)?;
        self.check_stack_map(copy, inst, result)?;
        if self.after.dfg.insts[result].opcode() == Opcode::Brif {
            self.check_branch_metadata(copy, inst, result);
            return Ok(());
        }
        self.check_srcloc(copy, inst, result)?;
        self.check_cold(copy, inst, result)
    }

    /// Returns the replaced calls around a copy, outermost first.
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

    /// Returns whether some replaced call around a copy has a stack map.
    pub(super) fn has_stack_map_around(&self, copy: CopyId) -> bool {
        self.sites_around(copy).into_iter().any(|(of, call)| {
            let entries = self.tree.func(of).dfg.user_stack_map_entries(call);
            entries.is_some_and(|entries| !entries.is_empty())
        })
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

    pub(super) fn check_cold(
        &self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
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

    /// Checks that each block named by an instruction is the one with the same `try_call`.
    pub(super) fn check_named_blocks(&self) -> Result<(), Difference> {
        for &NamedBlock {
            copy,
            inst,
            block,
            result,
        } in &self.named_blocks
        {
            let last = self.tree.func(copy).layout.last_inst(block);
            // A replaced call is matched with the copies of its structures, if with anything.
            let last = last.filter(|&last| self.tree.child(copy, last).is_none());
            let matched = last.and_then(|last| self.matches.get(&(copy, last)).copied());
            let same = match (matched, result) {
                (Some(matched), Some(_)) => self.after.layout.inst_block(matched) == result,
                // The block is unreachable on both sides.
                (None, Some(named)) => !self.domtree.is_reachable(named),
                (matched, None) => matched.is_none(),
            };
            if !same {
                return Err(self.at(copy, inst, "it names another block"));
            }
        }
        Ok(())
    }
}
