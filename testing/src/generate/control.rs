//! Statements, and the control flow between them.

use super::body::{Body, Label};
use super::features::Feature;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Type, types};

/// Whether control reaches the end of the construct.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Closed,
}

/// The greatest nesting of branches and loops.
pub(super) const MAX_DEPTH: usize = 4;

/// The most rounds of a loop.
const MAX_ROUNDS: usize = 4;

impl Body<'_, '_, '_> {
    /// Makes the whole function.
    pub(super) fn outermost(&mut self) {
        if self.some_statements() == End::Open {
            self.call_the_rest();
            self.finish();
        }
        if self.choices.chance(24) {
            self.unreachable_block();
        }
    }

    /// Makes statements. Before each there is a choice to continue: if the bytes of one statement
    /// are left out, those of the next keep their meaning.
    fn some_statements(&mut self) -> End {
        let (most, of_256) = if self.labels.is_empty() {
            (self.statements, 236)
        } else {
            (4, 150)
        };
        for _ in 0..most {
            if self.statements == 0 || !self.choices.chance(of_256) {
                break;
            }
            self.statements -= 1;
            self.locate();
            if self.statement() == End::Closed {
                return End::Closed;
            }
        }
        End::Open
    }

    fn statement(&mut self) -> End {
        let features = self.plan.features;
        let may_nest = self.labels.len() < MAX_DEPTH;
        let may_leave = !self.labels.is_empty() && !self.owes_calls();
        match self.choices.below(32) {
            8 if features.has(Feature::StackSwitches) => self.switch_stacks(),
            6 if features.has(Feature::HandlerAddresses) => self.handler_address(),
            5 | 6 if self.has_closures() => return self.closure(),
            3 | 4 if self.has_method_tables() => self.object(),
            7 | 8 if self.has_aggregates() => self.aggregate(),
            9 | 10 if features.has(Feature::Memory) => self.memory_instruction(),
            11 if features.has(Feature::Memory) => self.memory_instruction(),
            12 if features.has(Feature::Traps) => self.conditional_trap(),
            13 if features.has(Feature::Tags) => self.sequence_point(),
            14 => self.alias(),
            15..=19 => self.call(),
            20..=22 if features.has(Feature::Exceptions) && may_nest => return self.try_call(),
            23..=25 if may_nest => return self.branch(),
            26 if may_nest => return self.switch(),
            27 | 28 if may_nest => return self.repeat(),
            29..=31 if may_leave => return self.leave(),
            _ => self.instruction(),
        }
        End::Open
    }

    /// Makes a construct that continues in one block: makes that block, calls `inside` with its
    /// number among the labels, and continues in it if it is reached.
    pub(super) fn joined(&mut self, inside: impl FnOnce(&mut Self, usize)) -> End {
        let count = self.choices.below(3);
        let types: Vec<Type> = (0..count).map(|_| self.some_type()).collect();
        let block = self.block_with(&types);
        let outside = self.values.len();
        let label = self.labels.len();
        self.labels.push(Label {
            block,
            reached: false,
        });
        inside(self, label);
        let reached = self.labels.pop().is_some_and(|label| label.reached);
        self.values.truncate(outside);
        if !reached {
            return End::Closed;
        }
        self.start(block);
        self.define_params(block);
        End::Open
    }

    /// Makes statements in `block`, with a jump to the label at the end.
    pub(super) fn arm(&mut self, block: Block, label: usize) {
        let outside = self.values.len();
        self.start(block);
        self.chill(block);
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

    /// Makes an edge to the label.
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
            let join = body.labels.get_mut(label);
            let join = join.filter(|_| body.choices.chance(96));
            let one_armed = join.is_some();
            let else_block = match join {
                Some(join) => {
                    join.reached = true;
                    join.block
                }
                None => body.block_with(&[]),
            };
            let else_args = body.block_args(else_block);
            let mut cursor = body.at();
            let builder = cursor.ins();
            builder.brif(condition, then_block, &[], else_block, &else_args);
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
            // With these each arm is reachable; the last is the default.
            edges.extend(arms.iter().map(|&arm| body.func.dfg.block_call(arm, &[])));
            let Some(default) = edges.pop() else { return };
            if body.plan.features.has(Feature::LongLists) && body.choices.chance(48) {
                let more = 1 + body.choices.below(400);
                let known = edges.clone();
                // Cranelift changes the arguments of each edge in place, so each has its own list.
                let pool = &mut body.func.dfg.value_lists;
                let more = known.iter().cycle().take(more);
                edges.extend(more.map(|edge| edge.deep_clone(pool)));
            }
            let table = JumpTableData::new(default, &edges);
            let table = body.func.create_jump_table(table);
            body.at().ins().br_table(index, table);
            for arm in arms {
                body.arm(arm, label);
            }
        })
    }

    /// Makes a loop that counts down.
    fn repeat(&mut self) -> End {
        let rounds = 1 + self.choices.below(MAX_ROUNDS) as u64;
        if !self.may_repeat(rounds) {
            return self.branch();
        }
        self.joined(|body, label| {
            let count = body.choices.below(3);
            let carried: Vec<Type> = (0..count).map(|_| body.some_type()).collect();
            let header = body.block_with(&carried);
            let mut args = body.values_of(&carried);
            let counter = body.func.dfg.append_block_param(header, types::I32);
            args.push(body.at().ins().iconst(types::I32, rounds as i64));
            let args: Vec<BlockArg> = args.into_iter().map(BlockArg::from).collect();
            body.at().ins().jump(header, &args);

            body.rounds *= rounds;
            body.start(header);
            body.define_params(header);
            if body.some_statements() == End::Open {
                body.next_round(header, counter, &carried, label);
            }
            body.rounds /= rounds;
        })
    }

    /// Makes the end of a loop: back to `header` if the counter, less one, is not zero, or to the
    /// label.
    fn next_round(
        &mut self,
        header: Block,
        counter: cranelift_codegen::ir::Value,
        carried: &[Type],
        label: usize,
    ) {
        let one = self.at().ins().iconst(types::I32, 1);
        let left = self.at().ins().isub(counter, one);
        let mut again = self.values_of(carried);
        again.push(left);
        let again: Vec<BlockArg> = again.into_iter().map(BlockArg::from).collect();
        let Some(exit) = self.labels.get_mut(label) else {
            return;
        };
        exit.reached = true;
        let exit = exit.block;
        let args = self.block_args(exit);
        self.headers.push(header);
        self.at().ins().brif(left, header, &again, exit, &args);
    }

    /// Ends the current arm by a return, a trap, an exception, or a jump out of the surrounding
    /// constructs.
    fn leave(&mut self) -> End {
        match self.choices.below(8) {
            0..=2 => self.finish(),
            3 if self.plan.features.has(Feature::Traps) => {
                let code = self.trap_code();
                self.at().ins().trap(code);
            }
            4 | 5 if self.plan.features.has(Feature::Exceptions) => self.throw(),
            _ => {
                let label = self.choices.below(self.labels.len());
                self.jump_to(label);
            }
        }
        End::Closed
    }

    /// Ends the function.
    fn finish(&mut self) {
        if !self.return_call() {
            let returns = self.func.signature.returns.iter();
            let types: Vec<Type> = returns.map(|param| param.value_type).collect();
            let mut values = self.values_of(&types);
            if types.first() == Some(&types::I64)
                && let Some(read) = self.read
                && self.choices.chance(160)
            {
                values[0] = read;
            }
            self.at().ins().return_(&values);
        }
    }

    fn conditional_trap(&mut self) {
        let condition = self.condition();
        let code = self.trap_code();
        if self.choices.chance(128) {
            self.at().ins().trapnz(condition, code);
        } else {
            self.at().ins().trapz(condition, code);
        }
    }

    /// Makes an alias of a value.
    fn alias(&mut self) {
        let ty = self.plan.types.int(self.choices);
        let value = self.value(ty);
        // The location of a removed instruction would show in the text of the function.
        let srcloc = std::mem::take(&mut self.srcloc);
        let copy = self.at().ins().bnot(value);
        self.srcloc = srcloc;
        if let Some(inst) = self.func.dfg.value_def(copy).inst() {
            self.func.layout.remove_inst(inst);
            self.func.dfg.detach_inst_results(inst);
            self.func.dfg.change_to_alias(copy, value);
            // It has no label: Cranelift drops those of aliases.
            self.values.push(copy);
        }
    }

    /// Makes an unreachable block. It may lead to others, even to several loops at once.
    fn unreachable_block(&mut self) {
        let others: Vec<Block> = self.func.layout.blocks().skip(1).collect();
        let block = self.block_with(&[]);
        self.start(block);
        // Values of the entry do not reach this block.
        self.values.clear();
        self.fuel = None;
        self.pointer = None;
        self.read = None;
        self.context = None;
        self.call();
        let targets = others.into_iter().chain([block]).collect::<Vec<_>>();
        let kind = self.choices.below(4);
        // Into loops, if there are some.
        let targets = match kind {
            3 if self.headers.len() > 1 => self.headers.clone(),
            _ => targets,
        };
        match (kind, self.choices.one_of(&targets)) {
            (0, _) | (_, None) => self.finish(),
            (1, Some(target)) => {
                let args = self.block_args(target);
                self.at().ins().jump(target, &args);
            }
            (_, Some(one)) => {
                let other = self.choices.one_of(&targets).unwrap_or(block);
                let condition = self.condition();
                let (args, other_args) = (self.block_args(one), self.block_args(other));
                let mut cursor = self.at();
                let builder = cursor.ins();
                builder.brif(condition, one, &args, other, &other_args);
            }
        }
    }
}
