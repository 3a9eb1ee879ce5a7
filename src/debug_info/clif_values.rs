//! CLIF's values as variables.

use super::labels::{LabelSchema, LabelVariable, value_type};
use crate::program::{FunctionName, Program};
use cranelift_codegen::ir::{
    Function, RelSourceLoc, Type, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Variables that are the values of CLIF text: `v5` is the variable `v5`, and those of the entry
/// block are parameters.
///
/// ```
/// use cranelift_codegen::ir::{ValueLabel, types};
/// use cranelift_inliner::debug_info::{ClifValues, LabelSchema};
/// use cranelift_inliner::program::Program;
///
/// let text = "function %f(i32) -> i32 {\nblock0(v0: i32):\n    v1 = iadd v0, v0\n    return v1\n}";
/// let program = Program::from_clif(text, "f.clif")?;
/// let values = ClifValues::new(&program);
/// let program = values.label(&program);
/// let (_, function) = program.iter().next().ok_or("no function")?;
/// assert!(function.body().dfg.values_labels.is_some());
/// let variable = values.variable(function.name(), ValueLabel::from_u32(0), types::I32);
/// let variable = variable.ok_or("no variable")?;
/// assert_eq!((variable.name.as_str(), variable.is_parameter), ("v0", true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClifValues {
    parameters: FxHashMap<FunctionName, FxHashSet<u32>>,
}

impl ClifValues {
    /// Takes the parameters of the functions of `program`, before inlining.
    pub fn new(program: &Program) -> Self {
        let parameters = program.iter().map(|(_, function)| {
            let body = function.body();
            let entry = body.layout.entry_block();
            let parameters = entry.map_or(&[][..], |entry| body.dfg.block_params(entry));
            let parameters = parameters.iter().map(|value| value.as_u32());
            (function.name().clone(), parameters.collect())
        });
        ClifValues {
            parameters: parameters.collect(),
        }
    }

    /// Returns `program` with a label for each value, which is its number. Functions that have
    /// labels keep theirs.
    pub fn label(&self, program: &Program) -> Program {
        let labelled = program.with_bodies(|_, function| {
            let body = function.body();
            if body.dfg.values_labels.is_some() {
                return Some(Arc::clone(body));
            }
            let mut body = Function::clone(body);
            label_values(&mut body);
            Some(Arc::new(body))
        });
        // Bodies keep their names, so all functions can be added.
        debug_assert!(labelled.is_ok());
        labelled.unwrap_or_else(|_| program.clone())
    }
}

fn label_values(func: &mut Function) {
    func.dfg.collect_debug_info();
    let mut labels = func.dfg.values_labels.take().unwrap_or_default();
    let mut add = |value: Value| {
        let start = ValueLabelStart {
            from: RelSourceLoc::default(),
            label: ValueLabel::from_u32(value.as_u32()),
        };
        labels.insert(value, ValueLabelAssignments::Starts(vec![start]));
    };
    for block in func.layout.blocks() {
        func.dfg
            .block_params(block)
            .iter()
            .copied()
            .for_each(&mut add);
        for inst in func.layout.block_insts(block) {
            func.dfg
                .inst_results(inst)
                .iter()
                .copied()
                .for_each(&mut add);
        }
    }
    func.dfg.values_labels = Some(labels);
}

impl LabelSchema for ClifValues {
    fn variable(
        &self,
        function: &FunctionName,
        label: ValueLabel,
        ty: Type,
    ) -> Option<LabelVariable> {
        let number = label.as_u32();
        let parameters = self.parameters.get(function)?;
        let variable = LabelVariable::new(format!("v{number}"), value_type(ty));
        Some(variable.with_is_parameter(parameters.contains(&number)))
    }
}
