//! The facts that decisions depend on, put together along the path of a call.

use super::{Caller, Candidate, Decisions, Facts, Outcome, ROOT, number, path};
use crate::decide::{AddressUse, ParameterUse};
use crate::graph::{CallKind, PathStep};
use crate::program::FunctionId;
use crate::shard::summary::{FunctionSummary, Hint, Passed, function_flags, site_flags};
use cranelift_codegen::ir::{Opcode, SourceLoc};
use smallvec::SmallVec;
use std::borrow::Cow;

impl Decisions<'_> {
    /// Puts together the facts about a call from those about the sites on its path.
    pub(super) fn facts(&self, caller: &Caller, candidate: &Candidate) -> Facts {
        let path = path(&caller.inlined, candidate.step);
        let mut facts = Facts {
            path: path.iter().map(|&site| PathStep::Site(site)).collect(),
            passed: SmallVec::new(),
            branches: SmallVec::new(),
            loop_depth: 0,
            in_cold_block: false,
            in_first_block: true,
            is_cold: false,
            has_handlers: false,
            is_safepoint: false,
            own: None,
            flatten: false,
            kind: CallKind::Call,
            opcode: Opcode::Call,
            location: SourceLoc::default(),
            declared: u32::MAX,
        };
        // From the call outwards.
        for (level, &id) in path.iter().rev().enumerate() {
            let Some((home, summary, site)) = self.index.site(self.graph, id) else {
                debug_assert!(false, "a path leads along sites of the graph");
                continue;
            };
            let (_, function) = self.index.at(home);
            let passed = summary.passed_by(site);
            if level == 0 {
                facts.passed = passed.iter().copied().collect();
                facts.branches = summary.branches_of(site).iter().copied().collect();
                facts.own = Some(*site);
                facts.kind = site.kind.call_kind();
                facts.opcode = match facts.kind {
                    CallKind::Call => Opcode::Call,
                    CallKind::ReturnCall => Opcode::ReturnCall,
                    CallKind::TryCall => Opcode::TryCall,
                };
                facts.location = SourceLoc::new(site.location);
                facts.declared = self.index.signature(home.shard, site.signature);
            } else {
                for value in &mut facts.passed {
                    if let Passed::Parameter(index) = value {
                        let outer = passed.get(*index as usize).copied();
                        *value = at_level(outer.unwrap_or(Passed::Unknown), level);
                    }
                }
                facts.flatten |= site.hint == Hint::Flatten;
            }
            facts.loop_depth = facts.loop_depth.saturating_add(site.loop_depth.into());
            facts.in_cold_block |= site.has(site_flags::COLD_BLOCK);
            facts.in_first_block &= site.has(site_flags::FIRST_BLOCK);
            facts.has_handlers |= site.has(site_flags::HANDLERS);
            facts.is_safepoint |= site.has(site_flags::SAFEPOINT);
            facts.is_cold |= function.has(function_flags::COLD) || site.hint == Hint::Cold;
            facts.flatten |= function.has(function_flags::FLATTEN);
        }
        facts
    }

    /// Estimates the instructions that clean-up removes after a splice: the call, the return, and
    /// those that fold or become values.
    pub(super) fn saved(&self, candidate: &Candidate, callee: &Outcome, facts: &Facts) -> usize {
        let (_, function) = self.index.function(candidate.callee);
        let mut saved = 1 + usize::from(function.returns == 1);
        let parameters = self.parameters(candidate.callee);
        for (value, uses) in facts.passed.iter().zip(parameters.iter()) {
            if value.argument().is_constant() {
                saved += (uses.folded_insts + 2 * uses.folded_branches) as usize;
            }
            if let Some(slot) = value.slot()
                && slot.other_calls == 0
                && uses.address == AddressUse::Accessed
            {
                saved += (uses.accesses + slot.accesses + 1) as usize;
            }
        }
        saved.min(callee.size as usize + 1)
    }

    pub(super) fn parameters(&self, id: FunctionId) -> Cow<'_, [ParameterUse]> {
        let known = self
            .outcome(id)
            .and_then(|outcome| outcome.parameters.as_deref());
        match known {
            Some(parameters) => Cow::Borrowed(parameters),
            None => {
                let (_, function) = self.index.function(id);
                let parameters = function.parameters.iter().map(|uses| uses.uses());
                Cow::Owned(parameters.collect())
            }
        }
    }

    /// Returns the uses of the parameters of a function with inlined bodies in it; `None` if they
    /// are those of the function itself.
    pub(super) fn parameters_after(
        &self,
        id: FunctionId,
        function: &FunctionSummary,
        caller: &Caller,
    ) -> Option<Box<[ParameterUse]>> {
        if function.parameters.is_empty() || caller.inlined.is_empty() {
            return None;
        }
        let mut changed = false;
        let mut parameters: Vec<ParameterUse> =
            function.parameters.iter().map(|uses| uses.uses()).collect();
        // Parameters that only direct calls of the function itself pass on.
        let mut passed_on = vec![0usize; parameters.len()];
        let own = self.graph.callees(id);
        for site in own {
            for value in self.index.passed(self.graph, site.id) {
                if let Passed::Parameter(index) = value
                    && let Some(passed_on) = passed_on.get_mut(*index as usize)
                {
                    *passed_on += 1;
                }
            }
        }
        let own = caller.inlined.iter().filter(|step| step.around == ROOT);
        for step in own {
            let site = self.graph.site(step.site);
            let Some(callee) = site.and_then(|site| site.callee_function()) else {
                continue;
            };
            let inner = self.parameters(callee);
            let passed = self.index.passed(self.graph, step.site);
            for (value, inner) in passed.iter().zip(inner.iter()) {
                let Passed::Parameter(index) = value else {
                    continue;
                };
                let number = *index as usize;
                let (Some(outer), Some(left)) =
                    (parameters.get_mut(number), passed_on.get_mut(number))
                else {
                    continue;
                };
                changed = true;
                outer.folded_insts = outer.folded_insts.saturating_add(inner.folded_insts);
                outer.folded_branches = outer.folded_branches.saturating_add(inner.folded_branches);
                outer.indirect_calls = outer.indirect_calls.saturating_add(inner.indirect_calls);
                outer.accesses = outer.accesses.saturating_add(inner.accesses);
                *left = left.saturating_sub(1);
                if inner.address == AddressUse::Escapes {
                    outer.address = AddressUse::Escapes;
                }
                let was_passed = outer.address == AddressUse::PassedOn;
                if *left == 0 && was_passed && function.indirect_calls == 0 {
                    outer.address = inner.address;
                }
            }
        }
        changed.then(|| parameters.into_boxed_slice())
    }
}

/// Marks a slot as one of a function `level` calls outwards, so that it differs from others.
fn at_level(value: Passed, level: usize) -> Passed {
    match value {
        Passed::Slot {
            slot,
            other_calls,
            accesses,
        } => Passed::Slot {
            slot: slot.wrapping_add(number(level) << 20) & (u32::MAX >> 1),
            other_calls,
            accesses,
        },
        other => other,
    }
}
