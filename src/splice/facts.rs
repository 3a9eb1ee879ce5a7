//! The facts about a callee that refusals depend on, without the tables of its copy.
//!
//! Most calls that could be inlined are not wanted. These few facts and the function itself decide
//! whether a call can be inlined, so that the tables, which are as large as the body, need not be
//! kept for all callees.

use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{self, ArgumentPurpose, Opcode};
use cranelift_codegen::isa::CallConv;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The results of the walk over a callee, except its tables.
#[derive(Clone)]
pub(crate) struct CalleeFacts {
    /// Identifies a prepared body, so that a caller's translation of it is found again. It stays
    /// the same when the tables are rebuilt.
    pub(super) id: u64,
    /// Reachable blocks and the instructions in them.
    pub(super) blocks: usize,
    pub(super) insts: usize,
    /// The opcodes of instructions that read the physical frame, each once.
    pub(super) introspection: Vec<Opcode>,
    /// The calling conventions of calls that do not already catch everything.
    pub(super) inner_call_convs: SmallVec<[CallConv; 4]>,
    pub(super) has_patchable_call: bool,
    /// Whether some reachable `stack_switch` leaves the stack of the activation.
    pub(super) switches_stacks: bool,
    /// Whether reachable code reads a thread-local variable.
    pub(super) reads_thread_locals: bool,
    /// Whether some exception table of the callee names a dynamic context.
    pub(super) has_exception_context: bool,
    /// Reachable instructions that leave the callee for its caller: `return`, `return_call` and
    /// `return_call_indirect`.
    pub(super) returns: usize,
    /// A stack slot beyond which the callee reaches.
    pub(super) overrun_slot: Option<ir::StackSlot>,
    /// Whether a copy may add stack slots of fixed size to the caller.
    pub(super) adds_slots: bool,
    /// Structures that are passed by value.
    pub(super) structures: usize,
    /// Whether a copy takes one block, with only the callee's instructions in it.
    pub(super) is_straight: bool,
    /// The number of instructions in a copy, without those that depend on the call.
    pub(super) certain_insts: usize,
    pub(super) values_added: usize,
    /// Instructions, with one result each, to which global values that lead to `vmctx` may have to
    /// be expanded.
    pub(super) vmctx_insts_added: usize,
    /// The memory flags that reachable code uses.
    pub(super) mem_flags: SmallVec<[ir::MemFlags; 4]>,
    /// The scales of dynamic types that lead to the `vmctx` parameter.
    pub(super) vmctx_scales: Vec<ir::GlobalValue>,
    /// The entity counts of the function, to recognize it.
    counts: EntityCounts,
}

/// The number of entities of each kind in a function.
#[derive(Clone, Copy, PartialEq, Eq)]
struct EntityCounts([u32; 9]);

impl EntityCounts {
    fn of(func: &ir::Function) -> Self {
        let dfg = &func.dfg;
        let counts = [
            dfg.num_values(),
            dfg.num_insts(),
            dfg.num_blocks(),
            dfg.signatures.len(),
            dfg.ext_funcs.len(),
            dfg.jump_tables.len(),
            dfg.exception_tables.len(),
            func.global_values.len(),
            func.sized_stack_slots.len(),
        ];
        // Entities are numbered in 32 bits.
        EntityCounts(counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    }
}

impl CalleeFacts {
    /// Creates the facts about `func`, before the survey fills them in.
    pub(super) fn new(func: &ir::Function) -> Self {
        let structures = func.signature.params.iter();
        let structures = structures
            .filter(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
            .count();
        CalleeFacts {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            blocks: 0,
            insts: 0,
            introspection: Vec::new(),
            inner_call_convs: SmallVec::new(),
            has_patchable_call: false,
            switches_stacks: false,
            reads_thread_locals: false,
            has_exception_context: false,
            returns: 0,
            overrun_slot: None,
            adds_slots: structures > 0 || !func.sized_stack_slots.is_empty(),
            structures,
            is_straight: false,
            certain_insts: 0,
            values_added: 0,
            vmctx_insts_added: 0,
            mem_flags: SmallVec::new(),
            vmctx_scales: Vec::new(),
            counts: EntityCounts::of(func),
        }
    }

    /// Takes over the findings of the finished walk.
    pub(super) fn complete(
        &mut self,
        func: &ir::Function,
        mem_flags: SmallVec<[ir::MemFlags; 4]>,
        from_vmctx: &[bool],
    ) {
        self.mem_flags = mem_flags;
        let scales = func.dfg.dynamic_types.values();
        let scales = scales.map(|data| data.dynamic_scale);
        self.vmctx_scales = scales
            .filter(|scale| from_vmctx.get(scale.index()) == Some(&true))
            .collect();
    }
}

/// A callee with the facts that refusals depend on.
#[derive(Clone, Copy)]
pub(crate) struct CalleeView<'f> {
    pub(super) func: &'f ir::Function,
    pub(super) facts: &'f CalleeFacts,
}

impl<'f> CalleeView<'f> {
    /// Joins `func` with its `facts`.
    pub(crate) fn new(func: &'f ir::Function, facts: &'f CalleeFacts) -> Self {
        CalleeView { func, facts }
    }

    /// Returns whether the facts can be those of the function.
    pub(super) fn is_consistent(&self) -> bool {
        self.facts.counts == EntityCounts::of(self.func)
    }
}
