//! Functions that compiled code calls: instructions that are too large for code, and WASI.

use crate::context::{Context, Element};
use crate::debugger::Debugger;
use crate::image::{Image, ValueType};
use crate::memory::Memory;
use crate::wasi::Wasi;
use std::sync::Arc;

/// The state that host functions of an instance work on.
#[derive(Debug)]
pub struct Host {
    pub(crate) image: Arc<Image>,
    pub(crate) memory: Option<Memory>,
    pub(crate) tables: Vec<Box<[Element]>>,
    /// Addresses of the functions, for references to them.
    pub(crate) functions: Vec<usize>,
    pub(crate) dropped_data: Vec<bool>,
    pub(crate) dropped_elements: Vec<bool>,
    pub(crate) wasi: Wasi,
    pub(crate) debugger: Option<Debugger>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pages", self.pages())
    }
}

impl Host {
    fn bytes(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], Memory::bytes)
    }

    fn memory_grow(&mut self, pages: u32) -> u32 {
        let grown = self.memory.as_mut().and_then(|m| m.grow(pages.into()));
        grown.map_or(u32::MAX, |before| before as u32)
    }

    fn memory_copy(&mut self, to: u32, from: u32, len: u32) -> Option<()> {
        let bytes = self.bytes();
        let (to, from, len) = (to as usize, from as usize, len as usize);
        bytes.get(to..)?.get(..len)?;
        bytes.get(from..)?.get(..len)?;
        bytes.copy_within(from..from + len, to);
        Some(())
    }

    fn memory_fill(&mut self, to: u32, byte: u32, len: u32) -> Option<()> {
        let range = self.bytes().get_mut(to as usize..)?;
        range.get_mut(..len as usize)?.fill(byte as u8);
        Some(())
    }

    pub(crate) fn memory_init(&mut self, segment: u32, to: u32, from: u32, len: u32) -> Option<()> {
        let image = Arc::clone(&self.image);
        let bytes = match self.dropped_data[segment as usize] {
            true => &[],
            false => image.data[segment as usize].bytes.as_slice(),
        };
        let bytes = bytes.get(from as usize..)?.get(..len as usize)?;
        let range = self.bytes().get_mut(to as usize..)?;
        range.get_mut(..len as usize)?.copy_from_slice(bytes);
        Some(())
    }

    pub(crate) fn data_drop(&mut self, segment: u32) {
        self.dropped_data[segment as usize] = true;
    }

    pub(crate) fn table_init(
        &mut self,
        table: u32,
        segment: u32,
        to: u32,
        from: u32,
        len: u32,
    ) -> Option<()> {
        let functions = match self.dropped_elements[segment as usize] {
            true => &[],
            false => self.image.elements[segment as usize].functions.as_slice(),
        };
        let functions = functions.get(from as usize..)?.get(..len as usize)?;
        let range = self.tables[table as usize].get_mut(to as usize..)?;
        for (element, function) in range.get_mut(..len as usize)?.iter_mut().zip(functions) {
            *element = function.map_or(Element::NULL, |function| Element {
                code: self.functions[function as usize],
                type_id: self.image.functions[function as usize].type_id.into(),
            });
        }
        Some(())
    }

    fn table_copy(&mut self, tables: (u32, u32), to: u32, from: u32, len: u32) -> Option<()> {
        let source = self.tables[tables.1 as usize].get(from as usize..)?;
        let source = source.get(..len as usize)?.to_vec();
        let range = self.tables[tables.0 as usize].get_mut(to as usize..)?;
        range.get_mut(..len as usize)?.copy_from_slice(&source);
        Some(())
    }

    pub(crate) fn elements_drop(&mut self, segment: u32) {
        self.dropped_elements[segment as usize] = true;
    }
}

/// A function of the host that compiled code can call: after the context it takes `params`, and
/// it returns an `i32`, which is an error number of WASI for functions of WASI, and 0 for failure
/// of others, except `memory_grow`.
#[derive(Clone, Copy, Debug)]
pub struct HostFunction {
    /// The name in WASI, or of the instruction.
    pub name: &'static str,
    /// The symbol for linkers.
    pub symbol: &'static str,
    /// Types of the parameters.
    pub params: &'static [ValueType],
    /// The address, for a JIT.
    pub address: HostAddress,
}

/// The address of a function.
#[derive(Clone, Copy, Debug)]
pub struct HostAddress(pub *const u8);

// SAFETY: it points to code, which is never written.
unsafe impl Sync for HostAddress {}
// SAFETY: as above.
unsafe impl Send for HostAddress {}

/// Finds a host function by its name.
pub fn find_host_function(name: &str) -> Option<&'static HostFunction> {
    HOST_FUNCTIONS.iter().find(|function| function.name == name)
}

macro_rules! host_functions {
    ($($name:ident($($arg:ident: $type:tt),*) = |$host:ident, $context:ident| $body:expr;)*) => {
        mod entries {
            #![allow(clippy::too_many_arguments, reason = "WASI has such functions")]
            use super::*;
            $(
                #[unsafe(export_name = concat!("cranelift_inliner_wasm_", stringify!($name)))]
                pub(super) unsafe extern "C" fn $name(context: *mut Context $(, $arg: $type)*) -> u32 {
                    // SAFETY: compiled code passes the context of a live instance, whose host is
                    // borrowed by nothing else while code of the instance runs.
                    let ($host, $context) = unsafe { (&mut *(*context).host, &mut *context) };
                    let _ = &$context;
                    $body
                }
            )*
        }

        /// All functions that compiled code can call.
        pub static HOST_FUNCTIONS: &[HostFunction] = &[$(HostFunction {
            name: stringify!($name),
            symbol: concat!("cranelift_inliner_wasm_", stringify!($name)),
            params: &[$(host_functions!(@type $type)),*],
            address: HostAddress(entries::$name as *const u8),
        }),*];
    };
    (@type u32) => { ValueType::I32 };
    (@type u64) => { ValueType::I64 };
}

fn done(result: Option<()>) -> u32 {
    u32::from(result.is_some())
}

/// Calls a function of WASI with the memory of the instance.
macro_rules! wasi {
    ($host:ident, $name:ident($($arg:expr),*)) => {{
        let memory = $host.memory.as_mut().map_or(&mut [][..], Memory::bytes);
        $host.wasi.$name(memory $(, $arg)*).map_or_else(|errno| errno as u32, |()| 0)
    }};
}

host_functions! {
    memory_grow(pages: u32) = |host, context| {
        let before = host.memory_grow(pages);
        context.memory_pages = host.memory.as_ref().map_or(0, Memory::pages);
        before
    };
    memory_copy(to: u32, from: u32, len: u32) = |host, context| done(host.memory_copy(to, from, len));
    memory_fill(to: u32, byte: u32, len: u32) = |host, context| done(host.memory_fill(to, byte, len));
    memory_init(segment: u32, to: u32, from: u32, len: u32) = |host, context| {
        done(host.memory_init(segment, to, from, len))
    };
    data_drop(segment: u32) = |host, context| {
        host.data_drop(segment);
        1
    };
    table_init(table: u32, segment: u32, to: u32, from: u32, len: u32) = |host, context| {
        done(host.table_init(table, segment, to, from, len))
    };
    table_copy(to_table: u32, from_table: u32, to: u32, from: u32, len: u32) = |host, context| {
        done(host.table_copy((to_table, from_table), to, from, len))
    };
    elements_drop(segment: u32) = |host, context| {
        host.elements_drop(segment);
        1
    };
    args_get(pointers: u32, bytes: u32) = |host, context| wasi!(host, args_get(pointers, bytes));
    args_sizes_get(count: u32, size: u32) = |host, context| wasi!(host, args_sizes_get(count, size));
    environ_get(pointers: u32, bytes: u32) = |host, context| wasi!(host, environ_get(pointers, bytes));
    environ_sizes_get(count: u32, size: u32) = |host, context| {
        wasi!(host, environ_sizes_get(count, size))
    };
    clock_res_get(clock: u32, to: u32) = |host, context| wasi!(host, clock_res_get(clock, to));
    clock_time_get(clock: u32, precision: u64, to: u32) = |host, context| {
        let _ = precision;
        wasi!(host, clock_time_get(clock, to))
    };
    random_get(to: u32, len: u32) = |host, context| wasi!(host, random_get(to, len));
    sched_yield() = |host, context| {
        let _ = host;
        std::thread::yield_now();
        0
    };
    fd_close(fd: u32) = |host, context| wasi!(host, fd_close(fd));
    fd_fdstat_get(fd: u32, to: u32) = |host, context| wasi!(host, fd_fdstat_get(fd, to));
    fd_filestat_get(fd: u32, to: u32) = |host, context| wasi!(host, fd_filestat_get(fd, to));
    fd_prestat_get(fd: u32, to: u32) = |host, context| wasi!(host, fd_prestat_get(fd, to));
    fd_prestat_dir_name(fd: u32, to: u32, len: u32) = |host, context| {
        wasi!(host, fd_prestat_dir_name(fd, to, len))
    };
    fd_read(fd: u32, buffers: u32, count: u32, to: u32) = |host, context| {
        wasi!(host, fd_read(fd, buffers, count, to))
    };
    fd_write(fd: u32, buffers: u32, count: u32, to: u32) = |host, context| {
        wasi!(host, fd_write(fd, buffers, count, to))
    };
    fd_seek(fd: u32, offset: u64, whence: u32, to: u32) = |host, context| {
        wasi!(host, fd_seek(fd, offset as i64, whence, to))
    };
    fd_tell(fd: u32, to: u32) = |host, context| wasi!(host, fd_seek(fd, 0, 1, to));
    path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, to: u32) = |host, context| {
        let _ = flags;
        wasi!(host, path_filestat_get(fd, path, len, to))
    };
    path_open(fd: u32, lookup: u32, path: u32, len: u32, flags: u32, rights: u64, inherited: u64, fd_flags: u32, to: u32) = |host, context| {
        let _ = (lookup, inherited, fd_flags);
        wasi!(host, path_open(fd, path, len, flags, rights, to))
    };
    breakpoint(frame: u64) = |host, context| {
        host.debugger.as_mut().map_or(1, |debugger| u32::from(debugger.stop(frame, context)))
    };
    proc_exit(code: u32) = |host, context| {
        // The compiled wrapper traps with `TrapKind::Exit` when this returns.
        host.wasi.exit_code = code as i32;
        0
    };
}
