//! Known places in linked code: the functions, the traps, and the exception handlers.

use cranelift_codegen::FinalizedMachExceptionHandler;
use cranelift_codegen::ir::{Signature, TrapCode};
use cranelift_inliner::backend::CompiledFunction;
use cranelift_inliner::program::FunctionName;
use std::ops::Range;

/// The known places of linked code, by address.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// The functions of the program, and the glue.
    pub(super) code: Range<u64>,
    /// In order of their starts.
    functions: Vec<Placed>,
    /// In order of addresses.
    traps: Vec<(u64, TrapCode)>,
    /// In order of return addresses.
    catching: Vec<(u64, Vec<Catch>)>,
    /// By the numbers of their shims.
    pub(super) host: Vec<(FunctionName, Signature)>,
}

#[derive(Debug)]
struct Placed {
    name: FunctionName,
    code: Range<u64>,
}

/// The handler of an exception thrown through a call.
#[derive(Clone, Copy, Debug)]
struct Catch {
    /// `None` for a handler of every exception.
    tag: Option<u32>,
    address: u64,
    /// From the frame pointer down to the stack pointer at the call, in bytes.
    frame_offset: u64,
}

/// The place where execution continues after an exception.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landing {
    pub(super) address: u64,
    /// From the frame pointer down to the stack pointer, in bytes.
    pub(super) frame_offset: u64,
}

impl Image {
    /// Records that `function` begins at the address `start`.
    pub(super) fn place(&mut self, function: &CompiledFunction, start: u64) {
        let size = function.code().len() as u64;
        self.place_glue(start, size);
        self.functions.push(Placed {
            name: FunctionName::from(function.name().clone()),
            code: start..start + size,
        });
        let traps = function.traps().iter();
        self.traps
            .extend(traps.map(|trap| (start + u64::from(trap.offset), trap.code)));
        for site in function.call_sites() {
            let Some(frame_offset) = site.frame_offset else {
                continue;
            };
            let catches = site.exception_handlers.iter().filter_map(|handler| {
                let (tag, offset) = match handler {
                    FinalizedMachExceptionHandler::Tag(tag, offset) => (Some(tag.as_u32()), offset),
                    FinalizedMachExceptionHandler::Default(offset) => (None, offset),
                    FinalizedMachExceptionHandler::Context(_) => return None,
                };
                Some(Catch {
                    tag,
                    address: start + u64::from(*offset),
                    frame_offset: u64::from(frame_offset),
                })
            });
            let catches: Vec<Catch> = catches.collect();
            if !catches.is_empty() {
                let return_address = start + u64::from(site.ret_addr);
                self.catching.push((return_address, catches));
            }
        }
    }

    /// Records that glue of `size` bytes begins at the address `start`.
    pub(super) fn place_glue(&mut self, start: u64, size: u64) {
        let end = start + size;
        self.code = match self.code.is_empty() {
            true => start..end,
            false => self.code.start.min(start)..self.code.end.max(end),
        };
    }

    /// Finishes the image after all code is placed.
    pub(super) fn sort(&mut self) {
        self.functions.sort_by_key(|placed| placed.code.start);
        self.traps.sort_by_key(|trap| trap.0);
        self.catching.sort_by_key(|site| site.0);
    }

    /// Returns the function that contains `address`, and the offset in it.
    pub(super) fn function_at(&self, address: u64) -> Option<(&FunctionName, u64)> {
        let after = self
            .functions
            .partition_point(|placed| placed.code.start <= address);
        let placed = self.functions.get(after.checked_sub(1)?)?;
        let within = placed.code.contains(&address);
        within.then(|| (&placed.name, address - placed.code.start))
    }

    pub(super) fn trap_at(&self, address: u64) -> Option<TrapCode> {
        let found = self.traps.binary_search_by_key(&address, |trap| trap.0);
        Some(self.traps.get(found.ok()?)?.1)
    }

    /// Returns the first handler of `tag` at the call that returns to `return_address`.
    pub(super) fn handler(&self, return_address: u64, tag: u32) -> Option<Landing> {
        let found = self
            .catching
            .binary_search_by_key(&return_address, |site| site.0);
        let (_, catches) = self.catching.get(found.ok()?)?;
        let mut catches = catches.iter();
        let taking = catches.find(|catch| catch.tag.is_none_or(|taken| taken == tag))?;
        Some(Landing {
            address: taking.address,
            frame_offset: taking.frame_offset,
        })
    }
}
