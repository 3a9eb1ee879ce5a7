//! Arbitrary decisions: any subset of the call sites of a program, in any order.
//!
//! [`Decisions`] is a policy without an opinion. Its answer for a call site does not depend on time
//! or thread, and it has an order for splicing sites one at a time. Like programs, decisions come
//! from the bytes of a fuzzer or from a strategy of proptest, and smaller ones inline less.
//!
//! ```
//! use cranelift_inliner::decide::Inline;
//! use cranelift_inliner_testing::decisions::Decisions;
//!
//! let decisions = Decisions::new([0b0100_1101; 16], 7);
//! let policy: &dyn Inline = &decisions;
//! let mut order = decisions.order(5);
//! order.sort();
//! assert_eq!(order, [0, 1, 2, 3, 4]);
//! # let _ = policy;
//! ```

use arbitrary::{Arbitrary, Unstructured};
use cranelift_inliner::decide::{CallSite, Decision, Inline};
use cranelift_inliner::graph::SiteName;
use proptest::strategy::Strategy;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// An answer for each call site, and an order of sites. See the [module](self).
///
/// There are 128 answers. A site's path selects one of them: the names of the inlined sites that
/// contain it, and its own. So the answer does not depend on the time of the question, nor on other
/// decisions. Neighbouring sites have neighbouring answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions {
    answers: u128,
    order: u64,
}

impl Decisions {
    /// Makes decisions with these answers, one per bit, and this order. Zeros inline nothing, and
    /// visit sites in their original order.
    pub fn new(answers: [u8; 16], order: u64) -> Self {
        Decisions {
            answers: u128::from_le_bytes(answers),
            order,
        }
    }

    /// Returns whether to inline the call at `path`; see [`CallSite::path_names`].
    pub fn accepts(&self, path: &[SiteName]) -> bool {
        let mut hasher = FxHasher::default();
        let mut ordinals = 0;
        for site in path {
            site.caller.hash(&mut hasher);
            site.callee.hash(&mut hasher);
            ordinals += u64::from(site.ordinal);
        }
        let first = hasher.finish() >> 57;
        let bit = (first + ordinals) % 128;
        self.answers >> bit & 1 == 1
    }

    /// Returns an order of the numbers below `count`, each once.
    pub fn order(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        let mut state = self.order;
        for last in (1..count).rev() {
            // Zero stays zero, so each number stays in its place.
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(29);
            let back = (state % (last as u64 + 1)) as usize;
            order.swap(last, last - back);
        }
        order
    }
}

impl Inline for Decisions {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        // Other policies compute the loops, which must end for every caller.
        let _ = site.loop_depth();
        if self.accepts(&site.path_names()) {
            Decision::inline("decided by chance")
        } else {
            Decision::keep("decided by chance")
        }
    }
}

impl<'a> Arbitrary<'a> for Decisions {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Decisions::new(bytes.arbitrary()?, bytes.arbitrary()?))
    }

    fn size_hint(_depth: usize) -> (usize, Option<usize>) {
        (24, Some(24))
    }
}

/// Returns a strategy for decisions of every kind.
pub fn decisions() -> impl Strategy<Value = Decisions> {
    let answers = proptest::array::uniform16(proptest::num::u8::ANY);
    (answers, proptest::num::u64::ANY).prop_map(|(answers, order)| Decisions::new(answers, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_inliner::pass::Inliner;
    use cranelift_inliner::program::{FunctionName, Program};

    fn sites(count: u32) -> Vec<[SiteName; 1]> {
        let site = |ordinal| SiteName {
            caller: FunctionName::testcase("f"),
            callee: FunctionName::testcase("g"),
            ordinal,
            stage: 0,
        };
        (0..count).map(|ordinal| [site(ordinal)]).collect()
    }

    #[test]
    fn zeros_keep_every_call_and_every_place() {
        let decisions = Decisions::new([0; 16], 0);
        assert!(sites(500).iter().all(|path| !decisions.accepts(path)));
        assert_eq!(decisions.order(4), [0, 1, 2, 3]);
        assert!(decisions.order(0).is_empty());
    }

    #[test]
    fn every_answer_is_asked_for() {
        for bit in 0..128 {
            let decisions = Decisions::new((1_u128 << bit).to_le_bytes(), 0);
            let sites = sites(128);
            let accepted = sites.iter().filter(|path| decisions.accepts(&path[..]));
            assert_eq!(accepted.count(), 1);
        }
    }

    #[test]
    fn the_pass_inlines_accepted_calls() {
        let text = "function %f() {\n    fn0 = %g()\nblock0:\n    call fn0()\n    call fn0()\n    \
                    return\n}\nfunction %g() {\nblock0:\n    return\n}";
        let program = Program::from_clif(text, "test").unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for bit in 0..128 {
            let decisions = Decisions::new((1_u128 << bit).to_le_bytes(), 0);
            let inlined = Inliner::new(decisions).run(&program).unwrap();
            let sites = inlined.sites();
            seen.insert(sites.map(|site| site.inlined).collect::<Vec<_>>());
        }
        let expected = [[false, false], [false, true], [true, false]];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn orders_are_permutations_and_many() {
        let mut seen = std::collections::BTreeSet::new();
        for order in 0..2000 {
            let order = Decisions::new([0; 16], order).order(4);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            seen.insert(order);
        }
        assert_eq!(seen.len(), 24);
    }
}
