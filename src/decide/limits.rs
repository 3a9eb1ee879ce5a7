//! Bounds that no policy can lift.

/// Hard limits of the pass, outside the policies.
///
/// They make inlining terminate in reasonable time and space for any program under any policy;
/// policies set their own, lower bounds for the quality of the code. A copy counts in full, except
/// against the bounds of growth if it takes the place of its original: the callee is local, and the
/// call is the only reference to it.
///
/// # Sizes
///
/// The unit is the instruction of the layout. An instruction with a list counts one more for each
/// entry from the ninth on, because each becomes code of its own: an argument or result of a call,
/// a returned value, an argument of an edge, a target of a `br_table`, a handler or context of a
/// `try_call`, an argument of any edge of such a table. Up to eight entries are part of the
/// instruction, as many as calling conventions pass in registers, so that ordinary code is measured
/// in instructions. A copy at a `try_call` has the size of the callee and of the handlers that each
/// of its calls gets.
///
/// The same measure is used by policies ([`Summary::insts`](super::Summary::insts)), by these
/// limits, by statistics and for the order of work. Frames are measured in bytes of stack slots,
/// with structures that are passed by value
/// ([`Summary::frame_bytes`](super::Summary::frame_bytes)).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// A function does not grow beyond this size by inlining, in instructions. No call is inlined
    /// into one that is larger from the start.
    ///
    /// A million instructions is more than programs have in one function. It also stays far below
    /// the number of registers that Cranelift can handle; a caller beyond that would be compiled
    /// from its original body.
    pub function_insts: usize,
    /// A function grows by at most this many times its size at the start, or by
    /// [`Limits::function_growth_floor`] if that is more.
    ///
    /// Policies that weigh cost and benefit stay far below. Ten stops only the others, and still
    /// lets them replace every call in a function that only calls small ones.
    pub function_growth: f64,
    /// Every function may grow by this many instructions, so that a wrapper of three instructions
    /// can still take in its callee.
    pub function_growth_floor: usize,
    /// The program grows by at most this many times its size at the start, or by
    /// [`Limits::program_growth_floor`] if that is more.
    ///
    /// Where the functions' own bounds add up to more, each is lowered in proportion. A bound per
    /// function, instead of one budget for all, makes decisions independent of the order of
    /// threads.
    pub program_growth: f64,
    /// The program may grow by this many instructions in any case, so that a small program is not
    /// held back by its size.
    pub program_growth_floor: usize,
    /// A function's stack slots do not grow beyond this many bytes by inlining. One that has more
    /// from the start gets no slots.
    ///
    /// A callee's slots take stack for as long as the callee is active. In the caller they take it
    /// all the time, so each call that the caller makes elsewhere starts that much deeper. 32 KiB
    /// keep buffers of a page or two possible, while it takes a chain of 16 functions with the
    /// largest frames to fill the smallest stack in common use, the 512 KiB that Wasmtime gives.
    pub frame_bytes: u64,
    /// Like [`Limits::frame_bytes`], but for callers that may be active many times at once: those
    /// that call themselves, directly or through others, and those whose address is taken. It only
    /// lowers the other limit.
    ///
    /// Here each level of the recursion takes the slots. 1 KiB is LLVM's bound for the allocations
    /// of a callee in a recursive caller; a recursion of a thousand levels takes no more than a
    /// megabyte of it.
    pub recursive_frame_bytes: u64,
    /// The longest chain of calls that become one body: a callee inlined into a callee inlined into
    /// a caller has depth 2.
    ///
    /// It keeps a chain of N functions from making N²/2 copies. Source programs seldom nest more
    /// than a dozen small functions.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            function_insts: 1_000_000,
            function_growth: 10.0,
            function_growth_floor: 2_000,
            program_growth: 20.0,
            program_growth_floor: 1_000_000,
            frame_bytes: 32 << 10,
            recursive_frame_bytes: 1 << 10,
            depth: 32,
        }
    }
}

settings!(Limits {
    with_function_insts: function_insts: usize,
    with_function_growth: function_growth: f64,
    with_function_growth_floor: function_growth_floor: usize,
    with_program_growth: program_growth: f64,
    with_program_growth_floor: program_growth_floor: usize,
    with_frame_bytes: frame_bytes: u64,
    with_recursive_frame_bytes: recursive_frame_bytes: u64,
    with_depth: depth: u32,
});

impl Limits {
    /// Returns how much a function of `insts` instructions may grow, in instructions.
    pub fn growth_of_function(&self, insts: usize) -> usize {
        times(insts, self.function_growth).max(self.function_growth_floor)
    }

    /// Returns how much a program of `insts` instructions may grow, in instructions.
    pub fn growth_of_program(&self, insts: usize) -> usize {
        times(insts, self.program_growth).max(self.program_growth_floor)
    }
}

/// Multiplies. A factor that is negative or not a number counts as 0, and a huge one gives the
/// largest number; casts saturate.
fn times(insts: usize, factor: f64) -> usize {
    (insts as f64 * factor.max(0.0)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_larger_of_factor_and_floor() {
        let limits = Limits {
            function_growth: 2.0,
            function_growth_floor: 100,
            ..Limits::default()
        };
        assert_eq!(limits.growth_of_function(10), 100);
        assert_eq!(limits.growth_of_function(1000), 2000);
    }

    #[test]
    fn odd_factors_do_no_harm() {
        for odd in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let limits = Limits {
                program_growth: odd,
                program_growth_floor: 7,
                ..Limits::default()
            };
            assert_eq!(limits.growth_of_program(1000), 7);
        }
        let limits = Limits {
            program_growth: f64::INFINITY,
            ..Limits::default()
        };
        assert_eq!(limits.growth_of_program(1000), usize::MAX);
    }
}
