//! Compiles one function, and says what stands in the way of its running in this process.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, Opcode};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{
    CodegenError, CompileError, Context, FinalizedMachCallSite, FinalizedMachExceptionHandler,
};
use cranelift_module::{FuncId, ModuleReloc, ModuleRelocTarget, default_libcall_names};

use super::handlers::{CallSite, Catching};
use super::{caught, host_functions};

/// Why a directive is not called.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// Something is wrong with the function: its directives fail.
    Fails(String),
    /// The function needs what cannot be had here.
    PassOver(String),
}

/// A function's machine code, not yet at its place.
pub(super) struct Compiled {
    pub(super) code: Vec<u8>,
    pub(super) alignment: u64,
    pub(super) relocations: Vec<ModuleReloc>,
    pub(super) call_sites: Vec<CallSite>,
}

impl Obstacle {
    pub(super) fn of(self, name: &str) -> Self {
        match self {
            Self::Fails(message) => Self::Fails(format!("{name} {message}")),
            Self::PassOver(reason) => Self::PassOver(format!("{name} {reason}")),
        }
    }
}

/// Compiles `body`, in which every name is a number, of which `number` is its own.
pub(super) fn compile(
    number: u32,
    body: Function,
    isa: &dyn TargetIsa,
) -> Result<Compiled, Obstacle> {
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

fn readable(error: &CompileError<'_>) -> String {
    match &error.inner {
        CodegenError::Verifier(errors) => {
            let errors: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            errors.join("; ")
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

pub(super) fn referenced(relocation: &ModuleReloc) -> Option<u32> {
    match relocation.name {
        ModuleRelocTarget::User { index, .. } => Some(index),
        _ => None,
    }
}

fn catching(site: FinalizedMachCallSite<'_>) -> Option<CallSite> {
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
