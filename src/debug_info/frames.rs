//! Unwind information.

use super::DebugInfoError;
use super::sections::{Placed, SectionWriter, endian};
use crate::panics;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use gimli::write::{EhFrame, FrameTable};

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
            frames.add_fde(cie, unwind.to_fde(function.address(0)));
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
