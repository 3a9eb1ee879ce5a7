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
//! calls the shim in place of a function of the host. The shim's number is either inserted by the
//! linker, so that one shim serves for all functions of its signature, or a constant.

use super::values::has_data_value;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{
    AbiParam, ArgumentPurpose, Block, Endianness, ExtFuncData, ExternalName, Function, GlobalValue,
    GlobalValueData, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Type,
    UserFuncName, Value,
};
use cranelift_codegen::isa::TargetIsa;

/// Space for one value, in the byte order of the code's machine; vectors are little-endian.
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

/// The byte order of this machine.
pub(super) const NATIVE: Endianness = match cfg!(target_endian = "big") {
    true => Endianness::Big,
    false => Endianness::Little,
};

/// Returns the slots of a call in the given byte order, with `values`, which are the arguments or
/// the results, filled in, and space for the others.
pub(super) fn fill(values: &[DataValue], signature: &Signature, order: Endianness) -> Vec<Slot> {
    let mut slots = vec![Slot::default(); slot_count(signature)];
    for (slot, value) in slots.iter_mut().zip(values) {
        match order {
            Endianness::Big if !value.is_vector() => value.write_to_slice_be(&mut slot.0),
            Endianness::Big | Endianness::Little => value.write_to_slice_le(&mut slot.0),
        }
    }
    slots
}

/// Returns the values of `params` in `slots`. The types must have passed [`check_signature`].
pub(super) fn read(slots: &[Slot], params: &[AbiParam], order: Endianness) -> Vec<DataValue> {
    let places = slots.iter().zip(params);
    places
        .map(|(slot, param)| match order {
            Endianness::Big if !param.value_type.is_vector() => {
                DataValue::read_from_slice_be(&slot.0, param.value_type)
            }
            Endianness::Big | Endianness::Little => {
                DataValue::read_from_slice_le(&slot.0, param.value_type)
            }
        })
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

/// The source of a shim's number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// The address of the symbol [`NUMBER`].
    Linked,
    #[cfg(feature = "emulation")]
    Constant(u32),
}

/// Returns the shim for functions of the host with `signature`.
pub(super) fn shim(signature: &Signature, isa: &dyn TargetIsa, number: Number) -> Function {
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
    let size = (slot_count(signature) * SLOT_BYTES) as u32;
    let place = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
    let place = function.create_sized_stack_slot(place);

    let mut cursor = FuncCursor::new(&mut function).at_bottom(block);
    let slots = cursor.ins().stack_addr(pointer, place, 0);
    store_all(&mut cursor, &arguments, slots);
    let number = match number {
        Number::Linked => {
            let symbol = number_symbol(cursor.func);
            cursor.ins().symbol_value(pointer, symbol)
        }
        #[cfg(feature = "emulation")]
        Number::Constant(number) => cursor.ins().iconst(pointer, i64::from(number)),
    };
    let frame = cursor.ins().get_frame_pointer(pointer);
    cursor.ins().call(recorder, &[number, slots, frame]);
    let results = load_all(&mut cursor, &signature.returns, slots);
    cursor.ins().return_(&results);
    function
}

fn number_symbol(function: &mut Function) -> GlobalValue {
    function.create_global_value(GlobalValueData::Symbol {
        name: ExternalName::testcase(NUMBER),
        offset: Imm64::new(0),
        colocated: false,
        tls: false,
    })
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
