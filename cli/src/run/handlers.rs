//! Where exceptions are caught: for each call with handlers, what it catches and where it goes on.

/// The exception handlers of linked code, by address.
pub(super) struct HandlerTable {
    /// By start address.
    functions: Vec<Loaded>,
}

/// A function at its place in memory.
pub(super) struct Loaded {
    pub(super) start: usize,
    /// In bytes.
    pub(super) length: usize,
    /// Those with handlers only.
    pub(super) call_sites: Vec<CallSite>,
}

/// A call that catches exceptions. Offsets count bytes from the function's start.
pub(super) struct CallSite {
    pub(super) return_offset: usize,
    /// Bytes from the frame pointer down to the stack pointer at the call.
    pub(super) frame_offset: Option<usize>,
    pub(super) handlers: Vec<Catching>,
}

/// A handler, for one tag or, with none, for all.
pub(super) struct Catching {
    pub(super) tag: Option<u32>,
    pub(super) handler_offset: usize,
}

/// Where an exception goes on.
pub(super) struct Landing {
    pub(super) address: usize,
    pub(super) frame_offset: Option<usize>,
}

impl HandlerTable {
    pub(super) fn new(mut functions: Vec<Loaded>) -> Self {
        functions.sort_by_key(|function| function.start);
        Self { functions }
    }

    /// The first handler for `tag` at the call that returns to `return_address`.
    pub(super) fn find(&self, return_address: usize, tag: u32) -> Option<Landing> {
        // A call may be a function's last instruction, then another function begins behind it.
        let after = self
            .functions
            .partition_point(|function| function.start < return_address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let offset = return_address.checked_sub(function.start)?;
        if offset > function.length {
            return None;
        }
        let site = function
            .call_sites
            .iter()
            .find(|site| site.return_offset == offset)?;
        let handler = site
            .handlers
            .iter()
            .find(|handler| handler.tag.is_none_or(|caught| caught == tag))?;
        Some(Landing {
            address: function.start + handler.handler_offset,
            frame_offset: site.frame_offset,
        })
    }
}
