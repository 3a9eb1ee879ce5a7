//! The splicing engine: one callee body into one call site.
//!
//! [`splice`] replaces one call by a copy of the callee's body. A [`Session`] does that for many
//! calls of one caller, and [`inline_calls`] takes the place of
//! [`cranelift_codegen::Context::inline`]. The engine does not decide which calls to inline.
//!
//! ```
//! use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
//!
//! let mut functions = cranelift_reader::parse_functions("
//! function %square(i32) -> i32 system_v {
//! block0(v0: i32):
//!     v1 = imul v0, v0
//!     return v1
//! }
//! function %sum_of_squares(i32, i32) -> i32 system_v {
//!     fn0 = %square(i32) -> i32 system_v
//! block0(v0: i32, v1: i32):
//!     v2 = call fn0(v0)
//!     v3 = call fn0(v1)
//!     v4 = iadd v2, v3
//!     return v4
//! }")?;
//! let mut caller = functions.pop().unwrap();
//! let square = Callee::new(&functions[0])?;
//!
//! let entry = caller.layout.entry_block().unwrap();
//! let calls: Vec<_> = caller.layout.block_insts(entry).take(2).collect();
//! let options = SpliceOptions::default();
//! let mut context = SpliceContext::new();
//! let mut session = context.session(&mut caller, &options);
//! for call in calls {
//!     session.splice(call, &square)?;
//! }
//! session.finish();
//!
//! assert!(caller.to_string().contains("
//! block0(v0: i32, v1: i32):
//!     v5 = imul v0, v0
//!     v2 -> v5
//!     v6 = imul v1, v1
//!     v3 -> v6
//!     v4 = iadd v2, v3
//!     return v4
//! "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a splice goes
//!
//! *Prepare.* [`Callee::new`] walks the callee once. It puts the reachable blocks in reverse
//! postorder, in which definitions come before uses, follows the aliases, and collects the used
//! entities and the restrictions on call sites. It also checks every reference that the copy will
//! follow, so that an unverified callee cannot make the copy fail.
//!
//! *Plan.* All checks of the call come before any change of the caller. A [`Refusal`] therefore
//! leaves it unchanged, byte for byte. Of the rest of the caller, most splices read only the call's
//! block.
//!
//! *Isolate.* The instructions after a `call` are split off, so that the block ends where the call
//! was. To keep that linear for a block with many calls, the block is split once into segments,
//! which are joined when the session finishes. Between splices the caller is valid CLIF. A short
//! callee of one block, or of blocks in one line, goes between the instructions around the call
//! instead.
//!
//! *Copy.* The callee's entry block goes on in the call's block; its other reachable blocks follow
//! in the caller's layout in their own order. The arguments stand for the parameters. Signatures,
//! function references, global values, constants and immediates that the caller has already are
//! shared, and so are stack slots of copies that are not nested; only values, blocks and tables are
//! new in each copy.
//!
//! *Join.* If the callee has one return, the instructions after the call go on in the returning
//! block, and the call's results become aliases of the returned values. Several returns jump to a
//! new block, and the results become its parameters. If the callee never returns, the instructions
//! after the call are removed. At a `try_call`, returns jump along its normal edge, and at a
//! `return_call` they return from the caller.
//!
//! # Preserved behaviour
//!
//! - A structure passed by value (`sarg`) is copied to a slot of the caller's, so that the callee's
//!   changes stay its own.
//! - At a `try_call`, an exception in the inlined body reaches the callee's handlers first and then
//!   the caller's: the caller's are added to each inner table that does not catch everything, and
//!   calls become `try_call`s.
//! - A tail call of the callee stays a tail call at a `return_call`. Elsewhere the caller's frame
//!   has to survive it, so it becomes a call.
//! - A global value that starts from the callee's `vmctx` parameter means the argument: the
//!   caller's own global value where the call passes the caller's `vmctx` on, and otherwise
//!   explicit loads and sums.
//! - `get_exception_handler_address` follows its `try_call`.
//! - A tagged instruction of the body gets the call's debug tags and then its own. An untagged one
//!   gets none. But if it is a call that is spliced in the same session, its body still gets the
//!   outer tags, so that the order of the splices does not matter.
//! - Calls that come in have the references of both frames in their stack maps.
//! - Source locations and value labels. Stack slots with a key are copied even if unused, because
//!   other tools look them up by the key.
//!
//! # Refusals
//!
//! Each of these is a variant of [`Refusal`], with its reason there: a signature that is not the
//! definition's; a `patchable` call; a callee that reads its own frame, unless [`SpliceOptions`]
//! allow it; a `try_call` with a handler whose address is taken; a callee with a `stack_limit` that
//! the caller's prologue does not check, unless [`SpliceOptions`] allow it; handlers that cannot be
//! carried to a call of the callee, because its calling convention has no exceptions, because it
//! must stay patchable, or because the caller's tags would be matched in a context of the callee; a
//! `stack_switch` where it would need the caller's handlers or stack map; thread-locals, if
//! [`SpliceOptions`] forbid them; a callee that reaches beyond one of its stack slots; dynamic
//! types with two scales; more memory flags than a function can hold; unreachable calls; and
//! invalid CLIF.
//!
//! # Sources
//!
//! The order of tags (those of the call before those of the body) and of handlers (the callee's
//! before the caller's) is that of Cranelift's own inliner. Joining blocks without glue is common
//! in compilers that inline on SSA form, such as LLVM.

mod callee;
mod caller_checks;
mod caller_promises;
mod capacity;
mod context;
mod copy;
mod derived;
mod drop_in;
mod entities;
mod facts;
mod in_place;
mod inherited_tags;
mod locations;
mod mapper;
mod memory_promises;
mod refusal;
mod segments;
mod session;
mod shared_slots;
mod site;
mod slot_access;
mod struct_args;
mod survey;
mod tables;

pub use callee::{Callee, CalleeTables};
pub use context::SpliceContext;
pub use drop_in::{inline_calls, inline_calls_with};
pub(crate) use facts::{CalleeFacts, CalleeView};
pub use locations::{KeepLocations, SpliceLocations};
pub use memory_promises::MemoryPromises;
pub use refusal::{Refusal, SignatureMismatch};
pub use session::{Checker, Session};
#[cfg(feature = "shards")]
pub(crate) use site::RuledOut;
pub(crate) use site::check_call_alone as check_call;
pub use tables::{CopiedCall, DroppedPromises};

use cranelift_codegen::ir;

/// An embedder's permissions for a splice.
///
/// ```
/// use cranelift_inliner::splice::SpliceOptions;
///
/// let options = SpliceOptions::default();
/// assert!(!options.allow_stack_pointer);
/// let options = options.with_allow_stack_pointer(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpliceOptions {
    /// Inline callees that use `get_frame_pointer`, which then gives the caller's. Off by default.
    pub allow_frame_pointer: bool,
    /// Inline callees that use `get_stack_pointer`, which then gives the caller's. Off by default.
    /// A front end that compares it with a limit to detect stack overflow can allow it: the
    /// caller's frame holds the callee's.
    pub allow_stack_pointer: bool,
    /// Inline callees that use `get_return_address`, which then gives the caller's return address.
    /// Off by default.
    pub allow_return_address: bool,
    /// The program's stack limits are those of the running thread. Off by default.
    ///
    /// A callee with a `stack_limit` is inlined only where the caller's prologue checks the same
    /// limit, for the callee's frame becomes a part of the caller's. Without this option, the same
    /// limit means the same loads from the same `vmctx`. With it, the `vmctx` may be another one,
    /// as in a call from one instance to another.
    ///
    /// The embedder promises: if two functions get their `stack_limit` by the same loads, with the
    /// same offsets and types, each from its own `vmctx`, then both find the same limit whenever
    /// one of them calls the other directly. A limit that one of the functions changes for its
    /// callee, or a callee that runs on another stack than its caller, breaks that promise.
    ///
    /// A caller without a `stack_limit` has no check, and the callee is still refused; so is one
    /// that gets its limit by other loads, or by none.
    pub stack_limit_is_per_thread: bool,
    /// The embedder's unwinder restores callee-saved registers before it resumes in any handler.
    /// Off by default: handlers of `tail`, `winch` and `preserve_all` calls do not need that, those
    /// of other calls do, and inlining at a `try_call` of the first kind can bring in a call of the
    /// second.
    pub unwinder_restores_registers: bool,
    /// Refuse callees that read thread-local variables. Off by default.
    ///
    /// Cranelift assumes that the address of a thread-local is the same throughout a function, and
    /// computes it once. With fibers that move between threads, a call may return on another
    /// thread. Programs with such calls keep thread-local accesses in functions without them; after
    /// inlining into a function with such a call, the accesses would be merged across it.
    pub refuse_thread_locals: bool,
    /// Let copies that are not nested use the same stack slots. On by default; without it each copy
    /// has slots of its own.
    ///
    /// The copies of one session share slots of the same kind, size, alignment and key. The
    /// caller's own are not shared.
    pub share_slots: bool,
    /// The scope of the promises of memory flags: each function by itself, unless the front end
    /// declares that they hold for the whole program.
    pub memory_promises: MemoryPromises,
    /// Neither the callers nor any callee have alias regions, so that more slots can be shared.
    pub(crate) no_alias_regions: bool,
}

impl Default for SpliceOptions {
    fn default() -> Self {
        SpliceOptions {
            allow_frame_pointer: false,
            allow_stack_pointer: false,
            allow_return_address: false,
            stack_limit_is_per_thread: false,
            unwinder_restores_registers: false,
            refuse_thread_locals: false,
            share_slots: true,
            memory_promises: MemoryPromises::default(),
            no_alias_regions: false,
        }
    }
}

settings!(SpliceOptions {
    with_allow_frame_pointer: allow_frame_pointer: bool,
    with_allow_stack_pointer: allow_stack_pointer: bool,
    with_allow_return_address: allow_return_address: bool,
    with_stack_limit_is_per_thread: stack_limit_is_per_thread: bool,
    with_unwinder_restores_registers: unwinder_restores_registers: bool,
    with_refuse_thread_locals: refuse_thread_locals: bool,
    with_share_slots: share_slots: bool,
    with_memory_promises: memory_promises: MemoryPromises,
} [no_alias_regions]);

impl SpliceOptions {
    fn allows(&self, opcode: ir::Opcode) -> bool {
        match opcode {
            ir::Opcode::GetFramePointer => self.allow_frame_pointer,
            ir::Opcode::GetStackPointer => self.allow_stack_pointer,
            ir::Opcode::GetReturnAddress => self.allow_return_address,
            _ => true,
        }
    }
}

/// Replaces the call `call` of `caller` by a copy of `callee`'s body.
///
/// For many calls of one caller or of one callee, prepare a [`Callee`] and open a [`Session`]
/// instead: this function does both on each call, which costs one walk over the callee, and one
/// over the call's block or the whole caller.
///
/// # Errors
///
/// A [`Refusal`], with `caller` untouched.
///
/// ```
/// use cranelift_inliner::splice::{Refusal, SpliceOptions, splice};
///
/// let mut functions = cranelift_reader::parse_functions("
/// function %callee(i32) -> i32 system_v {
/// block0(v0: i32):
///     return v0
/// }
/// function %caller(i64) -> i64 system_v {
///     fn0 = %callee(i64) -> i64 system_v
/// block0(v0: i64):
///     v1 = call fn0(v0)
///     return v1
/// }")?;
/// let mut caller = functions.pop().unwrap();
/// let entry = caller.layout.entry_block().unwrap();
/// let call = caller.layout.first_inst(entry).unwrap();
/// let refusal = splice(&mut caller, call, &functions[0], &SpliceOptions::default());
/// assert!(matches!(refusal, Err(Refusal::SignatureMismatch(_))));
/// # Ok::<(), cranelift_reader::ParseError>(())
/// ```
pub fn splice(
    caller: &mut ir::Function,
    call: ir::Inst,
    callee: &ir::Function,
    options: &SpliceOptions,
) -> Result<(), Refusal> {
    let callee = Callee::new(callee)?;
    let mut context = SpliceContext::new();
    let mut session = context.session(caller, options);
    session.splice(call, &callee)?;
    session.finish();
    Ok(())
}
