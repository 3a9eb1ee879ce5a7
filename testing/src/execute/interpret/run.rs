//! The driver: executes one instruction after the other, across functions.

use super::state::{Memory, TooDeep};
use super::{name_of, not_interpretable};
use crate::execute::Outcome;
use crate::execute::error::ExecuteError;
use crate::execute::host::Host;
use crate::execute::values::canonical;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{Block, Endianness, Function, Inst, Opcode, Value};
use cranelift_interpreter::instruction::DfgInstructionContext;
use cranelift_interpreter::state::State;
use cranelift_interpreter::step::{ControlFlow, CraneliftTrap, step};

pub(super) struct Run<'a> {
    pub(super) memory: Memory<'a>,
    pub(super) host: Host,
    fuel: u64,
    steps: u64,
}

/// Whether execution continues.
pub(super) enum Progress {
    GoOn,
    End(Outcome),
}

impl<'a> Run<'a> {
    pub(super) fn new(
        program: &'a cranelift_inliner::program::Program,
        fuel: u64,
        order: Endianness,
    ) -> Self {
        Run {
            memory: Memory::new(program, order),
            host: Host::default(),
            fuel,
            steps: 0,
        }
    }

    pub(super) fn into_host(self) -> Host {
        self.host
    }

    pub(super) fn call(
        &mut self,
        called: &'a Function,
        arguments: &[DataValue],
    ) -> Result<Outcome, ExecuteError> {
        self.enter(called, arguments.to_vec())?;
        loop {
            let Some((function, inst)) = self.place() else {
                return Err(self.not_interpretable("no instruction is there".to_owned()));
            };
            if self.steps >= self.fuel {
                return Err(ExecuteError::OutOfFuel {
                    function: name_of(function),
                    fuel: self.fuel,
                });
            }
            self.steps += 1;
            match self.instruction(function, inst)? {
                Progress::GoOn => {}
                Progress::End(Outcome::Returned(values)) => {
                    return Ok(Outcome::returned(values, &called.signature));
                }
                Progress::End(outcome) => return Ok(outcome),
            }
        }
    }

    pub(super) fn place(&self) -> Option<(&'a Function, Inst)> {
        let activation = self.memory.activations.last()?;
        Some((activation.frame.function(), activation.at?))
    }

    pub(super) fn not_interpretable(&self, reason: String) -> ExecuteError {
        match self.memory.activations.last() {
            Some(activation) => {
                not_interpretable(activation.frame.function(), activation.at, reason)
            }
            None => not_interpretable(&Function::new(), None, reason),
        }
    }

    pub(super) fn enter(
        &mut self,
        function: &'a Function,
        arguments: Vec<DataValue>,
    ) -> Result<(), ExecuteError> {
        let entered = self.memory.enter(function);
        entered.map_err(|TooDeep| ExecuteError::TooDeep {
            function: name_of(function),
        })?;
        if let Some(block) = function.layout.entry_block() {
            self.assign(function.dfg.block_params(block), arguments);
        }
        Ok(())
    }

    fn instruction(
        &mut self,
        function: &'a Function,
        inst: Inst,
    ) -> Result<Progress, ExecuteError> {
        let data = &function.dfg.insts[inst];
        match data.opcode() {
            opcode if opcode.is_call() => return self.call_instruction(function, inst),
            Opcode::SequencePoint => {
                self.go_on_after(function, inst);
                return Ok(Progress::GoOn);
            }
            _ => {}
        }
        let context = DfgInstructionContext::new(inst, &function.dfg);
        let flow = step(&mut self.memory, context);
        match flow.map_err(|error| self.not_interpretable(error.to_string()))? {
            ControlFlow::Assign(values) => {
                let results = function.dfg.inst_results(inst);
                let values = values.into_iter().zip(results);
                let values = values.map(|(value, &result)| {
                    if gives_canonical_nan(data.opcode()) {
                        canonical(value, function.dfg.value_type(result))
                    } else {
                        value
                    }
                });
                let values = values.collect();
                self.assign(results, values);
                self.go_on_after(function, inst);
            }
            ControlFlow::Continue => self.go_on_after(function, inst),
            ControlFlow::ContinueAt(block, arguments) => {
                self.go_on_at(function, block, arguments.into_vec());
            }
            ControlFlow::Return(values) => {
                self.memory.leave();
                return Ok(self.returned(values.into_vec()));
            }
            ControlFlow::Trap(CraneliftTrap::User(code)) => {
                return Ok(Progress::End(Outcome::Trapped(code)));
            }
            ControlFlow::Trap(trap) => return Err(self.not_interpretable(trap.to_string())),
            ControlFlow::Call(..) | ControlFlow::ReturnCall(..) => {
                return Err(self.not_interpretable("a call that is none".to_owned()));
            }
        }
        Ok(Progress::GoOn)
    }

    pub(super) fn assign(&mut self, places: &[Value], values: Vec<DataValue>) {
        self.memory.current_frame_mut().set_all(places, values);
    }

    pub(super) fn go_on_after(&mut self, function: &Function, inst: Inst) {
        if let Some(activation) = self.memory.activations.last_mut() {
            activation.at = function.layout.next_inst(inst);
        }
    }

    pub(super) fn go_on_at(&mut self, function: &Function, block: Block, values: Vec<DataValue>) {
        self.assign(function.dfg.block_params(block), values);
        if let Some(activation) = self.memory.activations.last_mut() {
            activation.at = function.layout.first_inst(block);
        }
    }
}

/// Returns the operations whose results Cranelift makes canonical if the setting is on.
fn gives_canonical_nan(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Ceil
            | Opcode::Floor
            | Opcode::Nearest
            | Opcode::Sqrt
            | Opcode::Trunc
            | Opcode::Fdemote
            | Opcode::Fpromote
            | Opcode::FvpromoteLow
            | Opcode::Fvdemote
            | Opcode::Fadd
            | Opcode::Fdiv
            | Opcode::Fmax
            | Opcode::Fmin
            | Opcode::Fmul
            | Opcode::Fsub
            | Opcode::Fma
    )
}
