//! The walk of source and result: its state, and the types that its parts share.

use super::assigned::Assigned;
use super::difference::Difference;
use super::liveness::Liveness;
use super::place::{Next, Place, Terms};
use super::slot_owners::Slots;
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{Block, BlockCall, Function, Inst, Value};
use cranelift_entity::PrimaryMap;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use std::cell::{Cell, OnceCell, RefCell};

type FxIndexSet<T> = indexmap::IndexSet<T, FxBuildHasher>;

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
    pub(super) entered_blocks: EntitySet<Block>,
    /// The copies in which some step was taken.
    pub(super) entered: EntitySet<CopyId>,
    pub(super) visited: FxHashMap<(CopyId, Inst), Place>,
    pub(super) work: Vec<Gap>,
    /// The source values that equal a block parameter of the result.
    pub(super) equal_to_params: SecondaryMap<Value, Vec<(CopyId, Value)>>,
    /// By function of the source, keyed by its address.
    pub(super) liveness: RefCell<FxHashMap<*const Function, Liveness>>,
    pub(super) runs: RefCell<Runs>,
    pub(super) choice: Choice,
    /// The remaining number of source steps without steps of the result.
    pub(super) fuel: Cell<usize>,
    /// Whether a value equals more terms than were kept.
    pub(super) forgot: Cell<bool>,
    /// Whether a question was left open that more work might have decided.
    pub(super) gave_up: Cell<bool>,
    pub(super) shrunk: bool,
}

/// The condition known from the last branch on a path.
pub(super) struct Known {
    /// The branch of the source.
    pub(super) branch: (CopyId, Inst),
    /// The value that the branches test.
    pub(super) condition: Terms,
    /// Whether that value is not zero.
    pub(super) taken: bool,
}

/// Branches on known values, any of which may be in the result.
#[derive(Default)]
pub(super) struct Runs {
    /// The next branches on the same value after each branch.
    pub(super) next: FxHashMap<(CopyId, Inst), FxIndexSet<(CopyId, Inst)>>,
    /// Branches of the result with the metadata of a source branch that was matched with it.
    pub(super) alike: FxHashSet<Inst>,
    /// Branches of the source and of the result that were matched, and the difference in their
    /// metadata.
    pub(super) differing: Vec<((CopyId, Inst), Inst, Difference)>,
    /// Branches of the source that the current gap passed.
    pub(super) passed: Vec<(CopyId, Inst)>,
    /// Branches of the result that go one way on a path, each with a matching branch of the source.
    pub(super) accounted: FxHashSet<Inst>,
}

impl Runs {
    pub(super) fn start_gap(&mut self) {
        self.passed.clear();
    }

    pub(super) fn is_accounted(&self, result: Inst) -> bool {
        self.accounted.contains(&result)
    }

    pub(super) fn follows(&mut self, branch: (CopyId, Inst), next: (CopyId, Inst)) {
        self.next.entry(branch).or_default().insert(next);
    }
}
