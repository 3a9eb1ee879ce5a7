//! Loop depths of calls.

use cranelift_inliner::decide::Loops;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use rustc_hash::FxHashMap;
use std::cell::RefCell;

/// The loops of functions, computed on demand.
pub(super) struct LoopDepths<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    /// By function, for its body before or after.
    loops: RefCell<FxHashMap<(FunctionId, bool), Loops>>,
}

impl<'a> LoopDepths<'a> {
    pub(super) fn new(program: &'a Program, inlined: &'a Inlined) -> Self {
        Self {
            program,
            inlined,
            loops: RefCell::default(),
        }
    }

    /// Returns the loop depth of the call in the body that it comes from: the caller's input body,
    /// or the final body of the inlined function.
    pub(super) fn of(&self, site: &SiteRecord) -> Option<u32> {
        let (key, body) = match site.via().last() {
            // Its instruction is not in any kept body.
            None if site.is_resolved() => return None,
            None => ((site.caller, false), self.program.get(site.caller)?.body()),
            Some(&id) => ((id, true), self.inlined.body(id)?),
        };
        let block = body.layout.inst_block(site.source_inst())?;
        let mut loops = self.loops.borrow_mut();
        let loops = loops.entry(key).or_insert_with(|| Loops::of(body));
        Some(loops.depth(block))
    }
}
