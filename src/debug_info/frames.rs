//! Unwind information.

use super::DebugInfoError;
use super::sections::{Placed, SectionWriter, endian};
use crate::backend::CompiledFunction;
use crate::panics;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::{UnwindInfo, UnwindInst};
use gimli::Register;
use gimli::write::{CallFrameInstruction, EhFrame, FrameTable};
use target_lexicon::Architecture;

/// The numbers of rbx, r12, r13, r14 and r15.
const SAVED_ON_X64: [u16; 5] = [3, 12, 13, 14, 15];

/// The bytes of a return address and of a frame pointer.
const SAVED_BY_CALL_ON_X64: u32 = 16;

/// Returns the contents of `.eh_frame`; `None` where the target unwinds otherwise.
pub(super) fn write(
    isa: &dyn TargetIsa,
    functions: &[Placed<'_>],
) -> Result<Option<SectionWriter>, DebugInfoError> {
    let Some(mut cie) = isa.create_systemv_cie() else {
        return Ok(None);
    };
    // Relative addresses need no work at load time.
    cie.fde_address_encoding = gimli::DwEhPe(gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0);
    let mut frames = FrameTable::default();
    let cie = frames.add_cie(cie);
    for function in functions {
        let unwind = function.function.compiled.unwind_info(isa)?;
        if let Some(UnwindInfo::SystemV(unwind)) = unwind {
            let mut entry = unwind.to_fde(function.address(0));
            if let Some(after_prologue) = misplaced_from(isa, function.function.compiled) {
                for register in SAVED_ON_X64 {
                    let rule = CallFrameInstruction::Undefined(Register(register));
                    entry.add_instruction(after_prologue, rule);
                }
            }
            frames.add_fde(cie, entry);
        }
    }
    if frames.fde_count() == 0 {
        return Ok(None);
    }
    let mut section = EhFrame(SectionWriter::new(endian(isa)));
    panics::catch(|| frames.write_eh_frame(&mut section).map(|()| section.0))
        .map_err(|reason| DebugInfoError::Writing { reason })?
        .map(Some)
        .map_err(DebugInfoError::from)
}

/// Returns the end of the prologue of a function whose saved registers Cranelift describes wrongly;
/// `None` of others.
///
/// The prologue of a function whose tail calls need more space for arguments than it has moves the
/// frame down, and sets the frame pointer again. The places of saved registers are from the frame
/// before that: see `docs/CRANELIFT.md`. It is better not to know a register than to know it
/// wrongly.
fn misplaced_from(isa: &dyn TargetIsa, compiled: &CompiledFunction) -> Option<u32> {
    if isa.triple().architecture != Architecture::X86_64 {
        return None;
    }
    let unwinding = &compiled.cranelift().buffer.unwind_info;
    let is_moved = unwinding.iter().any(|(_, inst)| {
        matches!(
            inst,
            UnwindInst::DefineNewFrame { offset_upward_to_caller_sp, .. }
                if *offset_upward_to_caller_sp > SAVED_BY_CALL_ON_X64
        )
    });
    // After all of the prologue: its rules would come back otherwise.
    let prologue = unwinding.iter().map(|(offset, _)| *offset);
    prologue.max().filter(|_| is_moved)
}
