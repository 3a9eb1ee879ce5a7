//! The printed result reads back as itself.

use super::broken::{Broken, Property, first_difference};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{Program, ProgramError};

/// The inlined program printed, read and printed again is the same text.
///
/// Where that does not hold of `before` either, nothing is asked of the result: a name may be one
/// that CLIF cannot express.
///
/// # Errors
///
/// The first line that differs, or why the text does not read.
pub fn reads_back(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    match twice(inlined.program()) {
        Ok(()) => Ok(()),
        Err(_) if twice(before).is_err() => Ok(()),
        Err(broken) => Err(broken),
    }
}

fn twice(program: &Program) -> Result<(), Broken> {
    let failed = |error: ProgramError| Broken::new(Property::Text, error.to_string());
    if program.is_empty() {
        return Ok(());
    }
    let once = program.to_clif().map_err(failed)?;
    let read = Program::from_clif(&once, "printed").map_err(failed)?;
    let again = read.to_clif().map_err(failed)?;
    let Some((line, one, other)) = first_difference(&once, &again) else {
        return Ok(());
    };
    let broken = Broken::new(Property::Text, format!("`{one}` reads as `{other}`"));
    let broken = broken.at(format!("line {line} of the text"));
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    let starts_before = |function: &&cranelift_inliner::program::ProgramFunction| {
        function.origin().is_some_and(|origin| origin.line <= line)
    };
    let mut functions = read.iter().map(|(_, function)| function).rev();
    Err(match functions.find(starts_before) {
        Some(function) => broken.in_function(function.name()),
        None => broken,
    })
}
