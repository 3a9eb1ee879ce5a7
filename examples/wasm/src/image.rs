//! The runtime's data about compiled functions and their traps.

use crate::parse::ParsedModule;
use crate::translate::{
    EXIT, NULL_CALL, STOPPED, TABLE_OUT_OF_BOUNDS, UNREACHABLE, WRONG_SIGNATURE, further_results,
};
use cranelift_codegen::ir::TrapCode;
use cranelift_codegen::{Context, MachTrap};
use cranelift_inliner::backend::CompiledFunction;
use cranelift_inliner_wasm_runtime::{Export, Exported, Function, Image, TrapKind};
use wasmparser::ExternalKind;

/// The code of one function.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeInfo {
    pub(crate) size: u32,
    traps: Vec<(u32, TrapKind)>,
}

impl CodeInfo {
    /// Returns the facts about the code that was just compiled; `None` without such code.
    pub(crate) fn new(context: &Context) -> Option<Self> {
        let compiled = context.compiled_code()?;
        let size = compiled.code_info().total_size;
        Some(Self::with(size, compiled.buffer.traps()))
    }

    /// Returns the facts about a function that the pass has compiled.
    pub(crate) fn of(compiled: &CompiledFunction) -> Self {
        Self::with(compiled.code().len() as u32, compiled.traps())
    }

    fn with(size: u32, traps: &[MachTrap]) -> Self {
        let traps = traps.iter();
        let mut traps: Vec<_> = traps
            .filter_map(|trap| Some((trap.offset, trap_kind(trap.code)?)))
            .collect();
        traps.sort_by_key(|&(offset, _)| offset);
        Self { size, traps }
    }

    /// Describes the function.
    pub(crate) fn describe(&self, name: String, type_id: u32) -> Function {
        Function {
            name,
            type_id,
            size: self.size,
            traps: self.traps.clone(),
        }
    }
}

fn trap_kind(code: TrapCode) -> Option<TrapKind> {
    Some(match code {
        TrapCode::STACK_OVERFLOW => TrapKind::StackOverflow,
        TrapCode::INTEGER_OVERFLOW => TrapKind::IntegerOverflow,
        TrapCode::HEAP_OUT_OF_BOUNDS => TrapKind::MemoryOutOfBounds,
        TrapCode::INTEGER_DIVISION_BY_ZERO => TrapKind::IntegerDivisionByZero,
        TrapCode::BAD_CONVERSION_TO_INTEGER => TrapKind::BadConversion,
        UNREACHABLE => TrapKind::Unreachable,
        TABLE_OUT_OF_BOUNDS => TrapKind::TableOutOfBounds,
        NULL_CALL => TrapKind::NullCall,
        WRONG_SIGNATURE => TrapKind::WrongSignature,
        EXIT => TrapKind::Exit,
        STOPPED => TrapKind::StoppedByDebugger,
        _ => return None,
    })
}

/// Describes function `number`, given its code.
pub(crate) fn describe(module: &ParsedModule<'_>, function: u32, code: &CodeInfo) -> Function {
    let type_id = module.type_ids[module.functions[function as usize] as usize];
    code.describe(module.name(function), type_id)
}

/// Returns the image of a module without its functions.
pub(crate) fn without_functions(module: &ParsedModule<'_>, entries: &[u32]) -> Image {
    let entry = |function| {
        let position = entries.iter().position(|&entry| entry == function);
        position.unwrap_or_default() as u32
    };
    let exports = module.exports.iter().map(|export| Export {
        name: export.name.to_owned(),
        item: match export.kind {
            ExternalKind::Global => {
                Exported::Global(export.index, module.globals[export.index as usize].ty)
            }
            ExternalKind::Table => Exported::Table(export.index),
            ExternalKind::Memory => Exported::Memory,
            // The validator has refused all kinds but these and functions.
            _ => {
                let signature = module.signature(export.index);
                Exported::Function {
                    entry: entry(export.index),
                    params: signature.params.clone(),
                    results: signature.results.clone(),
                }
            }
        },
    });
    Image {
        memory: module.memory,
        tables: module.tables.clone(),
        globals: module.globals.iter().map(|global| global.bits).collect(),
        further_results: module.types.iter().map(further_results).max().unwrap_or(0),
        elements: module.elements.clone(),
        data: module.data.clone(),
        functions: Vec::new(),
        exports: exports.collect(),
        entries: entries.to_vec(),
        start: module.start.map(entry),
    }
}

/// Returns the functions that the host enters: exported ones and the start function, each once.
pub(crate) fn entries(module: &ParsedModule<'_>) -> Vec<u32> {
    let exports = module.exports.iter();
    let exported = exports.filter(|export| export.kind == ExternalKind::Func);
    let mut entries: Vec<u32> = exported.map(|export| export.index).collect();
    entries.extend(module.start);
    entries.sort_unstable();
    entries.dedup();
    entries
}
