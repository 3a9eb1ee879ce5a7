//! Statements, and how control flows between them.

use super::body::{Body, Label};
use super::program::value_type;
use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, TrapCode, Type, types};

/// Whether control comes to the end of what was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Closed,
}

/// How deep branches and loops nest.
const MAX_DEPTH: usize = 4;

/// How often a loop goes round at most.
const MAX_ROUNDS: usize = 4;

impl Body<'_, '_, '_> {
    /// The whole function.
    pub(super) fn outermost(&mut self) {
        if self.some_statements() == End::Open {
            self.call_the_rest();
            self.return_values();
        }
    }

    /// Statements until the function's are used up or a few are made.
    fn some_statements(&mut self) -> End {
        let most = if self.labels.is_empty() {
            self.statements
        } else {
            self.choices.below(5)
        };
        for _ in 0..most {
            if self.statements == 0 || self.choices.exhausted() {
                break;
            }
            self.statements -= 1;
            if self.statement() == End::Closed {
                return End::Closed;
            }
        }
        End::Open
    }

    fn statement(&mut self) -> End {
        let nested = !self.labels.is_empty();
        let deepest = self.labels.len() >= MAX_DEPTH;
        match self.choices.below(16) {
            8..=10 => self.call(),
            11 | 12 if !deepest => return self.branch(),
            13 if !deepest => return self.switch(),
            14 if !deepest => return self.repeat(),
            15 if nested && !self.owes_calls() => return self.leave(),
            _ => self.instruction(),
        }
        End::Open
    }

    /// A construct that goes on in one block: makes that block, calls `inside` with its number
    /// among the labels, and goes on in it if it is reached.
    fn joined(&mut self, inside: impl FnOnce(&mut Self, usize)) -> End {
        let count = self.choices.below(3);
        let types: Vec<Type> = (0..count).map(|_| value_type(self.choices)).collect();
        let block = self.block_with(&types);
        let outside = self.values.len();
        let label = self.labels.len();
        self.labels.push(Label {
            block,
            reached: false,
        });
        inside(self, label);
        self.labels.truncate(label + 1);
        let reached = self.labels.pop().is_some_and(|label| label.reached);
        self.values.truncate(outside);
        if !reached {
            return End::Closed;
        }
        self.start(block);
        self.define_params(block);
        End::Open
    }

    /// What is made of some statements in `block`, ending with a jump to the label.
    fn arm(&mut self, block: Block, label: usize) {
        let outside = self.values.len();
        self.start(block);
        self.define_params(block);
        if self.some_statements() == End::Open {
            self.jump_to(label);
        }
        self.values.truncate(outside);
    }

    fn jump_to(&mut self, label: usize) {
        if let Some(label) = self.labels.get_mut(label) {
            label.reached = true;
            let block = label.block;
            let args = self.block_args(block);
            self.at().ins().jump(block, &args);
        }
    }

    /// An edge to the label.
    fn edge_to(&mut self, label: usize) -> Option<BlockCall> {
        let label = self.labels.get_mut(label)?;
        label.reached = true;
        let block = label.block;
        let args = self.block_args(block);
        Some(self.func.dfg.block_call(block, &args))
    }

    fn branch(&mut self) -> End {
        let condition = self.condition();
        self.joined(|body, label| {
            let then_block = body.block_with(&[]);
            let one_armed = body.choices.chance(96);
            let else_block = if one_armed {
                body.labels.get(label).map(|label| label.block)
            } else {
                Some(body.block_with(&[]))
            };
            let Some(else_block) = else_block else { return };
            let else_args = body.block_args(else_block);
            let mut cursor = body.at();
            cursor
                .ins()
                .brif(condition, then_block, &[], else_block, &else_args);
            if one_armed && let Some(label) = body.labels.get_mut(label) {
                label.reached = true;
            }
            body.arm(then_block, label);
            if !one_armed {
                body.arm(else_block, label);
            }
        })
    }

    fn switch(&mut self) -> End {
        let index = self.value(types::I32);
        self.joined(|body, label| {
            let arms: Vec<Block> = (0..1 + body.choices.below(3))
                .map(|_| body.block_with(&[]))
                .collect();
            let mut edges = Vec::new();
            for _ in 0..body.choices.below(5) {
                let edge = match body.choices.below(arms.len() + 1).checked_sub(1) {
                    Some(arm) => arms.get(arm).map(|&arm| body.func.dfg.block_call(arm, &[])),
                    None => body.edge_to(label),
                };
                edges.extend(edge);
            }
            // The last one makes each arm reachable.
            edges.extend(arms.iter().map(|&arm| body.func.dfg.block_call(arm, &[])));
            let Some(default) = edges.pop() else { return };
            let table = JumpTableData::new(default, &edges);
            let table = body.func.create_jump_table(table);
            body.at().ins().br_table(index, table);
            for arm in arms {
                body.arm(arm, label);
            }
        })
    }

    /// A loop that counts down.
    fn repeat(&mut self) -> End {
        let rounds = 1 + self.choices.below(MAX_ROUNDS);
        if !self.may_repeat(rounds as u64) {
            return self.branch();
        }
        self.joined(|body, label| {
            let count = body.choices.below(3);
            let carried: Vec<Type> = (0..count).map(|_| value_type(body.choices)).collect();
            let header = body.block_with(&carried);
            let counter = body.func.dfg.append_block_param(header, types::I32);
            let mut args: Vec<_> = body.values_of(&carried);
            args.push(body.at().ins().iconst(types::I32, rounds as i64));
            let args: Vec<_> = args.into_iter().map(Into::into).collect();
            body.at().ins().jump(header, &args);

            body.rounds *= rounds as u64;
            body.start(header);
            let params = body.func.dfg.block_params(header).to_vec();
            body.define(params.into_iter().filter(|&param| param != counter));
            if body.some_statements() == End::Open {
                let one = body.at().ins().iconst(types::I32, 1);
                let left = body.at().ins().isub(counter, one);
                let mut again: Vec<_> = body.values_of(&carried);
                again.push(left);
                let again: Vec<_> = again.into_iter().map(Into::into).collect();
                if let Some(target) = body.labels.get_mut(label) {
                    target.reached = true;
                    let exit = target.block;
                    let args = body.block_args(exit);
                    body.at().ins().brif(left, header, &again, exit, &args);
                }
            }
            body.rounds /= rounds as u64;
        })
    }

    /// Ends the current arm: by a return, a trap, or a jump out of constructs around.
    fn leave(&mut self) -> End {
        match self.choices.below(4) {
            0 => self.return_values(),
            1 => {
                let code = self.choices.below(200) as u8;
                let code = TrapCode::user(code + 1).unwrap_or(TrapCode::STACK_OVERFLOW);
                self.at().ins().trap(code);
            }
            _ => {
                let label = self.choices.below(self.labels.len());
                self.jump_to(label);
            }
        }
        End::Closed
    }

    fn return_values(&mut self) {
        let returns = self.func.signature.returns.iter();
        let types: Vec<Type> = returns.map(|param| param.value_type).collect();
        let values = self.values_of(&types);
        self.at().ins().return_(&values);
    }

    /// A value to branch on.
    pub(super) fn condition(&mut self) -> cranelift_codegen::ir::Value {
        let ty = value_type(self.choices);
        self.value(ty)
    }
}
