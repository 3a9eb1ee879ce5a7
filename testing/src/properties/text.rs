//! The printed result reads back as itself.

use super::broken::{Broken, Property, first_difference};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{Program, ProgramError};

/// Checks that the text of the inlined program, read and printed again, is the same, and the
/// program read back has the same stack maps and tags.
///
/// If `before` does not satisfy this either, the result is not checked: it may have a name that
/// CLIF cannot express.
///
/// # Errors
///
/// The first line that differs, or the reader's error.
pub fn reads_back(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    match twice(inlined.program()) {
        Ok(read) => match read {
            // A loss does not depend on names: it is a fault of the printer.
            Some(read) => nothing_left_out(inlined.program(), &read),
            None => Ok(()),
        },
        Err(_) if twice(before).is_err() => Ok(()),
        Err(broken) => Err(broken),
    }
}

/// Returns the program read back, if it prints as the same text; `None` for an empty one.
fn twice(program: &Program) -> Result<Option<Program>, Broken> {
    let failed = |error: ProgramError| Broken::new(Property::Text, error.to_string());
    if program.is_empty() {
        return Ok(None);
    }
    let once = program.to_clif().map_err(failed)?;
    let read = Program::from_clif(&once, "printed").map_err(failed)?;
    let again = read.to_clif().map_err(failed)?;
    let Some((line, one, other)) = first_difference(&once, &again) else {
        return Ok(Some(read));
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

/// Compares stack maps and tags. If they are not printed, they are missing in the second text too.
fn nothing_left_out(program: &Program, read: &Program) -> Result<(), Broken> {
    for (id, function) in program.iter() {
        let Some(read) = read.get(id) else { continue };
        let (printed, read) = (function.body(), read.body());
        let insts = |func: &Function| -> Vec<Inst> {
            let blocks = func.layout.blocks();
            blocks
                .flat_map(|block| func.layout.block_insts(block))
                .collect()
        };
        for (inst, read_inst) in insts(printed).into_iter().zip(insts(read)) {
            let maps = [(printed, inst), (read, read_inst)].map(|(func, inst)| {
                let entries = func.dfg.user_stack_map_entries(inst).unwrap_or_default();
                let entries = entries.iter();
                entries
                    .map(|entry| (entry.ty, entry.slot, entry.offset))
                    .collect::<Vec<_>>()
            });
            let lost = if maps[0] != maps[1] {
                "its stack map is lost in the text"
            } else if printed.debug_tags.get(inst) != read.debug_tags.get(read_inst) {
                "its tags are lost in the text"
            } else {
                continue;
            };
            let broken = Broken::new(Property::Text, lost.to_owned());
            return Err(broken.in_function(function.name()).at(inst.to_string()));
        }
    }
    Ok(())
}
