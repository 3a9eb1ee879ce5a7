//! One function while it is made: where instructions go, and which values they may use.

use super::choices::Choices;
use super::instructions::constants;
use super::program::{MAX_BLOCK_RUNS, MAX_FUEL, Plan};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Block, BlockArg, FuncRef, Function, InstBuilder, Type, Value, types};
use std::collections::BTreeMap;

/// What a call can name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The program's function of this number.
    Function(usize),
    /// The host's function of this number.
    Host(usize),
}

/// A block that code further in may jump to.
pub(super) struct Label {
    pub(super) block: Block,
    pub(super) reached: bool,
}

/// One function while it is made.
pub(super) struct Body<'p, 'c, 'b> {
    pub(super) choices: &'p mut Choices<'c, 'b>,
    pub(super) plan: &'p mut Plan,
    /// Which function this is.
    pub(super) index: usize,
    pub(super) func: Function,
    /// Where instructions go.
    pub(super) block: Block,
    /// The values that may be used there, the newest last.
    pub(super) values: Vec<Value>,
    /// The blocks after the constructs around the current place, the innermost last.
    pub(super) labels: Vec<Label>,
    /// How many statements may still be made.
    pub(super) statements: usize,
    /// How often the current block is executed for each execution of the function.
    pub(super) rounds: u64,
    /// What is left of the fuel, where the function has any.
    pub(super) fuel: Option<Value>,
    pub(super) recursive_calls: usize,
    pub(super) func_refs: BTreeMap<Target, FuncRef>,
}

impl<'p, 'c, 'b> Body<'p, 'c, 'b> {
    /// Makes the function `index` of `plan`.
    pub(super) fn generate(
        plan: &'p mut Plan,
        index: usize,
        statements: usize,
        choices: &'p mut Choices<'c, 'b>,
    ) -> Function {
        let mut func = Function::new();
        let mut has_fuel = false;
        if let Some(function) = plan.functions.get(index) {
            func.name = function.name.as_user_func_name().clone();
            func.signature = function.signature.clone();
            has_fuel = function.has_fuel;
        }
        let entry = func.dfg.make_block();
        let mut body = Body {
            choices,
            plan,
            index,
            func,
            block: entry,
            values: Vec::new(),
            labels: Vec::new(),
            statements,
            rounds: 1,
            fuel: None,
            recursive_calls: 0,
            func_refs: BTreeMap::new(),
        };
        body.start(entry);
        let mut params = body.func.signature.params.clone().into_iter();
        if has_fuel && let Some(param) = params.next() {
            let given = body.func.dfg.append_block_param(entry, param.value_type);
            let mask = body.at().ins().iconst(types::I32, MAX_FUEL as i64);
            body.fuel = Some(body.at().ins().band(given, mask));
        }
        for param in params {
            let value = body.func.dfg.append_block_param(entry, param.value_type);
            body.values.push(value);
        }
        body.outermost();
        body.func
    }

    /// A place for the next instruction.
    pub(super) fn at(&mut self) -> FuncCursor<'_> {
        FuncCursor::new(&mut self.func).at_bottom(self.block)
    }

    /// Goes on in `block`, which comes after all blocks so far.
    pub(super) fn start(&mut self, block: Block) {
        self.func.layout.append_block(block);
        self.block = block;
    }

    /// A new block with parameters of `types`.
    pub(super) fn block_with(&mut self, types: &[Type]) -> Block {
        let block = self.func.dfg.make_block();
        for &ty in types {
            self.func.dfg.append_block_param(block, ty);
        }
        block
    }

    /// Makes what `values` yields usable from here on.
    pub(super) fn define(&mut self, values: impl IntoIterator<Item = Value>) {
        self.values.extend(values);
    }

    /// Makes the parameters of `block` usable.
    pub(super) fn define_params(&mut self, block: Block) {
        let params = self.func.dfg.block_params(block).to_vec();
        self.define(params);
    }

    /// Some value of type `ty`: one that is there, or a constant.
    pub(super) fn value(&mut self, ty: Type) -> Value {
        let dfg = &self.func.dfg;
        let fitting = self.values.iter().rev().copied();
        let fitting: Vec<Value> = fitting.filter(|&v| dfg.value_type(v) == ty).collect();
        let chosen = self.choices.below(fitting.len() + 1);
        match fitting.get(chosen) {
            Some(&value) => value,
            None => constants::constant(self, ty),
        }
    }

    /// Values of `types`.
    pub(super) fn values_of(&mut self, types: &[Type]) -> Vec<Value> {
        types.iter().map(|&ty| self.value(ty)).collect()
    }

    /// Values for the parameters of `block`.
    pub(super) fn block_args(&mut self, block: Block) -> Vec<BlockArg> {
        let types: Vec<Type> = self.func.dfg.block_param_types(block).collect();
        let values = self.values_of(&types);
        values.into_iter().map(BlockArg::from).collect()
    }

    /// How often the current block is executed in one invocation.
    pub(super) fn runs(&self) -> u64 {
        self.plan.runs(self.index) * self.rounds
    }

    /// Whether what is made next may be executed `rounds` times for each time that the current
    /// block is.
    pub(super) fn may_repeat(&self, rounds: u64) -> bool {
        self.runs() * rounds <= MAX_BLOCK_RUNS
    }
}
