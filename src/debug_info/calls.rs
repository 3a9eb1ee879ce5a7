//! Calls, by which debuggers find the frames of tail calls.
//!
//! A call that does not return has no frame. If it is clear which calls led from a frame to the one
//! that it called, gdb and lldb show it nevertheless. For that they need the calls of each
//! function: where they return to, whom they call, and whether they are tail calls.

use super::DebugFunction;
use super::jumps::is_tail_call;
use super::sections::Placed;
use super::unit::UnitWriter;
use crate::backend::RelocationTarget;
use crate::program::FunctionName;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::isa::TargetIsa;
use gimli::write::{AttributeValue, UnitEntryId};
use rustc_hash::FxHashMap;
use target_lexicon::Architecture;

/// Returns the function that the call which ends at `end` names itself; others get the address from
/// a register.
fn callee<'f>(
    isa: &dyn TargetIsa,
    function: &DebugFunction<'f>,
    end: CodeOffset,
) -> Option<FunctionName> {
    let start = match isa.triple().architecture {
        Architecture::X86_64 | Architecture::Aarch64(_) => end.checked_sub(4)?,
        Architecture::Riscv64(_) => end.checked_sub(8)?,
        _ => return None,
    };
    // On x64 that must be the operand of a call or a jump.
    if let Architecture::X86_64 = isa.triple().architecture {
        let code = function.compiled.code().get(..start as usize)?;
        if !matches!(code.last(), Some(0xe8 | 0xe9)) {
            return None;
        }
    }
    let relocations = function.compiled.relocations();
    let relocation = relocations
        .iter()
        .find(|relocation| relocation.offset == start)?;
    match &relocation.target {
        RelocationTarget::Function(name) => Some(name.clone().into()),
        _ => None,
    }
}

impl UnitWriter<'_> {
    /// Adds the calls of all functions, which have their entries in `entries` in the same order.
    pub(super) fn add_calls(&mut self, functions: &[Placed<'_>], entries: &[UnitEntryId]) {
        let by_name: FxHashMap<&FunctionName, UnitEntryId> = functions
            .iter()
            .zip(entries)
            .map(|(placed, entry)| (placed.function.locations.function(), *entry))
            .collect();
        for (placed, &subprogram) in functions.iter().zip(entries) {
            let function = &placed.function;
            let yes = AttributeValue::Flag(true);
            self.set(subprogram, gimli::DW_AT_GNU_all_call_sites, yes.clone());
            for site in function.compiled.call_sites() {
                let entry = self.dwarf.unit.add(subprogram, gimli::DW_TAG_GNU_call_site);
                let after = AttributeValue::Address(placed.address(site.ret_addr));
                self.set(entry, gimli::DW_AT_low_pc, after);
                if is_tail_call(self.info.isa, function, site.ret_addr) {
                    self.set(entry, gimli::DW_AT_GNU_tail_call, yes.clone());
                }
                let callee = callee(self.info.isa, function, site.ret_addr);
                if let Some(&callee) = callee.and_then(|callee| by_name.get(&callee)) {
                    let callee = AttributeValue::UnitRef(callee);
                    self.set(entry, gimli::DW_AT_abstract_origin, callee);
                }
            }
        }
    }
}
