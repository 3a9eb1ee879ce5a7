//! The scope in which a value of the source equals a block parameter of the result.
//!
//! On the way into a loop of the result both may be the same, and differ in the next iteration. So
//! when a block is entered, its parameters are new values, and an earlier value of the source
//! equals only the parameters whose arguments it equals. Facts about a value that is recomputed
//! before each later use are kept.

use super::assigned::Assigned;
use super::entities::special_param;
use super::place::{Crossing, Term};
use super::tree::CopyId;
use super::walk::Walk;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Inst, Value, ValueDef};
use rustc_hash::FxHashMap;
use std::ptr;

/// The liveness of the values of one function.
pub(super) struct Liveness {
    cfg: ControlFlowGraph,
    uses: FxHashMap<Value, Vec<Inst>>,
    /// The blocks at whose start a value is live; computed per value on first use.
    live_in: FxHashMap<Value, EntitySet<Block>>,
}

impl Liveness {
    fn new(func: &Function) -> Self {
        let mut uses: FxHashMap<Value, Vec<Inst>> = FxHashMap::default();
        for inst in func
            .layout
            .blocks()
            .flat_map(|block| func.layout.block_insts(block))
        {
            for value in func.dfg.inst_values(inst) {
                let of_value = uses.entry(func.dfg.resolve_aliases(value)).or_default();
                if of_value.last() != Some(&inst) {
                    of_value.push(inst);
                }
            }
        }
        Liveness {
            cfg: ControlFlowGraph::with_function(func),
            uses,
            live_in: FxHashMap::default(),
        }
    }

    /// Returns whether some use of `value` can come before it is recomputed, if `at` is executed
    /// next, or was executed just before.
    fn is_live(&mut self, func: &Function, value: Value, at: Inst, is_next: bool) -> bool {
        let Some(block) = func.layout.inst_block(at) else {
            return true;
        };
        if let ValueDef::Result(inst, _) = func.dfg.value_def(value)
            && func.layout.inst_block(inst) == Some(block)
            && func.layout.pp_cmp(inst, at).is_ge()
        {
            return false;
        }
        let uses = self.uses.get(&value).map_or(&[][..], Vec::as_slice);
        let comes_after = |&use_: &Inst| match func.layout.inst_block(use_) == Some(block) {
            true if is_next => func.layout.pp_cmp(use_, at).is_ge(),
            true => func.layout.pp_cmp(use_, at).is_gt(),
            false => false,
        };
        if uses.iter().any(comes_after) {
            return true;
        }
        let cfg = &self.cfg;
        let live_in = self.live_in.entry(value).or_insert_with(|| {
            let defined_in = match func.dfg.value_def(value) {
                ValueDef::Param(block, _) => Some(block),
                ValueDef::Result(inst, _) => func.layout.inst_block(inst),
                ValueDef::Union(..) => None,
            };
            let mut live_in = EntitySet::new();
            let mut work: Vec<Block> = uses
                .iter()
                .filter_map(|&use_| func.layout.inst_block(use_))
                .collect();
            while let Some(block) = work.pop() {
                if Some(block) != defined_in && live_in.insert(block) {
                    work.extend(cfg.pred_iter(block).map(|from| from.block));
                }
            }
            live_in
        });
        cfg.succ_iter(block).any(|to| live_in.contains(to))
    }
}

impl Walk<'_> {
    /// Forgets that values equal the parameters of the entered blocks, except values that the gap,
    /// which leads to `end`, assigns.
    pub(super) fn forget_params(
        &mut self,
        crossings: &[Crossing],
        assigned: &Assigned,
        end: (CopyId, Inst),
    ) {
        for param in crossings.iter().flat_map(Crossing::params) {
            let mut equal = std::mem::take(&mut self.equal_to_params[param]);
            equal.retain(|&(copy, value)| {
                if assigned.get(copy, value).is_some() {
                    return true;
                }
                let known = self.terms[copy][value].clone().unwrap_or_default();
                if !known.contains(&Term::Value(param)) {
                    return false;
                }
                if self.carry(&known, crossings).contains(&Term::Value(param))
                    || !self.is_live(copy, value, end, true)
                {
                    return true;
                }
                if let Some(known) = &mut self.terms[copy][value] {
                    known.retain(|term| *term != Term::Value(param));
                    self.shrunk = true;
                }
                false
            });
            self.equal_to_params[param] = equal;
        }
    }

    /// Returns whether the present value may be used after `end`, or in `end` itself if that is
    /// next.
    pub(super) fn is_live(
        &self,
        copy: CopyId,
        value: Value,
        end: (CopyId, Inst),
        is_next: bool,
    ) -> bool {
        let (mut inner, mut inst) = end;
        // Copies come after those around them.
        while inner > copy {
            let Some(site) = self.tree.site(inner) else {
                return false;
            };
            (inner, inst) = (site.parent, site.call);
        }
        if inner != copy {
            return false;
        }
        let func = self.tree.func(copy);
        // Global values start from it without naming it.
        if special_param(func) == Some(value) {
            return true;
        }
        let mut liveness = self.liveness.borrow_mut();
        let liveness = liveness.entry(ptr::from_ref(func));
        let liveness = liveness.or_insert_with(|| Liveness::new(func));
        // The arguments of a replaced call were looked up when its copy was entered.
        liveness.is_live(func, value, inst, is_next && end.0 == copy)
    }
}
