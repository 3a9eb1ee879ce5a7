//! The facts about other functions and about data that a proof may use.

use crate::program::FunctionName;
use cranelift_codegen::ir::{
    Endianness, ExceptionTableItem, ExternalName, Function, InstructionData, LibCall, Signature,
};
use rustc_hash::FxHashSet;

/// The facts that [`check_optimized`](super::check_optimized) may use beside the two bodies.
///
/// Except for the embedder's statements about functions without a body, the facts are bodies and
/// data, from which the checker draws its own conclusions. Each method has a default without facts.
///
/// ```
/// use cranelift_inliner::check::Surroundings;
/// use cranelift_inliner::program::{FunctionName, Program};
/// use cranelift_codegen::ir::Function;
///
/// struct Whole<'p>(&'p Program);
///
/// impl Surroundings for Whole<'_> {
///     fn body(&self, name: &FunctionName) -> Option<&Function> {
///         Some(&**self.0[self.0.id(name)?].body())
///     }
/// }
/// # let _ = Whole(&Program::new()).body(&FunctionName::user(0, 0));
/// ```
pub trait Surroundings {
    /// Returns the byte order of memory accesses that name none. Without it, a piece of a slot can
    /// only be read as a whole.
    fn endianness(&self) -> Option<Endianness> {
        None
    }

    /// Returns a body of the function, before or after any optimisation; `None` for a function
    /// whose body is not known or may be replaced by another when the program is linked.
    fn body(&self, name: &FunctionName) -> Option<&Function> {
        let _ = name;
        None
    }

    /// Returns the signature of the function; by default, that of its [body](Self::body).
    fn signature(&self, name: &FunctionName) -> Option<&Signature> {
        Some(&self.body(name)?.signature)
    }

    /// Returns whether no call of a function without a known body ever throws. The checker trusts
    /// the embedder here.
    fn never_throws(&self, name: &FunctionName) -> bool {
        let _ = name;
        false
    }

    /// Returns the function whose address is at `offset` in constant data, as in a table of virtual
    /// methods.
    fn address_in_data(&self, data: &FunctionName, offset: i64) -> Option<FunctionName> {
        let _ = (data, offset);
        None
    }

    /// Returns the function of the C library that calls of `name` behave like, if it copies or
    /// fills memory.
    fn memory_call(&self, name: &FunctionName) -> Option<MemoryCall> {
        let _ = name;
        None
    }

    /// Returns whether source locations have to be the same. False if they are entries of a table
    /// that differs between the bodies.
    fn keeps_locations(&self) -> bool {
        true
    }
}

/// [`Surroundings`] without any facts except a byte order.
///
/// ```
/// use cranelift_codegen::ir::Endianness;
/// use cranelift_inliner::check::{Alone, Surroundings};
///
/// assert_eq!(Alone(Some(Endianness::Big)).endianness(), Some(Endianness::Big));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone(pub Option<Endianness>);

impl Surroundings for Alone {
    fn endianness(&self) -> Option<Endianness> {
        self.0
    }
}

/// A function of the C library that copies or fills memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryCall {
    /// `memcpy` or `memmove`: to, from, number of bytes.
    Copy,
    /// `memset`: to, byte, number of bytes.
    Fill,
}

impl MemoryCall {
    pub(super) fn of_libcall(call: LibCall) -> Option<Self> {
        match call {
            LibCall::Memcpy | LibCall::Memmove => Some(MemoryCall::Copy),
            LibCall::Memset => Some(MemoryCall::Fill),
            _ => None,
        }
    }
}

/// The maximum number of bodies that are read for one call.
const MAX_BODIES: usize = 4096;

/// Returns whether a call of `name` cannot throw: each function that it reaches, except below calls
/// that catch everything, has a known body or never throws. `None` if there are too many functions.
pub(super) fn cannot_throw(surroundings: &dyn Surroundings, name: &FunctionName) -> Option<bool> {
    let mut seen: FxHashSet<FunctionName> = FxHashSet::default();
    let mut work = vec![name.clone()];
    while let Some(name) = work.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if seen.len() > MAX_BODIES {
            return None;
        }
        match surroundings.body(&name) {
            Some(body) => {
                if !note_throwing_calls(body, &mut work) {
                    return Some(false);
                }
            }
            None if surroundings.never_throws(&name) => {}
            None => return Some(false),
        }
    }
    Some(true)
}

/// Adds the callees of calls whose exceptions are passed on; false if one may be any function.
fn note_throwing_calls(func: &Function, work: &mut Vec<FunctionName>) -> bool {
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            let data = &func.dfg.insts[inst];
            if !data.opcode().is_call() {
                continue;
            }
            if let Some(table) = data.exception_table()
                && let Some(table) = func.dfg.exception_tables.get(table)
                && table
                    .items()
                    .any(|item| matches!(item, ExceptionTableItem::Default(_)))
            {
                continue;
            }
            let callee = match *data {
                InstructionData::Call { func_ref, .. }
                | InstructionData::TryCall { func_ref, .. } => {
                    let declared = func.dfg.ext_funcs.get(func_ref);
                    // Cranelift's own routines never throw.
                    if declared.is_some_and(|data| matches!(data.name, ExternalName::LibCall(_))) {
                        continue;
                    }
                    FunctionName::of_callee(func, func_ref)
                }
                _ => None,
            };
            match callee {
                Some(callee) => work.push(callee),
                None => return false,
            }
        }
    }
    true
}
