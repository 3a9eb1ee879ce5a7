//! A front end that numbers alias regions in each function, from zero on.

use crate::support::{call, inlining, isa};
use cranelift_codegen::ir::{
    AbiParam, AliasRegion, AliasRegionData, Function, InstBuilder, MemFlagsData, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};

/// Returns the next region of `func`.
fn region(func: &mut Function, description: &'static str) -> AliasRegion {
    let user_id = u32::try_from(func.dfg.alias_regions.len()).unwrap();
    func.dfg.alias_regions.insert(AliasRegionData {
        user_id,
        description: description.into(),
    })
}

/// Defines `double(cell)`, which doubles the number in a cell, and `entry(cell)`, which reads it
/// before and after, and returns ten times the first and the second.
fn define(module: &mut impl Module) -> FuncId {
    let pointer = AbiParam::new(types::I64);
    let mut double = module.make_signature();
    double.params.push(pointer);
    let mut entry = double.clone();
    entry.returns.push(pointer);
    let double_id = module.declare_function("double", Linkage::Local, &double);
    let double_id = double_id.unwrap();
    let entry_id = module.declare_function("entry", Linkage::Export, &entry);
    let entry_id = entry_id.unwrap();
    for (id, signature) in [(double_id, double), (entry_id, entry)] {
        let mut context = module.make_context();
        context.func.signature = signature;
        let callee = module.declare_func_in_func(double_id, &mut context.func);
        let mut scratch = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
        let block = builder.create_block();
        builder.append_block_params_for_function_params(block);
        builder.switch_to_block(block);
        builder.seal_block(block);
        let cell = builder.block_params(block)[0];
        if id == double_id {
            let cells = region(builder.func, "cells");
            let flags = MemFlagsData::trusted().with_alias_region(Some(cells));
            let value = builder.ins().load(types::I64, flags, cell, 0);
            let sum = builder.ins().iadd(value, value);
            builder.ins().store(flags, sum, cell, 0);
            builder.ins().return_(&[]);
        } else {
            // Here the first region is another.
            region(builder.func, "tables");
            let cells = region(builder.func, "cells");
            let flags = MemFlagsData::trusted().with_alias_region(Some(cells));
            let before = builder.ins().load(types::I64, flags, cell, 0);
            builder.ins().call(callee, &[cell]);
            let after = builder.ins().load(types::I64, flags, cell, 0);
            let ten = builder.ins().iconst(types::I64, 10);
            let product = builder.ins().imul(before, ten);
            let sum = builder.ins().iadd(product, after);
            builder.ins().return_(&[sum]);
        }
        builder.finalize(module.target_config());
        module.define_function(id, &mut context).unwrap();
    }
    entry_id
}

#[test]
fn regions_are_those_of_each_function() {
    let jit = || JITModule::new(JITBuilder::with_isa(isa(false), default_libcall_names()));
    let run = |mut module: JITModule, entry: FuncId| {
        module.finalize_definitions().unwrap();
        let mut cell = 4_i64;
        let address = std::ptr::from_mut(&mut cell) as i64;
        call(module.get_finalized_function(entry), &[address])
    };
    let mut plain = jit();
    let entry = define(&mut plain);
    assert_eq!(run(plain, entry), 48);
    let mut module = inlining(jit());
    let entry = define(&mut module);
    let (module, report) = module.finish().unwrap();
    assert!(report.inlined().sites().all(|site| site.inlined));
    assert_eq!(run(module, entry), 48);
}
