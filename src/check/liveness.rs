//! The liveness of values of the source.

use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Inst, Value, ValueDef};
use rustc_hash::FxHashMap;

/// The liveness of the values of one function.
pub(super) struct Liveness {
    cfg: ControlFlowGraph,
    uses: FxHashMap<Value, Vec<Inst>>,
    /// The blocks at whose start a value is live; computed per value on first use.
    live_in: FxHashMap<Value, EntitySet<Block>>,
}

impl Liveness {
    pub(super) fn new(func: &Function) -> Self {
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
    pub(super) fn is_live(
        &mut self,
        func: &Function,
        value: Value,
        at: Inst,
        is_next: bool,
    ) -> bool {
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
