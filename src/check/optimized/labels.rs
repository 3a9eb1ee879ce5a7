//! Labels of values, and locations of computed values.

use super::nodes::{Entry, Node, Side, Symbol, Term};
use super::state::State;
use super::walk::{Outcome, Walk};
use super::{Unproved, edges};
use cranelift_codegen::ir::{
    Block, BlockCall, Function, Inst, SourceLoc, Value, ValueDef, ValueLabel, ValueLabelAssignments,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// A label and its start.
type Label = (ValueLabel, SourceLoc);

/// The most terms that are looked through for one that was joined with others.
const MAX_JOINED: usize = 256;

/// Labels that were seen, by the terms of their values.
#[derive(Default)]
pub(super) struct Seen {
    labels: [Option<FxHashMap<Value, Vec<Label>>>; 2],
    /// The labels of parameters of the function before that always have a value, by that.
    passed: Option<FxHashMap<Value, Vec<Label>>>,
    before: FxHashSet<(Node, Label)>,
    after: FxHashMap<(Node, Label), Value>,
    /// Terms that must have a label in the optimised function, each with the value that has it.
    wanted: FxHashMap<(Node, Label), Value>,
    /// The reachable values with labels of the function before.
    reached: FxHashSet<Value>,
    /// Edges of the function before that are taken, by their branches.
    taken: FxHashSet<(Inst, BlockCall)>,
    /// Whether the term of some value with a label is unknown.
    is_unsure: bool,
}

impl Walk<'_> {
    fn labels_of(&mut self, side: Side, value: Value) -> Vec<Label> {
        let func = match side {
            Side::Before => self.before.func,
            Side::After => self.after.func,
        };
        if func.dfg.values_labels.is_none() {
            return Vec::new();
        }
        let keeps_locations = self.surroundings.keeps_locations();
        let index = usize::from(Self::is_after(side));
        let all = self.seen.labels[index].get_or_insert_with(|| all_labels(func, keeps_locations));
        let value = func.dfg.resolve_aliases(value);
        all.get(&value).cloned().unwrap_or_default()
    }

    /// Notes that the function before takes an edge from its place.
    pub(super) fn note_taken(&mut self, edge: BlockCall) {
        if self.is_final && self.before.func.dfg.values_labels.is_some() {
            self.seen.taken.insert((self.position, edge));
        }
    }

    /// Notes the labels of the results.
    pub(super) fn note_computed(&mut self, side: Side, inst: Inst) {
        if !self.is_final {
            return;
        }
        let func = match side {
            Side::Before => self.before.func,
            Side::After => self.after.func,
        };
        for &value in func.dfg.inst_results(inst) {
            self.note_value(side, value);
        }
    }

    /// Notes the labels of a value that was just set.
    pub(super) fn note_value(&mut self, side: Side, value: Value) {
        if !self.is_final {
            return;
        }
        if side == Side::Before {
            let node = self.before.get(&mut self.world, value);
            self.note_passed(value, node);
        }
        let labels = self.labels_of(side, value);
        if labels.is_empty() {
            return;
        }
        if side == Side::Before {
            self.seen
                .reached
                .insert(self.before.func.dfg.resolve_aliases(value));
        }
        let node = match side {
            Side::Before => self.before.get(&mut self.world, value),
            Side::After => self.after.get(&mut self.world, value),
        };
        let Some(node) = node else {
            self.seen.is_unsure |= side == Side::Before;
            return;
        };
        for label in labels {
            match side {
                Side::Before => {
                    self.seen.before.insert((node, label));
                }
                Side::After => {
                    self.seen.after.insert((node, label), value);
                }
            }
        }
    }

    /// Notes the labels of parameters that always have `value`, whose term is `node`: where these
    /// go, the value may get the labels.
    fn note_passed(&mut self, value: Value, node: Option<Node>) {
        let func = self.before.func;
        if func.dfg.values_labels.is_none() {
            return;
        }
        let keeps_locations = self.surroundings.keeps_locations();
        let passed = &mut self.seen.passed;
        let passed = passed.get_or_insert_with(|| passed_labels(func, keeps_locations));
        let labels = passed.get(&func.dfg.resolve_aliases(value));
        if let (Some(labels), Some(node)) = (labels, node) {
            let labels = labels.iter().map(|&label| (node, label));
            self.seen.before.extend(labels);
        }
    }

    /// Notes the labels of live values at the start of a block.
    pub(super) fn note_state(&mut self, block: Block, state: &State) {
        if !self.is_final {
            return;
        }
        for &(value, node) in &state.before {
            self.note_passed(value, node);
            for label in self.labels_of(Side::Before, value) {
                self.seen.reached.insert(value);
                match node {
                    Some(node) => {
                        self.seen.before.insert((node, label));
                    }
                    None => self.seen.is_unsure = true,
                }
            }
        }
        let params = self.after.func.dfg.block_params(block);
        for &(value, node) in &state.after {
            for label in self.labels_of(Side::After, value) {
                if let Some(node) = node {
                    self.seen.after.insert((node, label), value);
                }
            }
            // A parameter that replaces one of the function before has its labels.
            let Some(node) = node else { continue };
            let is_join = matches!(
                *self.world.nodes.term(node),
                Term::Symbol(Symbol::Join(of, Entry::Before(_) | Entry::After(_))) if of == block
            );
            if !is_join || !params.contains(&value) {
                continue;
            }
            for &(other, of) in &state.before {
                if of == Some(node) && self.is_param_at(other, state.position) {
                    for label in self.labels_of(Side::Before, other) {
                        self.seen.wanted.entry((node, label)).or_insert(other);
                    }
                }
            }
        }
    }

    /// Returns whether a value is a parameter of the block in which the function before is.
    fn is_param_at(&self, value: Value, position: Inst) -> bool {
        let func = self.before.func;
        let block = func.layout.inst_block(position);
        match func.dfg.value_def(value) {
            ValueDef::Param(of, _) => Some(of) == block,
            _ => false,
        }
    }

    /// Notes that an instruction of both functions uses an operand of the function before: its term
    /// has the labels, if it is the result of an effect or a computation.
    pub(super) fn note_use(&mut self, inst: Inst, index: usize) {
        if !self.is_final {
            return;
        }
        let func = self.before.func;
        let Some(&value) = func.dfg.inst_args(inst).get(index) else {
            return;
        };
        let value = func.dfg.resolve_aliases(value);
        let ValueDef::Result(of, _) = func.dfg.value_def(value) else {
            return;
        };
        // A load may have become the value that was stored before, which has labels of its own.
        if func.dfg.insts[of].opcode().can_load() && !func.dfg.insts[of].opcode().is_call() {
            return;
        }
        self.want_labels(value);
    }

    /// Notes that both functions have an instruction: its results keep their labels.
    pub(super) fn note_kept(&mut self, inst: Inst) {
        if !self.is_final {
            return;
        }
        for &value in self.before.func.dfg.inst_results(inst) {
            self.want_labels(value);
        }
    }

    fn want_labels(&mut self, value: Value) {
        let labels = self.labels_of(Side::Before, value);
        let Some(node) = self.before.get(&mut self.world, value) else {
            return;
        };
        if self.world.nodes.constant_of(node).is_some() {
            return;
        }
        for label in labels {
            self.seen.wanted.entry((node, label)).or_insert(value);
        }
    }

    pub(super) fn check_labels(&mut self) -> Outcome {
        let wanted = self.seen.wanted.iter();
        let lost = wanted.filter(|(wanted, _)| !self.seen.after.contains_key(wanted));
        let lost = in_order(lost);
        // Unreachable values have no known terms.
        let labels = all_labels(self.before.func, self.surroundings.keeps_locations());
        let mut unreached: FxHashSet<Label> = FxHashSet::default();
        for (value, labels) in labels {
            if !self.seen.reached.contains(&value) {
                unreached.extend(labels);
            }
        }
        let after = self.seen.after.iter();
        let added = after.filter(|(labelled, _)| {
            !self.seen.before.contains(labelled) && !unreached.contains(&labelled.1)
        });
        let mut added = in_order(added);
        if !added.is_empty() {
            let open = self.labels_on_other_ways();
            added.retain(|(.., label)| !open.contains(label));
            // A parameter that always has one value may give its label to that. Where ways meet,
            // that value is one of those that meet.
            added.retain(|&(_, node, label)| !self.is_joined_to(node, label));
            // Where a block was copied, its parameter is one of these values until ways meet again.
            added.retain(|&(_, node, label)| !self.is_joined_of(node, label));
        }
        if self.find_labelled(&lost, &added) {
            return Ok(());
        }
        if let Some((value, ..)) = lost.first() {
            let message = format!("what {value} is has lost its label");
            return Err(Unproved::wrong(message));
        }
        match added.first() {
            Some((value, ..)) => {
                let message = format!("{value} of the result has a label that comes from nowhere");
                Err(match self.seen.is_unsure {
                    true => Unproved::cannot_tell(message),
                    false => Unproved::wrong(message),
                })
            }
            None => Ok(()),
        }
    }

    /// Returns labels of parameters and of loaded values on ways that the function before never
    /// takes. Their terms are unknown.
    fn labels_on_other_ways(&self) -> FxHashSet<Label> {
        let func = self.before.func;
        let mut seen: FxHashSet<Block> = FxHashSet::default();
        let mut work: Vec<Block> = Vec::new();
        for branch in func
            .layout
            .blocks()
            .filter_map(|block| func.layout.last_inst(block))
        {
            let edges = edges(func, branch).iter();
            let open = edges.filter(|&&edge| !self.seen.taken.contains(&(branch, edge)));
            work.extend(open.map(|edge| edge.block(&func.dfg.value_lists)));
        }
        while let Some(block) = work.pop() {
            if seen.insert(block)
                && let Some(last) = func.layout.last_inst(block)
            {
                let next = edges(func, last).iter();
                work.extend(next.map(|edge| edge.block(&func.dfg.value_lists)));
            }
        }
        let mut open: FxHashSet<Label> = FxHashSet::default();
        for (value, labels) in all_labels(func, self.surroundings.keeps_locations()) {
            let block = match func.dfg.value_def(value) {
                ValueDef::Param(block, _) => Some(block),
                ValueDef::Result(inst, _) if func.dfg.insts[inst].opcode().can_load() => {
                    func.layout.inst_block(inst)
                }
                _ => None,
            };
            if block.is_some_and(|block| seen.contains(&block)) {
                open.extend(labels);
            }
        }
        open
    }

    /// Returns whether a term is one of those that became, where ways meet, a term with a label in
    /// the function before.
    fn is_joined_to(&self, node: Node, label: Label) -> bool {
        let labelled = self.seen.before.iter();
        let labelled = labelled.filter(|(_, other)| *other == label);
        let mut work: Vec<Node> = labelled.map(|&(joined, _)| joined).collect();
        work.sort_unstable();
        let mut seen: FxHashSet<Node> = work.iter().copied().collect();
        while let Some(joined) = work.pop() {
            if joined == node {
                return true;
            }
            let parts = self.world.nodes.joined.get(&joined).into_iter().flatten();
            for part in parts.flat_map(|&(old, new)| [old, new]) {
                if seen.len() < MAX_JOINED && seen.insert(part) {
                    work.push(part);
                }
            }
        }
        false
    }

    /// Returns whether a term became, where ways meet, of terms that all have a label in the
    /// function before, or became of such terms in turn.
    fn is_joined_of(&self, node: Node, label: Label) -> bool {
        let mut seen: FxHashSet<Node> = FxHashSet::default();
        let mut work = vec![node];
        while let Some(joined) = work.pop() {
            let is_labelled = self.seen.before.contains(&(joined, label));
            if is_labelled || !seen.insert(joined) {
                continue;
            }
            let parts = self.world.nodes.joined.get(&joined);
            let Some(parts) = parts.filter(|parts| !parts.is_empty() && seen.len() < MAX_JOINED)
            else {
                return false;
            };
            work.extend(parts.iter().flat_map(|&(old, new)| [old, new]));
        }
        true
    }

    /// Returns whether values with the same label would be equal if slots were, which the next
    /// round uses.
    fn find_labelled(
        &mut self,
        lost: &[(Value, Node, Label)],
        added: &[(Value, Node, Label)],
    ) -> bool {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        for &(_, node, label) in lost {
            let after = self.seen.after.keys().filter(|(_, other)| *other == label);
            pairs.extend(after.map(|&(after, _)| (node, after)));
        }
        for &(_, node, label) in added {
            let before = self.seen.before.iter().filter(|(_, other)| *other == label);
            pairs.extend(before.map(|&(before, _)| (before, node)));
        }
        pairs.sort_unstable();
        let mut found = false;
        for (before, after) in pairs {
            found |= self.unites(before, after);
        }
        found
    }
}

fn in_order<'a>(
    labelled: impl Iterator<Item = (&'a (Node, Label), &'a Value)>,
) -> Vec<(Value, Node, Label)> {
    let labelled = labelled.map(|(&(node, label), &value)| (value, node, label));
    let mut labelled: Vec<(Value, Node, Label)> = labelled.collect();
    labelled.sort_unstable_by_key(|&(value, node, (label, from))| {
        (value, node, label.as_u32(), from.bits())
    });
    labelled
}

/// Returns the labels of all values, each with those of its aliases.
fn all_labels(func: &Function, keeps_locations: bool) -> FxHashMap<Value, Vec<Label>> {
    let mut all: FxHashMap<Value, Vec<Label>> = FxHashMap::default();
    let Some(labels) = &func.dfg.values_labels else {
        return all;
    };
    let base = func.params.base_srcloc();
    let mut values: Vec<Value> = labels.keys().copied().collect();
    values.sort_unstable();
    for value in values {
        let mut at = value;
        for _ in 0..=labels.len() {
            match labels.get(&at) {
                Some(ValueLabelAssignments::Starts(starts)) => {
                    let of = all.entry(func.dfg.resolve_aliases(value)).or_default();
                    of.extend(starts.iter().map(|start| match keeps_locations {
                        true => (start.label, start.from.expand(base)),
                        false => (start.label, SourceLoc::default()),
                    }));
                    break;
                }
                Some(ValueLabelAssignments::Alias { value: next, .. }) => at = *next,
                None => break,
            }
        }
    }
    all
}

/// Returns the labels of parameters that always have one value, by this value.
fn passed_labels(func: &Function, keeps_locations: bool) -> FxHashMap<Value, Vec<Label>> {
    let mut passed: FxHashMap<Value, Vec<Label>> = FxHashMap::default();
    let labels = all_labels(func, keeps_locations);
    // The only value that is passed for a parameter, if there is one.
    let mut sole: FxHashMap<Value, Option<Value>> = FxHashMap::default();
    for block in func.layout.blocks() {
        let Some(branch) = func.layout.last_inst(block) else {
            continue;
        };
        for edge in edges(func, branch) {
            let pool = &func.dfg.value_lists;
            let params = func.dfg.block_params(edge.block(pool)).iter();
            for (&param, arg) in params.zip(edge.args(pool)) {
                let arg = arg.as_value();
                let arg = arg.map(|arg| func.dfg.resolve_aliases(arg));
                if arg != Some(param) {
                    let known = *sole.entry(param).or_insert(arg);
                    sole.insert(param, known.filter(|_| known == arg));
                }
            }
        }
    }
    for (param, labels) in labels {
        let mut at = param;
        // The values on the way may have loops.
        for _ in 0..sole.len() {
            let Some(&Some(value)) = sole.get(&at) else {
                break;
            };
            passed.entry(value).or_default().extend(&labels);
            at = value;
        }
    }
    passed
}
