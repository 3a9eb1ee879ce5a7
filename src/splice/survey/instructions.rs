//! The role of each instruction in a splice, and whether it can be copied at all.

use super::Survey;
use crate::body::has_signature;
use crate::splice::tables::{InstClass, InstPlan, Results};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{
    self, ArgumentPurpose, ExceptionTableItem, GlobalValueData, Inst, InstructionData, Opcode,
    Type, Value, types,
};

impl Survey<'_> {
    /// Surveys `inst`, whose data is `original`.
    pub(super) fn survey_inst(
        &mut self,
        inst: Inst,
        original: &InstructionData,
    ) -> Result<(), String> {
        let opcode = original.opcode();
        if opcode.format() != InstructionFormat::from(original) {
            return Err(format!("{inst} has an opcode of another format"));
        }
        // Visits all references of the instruction.
        let data = original.map(&mut *self);
        if let Some(error) = &self.error {
            return Err(format!("{inst}: {error}"));
        }
        let (ctrl_type, results) = self.survey_results(inst, opcode)?;
        let class = self.classify(inst, original, opcode)?;
        if class != InstClass::Plain {
            self.survey_metadata(inst, opcode, class)?;
        }
        if !matches!(class, InstClass::Return | InstClass::VmctxGlobal) {
            self.tables.facts.certain_insts += 1;
        }
        self.add_inst(InstPlan {
            inst,
            data,
            ctrl_type,
            class,
            results,
        });
        Ok(())
    }

    /// Returns the controlling type and the results, each of the type that its opcode gives it.
    fn survey_results(&mut self, inst: Inst, opcode: Opcode) -> Result<(Type, Results), String> {
        let dfg = &self.func.dfg;
        let results = dfg.inst_results(inst);
        if let Some(&result) = results.iter().find(|&&result| !dfg.value_is_valid(result)) {
            return Err(format!("{inst} has the invalid result {result}"));
        }
        for &result in results {
            self.define(result)?;
        }
        self.tables.facts.values_added += results.len();
        let (plan, result_type) = match *results {
            [] => (Results::None, types::INVALID),
            [result] => (Results::One(result), dfg.value_type(result)),
            _ => (Results::Several, types::INVALID),
        };
        let has_signature = has_signature(opcode);
        if has_signature || matches!(plan, Results::Several) {
            // The results of a call are its signature's.
            let ctrl_type = match has_signature {
                true => types::INVALID,
                false => ctrl_type(self.func, inst)?,
            };
            check_result_types(self.func, inst, ctrl_type)?;
            return Ok((ctrl_type, plan));
        }
        let ctrl_type = likely_ctrl_type(self.func, inst, opcode, result_type);
        if !self.known_types.contains(opcode, ctrl_type, result_type) {
            self.learn_types(inst, opcode, ctrl_type, result_type)?;
        }
        Ok((ctrl_type, plan))
    }

    /// Checks types of at most one result that are not in the cache.
    #[cold]
    pub(super) fn learn_types(
        &mut self,
        inst: Inst,
        opcode: Opcode,
        ctrl_type: Type,
        result_type: Type,
    ) -> Result<(), String> {
        check_result_types(self.func, inst, self::ctrl_type(self.func, inst)?)?;
        self.known_types.add(opcode, ctrl_type, result_type);
        Ok(())
    }

    /// Returns the type of `value`, or of the value behind the alias.
    fn type_of(&self, value: Value) -> Option<Type> {
        let resolved = self.tables.resolved.get(value.index())?;
        Some(self.func.dfg.value_type(*resolved))
    }

    /// Notes that `value` is defined, and not a second time or as an alias.
    pub(super) fn define(&mut self, value: Value) -> Result<(), String> {
        if self.define_first(value) {
            Ok(())
        } else {
            Err(format!("{value} is defined twice"))
        }
    }

    /// Returns whether `value` is not an alias and was not defined before, and marks it as defined.
    #[inline]
    pub(super) fn define_first(&mut self, value: Value) -> bool {
        let dfg = &self.func.dfg;
        match self.tables.resolved.get_mut(value.index()) {
            Some(resolved)
                if resolved.is_reserved_value()
                    && dfg.value_alias_dest_for_serialization(value).is_none() =>
            {
                *resolved = value;
                true
            }
            _ => false,
        }
    }

    fn classify(
        &mut self,
        inst: Inst,
        data: &InstructionData,
        opcode: Opcode,
    ) -> Result<InstClass, String> {
        let func = self.func;
        Ok(match *data {
            InstructionData::MultiAry { args, .. } if opcode == Opcode::Return => {
                let returned = args.as_slice(&func.dfg.value_lists);
                let expected = &func.signature.returns;
                let matches = returned.len() == expected.len()
                    && returned
                        .iter()
                        .zip(expected)
                        .all(|(&v, r)| self.type_of(v) == Some(r.value_type));
                if !matches {
                    return Err(format!("{inst} does not return the types of the signature"));
                }
                self.tables.facts.returns += 1;
                InstClass::Return
            }
            InstructionData::Call { func_ref, .. } => {
                let signature = func.dfg.ext_funcs[func_ref].signature;
                self.tables.facts.has_patchable_call |= func.dfg.ext_funcs[func_ref].patchable;
                self.classify_call(inst, opcode, signature)?
            }
            InstructionData::CallIndirect { sig_ref, .. } => {
                self.classify_call(inst, opcode, sig_ref)?
            }
            InstructionData::TryCall { exception, .. }
            | InstructionData::TryCallIndirect { exception, .. } => {
                let table = &func.dfg.exception_tables[exception];
                let mut catches_all = false;
                let mut has_context = false;
                for item in table.items() {
                    match item {
                        ExceptionTableItem::Context(_) => has_context = true,
                        ExceptionTableItem::Default(_) => catches_all = true,
                        ExceptionTableItem::Tag(..) => {}
                    }
                }
                // The caller's handlers never follow a default.
                if !catches_all {
                    self.tables.facts.has_exception_context |= has_context;
                    self.note_inner_call(table.signature());
                }
                self.tables.has_inner_calls = true;
                InstClass::TryCall
            }
            InstructionData::UnaryGlobalValue { global_value, .. }
                if self.tables.from_vmctx[global_value.index()] =>
            {
                self.check_vmctx_global(inst, global_value)?;
                InstClass::VmctxGlobal
            }
            InstructionData::ExceptionHandlerAddress { .. } => InstClass::HandlerAddress,
            _ => match opcode {
                Opcode::SequencePoint => InstClass::SequencePoint,
                Opcode::StackSwitch => {
                    self.tables.facts.switches_stacks = true;
                    InstClass::StackSwitch
                }
                Opcode::GetFramePointer | Opcode::GetStackPointer | Opcode::GetReturnAddress => {
                    if !self.tables.facts.introspection.contains(&opcode) {
                        self.tables.facts.introspection.push(opcode);
                    }
                    InstClass::Plain
                }
                _ => InstClass::Plain,
            },
        })
    }

    fn classify_call(
        &mut self,
        inst: Inst,
        opcode: Opcode,
        signature: ir::SigRef,
    ) -> Result<InstClass, String> {
        self.note_inner_call(signature);
        self.tables.has_inner_calls = true;
        if !opcode.is_return() {
            return Ok(InstClass::Call);
        }
        let signatures = &self.func.dfg.signatures;
        let types = |sig: &ir::Signature| -> Vec<Type> {
            sig.returns.iter().map(|r| r.value_type).collect()
        };
        if types(&signatures[signature]) != types(&self.func.signature) {
            return Err(format!("{inst} does not return the types of the signature"));
        }
        self.tables.facts.returns += 1;
        self.tables.facts.values_added += signatures[signature].returns.len();
        Ok(InstClass::ReturnCall)
    }

    /// Checks the types of a global value from the `vmctx`. It may have to be expanded to
    /// instructions, so these must exist for its types.
    fn check_vmctx_global(&mut self, inst: Inst, global: ir::GlobalValue) -> Result<(), String> {
        let func = self.func;
        let mut current = global;
        let mut expected = None;
        loop {
            let (ty, base) = match func.global_values[current] {
                GlobalValueData::Load {
                    base, global_type, ..
                } => (global_type, Some(base)),
                GlobalValueData::IAddImm {
                    base, global_type, ..
                } => (global_type, Some(base)),
                _ => {
                    let index = func
                        .signature
                        .special_param_index(ArgumentPurpose::VMContext);
                    let param = index.and_then(|index| func.signature.params.get(index));
                    (param.map_or(types::INVALID, |param| param.value_type), None)
                }
            };
            let is_sum = matches!(func.global_values[current], GlobalValueData::IAddImm { .. });
            if (is_sum && !(ty.is_int() && ty.bits() <= 64))
                || expected.is_some_and(|expected| expected != ty)
            {
                return Err(format!("{current} has the impossible type {ty}"));
            }
            if current == global && func.dfg.value_type(func.dfg.first_result(inst)) != ty {
                return Err(format!("{inst} has another type than {global}"));
            }
            let Some(base) = base else {
                return Ok(());
            };
            // A sum takes a constant as well.
            self.tables.facts.vmctx_insts_added += if is_sum { 2 } else { 1 };
            expected = is_sum.then_some(ty);
            current = base;
        }
    }

    fn note_inner_call(&mut self, signature: ir::SigRef) {
        let call_conv = self.func.dfg.signatures[signature].call_conv;
        if !self.tables.facts.inner_call_convs.contains(&call_conv) {
            self.tables.facts.inner_call_convs.push(call_conv);
        }
    }

    fn survey_metadata(
        &mut self,
        inst: Inst,
        opcode: Opcode,
        class: InstClass,
    ) -> Result<(), String> {
        let func = self.func;
        if opcode.is_call() || class == InstClass::SequencePoint {
            for tag in func.debug_tags.get(inst) {
                if let ir::DebugTag::StackSlot(slot) = *tag {
                    self.slot(slot);
                }
            }
        }
        if opcode.is_safepoint() {
            for entry in func.dfg.user_stack_map_entries(inst).unwrap_or_default() {
                self.slot(entry.slot);
            }
        }
        match self.error.take() {
            Some(error) => Err(format!("{inst}: {error}")),
            None => Ok(()),
        }
    }
}

/// Checks whether the results have the types that the opcode gives them.
fn check_result_types(func: &ir::Function, inst: Inst, ctrl_type: Type) -> Result<(), String> {
    let dfg = &func.dfg;
    let results = dfg.inst_results(inst);
    let types = dfg.inst_result_types(inst, ctrl_type);
    if results.len() != types.len() {
        return Err(format!(
            "{inst} has another number of results than its opcode"
        ));
    }
    let mut pairs = results.iter().zip(types);
    match pairs.find(|&(&result, ty)| dfg.value_type(result) != ty) {
        Some((result, ty)) => Err(format!("{inst} has the result {result}, which is not {ty}")),
        None => Ok(()),
    }
}

/// Returns the controlling type of `inst`, which has at most one result, if that has the right
/// type.
#[inline]
pub(super) fn likely_ctrl_type(
    func: &ir::Function,
    inst: Inst,
    opcode: Opcode,
    result_type: Type,
) -> Type {
    let constraints = opcode.constraints();
    if !constraints.is_polymorphic() {
        types::INVALID
    } else if constraints.requires_typevar_operand() {
        func.dfg.ctrl_typevar(inst)
    } else {
        result_type
    }
}

fn ctrl_type(func: &ir::Function, inst: Inst) -> Result<Type, String> {
    let dfg = &func.dfg;
    let constraints = dfg.insts[inst].opcode().constraints();
    let Some(allowed) = constraints.ctrl_typeset() else {
        return Ok(types::INVALID);
    };
    if !constraints.requires_typevar_operand() && !dfg.has_results(inst) {
        return Err(format!("{inst} has no result"));
    }
    let ctrl_type = dfg.ctrl_typevar(inst);
    if !allowed.contains(ctrl_type) {
        return Err(format!("{inst} has the impossible type {ctrl_type}"));
    }
    Ok(ctrl_type)
}
