//! Compiles one function, and finds obstacles to running it in this process.

use std::borrow::Cow;

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{Function, GlobalValueData, Opcode};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, Relocation, RelocationTarget, compile_owned_function,
};
use cranelift_inliner::program::FunctionName;
use cranelift_inliner_testing::execute::process_symbol;
use cranelift_module::default_libcall_names;

/// The reason for not calling a directive.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// The function is wrong: its directives fail.
    Fails(String),
    /// The function needs something that this process lacks.
    PassOver(String),
}

impl Obstacle {
    pub(super) fn of(self, name: &FunctionName) -> Self {
        match self {
            Self::Fails(message) => Self::Fails(format!("{name} {message}")),
            Self::PassOver(reason) => Self::PassOver(format!("{name} {reason}")),
        }
    }
}

/// Compiles `body`. Calls of functions outside `near` reach any address.
pub(super) fn compile(
    body: &Function,
    near: impl Fn(&FunctionName) -> bool,
    isa: &dyn TargetIsa,
    scratch: &mut CompileScratch,
) -> Result<CompiledFunction, Obstacle> {
    if let Some(reason) = beyond_linker(body) {
        return Err(Obstacle::PassOver(reason));
    }
    let name = format!("{}: ", body.name);
    let body = reach_far(body, near).into_owned();
    let compiled = compile_owned_function(isa, body, scratch).map_err(|error| {
        let error = error.to_string();
        let message = error.strip_prefix(&name).unwrap_or(&error);
        Obstacle::Fails(format!("does not compile: {message}"))
    })?;
    match compiled.relocations().iter().find_map(unresolvable) {
        Some(reason) => Err(Obstacle::PassOver(reason)),
        None => Ok(compiled),
    }
}

/// Returns `body` with every function outside `near` declared as far.
fn reach_far(body: &Function, near: impl Fn(&FunctionName) -> bool) -> Cow<'_, Function> {
    let is_far = |name| FunctionName::of_external(body, name).is_some_and(|name| !near(&name));
    let mut changed = Cow::Borrowed(body);
    for (reference, data) in &body.dfg.ext_funcs {
        if data.colocated
            && is_far(&data.name)
            && let Some(external) = changed.to_mut().dfg.ext_funcs.get_mut(reference)
        {
            external.colocated = false;
        }
    }
    for (global, data) in &body.global_values {
        if let GlobalValueData::Symbol {
            name,
            colocated: true,
            ..
        } = data
            && is_far(name)
            && let Some(GlobalValueData::Symbol { colocated, .. }) =
                changed.to_mut().global_values.get_mut(global)
        {
            *colocated = false;
        }
    }
    changed
}

/// Returns the feature of `body` that code in a running process cannot have, if any.
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

/// Returns the reason why the linker cannot resolve `relocation`, if any.
fn unresolvable(relocation: &Relocation) -> Option<String> {
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
    match &relocation.target {
        RelocationTarget::LibCall(routine) => {
            let symbol = default_libcall_names()(*routine);
            process_symbol(&symbol)
                .is_none()
                .then(|| format!("needs the routine {symbol}, which the host lacks"))
        }
        RelocationTarget::KnownSymbol(symbol) => Some(format!(
            "refers to {symbol}, which only a system linker has"
        )),
        _ => None,
    }
}

/// Returns the functions and data that the code refers to.
pub(super) fn referenced(compiled: &CompiledFunction) -> impl Iterator<Item = FunctionName> + '_ {
    let names = compiled
        .relocations()
        .iter()
        .map(|relocation| relocation.target.name());
    names.flatten().cloned().map(FunctionName::from)
}
