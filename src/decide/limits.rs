//! Bounds that no policy can talk the pass out of.

/// Hard limits of the pass, outside the policies.
///
/// They are what makes inlining terminate in reasonable time and space for
/// any program under any policy; where to stop for good code is the policy's
/// business. Sizes are in instructions of the layout.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// A function does not grow beyond this many instructions by inlining. One
    /// that is larger from the start gets nothing inlined.
    ///
    /// 100,000 instructions compile in seconds; register allocation is worse
    /// than linear far beyond that.
    pub function_insts: usize,
    /// The program grows by at most this many times its size at the start,
    /// copies counted in full even where the callee is dropped afterwards.
    ///
    /// Growth beyond a few times has not paid for any compiler we know of;
    /// eight leaves the decision to the policy for every usual program.
    pub program_growth: f64,
    /// The program may grow by this many instructions in any case, so that a
    /// small program is not held back by its size.
    pub program_growth_floor: usize,
    /// The longest chain of calls that become one body: a callee inlined into
    /// a callee inlined into a caller has depth 2.
    ///
    /// It keeps a chain of N functions from making N²/2 copies. Source
    /// programs seldom nest more than a dozen small functions.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            function_insts: 100_000,
            program_growth: 8.0,
            program_growth_floor: 50_000,
            depth: 32,
        }
    }
}

impl Limits {
    /// The number of instructions by which a program of `insts` instructions
    /// may grow.
    pub fn growth(&self, insts: usize) -> usize {
        // A negative or undefined factor allows the floor alone; the cast
        // saturates.
        let factor = self.program_growth.max(0.0);
        ((insts as f64 * factor) as usize).max(self.program_growth_floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_larger_of_factor_and_floor() {
        let limits = Limits {
            program_growth: 2.0,
            program_growth_floor: 100,
            ..Limits::default()
        };
        assert_eq!(limits.growth(10), 100);
        assert_eq!(limits.growth(1000), 2000);
        let odd = Limits {
            program_growth: f64::NAN,
            ..limits
        };
        assert_eq!(odd.growth(1000), 100);
    }
}
