//! Functions that are in no module: entries for the host, wrappers of its functions, and `main`.

use crate::error::{Error, Result};
use crate::parse::{Import, ParsedModule};
use crate::translate::{Declared, EXIT, call_results, clif_type, compiled_signature, limit_stack};
use cranelift_codegen::ir::{
    AbiParam, BlockArg, ExceptionTableData, ExceptionTableItem, Function, InstBuilder,
    MemFlagsData, Signature, UserFuncName, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_inliner_wasm_runtime::{Context, HostFunction, REGISTER_RESULTS, find_host_function};
use cranelift_module::{DataId, FuncId, Linkage, Module};
use std::mem::offset_of;

/// The name of WASI preview 1 in imports.
const WASI: &str = "wasi_snapshot_preview1";

/// Functions of WASI that answer that they are not there, which programs are prepared for.
const MISSING: &[&str] = &[
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "path_create_directory",
    "path_filestat_set_times",
    "path_link",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_raise",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// WASI's error number for that.
const NOT_THERE: i64 = 52;

/// Returns the host function that the wrapper of an imported one calls, if there is one.
pub(crate) fn wrapped(import: &Import<'_>) -> Option<&'static HostFunction> {
    match import.module == WASI {
        true => find_host_function(import.name),
        false => None,
    }
}

/// Returns a function that is called like those of the module, in place of an imported one.
pub(crate) fn wrapper(
    module: &ParsedModule<'_>,
    target: &mut dyn Module,
    declared: &mut Declared,
    number: u32,
) -> Result<(FuncId, Function)> {
    let import = &module.imports[number as usize];
    let not_provided = || Error::Import {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        offset: import.offset,
    };
    if import.module != WASI {
        return Err(not_provided());
    }
    let signature = module.signature(number);
    let id = declared.functions[number as usize];
    let name = UserFuncName::user(0, id.as_u32());
    let mut func = Function::with_name_signature(name, compiled_signature(signature));
    limit_stack(&mut func);
    let config = target.target_config();
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut func, &mut scratch);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    match wrapped(import) {
        Some(host) if host.params == signature.params => {
            let host_id = declared.host_function(target, host)?;
            let host = target.declare_func_in_func(host_id, builder.func);
            let arguments = builder.block_params(block).to_vec();
            let call = builder.ins().call(host, &arguments);
            let result = builder.inst_results(call)[0];
            if import.name == "proc_exit" {
                builder.ins().trap(EXIT);
            } else if signature.results == [cranelift_inliner_wasm_runtime::ValueType::I32] {
                builder.ins().return_(&[result]);
            } else {
                return Err(not_provided());
            }
        }
        None if MISSING.contains(&import.name) && signature.results.len() == 1 => {
            let ty = clif_type(signature.results[0]);
            if ty != types::I32 {
                return Err(not_provided());
            }
            let error = builder.ins().iconst(ty, NOT_THERE);
            builder.ins().return_(&[error]);
        }
        _ => return Err(not_provided()),
    }
    builder.finalize(config);
    Ok((id, func))
}

/// Returns the signature of entries: the context, and where values are passed.
pub(crate) fn entry_signature(target: &dyn Module) -> Signature {
    let mut signature = target.make_signature();
    signature.params = vec![AbiParam::new(types::I64); 2];
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

/// Returns a function by which the host enters function `number`. It tells the context where to go
/// on after a trap: in its handler of exceptions, since a trap leaves as an exception does.
pub(crate) fn entry(
    module: &ParsedModule<'_>,
    target: &mut dyn Module,
    declared: &Declared,
    number: u32,
    id: FuncId,
) -> Function {
    let signature = module.signature(number);
    let name = UserFuncName::user(0, id.as_u32());
    let mut func = Function::with_name_signature(name, entry_signature(target));
    let config = target.target_config();
    let callee = declared.functions[number as usize];
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut func, &mut scratch);
    let callee = target.declare_func_in_func(callee, builder.func);
    let [block, calling, returned, trapped] = [(); 4].map(|()| builder.create_block());
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let params = builder.block_params(block);
    let (context, values) = (params[0], params[1]);
    let flags = MemFlagsData::trusted();

    let handler = builder
        .ins()
        .get_exception_handler_address(types::I64, calling, 0);
    let frame = builder.ins().get_frame_pointer(types::I64);
    let stack = builder.ins().get_stack_pointer(types::I64);
    for (value, offset) in [
        (handler, offset_of!(Context, entry_handler)),
        (frame, offset_of!(Context, entry_frame)),
        (stack, offset_of!(Context, entry_stack)),
    ] {
        builder.ins().store(flags, value, context, offset as i32);
    }
    let mut arguments = vec![context];
    for (index, &ty) in signature.params.iter().enumerate() {
        let value = builder
            .ins()
            .load(clif_type(ty), flags, values, 8 * index as i32);
        arguments.push(value);
    }
    builder.ins().jump(calling, &[]);
    builder.switch_to_block(calling);
    let in_registers = signature.results.len().min(REGISTER_RESULTS);
    let results: Vec<_> = (0..in_registers as u32).map(BlockArg::TryCallRet).collect();
    for &ty in &signature.results[..in_registers] {
        builder.append_block_param(returned, clif_type(ty));
    }
    let normal = builder.func.dfg.block_call(returned, &results);
    let handler = builder.func.dfg.block_call(trapped, &[]);
    let callee_signature = builder.func.dfg.ext_funcs[callee].signature;
    let table = builder
        .func
        .dfg
        .exception_tables
        .push(ExceptionTableData::new(
            callee_signature,
            normal,
            [ExceptionTableItem::Default(handler)],
        ));
    builder.ins().try_call(callee, &arguments, table);

    builder.switch_to_block(returned);
    let in_registers = builder.block_params(returned).to_vec();
    let results = call_results(module, signature, &mut builder, context, &in_registers);
    for (index, value) in results.into_iter().enumerate() {
        builder.ins().store(flags, value, values, 8 * index as i32);
    }
    let one = builder.ins().iconst(types::I32, 1);
    builder.ins().return_(&[one]);
    builder.switch_to_block(trapped);
    let zero = builder.ins().iconst(types::I32, 0);
    builder.ins().return_(&[zero]);
    builder.seal_all_blocks();
    builder.finalize(config);
    func
}

/// Defines `main` of a program, which passes the object file's data to the runtime.
pub(crate) fn define_main(
    target: &mut dyn Module,
    data: [DataId; 5],
    image_len: usize,
) -> Result<()> {
    let mut signature = target.make_signature();
    signature.params = vec![AbiParam::new(types::I64); 6];
    signature.returns = vec![AbiParam::new(types::I32)];
    let run =
        target.declare_function("cranelift_inliner_wasm_main", Linkage::Import, &signature)?;
    signature.params.clear();
    let id = target.declare_function("main", Linkage::Export, &signature)?;
    let mut context = target.make_context();
    context.func = Function::with_name_signature(UserFuncName::user(0, id.as_u32()), signature);
    let config = target.target_config();
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let block = builder.create_block();
    builder.switch_to_block(block);
    builder.seal_block(block);
    let [image, functions, entries, backtraces, backtraces_len] = data.map(|data| {
        let data = target.declare_data_in_func(data, builder.func);
        builder.ins().symbol_value(types::I64, data)
    });
    let len = builder.ins().iconst(types::I64, image_len as i64);
    let run = target.declare_func_in_func(run, builder.func);
    let arguments = [image, len, functions, entries, backtraces, backtraces_len];
    let call = builder.ins().call(run, &arguments);
    let status = builder.inst_results(call)[0];
    builder.ins().return_(&[status]);
    builder.finalize(config);
    target.define_function(id, &mut context)?;
    Ok(())
}
