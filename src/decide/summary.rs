//! The facts about a callee that do not depend on the call site.

use super::addresses::{OwnSlots, SlotUses};
use super::parameters::{ParameterUse, parameter_uses};
use super::results::{ResultWays, result_ways};
use crate::body::{branches, slot_bytes};
use crate::graph::Recursion;
use crate::panics;
use crate::program::{Attributes, Linkage};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, InstructionData, Opcode, Signature};
use std::sync::{Arc, OnceLock};

/// Facts about a function as it would be inlined: its final body, and its part in the program.
///
/// The pass fills in the facts that it has anyway; the others are computed from the body on first
/// use.
#[derive(Debug)]
pub struct Summary {
    facts: KnownFacts,
    body: Arc<Function>,
    shape: OnceLock<Shape>,
    parameters: OnceLock<Vec<ParameterUse>>,
    results: OnceLock<Vec<ResultWays>>,
    own_slots: OnceLock<OwnSlots>,
}

/// The pass's facts about a function, from outside its body.
#[derive(Debug)]
pub(crate) struct KnownFacts {
    pub(crate) size: usize,
    pub(crate) frame_bytes: u64,
    pub(crate) calls: usize,
    pub(crate) call_sites: usize,
    pub(crate) address_taken: bool,
    pub(crate) never_throws: bool,
    pub(crate) linkage: Linkage,
    pub(crate) attributes: Attributes,
    pub(crate) recursion: Recursion,
    pub(crate) has_profile: bool,
}

/// The results of one walk over a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) blocks: usize,
    pub(crate) returns: usize,
    pub(crate) back_edges: usize,
    pub(crate) slot_bytes: u64,
}

impl Shape {
    pub(crate) fn of(func: &Function) -> Self {
        let mut shape = Shape {
            slot_bytes: slot_bytes(func),
            ..Shape::default()
        };
        let mut seen: EntitySet<Block> = EntitySet::with_capacity(func.dfg.num_blocks());
        for block in func.layout.blocks() {
            seen.insert(block);
            shape.blocks += 1;
            for inst in func.layout.block_insts(block) {
                let data = &func.dfg.insts[inst];
                let opcode = data.opcode();
                shape.returns += usize::from(opcode.is_return());
                if matches!(opcode, Opcode::Jump | Opcode::Brif | Opcode::BrTable)
                    || matches!(data, InstructionData::TryCall { .. })
                {
                    let targets = branches(func, inst).iter();
                    let targets = targets.map(|call| call.block(&func.dfg.value_lists));
                    shape.back_edges += targets.filter(|&block| seen.contains(block)).count();
                }
            }
        }
        shape
    }
}

impl Summary {
    /// Creates the summary of a function with the final body `body`; `facts` must be about the same
    /// function.
    pub(crate) fn new(body: Arc<Function>, facts: KnownFacts) -> Self {
        Summary {
            facts,
            body,
            shape: OnceLock::new(),
            parameters: OnceLock::new(),
            results: OnceLock::new(),
            own_slots: OnceLock::new(),
        }
    }

    /// Creates the summary of a function without a body; `stub` has only its signature. It is to be
    /// [changed](Self::describe) to that of one function after the other.
    #[cfg(feature = "shards")]
    pub(crate) fn recorded(stub: Arc<Function>, facts: KnownFacts) -> Self {
        Summary {
            shape: OnceLock::from(Shape::default()),
            parameters: OnceLock::from(Vec::new()),
            results: OnceLock::from(Vec::new()),
            own_slots: OnceLock::from(OwnSlots::default()),
            ..Self::new(stub, facts)
        }
    }

    /// Makes it the summary of another function without a body.
    #[cfg(feature = "shards")]
    pub(crate) fn describe(
        &mut self,
        stub: &Arc<Function>,
        facts: KnownFacts,
        shape: Shape,
        parameters: &[ParameterUse],
        results: &[ResultWays],
        own_slots: OwnSlots,
    ) {
        if !Arc::ptr_eq(&self.body, stub) {
            self.body = Arc::clone(stub);
        }
        self.facts = facts;
        if let Some(known) = self.shape.get_mut() {
            *known = shape;
        }
        if let Some(known) = self.parameters.get_mut() {
            known.clear();
            known.extend_from_slice(parameters);
        }
        if let Some(known) = self.results.get_mut() {
            known.clear();
            known.extend_from_slice(results);
        }
        if let Some(known) = self.own_slots.get_mut() {
            *known = own_slots;
        }
    }

    /// Returns the uses of the parameters of a body.
    #[cfg(feature = "shards")]
    pub(crate) fn parameters_of(body: &Function) -> Vec<ParameterUse> {
        parameter_uses(body)
    }

    /// Returns the ways of the results of a body.
    #[cfg(feature = "shards")]
    pub(crate) fn results_of(body: &Function) -> Vec<ResultWays> {
        result_ways(body)
    }

    /// Returns the slots of a body that become values without inlining anything.
    #[cfg(feature = "shards")]
    pub(crate) fn own_slots_of(body: &Function) -> OwnSlots {
        SlotUses::of(body).own(body)
    }

    /// Reads the body on first use. An unchecked body may trip Cranelift's accessors; it then has
    /// no facts, and the engine refuses the call if the policy wants it.
    fn shape(&self) -> &Shape {
        self.shape
            .get_or_init(|| panics::catch(|| Shape::of(&self.body)).unwrap_or_default())
    }

    /// Returns its signature.
    pub(crate) fn signature(&self) -> &Signature {
        &self.body.signature
    }

    /// Returns its size, in instructions; long lists [count](super::Limits#sizes) as several.
    pub fn insts(&self) -> usize {
        self.facts.size
    }

    /// Returns the number of its blocks.
    pub fn blocks(&self) -> usize {
        self.shape().blocks
    }

    /// Returns the number of its loops, estimated by the branches that go back in the layout. Front
    /// ends lay out a loop's header before its body, so this is the number of loops or a little
    /// more.
    pub fn loops(&self) -> usize {
        self.shape().back_edges
    }

    /// Returns the number of its calls of every kind, including indirect and tail calls.
    pub fn calls(&self) -> usize {
        self.facts.calls
    }

    /// Returns the number of its exits: `return`s and tail calls.
    pub fn returns(&self) -> usize {
        self.shape().returns
    }

    /// Returns the bytes of its sized stack slots.
    pub fn slot_bytes(&self) -> u64 {
        self.shape().slot_bytes
    }

    /// Returns the bytes that a copy may add to its caller's frame: those of its sized stack slots
    /// and of the structures that are passed to it by value. It adds fewer where copies share
    /// slots.
    pub fn frame_bytes(&self) -> u64 {
        self.facts.frame_bytes
    }

    /// Returns the number of call sites in the whole program that named it before inlining.
    pub fn call_sites(&self) -> usize {
        self.facts.call_sites
    }

    /// Returns whether its address is taken anywhere in the program, or a table holds it.
    pub fn is_address_taken(&self) -> bool {
        self.facts.address_taken
    }

    /// Returns whether no exception comes out of a call of it: none of its own calls passes one on.
    /// [Promises of the embedder](crate::cleanup::OptimizeOptions::never_throws) count for external
    /// ones.
    pub fn never_throws(&self) -> bool {
        self.facts.never_throws
    }

    /// Returns its linkage.
    pub fn linkage(&self) -> Linkage {
        self.facts.linkage
    }

    /// Returns the embedder's attributes for it.
    pub fn attributes(&self) -> Attributes {
        self.facts.attributes
    }

    /// Returns whether and how it calls itself.
    pub fn recursion(&self) -> Recursion {
        self.facts.recursion
    }

    /// Returns whether calls of the program have execution counts.
    pub fn has_profile(&self) -> bool {
        self.facts.has_profile
    }

    /// Returns whether it goes away after inlining its only call: it is local, one site calls it,
    /// and its address is not taken.
    pub fn has_sole_call_site(&self) -> bool {
        let facts = &self.facts;
        facts.linkage == Linkage::Local
            && facts.call_sites == 1
            && !facts.address_taken
            && !facts.recursion.is_recursive()
    }

    /// Returns the instructions that each parameter, by its index, decides in the body; the first
    /// call reads the body.
    pub fn parameters(&self) -> &[ParameterUse] {
        let uses = || panics::catch(|| parameter_uses(&self.body)).unwrap_or_default();
        self.parameters.get_or_init(uses)
    }

    /// Returns on how many ways each result, by its index, is constant; the body is read for the
    /// first question.
    pub fn results(&self) -> &[ResultWays] {
        let ways = || panics::catch(|| result_ways(&self.body)).unwrap_or_default();
        self.results.get_or_init(ways)
    }
    /// Returns its slots that become values once a copy is optimized, whatever the caller does; the
    /// first call reads the body if it has slots.
    pub fn own_slots(&self) -> OwnSlots {
        let own = || SlotUses::of(&self.body).own(&self.body);
        let own = || panics::catch(own).unwrap_or_default();
        *self.own_slots.get_or_init(own)
    }
}
