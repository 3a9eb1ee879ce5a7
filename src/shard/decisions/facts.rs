//! The facts that decisions depend on, put together along the path of a call.

use super::{Caller, Candidate, Decisions, Outcome, ROOT, Steps};
use crate::decide::{AddressUse, ParameterUse};
use crate::graph::CallKind;
use crate::shard::passed::PackedValue;
use crate::shard::summary::{Hint, function_flags, site_flags};
use crate::shard::tables::Facts;
use cranelift_codegen::ir::{Opcode, SourceLoc};

/// The facts about one call in its present place; its path and the values that it passes are in
/// [`Caller`].
pub(super) struct CallFacts {
    pub(super) loop_depth: u32,
    pub(super) in_cold_block: bool,
    pub(super) in_first_block: bool,
    pub(super) is_cold: bool,
    pub(super) has_handlers: bool,
    pub(super) is_safepoint: bool,
    pub(super) is_patchable: bool,
    pub(super) flatten: bool,
    pub(super) hint: Hint,
    pub(super) kind: CallKind,
    pub(super) opcode: Opcode,
    pub(super) location: SourceLoc,
    /// The number of the signature that the call declares.
    pub(super) declared: u32,
}

impl Decisions<'_> {
    /// Puts together the facts about a call from those about the sites on its path.
    pub(super) fn facts(&self, caller: &mut Caller, candidate: &Candidate) -> CallFacts {
        Steps(&caller.inlined).path(candidate.step, &mut caller.path);
        let index = self.index;
        let site = index.site(candidate.step.site());
        caller.passed.clear();
        caller.passed.extend_from_slice(index.passed(site));
        let kind = site.kind.call_kind();
        let mut facts = CallFacts {
            loop_depth: 0,
            in_cold_block: false,
            in_first_block: true,
            is_cold: false,
            has_handlers: false,
            is_safepoint: false,
            is_patchable: site.has(site_flags::PATCHABLE),
            flatten: false,
            hint: site.hint,
            kind,
            opcode: match kind {
                CallKind::Call => Opcode::Call,
                CallKind::ReturnCall => Opcode::ReturnCall,
                CallKind::TryCall => Opcode::TryCall,
            },
            location: SourceLoc::new(site.location),
            declared: site.signature,
        };
        // From the call outwards. The function around each site is the one that the site before it
        // calls.
        for level in 0..caller.path.len() {
            let place = caller.path.len() - 1 - level;
            let site_at = |place: usize| caller.path.get(place)?.site();
            let Some(site) = site_at(place).map(|id| index.site(id)) else {
                debug_assert!(false, "a path leads along sites of the graph");
                continue;
            };
            let around = place.checked_sub(1).and_then(site_at);
            let around = around.map_or(Some(caller.id), |id| index.target(id));
            let Some(function) = around.and_then(|id| index.functions.get(id)) else {
                debug_assert!(false, "an inlined function is one of the program");
                continue;
            };
            if level > 0 {
                let passed = index.passed(site);
                for value in &mut caller.passed {
                    if let PackedValue::Parameter(index) = value {
                        let outer = passed.get(*index as usize).copied();
                        *value = outer.unwrap_or(PackedValue::Unknown).at_level(level);
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
    pub(super) fn saved(&self, caller: &Caller, candidate: &Candidate, callee: &Outcome) -> usize {
        let function = &self.index.functions[candidate.callee];
        let mut saved = 1 + usize::from(function.returns == 1);
        let values = caller.passed.iter().map(|value| self.index.value(*value));
        for (value, uses) in values.zip(self.parameters(function)) {
            if value.argument().is_constant() {
                let folded = u64::from(uses.folded_insts) + 2 * u64::from(uses.folded_branches);
                saved = saved.saturating_add(usize::try_from(folded).unwrap_or(usize::MAX));
            }
            if let Some(slot) = value.slot()
                && slot.other_calls == 0
                && uses.address == AddressUse::Accessed
            {
                let accesses = u64::from(uses.accesses) + u64::from(slot.accesses) + 1;
                saved = saved.saturating_add(usize::try_from(accesses).unwrap_or(usize::MAX));
            }
        }
        saved.min((callee.size as usize).saturating_add(1))
    }

    /// Returns the uses of a function's parameters, with those in inlined bodies.
    pub(super) fn parameters(&self, facts: &Facts) -> &[ParameterUse] {
        let range = facts.parameters();
        self.parameters.get(range).unwrap_or_default()
    }

    /// Changes the uses of the parameters of a function to those with inlined bodies in it.
    pub(super) fn change_parameters(&mut self, facts: &Facts, caller: &mut Caller) {
        let range = facts.parameters();
        if range.is_empty() || caller.inlined.is_empty() {
            return;
        }
        let index = self.index;
        // Parameters that only direct calls of the function itself pass on.
        let passed_on = &mut caller.passed_on;
        passed_on.clear();
        passed_on.resize(range.len(), 0);
        for number in facts.sites() {
            let site = index.site(cranelift_entity::EntityRef::new(number));
            for value in index.passed(site) {
                if let PackedValue::Parameter(index) = value
                    && let Some(passed_on) = passed_on.get_mut(*index as usize)
                {
                    *passed_on += 1;
                }
            }
        }
        let calls_indirectly = index.places[caller.id].indirect_calls > 0;
        let own = caller.inlined.iter().filter(|step| step.around() == ROOT);
        for step in own {
            let site = index.site(step.site());
            let Some(callee) = index.target(step.site()) else {
                continue;
            };
            let inner = index.functions[callee].parameters();
            for (value, inner) in index.passed(site).iter().zip(inner) {
                let PackedValue::Parameter(index) = value else {
                    continue;
                };
                let number = *index as usize;
                let (Some(&inner), Some(left)) =
                    (self.parameters.get(inner), passed_on.get_mut(number))
                else {
                    continue;
                };
                let outer = range.start + number;
                let Some(outer) = self.parameters.get_mut(outer) else {
                    continue;
                };
                outer.folded_insts = outer.folded_insts.saturating_add(inner.folded_insts);
                outer.folded_branches = outer.folded_branches.saturating_add(inner.folded_branches);
                outer.indirect_calls = outer.indirect_calls.saturating_add(inner.indirect_calls);
                outer.accesses = outer.accesses.saturating_add(inner.accesses);
                *left = left.saturating_sub(1);
                if inner.address == AddressUse::Escapes {
                    outer.address = AddressUse::Escapes;
                }
                let was_passed = outer.address == AddressUse::PassedOn;
                if *left == 0 && was_passed && !calls_indirectly {
                    outer.address = inner.address;
                }
            }
        }
    }
}
