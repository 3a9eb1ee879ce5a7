//! The variables that value labels stand for after inlining.

use super::table::LocationTable;
use crate::body::labels_of;
use crate::program::FunctionName;
use cranelift_codegen::ir::{
    Function, Inst, SourceLoc, Type, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// The value labels of one function, each with the inlined body that it belongs to.
///
/// A label is a number with a meaning to the front end, within one function. After inlining, labels
/// of two functions, or of two copies of one, can have the same number, and Cranelift would take
/// them for one variable. [`LabelTable::number`] gives each its own number before compilation.
///
/// ```
/// use cranelift_codegen::ir::{Value, ValueLabel, ValueLabelAssignments, ValueLabelStart};
/// use cranelift_inliner::locations::{LabelTable, LocationTable};
///
/// let mut func = cranelift_reader::parse_functions(
///     "function %f(i32) -> i32 {\nblock0(v0: i32):\n    return v0\n}",
/// )?.remove(0);
/// func.dfg.collect_debug_info();
/// let start = ValueLabelStart { from: Default::default(), label: ValueLabel::from_u32(40) };
/// let starts = ValueLabelAssignments::Starts(vec![start]);
/// func.dfg.values_labels.get_or_insert_default().insert(Value::from_u32(0), starts);
///
/// let locations = LocationTable::own("%f".parse()?);
/// let labels = LabelTable::number(&mut func, &locations);
/// let variable = labels.iter().next().ok_or("no variable")?;
/// assert_eq!((variable.number.as_u32(), variable.label.as_u32()), (0, 40));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelTable {
    entries: Vec<LabelledVariable>,
    has_cold_blocks: bool,
    has_tail_calls: bool,
}

/// A front end's variable in one body: see [`LabelTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelledVariable {
    /// The label that the compiled function has.
    pub number: ValueLabel,
    /// The front end's label, in the function of the body.
    pub label: ValueLabel,
    /// A location of the body that it belongs to, which the function's [`LocationTable`] explains.
    pub body: SourceLoc,
    /// The type of its values; `None` if they have several.
    pub ty: Option<Type>,
}

impl LabelTable {
    /// Gives each label of each body of `func` a number of its own, in the order of the values.
    ///
    /// `locations` is the table of `func`; see
    /// [`LocationBuilder::finish`](super::LocationBuilder::finish). Costs O(n log n) for n labels.
    pub fn number(func: &mut Function, locations: &LocationTable) -> Self {
        let layout = &func.layout;
        let opcode = |inst: Inst| func.dfg.insts[inst].opcode();
        let mut insts = layout.blocks().flat_map(|block| layout.block_insts(block));
        let mut table = LabelTable {
            entries: Vec::new(),
            has_cold_blocks: layout.blocks().any(|block| func.is_effectively_cold(block)),
            has_tail_calls: insts.any(|inst| opcode(inst).is_call() && opcode(inst).is_return()),
        };
        let base = func.params.base_srcloc();
        let Some(labels) = func.dfg.values_labels.take() else {
            return table;
        };
        let mut numbers: FxHashMap<(Option<SourceLoc>, &FunctionName, ValueLabel), usize> =
            FxHashMap::default();
        let mut numbered: BTreeMap<Value, ValueLabelAssignments> = BTreeMap::new();
        for &value in labels.keys() {
            // An unverified function may have labels of missing values.
            let is_value = func.dfg.value_is_valid(value);
            let Some(starts) = labels_of(&labels, value).filter(|_| is_value) else {
                continue;
            };
            let ty = func.dfg.value_type(value);
            let mut own: Vec<ValueLabelStart> = Vec::with_capacity(starts.len());
            for start in starts {
                let body = start.from.expand(base);
                let place = locations.innermost(body);
                let key = (place.call, place.function, start.label);
                let number = *numbers.entry(key).or_insert_with(|| {
                    table.entries.push(LabelledVariable {
                        number: ValueLabel::from_u32(table.entries.len() as u32),
                        label: start.label,
                        body,
                        ty: Some(ty),
                    });
                    table.entries.len() - 1
                });
                let entry = &mut table.entries[number];
                if entry.ty != Some(ty) {
                    entry.ty = None;
                }
                let start = ValueLabelStart {
                    from: start.from,
                    label: entry.number,
                };
                if !own.contains(&start) {
                    own.push(start);
                }
            }
            numbered.insert(value, ValueLabelAssignments::Starts(own));
        }
        keep_certain(&mut numbered);
        func.dfg.values_labels = Some(numbered);
        table
    }

    /// Returns the variables by their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &LabelledVariable> {
        self.entries.iter()
    }

    /// Returns whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether the function has blocks that are cold to Cranelift, which blocks that trap
    /// are too. Their code is apart from the rest, and has no places of values.
    pub fn has_cold_blocks(&self) -> bool {
        self.has_cold_blocks
    }

    /// Returns whether the function has calls that do not return. Cranelift may then move the
    /// frame, and does not count that in the places of spilled values.
    pub fn has_tail_calls(&self) -> bool {
        self.has_tail_calls
    }
}

/// Removes labels that a value with several labels shares with another value.
///
/// Where a join is copied for some ways into it, each copy of a parameter has its labels. If such a
/// copy always has one value, they go to that value, which also exists on the ways to the other
/// copies, with another meaning. Assignments of a front end have different starts.
fn keep_certain(labels: &mut BTreeMap<Value, ValueLabelAssignments>) {
    fn starts(assignments: &mut ValueLabelAssignments) -> Option<&mut Vec<ValueLabelStart>> {
        match assignments {
            ValueLabelAssignments::Starts(starts) => Some(starts),
            ValueLabelAssignments::Alias { .. } => None,
        }
    }
    let key = |start: &ValueLabelStart| {
        (
            start.label.as_u32(),
            start.from.expand(SourceLoc::new(0)).bits(),
        )
    };
    let mut counts: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    for start in labels.values_mut().filter_map(starts).flatten() {
        *counts.entry(key(start)).or_default() += 1;
    }
    for starts in labels.values_mut().filter_map(starts) {
        if starts.len() > 1 {
            starts.retain(|start| counts.get(&key(start)) == Some(&1));
        }
    }
}
