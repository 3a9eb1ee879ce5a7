//! The line table.

use super::SourcePosition;
use super::sections::Placed;
use super::unit::UnitWriter;
use crate::backend::CompiledFunction;
use crate::locations::CodeLocations;
use cranelift_codegen::binemit::CodeOffset;
use std::ops::Range;

/// Code with one position.
struct Row<'s> {
    start: CodeOffset,
    position: Option<SourcePosition<'s>>,
    /// Whether a program can be seen to stop in it, at a trap or in a call.
    has_stop: bool,
}

impl<'a> UnitWriter<'a> {
    /// Adds the lines of a function.
    ///
    /// Code without a position has line 0. gdb takes that for the line before, so there is a gap in
    /// the table where such code has a call or a trap.
    pub(super) fn add_lines(&mut self, placed: &Placed<'_>) {
        let function = &placed.function;
        let rows = self.rows(placed);
        // Code without a line before the first that has one is the prologue.
        let entry = self
            .info
            .source
            .declaration(function.locations.function())
            .or_else(|| rows.iter().find_map(|row| row.position));
        let mut previous = None;
        let mut in_prologue = true;
        let mut in_sequence = false;
        let mut base = 0;
        for row in rows {
            let ends_prologue = in_prologue && row.position.is_some() && row.start != 0;
            in_prologue &= row.position.is_none();
            if row.position.is_none() && row.has_stop {
                if in_sequence {
                    let length = u64::from(row.start - base);
                    self.dwarf.unit.line_program.end_sequence(length);
                }
                in_sequence = false;
                continue;
            }
            let position = row.position.or(entry.filter(|_| in_prologue));
            if in_sequence && previous == Some(position) && !ends_prologue {
                continue;
            }
            previous = Some(position);
            let file = match position {
                Some(position) => self.file(position.file),
                None => self.main_file,
            };
            let lines = &mut self.dwarf.unit.line_program;
            if !in_sequence {
                base = row.start;
                in_sequence = true;
                lines.begin_sequence(Some(placed.address(base)));
            }
            let next = lines.row();
            next.address_offset = u64::from(row.start - base);
            next.file = file;
            next.line = position.map_or(0, |position| position.line);
            next.column = position.map_or(0, |position| position.column);
            next.prologue_end = ends_prologue;
            lines.generate_row();
        }
        if in_sequence {
            let length = placed.size().saturating_sub(u64::from(base));
            self.dwarf.unit.line_program.end_sequence(length);
        }
    }

    fn rows(&self, placed: &Placed<'_>) -> Vec<Row<'a>> {
        let function = &placed.function;
        let stops = stops(function.compiled);
        let locations = CodeLocations::new(function.compiled, function.locations);
        let rows = locations.ranges().map(|(range, location)| {
            let place = function.locations.innermost(location);
            Row {
                start: range.start,
                position: self.position(&place),
                has_stop: contains(&stops, &range),
            }
        });
        rows.collect()
    }
}

/// Returns the offsets of traps and of the last bytes of calls, in ascending order.
fn stops(compiled: &CompiledFunction) -> Vec<CodeOffset> {
    let traps = compiled.traps().iter().map(|trap| trap.offset);
    let calls = compiled.call_sites();
    let calls = calls.map(|site| site.ret_addr.saturating_sub(1));
    let mut stops: Vec<CodeOffset> = traps.chain(calls).collect();
    stops.sort_unstable();
    stops
}

fn contains(offsets: &[CodeOffset], range: &Range<CodeOffset>) -> bool {
    let first = offsets.partition_point(|&offset| offset < range.start);
    offsets.get(first).is_some_and(|&offset| offset < range.end)
}
