//! `clif-inline compile`: compiles CLIF to an object file.

use super::job::Job;
use crate::arguments::CompileArguments;
use crate::failure::{self, Failure, say};
use crate::output::{self, Output};
use crate::table;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_inliner::backend::{
    ObjectFunction, ObjectLinkage, ScratchPool, build_object, compile_function, emit_object,
};
use cranelift_inliner::debug_info::{ClifLines, ClifValues, DebugFunction, DebugInfo};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::CompiledProgram;
use cranelift_inliner::program::{FunctionId, FunctionName, Linkage, Program};
use rayon::prelude::*;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Inputs up to this size, in instructions, are also compiled without inlining, so that the table
/// can compare. It takes a fraction of a second. Larger ones are compiled only on request.
const CHEAP_INSTS: usize = 50_000;

pub(crate) fn compile(arguments: &CompileArguments) -> Result<(), Failure> {
    let common = &arguments.common;
    let inputs = &arguments.inputs.paths;
    let output = match &arguments.output {
        Some(path) => Output::from_argument(path),
        None => Output::File(output::beside(inputs, "o")?),
    };
    output.is_none_of(inputs)?;
    let mut job = Job::begin(common, &arguments.plan, &arguments.target)?;
    let mut program = job.read(inputs, &[("--output", &output)])?;
    let locations = match arguments.debug_info {
        true => LocationMode::InlinedAt,
        false => LocationMode::Keep,
    };
    if arguments.debug_info {
        program = ClifValues::new(&program).label(&program);
    }
    let (inlined, compiled) = job.inline_and_compile(&program, locations)?;
    let isa = job.isa.clone();
    let wants_table = common.report.stats.is_none() && !arguments.quiet;
    let is_cheap = job.statistics.instructions_before <= CHEAP_INSTS;
    if common.report.stats.is_some() || (wants_table && is_cheap) {
        let compiling = Instant::now();
        job.statistics.code_bytes_before = code_bytes_before(&program, &*isa);
        job.statistics.microseconds.compile_before = compiling.elapsed();
    }
    let (finished, ()) = job.write("writing", &program, &inlined, |_| {
        let bytes = object(&program, &compiled, &isa, inputs)?;
        output.write_bytes(&bytes)
    })?;

    for (_, fallback) in compiled.fallbacks() {
        failure::warn_of_fallback(&fallback.reason, &program);
    }
    if wants_table {
        say(&table::short(&finished.statistics));
        finished.tell(&output, &next(inputs));
    }
    finished.print(&output)
}

/// Returns a hint to options that show more than the table.
fn next(inputs: &[PathBuf]) -> String {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let inputs = inputs.join(" ");
    format!(
        "\nwhy each call was inlined or not, with the same options:\n  \
         clif-inline explain {inputs} --function NAME\n  \
         clif-inline report {inputs} -o report.html"
    )
}

/// Returns the bytes of machine code without inlining; `None` if a function does not compile, which
/// may be one that the output drops.
fn code_bytes_before(program: &Program, isa: &dyn TargetIsa) -> Option<usize> {
    let functions: Vec<_> = program.iter().collect();
    let scratches: ScratchPool = ScratchPool::new();
    let sizes = functions.into_par_iter().map(|(_, function)| {
        let compiled = scratches.with(|scratch| compile_function(isa, function.body(), scratch));
        compiled.map(|compiled| compiled.code().len())
    });
    sizes.try_reduce(|| 0, |a, b| Ok(a + b)).ok()
}

pub(super) fn object(
    program: &Program,
    compiled: &CompiledProgram,
    isa: &OwnedTargetIsa,
    inputs: &[PathBuf],
) -> Result<Vec<u8>, Failure> {
    let source = inputs.first().map_or(Path::new(""), PathBuf::as_path);
    let linkage = |id| match program.get(id)?.linkage() {
        Linkage::Exported => Some(ObjectLinkage::Export),
        Linkage::Local => Some(ObjectLinkage::Local),
        Linkage::Interposable => Some(ObjectLinkage::Preemptible),
        // Functions that are available elsewhere are never compiled.
        _ => None,
    };
    object_of(program, compiled, isa, source, linkage)
}

/// Like [`object`], with the visibility of symbols that `linkage` returns. The file symbol is the
/// name of the file `source`.
pub(super) fn object_of(
    program: &Program,
    compiled: &CompiledProgram,
    isa: &OwnedTargetIsa,
    source: &Path,
    linkage: impl Fn(FunctionId) -> Option<ObjectLinkage>,
) -> Result<Vec<u8>, Failure> {
    let functions: Vec<_> = compiled
        .iter()
        .filter_map(|(id, compiled)| {
            let function = program.get(id)?;
            Some(ObjectFunction::new(
                function.name().symbol(),
                linkage(id)?,
                compiled,
            ))
        })
        .collect();
    let debug: Vec<_> = compiled
        .iter()
        .filter_map(|(id, code)| {
            let function = DebugFunction::new(code, compiled.locations(id)?);
            Some(function.with_labels(compiled.labels(id)))
        })
        .collect();
    let name = source.file_name();
    let name = name.map_or_else(|| "module".into(), |name| name.to_string_lossy());
    let symbol_of = |name: &_| FunctionName::from(Clone::clone(name)).symbol();
    let mut object = build_object(isa, &name, &functions, symbol_of)
        .map_err(|error| Failure::object(&error, program))?;
    // Without tables of locations none was asked for.
    if !debug.is_empty() {
        let lines = source_lines(program);
        DebugInfo::new(&**isa, &lines)
            .labels(&ClifValues::new(program))
            .add_to(&mut object, &debug)
            .map_err(|error| Failure::debug_info(&error, program))?;
    }
    emit_object(object).map_err(|error| Failure::object(&error, program))
}

/// Returns the lines of the files of `program`. A file that cannot be read again, such as standard
/// input, has none.
fn source_lines(program: &Program) -> ClifLines {
    let directory = env::current_dir().unwrap_or_default();
    let directory = directory.to_string_lossy();
    let origins = program.iter().filter_map(|(_, function)| function.origin());
    let mut files: Vec<&str> = origins.map(|origin| &*origin.file).collect();
    files.dedup();
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let (main, others) = match files.split_first() {
        Some((main, others)) => (*main, others),
        None => ("", &[][..]),
    };
    let mut lines = ClifLines::new(main, directory, &text(main));
    for file in others {
        lines.add_file(*file, &text(file));
    }
    lines
}
