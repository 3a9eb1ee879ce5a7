//! The ways in which a program is compiled.

use crate::peer;
use cranelift_inliner::decide::{CostModel, Small};
use cranelift_inliner::profile::Profile;
use cranelift_inliner_wasm::{JitProgram, Options, Policy, jit};

/// A way to compile a program.
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Whether it starts from a module in which LLVM has inlined already.
    pub(crate) inlined_by_llvm: bool,
    /// Whether it knows the counts of a run with another input.
    pub(crate) with_profile: bool,
    /// Whether no function may go away.
    keep_unused: bool,
    how: How,
}

enum How {
    Stage(Policy),
    Peer,
}

impl Variant {
    /// Returns all ways. The others are compared to the first one.
    pub(crate) fn all() -> Vec<Self> {
        let new = |name: &str, policy| Self {
            name: name.to_owned(),
            inlined_by_llvm: name.starts_with("llvm"),
            with_profile: name.ends_with("+profile"),
            keep_unused: name.ends_with("+exported"),
            how: How::Stage(policy),
        };
        let mut peer = new("cranelift", Policy::None);
        peer.how = How::Peer;
        vec![
            new("none", Policy::None),
            new("small", Policy::Small(Small::default())),
            new("default", Policy::default()),
            new("default+profile", Policy::default()),
            new("default+exported", Policy::default()),
            new("always", Policy::Always),
            peer,
            new("llvm", Policy::None),
            new("llvm+default", Policy::default()),
        ]
    }

    /// Returns the cost model with other numbers: `NAME=NUMBER,...`. With `llvm`, `profile` and
    /// `exported` among them, after LLVM's inlining, with counts, and with every function exported.
    pub(crate) fn model(numbers: &str) -> Self {
        let mut model = CostModel::default();
        let mut variant = Self {
            name: numbers.to_owned(),
            inlined_by_llvm: false,
            with_profile: false,
            keep_unused: false,
            how: How::Peer,
        };
        for pair in numbers.split(',') {
            match pair {
                "llvm" => variant.inlined_by_llvm = true,
                "profile" => variant.with_profile = true,
                "exported" => variant.keep_unused = true,
                _ => set(&mut model, pair),
            }
        }
        variant.how = How::Stage(Policy::Cost(model));
        variant
    }

    pub(crate) fn compile(&self, wasm: &[u8], profile: Option<&Profile>) -> JitProgram {
        let program = match self.how {
            How::Stage(policy) => {
                let options = Options {
                    policy,
                    profile: profile.filter(|_| self.with_profile),
                    keep_unused: self.keep_unused,
                    ..Options::default()
                };
                jit(wasm, &options)
            }
            How::Peer => peer::compile(wasm),
        };
        program.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

fn set(model: &mut CostModel, pair: &str) {
    let (name, number) = pair.split_once('=').expect("NAME=NUMBER");
    let number: i64 = number.parse().expect("a number");
    match name {
        "threshold" => model.threshold = number,
        "loop_bonus" => model.loop_bonus = number,
        "max_loop_depth" => model.max_loop_depth = number as u32,
        "cold_threshold" => model.cold_threshold = number,
        "hot_threshold" => model.hot_threshold = number,
        "sole_call_site_threshold" => model.sole_call_site_threshold = number,
        "call_overhead" => model.call_overhead = number,
        "argument_overhead" => model.argument_overhead = number,
        "inner_call_cost" => model.inner_call_cost = number,
        "folded_branch" => model.folded_branch = number,
        "few_call_sites_bonus" => model.few_call_sites_bonus = number,
        "max_callee_insts" => model.max_callee_insts = number as usize,
        _ => panic!("the cost model has no number `{name}`"),
    }
}
