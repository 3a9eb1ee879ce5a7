//! Defines a function in the wrapped module.

use super::InliningModule;
use super::error::{DefineError, gave_up, naming, other};
use super::report::ModuleReport;
use super::symbols::Symbols;
use crate::backend::{
    CompileScratch, CompiledFunction, RelocationTarget, check_callees, compile_owned_function,
};
use crate::locations::{LabelTable, LocationTable};
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Function, InstBuilder, Signature, TrapCode, UserFuncName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CodegenError, Context};
use cranelift_module::{FuncId, Module, ModuleError, ModuleReloc, ModuleRelocTarget, ModuleResult};
use std::sync::Arc;
use target_lexicon::Architecture;

/// Why a function was defined as it was before inlining.
type Fallback = String;

/// The bodies that a function may be defined with.
#[derive(Clone, Copy)]
pub(super) struct Bodies<'b> {
    pub(super) last: &'b Arc<Function>,
    pub(super) original: &'b Arc<Function>,
    /// The table of the last one, if its locations are entries.
    pub(super) locations: Option<&'b LocationTable>,
}

/// A function that the wrapped module has compiled.
pub(super) struct Defined {
    pub(super) fallback: Option<Fallback>,
    /// Empty where labels are the front end's.
    pub(super) labels: LabelTable,
}

/// The reason why a body could not be compiled.
enum Failure {
    Error(ModuleError),
    Panic(String),
}

impl<M: Module> InliningModule<'_, M> {
    /// Defines a held function with its final body. If Cranelift rejects that for a reason that
    /// inlining can cause, defines the function with its original body.
    pub(super) fn define_or_fall_back(
        &mut self,
        function: FuncId,
        bodies: Bodies<'_>,
        context: &mut Context,
    ) -> ModuleResult<Defined> {
        let Bodies {
            last,
            original,
            locations,
        } = bodies;
        let failure = match self.define(function, last, locations, context) {
            Ok(labels) => {
                let fallback = None;
                return Ok(Defined { fallback, labels });
            }
            Err(failure) => failure,
        };
        if !Arc::ptr_eq(original, last) && failure.may_be_due_to_inlining() {
            let own = LocationTable::own(FunctionName::from(original.name.clone()));
            let again = self.define(function, original, locations.and(Some(&own)), context);
            return match again {
                Ok(labels) => Ok(Defined {
                    fallback: Some(failure.into_error().to_string()),
                    labels,
                }),
                Err(failure) => Err(self.named(function, failure.into_error())),
            };
        }
        Err(self.named(function, failure.into_error()))
    }

    /// Defines a function with a body. If that has a table of locations, its value labels get
    /// numbers of their own, by the table that is returned.
    fn define(
        &mut self,
        function: FuncId,
        body: &Function,
        locations: Option<&LocationTable>,
        context: &mut Context,
    ) -> Result<LabelTable, Failure> {
        let Some(held) = self.held.get(&function) else {
            return Ok(LabelTable::default());
        };
        // The wrapped module may not verify, and Cranelift's panic about this cannot be caught.
        check_callees(body).map_err(|error| Failure::Error(other(error)))?;
        self.module.clear_context(context);
        context.func = body.clone();
        context.func.name = held.body.name.clone();
        context.want_disasm = held.want_disasm;
        self.symbols.restore_ids(&mut context.func);
        let has_labels = body.dfg.values_labels.is_some();
        let labels = match locations.filter(|_| has_labels) {
            Some(locations) => LabelTable::number(&mut context.func, locations),
            None => LabelTable::default(),
        };
        let mut control_plane = held.control_plane.clone();
        let module = &mut self.module;
        let defined = panics::catch(|| {
            module.define_function_with_control_plane(function, context, &mut control_plane)
        });
        match defined {
            Ok(Ok(())) => {
                if let Some(on_define) = &mut self.on_define {
                    on_define(function, context);
                }
                Ok(labels)
            }
            Ok(Err(error)) => Err(Failure::Error(error)),
            Err(panic) => {
                *context = self.module.make_context();
                Err(Failure::Panic(panic))
            }
        }
    }

    pub(super) fn define_bytes(
        &mut self,
        function: FuncId,
        alignment: u64,
        code: &[u8],
        relocations: &[ModuleReloc],
    ) -> ModuleResult<()> {
        let module = &mut self.module;
        let defined =
            panics::catch(|| module.define_function_bytes(function, alignment, code, relocations));
        let defined = defined.unwrap_or_else(|panic| Err(gave_up("the module", &panic)));
        defined.map_err(|error| self.named(function, error))
    }

    /// Defines each function that is still held as a trap.
    pub(super) fn define_traps(&mut self, report: &mut ModuleReport) -> ModuleResult<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let isa = self.module.isa();
        let alignment = u64::from(isa.function_alignment().minimum);
        let trap = trap(isa)?;
        let unused: Vec<FuncId> = self.held.keys().copied().collect();
        for function in unused {
            self.define_bytes(function, alignment, &trap, &[])?;
            report.add_dropped(function);
        }
        self.held.clear();
        Ok(())
    }

    /// Names the function whose body has an error about another name.
    pub(super) fn in_body_of(&self, function: FuncId, source: ModuleError) -> ModuleError {
        match self.declared(function) {
            Ok((_, symbol)) => other(DefineError {
                id: function,
                function: symbol,
                source,
            }),
            Err(undeclared) => undeclared,
        }
    }

    fn named(&self, function: FuncId, error: ModuleError) -> ModuleError {
        match self.declared(function) {
            Ok((_, symbol)) => naming(function, &symbol, error),
            Err(undeclared) => undeclared,
        }
    }
}

impl Failure {
    /// Like [`CompileError::may_be_due_to_inlining`](crate::backend::CompileError).
    fn may_be_due_to_inlining(&self) -> bool {
        match self {
            Failure::Panic(_) => true,
            Failure::Error(ModuleError::Compilation(error)) => matches!(
                error,
                CodegenError::ImplLimitExceeded
                    | CodegenError::CodeTooLarge
                    | CodegenError::Unsupported(_)
            ),
            Failure::Error(_) => false,
        }
    }

    fn into_error(self) -> ModuleError {
        match self {
            Failure::Error(error) => error,
            Failure::Panic(panic) => gave_up("Cranelift", &panic),
        }
    }
}

/// Returns the relocations of compiled code as the wrapped module wants them.
///
/// # Errors
///
/// [`ModuleError::Undeclared`] with a name that is no symbol of the module's.
pub(super) fn relocations(
    symbols: &Symbols,
    function: FuncId,
    compiled: &CompiledFunction,
) -> ModuleResult<Vec<ModuleReloc>> {
    let relocations = compiled.relocations().iter();
    let relocations = relocations.map(|relocation| {
        Ok(ModuleReloc {
            offset: relocation.offset,
            kind: relocation.kind,
            name: target(symbols, function, &relocation.target)?,
            addend: relocation.addend,
        })
    });
    relocations.collect()
}

fn target(
    symbols: &Symbols,
    function: FuncId,
    target: &RelocationTarget,
) -> ModuleResult<ModuleRelocTarget> {
    Ok(match target {
        RelocationTarget::LibCall(call) => ModuleRelocTarget::LibCall(*call),
        RelocationTarget::KnownSymbol(symbol) => ModuleRelocTarget::KnownSymbol(*symbol),
        RelocationTarget::FunctionOffset(offset) => {
            ModuleRelocTarget::FunctionOffset(function, *offset)
        }
        RelocationTarget::Function(name)
        | RelocationTarget::Data(name)
        | RelocationTarget::ThreadLocal(name) => match name {
            UserFuncName::User(name) => ModuleRelocTarget::user(name.namespace, name.index),
            UserFuncName::Testcase(_) => {
                let name = FunctionName::from(name.clone());
                let id = symbols.id(&name);
                let id = id.ok_or_else(|| ModuleError::Undeclared(name.symbol()))?;
                ModuleRelocTarget::from(id)
            }
        },
    })
}

/// Returns the code of a function that only traps.
fn trap(isa: &dyn TargetIsa) -> ModuleResult<Vec<u8>> {
    // A module of a few functions would notice the time for compiling one more.
    match isa.triple().architecture {
        // `ud2` and `udf`, in the encoding of the manuals.
        Architecture::X86_64 => return Ok(vec![0x0f, 0x0b]),
        Architecture::Aarch64(_) => return Ok(vec![0, 0, 0, 0]),
        _ => {}
    }
    let signature = Signature::new(isa.default_call_conv());
    let mut func = Function::with_name_signature(UserFuncName::default(), signature);
    let block = func.dfg.make_block();
    func.layout.append_block(block);
    let mut cursor = FuncCursor::new(&mut func).at_bottom(block);
    cursor.ins().trap(TrapCode::unwrap_user(1));
    let compiled = compile_owned_function(isa, func, &mut CompileScratch::new());
    let compiled = compiled.map_err(other)?;
    Ok(compiled.code().to_vec())
}
