//! Tail calls in machine code.

use super::DebugFunction;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::isa::TargetIsa;
use target_lexicon::Architecture;

/// Returns whether the call that ends at `end` is a jump: nothing returns to that offset.
pub(super) fn is_tail_call(
    isa: &dyn TargetIsa,
    function: &DebugFunction<'_>,
    end: CodeOffset,
) -> bool {
    let code = function.compiled.code().get(..end as usize);
    let code = code.unwrap_or_default();
    let word = || code.last_chunk().copied().map(u32::from_le_bytes);
    match isa.triple().architecture {
        // A jump to an offset, which the linker fills in, or to the address in a register.
        Architecture::X86_64 => match code {
            [.., 0xe9, _, _, _, _] => function
                .compiled
                .relocations()
                .iter()
                .any(|relocation| relocation.offset.checked_add(4) == Some(end)),
            [.., 0xff, 0xe0..=0xe7] => true,
            _ => false,
        },
        Architecture::Aarch64(_) => word().is_some_and(|word| {
            let to_offset = word & 0xfc00_0000 == 0x1400_0000;
            to_offset || word & 0xffff_fc1f == 0xd61f_0000
        }),
        _ => false,
    }
}
