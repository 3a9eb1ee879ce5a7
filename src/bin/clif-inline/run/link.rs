//! Compiles what the directives reach and links it in memory.
//!
//! Functions are compiled in waves: first those that directives call, then those that their code
//! refers to, as its relocations tell. Only then is anything linked, and only functions of which
//! everything they reach could be compiled or found in this process. What stands in the way of the
//! others is kept as an [`Obstacle`] for their directives.
//!
//! The linker (cranelift-jit) knows numbers, not names, so every function and every external name
//! gets a number, which is at once its `FuncId` there.

use std::collections::{HashMap, HashSet, VecDeque};

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{
    self, ExternalName, Function, GlobalValueData, Opcode, Signature, UserExternalName,
    UserFuncName,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{Context, FinalizedMachExceptionHandler};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{
    FuncId, Linkage, Module, ModuleReloc, ModuleRelocTarget, default_libcall_names,
};
use rayon::prelude::*;

use super::host::Host;
use super::host_functions::{self, CallSite, Catching};
use super::native::LoadedCode;
use super::{caught, trampoline};

/// Why a directive is not called.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// Something is wrong with the function: its directives fail.
    Fails(String),
    /// The function needs what cannot be had here.
    PassOver(String),
}

/// Linked code and the ways into it.
pub(super) struct Program {
    pub(super) code: LoadedCode,
    obstacles: HashMap<u32, Obstacle>,
    trampolines: HashMap<Signature, u32>,
}

/// A function's machine code, not yet at its place.
struct Compiled {
    code: Vec<u8>,
    alignment: u64,
    relocations: Vec<ModuleReloc>,
    call_sites: Vec<CallSite>,
}

impl Program {
    /// Compiles and links the `wanted` functions, given by their place among `functions` with
    /// their signatures, and what they reach.
    pub(super) fn link(
        host: &Host,
        functions: &[&Function],
        wanted: impl Iterator<Item = (u32, Signature)>,
    ) -> Result<Self, String> {
        let isa = &*host.isa;
        let mut numbers = Numbers::new(functions);
        let mut first = Vec::new();
        let mut trampolines = HashMap::new();
        let mut generated = HashMap::new();
        for (function, signature) in wanted {
            first.push(function);
            if !trampolines.contains_key(&signature) {
                let name = format!("trampoline {}", trampolines.len());
                let number = numbers.of(&UserFuncName::testcase(name));
                let name = UserFuncName::user(0, number);
                generated.insert(number, trampoline::build(name, &signature, isa));
                trampolines.insert(signature, number);
                first.push(number);
            }
        }

        let mut compiled: HashMap<u32, Compiled> = HashMap::new();
        let mut obstacles: HashMap<u32, Obstacle> = HashMap::new();
        let mut externals: HashMap<u32, *const u8> = HashMap::new();
        let mut seen: HashSet<u32> = HashSet::new();
        let mut wave = first;
        while !wave.is_empty() {
            wave.retain(|number| seen.insert(*number));
            let mut bodies = Vec::new();
            for number in std::mem::take(&mut wave) {
                if let Some(body) = functions.get(number as usize) {
                    bodies.push((number, numbers.rename(body)));
                } else if let Some(body) = generated.remove(&number) {
                    bodies.push((number, body));
                } else if let Some(address) = host_functions::address(numbers.symbol(number)) {
                    externals.insert(number, address);
                } else {
                    let name = numbers.display(number);
                    let reason = format!("no function {name} in the program or on the host");
                    obstacles.insert(number, Obstacle::PassOver(reason));
                }
            }
            let done: Vec<_> = bodies
                .into_par_iter()
                .map(|(number, body)| (number, compile(number, body, isa)))
                .collect();
            for (number, outcome) in done {
                match outcome {
                    Ok(body) => {
                        wave.extend(body.relocations.iter().filter_map(referenced));
                        compiled.insert(number, body);
                    }
                    Err(obstacle) => {
                        let name = numbers.display(number);
                        obstacles.insert(number, obstacle.of(&name));
                    }
                }
            }
        }
        spread(&compiled, &mut obstacles);
        compiled.retain(|number, _| !obstacles.contains_key(number));

        Ok(Self {
            code: load(host, &numbers, compiled, &externals)?,
            obstacles,
            trampolines,
        })
    }

    /// The trampoline and the callee by which `function`, of this `signature`, is called.
    pub(super) fn entry(
        &self,
        function: u32,
        signature: &Signature,
    ) -> Result<(FuncId, FuncId), Obstacle> {
        let trampoline = *self.trampolines.get(signature).ok_or_else(|| {
            Obstacle::Fails(format!("no trampoline for the signature {signature}"))
        })?;
        for needed in [function, trampoline] {
            if let Some(obstacle) = self.obstacles.get(&needed) {
                return Err(obstacle.clone());
            }
        }
        Ok((FuncId::from_u32(trampoline), FuncId::from_u32(function)))
    }
}

impl Obstacle {
    fn of(self, name: &str) -> Self {
        match self {
            Self::Fails(message) => Self::Fails(format!("{name} {message}")),
            Self::PassOver(reason) => Self::PassOver(format!("{name} {reason}")),
        }
    }
}

/// The numbering of functions and external names: the program's functions first, in their order.
struct Numbers {
    of: HashMap<UserFuncName, u32>,
    names: Vec<UserFuncName>,
}

impl Numbers {
    fn new(functions: &[&Function]) -> Self {
        let names: Vec<_> = functions.iter().map(|f| f.name.clone()).collect();
        let of = names.iter().cloned().zip(0..).collect();
        Self { of, names }
    }

    fn of(&mut self, name: &UserFuncName) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.of.entry(name.clone()).or_insert_with(|| {
            self.names.push(name.clone());
            next
        })
    }

    fn display(&self, number: u32) -> String {
        let name = self.names.get(number as usize);
        name.map_or_else(|| format!("u0:{number}"), ToString::to_string)
    }

    /// The name that a system linker would know a number by; numbered names have none.
    fn symbol(&self, number: u32) -> &str {
        match self.names.get(number as usize) {
            Some(UserFuncName::Testcase(name)) => std::str::from_utf8(name.raw()).unwrap_or(""),
            Some(UserFuncName::User(_)) | None => "",
        }
    }

    /// A copy of `function` in which every name that the linker is to resolve is a number. A
    /// reference that leaves the program is no longer taken to be near.
    fn rename(&mut self, function: &Function) -> Function {
        let mut copy = function.clone();
        copy.name = UserFuncName::user(0, self.of(&function.name));
        for (reference, data) in &function.dfg.ext_funcs {
            let (name, near) = self.rename_external(function, &data.name, &mut copy);
            if let Some(external) = copy.dfg.ext_funcs.get_mut(reference) {
                external.name = name;
                external.colocated &= near;
            }
        }
        for (global, data) in &function.global_values {
            let GlobalValueData::Symbol { name, .. } = data else {
                continue;
            };
            let (number, near) = self.rename_external(function, name, &mut copy);
            if let Some(GlobalValueData::Symbol {
                name, colocated, ..
            }) = copy.global_values.get_mut(global)
            {
                *name = number;
                *colocated &= near;
            }
        }
        copy
    }

    fn rename_external(
        &mut self,
        original: &Function,
        name: &ExternalName,
        copy: &mut Function,
    ) -> (ExternalName, bool) {
        let name = match name {
            ExternalName::TestCase(name) => UserFuncName::Testcase(name.clone()),
            ExternalName::User(name) => match original.params.user_named_funcs().get(*name) {
                Some(name) => UserFuncName::User(name.clone()),
                None => return (ExternalName::User(*name), false),
            },
            ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => {
                return (name.clone(), false);
            }
        };
        let known = self.of.contains_key(&name);
        let number = UserExternalName::new(0, self.of(&name));
        let reference = copy.params.ensure_user_func_name(number);
        (ExternalName::User(reference), known)
    }
}

fn compile(number: u32, body: Function, isa: &dyn TargetIsa) -> Result<Compiled, Obstacle> {
    if let Some(reason) = beyond_linker(&body) {
        return Err(Obstacle::PassOver(reason));
    }
    let fails = |message: String| Obstacle::Fails(format!("does not compile: {message}"));
    let compiled = caught(|| {
        let mut context = Context::for_function(body);
        context
            .compile(isa, &mut ControlPlane::default())
            .map_err(|error| fails(readable(&error)))?;
        let code = context
            .compiled_code()
            .ok_or_else(|| fails("no code came of it".to_owned()))?;
        let buffer = &code.buffer;
        let id = FuncId::from_u32(number);
        Ok(Compiled {
            code: code.code_buffer().to_vec(),
            alignment: u64::from(buffer.alignment)
                .max(u64::from(isa.function_alignment().minimum))
                .max(isa.symbol_alignment()),
            relocations: buffer
                .relocs()
                .iter()
                .map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id))
                .collect(),
            call_sites: buffer.call_sites().filter_map(catching).collect(),
        })
    });
    let compiled = compiled.map_err(fails)??;
    match compiled.relocations.iter().find_map(unresolvable) {
        Some(reason) => Err(Obstacle::PassOver(reason)),
        None => Ok(compiled),
    }
}

fn readable(error: &cranelift_codegen::CompileError<'_>) -> String {
    match &error.inner {
        cranelift_codegen::CodegenError::Verifier(errors) => {
            let place = |e: &cranelift_codegen::verifier::VerifierError| e.to_string();
            errors.0.iter().map(place).collect::<Vec<_>>().join("; ")
        }
        inner => inner.to_string(),
    }
}

/// Says what `body` uses that code in a running process cannot have, if anything.
fn beyond_linker(body: &Function) -> Option<String> {
    let mut uses_thread_local = false;
    for block in body.layout.blocks() {
        for inst in body.layout.block_insts(block) {
            uses_thread_local |= body.dfg.insts[inst].opcode() == Opcode::TlsValue;
        }
    }
    if uses_thread_local {
        return Some("uses thread-local storage, which needs a system linker".to_owned());
    }
    if !body.dfg.dynamic_types.is_empty() && cfg!(not(target_arch = "aarch64")) {
        return Some("uses dynamic vector types, which this machine lacks".to_owned());
    }
    None
}

/// Says why the linker cannot resolve `relocation`, if so.
fn unresolvable(relocation: &ModuleReloc) -> Option<String> {
    let near_or_absolute = matches!(
        relocation.kind,
        Reloc::Abs4
            | Reloc::Abs8
            | Reloc::X86PCRel4
            | Reloc::X86CallPCRel4
            | Reloc::Arm64Call
            | Reloc::Aarch64AdrPrelPgHi21
            | Reloc::Aarch64AddAbsLo12Nc
            | Reloc::RiscvCallPlt
            | Reloc::RiscvPCRelHi20
            | Reloc::RiscvPCRelLo12I
            | Reloc::S390xPCRel32Dbl
            | Reloc::S390xPLTRel32Dbl
    );
    if !near_or_absolute {
        return Some(format!(
            "needs the relocation {:?}, which code in memory cannot have",
            relocation.kind
        ));
    }
    match &relocation.name {
        ModuleRelocTarget::LibCall(routine) => {
            let symbol = default_libcall_names()(*routine);
            host_functions::address(&symbol)
                .is_none()
                .then(|| format!("needs the routine {symbol}, which the host lacks"))
        }
        ModuleRelocTarget::KnownSymbol(symbol) => Some(format!(
            "refers to {symbol}, which only a system linker has"
        )),
        ModuleRelocTarget::User { .. } | ModuleRelocTarget::FunctionOffset(..) => None,
    }
}

fn referenced(relocation: &ModuleReloc) -> Option<u32> {
    match relocation.name {
        ModuleRelocTarget::User { index, .. } => Some(index),
        _ => None,
    }
}

fn catching(site: cranelift_codegen::FinalizedMachCallSite<'_>) -> Option<CallSite> {
    let handlers: Vec<_> = site
        .exception_handlers
        .iter()
        .filter_map(|handler| match handler {
            FinalizedMachExceptionHandler::Tag(tag, offset) => Some(Catching {
                tag: Some(tag.as_u32()),
                handler_offset: *offset as usize,
            }),
            FinalizedMachExceptionHandler::Default(offset) => Some(Catching {
                tag: None,
                handler_offset: *offset as usize,
            }),
            // A tag means the same in every context here.
            FinalizedMachExceptionHandler::Context(_) => None,
        })
        .collect();
    (!handlers.is_empty()).then(|| CallSite {
        return_offset: site.ret_addr as usize,
        frame_offset: site.frame_offset.map(|offset| offset as usize),
        handlers,
    })
}

/// Gives each function the obstacle of what it reaches.
fn spread(compiled: &HashMap<u32, Compiled>, obstacles: &mut HashMap<u32, Obstacle>) {
    let mut referrers: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut numbers: Vec<u32> = compiled.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        let body = compiled.get(&number);
        for target in body
            .iter()
            .flat_map(|body| body.relocations.iter().filter_map(referenced))
        {
            referrers.entry(target).or_default().push(number);
        }
    }
    let mut blocked: Vec<u32> = obstacles.keys().copied().collect();
    blocked.sort_unstable();
    let mut blocked = VecDeque::from(blocked);
    while let Some(number) = blocked.pop_front() {
        let Some(obstacle) = obstacles.get(&number).cloned() else {
            continue;
        };
        for referrer in referrers.get(&number).into_iter().flatten() {
            if !obstacles.contains_key(referrer) {
                obstacles.insert(*referrer, obstacle.clone());
                blocked.push_back(*referrer);
            }
        }
    }
}

fn load(
    host: &Host,
    numbers: &Numbers,
    compiled: HashMap<u32, Compiled>,
    externals: &HashMap<u32, *const u8>,
) -> Result<LoadedCode, String> {
    let mut builder = JITBuilder::with_isa(host.isa.clone(), default_libcall_names());
    builder.symbol_lookup_fn(Box::new(host_functions::address));
    builder.symbols(
        externals
            .iter()
            .map(|(number, address)| (numbers.display(*number), *address)),
    );
    // One stretch of address space, so that calls between functions stay in reach. Each function
    // may begin a page and, on aarch64, add a few words for each call.
    let room = |body: &Compiled| body.code.len() + body.relocations.len() * 24 + (1 << 16);
    let size = compiled.values().map(room).sum::<usize>() + (1 << 20);
    let memory = ArenaMemoryProvider::new_with_size(size).map_err(|error| error.to_string())?;
    builder.memory_provider(Box::new(memory));

    let mut module = JITModule::new(builder);
    let signature = Signature::new(host.isa.default_call_conv());
    for number in 0..numbers.names.len() {
        let number = u32::try_from(number).map_err(|error| error.to_string())?;
        let name = numbers.display(number);
        let linkage = if compiled.contains_key(&number) {
            Linkage::Local
        } else {
            Linkage::Import
        };
        let id = module
            .declare_function(&name, linkage, &signature)
            .map_err(|error| error.to_string())?;
        if id.as_u32() != number {
            return Err(format!("two functions are named {name}"));
        }
    }
    let mut defined: Vec<(u32, Compiled)> = compiled.into_iter().collect();
    defined.sort_by_key(|(number, _)| *number);
    for (number, body) in &defined {
        let id = FuncId::from_u32(*number);
        module
            .define_function_bytes(id, body.alignment, &body.code, &body.relocations)
            .map_err(|error| error.to_string())?;
    }
    module
        .finalize_definitions()
        .map_err(|error| error.to_string())?;

    let functions = defined.into_iter().map(|(number, body)| {
        let start = module.get_finalized_function(FuncId::from_u32(number));
        host_functions::Loaded {
            start: start.addr(),
            length: body.code.len(),
            call_sites: body.call_sites,
        }
    });
    let unwinding = host_functions::HandlerTable::new(functions.collect());
    Ok(LoadedCode::new(module, unwinding))
}

const _: () = {
    const fn assert_shared<T: Sync>() {}
    assert_shared::<ir::Function>();
};
