//! Estimates how much of a body would fold if a parameter were constant.

use super::addresses;
use crate::body::resolve_alias;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// The part of a body that a parameter alone decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterUse {
    /// Pure instructions whose operands are constants or come from this
    /// parameter alone.
    pub folded_insts: u32,
    /// Branches and branch tables that such a value decides.
    pub folded_branches: u32,
    /// Indirect calls through the parameter itself, which would become direct.
    pub indirect_calls: u32,
    /// Uses of the parameter itself, of any kind.
    pub uses: u32,
    /// The uses of the parameter as an address.
    pub address: AddressUse,
    /// Loads and stores at constant offsets from the parameter.
    pub accesses: u32,
}

/// The uses of a parameter as an address: the worst of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AddressUse {
    /// Only loads, stores and tests it, at constant offsets, if it uses it at all.
    Accessed,
    /// Passes it to other calls too.
    PassedOn,
    /// Uses it otherwise: stores, returns or joins it, or computes with it.
    #[default]
    Escapes,
}

/// The origin of a value, as far as folding is concerned.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    #[default]
    Unknown,
    Constant,
    Parameter(u32),
}

/// Follows each entry block parameter through pure instructions.
///
/// One walk in layout order: a value that is defined later in the layout than
/// it is used counts as unknown, which only makes the estimate lower.
pub(super) fn parameter_uses(func: &Function) -> Vec<ParameterUse> {
    let Some(entry) = func.layout.entry_block() else {
        return Vec::new();
    };
    let params = func.dfg.block_params(entry);
    let mut uses = vec![ParameterUse::default(); params.len()];
    let mut sources: SecondaryMap<Value, Source> = SecondaryMap::new();
    for (index, &param) in (0u32..).zip(params) {
        sources[param] = Source::Parameter(index);
    }
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            visit(func, inst, &mut sources, &mut uses);
        }
    }
    for parameter in &mut uses {
        parameter.address = AddressUse::Accessed;
    }
    let origin = |value| parameter_index(func, value);
    addresses::for_each_use(func, origin, |index, how| {
        let Some(parameter) = uses.get_mut(index) else {
            return;
        };
        let how = match how {
            addresses::AddressUse::Access { is_memory } => {
                parameter.accesses = parameter.accesses.saturating_add(u32::from(is_memory));
                AddressUse::Accessed
            }
            addresses::AddressUse::Passed(_) => AddressUse::PassedOn,
            addresses::AddressUse::Other => AddressUse::Escapes,
        };
        parameter.address = parameter.address.max(how);
    });
    uses
}

fn visit(
    func: &Function,
    inst: Inst,
    sources: &mut SecondaryMap<Value, Source>,
    uses: &mut [ParameterUse],
) {
    let data = &func.dfg.insts[inst];
    let mut combined = Source::Constant;
    for &arg in func.dfg.inst_args(inst) {
        let value = resolve_alias(&func.dfg, arg);
        let source = value.map_or(Source::Unknown, |value| sources[value]);
        if let Some(index) = value.and_then(|value| parameter_index(func, value))
            && let Some(parameter) = uses.get_mut(index)
        {
            parameter.uses += 1;
        }
        combined = match (combined, source) {
            (Source::Constant, other) | (other, Source::Constant) => other,
            (a, b) if a == b => a,
            _ => Source::Unknown,
        };
    }
    let decides = match combined {
        Source::Parameter(index) => uses.get_mut(index as usize),
        Source::Constant | Source::Unknown => None,
    };
    match data {
        InstructionData::Brif { .. } | InstructionData::BranchTable { .. } => {
            if let Some(parameter) = decides {
                parameter.folded_branches += 1;
            }
        }
        InstructionData::CallIndirect { .. } | InstructionData::TryCallIndirect { .. } => {
            let callee = func.dfg.inst_args(inst).first();
            let callee = callee.and_then(|&callee| resolve_alias(&func.dfg, callee));
            if let Some(index) = callee.and_then(|callee| parameter_index(func, callee))
                && let Some(parameter) = uses.get_mut(index)
            {
                parameter.indirect_calls += 1;
            }
        }
        _ if is_pure(data.opcode()) => {
            if let Some(parameter) = decides {
                parameter.folded_insts += 1;
            }
            for &result in func.dfg.inst_results(inst) {
                sources[result] = combined;
            }
        }
        _ => {}
    }
}

fn parameter_index(func: &Function, value: Value) -> Option<usize> {
    match func.dfg.value_def(value) {
        ValueDef::Param(block, index)
            if PackedOption::from(func.layout.entry_block()) == block.into() =>
        {
            Some(index)
        }
        _ => None,
    }
}

fn is_pure(opcode: Opcode) -> bool {
    !opcode.can_load()
        && !opcode.can_store()
        && !opcode.can_trap()
        && !opcode.is_call()
        && !opcode.is_terminator()
        && !opcode.other_side_effects()
}
