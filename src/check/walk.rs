//! Follows source and result together.
//!
//! Between two instructions with an effect, both sides may take silent steps: jumps, and on the
//! source side also steps into a copy and out of it. Such a stretch is a *gap*. It starts where the
//! last instruction was matched and ends at the next one on each side. The assignments of the
//! source on the way, to block parameters, parameters of copies and results of replaced calls, take
//! effect at the end of the gap, together with the assignments of the result to its block
//! parameters.

use super::assigned::Assigned;
use super::difference::{CheckError, Difference, Undecided};
use super::forks::Joined;
use super::known::{Known, Runs};
use super::place::{Crossing, Next, Place, Settled, Term, Terms};
use super::scope::Liveness;
use super::slots::Slots;
use super::tree::{CopyId, CopyTree, SiteKind};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    ArgumentPurpose, Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode, Value,
    ValueDef,
};
use cranelift_entity::PrimaryMap;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, OnceCell, RefCell};

/// The place where the source goes on.
#[derive(Clone, Copy)]
pub(super) enum Source {
    At(Inst),
    /// A block, whose parameters the gap has assigned already.
    Enter(Block),
}

/// A gap that is still to be followed.
pub(super) struct Gap {
    pub(super) copy: CopyId,
    pub(super) source: Source,
    pub(super) next: Next,
    pub(super) assigned: Assigned,
    /// The condition of the branch that the gap starts from.
    pub(super) known: Option<Known>,
}

/// The source branch that is matched with one of the result, if there are several successive ones
/// on the same value and some may be gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The first, and no branch of the result is passed.
    First,
    /// The first, but branches of the result that can go one way only on a path are followed like
    /// jumps.
    OnPaths,
    /// A later one, if the first only leads to that.
    Later,
}

/// The result of a step of the source.
pub(super) enum Step {
    /// It is silent and leads there.
    On(CopyId, Source),
    /// It is a branch that the result does not have here, and can go both ways.
    Fork([BlockCall; 2]),
    /// It is a branch on the same value as the result's.
    Branch,
    /// It has an effect.
    End,
}

/// An instruction of the source with an effect.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) copy: CopyId,
    pub(super) inst: Inst,
    /// Whether it is a branch on the same value as the result's, on the way by which it was
    /// reached.
    pub(super) is_branch: bool,
}

/// A block that an instruction of the source names, and the block that the result's instruction
/// names, if any.
pub(super) struct NamedBlock {
    pub(super) copy: CopyId,
    pub(super) inst: Inst,
    pub(super) block: Block,
    pub(super) result: Option<Block>,
}

pub(super) struct Walk<'a> {
    pub(super) tree: &'a CopyTree<'a>,
    pub(super) after: &'a Function,
    pub(super) domtree: DominatorTree,
    /// The terms that each source value equals; `None` until it is first assigned.
    pub(super) terms: PrimaryMap<CopyId, SecondaryMap<Value, Option<Terms>>>,
    pub(super) slots: Slots,
    /// A reachable store of the result with an alias region; computed on first use.
    pub(super) store_with_region: OnceCell<Option<Inst>>,
    /// The source instruction for each instruction of the result.
    pub(super) owners: FxHashMap<Inst, (CopyId, Inst)>,
    pub(super) matches: FxHashMap<(CopyId, Inst), Inst>,
    /// Compared after everything is matched.
    pub(super) named_blocks: Vec<NamedBlock>,
    /// The terms that values of functions with labels equalled on the way to the source's next
    /// effect. They may no longer hold there, which does not matter for values that are not needed,
    /// but these values have their labels.
    pub(super) passed: FxHashSet<(CopyId, Value, Value)>,
    /// The blocks of the result that some path enters.
    entered_blocks: EntitySet<Block>,
    /// The copies in which some step was taken.
    pub(super) entered: EntitySet<CopyId>,
    visited: FxHashMap<(CopyId, Inst), Place>,
    pub(super) work: Vec<Gap>,
    /// The source values that equal a block parameter of the result.
    pub(super) equal_to_params: SecondaryMap<Value, Vec<(CopyId, Value)>>,
    /// By function of the source, keyed by its address.
    pub(super) liveness: RefCell<FxHashMap<*const Function, Liveness>>,
    pub(super) runs: RefCell<Runs>,
    pub(super) choice: Choice,
    /// The remaining number of source steps without steps of the result.
    fuel: Cell<usize>,
    /// Whether a value equals more terms than were kept.
    pub(super) forgot: Cell<bool>,
    /// Whether a question was left open that more work might have decided.
    pub(super) gave_up: Cell<bool>,
    pub(super) shrunk: bool,
}

/// The allowed number of source steps without steps of the result, per instruction of the
/// functions.
const FUEL_PER_INST: usize = 64;

impl<'a> Walk<'a> {
    fn new(tree: &'a CopyTree<'a>, after: &'a Function, choice: Choice) -> Self {
        let cfg = ControlFlowGraph::with_function(after);
        Walk {
            tree,
            after,
            domtree: DominatorTree::with_function(after, &cfg),
            terms: tree.copies.values().map(|_| SecondaryMap::new()).collect(),
            slots: Slots::default(),
            store_with_region: OnceCell::new(),
            owners: FxHashMap::default(),
            matches: FxHashMap::default(),
            named_blocks: Vec::new(),
            passed: FxHashSet::default(),
            entered_blocks: EntitySet::new(),
            entered: EntitySet::new(),
            visited: FxHashMap::default(),
            work: Vec::new(),
            equal_to_params: SecondaryMap::new(),
            liveness: RefCell::default(),
            runs: RefCell::default(),
            choice,
            fuel: Cell::new(0),
            forgot: Cell::new(false),
            gave_up: Cell::new(false),
            shrunk: false,
        }
    }

    /// Follows the source through the result, with another choice among branches on the same value
    /// where the first leads to a difference. After a difference, other choices may still be right.
    pub(super) fn prove(tree: &'a CopyTree<'a>, after: &'a Function) -> Result<(), CheckError> {
        let mut first: Option<Difference> = None;
        let mut is_certain = true;
        for choice in [Choice::First, Choice::OnPaths, Choice::Later] {
            let mut walk = Walk::new(tree, after, choice);
            let Err(difference) = walk.run() else {
                return Ok(());
            };
            is_certain &= !walk.is_uncertain();
            let first = first.get_or_insert_with(|| difference.clone());
            is_certain &= first.is_at(&difference);
        }
        let difference = first.unwrap_or_else(|| Difference::general("nothing was looked at"));
        Err(match is_certain {
            true => difference.into(),
            false => Undecided::because_of(difference).into(),
        })
    }

    /// Returns whether a difference may be due to a limit of the checker.
    fn is_uncertain(&self) -> bool {
        self.gave_up.get() || self.forgot.get()
    }

    /// Takes steps where the result has none; false where there were too many.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.fuel.get().checked_sub(steps);
        self.fuel.set(left.unwrap_or(0));
        self.gave_up.set(self.gave_up.get() | left.is_none());
        left.is_some()
    }

    /// Iterates until no more terms turn out to be unequal.
    fn run(&mut self) -> Result<(), Difference> {
        self.check_header()?;
        let copies = self.tree.copies.values().map(|copy| copy.func);
        let functions = copies.chain([self.after]);
        let insts = functions.fold(0_usize, |sum, func| {
            sum.saturating_add(func.dfg.num_insts())
        });
        let fuel = insts.saturating_add(64).saturating_mul(FUEL_PER_INST);
        let mut first_difference = None;
        loop {
            self.shrunk = false;
            self.fuel.set(fuel);
            self.gave_up.set(false);
            match self.go_around() {
                Ok(()) if !self.shrunk => break,
                Ok(()) => {}
                Err(difference) => {
                    // It may be due to values that were only assumed to be equal.
                    let difference = first_difference.get_or_insert(difference);
                    if !self.shrunk {
                        return Err(difference.clone());
                    }
                }
            }
        }
        self.check_runs()?;
        self.check_nothing_is_left_over()?;
        self.check_named_blocks()?;
        self.check_promises()?;
        self.check_labels()?;
        self.check_stack_limits()?;
        self.check_keyed_slots()
    }

    fn go_around(&mut self) -> Result<(), Difference> {
        self.visited.clear();
        self.entered.clear();
        self.entered_blocks.clear();
        self.owners.clear();
        self.matches.clear();
        self.named_blocks.clear();
        self.passed.clear();
        self.runs = RefCell::default();
        self.slots.forget_owners();
        self.work.clear();
        let start = self.start()?;
        self.work.push(start);
        while let Some(gap) = self.work.pop() {
            self.follow(gap)?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Gap, Difference> {
        let before = self.tree.func(CopyTree::ROOT);
        let (Some(source), Some(result)) =
            (before.layout.entry_block(), self.after.layout.entry_block())
        else {
            return Err(Difference::general("a function has no entry block"));
        };
        let params = before.dfg.block_params(source).iter();
        let results = self.after.dfg.block_params(result).iter();
        if params.len() != results.len() {
            return Err(Difference::general("the entry block has other parameters"));
        }
        let Some(first) = self.after.layout.first_inst(result) else {
            return Err(Difference::general("the entry block is empty"));
        };
        self.entered_blocks.insert(result);
        let mut assigned = Assigned::default();
        for (&param, &result) in params.zip(results) {
            assigned.push(CopyTree::ROOT, param, one(result));
        }
        Ok(Gap {
            copy: CopyTree::ROOT,
            source: Source::Enter(source),
            next: Next::At(first),
            assigned,
            known: None,
        })
    }

    /// Takes the silent steps and matches the instruction after them.
    fn follow(&mut self, gap: Gap) -> Result<(), Difference> {
        let known = gap.known.as_ref();
        let settled = self.settle(gap.next, known);
        self.runs.borrow_mut().start_gap();
        let mut assigned = gap.assigned;
        let ends = self.next_ends(gap.copy, gap.source, &settled, known, &mut assigned)?;
        self.account_for_branches(&settled);
        let blocks = settled.crossings.iter().map(|crossing| crossing.block);
        self.entered_blocks.extend(blocks);
        let Settled {
            place, crossings, ..
        } = settled;
        for end in &ends {
            self.forget_params(&crossings, &assigned, (end.copy, end.inst));
        }
        for (of, value, terms) in assigned {
            self.entered.insert(of);
            if self.tree.func(of).dfg.values_labels.is_some() {
                self.note_passed(of, value, terms.clone(), &crossings);
            }
            let terms = self.carry(&terms, &crossings);
            self.merge(of, value, terms);
        }
        for end in ends {
            self.match_end(end, place)?;
        }
        Ok(())
    }

    fn match_end(&mut self, end: End, place: Place) -> Result<(), Difference> {
        let End {
            copy,
            inst,
            is_branch,
        } = end;
        let before = self.visited.insert((copy, inst), place);
        if before.is_some_and(|before| before != place) {
            let message = "two paths lead to it in the source but not in the result";
            return Err(self.at(copy, inst, message));
        }
        let Place::At(result) = place else {
            return Err(self.at(copy, inst, "the result loops forever before it"));
        };
        let data = self.tree.func(copy).dfg.insts[inst];
        match before {
            None => self.step(copy, inst, result, is_branch),
            // It was reached as a branch on this value another way.
            Some(_) if data.opcode().is_branch() && !is_branch => {
                let result_data = self.after.dfg.insts[result];
                self.compare(copy, inst, &data, result, &result_data)
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns the next instruction of the source with an effect; none if both sides loop forever
    /// without one. Several are branches, any of which may be the one of the result.
    fn next_ends(
        &mut self,
        copy: CopyId,
        source: Source,
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<SmallVec<[End; 1]>, Difference> {
        let (mut copy, mut source) = (copy, source);
        let mut passed: FxHashSet<(CopyId, Inst)> = FxHashSet::default();
        let mut last_branch = None;
        let end = loop {
            let inst = self.first_inst(copy, source)?;
            self.entered.insert(copy);
            let here = |is_branch| End {
                copy,
                inst,
                is_branch,
            };
            match self.silent_step(copy, inst, settled, known, assigned)? {
                Step::On(next_copy, next_source) => {
                    if !passed.insert((copy, inst)) {
                        // The source loops forever; so must the result.
                        return if settled.place == Place::Spins {
                            Ok(SmallVec::new())
                        } else {
                            let message = "the result goes on where the source loops forever";
                            Err(self.at(copy, inst, message))
                        };
                    }
                    if is_brif(self.tree.func(copy), inst) {
                        last_branch = Some(here(false));
                    }
                    (copy, source) = (next_copy, next_source);
                }
                Step::Fork(_) => {
                    last_branch = Some(here(false));
                    match self.join((copy, inst), settled, known, assigned)? {
                        Joined::At(ends) => match ends[..] {
                            [end] => break end,
                            _ => return Ok(ends.into()),
                        },
                        Joined::Nowhere => break here(false),
                    }
                }
                Step::Branch if self.choice == Choice::Later => {
                    let later = self.later_branches(here(true), settled, known, assigned)?;
                    match later[..] {
                        [end] => break end,
                        _ => return Ok(later),
                    }
                }
                Step::Branch => break here(true),
                Step::End => break here(false),
            }
        };
        // If the result has a branch and the source goes on in another way, an earlier branch is
        // the difference.
        Ok(match (settled.place, last_branch) {
            (Place::At(result), Some(branch))
                if is_brif(self.after, result) && !is_brif(self.tree.func(end.copy), end.inst) =>
            {
                smallvec![branch]
            }
            _ => smallvec![end],
        })
    }

    fn note_passed(
        &mut self,
        copy: CopyId,
        value: Value,
        mut terms: Terms,
        crossings: &[Crossing],
    ) {
        for crossed in 0..=crossings.len() {
            for term in &terms {
                if let Term::Value(result) = *term {
                    self.passed.insert((copy, value, result));
                }
            }
            if let Some(crossing) = crossings.get(crossed) {
                terms = self.carry(&terms, std::slice::from_ref(crossing));
            }
        }
    }

    pub(super) fn first_inst(&self, copy: CopyId, source: Source) -> Result<Inst, Difference> {
        match source {
            Source::At(inst) => Ok(inst),
            Source::Enter(block) => {
                let first = self.tree.func(copy).layout.first_inst(block);
                first.ok_or_else(|| Difference::general(format!("{block} is empty")))
            }
        }
    }

    /// Returns the next step of the source, on the way to the place where the result is settled.
    pub(super) fn silent_step(
        &self,
        copy: CopyId,
        inst: Inst,
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<Step, Difference> {
        let func = self.tree.func(copy);
        if let Some(child) = self.tree.child(copy, inst) {
            if has_struct_args(self.tree.func(child)) {
                return Ok(Step::End);
            }
            let entry = self.enter(copy, inst, child, assigned)?;
            return Ok(Step::On(child, Source::Enter(entry)));
        }
        let data = func.dfg.insts[inst];
        let destination = match data {
            InstructionData::Jump { destination, .. } => destination,
            InstructionData::Brif { arg, blocks, .. } => {
                let terms = self.lookup(copy, arg, assigned);
                let is_there = self.is_branch_on(copy, arg, data.opcode(), settled, assigned);
                self.note_branch((copy, inst), &terms, known, !is_there);
                if is_there {
                    return Ok(Step::Branch);
                }
                match self.decided(&terms, known) {
                    Some(taken) => blocks[usize::from(!taken)],
                    None => return Ok(Step::Fork(blocks)),
                }
            }
            InstructionData::BranchTable { arg, table, .. } => {
                if self.is_branch_on(copy, arg, data.opcode(), settled, assigned) {
                    return Ok(Step::Branch);
                }
                let condition = self.lookup(copy, arg, assigned);
                let Some(index) = self.constant_of(&condition) else {
                    return Ok(Step::End);
                };
                let table = &func.dfg.jump_tables[table];
                let target = usize::try_from(index).ok();
                let target = target.and_then(|index| table.as_slice().get(index));
                target.copied().unwrap_or_else(|| table.default_block())
            }
            InstructionData::MultiAry { .. } if data.opcode() == Opcode::Return => {
                let returned: Vec<Terms> = func
                    .dfg
                    .inst_args(inst)
                    .iter()
                    .map(|&value| self.lookup(copy, value, assigned))
                    .collect();
                return Ok(match self.leave(copy, &returned, assigned)? {
                    Some((copy, source)) => Step::On(copy, source),
                    None => Step::End,
                });
            }
            _ => return Ok(Step::End),
        };
        let block = self.assign(copy, destination, &[], assigned);
        Ok(Step::On(copy, Source::Enter(block)))
    }

    /// Returns whether the result has a branch of this kind on this value here, so that the
    /// source's was not folded. A value that the gap assigns is the one after the crossings: it may
    /// be constant only on this path.
    pub(super) fn is_branch_on(
        &self,
        copy: CopyId,
        arg: Value,
        opcode: Opcode,
        settled: &Settled,
        assigned: &Assigned,
    ) -> bool {
        let Place::At(inst) = settled.place else {
            return false;
        };
        let dfg = &self.after.dfg;
        let result = dfg
            .inst_args(inst)
            .first()
            .map(|&arg| dfg.resolve_aliases(arg));
        dfg.insts[inst].opcode() == opcode
            && result.is_some_and(|result| {
                let terms = self.lookup(copy, arg, assigned);
                let arg = self.tree.func(copy).dfg.resolve_aliases(arg);
                let terms = match assigned.get(copy, arg) {
                    Some(_) => self.carry(&terms, &settled.crossings),
                    None => terms,
                };
                terms.contains(&Term::Value(result))
            })
    }

    /// Steps into a copy: its parameters are the arguments. Returns its entry block.
    pub(super) fn enter(
        &self,
        copy: CopyId,
        call: Inst,
        child: CopyId,
        assigned: &mut Assigned,
    ) -> Result<Block, Difference> {
        let data = self.tree.func(copy).dfg.insts[call];
        if !matches!(
            data,
            InstructionData::Call { .. } | InstructionData::TryCall { .. }
        ) {
            return Err(self.at(copy, call, "it is not a direct call"));
        }
        let callee = self.tree.func(child);
        let entry = callee
            .layout
            .entry_block()
            .ok_or_else(|| self.at(copy, call, "the callee has no body"))?;
        let args = self.tree.func(copy).dfg.inst_args(call);
        let params = callee.dfg.block_params(entry);
        if args.len() != params.len() {
            return Err(self.at(copy, call, "the callee has another number of parameters"));
        }
        let passed: Vec<Terms> = args
            .iter()
            .map(|&arg| self.lookup(copy, arg, assigned))
            .collect();
        for (&param, terms) in params.iter().zip(passed) {
            assigned.push(child, param, terms);
        }
        Ok(entry)
    }

    /// Steps out of a copy with its return values; `None` if that returns from the caller itself.
    pub(super) fn leave(
        &self,
        copy: CopyId,
        returned: &[Terms],
        assigned: &mut Assigned,
    ) -> Result<Option<(CopyId, Source)>, Difference> {
        let Some(site) = self.tree.returns_to(copy) else {
            return Ok(None);
        };
        let func = self.tree.func(site.parent);
        if let SiteKind::TryCall(table) = site.kind {
            let normal = *func.dfg.exception_tables[table].normal_return();
            let block = self.assign(site.parent, normal, returned, assigned);
            return Ok(Some((site.parent, Source::Enter(block))));
        }
        let results = func.dfg.inst_results(site.call);
        for (&result, terms) in results.iter().zip(returned) {
            assigned.push(site.parent, result, terms.clone());
        }
        match func.layout.next_inst(site.call) {
            Some(next) => Ok(Some((site.parent, Source::At(next)))),
            None => Err(self.at(site.parent, site.call, "nothing follows the call")),
        }
    }

    /// Assigns the parameters of the block to which `call` leads; returned values are those of a
    /// replaced `try_call`.
    pub(super) fn assign(
        &self,
        copy: CopyId,
        call: BlockCall,
        returned: &[Terms],
        assigned: &mut Assigned,
    ) -> Block {
        let (block, args) = self.passed_along(copy, call, returned, assigned);
        self.enter_block(copy, block, args, assigned);
        block
    }

    /// Returns the block to which `call` leads, and the terms of the arguments for its parameters.
    pub(super) fn passed_along(
        &self,
        copy: CopyId,
        call: BlockCall,
        returned: &[Terms],
        assigned: &Assigned,
    ) -> (Block, Vec<Terms>) {
        let dfg = &self.tree.func(copy).dfg;
        let args = call.args(&dfg.value_lists).map(|arg| match arg {
            BlockArg::Value(value) => self.lookup(copy, value, assigned),
            BlockArg::TryCallRet(index) if !returned.is_empty() => {
                returned.get(index as usize).cloned().unwrap_or_default()
            }
            other => [other].into_iter().collect(),
        });
        (call.block(&dfg.value_lists), args.collect())
    }

    pub(super) fn enter_block(
        &self,
        copy: CopyId,
        block: Block,
        args: Vec<Terms>,
        assigned: &mut Assigned,
    ) {
        let params = self.tree.func(copy).dfg.block_params(block);
        for (&param, terms) in params.iter().zip(args) {
            assigned.push(copy, param, terms);
        }
    }

    /// Returns the terms that a source value equals, with the assignments of the gap so far.
    pub(super) fn lookup(&self, copy: CopyId, value: Value, assigned: &Assigned) -> Terms {
        let value = self.tree.func(copy).dfg.resolve_aliases(value);
        let in_gap = assigned.get(copy, value);
        match in_gap {
            Some(terms) => terms.clone(),
            None => self.terms[copy][value].clone().unwrap_or_default(),
        }
    }

    pub(super) fn merge(&mut self, copy: CopyId, value: Value, terms: Terms) {
        match &mut self.terms[copy][value] {
            known @ None => {
                for term in &terms {
                    if let Term::Value(equal) = *term
                        && let ValueDef::Param(..) = self.after.dfg.value_def(equal)
                    {
                        self.equal_to_params[equal].push((copy, value));
                    }
                }
                *known = Some(terms);
            }
            Some(known) => {
                let before = known.len();
                known.retain(|term| terms.contains(term));
                self.shrunk |= known.len() != before;
            }
        }
    }

    /// Records that `result` is `inst`.
    pub(super) fn own(&mut self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        if let Some(&(other, other_inst)) = self.owners.get(&result) {
            // A branch has no effect, and where it decides nothing, another one on the same value
            // may be the remaining one.
            let may_share = is_brif(self.tree.func(copy), inst)
                && is_brif(self.tree.func(other), other_inst)
                && is_brif(self.after, result);
            if may_share {
                self.matches.insert((copy, inst), result);
                return Ok(());
            }
            let message =
                format!("the result has one instruction for it and for {other_inst} of {other}");
            return Err(self.at(copy, inst, message).with_result(result));
        }
        self.owners.insert(result, (copy, inst));
        self.matches.insert((copy, inst), result);
        Ok(())
    }

    pub(super) fn at(&self, copy: CopyId, inst: Inst, message: impl Into<String>) -> Difference {
        let name = crate::program::FunctionName::from(self.tree.func(copy).name.clone());
        Difference::at(copy, name.to_string(), inst, message)
    }

    fn check_nothing_is_left_over(&self) -> Result<(), Difference> {
        for block in self.after.layout.blocks() {
            if !self.entered_blocks.contains(block) {
                continue;
            }
            for inst in self.after.layout.block_insts(block) {
                let is_jump = matches!(self.after.dfg.insts[inst], InstructionData::Jump { .. });
                let is_matched =
                    || self.owners.contains_key(&inst) || self.runs.borrow().is_accounted(inst);
                if !is_jump && !is_matched() {
                    return Err(Difference::in_result(inst, "it comes from nowhere"));
                }
            }
        }
        Ok(())
    }
}

/// Returns the terms of a value that is itself in the result.
pub(super) fn one(value: Value) -> Terms {
    [Term::Value(value)].into_iter().collect()
}

pub(super) fn is_brif(func: &Function, inst: Inst) -> bool {
    matches!(func.dfg.insts[inst], InstructionData::Brif { .. })
}

pub(super) fn has_struct_args(func: &Function) -> bool {
    let mut params = func.signature.params.iter();
    params.any(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
}
