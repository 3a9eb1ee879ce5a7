//! The ways in which a program is compiled.

use crate::peer;
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner_wasm::{JitProgram, Options, Policy, jit, jit_with};

/// A way to compile a program.
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Whether it starts from a module in which LLVM has inlined already.
    pub(crate) inlined_by_llvm: bool,
    how: How,
}

enum How {
    Stage(Options),
    Model(Box<CostModel>),
    Peer,
}

impl Variant {
    /// Returns all ways. The others are compared to the first one.
    pub(crate) fn all() -> Vec<Self> {
        let new = |name: &str, inlined_by_llvm, how| Self {
            name: name.to_owned(),
            inlined_by_llvm,
            how,
        };
        let stage = |policy| {
            How::Stage(Options {
                policy,
                optimize: false,
            })
        };
        vec![
            new("none", false, stage(Policy::None)),
            new("small", false, stage(Policy::Small)),
            new("default", false, stage(Policy::Cost)),
            new("always", false, stage(Policy::Always)),
            new("cranelift", false, How::Peer),
            new("llvm", true, stage(Policy::None)),
            new("llvm+default", true, stage(Policy::Cost)),
        ]
    }

    /// Returns the cost model with other numbers: `NAME=NUMBER,...`.
    pub(crate) fn model(numbers: &str) -> Self {
        let mut model = CostModel::default();
        for pair in numbers.split(',') {
            let (name, number) = pair.split_once('=').expect("NAME=NUMBER");
            let number: i64 = number.parse().expect("a number");
            match name {
                "threshold" => model.threshold = number,
                "loop_bonus" => model.loop_bonus = number,
                "max_loop_depth" => model.max_loop_depth = number as u32,
                "cold_threshold" => model.cold_threshold = number,
                "sole_call_site_threshold" => model.sole_call_site_threshold = number,
                "call_overhead" => model.call_overhead = number,
                "argument_overhead" => model.argument_overhead = number,
                "inner_call_cost" => model.inner_call_cost = number,
                "folded_branch" => model.folded_branch = number,
                "max_callee_insts" => model.max_callee_insts = number as usize,
                _ => panic!("the cost model has no number `{name}`"),
            }
        }
        Self {
            name: "model".to_owned(),
            inlined_by_llvm: false,
            how: How::Model(Box::new(model)),
        }
    }

    pub(crate) fn compile(&self, wasm: &[u8]) -> JitProgram {
        let program = match &self.how {
            How::Stage(options) => jit(wasm, options),
            How::Model(model) => jit_with(wasm, Some(Inliner::new(**model))),
            How::Peer => peer::compile(wasm),
        };
        program.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}
