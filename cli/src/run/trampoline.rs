//! From values to registers and back.
//!
//! Which register or stack place holds a parameter is known only to the compiler, and differs with
//! the calling convention. So each signature gets a small generated function, its *trampoline*,
//! that the host calls by the platform's own convention:
//!
//! ```text
//! trampoline(callee address, pointer to slots)
//!     load each argument from its slot
//!     call the callee with its own signature
//!     store each result to its slot
//! ```
//!
//! A slot has 16 bytes, the size of the largest value; arguments and results count from slot 0.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{
    AbiParam, ArgumentPurpose, Endianness, Function, InstBuilder, MemFlagsData, Signature, Type,
    UserFuncName, types,
};
use cranelift_codegen::isa::TargetIsa;

/// Room for one argument or result, in the host's byte order; vectors always begin with lane 0.
#[derive(Clone, Copy, Default)]
#[repr(C, align(16))]
pub(super) struct Slot(pub(super) [u8; SLOT_BYTES]);

pub(super) const SLOT_BYTES: usize = 16;

/// Says why a function of this signature cannot be called from a directive, if so.
pub(super) fn check_signature(signature: &Signature) -> Result<(), String> {
    for param in signature.params.iter().chain(&signature.returns) {
        if !has_value_form(param.value_type) {
            return Err(format!(
                "a directive cannot write a value of type {}",
                param.value_type
            ));
        }
        if let ArgumentPurpose::StructArgument(_) = param.purpose {
            return Err("a directive cannot write a by-value struct argument".to_owned());
        }
    }
    Ok(())
}

fn has_value_form(ty: Type) -> bool {
    let scalar = [
        types::I8,
        types::I16,
        types::I32,
        types::I64,
        types::I128,
        types::F16,
        types::F32,
        types::F64,
        types::F128,
    ];
    scalar.contains(&ty) || (ty.is_vector() && [2, 4, 8, 16].contains(&ty.bytes()))
}

/// The slots of a call, the arguments filled in, with room for the results.
pub(super) fn fill_slots(arguments: &[DataValue], signature: &Signature) -> Vec<Slot> {
    let count = signature.params.len().max(signature.returns.len());
    let mut slots = vec![Slot::default(); count];
    for (slot, argument) in slots.iter_mut().zip(arguments) {
        argument.write_to_slice_ne(&mut slot.0);
    }
    slots
}

/// The results of a call. The types of `signature` must have passed [`check_signature`].
pub(super) fn read_slots(slots: &[Slot], signature: &Signature) -> Vec<DataValue> {
    slots
        .iter()
        .zip(&signature.returns)
        .map(|(slot, result)| DataValue::read_from_slice_ne(&slot.0, result.value_type))
        .collect()
}

/// Whether a value among `values` has a bit set.
pub(super) fn any_bit_set(values: &[DataValue]) -> bool {
    values.iter().any(|value| {
        let mut slot = Slot::default();
        value.write_to_slice_ne(&mut slot.0);
        slot.0.iter().any(|&byte| byte != 0)
    })
}

/// Generates the trampoline for callees of `signature`.
pub(super) fn build(name: UserFuncName, signature: &Signature, isa: &dyn TargetIsa) -> Function {
    let pointer = isa.pointer_type();
    let mut own = Signature::new(isa.default_call_conv());
    own.params = vec![AbiParam::new(pointer), AbiParam::new(pointer)];
    let mut function = Function::with_name_signature(name, own);

    let block = function.dfg.make_block();
    let callee = function.dfg.append_block_param(block, pointer);
    let slots = function.dfg.append_block_param(block, pointer);
    let signature_ref = function.import_signature(signature.clone());
    let mut cursor = FuncCursor::new(&mut function);
    cursor.insert_block(block);

    let offsets = || (0..).step_by(SLOT_BYTES);
    let mut arguments = Vec::new();
    for (param, offset) in signature.params.iter().zip(offsets()) {
        let ty = param.value_type;
        arguments.push(cursor.ins().load(ty, memory_flags(ty), slots, offset));
    }
    let call = cursor
        .ins()
        .call_indirect(signature_ref, callee, &arguments);
    let results = cursor.func.dfg.inst_results(call).to_vec();
    for (result, offset) in results.into_iter().zip(offsets()) {
        let flags = memory_flags(cursor.func.dfg.value_type(result));
        cursor.ins().store(flags, result, slots, offset);
    }
    cursor.ins().return_(&[]);
    function
}

fn memory_flags(ty: Type) -> MemFlagsData {
    let flags = MemFlagsData::trusted();
    if ty.is_vector() {
        flags.with_endianness(Endianness::Little)
    } else {
        flags
    }
}
