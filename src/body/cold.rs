//! Blocks that run as rarely as the cold ones around them.

use super::unreachable::reachable_blocks;
use cranelift_codegen::ir::{Block, Function};

/// Marks as cold what is reached through cold blocks only.
///
/// What follows a call in its block joins the block from which the callee returned, and is cold if
/// that is. So without this, what is spliced there later would be colder than what was spliced
/// there before.
pub fn spread_cold(func: &mut Function) {
    if !func.layout.blocks().any(|block| func.layout.is_cold(block)) {
        return;
    }
    let warm = reachable_blocks(func, |block| func.layout.is_cold(block));
    let rest = func.layout.blocks().filter(|&block| !warm.contains(block));
    let cold: Vec<Block> = rest.collect();
    for block in cold {
        func.layout.set_cold(block);
    }
}
