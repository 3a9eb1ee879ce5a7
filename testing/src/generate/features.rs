//! Features of programs besides integers, branches and calls.

use super::choices::Choices;

/// A feature of programs; see [`Shape::with`](super::Shape::with).
///
/// Each program chooses separately among the features that its shape allows, so that programs
/// without a feature are as common as those with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Integers of 128 bits. They are parameters of `tail` functions only, and never returned:
    /// s390x returns none, and x64 passes none in the other conventions.
    I128,
    /// `f32` and `f64`.
    Floats,
    /// `f16` and `f128`, only with [`Feature::Floats`]: constants, loads and stores, block
    /// parameters, arguments, `select`, and `bitcast` to and from integers. No backend computes
    /// with them on its own, and s390x returns no `f128`.
    F16AndF128,
    /// Vectors of 128 bits. On riscv64 they need `has_v`, and functions cannot return them there,
    /// so generated functions never do.
    Vectors,
    /// Stack slots, and loads and stores in them.
    Memory,
    /// Loads that are `readonly` and `can_move`, of a caller's memory that is not written while the
    /// function executes, and alias regions numbered per function; only with [`Feature::Memory`].
    /// All promises are true of one activation of their function, and of no more.
    Promises,
    /// Atomic instructions on stack slots; only with [`Feature::Memory`].
    Atomics,
    /// Traps, conditional ones, and instructions that trap on some operands.
    Traps,
    /// Calling conventions other than `system_v`.
    Conventions,
    /// `return_call`.
    TailCalls,
    /// `call_indirect` through `func_addr`.
    IndirectCalls,
    /// `try_call` with handlers, and calls of the host's function `%throw`.
    Exceptions,
    /// Functions with a `vmctx` parameter, which is zero and from which global values compute their
    /// stack limit. Other uses of global values are not supported by both interpreter and backends:
    /// these only know `symbol_value` of symbols, and the interpreter has no symbols.
    Globals,
    /// Tags on calls and sequence points, in the form of
    /// [`CountedFrames`](cranelift_inliner::frames::CountedFrames), and keys on stack slots.
    Tags,
    /// Source locations, value labels and cold blocks.
    Debugging,
    /// Entries of stack maps at calls.
    StackMaps,
    /// Functions with numbers for names, which otherwise have text.
    UserNames,
    /// Overflow arithmetic of every kind: all backends except riscv64's support it. Off by default.
    BeyondRiscv64,
    /// `srem` by -1, on which Cranelift's interpreter traps although it should not: see
    /// `docs/CRANELIFT.md`. Off by default; only with [`Feature::Traps`].
    RemainderByMinusOne,
    /// Stack limits in `preserve_all` functions, which change a register that they should preserve
    /// on x64: see `docs/CRANELIFT.md`. Off by default; only with [`Feature::Globals`] and
    /// [`Feature::Conventions`].
    LimitInPreserveAll,
    /// Source locations that differ by one, of which Cranelift's reader loses one below the first:
    /// see `docs/CRANELIFT.md`. Off by default; only with [`Feature::Debugging`].
    AdjacentLocations,
    /// Stores that may trap beside others that may not, on which an assertion of Cranelift's
    /// optimizer fails if assertions are on: see `docs/CRANELIFT.md`. Off by default; only with
    /// [`Feature::Memory`].
    TrappingStores,
    /// Records, options, iterators and environments in stack slots; only with [`Feature::Memory`].
    /// Programs then may have a function `%copy_bytes`, which is equivalent to C's `memcpy`.
    Aggregates,
    /// Structures passed by value, which callees only read, because Cranelift's interpreter passes
    /// only the address. Only x64's backend supports them. Off by default; only with
    /// [`Feature::Memory`].
    Structures,
    /// `stack_switch`, which only x64 compiles, with the setting `stack_switch_model`, and which
    /// the interpreter lacks. Off by default.
    StackSwitches,
    /// Stack slots of up to 40 KiB, of which little is used; only with [`Feature::Memory`].
    LargeFrames,
    /// A `br_table` of hundreds of targets, a `try_call` of dozens of handlers, calls with dozens
    /// of arguments.
    LongLists,
    /// Accesses that say which of the two byte orders they use, which only the interpreter and
    /// s390x's backend support for both. Off by default; only with [`Feature::Memory`].
    ByteOrders,
    /// Addresses of handlers, which the interpreter lacks. Programs only show that they are
    /// numbers. Off by default; only with [`Feature::Exceptions`].
    HandlerAddresses,
    /// Addresses of functions in stack slots, beside environments: calls through them, in loops and
    /// by other functions, and functions that change them. Programs then have a few more functions.
    /// Only with [`Feature::Memory`].
    Closures,
    /// Objects with the address of a table of functions, which is a stack slot or a
    /// [table](cranelift_inliner::program::Program::add_table) of the program. Only with
    /// [`Feature::Closures`].
    MethodTables,
}

/// A set of [`Feature`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features(u32);

impl Features {
    pub(super) const NONE: Features = Features(0);

    const ALL: [Feature; 31] = [
        Feature::I128,
        Feature::Floats,
        Feature::F16AndF128,
        Feature::Vectors,
        Feature::Memory,
        Feature::Promises,
        Feature::Atomics,
        Feature::Traps,
        Feature::Conventions,
        Feature::TailCalls,
        Feature::IndirectCalls,
        Feature::Exceptions,
        Feature::Globals,
        Feature::Tags,
        Feature::Debugging,
        Feature::StackMaps,
        Feature::UserNames,
        Feature::BeyondRiscv64,
        Feature::RemainderByMinusOne,
        Feature::LimitInPreserveAll,
        Feature::AdjacentLocations,
        Feature::TrappingStores,
        Feature::Aggregates,
        Feature::Structures,
        Feature::StackSwitches,
        Feature::LargeFrames,
        Feature::LongLists,
        Feature::ByteOrders,
        Feature::HandlerAddresses,
        Feature::Closures,
        Feature::MethodTables,
    ];

    pub(super) fn by_default() -> Self {
        let all = Self::ALL.into_iter();
        all.fold(Self::NONE, Self::with)
            .without(Feature::BeyondRiscv64)
            .without(Feature::RemainderByMinusOne)
            .without(Feature::LimitInPreserveAll)
            .without(Feature::AdjacentLocations)
            .without(Feature::TrappingStores)
            .without(Feature::Structures)
            .without(Feature::StackSwitches)
            .without(Feature::ByteOrders)
            .without(Feature::HandlerAddresses)
    }

    pub(super) fn with(self, feature: Feature) -> Self {
        Features(self.0 | 1 << feature as u32)
    }

    pub(super) fn without(self, feature: Feature) -> Self {
        Features(self.0 & !(1 << feature as u32))
    }

    pub(super) fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 == 1
    }

    /// Returns the features of this set or of the other.
    pub(super) fn and(self, other: Self) -> Self {
        Features(self.0 | other.0)
    }

    /// Chooses each of the set or not.
    pub(super) fn chosen(self, choices: &mut Choices<'_, '_>) -> Self {
        let mut bits = [choices.byte(), choices.byte(), choices.byte(), 0];
        // Stored bytes keep their meaning in a shape without the later features.
        if self.0 >> 24 != 0 {
            bits[3] = choices.byte();
        }
        Features(self.0 & u32::from_le_bytes(bits))
    }
}
