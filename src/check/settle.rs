//! The jumps of the result that a gap follows, and the terms that still hold after them.

use super::place::{Crossing, Next, Place, Settled, Terms};
use super::tables::{Choice, Known, Walk};
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstructionData, Value, ValueDef};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// The maximum number of terms of a source value. A value that is passed through a long line of
/// blocks equals a parameter of each of them; the oldest and the newest terms matter.
const MAX_TERMS: usize = 16;

/// The blocks of a path, in order of entering them while they are few.
#[derive(Default)]
struct Entered {
    few: SmallVec<[Block; 8]>,
    many: FxHashSet<Block>,
}

impl Entered {
    fn contains(&self, block: Block) -> bool {
        self.few.contains(&block) || self.many.contains(&block)
    }

    /// Notes that a block is entered; returns false if it was entered before.
    fn insert(&mut self, block: Block) -> bool {
        if self.contains(block) {
            return false;
        }
        if self.few.len() < self.few.inline_size() {
            self.few.push(block);
        } else {
            self.many.insert(block);
        }
        true
    }
}

impl Walk<'_> {
    /// Follows jumps of the result to the next instruction with an effect.
    pub(super) fn settle(&self, next: Next, known: Option<&Known>) -> Settled {
        let mut settled = Settled {
            place: Place::Spins,
            crossings: Vec::new(),
            branches: Vec::new(),
        };
        let mut entered = Entered::default();
        // For each branch that goes one way, the number of crossings before it.
        let mut passed_after: SmallVec<[usize; 4]> = SmallVec::new();
        let mut next = next;
        loop {
            let inst = match next {
                Next::At(inst) => inst,
                Next::Along(call) => {
                    let block = call.block(&self.after.dfg.value_lists);
                    let repeats = !entered.insert(block);
                    if repeats {
                        let mut crossings = settled.crossings.iter();
                        let start = crossings.position(|crossing| crossing.block == block);
                        let is_inside = |&crossings: &usize| start.is_some_and(|at| crossings > at);
                        // In the next round it may go the other way, so the loop may end.
                        if let Some(first) = passed_after.iter().position(is_inside) {
                            settled.crossings.truncate(passed_after[first]);
                            settled.place = Place::At(settled.branches[first]);
                            settled.branches.truncate(first);
                            return settled;
                        }
                    }
                    settled.crossings.push(self.crossing(call));
                    let first = self.after.layout.first_inst(block);
                    match first {
                        Some(first) if !repeats => first,
                        _ => return settled,
                    }
                }
            };
            let way = match self.after.dfg.insts[inst] {
                InstructionData::Jump { destination, .. } => Some(destination),
                InstructionData::Brif { arg, blocks, .. } if self.choice == Choice::OnPaths => {
                    let taken = self.decided_in_result(arg, &settled.crossings, known);
                    let way = taken.map(|taken| blocks[usize::from(!taken)]);
                    // In the next iteration it may go the other way.
                    way.filter(|way| !entered.contains(way.block(&self.after.dfg.value_lists)))
                        .inspect(|_| {
                            settled.branches.push(inst);
                            passed_after.push(settled.crossings.len());
                        })
                }
                _ => None,
            };
            match way {
                Some(way) => next = Next::Along(way),
                None => {
                    settled.place = Place::At(inst);
                    return settled;
                }
            }
        }
    }

    fn crossing(&self, call: BlockCall) -> Crossing {
        let dfg = &self.after.dfg;
        let block = call.block(&dfg.value_lists);
        let params = dfg.block_params(block).iter().copied();
        let args = call
            .args(&dfg.value_lists)
            .map(|arg| arg.map_value(|value| dfg.resolve_aliases(value)));
        Crossing {
            block,
            passed: params.zip(args).collect(),
        }
    }

    /// Returns the terms that still equal a source value after the crossings, if `terms` did
    /// before.
    pub(super) fn carry(&self, terms: &Terms, crossings: &[Crossing]) -> Terms {
        let mut terms = terms.clone();
        for crossing in crossings {
            let became = crossing
                .passed
                .iter()
                .filter(|(_, arg)| terms.contains(arg))
                .map(|&(param, _)| BlockArg::Value(param));
            let became: Terms = became.collect();
            // A value that is defined on the way around a loop is outdated after the header is
            // entered again.
            terms.retain(|term| match *term {
                BlockArg::Value(value) => self.is_defined_above(value, crossing.block),
                BlockArg::TryCallRet(_) | BlockArg::TryCallExn(_) => false,
            });
            terms.extend(became);
            if terms.len() > MAX_TERMS {
                terms.drain(MAX_TERMS / 2..terms.len() - MAX_TERMS / 2);
                self.forgot.set(true);
            }
        }
        terms
    }

    fn is_defined_above(&self, value: Value, block: Block) -> bool {
        match self.after.dfg.value_def(value) {
            ValueDef::Result(inst, _) => {
                let defined_in = self.after.layout.inst_block(inst);
                defined_in.is_some_and(|defined_in| {
                    defined_in != block && self.domtree.block_dominates(defined_in, block)
                })
            }
            ValueDef::Param(defined_in, _) => {
                defined_in != block && self.domtree.block_dominates(defined_in, block)
            }
            ValueDef::Union(..) => false,
        }
    }
}
