//! Facts about a call that were recorded when its bodies were at hand, for decisions without them.

use super::argument::{Argument, SlotArgument};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AbiParam, Block, ExtFuncData, ExternalName, Function, Inst, InstBuilder, Opcode, Signature,
    Value,
};
use cranelift_codegen::isa::CallConv;
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};

/// The facts that a policy asks for about one call.
#[derive(Debug, Default)]
#[cfg_attr(
    not(feature = "shards"),
    allow(dead_code, reason = "only shards decide without bodies")
)]
pub(crate) struct RecordedSite {
    pub(crate) arguments: SmallVec<[Argument; 8]>,
    pub(crate) slots: SmallVec<[Option<SlotArgument>; 8]>,
    pub(crate) result_branches: SmallVec<[u32; 4]>,
    pub(crate) loop_depth: u32,
    pub(crate) in_cold_block: bool,
    pub(crate) in_first_block: bool,
    /// A function with the callee's signature.
    pub(crate) callee: Option<Arc<Function>>,
    pub(crate) opcode: Option<Opcode>,
    /// Made for the first policy that reads bodies.
    pub(crate) skeleton: OnceLock<Skeleton>,
}

/// A function with the call and nothing else.
#[derive(Debug)]
pub(crate) struct Skeleton {
    pub(super) caller: Function,
    pub(super) call: Inst,
    pub(super) block: Block,
}

impl RecordedSite {
    /// Returns a function with nothing but this call, for policies that read bodies. It has the
    /// name and the signature of `caller`.
    pub(super) fn skeleton(&self, caller: &Function) -> &Skeleton {
        self.skeleton.get_or_init(|| {
            let (name, own) = (caller.name.clone(), caller.signature.clone());
            let mut func = Function::with_name_signature(name, own);
            let block = func.dfg.make_block();
            let unknown = || Signature::new(CallConv::Fast);
            let signature = self.callee.as_ref().map(|callee| callee.signature.clone());
            let signature = signature.unwrap_or_else(unknown);
            let args: Vec<Value> = signature
                .params
                .iter()
                .map(|param: &AbiParam| func.dfg.append_block_param(block, param.value_type))
                .collect();
            let signature = func.import_signature(signature);
            let callee = func.import_function(ExtFuncData {
                name: ExternalName::testcase("callee"),
                signature,
                colocated: false,
                patchable: false,
            });
            let mut cursor = FuncCursor::new(&mut func);
            cursor.insert_block(block);
            let call = match self.opcode {
                Some(Opcode::ReturnCall) => cursor.ins().return_call(callee, &args),
                _ => cursor.ins().call(callee, &args),
            };
            Skeleton {
                caller: func,
                call,
                block,
            }
        })
    }
}
