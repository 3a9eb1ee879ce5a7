//! Blocks, loops and branches.

use super::{Translator, UNREACHABLE, clif_type};
use crate::error::Result;
use crate::parse::value_type;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, JumpTableData, Value};
use cranelift_inliner_wasm_runtime::ValueType;
use wasmparser::{BlockType, BrTable};

/// A block, loop or `if` that has begun and not ended.
pub(super) struct Frame {
    kind: Kind,
    /// The target of branches to the frame: the head of a loop, or the code after any other frame.
    target: Block,
    /// The number of values that a branch to it takes along.
    arity: usize,
    results: usize,
    /// The height of the stack below the parameters.
    height: usize,
    /// Whether something goes to `target`, if that comes after the frame.
    exits: bool,
}

enum Kind {
    /// A frame that is never reached; only its end matters.
    Dead,
    Block,
    Loop,
    /// With the parameters, and the block of the other branch until `else` begins it.
    If(Vec<Value>, Option<Block>),
}

fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|&value| value.into()).collect()
}

impl Translator<'_, '_, '_> {
    pub(super) fn begin_function(&mut self, results: &[ValueType]) {
        let target = self.block_with(results);
        self.frames.push(Frame {
            kind: Kind::Block,
            target,
            arity: results.len(),
            results: results.len(),
            height: 0,
            exits: false,
        });
    }

    fn block_with(&mut self, types: &[ValueType]) -> Block {
        let block = self.builder.create_block();
        for &ty in types {
            self.builder.append_block_param(block, clif_type(ty));
        }
        block
    }

    fn block_types(&self, ty: BlockType, offset: u64) -> Result<(Vec<ValueType>, Vec<ValueType>)> {
        Ok(match ty {
            BlockType::Empty => (vec![], vec![]),
            BlockType::Type(ty) => (vec![], vec![value_type(ty, offset)?]),
            BlockType::FuncType(index) => {
                let signature = &self.module.types[index as usize];
                (signature.params.clone(), signature.results.clone())
            }
        })
    }

    pub(super) fn begin_dead(&mut self) {
        self.frames.push(Frame {
            kind: Kind::Dead,
            target: Block::from_u32(0),
            arity: 0,
            results: 0,
            height: 0,
            exits: false,
        });
    }

    pub(super) fn begin_block(&mut self, ty: BlockType, offset: u64) -> Result<()> {
        let (params, results) = self.block_types(ty, offset)?;
        let target = self.block_with(&results);
        self.push_frame(Kind::Block, target, results.len(), &params, results.len());
        Ok(())
    }

    pub(super) fn begin_loop(&mut self, ty: BlockType, offset: u64) -> Result<()> {
        let (params, results) = self.block_types(ty, offset)?;
        let head = self.block_with(&params);
        let values = self.pop_many(params.len());
        self.builder.ins().jump(head, &block_args(&values));
        self.builder.switch_to_block(head);
        self.stack.extend(self.builder.block_params(head));
        self.push_frame(Kind::Loop, head, params.len(), &params, results.len());
        Ok(())
    }

    pub(super) fn begin_if(&mut self, ty: BlockType, offset: u64) -> Result<()> {
        let condition = self.pop();
        let (params, results) = self.block_types(ty, offset)?;
        let target = self.block_with(&results);
        let (then, other) = (self.builder.create_block(), self.builder.create_block());
        self.builder.ins().brif(condition, then, &[], other, &[]);
        self.builder.seal_block(then);
        self.builder.seal_block(other);
        self.builder.switch_to_block(then);
        let values = self.stack[self.stack.len() - params.len()..].to_vec();
        let kind = Kind::If(values, Some(other));
        self.push_frame(kind, target, results.len(), &params, results.len());
        Ok(())
    }

    fn push_frame(
        &mut self,
        kind: Kind,
        target: Block,
        arity: usize,
        params: &[ValueType],
        results: usize,
    ) {
        self.frames.push(Frame {
            kind,
            target,
            arity,
            results,
            height: self.stack.len() - params.len(),
            exits: false,
        });
    }

    /// Translates `else`.
    pub(super) fn begin_else(&mut self) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        if matches!(frame.kind, Kind::Dead) {
            return;
        }
        if self.reachable {
            self.leave_frame();
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        if let Kind::If(values, other) = &mut frame.kind
            && let Some(block) = other.take()
        {
            self.stack.truncate(frame.height);
            self.stack.append(values);
            self.builder.switch_to_block(block);
            self.reachable = true;
        }
    }

    /// Jumps from the end of a frame to the code after it.
    fn leave_frame(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.exits = true;
            let (target, results) = (frame.target, frame.results);
            let values = self.pop_many(results);
            self.builder.ins().jump(target, &block_args(&values));
        }
    }

    /// Translates `end`.
    pub(super) fn end(&mut self) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        match &frame.kind {
            Kind::Dead => {
                self.frames.pop();
                return;
            }
            Kind::Loop => {
                let (head, height) = (frame.target, frame.height);
                self.builder.seal_block(head);
                if !self.reachable {
                    self.stack.truncate(height);
                }
                self.frames.pop();
                return;
            }
            // Without `else`, the parameters are the results.
            Kind::If(_, Some(_)) => self.begin_else(),
            Kind::Block | Kind::If(_, None) => {}
        }
        let outermost = self.frames.len() == 1;
        let exits = self.frames.last().is_some_and(|frame| frame.exits);
        if self.reachable && outermost && !exits {
            self.return_();
        } else if self.reachable {
            self.leave_frame();
        }
        let Some(frame) = self.frames.pop() else {
            return;
        };
        self.stack.truncate(frame.height);
        self.builder.seal_block(frame.target);
        self.reachable = frame.exits;
        if frame.exits {
            self.builder.switch_to_block(frame.target);
            self.stack.extend(self.builder.block_params(frame.target));
            if outermost {
                let values = self.pop_many(frame.results);
                self.return_values(&values);
                self.reachable = false;
            }
        }
    }

    pub(super) fn unreachable(&mut self) {
        self.builder.ins().trap(UNREACHABLE);
        self.leave_reachable();
    }

    /// Marks the rest of this frame as unreachable.
    fn leave_reachable(&mut self) {
        self.reachable = false;
        if let Some(frame) = self.frames.last() {
            self.stack.truncate(frame.height);
        }
    }

    pub(super) fn return_(&mut self) {
        let results = self.frames[0].results;
        let values = self.pop_many(results);
        self.return_values(&values);
        self.leave_reachable();
    }

    /// Returns the block of a branch and the values it takes along.
    fn branch_target(&mut self, depth: u32) -> (Block, Vec<BlockArg>) {
        let index = self.frames.len() - 1 - depth as usize;
        let frame = &mut self.frames[index];
        frame.exits |= !matches!(frame.kind, Kind::Loop);
        let values = &self.stack[self.stack.len() - frame.arity..];
        (frame.target, block_args(values))
    }

    pub(super) fn br(&mut self, depth: u32) {
        let (target, arguments) = self.branch_target(depth);
        self.builder.ins().jump(target, &arguments);
        self.leave_reachable();
    }

    pub(super) fn br_if(&mut self, depth: u32) {
        let condition = self.pop();
        let (target, arguments) = self.branch_target(depth);
        let next = self.builder.create_block();
        self.builder
            .ins()
            .brif(condition, target, &arguments, next, &[]);
        self.builder.seal_block(next);
        self.builder.switch_to_block(next);
    }

    pub(super) fn br_table(&mut self, table: &BrTable<'_>) -> Result<()> {
        let index = self.pop();
        let mut targets = Vec::new();
        for depth in table.targets() {
            targets.push(self.branch_target(depth?));
        }
        let default = self.branch_target(table.default());
        let pool = &mut self.builder.func.dfg.value_lists;
        let mut call = |(block, arguments): &(Block, Vec<BlockArg>)| {
            cranelift_codegen::ir::BlockCall::new(*block, arguments.iter().copied(), pool)
        };
        let default = call(&default);
        let targets: Vec<_> = targets.iter().map(call).collect();
        let table = JumpTableData::new(default, &targets);
        let table = self.builder.create_jump_table(table);
        self.builder.ins().br_table(index, table);
        self.leave_reachable();
        Ok(())
    }
}
