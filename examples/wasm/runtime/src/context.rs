//! The context that every compiled function gets a pointer to.
//!
//! Behind the fixed part are the addresses of the tables, then the globals, and then results of
//! calls, eight bytes each.

use crate::host::Host;

/// The fixed part. Compiled code knows the offsets of its fields.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    /// No function may start with its frame below this address.
    pub stack_limit: usize,
    /// The first byte of the memory; it never moves.
    pub memory: *mut u8,
    /// The size of the memory.
    pub memory_pages: u64,
    /// The address at which the innermost entry goes on after a trap.
    pub entry_handler: usize,
    /// The frame pointer there.
    pub entry_frame: usize,
    /// The stack pointer there.
    pub entry_stack: usize,
    /// The state that host functions work on.
    pub host: *mut Host,
}

/// Returns the offset of the address of a table.
pub fn table_offset(table: u32) -> i32 {
    (size_of::<Context>() + 8 * table as usize) as i32
}

/// Returns the offset of a global in the context of a module with this many tables.
pub fn global_offset(tables: usize, global: u32) -> i32 {
    (size_of::<Context>() + 8 * (tables + global as usize)) as i32
}

/// The number of results that a function returns in registers, which all targets have. The
/// further ones are in the context, from the return to the end of the call.
pub const REGISTER_RESULTS: usize = 8;

/// Returns the offset of a result in the context of a module with this many tables and globals; the
/// first one that is not in a register is number 0.
pub fn result_offset(tables: usize, globals: usize, result: usize) -> i32 {
    global_offset(tables + globals, result as u32)
}

/// An element of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// The address of the code, which has the calling convention of compiled functions.
    pub code: usize,
    /// The type of the function; 0 if the element is null.
    pub type_id: u64,
}

impl Element {
    /// No function.
    pub const NULL: Self = Self {
        code: 0,
        type_id: 0,
    };
}
