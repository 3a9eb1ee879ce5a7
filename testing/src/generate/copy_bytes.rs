//! The function of generated programs that copies bytes.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, Type, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

/// Its name.
pub(super) const COPY_BYTES: &str = "copy_bytes";

/// Returns its signature: destination, source, number of bytes; it returns the destination.
pub(super) fn copy_bytes_signature() -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params = [types::I64; 3].map(AbiParam::new).to_vec();
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}

/// Returns the function, which copies one byte after the other.
pub(super) fn copy_bytes() -> Function {
    let name = FunctionName::testcase(COPY_BYTES).into();
    let mut func = Function::with_name_signature(name, copy_bytes_signature());
    let [entry, header, body, exit] = [(); 4].map(|()| func.dfg.make_block());
    let mut params = |block, count| -> Vec<Value> {
        let ty: Type = types::I64;
        (0..count)
            .map(|_| func.dfg.append_block_param(block, ty))
            .collect()
    };
    let given = params(entry, 3);
    let done = params(header, 1);
    for block in [entry, header, body, exit] {
        func.layout.append_block(block);
    }
    let (&[to, from, bytes], &[done]) = (&given[..], &done[..]) else {
        return func;
    };
    let mut cursor = FuncCursor::new(&mut func).at_bottom(entry);
    let zero = cursor.ins().iconst(types::I64, 0);
    cursor.ins().jump(header, &[zero.into()]);
    cursor.goto_bottom(header);
    let left = cursor.ins().isub(bytes, done);
    cursor.ins().brif(left, body, &[], exit, &[]);
    cursor.goto_bottom(body);
    let flags = MemFlagsData::new().with_notrap();
    let from = cursor.ins().iadd(from, done);
    let byte = cursor.ins().load(types::I8, flags, from, 0);
    let at = cursor.ins().iadd(to, done);
    cursor.ins().store(flags, byte, at, 0);
    let one = cursor.ins().iconst(types::I64, 1);
    let done = cursor.ins().iadd(done, one);
    cursor.ins().jump(header, &[done.into()]);
    cursor.goto_bottom(exit);
    cursor.ins().return_(&[to]);
    func
}
