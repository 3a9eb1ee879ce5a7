//! How deep in loops calls stand.

use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use cranelift_inliner::panics;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::hash_map::Entry;

/// By block; there are none of a body that cannot be analyzed.
type Depths = FxHashMap<Block, usize>;

/// The loops of the functions that were asked about.
pub(super) struct LoopDepths<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    /// By function, of its body before or after.
    depths: RefCell<FxHashMap<(FunctionId, bool), Option<Depths>>>,
}

impl<'a> LoopDepths<'a> {
    pub(super) fn new(program: &'a Program, inlined: &'a Inlined) -> Self {
        Self {
            program,
            inlined,
            depths: RefCell::default(),
        }
    }

    /// How many loops are around the call in the body that it comes from: the caller's of the
    /// input, or the final one of the function that it came in with.
    pub(super) fn of(&self, site: &SiteRecord) -> Option<usize> {
        let (key, body) = match site.via().last() {
            // Its instruction is in no body that is kept.
            None if site.is_resolved() => return None,
            None => ((site.caller, false), self.program.get(site.caller)?.body()),
            Some(&id) => ((id, true), self.inlined.body(id)?),
        };
        let block = body.layout.inst_block(site.source_inst())?;
        let mut depths = self.depths.borrow_mut();
        let depths = match depths.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(panics::catch(|| depths_of(body)).ok()),
        };
        depths.as_ref()?.get(&block).copied()
    }
}

fn depths_of(body: &Function) -> Depths {
    let cfg = ControlFlowGraph::with_function(body);
    let domtree = DominatorTree::with_function(body, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(body, &cfg, &domtree);
    let blocks = body.layout.blocks();
    blocks
        .map(|block| (block, loops.loop_level(block).level()))
        .collect()
}
