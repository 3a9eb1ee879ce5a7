//! Calls, returns and exceptions.

use super::run::{Progress, Run};
use super::state::Target;
use crate::execute::Outcome;
use crate::execute::error::ExecuteError;
use crate::execute::host::{Exception, Reply};
use crate::execute::values::has_data_value;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::instructions::CallInfo;
use cranelift_codegen::ir::{
    BlockArg, BlockCall, ExceptionTableItem, Function, Inst, InstructionData, Signature,
};
use cranelift_inliner::program::FunctionName;
use cranelift_interpreter::state::State;

impl<'a> Run<'a> {
    pub(super) fn call_instruction(
        &mut self,
        function: &'a Function,
        inst: Inst,
    ) -> Result<Progress, ExecuteError> {
        let dfg = &function.dfg;
        let data = &dfg.insts[inst];
        let info = data.analyze_call(&dfg.value_lists, &dfg.exception_tables);
        let (target, signature, arguments) = match info {
            CallInfo::Direct(func_ref, arguments)
            | CallInfo::DirectWithSig(func_ref, _, arguments) => {
                let signature = &dfg.signatures[dfg.ext_funcs[func_ref].signature];
                let target = match self.memory.get_function(func_ref) {
                    Some(callee) => Some(Target::Program(callee)),
                    None => FunctionName::of_callee(function, func_ref).map(Target::Host),
                };
                (target, signature, arguments)
            }
            CallInfo::Indirect(sig_ref, arguments) => {
                let callee = data.arguments(&dfg.value_lists).first();
                let frame = self.memory.current_frame();
                let target = callee.and_then(|&callee| self.memory.at_address(frame.get(callee)));
                (target, &dfg.signatures[sig_ref], arguments)
            }
            CallInfo::NotACall => return Err(self.not_interpretable("no call".to_owned())),
        };
        let Some(target) = target else {
            return Err(self.not_interpretable("nothing to call is there".to_owned()));
        };
        let arguments = self.memory.current_frame().get_all(arguments);
        if data.opcode().is_return() {
            self.memory.leave();
        }
        match target {
            Target::Program(callee) => {
                if callee.signature != *signature {
                    let reason = "the callee has another signature".to_owned();
                    return Err(self.not_interpretable(reason));
                }
                self.enter(callee, arguments)?;
                Ok(Progress::GoOn)
            }
            Target::Host(name) => {
                check_host(&name, signature)?;
                match self.host.call(&name, arguments, signature) {
                    Reply::Return(values) => Ok(self.returned(values)),
                    Reply::Throw(exception) => Ok(self.unwind(exception)),
                }
            }
        }
    }

    /// Continues in the caller with the results.
    pub(super) fn returned(&mut self, values: Vec<DataValue>) -> Progress {
        let Some((function, call)) = self.place() else {
            return Progress::End(Outcome::Returned(values));
        };
        match normal_return(function, call) {
            None => {
                self.assign(function.dfg.inst_results(call), values);
                self.go_on_after(function, call);
            }
            Some(target) => {
                let value = |arg| match arg {
                    BlockArg::TryCallRet(index) => values.get(index as usize).cloned(),
                    _ => None,
                };
                self.branch(function, target, value);
            }
        }
        Progress::GoOn
    }

    /// Continues at the innermost handler.
    fn unwind(&mut self, exception: Exception) -> Progress {
        while let Some((function, call)) = self.place() {
            if let Some(target) = handler(function, call, exception.tag) {
                let value = |arg| match arg {
                    BlockArg::TryCallExn(0) => Some(DataValue::I64(exception.payload)),
                    BlockArg::TryCallExn(_) => Some(DataValue::I64(0)),
                    _ => None,
                };
                self.branch(function, target, value);
                return Progress::GoOn;
            }
            self.memory.leave();
        }
        Progress::End(Outcome::threw(exception))
    }

    fn branch(
        &mut self,
        function: &'a Function,
        target: BlockCall,
        special: impl Fn(BlockArg) -> Option<DataValue>,
    ) {
        let lists = &function.dfg.value_lists;
        let arguments = target.args(lists).map(|arg| match arg {
            BlockArg::Value(value) => self.memory.current_frame().get(value).clone(),
            other => match special(other) {
                Some(value) => value,
                None => panic!("an edge of a call passes a value that it does not have"),
            },
        });
        let arguments = arguments.collect();
        self.go_on_at(function, target.block(lists), arguments);
    }
}

fn check_host(name: &FunctionName, signature: &Signature) -> Result<(), ExecuteError> {
    let types = signature.params.iter().chain(&signature.returns);
    let mut types = types.map(|param| param.value_type);
    match types.find(|&ty| !has_data_value(ty)) {
        None => Ok(()),
        Some(ty) => Err(ExecuteError::Signature {
            function: name.clone(),
            reason: format!("the host has no values of type {ty}"),
        }),
    }
}

fn normal_return(function: &Function, call: Inst) -> Option<BlockCall> {
    let table = function.dfg.insts[call].exception_table()?;
    Some(*function.dfg.exception_tables[table].normal_return())
}

fn handler(function: &Function, call: Inst, tag: u32) -> Option<BlockCall> {
    let table = match function.dfg.insts[call] {
        InstructionData::TryCall { exception, .. }
        | InstructionData::TryCallIndirect { exception, .. } => exception,
        _ => return None,
    };
    let mut items = function.dfg.exception_tables[table].items();
    items.find_map(|item| match item {
        ExceptionTableItem::Tag(taken, target) => (taken.as_u32() == tag).then_some(target),
        ExceptionTableItem::Default(target) => Some(target),
        ExceptionTableItem::Context(_) => None,
    })
}
