//! Functions between a program and the host in C: values pass through memory of 16 bytes each.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, Function, InstBuilder, MemFlagsData, Signature,
    StackSlotData, StackSlotKind, TrapCode, Type, UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

const VALUE_BYTES: i32 = 16;

/// Returns the function `%entryN`, which calls `callee` with values from memory.
pub(crate) fn entry(number: usize, callee: &FunctionName, signature: &Signature) -> Function {
    let mut own = Signature::new(CallConv::SystemV);
    own.params.push(AbiParam::new(types::I64));
    let name = UserFuncName::testcase(format!("entry{number}"));
    let mut function = Function::with_name_signature(name, own);
    let (mut cursor, params) = begin(&mut function);
    let callee = import(cursor.func, callee, signature);
    let arguments = load_all(&mut cursor, &signature.params, params[0]);
    cursor.ins().call(callee, &arguments);
    cursor.ins().return_(&[]);
    function
}

/// Returns the function `name` of the host, which gets its results from the host in C. `%throw`
/// ends the run.
pub(crate) fn host(number: usize, name: &FunctionName, signature: &Signature) -> Function {
    let own = name.as_user_func_name().clone();
    let mut function = Function::with_name_signature(own, signature.clone());
    let bytes = signature.returns.len().max(1) as u32 * VALUE_BYTES as u32;
    let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
    let slot = function.create_sized_stack_slot(slot);
    let (mut cursor, _) = begin(&mut function);
    if name.to_string() == "%throw" {
        cursor.ins().trap(TrapCode::unwrap_user(1));
        return function;
    }
    let mut probe = Signature::new(CallConv::SystemV);
    probe.params = vec![AbiParam::new(types::I64); 3];
    let probe = import(cursor.func, &FunctionName::testcase("probe"), &probe);
    let number = cursor.ins().iconst(types::I64, number as i64);
    let address = cursor.ins().stack_addr(types::I64, slot, 0);
    let count = cursor
        .ins()
        .iconst(types::I64, signature.returns.len() as i64);
    cursor.ins().call(probe, &[number, address, count]);
    let results = load_all(&mut cursor, &signature.returns, address);
    cursor.ins().return_(&results);
    function
}

fn begin(function: &mut Function) -> (FuncCursor<'_>, Vec<Value>) {
    let block = function.dfg.make_block();
    function.layout.append_block(block);
    let types: Vec<Type> = function
        .signature
        .params
        .iter()
        .map(|param| param.value_type)
        .collect();
    let params = types
        .into_iter()
        .map(|ty| function.dfg.append_block_param(block, ty))
        .collect();
    (FuncCursor::new(function).at_bottom(block), params)
}

fn import(
    function: &mut Function,
    name: &FunctionName,
    signature: &Signature,
) -> cranelift_codegen::ir::FuncRef {
    let signature = function.import_signature(signature.clone());
    let name = match name.as_user_func_name() {
        UserFuncName::User(user) => {
            ExternalName::user(function.declare_imported_user_function(user.clone()))
        }
        UserFuncName::Testcase(_) => {
            let name = name.to_string();
            ExternalName::testcase(name.trim_start_matches('%'))
        }
    };
    function.import_function(ExtFuncData {
        name,
        signature,
        colocated: false,
        patchable: false,
    })
}

fn load_all(cursor: &mut FuncCursor<'_>, params: &[AbiParam], from: Value) -> Vec<Value> {
    let params = (0..).zip(params);
    params
        .map(|(index, param)| {
            let flags = MemFlagsData::trusted();
            cursor
                .ins()
                .load(param.value_type, flags, from, index * VALUE_BYTES)
        })
        .collect()
}
