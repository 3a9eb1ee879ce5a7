//! Estimates how much of a body would fold if a parameter were constant.

use super::addresses;
use crate::body::{operands, resolve_alias};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, Value};

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
    /// Uses it otherwise: stores or returns it, joins it with another value, or computes with it.
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
    if params.is_empty() {
        return Vec::new();
    }
    let mut walk = Walk {
        func,
        params: SecondaryMap::new(),
        sources: SecondaryMap::new(),
        uses: vec![ParameterUse::default(); params.len()],
    };
    walk.sources.resize(func.dfg.num_values());
    for (index, &param) in (0u32..).zip(params) {
        if !func.dfg.value_is_valid(param) {
            continue;
        }
        walk.params[param] = Some(index);
        walk.sources[param] = Source::Parameter(index);
    }
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            walk.visit(inst);
        }
    }
    let mut uses = walk.uses;
    for parameter in &mut uses {
        parameter.address = AddressUse::Accessed;
    }
    let origins = params.iter().copied().zip(0u32..);
    addresses::for_each_use(func, origins, |index, how| {
        let Some(parameter) = uses.get_mut(index as usize) else {
            return;
        };
        let how = match how {
            addresses::AddressUse::Access { is_memory } => {
                parameter.accesses = parameter.accesses.saturating_add(u32::from(is_memory));
                AddressUse::Accessed
            }
            addresses::AddressUse::Addition => AddressUse::Accessed,
            addresses::AddressUse::Passed(_) => AddressUse::PassedOn,
            addresses::AddressUse::Other => AddressUse::Escapes,
        };
        parameter.address = parameter.address.max(how);
    });
    uses
}

/// A walk over a body.
struct Walk<'a> {
    func: &'a Function,
    /// The parameters of the entry block, with their index.
    params: SecondaryMap<Value, Option<u32>>,
    sources: SecondaryMap<Value, Source>,
    uses: Vec<ParameterUse>,
}

impl Walk<'_> {
    fn visit(&mut self, inst: Inst) {
        let dfg = &self.func.dfg;
        let data = &dfg.insts[inst];
        let args = operands(dfg, inst);
        let mut combined = Source::Constant;
        for &arg in args {
            let value = resolve_alias(dfg, arg);
            let source = value.map_or(Source::Unknown, |value| self.sources[value]);
            // Others come from a parameter too.
            if matches!(source, Source::Parameter(_))
                && let Some(parameter) = value.and_then(|value| self.parameter(value))
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
            Source::Parameter(index) => self.uses.get_mut(index as usize),
            Source::Constant | Source::Unknown => None,
        };
        match data {
            InstructionData::Brif { .. } | InstructionData::BranchTable { .. } => {
                if let Some(parameter) = decides {
                    parameter.folded_branches += 1;
                }
            }
            InstructionData::CallIndirect { .. } | InstructionData::TryCallIndirect { .. } => {
                let callee = args.first();
                let callee = callee.and_then(|&callee| resolve_alias(dfg, callee));
                if let Some(parameter) = callee.and_then(|callee| self.parameter(callee)) {
                    parameter.indirect_calls += 1;
                }
            }
            // Results are unknown until they are found to be something else.
            _ if combined != Source::Unknown && is_pure(data.opcode()) => {
                if let Some(parameter) = decides {
                    parameter.folded_insts += 1;
                }
                let results = dfg.inst_results(inst).iter();
                for &result in results.filter(|&&result| dfg.value_is_valid(result)) {
                    self.sources[result] = combined;
                }
            }
            _ => {}
        }
    }

    /// Returns the uses of a value that is a parameter.
    fn parameter(&mut self, value: Value) -> Option<&mut ParameterUse> {
        let index = self.params[value]?;
        self.uses.get_mut(index as usize)
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
