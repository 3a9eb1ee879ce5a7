//! Conversion between values and registers, for calls from outside and calls of the host.
//!
//! Only the compiler knows the register or stack place of a parameter, which differs with the
//! calling convention. So each signature gets small generated functions, which the compiler adapts
//! to it. Values pass through *slots* of 16 bytes, the size of the largest; arguments and results
//! both start at slot 0.
//!
//! ```text
//! entry(callee address, pointer to slots)         shim(the signature's own parameters)
//!     load each argument from its slot                store each argument to its slot
//!     call the callee with its own signature          call the recorder(number, slots, frame)
//!     store each result to its slot                   load each result from its slot
//! ```
//!
//! The entry is called from outside by the platform's convention, and so is the recorder. A program
//! calls the shim in place of a function of the host. The shim's number is inserted by the linker,
//! so one shim serves for all functions of its signature.

use crate::execute::values::has_data_value;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{
    AbiParam, ArgumentPurpose, Block, Endianness, ExtFuncData, ExternalName, Function,
    GlobalValueData, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Type,
    UserFuncName, Value,
};
use cranelift_codegen::isa::TargetIsa;

/// Space for one value, in the host's byte order; vectors always begin with lane 0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub(super) struct Slot(pub(super) [u8; SLOT_BYTES]);

pub(super) const SLOT_BYTES: usize = 16;

/// The name of the recorder, which shims call.
pub(super) const RECORDER: &str = "recorder";

/// The name of the placeholder for a shim's number.
pub(super) const NUMBER: &str = "number";

/// Checks that a function of `signature` can be called through values.
///
/// # Errors
///
/// A parameter or result that is not a value: a type without a [`DataValue`], or a by-value struct.
pub fn check_signature(signature: &Signature) -> Result<(), String> {
    for param in signature.params.iter().chain(&signature.returns) {
        if !has_data_value(param.value_type) {
            return Err(format!("it has a value of type {}", param.value_type));
        }
        if let ArgumentPurpose::StructArgument(_) = param.purpose {
            return Err("it has a by-value struct argument".to_owned());
        }
    }
    Ok(())
}

/// Returns the number of slots that a call needs.
pub(super) fn slot_count(signature: &Signature) -> usize {
    signature.params.len().max(signature.returns.len())
}

/// Returns the slots of a call, with the arguments filled in, and space for the results.
pub(super) fn fill(arguments: &[DataValue], signature: &Signature) -> Vec<Slot> {
    let mut slots = vec![Slot::default(); slot_count(signature)];
    for (slot, argument) in slots.iter_mut().zip(arguments) {
        argument.write_to_slice_ne(&mut slot.0);
    }
    slots
}

/// Returns the values of `params` in `slots`. The types must have passed [`check_signature`].
pub(super) fn read(slots: &[Slot], params: &[AbiParam]) -> Vec<DataValue> {
    let places = slots.iter().zip(params);
    places
        .map(|(slot, param)| DataValue::read_from_slice_ne(&slot.0, param.value_type))
        .collect()
}

/// Returns the entry for callees of `signature`.
pub(super) fn entry(signature: &Signature, isa: &dyn TargetIsa) -> Function {
    let pointer = isa.pointer_type();
    let mut function = host_function(isa, [pointer, pointer].map(AbiParam::new).to_vec());
    let (block, params) = begin(&mut function);
    let signature_ref = function.import_signature(signature.clone());
    let mut cursor = FuncCursor::new(&mut function).at_bottom(block);
    if let [callee, slots] = params[..] {
        let arguments = load_all(&mut cursor, &signature.params, slots);
        let call = cursor
            .ins()
            .call_indirect(signature_ref, callee, &arguments);
        let results = cursor.func.dfg.inst_results(call).to_vec();
        store_all(&mut cursor, &results, slots);
    }
    cursor.ins().return_(&[]);
    function
}

/// Returns the shim for functions of the host with `signature`.
pub(super) fn shim(signature: &Signature, isa: &dyn TargetIsa) -> Function {
    let pointer = isa.pointer_type();
    let mut function = Function::with_name_signature(UserFuncName::default(), signature.clone());
    let (block, arguments) = begin(&mut function);
    let mut recorder = Signature::new(isa.default_call_conv());
    recorder.params = [pointer; 3].map(AbiParam::new).to_vec();
    let signature_ref = function.import_signature(recorder);
    let recorder = function.import_function(ExtFuncData {
        name: ExternalName::testcase(RECORDER),
        signature: signature_ref,
        colocated: false,
        patchable: false,
    });
    let number = function.create_global_value(GlobalValueData::Symbol {
        name: ExternalName::testcase(NUMBER),
        offset: Imm64::new(0),
        colocated: false,
        tls: false,
    });
    let size = (slot_count(signature) * SLOT_BYTES) as u32;
    let place = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
    let place = function.create_sized_stack_slot(place);

    let mut cursor = FuncCursor::new(&mut function).at_bottom(block);
    let slots = cursor.ins().stack_addr(pointer, place, 0);
    store_all(&mut cursor, &arguments, slots);
    let number = cursor.ins().symbol_value(pointer, number);
    let frame = cursor.ins().get_frame_pointer(pointer);
    cursor.ins().call(recorder, &[number, slots, frame]);
    let results = load_all(&mut cursor, &signature.returns, slots);
    cursor.ins().return_(&results);
    function
}

fn host_function(isa: &dyn TargetIsa, params: Vec<AbiParam>) -> Function {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params = params;
    Function::with_name_signature(UserFuncName::default(), signature)
}

/// Makes the entry block, with a parameter for each of the signature's.
fn begin(function: &mut Function) -> (Block, Vec<Value>) {
    let block = function.dfg.make_block();
    function.layout.append_block(block);
    let types = function.signature.params.iter();
    let types: Vec<Type> = types.map(|param| param.value_type).collect();
    let params = types.into_iter();
    let params = params.map(|ty| function.dfg.append_block_param(block, ty));
    (block, params.collect())
}

fn offsets() -> impl Iterator<Item = i32> {
    (0..).step_by(SLOT_BYTES)
}

fn load_all(cursor: &mut FuncCursor<'_>, params: &[AbiParam], slots: Value) -> Vec<Value> {
    let places = params.iter().zip(offsets());
    places
        .map(|(param, offset)| {
            let ty = param.value_type;
            cursor.ins().load(ty, memory_flags(ty), slots, offset)
        })
        .collect()
}

fn store_all(cursor: &mut FuncCursor<'_>, values: &[Value], slots: Value) {
    for (&value, offset) in values.iter().zip(offsets()) {
        let flags = memory_flags(cursor.func.dfg.value_type(value));
        cursor.ins().store(flags, value, slots, offset);
    }
}

fn memory_flags(ty: Type) -> MemFlagsData {
    let flags = MemFlagsData::trusted();
    if ty.is_vector() {
        flags.with_endianness(Endianness::Little)
    } else {
        flags
    }
}
