//! The result depends only on the functions.

use super::broken::{Broken, Property, first_difference};
use crate::targets::Architecture;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::CompiledFunction;
use cranelift_inliner::pass::{CompiledProgram, DeclaredProgram, Inlined, Inliner, PassError};
use cranelift_inliner::program::{FunctionId, FunctionName, Program, ProgramFunction};
use rayon::ThreadPool;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The threads of the pools: one, and more than the functions of a small program can use.
const THREADS: [usize; 2] = [1, 5];

/// Checks that the result of `inliner` on `program` does not depend on the number of threads and
/// the order of the functions: the same bodies, the same decisions for the same reasons, the same
/// dropped functions, and the same machine code for x64. The result of a
/// [stream](Inliner::stream) of the same bodies, in whatever order they arrive, must be that of the
/// whole program as well.
///
/// # Errors
///
/// The first function in which two results differ.
pub fn deterministic(program: &Program, inliner: &Inliner<'_>) -> Result<(), Broken> {
    let ids: Vec<FunctionId> = program.ids().collect();
    let reversed: Vec<_> = ids.iter().rev().copied().collect();
    let odd_first: Vec<_> = [1, 0]
        .into_iter()
        .flat_map(|start| ids.iter().skip(start).step_by(2).copied())
        .collect();
    let reference = Outcome::of(program, &ids, inliner, 0);
    for (order, place) in [
        (&ids, "in the same order"),
        (&reversed, "in the reverse order"),
        (&odd_first, "in another order"),
    ] {
        for (pool, threads) in THREADS.iter().enumerate() {
            let outcome = Outcome::of(program, order, inliner, pool);
            let place = format!("{threads} threads, functions {place}");
            reference
                .compare(&outcome)
                .map_err(|broken| broken.at(place))?;
        }
    }
    // Cranelift's own routines cannot be declared.
    let Some(mut declared) = DeclaredProgram::of(program) else {
        return Ok(());
    };
    for (order, pool, keeps) in [
        (&reversed, 0, true),
        (&odd_first, 1, true),
        (&ids, 1, false),
        (&reversed, 0, false),
    ] {
        declared.keep_bodies = keeps;
        let Some(outcome) = Outcome::of_stream(program, &declared, order, inliner, pool) else {
            break;
        };
        let frees = if keeps { "" } else { " that frees bodies" };
        let place = format!("a stream on {} threads{frees}", THREADS[pool]);
        reference
            .compare(&outcome)
            .map_err(|broken| broken.at(place))?;
    }
    Ok(())
}

/// The result of the pass for each function, by name, or its error.
struct Outcome(Result<BTreeMap<FunctionName, OfFunction>, String>);

#[derive(PartialEq)]
struct OfFunction {
    /// `None` if the body was freed.
    text: Option<String>,
    sites: Vec<String>,
    dropped: bool,
    code: Option<CompiledFunction>,
}

impl Outcome {
    fn of(program: &Program, order: &[FunctionId], inliner: &Inliner<'_>, pool: usize) -> Self {
        let mut ordered = Program::new();
        for &id in order {
            // The names are from an existing program.
            let _ = ordered.add_function(program[id].clone());
        }
        for name in program.tables() {
            let functions = program.table(name);
            let functions = functions.map(|(offset, function)| (offset, function.clone()));
            ordered.add_table(name.clone(), functions);
        }
        let run = || run(&ordered, inliner).map_err(|error| error.to_string());
        Outcome(match self::pool(pool) {
            Some(pool) => pool.install(run),
            None => run(),
        })
    }

    /// Streams the bodies, which arrive in `order` from two threads. `None` if the pass cannot
    /// stream.
    fn of_stream(
        program: &Program,
        declared: &DeclaredProgram,
        order: &[FunctionId],
        inliner: &Inliner<'_>,
        pool: usize,
    ) -> Option<Self> {
        let run = || stream(program, declared, order, inliner);
        match self::pool(pool) {
            Some(pool) => pool.install(run),
            None => run(),
        }
        .map(Outcome)
    }

    fn compare(&self, other: &Outcome) -> Result<(), Broken> {
        let broken = |difference: String| Broken::new(Property::Deterministic, difference);
        let (one, other) = match (&self.0, &other.0) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(one), Err(other)) if one == other => return Ok(()),
            (one, other) => {
                let word = |result: &Result<_, String>| match result {
                    Ok(_) => "no error".to_string(),
                    Err(error) => error.clone(),
                };
                return Err(broken(format!("{} instead of {}", word(other), word(one))));
            }
        };
        for (name, one) in one {
            let broken = |difference: String| Err(broken(difference).in_function(name));
            let Some(other) = other.get(name) else {
                return broken("it is missing".into());
            };
            if let (Some(one), Some(other)) = (&one.text, &other.text)
                && let Some((line, one, other)) = first_difference(one, other)
            {
                return broken(format!("line {line} is `{other}` instead of `{one}`"));
            }
            let mut sites = one.sites.iter().zip(&other.sites);
            if let Some((one, other)) = sites.find(|(one, other)| one != other) {
                return broken(format!("{other} instead of {one}"));
            }
            let of = |of: &OfFunction| (of.sites.len(), of.dropped);
            if of(one) != of(other) || one.code != other.code {
                return broken("its code, its calls or whether it is dropped".into());
            }
        }
        Ok(())
    }
}

fn run(
    program: &Program,
    inliner: &Inliner<'_>,
) -> Result<BTreeMap<FunctionName, OfFunction>, PassError> {
    let (inlined, compiled) = match Architecture::X64.isa(OptLevel::Speed) {
        Some(isa) => match inliner.run_and_compile(program, &**isa) {
            // Functions that do not compile for x64 can still be compared.
            Err(PassError::Compile(_)) => (inliner.run(program)?, None),
            result => result.map(|(inlined, compiled)| (inlined, Some(compiled)))?,
        },
        None => (inliner.run(program)?, None),
    };
    Ok(outcomes(program, &inlined, compiled.as_ref()))
}

fn stream(
    program: &Program,
    declared: &DeclaredProgram,
    order: &[FunctionId],
    inliner: &Inliner<'_>,
) -> Option<Result<BTreeMap<FunctionName, OfFunction>, String>> {
    let isa = Architecture::X64.isa(OptLevel::Speed)?;
    let (first, second) = order.split_at(order.len() / 2);
    let streamed = inliner.stream(declared, &**isa, &|_, _| {}, |stream| {
        let define = |ids: &[FunctionId]| {
            let functions = ids.iter().map(|&id| &program[id]);
            let define = |function: &ProgramFunction| {
                stream.define_with_hints(function.body().clone(), function.hints())
            };
            functions.map(define).find_map(Result::err)
        };
        let (first, second) = rayon::join(|| define(first), || define(second));
        first.or(second)
    });
    let streamed = match streamed {
        Ok(streamed) => streamed,
        Err(error) => return Some(Err(error.to_string())),
    };
    if let Some(error) = streamed.front_end {
        return Some(Err(error.to_string()));
    }
    if !streamed.is_exact {
        return Some(Err("the declarations are not exact".to_owned()));
    }
    match streamed.errors.first() {
        None => {}
        // The results of the whole program are then those for no target.
        Some((_, PassError::Compile(_))) => return None,
        Some((_, error)) => return Some(Err(error.to_string())),
    }
    let compiled = Some(&streamed.compiled);
    Some(Ok(outcomes(program, &streamed.inlined, compiled)))
}

fn outcomes(
    program: &Program,
    inlined: &Inlined,
    compiled: Option<&CompiledProgram>,
) -> BTreeMap<FunctionName, OfFunction> {
    let outcomes = program.iter().map(|(id, function)| {
        let body = inlined.body(id);
        let outcome = OfFunction {
            text: body.map(|body| body.display().to_string()),
            sites: sites(program, inlined, id),
            dropped: inlined.stats(id).dropped,
            code: compiled.and_then(|compiled| compiled.get(id)).cloned(),
        };
        (function.name().clone(), outcome)
    });
    outcomes.collect()
}

fn sites(program: &Program, inlined: &Inlined, id: FunctionId) -> Vec<String> {
    let sites = inlined.sites_of(id).iter();
    sites
        .map(|site| {
            let done = if site.inlined { "inlined" } else { "kept" };
            let via = site.via().iter().map(|&id| program[id].name().to_string());
            let via: Vec<String> = via.collect();
            format!(
                "{} of {} in [{}] {done} ({})",
                site.inst,
                site.callee,
                via.join(", "),
                site.reason
            )
        })
        .collect()
}

/// Pools are made once: making one costs more than inlining across a small program.
fn pool(index: usize) -> Option<&'static ThreadPool> {
    static POOLS: [OnceLock<Option<ThreadPool>>; 2] = [const { OnceLock::new() }; 2];
    let builder = rayon::ThreadPoolBuilder::new().num_threads(THREADS[index]);
    POOLS[index].get_or_init(|| builder.build().ok()).as_ref()
}
