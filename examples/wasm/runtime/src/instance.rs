//! A module made ready to run: memory, tables and globals filled, and functions to call.

use crate::context::{Context, Element, global_offset, result_offset, table_offset};
use crate::debugger::{Debugger, Stop};
use crate::host::Host;
use crate::image::{Exported, Image, Placement, TrapKind, ValueType};
use crate::memory::Memory;
use crate::traps::{self, CodeMap, Outcome, Trap};
use crate::wasi::Wasi;
use std::sync::Arc;

/// The maximum use of the thread's stack by compiled functions and the host functions that they
/// call.
///
/// A main thread has 8 MiB, and a thread of Rust's 2 MiB.
const STACK: usize = 1 << 20;

/// The machine code of a module.
#[derive(Clone, Debug)]
pub struct Code {
    /// The address of each function of [`Image::functions`].
    pub functions: Vec<usize>,
    /// The address of each entry of [`Image::entries`]: a function that takes a context and the
    /// values of the parameters, leaves those of the results there, and returns whether it got to
    /// its end.
    pub entries: Vec<usize>,
    /// The bytes of the backtrace table, whose text begins at the first function with code.
    pub backtraces: Arc<[u8]>,
}

/// A module could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum InstantiateError {
    /// The system gave no memory.
    #[error("no room for the memory: {0}")]
    Memory(#[from] region::Error),
    /// A segment does not fit.
    #[error("segment {0} is {1}")]
    Segment(usize, TrapKind),
    /// The start function did not return.
    #[error("the start function: {0}")]
    Start(Trap),
    /// The table is damaged.
    #[error("the backtraces: {0}")]
    Backtraces(#[from] cranelift_inliner::backtrace::BacktraceError),
}

/// A module that can run.
pub struct Instance {
    /// A [`Context`] and the data after it, with room for a change of the representation.
    context: Box<[u64]>,
    host: *mut Host,
    code: Arc<CodeMap>,
    entries: Vec<usize>,
    image: Arc<Image>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: `new` made it by `Box::into_raw`, and nothing keeps it.
        drop(unsafe { Box::from_raw(self.host) });
    }
}

impl Instance {
    /// Makes an instance, and runs the module's start function.
    ///
    /// # Errors
    ///
    /// If there is no memory, a segment is out of bounds, the backtrace table is damaged, or the
    /// start function traps.
    ///
    /// # Safety
    ///
    /// `code` must be the code that the compiler made together with `image`, and stay there as long
    /// as the instance.
    pub unsafe fn new(image: Arc<Image>, code: Code, wasi: Wasi) -> Result<Self, InstantiateError> {
        traps::install();
        let map = CodeMap::new(Arc::clone(&image), &code.functions, code.backtraces)?;
        let memory = match image.memory {
            Some((pages, most)) => Some(Memory::new(pages, most)?),
            None => None,
        };
        let tables = image.tables.iter();
        let tables = tables.map(|&len| vec![Element::NULL; len as usize].into());
        let host = Box::new(Host {
            memory,
            tables: tables.collect(),
            functions: code.functions.clone(),
            dropped_data: vec![false; image.data.len()],
            dropped_elements: vec![false; image.elements.len()],
            wasi,
            debugger: None,
            image: Arc::clone(&image),
        });
        let (tables, globals) = (image.tables.len(), image.globals.len());
        let words = result_offset(tables, globals, image.further_results) as usize / 8;
        let mut instance = Self {
            context: vec![0; words].into(),
            host: Box::into_raw(host),
            code: Arc::new(map),
            entries: code.entries,
            image,
        };
        instance.fill()?;
        if let Some(start) = instance.image.start {
            // SAFETY: as the caller promised. A start function has no parameters and results.
            match unsafe { instance.enter(start, &mut []) } {
                Outcome::Returned => {}
                Outcome::Exited(_) => {}
                Outcome::Trapped(trap) => return Err(InstantiateError::Start(trap)),
            }
        }
        Ok(instance)
    }

    fn fill(&mut self) -> Result<(), InstantiateError> {
        let image = Arc::clone(&self.image);
        let host = self.host;
        // SAFETY: nothing else borrows the host.
        let parts = unsafe { &mut *host };
        let context = self.context_mut();
        context.host = host;
        if let Some(memory) = &mut parts.memory {
            context.memory = memory.base();
            context.memory_pages = memory.pages();
        }
        for (index, table) in parts.tables.iter_mut().enumerate() {
            self.context[table_offset(index as u32) as usize / 8] = table.as_mut_ptr() as u64;
        }
        for (index, &bits) in image.globals.iter().enumerate() {
            let offset = global_offset(image.tables.len(), index as u32);
            self.context[offset as usize / 8] = bits;
        }
        for (segment, elements) in image.elements.iter().enumerate() {
            if let Placement::Active { table, offset } = elements.placement {
                let len = elements.functions.len() as u32;
                parts
                    .table_init(table, segment as u32, offset, 0, len)
                    .ok_or(InstantiateError::Segment(
                        segment,
                        TrapKind::TableOutOfBounds,
                    ))?;
            }
            if elements.placement != Placement::Passive {
                parts.elements_drop(segment as u32);
            }
        }
        for (segment, data) in image.data.iter().enumerate() {
            if let Placement::Active { offset, .. } = data.placement {
                let len = data.bytes.len() as u32;
                parts.memory_init(segment as u32, offset, 0, len).ok_or(
                    InstantiateError::Segment(segment, TrapKind::MemoryOutOfBounds),
                )?;
                parts.data_drop(segment as u32);
            }
        }
        Ok(())
    }

    fn context_mut(&mut self) -> &mut Context {
        // SAFETY: the words are as many as a context has, and all bits are valid in its fields.
        unsafe { &mut *self.context.as_mut_ptr().cast() }
    }

    /// Calls an exported function. Values are bits in 64, of which narrow types use the low ones.
    ///
    /// Returns `None` if no such function is exported or takes other parameters.
    pub fn call(&mut self, name: &str, arguments: &[u64]) -> Option<(Outcome, Vec<u64>)> {
        let image = Arc::clone(&self.image);
        let export = image.exports.iter().find(|export| export.name == name)?;
        let Exported::Function {
            entry,
            params,
            results,
        } = &export.item
        else {
            return None;
        };
        if arguments.len() != params.len() {
            return None;
        }
        let mut values = arguments.to_vec();
        values.resize(params.len().max(results.len()), 0);
        // SAFETY: the entry was made for these parameters and results, as `new` was promised.
        let outcome = unsafe { self.enter(*entry, &mut values) };
        values.truncate(results.len());
        for (value, ty) in values.iter_mut().zip(results) {
            if matches!(ty, ValueType::I32 | ValueType::F32) {
                *value &= 0xffff_ffff;
            }
        }
        Some((outcome, values))
    }

    /// Calls an entry with arguments in `values`, which receive the results.
    ///
    /// # Safety
    ///
    /// `values` must have as many elements as the function has parameters, and as results.
    unsafe fn enter(&mut self, entry: u32, values: &mut [u64]) -> Outcome {
        let here = std::ptr::from_ref(&entry) as usize;
        self.context_mut().stack_limit = here.saturating_sub(STACK);
        let address = self.entries[entry as usize];
        // SAFETY: entries have this signature.
        let code: unsafe extern "C" fn(*mut Context, *mut u64) -> u32 =
            unsafe { std::mem::transmute(address) };
        let code_map = Arc::clone(&self.code);
        let context: *mut Context = self.context.as_mut_ptr().cast();
        let trap = traps::catch(&code_map, context, || {
            // SAFETY: the context is this instance's, and there are as many values as it needs.
            unsafe { code(context, values.as_mut_ptr()) };
        });
        match trap {
            None => Outcome::Returned,
            Some(trap) if trap.kind == TrapKind::Exit => {
                // SAFETY: no code of the instance runs any more.
                Outcome::Exited(unsafe { (*self.host).wasi.exit_code })
            }
            Some(trap) => Outcome::Trapped(trap),
        }
    }

    /// Calls `debugger` at each breakpoint of code that was compiled for debugging. The program
    /// goes on if it returns true, and traps if not.
    pub fn set_debugger(&mut self, debugger: impl FnMut(&Stop) -> bool + 'static) {
        // SAFETY: no code of the instance runs while it is borrowed.
        unsafe { (*self.host).debugger = Some(Debugger(Box::new(debugger))) };
    }

    /// Returns the bytes of the memory.
    pub fn memory(&mut self) -> &mut [u8] {
        // SAFETY: no code of the instance runs while it is borrowed.
        let host = unsafe { &mut *self.host };
        host.memory.as_mut().map_or(&mut [], Memory::bytes)
    }

    /// Returns the bytes written to standard output, if [`Wasi`] keeps them.
    pub fn output(&self) -> &[u8] {
        // SAFETY: as in `memory`.
        unsafe { (*self.host).wasi.output() }
    }

    /// Returns the value of an exported global.
    pub fn global(&self, name: &str) -> Option<u64> {
        let export = self.image.exports.iter().find(|e| e.name == name)?;
        let Exported::Global(global, ty) = export.item else {
            return None;
        };
        let offset = global_offset(self.image.tables.len(), global);
        let value = self.context[offset as usize / 8];
        Some(match ty {
            ValueType::I32 | ValueType::F32 => value & 0xffff_ffff,
            ValueType::I64 | ValueType::F64 => value,
        })
    }
}
