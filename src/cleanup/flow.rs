//! The edges between a function's blocks, and an order of them.

use super::CleanupContext;
use crate::body::{branches, branches_mut};
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTable, Function, Inst, InstructionData, JumpTable, Value,
};
use smallvec::SmallVec;

/// The edges of a function without unreachable blocks.
///
/// Blocks are numbered in reverse postorder, which depends on the order of targets in branches, not
/// on the numbers of entities or on the layout.
#[derive(Default)]
pub(super) struct Flow {
    order: Vec<Block>,
    numbers: SecondaryMap<Block, u32>,
    /// Edges, by the block that they lead to.
    into: Vec<Edge>,
    /// The index at which the edges into each block begin.
    starts: Vec<u32>,
    // Scratch memory.
    seen: EntitySet<Block>,
    /// Edges with the number of their target, by the block that they come from.
    edges: Vec<(u32, Edge)>,
    next: Vec<u32>,
}

/// One way from a block to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// The number of the block that it comes from.
    pub(super) from: u32,
    /// The branch that ends that block.
    pub(super) inst: Inst,
    /// Which of its targets.
    pub(super) index: u32,
}

impl Flow {
    /// Finds the edges of `func`. Where two branches use one table, one of them gets a copy, so
    /// that each can be changed alone.
    pub(super) fn compute(&mut self, func: &mut Function) {
        if !func.dfg.jump_tables.is_empty() || !func.dfg.exception_tables.is_empty() {
            unshare_tables(func);
        }
        self.number_blocks(func);
        let count = self.order.len();
        self.starts.clear();
        self.starts.resize(count + 1, 0);
        self.edges.clear();
        let pool = &func.dfg.value_lists;
        for (from, &block) in (0u32..).zip(&self.order) {
            let Some(inst) = func.layout.last_inst(block) else {
                continue;
            };
            for (index, call) in (0u32..).zip(branches(func, inst)) {
                let to = self.numbers[call.block(pool)];
                self.starts[to as usize + 1] += 1;
                self.edges.push((to, Edge { from, inst, index }));
            }
        }
        for index in 0..count {
            self.starts[index + 1] += self.starts[index];
        }
        let none = Edge {
            from: 0,
            inst: Inst::reserved_value(),
            index: 0,
        };
        self.into.clear();
        self.into.resize(self.edges.len(), none);
        self.next.clear();
        self.next.extend_from_slice(&self.starts);
        for &(to, edge) in &self.edges {
            let next = &mut self.next[to as usize];
            self.into[*next as usize] = edge;
            *next += 1;
        }
    }

    fn number_blocks(&mut self, func: &Function) {
        self.order.clear();
        self.seen.clear();
        self.numbers.clear();
        self.numbers.resize(func.dfg.num_blocks());
        let targets = |block| {
            let last = func.layout.last_inst(block);
            let calls = last.map_or(&[][..], |last| branches(func, last));
            // From the last target to the first, so that the first comes next in the order.
            calls.iter().rev()
        };
        let mut stack: SmallVec<[_; 32]> = SmallVec::new();
        if let Some(entry) = func.layout.entry_block() {
            self.seen.insert(entry);
            stack.push((entry, targets(entry)));
        }
        let pool = &func.dfg.value_lists;
        while let Some((block, calls)) = stack.last_mut() {
            match calls.next() {
                Some(call) => {
                    let target = call.block(pool);
                    if self.seen.insert(target) {
                        stack.push((target, targets(target)));
                    }
                }
                None => {
                    self.order.push(*block);
                    stack.pop();
                }
            }
        }
        self.order.reverse();
        for (number, &block) in (0u32..).zip(&self.order) {
            self.numbers[block] = number;
        }
    }

    /// Returns the blocks in reverse postorder. A block's place is its number.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.order
    }

    /// Returns the number of `block`.
    pub(super) fn number(&self, block: Block) -> u32 {
        self.numbers[block]
    }

    /// Returns the edges that lead to the block of this number.
    pub(super) fn edges_into(&self, number: u32) -> &[Edge] {
        let start = self.starts[number as usize] as usize;
        let end = self.starts[number as usize + 1] as usize;
        &self.into[start..end]
    }

    /// Returns whether a branch leads to the entry block, which is not valid.
    pub(super) fn returns_to_entry(&self) -> bool {
        !self.order.is_empty() && !self.edges_into(0).is_empty()
    }
}

/// Appends `args` to the arguments of an edge.
pub(super) fn append_args(func: &mut Function, edge: Edge, args: impl Iterator<Item = Value>) {
    let Some(&call) = branches(func, edge.inst).get(edge.index as usize) else {
        debug_assert!(false, "{} has the edge", edge.inst);
        return;
    };
    let pool = &func.dfg.value_lists;
    let target = call.block(pool);
    let mut all: SmallVec<[BlockArg; 8]> = call.args(pool).collect();
    all.extend(args.map(BlockArg::Value));
    set_call(func, edge, target, &all);
}

/// Removes the parameters of the block of this number for which `goes` is true, and their
/// arguments. The caller must handle the parameters' values.
pub(super) fn remove_params(func: &mut Function, flow: &Flow, number: u32, goes: &[bool]) {
    let block = flow.blocks()[number as usize];
    let params: SmallVec<[Value; 8]> = func.dfg.block_params(block).into();
    func.dfg.detach_block_params(block);
    for (&param, goes) in params.iter().zip(goes) {
        if !goes {
            func.dfg.attach_block_param(block, param);
        }
    }
    for &edge in flow.edges_into(number) {
        let Some(&call) = branches(func, edge.inst).get(edge.index as usize) else {
            debug_assert!(false, "{} has the edge", edge.inst);
            continue;
        };
        let args = call.args(&func.dfg.value_lists).zip(goes);
        let args = args.filter(|(_, goes)| !**goes).map(|(arg, _)| arg);
        let args: SmallVec<[BlockArg; 8]> = args.collect();
        set_call(func, edge, block, &args);
    }
}

/// Sets the target and the arguments of an edge. Copied branch targets may share lists of
/// arguments, so each gets a new one.
fn set_call(func: &mut Function, edge: Edge, target: Block, args: &[BlockArg]) {
    let pool = &mut func.stencil.dfg.value_lists;
    let call = BlockCall::new(target, args.iter().copied(), pool);
    if let Some(slot) = branches_mut(func, edge.inst).get_mut(edge.index as usize) {
        *slot = call;
    }
}

fn unshare_tables(func: &mut Function) {
    let mut jump_tables: EntitySet<JumpTable> = EntitySet::new();
    let mut exception_tables: EntitySet<ExceptionTable> = EntitySet::new();
    let mut next = func.layout.entry_block();
    while let Some(block) = next {
        next = func.layout.next_block(block);
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        let dfg = &mut func.stencil.dfg;
        match &mut dfg.insts[last] {
            InstructionData::BranchTable { table, .. } if !jump_tables.insert(*table) => {
                if let Some(copy) = dfg.jump_tables.get(*table).cloned() {
                    *table = dfg.jump_tables.push(copy);
                    jump_tables.insert(*table);
                }
            }
            InstructionData::TryCall { exception, .. }
            | InstructionData::TryCallIndirect { exception, .. }
                if !exception_tables.insert(*exception) =>
            {
                if let Some(copy) = dfg.exception_tables.get(*exception).cloned() {
                    *exception = dfg.exception_tables.push(copy);
                    exception_tables.insert(*exception);
                }
            }
            _ => {}
        }
    }
}

/// Counts the edges to each block.
pub(super) fn count_edges(func: &Function, context: &mut CleanupContext) {
    context.edges.clear();
    context.edges.resize(func.dfg.num_blocks());
    for block in func.layout.blocks() {
        if let Some(last) = func.layout.last_inst(block) {
            for call in branches(func, last) {
                context.edges[call.block(&func.dfg.value_lists)] += 1;
            }
        }
    }
}
