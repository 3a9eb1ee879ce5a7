//! Places in the result, and what holds there.

use super::walk::Walk;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Inst, InstructionData, Value, ValueDef};
use smallvec::SmallVec;

/// Something that a source value can be equal to.
///
/// A returned value or a payload of an exception exists only on an edge.
pub(super) type Term = BlockArg;

/// The terms that equal a source value on every path seen so far.
pub(super) type Terms = SmallVec<[Term; 2]>;

/// Where the result goes on.
#[derive(Clone, Copy)]
pub(super) enum Next {
    At(Inst),
    Along(BlockCall),
}

/// The next instruction of the result that is no jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(Inst),
    /// The result jumps in a circle and does nothing more.
    Spins,
}

/// Entering a block along an edge.
pub(super) struct Crossing {
    block: Block,
    passed: SmallVec<[(Value, Term); 4]>,
}

impl Crossing {
    pub(super) fn params(&self) -> impl Iterator<Item = Value> + '_ {
        self.passed.iter().map(|&(param, _)| param)
    }

    pub(super) fn args(&self) -> impl Iterator<Item = Term> + '_ {
        self.passed.iter().map(|&(_, arg)| arg)
    }
}

impl Walk<'_> {
    /// Follows jumps of the result to the next instruction that does something.
    pub(super) fn settle(&self, next: Next) -> (Place, Vec<Crossing>) {
        let mut crossings: Vec<Crossing> = Vec::new();
        let mut next = next;
        loop {
            let inst = match next {
                Next::At(inst) => inst,
                Next::Along(call) => {
                    let block = call.block(&self.after.dfg.value_lists);
                    let repeats = crossings.iter().any(|crossing| crossing.block == block);
                    crossings.push(self.crossing(call));
                    let first = self.after.layout.first_inst(block);
                    match first {
                        Some(first) if !repeats => first,
                        _ => return (Place::Spins, crossings),
                    }
                }
            };
            match self.after.dfg.insts[inst] {
                InstructionData::Jump { destination, .. } => next = Next::Along(destination),
                _ => return (Place::At(inst), crossings),
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

    /// What still equals a source value after the crossings, if `terms` did
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
            // A value that is defined on the way around a loop is an old one
            // once the header is entered again.
            terms.retain(|term| match *term {
                BlockArg::Value(value) => self.is_defined_above(value, crossing.block),
                BlockArg::TryCallRet(_) | BlockArg::TryCallExn(_) => false,
            });
            terms.extend(became);
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
