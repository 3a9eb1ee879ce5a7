//! A function under construction: the place of new instructions, and the values that they may use.

use super::choices::Choices;
use super::features::Feature;
use super::helpers::Helper;
use super::instructions::constants;
use super::memory::{Cell, Slot};
use super::plan::{MAX_BLOCK_RUNS, MAX_FUEL, Plan};
use super::stacks::OtherStack;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AliasRegion, Block, BlockArg, FuncRef, Function, GlobalValueData, InstBuilder, SourceLoc, Type,
    Value, types,
};
use cranelift_codegen::isa::CallConv;
use std::collections::BTreeMap;

/// The possible callees of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The program's function of this number.
    Function(usize),
    /// The host's function of this number.
    Host(usize),
    /// The host's function that throws.
    Throw,
    /// The program's function that only switches stacks.
    Switch,
    /// The program's function that starts on another stack.
    Started,
    /// The program's function that copies bytes.
    CopyBytes,
    /// A function of the program that uses closures.
    Helper(Helper),
}

/// A block to which inner code may jump.
pub(super) struct Label {
    pub(super) block: Block,
    pub(super) reached: bool,
}

/// A function under construction.
pub(super) struct Body<'p, 'c, 'b> {
    pub(super) choices: &'p mut Choices<'c, 'b>,
    pub(super) plan: &'p mut Plan,
    /// The index of the function.
    pub(super) index: usize,
    pub(super) func: Function,
    /// The place of new instructions.
    pub(super) block: Block,
    pub(super) srcloc: SourceLoc,
    /// The values that may be used there, the newest last. They do not depend on addresses.
    pub(super) values: Vec<Value>,
    /// The blocks after the constructs around the current place, the innermost last.
    pub(super) labels: Vec<Label>,
    /// The blocks in which loops begin.
    pub(super) headers: Vec<Block>,
    /// The blocks that end in a `try_call`, with the number of its handlers.
    pub(super) catching: Vec<(Block, usize)>,
    /// The number of statements that may still be made.
    pub(super) statements: usize,
    /// The executions of the current block per execution of the function.
    pub(super) rounds: u64,
    /// The remaining fuel, if the function has any.
    pub(super) fuel: Option<Value>,
    /// The parameter that points to memory of a caller.
    pub(super) pointer: Option<Value>,
    /// The alias region of that memory.
    pub(super) pointer_region: Option<AliasRegion>,
    /// Whether that memory is never written.
    pub(super) reads_only: bool,
    /// A slot that always holds the address of a slot, or the pointer.
    pub(super) cell: Option<Cell>,
    /// The value that the entry block read there.
    pub(super) read: Option<Value>,
    /// The memory whose address the next call passes.
    pub(super) preferred: Option<Slot>,
    /// The `vmctx` parameter, which is zero.
    pub(super) context: Option<Value>,
    pub(super) slots: Vec<Slot>,
    pub(super) other_stack: Option<OtherStack>,
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
        let entry = func.dfg.make_block();
        let mut body = Body {
            choices,
            plan,
            index,
            func,
            block: entry,
            srcloc: SourceLoc::default(),
            values: Vec::new(),
            labels: Vec::new(),
            headers: Vec::new(),
            catching: Vec::new(),
            statements,
            rounds: 1,
            fuel: None,
            pointer: None,
            pointer_region: None,
            reads_only: false,
            cell: None,
            read: None,
            preferred: None,
            context: None,
            slots: Vec::new(),
            other_stack: None,
            recursive_calls: 0,
            func_refs: BTreeMap::new(),
        };
        body.begin(entry);
        body.outermost();
        body.func
    }

    fn begin(&mut self, entry: Block) {
        let Some(function) = self.plan.functions.get(self.index) else {
            return;
        };
        self.func.name = function.name.as_user_func_name().clone();
        self.func.signature = function.signature.clone();
        let (has_fuel, has_pointer) = (function.has_fuel, function.has_pointer);
        let (has_context, is_closure) = (function.has_context, function.is_closure);
        self.reads_only = function.reads_only;
        if self.plan.features.has(Feature::Debugging) {
            self.func.collect_debug_info();
        }
        self.start(entry);
        self.locate();
        let mut params = Vec::new();
        for index in 0..self.func.signature.params.len() {
            let ty = self.func.signature.params[index].value_type;
            params.push(self.func.dfg.append_block_param(entry, ty));
        }
        if has_pointer {
            self.pointer = params.pop();
        }
        let mut params = params.into_iter();
        if has_context {
            self.context = params.next();
            self.limit_stack();
        }
        if has_fuel && let Some(given) = params.next() {
            let mask = self.at().ins().iconst(types::I32, MAX_FUEL as i64);
            self.fuel = Some(self.at().ins().band(given, mask));
        }
        self.define(params);
        self.make_slots();
        self.call_before_reading();
        self.read_pointer();
        if is_closure {
            self.use_environment();
        }
    }

    /// Sometimes makes the function's `vmctx` its stack limit. It is zero, so no stack reaches it.
    fn limit_stack(&mut self) {
        let preserve_all = self.func.signature.call_conv == CallConv::PreserveAll;
        let allowed = !preserve_all || self.plan.features.has(Feature::LimitInPreserveAll);
        if self.choices.chance(128) && allowed {
            let context = self.func.create_global_value(GlobalValueData::VMContext);
            self.func.stack_limit = Some(context);
        }
    }

    /// Returns a cursor for the next instruction.
    pub(super) fn at(&mut self) -> FuncCursor<'_> {
        let srcloc = self.srcloc;
        let cursor = FuncCursor::new(&mut self.func).at_bottom(self.block);
        // The locations of a function are relative to the first one that a cursor gets.
        if srcloc.is_default() {
            cursor
        } else {
            cursor.with_srcloc(srcloc)
        }
    }

    /// Continues in `block`, which comes after all blocks so far.
    pub(super) fn start(&mut self, block: Block) {
        self.func.layout.append_block(block);
        self.block = block;
    }

    /// Makes a new block with parameters of `types`.
    pub(super) fn block_with(&mut self, types: &[Type]) -> Block {
        let block = self.func.dfg.make_block();
        for &ty in types {
            self.func.dfg.append_block_param(block, ty);
        }
        block
    }

    /// Makes `values` usable from here on.
    pub(super) fn define(&mut self, values: impl IntoIterator<Item = Value>) {
        for value in values {
            self.label(value);
            self.values.push(value);
        }
    }

    /// Makes the parameters of `block` usable.
    pub(super) fn define_params(&mut self, block: Block) {
        let params = self.func.dfg.block_params(block).to_vec();
        self.define(params);
    }

    /// Returns a value of type `ty`: an existing one, or a constant.
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

    /// Chooses the type of the next instruction: mostly that of an existing value.
    pub(super) fn some_type(&mut self) -> Type {
        let newest = self.values.len().saturating_sub(8);
        let known = self.values.get(newest..).unwrap_or_default();
        let known = known.iter().rev().copied();
        let known: Vec<Type> = known.map(|value| self.func.dfg.value_type(value)).collect();
        match self.choices.one_of(&known) {
            Some(ty) if !self.choices.chance(80) => ty,
            _ => self.plan.types.any(self.choices),
        }
    }

    /// Returns values of `types`.
    pub(super) fn values_of(&mut self, types: &[Type]) -> Vec<Value> {
        types.iter().map(|&ty| self.value(ty)).collect()
    }

    /// Returns values for the parameters of `block`.
    pub(super) fn block_args(&mut self, block: Block) -> Vec<BlockArg> {
        let types: Vec<Type> = self.func.dfg.block_param_types(block).collect();
        let values = self.values_of(&types);
        values.into_iter().map(BlockArg::from).collect()
    }

    /// Returns the executions of the current block in one invocation.
    pub(super) fn runs(&self) -> u64 {
        self.plan.runs(self.index) * self.rounds
    }

    /// Returns whether the next construct may execute `rounds` times per execution of the current
    /// block.
    pub(super) fn may_repeat(&self, rounds: u64) -> bool {
        self.runs() * rounds <= MAX_BLOCK_RUNS
    }
}
