//! What is known of a callee before its call is looked at.

use super::parameters::{ParameterUse, parameter_uses};
use crate::body::branches;
use crate::graph::Recursion;
use crate::program::{Attributes, Linkage};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, InstructionData, Opcode};
use std::sync::OnceLock;

/// Facts about a function as it would be inlined: its final body, and its part
/// in the program.
#[derive(Debug)]
pub struct Summary {
    insts: usize,
    blocks: usize,
    calls: usize,
    returns: usize,
    back_edges: usize,
    slot_bytes: u64,
    call_sites: usize,
    address_taken: bool,
    linkage: Linkage,
    attributes: Attributes,
    recursion: Recursion,
    parameters: OnceLock<Vec<ParameterUse>>,
}

/// The part of a summary that its body does not tell.
pub(crate) struct ProgramFacts {
    pub(crate) call_sites: usize,
    pub(crate) address_taken: bool,
    pub(crate) linkage: Linkage,
    pub(crate) attributes: Attributes,
    pub(crate) recursion: Recursion,
}

impl Summary {
    pub(crate) fn new(func: &Function, facts: ProgramFacts) -> Self {
        let mut summary = Summary {
            insts: 0,
            blocks: 0,
            calls: 0,
            returns: 0,
            back_edges: 0,
            slot_bytes: func
                .sized_stack_slots
                .values()
                .map(|slot| u64::from(slot.size))
                .sum(),
            call_sites: facts.call_sites,
            address_taken: facts.address_taken,
            linkage: facts.linkage,
            attributes: facts.attributes,
            recursion: facts.recursion,
            parameters: OnceLock::new(),
        };
        let mut seen: EntitySet<Block> = EntitySet::with_capacity(func.dfg.num_blocks());
        for block in func.layout.blocks() {
            seen.insert(block);
            summary.blocks += 1;
            for inst in func.layout.block_insts(block) {
                summary.insts += 1;
                let data = &func.dfg.insts[inst];
                let opcode = data.opcode();
                summary.calls += usize::from(opcode.is_call());
                summary.returns += usize::from(opcode.is_return());
                if matches!(opcode, Opcode::Jump | Opcode::Brif | Opcode::BrTable)
                    || matches!(data, InstructionData::TryCall { .. })
                {
                    let targets = branches(func, inst).iter();
                    let targets = targets.map(|call| call.block(&func.dfg.value_lists));
                    summary.back_edges += targets.filter(|&block| seen.contains(block)).count();
                }
            }
        }
        summary
    }

    /// Its instructions, each counted once.
    pub fn insts(&self) -> usize {
        self.insts
    }

    /// Its blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Its loops, as the number of branches that go back in the layout. Front
    /// ends lay out a loop's header before its body, so this is the number of
    /// loops or a little more.
    pub fn loops(&self) -> usize {
        self.back_edges
    }

    /// Its calls of every kind, indirect and tail calls included.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Its ways out: `return` and tail calls.
    pub fn returns(&self) -> usize {
        self.returns
    }

    /// The bytes of its sized stack slots.
    pub fn slot_bytes(&self) -> u64 {
        self.slot_bytes
    }

    /// How many call sites of the whole program named it before inlining.
    pub fn call_sites(&self) -> usize {
        self.call_sites
    }

    /// Whether its address is taken anywhere in the program.
    pub fn is_address_taken(&self) -> bool {
        self.address_taken
    }

    /// Who may refer to it.
    pub fn linkage(&self) -> Linkage {
        self.linkage
    }

    /// What the embedder said of it.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Whether and how it calls itself.
    pub fn recursion(&self) -> Recursion {
        self.recursion
    }

    /// Whether it goes away once its only call is inlined: it is local, one
    /// site calls it and nobody takes its address.
    pub fn has_sole_call_site(&self) -> bool {
        self.linkage == Linkage::Local
            && self.call_sites == 1
            && !self.address_taken
            && !self.recursion.is_recursive()
    }

    /// What each parameter, by its index, decides in the body. `body` must be
    /// the function of the summary; it is read when first asked.
    pub fn parameters(&self, body: &Function) -> &[ParameterUse] {
        self.parameters.get_or_init(|| parameter_uses(body))
    }
}
