//! Executes programs in Cranelift's interpreter.
//!
//! Cranelift's interpreter executes single instructions ([`step`]); its driver only knows calls
//! between defined functions, by recursion. The driver in `run.rs` keeps its frames in a list, so
//! that no program overflows the stack of the thread, calls the host, and supports exceptions.
//! `state.rs` has the memory and the names that an instruction can see.
//!
//! [`step`]: cranelift_interpreter::step::step

mod calls;
mod run;
mod state;

use super::error::ExecuteError;
use super::values::{check_arguments, has_data_value};
use super::{Invocation, Observation};
use cranelift_codegen::ir::{Endianness, Function, Inst};
use cranelift_inliner::panics;
use cranelift_inliner::program::{FunctionName, Program};
use run::Run;

/// Calls a function of `program` in Cranelift's interpreter, for at most `fuel` steps; a step is an
/// instruction.
///
/// The program should have passed the verifier.
///
/// ```
/// use cranelift_codegen::data_value::DataValue;
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner_testing::execute::{Invocation, Outcome, interpret};
///
/// let program = Program::from_clif("
/// function %twice(i32) -> i32 {
///     fn0 = %log(i32)
/// block0(v0: i32):
///     v1 = iadd v0, v0
///     call fn0(v1)
///     return v1
/// }", "twice.clif")?;
/// let twice = Invocation {
///     function: "twice".parse()?,
///     arguments: vec![DataValue::I32(4)],
/// };
/// let seen = interpret(&program, &twice, 100)?;
/// assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I32(8)]));
/// assert_eq!(seen.host_calls[0].arguments, [DataValue::I32(8)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`ExecuteError::NotInterpretable`] for an instruction that Cranelift's interpreter does not
/// support, [`OutOfFuel`](ExecuteError::OutOfFuel), [`TooDeep`](ExecuteError::TooDeep), and errors
/// of the invocation.
pub fn interpret(
    program: &Program,
    invocation: &Invocation,
    fuel: u64,
) -> Result<Observation, ExecuteError> {
    interpret_in_order(program, invocation, fuel, Endianness::Little)
}

/// Like [`interpret`], but with a byte order for memory; `interpret` uses little-endian.
///
/// ```
/// use cranelift_codegen::data_value::DataValue;
/// use cranelift_codegen::ir::Endianness;
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner_testing::execute::{Invocation, Outcome, interpret_in_order};
///
/// let program = Program::from_clif("
/// function %last(i32) -> i8 {
///     ss0 = explicit_slot 4
/// block0(v0: i32):
///     v1 = stack_addr.i64 ss0
///     store v0, v1
///     v2 = load.i8 v1+3
///     return v2
/// }", "last.clif")?;
/// let last = Invocation {
///     function: "last".parse()?,
///     arguments: vec![DataValue::I32(0x1234)],
/// };
/// let seen = interpret_in_order(&program, &last, 100, Endianness::Big)?;
/// assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I8(0x34)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`interpret`].
pub fn interpret_in_order(
    program: &Program,
    invocation: &Invocation,
    fuel: u64,
    order: Endianness,
) -> Result<Observation, ExecuteError> {
    let function = program
        .id(&invocation.function)
        .and_then(|id| program.get(id))
        .ok_or_else(|| ExecuteError::UnknownFunction {
            function: invocation.function.clone(),
        })?;
    let signature = &function.body().signature;
    check_arguments(&invocation.arguments, signature).map_err(|reason| {
        ExecuteError::Arguments {
            function: invocation.function.clone(),
            reason,
        }
    })?;
    let mut results = signature.returns.iter().map(|result| result.value_type);
    if let Some(ty) = results.find(|&ty| !has_data_value(ty)) {
        return Err(ExecuteError::Signature {
            function: invocation.function.clone(),
            reason: format!("it returns a value of type {ty}"),
        });
    }

    let mut run = Run::new(program, fuel, order);
    // The interpreter panics on single instructions that it does not support.
    let outcome = panics::catch(|| run.call(function.body(), &invocation.arguments));
    let outcome = outcome.unwrap_or_else(|message| Err(run.not_interpretable(message)))?;
    Ok(Observation {
        host_calls: run.into_host().into_calls(),
        outcome,
    })
}

/// Returns the error at an instruction.
fn not_interpretable(function: &Function, inst: Option<Inst>, reason: String) -> ExecuteError {
    let printed = inst.map(|inst| panics::catch(|| function.dfg.display_inst(inst).to_string()));
    ExecuteError::NotInterpretable {
        function: name_of(function),
        instruction: match printed {
            Some(Ok(instruction)) => instruction,
            Some(Err(_)) | None => "?".to_owned(),
        },
        reason,
    }
}

fn name_of(function: &Function) -> FunctionName {
    FunctionName::from(function.name.clone())
}
