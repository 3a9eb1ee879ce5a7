//! In which order the transforms run, and how often.

use super::{CleanupContext, CleanupStats, OptimizeOptions, slots, tidy};
use cranelift_codegen::ir::Function;

pub(super) fn optimize_checked(
    func: &mut Function,
    _options: &OptimizeOptions,
    context: &mut CleanupContext,
) -> CleanupStats {
    let mut stats = tidy(func, context);
    stats.slots_dropped += slots::drop_unused_slots(func);
    stats
}
