//! Following source and result together.
//!
//! Between two instructions that do something, both sides may take steps that
//! leave no trace: jumps, on the source side also stepping into a copy and out
//! of it again. Such a stretch is a *gap*. It starts where the last instruction
//! was matched and ends at the next one on each side; what the source assigns
//! on the way, to block parameters, parameters of copies and results of
//! replaced calls, takes effect at the end of the gap, together with what the
//! result assigned to its block parameters.

use super::assigned::Assigned;
use super::difference::Difference;
use super::forks::{Choices, MAX_FORKS, MAX_SIDE_STEPS, MAX_TRIES};
use super::place::{Crossing, Next, Place, Term, Terms};
use super::slots::Slots;
use super::tree::{CopyId, CopyTree, SiteKind};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    ArgumentPurpose, Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode, Value,
};
use cranelift_entity::PrimaryMap;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, OnceCell};

/// Where the source goes on.
#[derive(Clone, Copy)]
pub(super) enum Source {
    At(Inst),
    /// Into a block, whose parameters the gap has assigned already.
    Enter(Block),
}

/// A stretch without trace that is still to be followed.
pub(super) struct Gap {
    pub(super) copy: CopyId,
    pub(super) source: Source,
    pub(super) next: Next,
    pub(super) assigned: Assigned,
}

/// A block that an instruction of the source names, and the one that the
/// result's names, if it names one.
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
    /// What each source value equals; `None` until it is first assigned.
    pub(super) terms: PrimaryMap<CopyId, SecondaryMap<Value, Option<Terms>>>,
    pub(super) slots: Slots,
    /// A reachable store of the result with an alias region, once that was looked up.
    pub(super) store_with_region: OnceCell<Option<Inst>>,
    /// Which source instruction each instruction of the result is.
    pub(super) owners: FxHashMap<Inst, (CopyId, Inst)>,
    pub(super) matches: FxHashMap<(CopyId, Inst), Inst>,
    /// To be compared when all is matched.
    pub(super) named_blocks: Vec<NamedBlock>,
    /// What values of functions with labels equalled on the way to where the
    /// source does something next. There they may no longer, which is no loss
    /// where nothing needs them, but they have their labels.
    pub(super) passed: FxHashSet<(CopyId, Value, Value)>,
    /// The copies in which some step was taken.
    pub(super) entered: EntitySet<CopyId>,
    visited: FxHashMap<(CopyId, Inst), Place>,
    pub(super) work: Vec<Gap>,
    /// How many more steps may be taken on sides of branches in this gap.
    pub(super) side_steps: Cell<u32>,
    pub(super) choices: Choices,
    /// How often the source was followed from its start.
    passes: u32,
    shrunk: bool,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a CopyTree<'a>, after: &'a Function, choices: Choices) -> Self {
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
            entered: EntitySet::new(),
            visited: FxHashMap::default(),
            work: Vec::new(),
            side_steps: Cell::new(MAX_SIDE_STEPS),
            choices,
            passes: 0,
            shrunk: false,
        }
    }

    /// Follows the source through the result, with other choices where the
    /// likely ones lead to a difference. What leads further is gone on from. The
    /// first difference is the one to report if nothing leads to the end.
    pub(super) fn prove(tree: &'a CopyTree<'a>, after: &'a Function) -> Result<(), Difference> {
        let mut furthest = Walk::new(tree, after, Choices::default());
        let Err(difference) = furthest.run() else {
            return Ok(());
        };
        let mut alternatives = furthest.choices.alternatives().into_iter();
        for _ in 0..MAX_TRIES {
            let Some(choices) = alternatives.next() else {
                break;
            };
            let mut walk = Walk::new(tree, after, choices);
            if walk.run().is_ok() {
                return Ok(());
            }
            if walk.progress() > furthest.progress() {
                alternatives = walk.choices.alternatives().into_iter();
                furthest = walk;
            }
        }
        Err(difference)
    }

    /// How far it came, to be compared with how far another came.
    fn progress(&self) -> (u32, usize) {
        (self.passes, self.visited.len())
    }

    fn run(&mut self) -> Result<(), Difference> {
        self.check_header()?;
        loop {
            self.shrunk = false;
            self.passes += 1;
            self.choices.forget_made();
            self.visited.clear();
            self.entered.clear();
            self.owners.clear();
            self.matches.clear();
            self.named_blocks.clear();
            self.passed.clear();
            let start = self.start()?;
            self.work.push(start);
            while let Some(gap) = self.work.pop() {
                self.follow(gap)?;
            }
            if !self.shrunk {
                break;
            }
        }
        self.check_nothing_is_left_over()?;
        self.check_named_blocks()?;
        self.check_promises()?;
        self.check_labels()?;
        self.check_stack_limits()?;
        self.check_keyed_slots()
    }

    fn start(&self) -> Result<Gap, Difference> {
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
        let mut assigned = Assigned::default();
        for (&param, &result) in params.zip(results) {
            assigned.push(CopyTree::ROOT, param, one(result));
        }
        Ok(Gap {
            copy: CopyTree::ROOT,
            source: Source::Enter(source),
            next: Next::At(first),
            assigned,
        })
    }

    /// Takes the steps without trace and matches the instruction after them.
    fn follow(&mut self, gap: Gap) -> Result<(), Difference> {
        self.side_steps.set(MAX_SIDE_STEPS);
        let (place, crossings) = self.settle(gap.next);
        let Gap {
            mut copy,
            mut source,
            mut assigned,
            ..
        } = gap;
        let mut passed: FxHashSet<(CopyId, Inst)> = FxHashSet::default();
        let inst = loop {
            let inst = self.first_inst(copy, source)?;
            self.entered.insert(copy);
            if passed.contains(&(copy, inst)) {
                // The source jumps in a circle; so must the result.
                return if place == Place::Spins {
                    Ok(())
                } else {
                    Err(self.at(
                        copy,
                        inst,
                        "the result goes on where the source loops forever",
                    ))
                };
            }
            match self.silent_step(copy, inst, (place, &crossings), &mut assigned, MAX_FORKS)? {
                Some((next_copy, next_source)) => {
                    passed.insert((copy, inst));
                    (copy, source) = (next_copy, next_source);
                }
                None => break inst,
            }
        };
        for (of, value, terms) in assigned {
            if self.tree.func(of).dfg.values_labels.is_some() {
                self.note_passed(of, value, terms.clone(), &crossings);
            }
            let terms = self.carry(&terms, &crossings);
            self.merge(of, value, terms);
        }
        match self.visited.get(&(copy, inst)) {
            Some(&before) if before == place => return Ok(()),
            Some(_) => {
                return Err(self.at(
                    copy,
                    inst,
                    "two paths lead to it in the source but not in the result",
                ));
            }
            None => {}
        }
        self.visited.insert((copy, inst), place);
        match place {
            Place::Spins => Err(self.at(copy, inst, "the result loops forever before it")),
            Place::At(result) => self.step(copy, inst, result),
        }
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

    /// A step of the source that leaves no trace: where it leads, or `None`
    /// where `inst` does something.
    pub(super) fn silent_step(
        &self,
        copy: CopyId,
        inst: Inst,
        place: (Place, &[Crossing]),
        assigned: &mut Assigned,
        forks: u32,
    ) -> Result<Option<(CopyId, Source)>, Difference> {
        let func = self.tree.func(copy);
        if let Some(child) = self.tree.child(copy, inst) {
            if has_struct_args(self.tree.func(child)) {
                return Ok(None);
            }
            let entry = self.enter(copy, inst, child, assigned)?;
            return Ok(Some((child, Source::Enter(entry))));
        }
        let data = func.dfg.insts[inst];
        let destination = match data {
            InstructionData::Jump { destination, .. } => Some(destination),
            InstructionData::Brif { arg, blocks, .. }
                if !self.is_branch_on(copy, arg, data.opcode(), place, assigned)
                    || self.is_dropped_before(copy, (inst, blocks), place, assigned, forks)? =>
            {
                let condition = self.constant_of(&self.lookup(copy, arg, assigned));
                match condition {
                    Some(condition) => Some(blocks[usize::from(condition == 0)]),
                    None => return self.meet(copy, blocks, place, assigned, forks),
                }
            }
            InstructionData::BranchTable { arg, table, .. }
                if !self.is_branch_on(copy, arg, data.opcode(), place, assigned) =>
            {
                let condition = self.lookup(copy, arg, assigned);
                self.constant_of(&condition).map(|index| {
                    let table = &func.dfg.jump_tables[table];
                    let target = usize::try_from(index).ok();
                    let target = target.and_then(|index| table.as_slice().get(index));
                    target.copied().unwrap_or_else(|| table.default_block())
                })
            }
            InstructionData::MultiAry { .. } if data.opcode() == Opcode::Return => {
                let returned: Vec<Terms> = func
                    .dfg
                    .inst_args(inst)
                    .iter()
                    .map(|&value| self.lookup(copy, value, assigned))
                    .collect();
                return self.leave(copy, &returned, assigned);
            }
            _ => None,
        };
        Ok(destination.map(|call| (copy, Source::Enter(self.assign(copy, call, &[], assigned)))))
    }

    /// Whether the result has a branch of this kind on this value here, so that
    /// the source's was not folded. A value that the gap assigns is the one
    /// after the crossings: it may be constant on this path alone.
    pub(super) fn is_branch_on(
        &self,
        copy: CopyId,
        arg: Value,
        opcode: Opcode,
        (place, crossings): (Place, &[Crossing]),
        assigned: &Assigned,
    ) -> bool {
        let Place::At(inst) = place else {
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
                    Some(_) => self.carry(&terms, crossings),
                    None => terms,
                };
                terms.contains(&Term::Value(result))
            })
    }

    /// Steps into a copy: its parameters are the arguments. Returns its entry
    /// block.
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
            return Err(self.at(copy, call, "it is no direct call, and cannot be replaced"));
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

    /// Steps out of a copy with what it returns; `None` where that returns from
    /// the caller itself.
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

    /// Assigns the parameters of the block to which `call` leads; returned
    /// values are those of a replaced `try_call`.
    pub(super) fn assign(
        &self,
        copy: CopyId,
        call: BlockCall,
        returned: &[Terms],
        assigned: &mut Assigned,
    ) -> Block {
        let dfg = &self.tree.func(copy).dfg;
        let block = call.block(&dfg.value_lists);
        let args: Vec<Terms> = call
            .args(&dfg.value_lists)
            .map(|arg| match arg {
                BlockArg::Value(value) => self.lookup(copy, value, assigned),
                BlockArg::TryCallRet(index) if !returned.is_empty() => {
                    returned.get(index as usize).cloned().unwrap_or_default()
                }
                other => [other].into_iter().collect(),
            })
            .collect();
        for (&param, terms) in dfg.block_params(block).iter().zip(args) {
            assigned.push(copy, param, terms);
        }
        block
    }

    /// What a source value equals, with what the gap assigned so far.
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
            known @ None => *known = Some(terms),
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
            if !self.domtree.is_reachable(block) {
                continue;
            }
            for inst in self.after.layout.block_insts(block) {
                let is_jump = matches!(self.after.dfg.insts[inst], InstructionData::Jump { .. });
                if !is_jump && !self.owners.contains_key(&inst) {
                    return Err(Difference::in_result(inst, "it comes from nowhere"));
                }
            }
        }
        Ok(())
    }
}

/// The terms of a value that is itself in the result.
pub(super) fn one(value: Value) -> Terms {
    [Term::Value(value)].into_iter().collect()
}

pub(super) fn has_struct_args(func: &Function) -> bool {
    let mut params = func.signature.params.iter();
    params.any(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
}
