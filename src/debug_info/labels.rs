//! Variables in registers and spill slots, by Cranelift's value labels.

use super::DebugFunction;
use super::variables::{VariableEncoding, VariableType};
use crate::locations::LabelledVariable;
use crate::program::FunctionName;
use cranelift_codegen::LabelValueLoc;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::{Type, ValueLabel};
use cranelift_codegen::isa::TargetIsa;
use gimli::Register;
use gimli::write::Expression;
use std::ops::Range;
use target_lexicon::Architecture;

/// Maps an embedder's value labels to variables of its source.
pub trait LabelSchema: Sync {
    /// Returns the variable that `label` stands for in `function`, where it is on values of type
    /// `ty`; `None` if it stands for none.
    fn variable(
        &self,
        function: &FunctionName,
        label: ValueLabel,
        ty: Type,
    ) -> Option<LabelVariable>;
}

/// A variable that values hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelVariable {
    /// Its name.
    pub name: String,
    /// Its type. The size must be that of the values.
    pub ty: VariableType,
    /// Whether it is a parameter of its function. Debuggers show parameters in backtraces.
    pub is_parameter: bool,
}

impl LabelVariable {
    /// Makes a variable that is not a parameter.
    pub fn new(name: impl Into<String>, ty: VariableType) -> Self {
        LabelVariable {
            name: name.into(),
            ty,
            is_parameter: false,
        }
    }

    /// Sets whether it is a parameter of its function.
    #[must_use]
    pub fn with_is_parameter(mut self, is_parameter: bool) -> Self {
        self.is_parameter = is_parameter;
        self
    }
}

/// Returns the type that shows values of `ty` as Cranelift has them: integers with a sign, floats,
/// and vectors as one number.
pub fn value_type(ty: Type) -> VariableType {
    let encoding = match ty {
        _ if ty.is_vector() => VariableEncoding::Unsigned,
        _ if ty.is_float() => VariableEncoding::Float,
        _ => VariableEncoding::Signed,
    };
    VariableType {
        name: ty.to_string(),
        // The largest vector has 64 bytes.
        size: u8::try_from(ty.bytes()).unwrap_or(u8::MAX),
        encoding,
    }
}

/// Code in which a variable has one place.
pub(super) struct Piece {
    pub(super) range: Range<CodeOffset>,
    pub(super) place: Expression,
}

/// The places of a function's labels.
pub(super) struct Places<'a> {
    isa: &'a dyn TargetIsa,
    function: DebugFunction<'a>,
    /// In ascending order.
    return_addresses: Vec<CodeOffset>,
    /// The end of the hot code that has known places.
    end: CodeOffset,
}

impl<'a> Places<'a> {
    pub(super) fn new(isa: &'a dyn TargetIsa, function: DebugFunction<'a>) -> Self {
        let compiled = function.compiled;
        let mut return_addresses: Vec<CodeOffset> =
            compiled.call_sites().map(|site| site.ret_addr).collect();
        return_addresses.sort_unstable();
        // A range to the end of the last hot block ends where the cold ones do. The other ends and
        // starts are in hot code.
        let ranges = compiled.value_label_ranges().values().flatten();
        let mut bounds: Vec<CodeOffset> =
            ranges.flat_map(|range| [range.start, range.end]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let has_cold = function
            .labels
            .is_some_and(|labels| labels.has_cold_blocks());
        if has_cold {
            bounds.pop();
        }
        Places {
            isa,
            function,
            return_addresses,
            end: bounds.last().copied().unwrap_or(0),
        }
    }

    /// Returns the places of `variable` in the order of the code.
    pub(super) fn of(&self, variable: &LabelledVariable) -> Vec<Piece> {
        let Some(ty) = variable.ty else {
            return Vec::new();
        };
        let ranges = self.function.compiled.value_label_ranges();
        let mut ranges = ranges.get(&variable.number).cloned().unwrap_or_default();
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut pieces: Vec<Piece> = Vec::new();
        for range in ranges {
            let start = range
                .start
                .max(pieces.last().map_or(0, |last| last.range.end));
            let end = range.end.min(self.end);
            let Some((place, survives_calls)) = self.place(range.loc, ty) else {
                continue;
            };
            for range in self.without_calls(start..end, survives_calls) {
                let place = place.clone();
                pieces.push(Piece { range, place });
            }
        }
        pieces
    }

    /// Returns the parts of `range` in which a register has its value. In a frame that waits for a
    /// call, debuggers look at the byte before the return address. The register then has its value
    /// only if the callee has to save it, and the value is needed after the call.
    fn without_calls(
        &self,
        range: Range<CodeOffset>,
        survives_calls: Survives,
    ) -> Vec<Range<CodeOffset>> {
        let mut parts = Vec::new();
        let mut start = range.start;
        let first = self
            .return_addresses
            .partition_point(|&at| at <= range.start);
        for &after in &self.return_addresses[first..] {
            if after > range.end {
                break;
            }
            let survives = match survives_calls {
                Survives::Always => true,
                Survives::Never => false,
                Survives::IfNeeded => after < range.end,
            };
            if !survives {
                parts.push(start..after - 1);
                start = after;
            }
        }
        parts.push(start..range.end);
        parts.retain(|part| part.start < part.end);
        parts
    }

    fn place(&self, place: LabelValueLoc, ty: Type) -> Option<(Expression, Survives)> {
        let mut expression = Expression::new();
        match place {
            LabelValueLoc::Reg(register) => {
                let register = self.isa.map_regalloc_reg_to_dwarf(register).ok()?;
                expression.op_reg(Register(register));
                Some((expression, self.survives(register)?))
            }
            LabelValueLoc::CFAOffset(offset) => {
                // Wider values are not known to lie in one piece.
                let is_whole = ty.bytes() <= 16;
                let labels = self.function.labels;
                let has_moved = labels.is_some_and(|labels| labels.has_tail_calls());
                self.survives(0).filter(|_| is_whole && !has_moved)?;
                expression.op(gimli::DW_OP_call_frame_cfa);
                expression.op_consts(offset);
                expression.op(gimli::DW_OP_plus);
                Some((expression, Survives::Always))
            }
        }
    }

    /// Returns whether the register with this number of DWARF survives calls; `None` on targets
    /// whose labels Cranelift places wrongly.
    fn survives(&self, register: u16) -> Option<Survives> {
        let is_saved = match self.isa.triple().architecture {
            Architecture::X86_64 => matches!(register, 3 | 12..=15),
            Architecture::Aarch64(_) => matches!(register, 19..=28),
            Architecture::Riscv64(_) => matches!(register, 9 | 18..=27),
            _ => return None,
        };
        Some(match is_saved {
            true => Survives::IfNeeded,
            false => Survives::Never,
        })
    }
}

#[derive(Clone, Copy)]
enum Survives {
    Always,
    IfNeeded,
    Never,
}
