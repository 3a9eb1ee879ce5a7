//! Bodies between the front end and the wrapped module.

use crate::locations::LocationTable;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_control::ControlPlane;
use std::sync::Arc;

/// A body in which functions are named by their symbols, its own name included.
pub(super) struct Body {
    pub(super) function: Arc<Function>,
    /// The name that the front end gave it.
    pub(super) name: UserFuncName,
    /// Its instructions in the layout.
    pub(super) insts: usize,
    /// The table of its source locations, if they are entries.
    pub(super) locations: Option<Arc<LocationTable>>,
}

impl Body {
    pub(super) fn new(function: Arc<Function>, name: UserFuncName) -> Self {
        let layout = &function.layout;
        let insts = layout
            .blocks()
            .map(|block| layout.block_insts(block).count());
        let insts = insts.sum();
        Self {
            function,
            name,
            insts,
            locations: None,
        }
    }
}

/// A function that the wrapped module does not have yet.
pub(super) struct Held {
    pub(super) body: Body,
    pub(super) want_disasm: bool,
    pub(super) control_plane: ControlPlane,
}
