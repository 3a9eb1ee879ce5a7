//! Tables of functions as comments of a text.
//!
//! CLIF cannot express data, so a comment before the first function says which addresses of
//! functions a read-only table holds, and where in it:
//!
//! ```text
//! ; table: %shape_of_square 24=%square_area 32=%square_grow
//! ```

use super::{FunctionName, Program, ProgramError, Table};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The tables of one text, by name.
pub(super) type TextTables = BTreeMap<FunctionName, (u32, Table)>;

/// Reads the `table` lines among the first `bytes` of `text`, which come before its functions.
pub(super) fn scan(file: &Arc<str>, text: &str, bytes: usize) -> Result<TextTables, ProgramError> {
    let mut tables = TextTables::new();
    let head = text.get(..bytes).unwrap_or_default();
    for (number, line) in (1u32..).zip(head.lines()) {
        let Some((name, entries)) = directive(line) else {
            continue;
        };
        let wrong = |message: String| ProgramError::Syntax {
            file: Arc::clone(file),
            line: number,
            message,
        };
        let parse = |text: &str| match text.parse::<FunctionName>() {
            Ok(name) if name.is_clif() => Ok(name),
            _ => Err(wrong(format!("`{text}` in a table is not a CLIF name"))),
        };
        let (_, table) = tables.entry(parse(name)?).or_insert((number, Table::new()));
        for entry in entries.split_whitespace() {
            let (offset, function) = entry.split_once('=').ok_or_else(|| {
                wrong(format!(
                    "`{entry}` is not an entry of a table: `offset=%function`"
                ))
            })?;
            let place = parse_offset(offset)
                .ok_or_else(|| wrong(format!("`{offset}` is not an offset in bytes")))?;
            let function = parse(function)?;
            if table.insert(place, function).is_some() {
                return Err(wrong(format!("table {name} has two entries at {place}")));
            }
        }
    }
    Ok(tables)
}

/// Returns the name of the table and its entries; `None` for any other comment.
fn directive(line: &str) -> Option<(&str, &str)> {
    let comment = line.trim().trim_start_matches(';').trim_start();
    let rest = comment.strip_prefix("table:")?.trim_start();
    let (name, entries) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    // Comments with other words are prose.
    let is_user = || {
        let numbers = name.strip_prefix('u')?.split_once(':')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (is_number(numbers.0) && is_number(numbers.1)).then_some(())
    };
    let is_name = name.starts_with('%') || is_user().is_some();
    is_name.then_some((name, entries))
}

fn parse_offset(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Finds an entry that contradicts one of `program`.
pub(super) fn conflict(
    program: &Program,
    tables: &TextTables,
    file: &Arc<str>,
) -> Option<ProgramError> {
    tables.iter().find_map(|(name, (line, table))| {
        let known = program.tables.get(name)?;
        let mut both = table
            .iter()
            .filter_map(|(offset, function)| Some((offset, function, known.get(offset)?)));
        let (offset, function, other) = both.find(|(_, function, other)| function != other)?;
        Some(ProgramError::Syntax {
            file: Arc::clone(file),
            line: *line,
            message: format!("table {name} has {function} at {offset}, and has {other} elsewhere"),
        })
    })
}

/// Writes the tables of `program` as comments.
pub(super) fn write(program: &Program, out: &mut impl io::Write) -> Result<(), ProgramError> {
    for (name, table) in &*program.tables {
        for name in table.values().chain([name]) {
            if !name.is_clif() {
                return Err(ProgramError::Unprintable {
                    function: name.clone(),
                    origin: None,
                    message: "a table has it, and it is not a CLIF name; `Program::with_clif_names` renames it".to_owned(),
                });
            }
        }
        write!(out, "; table: {name}")?;
        for (offset, function) in table {
            write!(out, " {offset}={function}")?;
        }
        out.write_all(b"\n")?;
    }
    if program.has_tables() {
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "function %f() {\nblock0:\n    return\n}\n";

    fn tables(head: &str) -> Result<Vec<String>, String> {
        let program = Program::from_clif(&format!("{head}{FUNCTION}"), "a.clif")
            .map_err(|error| error.to_string())?;
        let tables = program.tables().map(|name| {
            let entries = program.table(name);
            let entries = entries.map(|(offset, function)| format!(" {offset}={function}"));
            format!("{name}{}", entries.collect::<String>())
        });
        Ok(tables.collect())
    }

    #[test]
    fn entries_are_read_and_written() {
        let head = "test compile\n;; table: %b 0x10=%f -8=u1:2\n; table: u1:0 0=%g\n\
                    ; table: %b 0=f\n; table: %none\n";
        let expected = ["u1:0 0=%g", "%b -8=u1:2 0=%f 16=%f", "%none"];
        assert_eq!(tables(head).unwrap(), expected);
        let program = Program::from_clif(&format!("{head}{FUNCTION}"), "a.clif").unwrap();
        let text = program.to_clif().unwrap();
        let (head, _) = text.split_once("function").unwrap();
        assert_eq!(tables(head).unwrap(), expected);
        let again = Program::from_clif(&text, "b.clif").unwrap();
        assert_eq!(again.to_clif().unwrap(), text);
    }

    #[test]
    fn other_comments_are_prose() {
        for head in [
            "; table: the entries\n",
            "; tables: %a 0=%f\n",
            "; table: u1 0=%f\n",
            ";table\n",
        ] {
            assert_eq!(tables(head).unwrap(), [""; 0], "{head}");
        }
        let behind = format!("{FUNCTION}; table: %a 0=%f\n");
        let program = Program::from_clif(&behind, "a.clif").unwrap();
        assert_eq!(program.tables().len(), 0);
    }

    #[test]
    fn errors_name_the_line() {
        for (head, expected) in [
            (
                "; table: %a 0=%f-x\n",
                "a.clif:1: `%f-x` in a table is not a CLIF name",
            ),
            (
                "\n; table: %a 0=%f x\n",
                "a.clif:2: `x` is not an entry of a table: `offset=%function`",
            ),
            (
                "; table: %a 1.5=%f\n",
                "a.clif:1: `1.5` is not an offset in bytes",
            ),
            (
                "; table: %a 99999999999999999999=%f\n",
                "a.clif:1: `99999999999999999999` is not an offset in bytes",
            ),
            (
                "; table: %a 0=%f\n; table: %a 0=%g\n",
                "a.clif:2: table %a has two entries at 0",
            ),
        ] {
            assert_eq!(tables(head).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_conflict_leaves_the_program_as_it_was() {
        let mut program =
            Program::from_clif(&format!("; table: %a 0=%f\n{FUNCTION}"), "a.clif").unwrap();
        let before = program.to_clif().unwrap();
        let other = FUNCTION.replace("%f", "%g");
        let conflict = program.add_clif(&format!("; table: %a 0=%g 8=%g\n{other}"), "b.clif");
        assert_eq!(
            conflict.unwrap_err().to_string(),
            "b.clif:1: table %a has %g at 0, and has %f elsewhere"
        );
        assert_eq!(program.to_clif().unwrap(), before);
        let more = program.add_clif(&format!("; table: %a 0=%f 8=%g\n{other}"), "b.clif");
        assert_eq!(more.unwrap().len(), 1);
        assert!(
            program
                .to_clif()
                .unwrap()
                .starts_with("; table: %a 0=%f 8=%g\n")
        );
    }

    #[test]
    fn names_that_are_not_clif_names_are_not_written() {
        let mut program = Program::from_clif(FUNCTION, "a.clif").unwrap();
        program.add_table(FunctionName::testcase("a b"), []);
        assert!(matches!(
            program.to_clif(),
            Err(ProgramError::Unprintable { .. })
        ));
    }
}
