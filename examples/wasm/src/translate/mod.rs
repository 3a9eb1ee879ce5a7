//! Bodies of functions: each operator of WebAssembly becomes instructions of CLIF.
//!
//! The operand stack exists only during translation: its entries are values of CLIF. Locals are
//! variables of `cranelift-frontend`, which makes block parameters of them.

mod calls;
mod control;
mod debug;
mod memory;
mod operators;

use crate::error::Result;
use crate::parse::{Body, ParsedModule, Signature, value_type};
pub(crate) use calls::{call_results, further_results};
use control::Frame;
use cranelift_codegen::ir::{
    self, AbiParam, AliasRegionData, ArgumentPurpose, FuncRef, Function, GlobalValueData,
    InstBuilder, MemFlagsData, SourceLoc, TrapCode, UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use cranelift_inliner_wasm_runtime::{
    Context, HostFunction, REGISTER_RESULTS, ValueType, find_host_function,
};
use cranelift_module::{FuncId, Linkage, Module};
use debug::Debug;
pub(crate) use debug::breakpoint;
pub(crate) use operators::host_function;
use rustc_hash::FxHashMap;
use std::mem::offset_of;
use wasmparser::FuncValidatorAllocations;

/// Traps that Cranelift has no code for.
pub(crate) const UNREACHABLE: TrapCode = TrapCode::unwrap_user(1);
pub(crate) const TABLE_OUT_OF_BOUNDS: TrapCode = TrapCode::unwrap_user(2);
pub(crate) const NULL_CALL: TrapCode = TrapCode::unwrap_user(3);
pub(crate) const WRONG_SIGNATURE: TrapCode = TrapCode::unwrap_user(4);
pub(crate) const EXIT: TrapCode = TrapCode::unwrap_user(5);
pub(crate) const STOPPED: TrapCode = TrapCode::unwrap_user(6);

/// The calling convention of compiled functions: it returns any number of values, and a trap has
/// no registers to restore.
pub(crate) const CONVENTION: CallConv = CallConv::Tail;

/// Returns the type of CLIF for a type of WebAssembly.
pub(crate) fn clif_type(ty: ValueType) -> ir::Type {
    match ty {
        ValueType::I32 => types::I32,
        ValueType::I64 => types::I64,
        ValueType::F32 => types::F32,
        ValueType::F64 => types::F64,
    }
}

/// Returns the signature of a compiled function, which has the context before its parameters.
pub(crate) fn compiled_signature(signature: &Signature) -> ir::Signature {
    let param = |&ty: &ValueType| AbiParam::new(clif_type(ty));
    let mut compiled = ir::Signature::new(CONVENTION);
    compiled.params = vec![AbiParam::special(types::I64, ArgumentPurpose::VMContext)];
    compiled.params.extend(signature.params.iter().map(param));
    let in_registers = signature.results.iter().take(REGISTER_RESULTS);
    compiled.returns = in_registers.map(param).collect();
    compiled
}

/// The ids of functions in the module that is compiled into.
#[derive(Default)]
pub(crate) struct Declared {
    /// Those of the WebAssembly module, by number; wrappers for imported ones.
    pub(crate) functions: Vec<FuncId>,
    host: FxHashMap<&'static str, FuncId>,
    /// The function that stops for a debugger, if code is to be debugged.
    pub(crate) breakpoint: Option<FuncId>,
}

impl Declared {
    /// Returns all functions in which a trap may be: those of the module, and then the one that
    /// stops for a debugger.
    pub(crate) fn with_code(&self) -> impl Iterator<Item = FuncId> + '_ {
        self.functions.iter().copied().chain(self.breakpoint)
    }

    /// Returns the id of a function of the host.
    pub(crate) fn host_function(
        &mut self,
        target: &mut dyn Module,
        function: &'static HostFunction,
    ) -> Result<FuncId> {
        if let Some(&id) = self.host.get(function.name) {
            return Ok(id);
        }
        let mut signature = target.make_signature();
        signature.params = vec![AbiParam::new(types::I64)];
        let params = function.params.iter();
        signature
            .params
            .extend(params.map(|&ty| AbiParam::new(clif_type(ty))));
        signature.returns = vec![AbiParam::new(types::I32)];
        let id = target.declare_function(function.symbol, Linkage::Import, &signature)?;
        self.host.insert(function.name, id);
        Ok(id)
    }
}

/// The memory of an access; accesses to different ones never overlap.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Region {
    Memory,
    Table,
    /// The context without its globals, and with results of calls.
    Context,
    Globals,
    /// The slots of debugged functions.
    State,
}

impl Region {
    /// Returns the flags of an access. Regions have the same numbers in all functions.
    fn flags(self, func: &mut Function) -> MemFlagsData {
        let region = func.dfg.alias_regions.insert(AliasRegionData {
            user_id: self as u32,
            description: match self {
                Self::Memory => "memory",
                Self::Table => "table",
                Self::Context => "context",
                Self::Globals => "globals",
                Self::State => "state",
            }
            .into(),
        });
        let flags = match self {
            Self::Memory => MemFlagsData::new().with_endianness(ir::Endianness::Little),
            _ => MemFlagsData::trusted(),
        };
        flags.with_alias_region(Some(region))
    }
}

/// Makes a function check the stack where it begins.
pub(crate) fn limit_stack(func: &mut Function) {
    let base = func.create_global_value(GlobalValueData::VMContext);
    let flags = Region::Context.flags(func);
    let flags = func.dfg.mem_flags.insert_unchecked(flags);
    let limit = func.create_global_value(GlobalValueData::Load {
        base,
        offset: (offset_of!(Context, stack_limit) as i32).into(),
        global_type: types::I64,
        flags,
    });
    func.stack_limit = Some(limit);
}

/// Translates bodies, and keeps its tables from one to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
}

/// Translates a body.
pub(crate) fn translate_body(
    module: &ParsedModule<'_>,
    target: &mut dyn Module,
    declared: &mut Declared,
    (validator, body): &Body<'_>,
    scratch: &mut Scratch,
) -> Result<(FuncId, Function)> {
    let number = validator.index;
    let id = declared.functions[number as usize];
    let signature = module.signature(number);
    let mut func = Function::with_name_signature(
        UserFuncName::user(0, id.as_u32()),
        compiled_signature(signature),
    );
    if declared.breakpoint.is_none() {
        limit_stack(&mut func);
    }

    let mut validator = copy(validator).into_validator(std::mem::take(&mut scratch.validator));
    let mut reader = body.get_binary_reader();
    let config = target.target_config();
    let mut builder = FunctionBuilder::new(&mut func, &mut scratch.builder);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let params = builder.block_params(entry).to_vec();
    let mut translator = Translator {
        module,
        target,
        declared,
        builder,
        context: params[0],
        signature,
        references: FxHashMap::default(),
        locals: Vec::new(),
        stack: Vec::new(),
        frames: Vec::new(),
        reachable: true,
        debug: None,
    };
    for (&ty, &value) in signature.params.iter().zip(&params[1..]) {
        translator.add_local(clif_type(ty), value);
    }
    for _ in 0..reader.read_var_u32()? {
        let offset = reader.original_position();
        let count = reader.read_var_u32()?;
        let ty = reader.read()?;
        validator.define_locals(offset, count, ty)?;
        let ty = clif_type(value_type(ty, offset)?);
        let zero = translator.zero(ty);
        for _ in 0..count {
            translator.add_local(ty, zero);
        }
    }
    translator.begin_debug(number);
    translator.begin_function(&signature.results);
    let mut operators = wasmparser::OperatorsReader::new(reader);
    while !operators.eof() {
        let offset = operators.original_position();
        let operator = operators.read()?;
        validator.op(offset, &operator)?;
        translator.builder.set_srcloc(SourceLoc::new(offset as u32));
        translator.stop_before(&operator, offset);
        translator.operator(&operator, offset)?;
    }
    operators.finish()?;
    translator.end_debug();
    let mut builder = translator.builder;
    builder.seal_all_blocks();
    builder.finalize(config);
    scratch.validator = validator.into_allocations();
    Ok((id, func))
}

/// Copies a validator, since a body may be translated more than once and uses one up.
fn copy(
    validator: &wasmparser::FuncToValidate<wasmparser::ValidatorResources>,
) -> wasmparser::FuncToValidate<wasmparser::ValidatorResources> {
    wasmparser::FuncToValidate {
        resources: validator.resources.clone(),
        index: validator.index,
        ty: validator.ty,
        features: validator.features,
    }
}

struct Translator<'a, 'w, 'f> {
    module: &'a ParsedModule<'w>,
    target: &'a mut dyn Module,
    declared: &'a mut Declared,
    builder: FunctionBuilder<'f>,
    context: Value,
    signature: &'a Signature,
    references: FxHashMap<FuncId, FuncRef>,
    locals: Vec<Variable>,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    /// Whether the current operator is reached. If not, there is no current block.
    reachable: bool,
    /// `None` for code that is not debugged.
    debug: Option<Debug>,
}

impl Translator<'_, '_, '_> {
    fn add_local(&mut self, ty: ir::Type, value: Value) {
        let local = self.builder.declare_var(ty);
        self.builder.def_var(local, value);
        self.locals.push(local);
    }

    fn zero(&mut self, ty: ir::Type) -> Value {
        match ty {
            types::F32 => self.builder.ins().f32const(0.0),
            types::F64 => self.builder.ins().f64const(0.0),
            _ => self.builder.ins().iconst(ty, 0),
        }
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Pops a value. The validator has checked the height of the stack.
    fn pop(&mut self) -> Value {
        self.stack.pop().expect("the module is valid")
    }

    fn pop_many(&mut self, count: usize) -> Vec<Value> {
        self.stack.split_off(self.stack.len() - count)
    }

    fn reference(&mut self, id: FuncId) -> FuncRef {
        let (target, func) = (&mut *self.target, &mut *self.builder.func);
        *self
            .references
            .entry(id)
            .or_insert_with(|| target.declare_func_in_func(id, func))
    }

    /// Calls a function of the host by name.
    fn call_host(&mut self, name: &str, arguments: &[Value]) -> Result<Value> {
        let function = find_host_function(name).expect("instructions have functions");
        let id = self.declared.host_function(self.target, function)?;
        let reference = self.reference(id);
        let mut all = vec![self.context];
        all.extend(arguments);
        let call = self.builder.ins().call(reference, &all);
        self.tag(call);
        Ok(self.builder.inst_results(call)[0])
    }

    fn flags(&mut self, region: Region) -> MemFlagsData {
        region.flags(self.builder.func)
    }
}
