//! What is known of a callee before its call is looked at.

use super::parameters::{ParameterUse, parameter_uses};
use crate::body::{branches, slot_bytes};
use crate::graph::Recursion;
use crate::panics;
use crate::program::{Attributes, Linkage};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, InstructionData, Opcode};
use std::sync::{Arc, OnceLock};

/// Facts about a function as it would be inlined: its final body, and its part
/// in the program.
///
/// What the pass knows anyway is there at once; the body is read when something
/// else is asked for the first time.
#[derive(Debug)]
pub struct Summary {
    facts: KnownFacts,
    body: Arc<Function>,
    shape: OnceLock<Shape>,
    parameters: OnceLock<Vec<ParameterUse>>,
}

/// What the pass knows of a function without a look at its body.
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
}

/// What one walk over a body tells.
#[derive(Debug, Default)]
struct Shape {
    blocks: usize,
    returns: usize,
    back_edges: usize,
}

impl Shape {
    fn of(func: &Function) -> Self {
        let mut shape = Shape::default();
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
    /// `facts` must be those of the function whose final body `body` is.
    pub(crate) fn new(body: Arc<Function>, facts: KnownFacts) -> Self {
        Summary {
            facts,
            body,
            shape: OnceLock::new(),
            parameters: OnceLock::new(),
        }
    }

    /// A body that nobody has checked may trip Cranelift's accessors; nothing is then known of
    /// it, and the call is refused if somebody wants it.
    fn shape(&self) -> &Shape {
        self.shape
            .get_or_init(|| panics::catch(|| Shape::of(&self.body)).unwrap_or_default())
    }

    /// Its size, in instructions; long lists [count](super::Limits#sizes) as several.
    pub fn insts(&self) -> usize {
        self.facts.size
    }

    /// Its blocks.
    pub fn blocks(&self) -> usize {
        self.shape().blocks
    }

    /// Its loops, as the number of branches that go back in the layout. Front
    /// ends lay out a loop's header before its body, so this is the number of
    /// loops or a little more.
    pub fn loops(&self) -> usize {
        self.shape().back_edges
    }

    /// Its calls of every kind, indirect and tail calls included.
    pub fn calls(&self) -> usize {
        self.facts.calls
    }

    /// Its ways out: `return` and tail calls.
    pub fn returns(&self) -> usize {
        self.shape().returns
    }

    /// The bytes of its sized stack slots.
    pub fn slot_bytes(&self) -> u64 {
        slot_bytes(&self.body)
    }

    /// The bytes that a copy may add to its caller's frame: those of its sized stack slots and of
    /// the structures that are passed to it by value. Fewer, where copies share slots.
    pub fn frame_bytes(&self) -> u64 {
        self.facts.frame_bytes
    }

    /// How many call sites of the whole program named it before inlining.
    pub fn call_sites(&self) -> usize {
        self.facts.call_sites
    }

    /// Whether its address is taken anywhere in the program.
    pub fn is_address_taken(&self) -> bool {
        self.facts.address_taken
    }

    /// Whether no exception comes out of a call of it: none of its own calls lets one through. The
    /// [embedder's word](crate::cleanup::OptimizeOptions::never_throws) counts for external ones.
    pub fn never_throws(&self) -> bool {
        self.facts.never_throws
    }

    /// Who may refer to it.
    pub fn linkage(&self) -> Linkage {
        self.facts.linkage
    }

    /// What the embedder said of it.
    pub fn attributes(&self) -> Attributes {
        self.facts.attributes
    }

    /// Whether and how it calls itself.
    pub fn recursion(&self) -> Recursion {
        self.facts.recursion
    }

    /// Whether it goes away once its only call is inlined: it is local, one
    /// site calls it and nobody takes its address.
    pub fn has_sole_call_site(&self) -> bool {
        let facts = &self.facts;
        facts.linkage == Linkage::Local
            && facts.call_sites == 1
            && !facts.address_taken
            && !facts.recursion.is_recursive()
    }

    /// What each parameter, by its index, decides in the body. `body` must be
    /// the function of the summary; it is read when first asked.
    pub fn parameters(&self, body: &Function) -> &[ParameterUse] {
        let uses = || panics::catch(|| parameter_uses(body)).unwrap_or_default();
        self.parameters.get_or_init(uses)
    }
}
