//! Values of a function that are derived from given ones.

use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::{BlockArg, Function, Inst, InstructionData, Value};

/// Values derived from others, through instructions, edges and aliases.
pub(super) struct Derived(EntitySet<Value>);

/// How an instruction passes values on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Its results are derived from its operands.
    Through,
    /// Its results are not.
    Ends,
    /// Its results are starting points themselves.
    Starts,
}

impl Derived {
    /// Finds the values derived from `pending` by instructions with numbers below `insts`. Results
    /// of calls are not derived from their arguments.
    ///
    /// Costs one walk over these instructions. Panics where the function is malformed.
    pub(super) fn find(
        func: &Function,
        insts: usize,
        mut pending: Vec<Value>,
        flow: impl Fn(Inst, &InstructionData) -> Flow,
    ) -> Self {
        let dfg = &func.dfg;
        let mut uses = Uses::new(dfg.num_values());
        for inst in (0..insts).map(Inst::new) {
            let data = &dfg.insts[inst];
            for call in data.branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
                let params = dfg.block_params(call.block(&dfg.value_lists));
                for (arg, &param) in call.args(&dfg.value_lists).zip(params) {
                    if let BlockArg::Value(value) = arg {
                        uses.add(value, param);
                    }
                }
            }
            let results = dfg.inst_results(inst);
            if results.is_empty() || data.opcode().is_call() {
                continue;
            }
            match flow(inst, data) {
                Flow::Ends => {}
                Flow::Starts => pending.extend(results),
                Flow::Through => {
                    for value in dfg.inst_values(inst) {
                        results.iter().for_each(|&result| uses.add(value, result));
                    }
                }
            }
        }
        for value in (0..dfg.num_values()).map(Value::new) {
            if let Some(target) = dfg.value_alias_dest_for_serialization(value) {
                uses.add(target, value);
            }
        }
        let mut found = EntitySet::new();
        while let Some(value) = pending.pop() {
            if found.insert(value) {
                uses.of(value, &mut pending);
            }
        }
        Derived(found)
    }

    pub(super) fn contains(&self, value: Value) -> bool {
        self.0.contains(value)
    }
}

/// The values derived from each value, as lists in one table.
struct Uses {
    /// The first of each value's entries, plus one.
    first: Vec<usize>,
    /// The derived value, and the index of the next entry of the same value, plus one.
    entries: Vec<(Value, usize)>,
}

impl Uses {
    fn new(values: usize) -> Self {
        Uses {
            first: vec![0; values],
            entries: Vec::new(),
        }
    }

    fn add(&mut self, value: Value, made: Value) {
        let first = &mut self.first[value.index()];
        self.entries.push((made, *first));
        *first = self.entries.len();
    }

    fn of(&self, value: Value, found: &mut Vec<Value>) {
        let mut next = self.first.get(value.index()).copied().unwrap_or_default();
        while let Some(&(made, after)) = next.checked_sub(1).and_then(|at| self.entries.get(at)) {
            found.push(made);
            next = after;
        }
    }
}
