//! Tidies a caller after its splices, and optimizes the code that they opened.
//!
//! # Tidying
//!
//! Inlining leaves code that no front end would write: branches on constants that came in as
//! arguments, blocks that only lead to the next, handlers without a call that could throw, slots of
//! removed code. Each costs compile time, and some cost run time as well.
//!
//! [`clean_up`] removes them with simple passes, each linear in the function:
//!
//! 1. branches on constants become jumps;
//! 2. branches to a block that only jumps on go to its target;
//! 3. unreachable blocks are removed;
//! 4. a block whose only predecessor only goes there is appended to it;
//! 5. unused stack slots are removed, and so are unused declarations of functions and signatures.
//!
//! Joining blocks replaces parameters by their arguments, which can make further conditions
//! constant, and bypassing blocks can lead both ways of a branch to the same block. So the first
//! four run again while they change the function, a bounded number of times.
//!
//! Before each second step, a block that is only reachable through cold blocks becomes cold itself,
//! because the joining of blocks spreads coldness along straight lines of any origin.
//!
//! # Optimizing
//!
//! Cranelift optimizes within a function, but not through its stack slots, and it does not know the
//! callees. [`optimize`] does the work that inlining opens: slots become values, indirect calls of
//! known functions become direct, ways go past branches that they decide, and calls that never
//! throw lose their handlers. [`OptimizeOptions`] has a switch for each transform. They run in
//! rounds, each with the tidying above, because one opens the way for another; the rounds are
//! bounded.
//!
//! Both keep everything that a debugger sees: tagged instructions, keyed slots and the labels of
//! values, except those of addresses of slots that became values.
//!
//! ```
//! use cranelift_inliner::cleanup::{CleanupContext, clean_up};
//!
//! let text = "
//! function %f(i32) -> i32 system_v {
//! block0(v0: i32):
//!     v1 = iconst.i8 1
//!     brif v1, block1(v0), block2
//! block1(v2: i32):
//!     v3 = iadd v2, v2
//!     return v3
//! block2:
//!     trap user1
//! }";
//! let mut func = cranelift_reader::parse_functions(text)?.remove(0);
//! let stats = clean_up(&mut func, &mut CleanupContext::new());
//! assert_eq!(stats.branches_folded, 1);
//! assert_eq!(func.layout.blocks().count(), 1);
//! # Ok::<(), cranelift_reader::ParseError>(())
//! ```

mod comparisons;
mod constant;
mod dead;
mod decided;
mod declarations;
mod driver;
mod flow;
mod fold;
mod guards;
mod handlers;
mod held;
mod merge;
mod movable;
mod one_value;
mod options;
mod params;
mod promote;
mod scope;
mod slots;
mod stores;
mod tables;
mod targets;
mod thread;

pub use crate::body::spread_cold;
pub use options::{MemoryFunctions, OptimizeOptions};
pub(crate) use scope::Before;
pub use tables::{TableFunction, Tables};

use crate::body::{
    HandlerAddresses, check_definitions, check_edges, check_structure, drop_unreachable_blocks,
};
use crate::program::FunctionName;
use crate::trace::Name;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{Block, Function, Inst, Value};
use movable::Movable;

/// Each round but the first needs a constant that the round before it brought
/// to light. Callees that hand a constant down several levels of branches are
/// rare, and Cranelift's own optimizer folds the rest.
const MAX_ROUNDS: usize = 4;

/// Scratch memory of [`clean_up`], kept from one function to the next.
#[derive(Default)]
pub struct CleanupContext {
    handler_addresses: HandlerAddresses,
    edges: SecondaryMap<Block, u32>,
    joins: EntitySet<Block>,
    /// The blocks that only jump on.
    jumps: EntitySet<Block>,
    forwarded_params: SecondaryMap<Value, bool>,
    escaping_params: EntitySet<Value>,
    knows_escaping_params: bool,
    optimize: driver::OptimizeContext,
}

impl CleanupContext {
    /// Creates an empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the function that was last tidied has handler addresses.
    pub(crate) fn has_handler_addresses(&self) -> bool {
        !self.handler_addresses.is_empty()
    }

    /// Returns the calls that became direct when the last function was [optimized](optimize), in no
    /// particular order. Some may be gone again.
    pub(crate) fn resolved_calls(&self) -> &[Inst] {
        self.optimize.resolved_calls()
    }

    /// Returns the indirect calls of a known target with another signature, with its name.
    /// Some may be gone again, and some may be listed twice.
    pub(crate) fn mismatched_calls(&self) -> &[(Inst, FunctionName)] {
        self.optimize.mismatched_calls()
    }
}

/// The changes by [`clean_up`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupStats {
    /// Conditional branches and branch tables that became jumps.
    pub branches_folded: usize,
    /// Branches that go past a block which only jumped on.
    pub branches_threaded: usize,
    /// Blocks that nothing reached.
    pub blocks_dropped: usize,
    /// Blocks appended to their only predecessor.
    pub blocks_merged: usize,
    /// Sized stack slots that nothing named.
    pub slots_dropped: usize,
    /// Declarations of functions and signatures that nothing named.
    pub declarations_dropped: usize,
    /// Stack slots that became values.
    pub slots_promoted: usize,
    /// Loads that became values, of these slots and of memory that was copied from or to them.
    pub loads_replaced: usize,
    /// Stores to these slots that became values.
    pub stores_replaced: usize,
    /// Calls that copied or filled memory and were taken apart.
    pub memory_calls_replaced: usize,
    /// Indirect calls of a known function that became direct.
    pub calls_resolved: usize,
    /// Indirect calls that got a test for their likely target.
    pub calls_guarded: usize,
    /// Such tests that were decided.
    pub guards_decided: usize,
    /// Calls with handlers that became plain calls, since the callee never throws.
    pub try_calls_replaced: usize,
    /// Loads of read-only tables that became the address of the function there.
    pub table_loads_replaced: usize,
    /// Comparisons and branches decided by known facts about a slot's address.
    pub address_tests_folded: usize,
    /// Comparisons of the result of a comparison that became that, or its opposite.
    pub comparisons_simplified: usize,
    /// Stores to private slots that nothing could read.
    pub stores_dropped: usize,
    /// Ways into a join that go straight to where the join's branch leads.
    pub branches_decided: usize,
    /// Block parameters that had one value, or were not used.
    pub params_dropped: usize,
    /// Instructions without an effect and without used results.
    pub insts_dropped: usize,
}

impl std::ops::AddAssign for CleanupStats {
    fn add_assign(&mut self, other: Self) {
        let CleanupStats {
            branches_folded,
            branches_threaded,
            blocks_dropped,
            blocks_merged,
            slots_dropped,
            declarations_dropped,
            slots_promoted,
            loads_replaced,
            stores_replaced,
            memory_calls_replaced,
            calls_resolved,
            calls_guarded,
            guards_decided,
            try_calls_replaced,
            table_loads_replaced,
            address_tests_folded,
            comparisons_simplified,
            stores_dropped,
            branches_decided,
            params_dropped,
            insts_dropped,
        } = other;
        self.branches_folded += branches_folded;
        self.branches_threaded += branches_threaded;
        self.blocks_dropped += blocks_dropped;
        self.blocks_merged += blocks_merged;
        self.slots_dropped += slots_dropped;
        self.declarations_dropped += declarations_dropped;
        self.slots_promoted += slots_promoted;
        self.loads_replaced += loads_replaced;
        self.stores_replaced += stores_replaced;
        self.memory_calls_replaced += memory_calls_replaced;
        self.calls_resolved += calls_resolved;
        self.calls_guarded += calls_guarded;
        self.guards_decided += guards_decided;
        self.try_calls_replaced += try_calls_replaced;
        self.table_loads_replaced += table_loads_replaced;
        self.address_tests_folded += address_tests_folded;
        self.comparisons_simplified += comparisons_simplified;
        self.stores_dropped += stores_dropped;
        self.branches_decided += branches_decided;
        self.params_dropped += params_dropped;
        self.insts_dropped += insts_dropped;
    }
}

/// Tidies `func`; see the [module](self) for the steps.
///
/// Preserves validity and the behaviour of the function. A function whose instructions refer to
/// missing entities is left unchanged.
pub fn clean_up(func: &mut Function, context: &mut CleanupContext) -> CleanupStats {
    let handler_addresses = &mut context.handler_addresses;
    handler_addresses.clear();
    if check_structure(func, |inst| handler_addresses.add(func, inst)).is_err() {
        return CleanupStats::default();
    }
    let mut stats = tidy_pinned(func, context);
    stats += drop_unnamed(func);
    stats
}

/// Like [`clean_up`], but for a function without missing entities and handler addresses.
pub(crate) fn clean_up_spliced(func: &mut Function, context: &mut CleanupContext) -> CleanupStats {
    let mut stats = tidy_spliced(func, context);
    stats += drop_unnamed(func);
    stats
}

/// Like [`clean_up_spliced`], but keeps the slots and declarations that nothing names for
/// [`optimize_tidied`].
pub(crate) fn tidy_spliced(func: &mut Function, context: &mut CleanupContext) -> CleanupStats {
    context.handler_addresses.clear();
    tidy_pinned(func, context)
}

/// Makes the code of `func` better, beyond tidying it: the transforms that `options` switch on,
/// in bounded rounds. `func` should have been [tidied](clean_up) before.
///
/// The conditions and promises are those of [`clean_up`].
///
/// ```
/// use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, optimize};
///
/// let text = "
/// function %f(i32) -> i32 system_v {
///     ss0 = explicit_slot 4
/// block0(v0: i32):
///     v1 = stack_addr.i64 ss0
///     store v0, v1
///     v2 = load.i32 v1
///     return v2
/// }";
/// let mut func = cranelift_reader::parse_functions(text)?.remove(0);
/// let options = OptimizeOptions::default();
/// let stats = optimize(&mut func, &options, &mut CleanupContext::new());
/// assert_eq!(stats.slots_promoted, 1);
/// assert!(func.sized_stack_slots.is_empty());
/// # Ok::<(), cranelift_reader::ParseError>(())
/// ```
pub fn optimize(
    func: &mut Function,
    options: &OptimizeOptions,
    context: &mut CleanupContext,
) -> CleanupStats {
    let others = Others {
        never_throws: &|name| options.function_never_throws(name),
        may_inline: &|_| false,
    };
    optimize_in_program(func, options, others, None, context)
}

/// Facts about the functions that a function refers to.
#[derive(Clone, Copy)]
pub(crate) struct Others<'a> {
    /// Whether no exception comes out of it.
    pub(crate) never_throws: &'a dyn Fn(&FunctionName) -> bool,
    /// Whether it would probably be inlined if it were called directly.
    pub(crate) may_inline: &'a dyn Fn(&FunctionName) -> bool,
}

/// Like [`optimize`], but with facts about all functions. With `before`, mainly the code is looked
/// at that came into a function with these entities.
pub(crate) fn optimize_in_program(
    func: &mut Function,
    options: &OptimizeOptions,
    others: Others<'_>,
    before: Option<Before>,
    context: &mut CleanupContext,
) -> CleanupStats {
    context.optimize.clear();
    let handler_addresses = &mut context.handler_addresses;
    handler_addresses.clear();
    let is_sound = check_structure(func, |inst| handler_addresses.add(func, inst)).is_ok();
    if !is_sound || !check_definitions(func) {
        return CleanupStats::default();
    }
    let Some(movable) = Movable::find(func) else {
        return CleanupStats::default();
    };
    let mut stats = tidy(func, context);
    stats += driver::optimize_checked(func, options, others, before, context);
    movable.pin(func, context.optimize.copied_loads(), &stats);
    stats += drop_unnamed(func);
    stats
}

/// Like [`optimize_in_program`], for a function that [`tidy_spliced`] has tidied.
pub(crate) fn optimize_tidied(
    func: &mut Function,
    options: &OptimizeOptions,
    others: Others<'_>,
    before: Option<Before>,
    context: &mut CleanupContext,
) -> CleanupStats {
    context.optimize.clear();
    context.handler_addresses.clear();
    // The session has not looked at the edges within a callee.
    let has_definitions = match before {
        Some(before) => before.has_sound_definitions(func),
        None => check_definitions(func),
    };
    let mut stats = CleanupStats::default();
    if has_definitions
        && check_edges(func).is_ok()
        && let Some(movable) = Movable::find(func)
    {
        stats += driver::optimize_checked(func, options, others, before, context);
        movable.pin(func, context.optimize.copied_loads(), &stats);
    }
    stats += drop_unnamed(func);
    stats
}

/// Removes slots and declarations that nothing names.
fn drop_unnamed(func: &mut Function) -> CleanupStats {
    let stats = CleanupStats {
        slots_dropped: slots::drop_unused_slots(func),
        declarations_dropped: declarations::drop_unused_declarations(func),
        ..CleanupStats::default()
    };
    trace_step(func, "not named", &stats);
    stats
}

fn trace_step(func: &Function, step: &str, stats: &CleanupStats) {
    if traces!() && *stats != CleanupStats::default() {
        let stats = format!("{stats:?}");
        let counts = stats
            .trim_start_matches("CleanupStats { ")
            .trim_end_matches(" }");
        let counts: Vec<&str> = counts
            .split(", ")
            .filter(|count| !count.ends_with(": 0"))
            .collect();
        trace!("{}: {step}: {}", Name(&func.name), counts.join(", "));
    }
}

/// Tidies all but slots, and pins the loads whose addresses are known earlier then.
fn tidy_pinned(func: &mut Function, context: &mut CleanupContext) -> CleanupStats {
    let Some(movable) = Movable::find(func) else {
        return CleanupStats::default();
    };
    let stats = tidy(func, context);
    movable.pin(func, &[], &stats);
    stats
}

/// Tidies all but slots.
fn tidy(func: &mut Function, context: &mut CleanupContext) -> CleanupStats {
    let mut stats = CleanupStats::default();
    context.knows_escaping_params = false;
    for round in 0..=MAX_ROUNDS {
        let folded = fold::fold_branches(func);
        stats.branches_folded += folded;
        spread_cold(func);
        // Threading brings more to fold to light; the last round only folds.
        let threaded = match round < MAX_ROUNDS {
            true => thread::thread_jumps(func, context),
            false => 0,
        };
        stats.branches_threaded += threaded;
        // With the same edges as after the round before, no block is left to drop or to merge.
        if round > 0 && folded == 0 && threaded == 0 {
            break;
        }
        stats.blocks_dropped += drop_unreachable_blocks(func, &mut context.handler_addresses);
        let merged = merge::merge_blocks(func, context);
        stats.blocks_merged += merged;
        if merged == 0 && threaded == 0 {
            break;
        }
    }
    trace_step(func, "tidied", &stats);
    stats
}
