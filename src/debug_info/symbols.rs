//! Source positions of backtraces, for symbolizers.

use super::SourceMap;
use crate::backtrace::{Backtrace, BacktraceError};
use crate::program::FunctionName;

/// A frame as symbolizers such as the crates `addr2line` and `backtrace` give it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SymbolFrame {
    /// The function, by its name in the program.
    pub function: FunctionName,
    /// The name to show.
    pub name: String,
    /// The path of the source file, if the position is known.
    pub file: Option<String>,
    /// The line, counted from 1; 0 where there is none.
    pub line: u64,
    /// The column, counted from 1; 0 where there is none.
    pub column: u64,
}

/// Returns the frames of a look-up in a [backtrace table](crate::backtrace), innermost first, with
/// the positions that `source` gives. It allocates, so it is for the time after a signal handler.
///
/// # Errors
///
/// [`BacktraceError`] if the table is corrupt.
///
/// ```
/// use cranelift_inliner::backend::{TargetSettings, target};
/// use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces};
/// use cranelift_inliner::debug_info::{ClifLines, symbolize};
/// use cranelift_inliner::decide::Always;
/// use cranelift_inliner::locations::LocationMode;
/// use cranelift_inliner::pass::Inliner;
/// use cranelift_inliner::program::Program;
///
/// let text = "function %check(i32) system_v {
/// block0(v0: i32):
/// @0001   trapz v0, user7
///         return
/// }";
/// let program = Program::from_clif(text, "check.clif")?;
/// let isa = target("host", &TargetSettings::new())?;
/// let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
/// let (_, compiled) = inliner.run_and_compile(&program, &*isa)?;
/// let (id, code) = compiled.iter().next().ok_or("no code")?;
/// let locations = compiled.locations(id).ok_or("no table")?;
/// let table = BacktraceTable::link([(0, &FunctionBacktraces::of(code, locations)?)])?;
///
/// let lines = ClifLines::new("check.clif", "/src", text);
/// let places = table.reader().trap(code.traps()[0].offset)?.ok_or("no trap")?;
/// let frames = symbolize(places, &lines)?;
/// assert_eq!((frames[0].name.as_str(), frames[0].line), ("check", 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn symbolize(
    places: Backtrace<'_>,
    source: &dyn SourceMap,
) -> Result<Vec<SymbolFrame>, BacktraceError> {
    places
        .map(|place| {
            let place = place?;
            let function = place.function.to_name();
            let position = match place.location.is_default() {
                true => None,
                false => source.position(&function, place.location),
            };
            Ok(SymbolFrame {
                name: source.name(&function),
                file: position.map(|position| position.file.to_owned()),
                line: position.map_or(0, |position| position.line),
                column: position.map_or(0, |position| position.column),
                function,
            })
        })
        .collect()
}
