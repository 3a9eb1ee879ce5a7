//! Variables in registers and spill slots, by Cranelift's value labels.

use super::DebugFunction;
use super::variables::{VariableEncoding, VariableType};
use crate::locations::LabelledVariable;
use crate::program::FunctionName;
use cranelift_codegen::LabelValueLoc;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::{Type, ValueLabel, types};
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
/// and vectors and floats of 128 bits as one number. For such a float, debuggers on x64 show
/// another value: the one that its bytes are as a `long double`.
pub fn value_type(ty: Type) -> VariableType {
    let encoding = match ty {
        _ if ty.is_vector() || ty == types::F128 => VariableEncoding::Unsigned,
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
///
/// Cranelift's ranges begin and end at instructions, but not between them and the moves that its
/// register allocator has put before them. So a range includes
///
/// - the moves behind the instruction that needs the value last, which may write its register, also
///   those between the return from a call and the next instruction;
/// - a jump behind the moves to the parameters of its target.
///
/// The value is not in its place there. A debugger stops there after `finish`, at the first
/// instruction of a line, and after single steps. The starts of instructions are known where a
/// range or a source location starts, and ranges are cut there.
pub(super) struct Places<'a> {
    isa: &'a dyn TargetIsa,
    function: DebugFunction<'a>,
    /// In ascending order.
    return_addresses: Vec<CodeOffset>,
    /// The starts of instructions, as far as they are known, in ascending order.
    starts: Vec<CodeOffset>,
    /// Moves and the jumps behind them, from the known instruction before to the one behind.
    jumps: Vec<Range<CodeOffset>>,
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
        let mut starts: Vec<CodeOffset> =
            ranges.flat_map(|range| [range.start, range.end]).collect();
        starts.sort_unstable();
        starts.dedup();
        let has_cold = function
            .labels
            .is_some_and(|labels| labels.has_cold_blocks());
        if has_cold {
            starts.pop();
        }
        let end = starts.last().copied().unwrap_or(0);
        let locations = compiled.source_locations().iter();
        starts.extend(locations.map(|range| range.start));
        starts.sort_unstable();
        starts.dedup();
        let code = compiled.code();
        let known = starts.windows(3).filter_map(|known| match *known {
            [before, at, behind] if is_jump(isa, code, at) => {
                let call = return_addresses.partition_point(|&after| after <= at);
                let call = call.checked_sub(1).map_or(0, |last| return_addresses[last]);
                Some(call.max(before + 1)..behind)
            }
            _ => None,
        });
        let jumps = known.collect();
        Places {
            isa,
            function,
            return_addresses,
            starts,
            jumps,
            end,
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
            for range in self.certain_parts(start..end, survives_calls) {
                let place = place.clone();
                pieces.push(Piece { range, place });
            }
        }
        pieces
    }

    /// Returns the parts of `range` in which the place certainly has the value.
    ///
    /// In a frame that waits for a call, debuggers look at the byte before the return address. A
    /// register then has its value only if the callee has to save it, and the value is needed after
    /// the call.
    fn certain_parts(
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
            if after <= start {
                continue;
            }
            let next = self.starts.partition_point(|&at| at < after);
            let next = self.starts.get(next).filter(|&&next| next < range.end);
            match (survives_calls, next) {
                (Survives::Always | Survives::IfNeeded, Some(_)) => {}
                // A move may need it. LLDB looks at the return address itself.
                (Survives::Always, None) => {
                    parts.push(start..range.end.min(after + 1));
                    start = range.end;
                }
                (Survives::IfNeeded, None) if after < range.end => {
                    parts.push(start..after + 1);
                    start = range.end;
                }
                // The value is there again, or the callee has another convention.
                (Survives::Never, Some(&next)) => {
                    parts.push(start..after - 1);
                    start = next;
                }
                (Survives::Never | Survives::IfNeeded, None) => {
                    parts.push(start..after - 1);
                    start = range.end;
                }
            }
        }
        if start < range.end {
            parts.push(start..self.end_of_last(start, range.end));
        }
        let mut certain = Vec::with_capacity(parts.len());
        for part in parts {
            let mut start = part.start;
            let first = self.jumps.partition_point(|jump| jump.end <= start);
            let within = self.jumps[first..].iter();
            for jump in within.take_while(|jump| jump.start < part.end) {
                certain.push(start..jump.start);
                start = jump.end;
            }
            certain.push(start..part.end);
        }
        certain.retain(|part| part.start < part.end);
        certain
    }

    /// Returns the end of the first byte of the last instruction that is known to start in a range,
    /// or of none if that is a jump.
    fn end_of_last(&self, start: CodeOffset, end: CodeOffset) -> CodeOffset {
        let after = self.starts.partition_point(|&at| at < end);
        let last = after.checked_sub(1).and_then(|last| self.starts.get(last));
        match last {
            Some(&last) if last >= start => {
                let is_jump = is_jump(self.isa, self.function.compiled.code(), last);
                last + CodeOffset::from(!is_jump)
            }
            _ => start,
        }
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

/// Returns whether the instruction at `at` is a jump to an offset.
fn is_jump(isa: &dyn TargetIsa, code: &[u8], at: CodeOffset) -> bool {
    let code = code.get(at as usize..).unwrap_or_default();
    let word = || code.first_chunk().copied().map(u32::from_le_bytes);
    match isa.triple().architecture {
        Architecture::X86_64 => matches!(code, [0xe9 | 0xeb, ..]),
        Architecture::Aarch64(_) => word().is_some_and(|word| word & 0xfc00_0000 == 0x1400_0000),
        Architecture::Riscv64(_) => {
            let is_long = word().is_some_and(|word| word & 0xfff == 0x06f);
            is_long || matches!(code, [low, high, ..] if low & 3 == 1 && high & 0xe0 == 0xa0)
        }
        _ => false,
    }
}
