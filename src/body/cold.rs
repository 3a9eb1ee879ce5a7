//! Blocks that run as rarely as the cold ones around them.

use super::unreachable::reachable_blocks;
use cranelift_codegen::ir::{Block, Function};

/// Marks blocks as cold that are only reachable through cold blocks.
///
/// The instructions after a call join the block from which the callee returned, and are cold if
/// that block is. So without this, a body spliced there later would be colder than one spliced
/// there earlier.
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
