//! The default policy: estimated cost against estimated benefit.

use super::reason::Weighing;
use super::{
    AddressUse, CallSite, Decision, EarlyCallee, Inline, OwnSlots, ParameterUse, PolicyReason,
    Summary,
};
use crate::profile::Heat;
use crate::program::Linkage;
use cranelift_codegen::ir::StackSlot;
use smallvec::SmallVec;

/// Inlines where the saved work is worth the copied code.
///
/// The cost of a site is the size of the copy, in instructions, and a share of the stack slots that
/// come into the caller's frame; [slots of the callee alone](super::Summary::own_slots) that become
/// values cost nothing. The benefit is the number of instructions that inlining makes
/// unnecessary: the call itself, the passing of its arguments, the instructions that fold because
/// an argument is constant, the caller's branches on results that are constant on some ways, and
/// the accesses of stack slots that become values. A site is inlined where the cost, less the
/// benefit, does not exceed a threshold, and the threshold depends on how often the call seems to
/// run. The scheme is LLVM's; the numbers are for Cranelift, whose optimizer does less afterwards,
/// so that thresholds are lower.
///
/// All numbers are in instructions of CLIF, which all cost the same here; long lists
/// [count](super::Limits#sizes) as several. To change some of them:
///
/// ```
/// use cranelift_inliner::decide::CostModel;
///
/// let model = CostModel::default().with_threshold(100).with_loop_bonus(0);
/// assert_eq!(model.threshold, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CostModel {
    /// The bound for a site of average interest.
    ///
    /// 30 admits a handful of source lines. On the real modules that were tried, programs grow by
    /// 0.2 to 4.1 % in instructions, with every function exported.
    pub threshold: i64,
    /// Added to the bound for each loop around a site, up to [`CostModel::max_loop_depth`] of them.
    ///
    /// A call in a loop runs more often than one outside; without a profile, most compilers double
    /// the threshold in the first loop.
    pub loop_bonus: i64,
    /// Loops beyond this depth change nothing.
    pub max_loop_depth: u32,
    /// The bound for a site in cold code, or one that was never executed according to the
    /// [profile](crate::profile). Below zero, a call is inlined only where that makes the program
    /// smaller.
    ///
    /// It also holds for the first call of a recursive function, unless a loop or a profile says
    /// that it is executed often: the copy would save that call, and none of those that follow.
    pub cold_threshold: i64,
    /// The bound for a site that is hot according to the [profile](crate::profile), unless its
    /// loops allow more.
    ///
    /// Loops only suggest that a call runs often; here it is known. LLVM gives hot sites thirteen
    /// times its usual threshold; with the large functions that this makes, Cranelift's register
    /// allocator does less well. On ten of the programs in docs/PERFORMANCE.md, 200 takes the run
    /// time to 0.443 of that without inlining, 120 to 0.451, 300 to 0.450 and 500 to 0.451.
    pub hot_threshold: i64,
    /// The bound for the sole call site of a local function. The function itself goes away, so that
    /// the copy costs nothing in code, but a very large caller compiles slowly.
    ///
    /// It does not hold where the caller has several call sites itself, could be inlined at them as
    /// it is, and could not with the callee in it: the part of a function that seldom runs, such as
    /// the growth of a buffer, would keep the other part from being inlined. LLVM defers such calls
    /// for the same reason. A call in the caller's first block runs as often as the caller, so
    /// there it does hold.
    pub sole_call_site_threshold: i64,
    /// Added to the bound for a site whose callee is local and called from two sites; for more
    /// sites, divided by their number less one.
    ///
    /// If all are inlined the function goes away, so that the code grows by one copy less than
    /// there are sites. On the half of the programs in docs/PERFORMANCE.md that the number was
    /// chosen by, 90 takes the run time from 0.471 to 0.436 of that without inlining, and the code
    /// from 0.935 to 0.946; 60 takes it to 0.448, 130 to 0.443 and 180 to 0.451.
    pub few_call_sites_bonus: i64,
    /// The instructions that a call takes beside its arguments: the call, the
    /// prologue and epilogue of the callee, and the registers saved around it.
    pub call_overhead: i64,
    /// The instructions that passing one argument or result takes.
    pub argument_overhead: i64,
    /// The cost of a call in the callee, on top of its size: it clobbers registers in the caller.
    ///
    /// A [loop](Summary::loops) in the callee costs nothing of its own. The call is a small part of
    /// the work there, but constants and slots of the caller reach the loop: on the programs in
    /// docs/PERFORMANCE.md, a cost of 15, 30 or 60 per loop took the run time from 0.375 to 0.383,
    /// 0.376 and 0.381 of that without inlining, and the code from 0.943 to 0.937, 0.934 and 0.924.
    pub inner_call_cost: i64,
    /// Bytes of stack slots that cost nothing.
    ///
    /// 256 are four cache lines, about as much as a function writes anyway for its spilled and
    /// saved registers. GCC calls frames large from there on.
    pub free_frame_bytes: u64,
    /// Further bytes of stack slots that count as one instruction.
    ///
    /// The caller's frame has them whether or not the callee's part of it is reached. A cache line
    /// counts two instructions, and a page 128, more than a site in the deepest loop may add
    /// unless a profile calls it hot.
    pub frame_bytes_per_inst: u64,
    /// The benefit of a branch that folds: the branch and, on average, the side that is not taken.
    pub folded_branch: i64,
    /// The benefit of a load or store of a stack slot that becomes values: the access. The addition
    /// for its address and the wait for memory are not counted.
    pub promoted_access: i64,
    /// The most that stack slots count at one site: as much as a site of average interest may add.
    /// The accesses of a large caller shall not pay for a large callee, and the optimizer may find
    /// that a slot has to stay.
    pub max_promotion: i64,
    /// No callee of more instructions, before or after inlining into it, is inlined for any
    /// benefit. Large enough for a function with a single caller.
    pub max_callee_insts: usize,
}

settings!(CostModel {
    with_threshold: threshold: i64,
    with_loop_bonus: loop_bonus: i64,
    with_max_loop_depth: max_loop_depth: u32,
    with_cold_threshold: cold_threshold: i64,
    with_hot_threshold: hot_threshold: i64,
    with_sole_call_site_threshold: sole_call_site_threshold: i64,
    with_few_call_sites_bonus: few_call_sites_bonus: i64,
    with_call_overhead: call_overhead: i64,
    with_argument_overhead: argument_overhead: i64,
    with_inner_call_cost: inner_call_cost: i64,
    with_free_frame_bytes: free_frame_bytes: u64,
    with_frame_bytes_per_inst: frame_bytes_per_inst: u64,
    with_folded_branch: folded_branch: i64,
    with_promoted_access: promoted_access: i64,
    with_max_promotion: max_promotion: i64,
    with_max_callee_insts: max_callee_insts: usize,
});

impl Default for CostModel {
    fn default() -> Self {
        CostModel {
            threshold: 30,
            loop_bonus: 30,
            max_loop_depth: 2,
            cold_threshold: 0,
            hot_threshold: 200,
            sole_call_site_threshold: 2000,
            few_call_sites_bonus: 90,
            call_overhead: 8,
            argument_overhead: 1,
            inner_call_cost: 5,
            free_frame_bytes: 256,
            frame_bytes_per_inst: 32,
            folded_branch: 6,
            promoted_access: 1,
            max_promotion: 30,
            max_callee_insts: 2000,
        }
    }
}

impl CostModel {
    /// Returns the cost of a copy; the callee's slots `own` become values in it.
    fn cost(&self, summary: &Summary, own: OwnSlots) -> i64 {
        let calls = self.inner_call_cost.saturating_mul(count(summary.calls()));
        let frame = summary.frame_bytes().saturating_sub(own.bytes);
        let frame = frame.saturating_sub(self.free_frame_bytes);
        // With a rate of 0, frames cost nothing.
        let frame = frame.checked_div(self.frame_bytes_per_inst).unwrap_or(0);
        let frame = usize::try_from(frame).unwrap_or(usize::MAX);
        let code = summary.insts().saturating_sub(own.insts);
        let code = count(code).saturating_add(calls);
        code.saturating_add(count(frame))
    }

    /// Returns the benefit from stack slots of the caller, and the number of them that would become
    /// values.
    ///
    /// A slot that other calls get too only counts with the callee's accesses, like in LLVM: calls
    /// that share a slot, such as those of an iterator, are alike, and tend to go together.
    fn promotion(&self, site: &CallSite<'_>) -> (i64, usize) {
        let mut accesses = 0i64;
        let mut slots: SmallVec<[StackSlot; 4]> = SmallVec::new();
        let mut uses: Option<&[ParameterUse]> = None;
        for (index, argument) in site.slot_arguments().enumerate() {
            let Some(slot) = argument else {
                continue;
            };
            let uses = *uses.get_or_insert_with(|| site.summary().parameters());
            let used = uses.get(index).copied().unwrap_or_default();
            if used.address != AddressUse::Accessed {
                continue;
            }
            accesses = accesses.saturating_add(used.accesses.into());
            if slot.other_calls == 0 && !slots.contains(&slot.slot) {
                slots.push(slot.slot);
                accesses = accesses.saturating_add(slot.accesses.into());
            }
        }
        let benefit = self.promoted_access.saturating_mul(accesses);
        (benefit.min(self.max_promotion), slots.len())
    }

    /// Returns the benefit of branches on constant results, and their number. Each counts by the
    /// share of the ways on which its result is constant.
    fn decided(&self, site: &CallSite<'_>) -> (i64, usize) {
        let results = site.summary().results();
        if results.iter().all(|ways| ways.constant == 0) {
            return (0, 0);
        }
        let (mut benefit, mut decided) = (0i64, 0);
        for (ways, branches) in results.iter().zip(site.result_branches()) {
            if ways.constant == 0 || branches == 0 {
                continue;
            }
            decided += branches as usize;
            let share = self.folded_branch.saturating_mul(branches.into());
            let share = share.saturating_mul(ways.constant.into());
            benefit = benefit.saturating_add(share / i64::from(ways.all.max(1)));
        }
        (benefit, decided)
    }

    fn benefit(&self, site: &CallSite<'_>) -> i64 {
        let results = site.callee().signature.returns.len();
        let passed = count(site.arguments().len() + results);
        let passing = self.argument_overhead.saturating_mul(passed);
        let mut benefit = self.call_overhead.saturating_add(passing);
        for (index, argument) in site.arguments().enumerate() {
            if !argument.is_constant() {
                continue;
            }
            let uses = site.summary().parameters();
            let folds = uses.get(index).copied().unwrap_or_default();
            let branches = self
                .folded_branch
                .saturating_mul(folds.folded_branches.into());
            let folded = branches.saturating_add(folds.folded_insts.into());
            benefit = benefit.saturating_add(folded);
        }
        benefit
    }

    /// Returns the benefit that no site exceeds.
    fn most_benefit(&self, summary: &Summary) -> i64 {
        // The caller may have any number of branches on the result.
        if summary.results().iter().any(|ways| ways.constant > 0) {
            return i64::MAX;
        }
        let most = |number: usize, each: i64| count(number).saturating_mul(each.max(0));
        let signature = summary.signature();
        let passed = signature
            .params
            .len()
            .saturating_add(signature.returns.len());
        let overhead = self.call_overhead.max(0);
        let benefit = overhead.saturating_add(most(passed, self.argument_overhead));
        let folds = summary.parameters().iter().map(|folds| {
            let insts = i64::from(folds.folded_insts);
            insts.saturating_add(most(folds.folded_branches as usize, self.folded_branch))
        });
        let benefit = folds.fold(benefit, i64::saturating_add);
        benefit.saturating_add(self.max_promotion.max(0))
    }

    /// Returns whether no site is worth a copy in which the slots `own` become values.
    fn is_dear(&self, summary: &Summary, own: OwnSlots) -> bool {
        let net = self.cost(summary, own);
        let net = net.saturating_sub(self.most_benefit(summary));
        net > self.most_threshold(summary)
    }

    /// Returns the bound that no site exceeds.
    fn most_threshold(&self, summary: &Summary) -> i64 {
        let bonus = self.few_call_sites(summary).max(0);
        let usual = self.highest().max(self.threshold).saturating_add(bonus);
        let mut most = usual.max(self.cold_threshold);
        if summary.has_profile() {
            most = most.max(self.hot_threshold);
        }
        match summary.has_sole_call_site() {
            true => most.max(self.sole_call_site_threshold),
            false => most,
        }
    }

    /// Returns the bound for a site, given what its callee allows on top of the usual one.
    fn threshold(&self, site: &CallSite<'_>, bonus: i64) -> i64 {
        if site.is_cold() {
            return self.cold_threshold;
        }
        let depth = i64::from(site.loop_depth().min(self.max_loop_depth));
        if depth == 0 && site.heat() != Heat::Hot && enters_recursion(site) {
            return self.cold_threshold;
        }
        let loops = self.loop_bonus.saturating_mul(depth);
        let threshold = self.threshold.saturating_add(loops).saturating_add(bonus);
        match site.heat() {
            Heat::Hot => threshold.max(self.hot_threshold),
            Heat::Never | Heat::Warm | Heat::Unknown => threshold,
        }
    }

    /// Returns the bound that no site without a profile exceeds, unless few sites call its callee.
    fn highest(&self) -> i64 {
        let loops = self.loop_bonus.saturating_mul(self.max_loop_depth.into());
        self.threshold.saturating_add(loops)
    }

    /// Returns the bonus of a callee that few sites call.
    fn few_call_sites(&self, summary: &Summary) -> i64 {
        let is_local = summary.linkage() == Linkage::Local;
        if !is_local || summary.is_address_taken() || summary.recursion().is_recursive() {
            return 0;
        }
        let others = count(summary.call_sites().saturating_sub(1));
        self.few_call_sites_bonus.checked_div(others).unwrap_or(0)
    }

    /// Returns whether the caller may be inlined at several sites as it is, and could not be with
    /// the callee in it.
    fn stays_small(&self, site: &CallSite<'_>, cost: i64) -> bool {
        let caller = count(site.caller_insts());
        let highest = self.highest().saturating_add(self.call_overhead);
        site.caller_call_sites() > 1
            && caller <= highest
            && caller.saturating_add(cost) > highest
            && !site.is_in_first_block()
    }
}

impl Inline for CostModel {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let summary = site.summary();
        if summary.insts() > self.max_callee_insts {
            let reason = PolicyReason::large_callee(summary.insts(), self.max_callee_insts);
            return Decision::keep(reason);
        }
        let mut cost = self.cost(summary, OwnSlots::default());
        let (promotion, slots) = self.promotion(site);
        let (decided, branches) = self.decided(site);
        let benefit = self.benefit(site).saturating_add(promotion);
        let benefit = benefit.saturating_add(decided);
        let mut net = cost.saturating_sub(benefit);
        let mut weighing = Weighing {
            cost,
            benefit,
            threshold: None,
            executed: None,
            own_slots: 0,
            slots,
            branches,
            sole_call_site: false,
        };
        // Analyses of bodies are the expensive part, so the sites that they could
        // not change are sorted out first.
        let lowest = self.threshold.min(self.cold_threshold);
        if net <= lowest {
            return Decision::inline(PolicyReason::weighed(weighing));
        }
        let bonus = self.few_call_sites(summary);
        let mut highest = self.highest().saturating_add(bonus);
        if site.heat() == Heat::Hot {
            highest = highest.max(self.hot_threshold);
        }
        // A call that came in with a body has its original elsewhere.
        let sole = site.depth() == 0 && summary.has_sole_call_site();
        let mut least = i64::MIN;
        if sole && !site.is_cold() && !self.stays_small(site, cost) {
            least = self.sole_call_site_threshold;
        }
        if net > least && site.promotes_slots() {
            let own = summary.own_slots();
            cost = self.cost(summary, own);
            net = cost.saturating_sub(benefit);
            (weighing.cost, weighing.own_slots) = (cost, own.insts);
            if net <= lowest {
                return Decision::inline(PolicyReason::weighed(weighing));
            }
        }
        let threshold = if net <= highest && least < highest {
            least.max(self.threshold(site, bonus))
        } else {
            least.max(highest)
        };
        weighing.threshold = Some(threshold);
        weighing.executed = site.count();
        if net <= threshold {
            weighing.sole_call_site = sole;
            Decision::inline(PolicyReason::weighed(weighing))
        } else {
            Decision::keep(PolicyReason::weighed(weighing))
        }
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        let (insts, most) = (callee.insts(), self.max_callee_insts);
        (insts > most).then(|| PolicyReason::large_callee(insts, most))
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        callee.insts() > self.max_callee_insts
            || self.is_dear(callee, OwnSlots::default()) && self.is_dear(callee, callee.own_slots())
    }
}

/// Returns whether the callee calls itself, in some way, and the caller is not part of that. A copy
/// saves the first call alone, and the function stays.
fn enters_recursion(site: &CallSite<'_>) -> bool {
    let graph = site.graph();
    let component = |name| graph.program().id(name).and_then(|id| graph.component(id));
    site.summary().recursion().is_recursive()
        && component(site.caller_name()) != component(site.callee_name())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX / 64)
}
