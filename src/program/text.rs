//! Parses CLIF text to functions.
//!
//! The text is cut at function boundaries and the pieces are parsed in parallel by Cranelift's
//! reader. A piece is one function and the comments after it, which is how the reader assigns
//! comments to functions. The cut follows the reader's lexer: braces count except in comments and
//! in strings. Text that the reader cannot cope with is refused [before](super::scan).

use super::error::ProgramError;
use super::function::{Origin, ProgramFunction, RunDirective};
use super::header::FileHeader;
use super::name::FunctionName;
use super::scan::{Scan, most_left_out};
use super::tables::{self, TextTables};
use crate::body::set_srcloc;
use crate::panics;
use cranelift_codegen::ir::{Function, Inst, SourceLoc};
use cranelift_codegen::isa::CallConv;
use cranelift_reader::{Comment, ParseOptions, parse_test};
use rayon::prelude::*;
use std::sync::Arc;
use target_lexicon::Triple;

/// The content of one text.
pub(super) struct ParsedText {
    pub(super) header: Arc<FileHeader>,
    pub(super) functions: Vec<ProgramFunction>,
    pub(super) tables: TextTables,
}

/// Parses all functions of `text`, which errors and origins name as `file`.
///
/// Of several errors, the one that comes first in the text is returned.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<ParsedText, ProgramError> {
    let parsed = parse_some(text, file, None)?;
    match parsed.functions.is_empty() {
        true => Err(ProgramError::Empty {
            file: Arc::clone(file),
        }),
        false => Ok(parsed),
    }
}

/// Like [`parse`], but only the functions whose names `wanted` takes, perhaps none. The text of the
/// others is not checked.
pub(super) fn parse_some(
    text: &str,
    file: &Arc<str>,
    wanted: Option<&dyn Fn(&FunctionName) -> bool>,
) -> Result<ParsedText, ProgramError> {
    let (header, skipped_bytes, skipped_lines) = FileHeader::scan(file, text);
    let header = Arc::new(header);
    let tables = tables::scan(file, text, skipped_bytes)?;
    let default_call_conv = if header.has_test("run") {
        CallConv::triple_default(&Triple::host())
    } else {
        CallConv::Fast
    };
    let functions = text.get(skipped_bytes..).unwrap_or("");
    let pieces = match wanted {
        Some(wanted) => split_some(functions, skipped_lines, wanted),
        None => split(functions, skipped_lines),
    };
    let scans: Vec<Scan<'_>> = pieces
        .par_iter()
        .map(|piece| Scan::of(piece.text))
        .collect();
    check_numbers(&pieces, &scans, text.len(), file)?;
    let parsed: Vec<Result<Vec<ProgramFunction>, ProgramError>> = pieces
        .par_iter()
        .zip(&scans)
        .map(|(piece, scan)| parse_scanned(piece, scan, &header, default_call_conv))
        .collect();

    let mut functions = Vec::with_capacity(parsed.len());
    for piece in parsed {
        functions.extend(piece?);
    }
    Ok(ParsedText {
        header,
        functions,
        tables,
    })
}

/// Refuses entities with numbers far beyond the length of the text, all functions together.
fn check_numbers(
    pieces: &[Piece<'_>],
    scans: &[Scan<'_>],
    bytes: usize,
    file: &Arc<str>,
) -> Result<(), ProgramError> {
    let most = most_left_out(bytes);
    let mut left_out = 0_usize;
    for (piece, scan) in pieces.iter().zip(scans) {
        left_out = left_out.saturating_add(scan.left_out);
        if left_out > most {
            let (entity, line_in_piece) = scan.greatest.unwrap_or(("", 0));
            return Err(ProgramError::Syntax {
                file: Arc::clone(file),
                line: line_number(piece.lines_before + line_in_piece + 1),
                message: format!(
                    "the number of {entity} is too great: a text of {bytes} bytes may leave out \
                     {most} numbers of entities"
                ),
            });
        }
    }
    Ok(())
}

/// A part of the text that holds one function, if the text is well formed.
#[derive(Debug, PartialEq)]
struct Piece<'a> {
    text: &'a str,
    /// The number of lines of the whole text before the piece.
    lines_before: usize,
}

/// Like [`split`], but only the pieces of wanted functions.
///
/// Most of the text is only searched for lines that begin like a function, which is several times
/// as fast. A line of a string may begin so too; then the text behind it is not a function of that
/// name that parses, or not the one that the caller knows by its hash.
fn split_some<'t>(
    text: &'t str,
    lines_before: usize,
    wanted: &dyn Fn(&FunctionName) -> bool,
) -> Vec<Piece<'t>> {
    const START: &str = "function ";
    let mut pieces = Vec::new();
    let (mut line, mut counted) = (lines_before, 0);
    let starts = text.match_indices(START).map(|(at, _)| at);
    for at in starts {
        let (before, rest) = text.split_at(at);
        if !before.is_empty() && !before.ends_with('\n') {
            continue;
        }
        let piece = Piece {
            text: rest,
            lines_before: 0,
        };
        if !piece.name().is_some_and(|name| wanted(&name)) {
            continue;
        }
        let between = text.get(counted..at).unwrap_or_default();
        line += between.bytes().filter(|&byte| byte == b'\n').count();
        counted = at;
        pieces.extend(split_first(rest, line, 1));
    }
    pieces
}

impl Piece<'_> {
    /// Returns the name of its function, if it begins as one does.
    fn name(&self) -> Option<FunctionName> {
        let rest = self.text.strip_prefix("function")?;
        let rest = rest.trim_start();
        let end = rest.find(|c: char| c == '(' || c.is_whitespace())?;
        rest.get(..end)?.parse().ok()
    }
}

/// Cuts `text`, before which `lines_before` lines end, at the first token after each function.
fn split(text: &str, lines_before: usize) -> Vec<Piece<'_>> {
    split_first(text, lines_before, usize::MAX)
}

/// Returns at most the first `most` pieces.
fn split_first(text: &str, lines_before: usize, most: usize) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut line = lines_before;
    let mut depth = 0_usize;
    // Where the current piece starts and on which line; `None` before the first token.
    let mut start: Option<(usize, usize)> = None;
    let mut between = true;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' => line += 1,
            b' ' | b'\x09'..=b'\x0d' => {}
            b';' => {
                if bytes.any(|(_, byte)| byte == b'\n') {
                    line += 1;
                }
            }
            _ => {
                if between {
                    if let Some((start, lines_before)) = start {
                        pieces.extend(piece(text, start, at, lines_before));
                        if pieces.len() >= most {
                            return pieces;
                        }
                    }
                    start = Some((at, line));
                    between = false;
                }
                match byte {
                    b'{' => depth += 1,
                    b'}' => {
                        depth = depth.saturating_sub(1);
                        between = depth == 0;
                    }
                    b'"' => {
                        for (_, byte) in bytes.by_ref() {
                            match byte {
                                b'"' => break,
                                b'\n' => line += 1,
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    if let Some((start, lines_before)) = start {
        pieces.extend(piece(text, start, text.len(), lines_before));
    }
    pieces
}

fn piece(text: &str, start: usize, end: usize, lines_before: usize) -> Option<Piece<'_>> {
    let text = text.get(start..end)?;
    Some(Piece { text, lines_before })
}

fn parse_scanned(
    piece: &Piece<'_>,
    scan: &Scan<'_>,
    header: &Arc<FileHeader>,
    default_calling_convention: CallConv,
) -> Result<Vec<ProgramFunction>, ProgramError> {
    let Some((text, stands_for)) = scan.with_other_locations(piece.text) else {
        return parse_piece(piece, header, default_calling_convention, |_| {});
    };
    let piece = Piece {
        text: &text,
        lines_before: piece.lines_before,
    };
    parse_piece(&piece, header, default_calling_convention, |body| {
        give_back_locations(body, &stands_for);
    })
}

/// Gives each instruction the location for which its own stands.
fn give_back_locations(body: &mut Function, stands_for: &[u32]) {
    let blocks = body.layout.blocks();
    let insts = blocks.flat_map(|block| body.layout.block_insts(block));
    let located = insts.map(|inst| (inst, body.srcloc(inst)));
    let located: Vec<(Inst, SourceLoc)> = located.filter(|(_, at)| !at.is_default()).collect();
    body.stencil.srclocs.clear();
    for (inst, at) in located {
        let index = usize::try_from(at.bits()).unwrap_or(usize::MAX);
        let location = stands_for.get(index).copied();
        debug_assert!(location.is_some(), "{at} stands for nothing");
        set_srcloc(
            body,
            inst,
            location.map_or(SourceLoc::default(), SourceLoc::new),
        );
    }
}

fn parse_piece(
    piece: &Piece<'_>,
    header: &Arc<FileHeader>,
    default_calling_convention: CallConv,
    finish: impl Fn(&mut Function),
) -> Result<Vec<ProgramFunction>, ProgramError> {
    let line_of = |line_in_piece: usize| line_number(piece.lines_before + line_in_piece);
    let syntax_error = |line_in_piece: usize, message: String| ProgramError::Syntax {
        file: Arc::clone(header.file()),
        line: line_of(line_in_piece.max(1)),
        message,
    };
    // The reader would take `test`, `set` and the like for the header of a file of its own.
    let rest = piece.text.strip_prefix("function");
    if rest.is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
        return Err(syntax_error(1, "expected 'function'".to_string()));
    }
    let options = ParseOptions {
        default_calling_convention,
        ..ParseOptions::default()
    };
    let file = panics::catch(|| parse_test(piece.text, options))
        .map_err(|message| syntax_error(1, format!("the reader gave up: {message}")))?
        .map_err(|error| syntax_error(error.location.line_number, error.message))?;
    let functions = file.functions.into_iter().map(|(mut body, details)| {
        finish(&mut body);
        let origin = Origin {
            file: Arc::clone(header.file()),
            line: line_of(details.location.line_number),
        };
        let directives = run_directives(piece, &details.comments);
        ProgramFunction::new(body)
            .with_origin(origin)
            .with_text(directives, Arc::clone(header))
    });
    Ok(functions.collect())
}

fn run_directives(piece: &Piece<'_>, comments: &[Comment<'_>]) -> Vec<RunDirective> {
    let mut directives = Vec::new();
    let mut lines = LineCounter::new(piece);
    for comment in comments {
        let text = comment
            .text
            .trim_start_matches(|c: char| c == ';' || c.is_ascii_whitespace());
        let word_end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        if matches!(text.get(..word_end), Some("run" | "print")) {
            directives.push(RunDirective {
                line: lines.line_of(comment.text),
                text: text.trim_end().to_string(),
            });
        }
    }
    directives
}

/// Finds the line of slices of a piece, which are asked for in the order of the text.
///
/// The reader gives the entity that a comment belongs to but not its line.
struct LineCounter<'a> {
    text: &'a str,
    counted_to: usize,
    newlines: usize,
}

impl<'a> LineCounter<'a> {
    fn new(piece: &Piece<'a>) -> Self {
        Self {
            text: piece.text,
            counted_to: 0,
            newlines: piece.lines_before,
        }
    }

    fn line_of(&mut self, slice: &str) -> u32 {
        let offset = (slice.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        if let Some(passed) = self.text.as_bytes().get(self.counted_to..offset) {
            self.newlines += passed.iter().filter(|byte| **byte == b'\n').count();
            self.counted_to = offset;
        }
        line_number(self.newlines + 1)
    }
}

fn line_number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<str> {
        Arc::from("t.clif")
    }

    fn syntax_error(text: &str) -> (u32, String) {
        match parse(text, &file()) {
            Err(ProgramError::Syntax { line, message, .. }) => (line, message),
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("it parses"),
        }
    }

    #[test]
    fn pieces_end_where_the_next_function_starts() {
        let text = "; first { comment\nfunction %a() {\n; } not here\n}\n; tail of a\n\
                    function %b() {\n region0 = 1 \"}\n{\"\n}";
        let pieces = split(text, 10);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].text.starts_with("function %a"));
        assert!(pieces[0].text.ends_with("; tail of a\n"));
        assert_eq!(pieces[0].lines_before, 11);
        assert!(pieces[1].text.starts_with("function %b"));
        assert_eq!(pieces[1].lines_before, 15);
    }

    #[test]
    fn functions_on_one_line_are_cut_too() {
        let text = "function %a() { block0: return } function %b() { block0: return }";
        let parsed = parse(text, &file()).unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<String> = parsed
            .functions
            .iter()
            .map(|function| function.name().to_string())
            .collect();
        assert_eq!(names, ["%a", "%b"]);
    }

    #[test]
    fn origins_and_directives_have_the_lines_of_the_whole_text() {
        let text = "test run\ntarget x86_64\n\n; intro\nfunction %a(i32) -> i32 {\n\
                    block0(v0: i32):\n    return v0 ; runs well\n}\n; run: %a(1) == 1\n\n\
                    ;   print: %a(2)  \n; running text\nfunction %b() {\nblock0:\n\
                    ; run\n    return\n}\n";
        let parsed = parse(text, &file()).unwrap_or_else(|error| panic!("{error}"));
        let lines: Vec<u32> = parsed
            .functions
            .iter()
            .map(|function| function.origin().map_or(0, |origin| origin.line))
            .collect();
        assert_eq!(lines, [5, 13]);
        let directives = |index: usize| -> Vec<(u32, &str)> {
            parsed.functions[index]
                .run_directives()
                .iter()
                .map(|directive| (directive.line, directive.text.as_str()))
                .collect()
        };
        assert_eq!(
            directives(0),
            [(9, "run: %a(1) == 1"), (11, "print: %a(2)")]
        );
        assert_eq!(directives(1), [(15, "run")]);
    }

    #[test]
    fn test_run_selects_the_hosts_calling_convention() {
        let function = "function %a() {\nblock0:\n    return\n}\n";
        let call_conv = |text: &str| match parse(text, &file()) {
            Ok(parsed) => parsed.functions[0].body().signature.call_conv,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(call_conv(function), CallConv::Fast);
        assert_eq!(
            call_conv(&format!("test run\n{function}")),
            CallConv::triple_default(&Triple::host())
        );
    }

    #[test]
    fn errors_have_the_line_of_the_whole_text() {
        let good = "function %a() {\nblock0:\n    return\n}\n";
        let (line, message) = syntax_error(&format!(
            "{good}\nfunction %b() {{\nblock0:\n    retrun\n}}\n"
        ));
        assert_eq!(line, 8);
        assert!(message.contains("retrun"), "{message}");
        assert_eq!(
            syntax_error(&format!("{good}\ntarget x86_64\n{good}")),
            (6, "expected 'function'".to_string())
        );
        assert_eq!(syntax_error("functional").0, 1);
        assert_eq!(syntax_error("\n\u{e9}").0, 2);
        let bad = "function %c() {\nblock0:\n    retrun\n}\n";
        assert_eq!(
            syntax_error(&format!("{good}{bad}{bad}")).0,
            7,
            "of two errors the first"
        );
    }

    #[test]
    fn strange_text_is_an_error_and_no_panic() {
        // The reader looks up the scale of `dt0` in a global value that does not exist.
        let panics = "function %a() {\n    dt0 = i8*gv0\nblock0:\n    v0 = iconst.dt0 1\n\
                      \x20   return\n}\n";
        let (line, message) = syntax_error(&format!("; first\n{panics}"));
        assert_eq!(line, 2);
        assert!(message.starts_with("the reader gave up: "), "{message}");
        for strange in [
            "function %a() { ss0 = explicit_slot 4, align=0 }",
            "function %a() { block0: v0 = iconst.i8 0x }",
            "function %a(",
            "function %a() {{ block0: return }}",
            "}",
            "\"",
            "function %a() { block0: v0 -> v0 }",
            "function %a() { block0: v0 = f32const NaN:0xzz return }",
            "function %a() { block0: v0 = vconst.i8x16 [1 2] return }",
            "function %a() { block0: return } \"",
        ] {
            assert!(parse(strange, &file()).is_err(), "{strange}");
        }
    }

    #[test]
    fn numbers_that_ask_for_all_memory_are_errors() {
        for entity in [
            "gv4000000000 = vmctx",
            "ss4000000000 = explicit_slot 8",
            "fn4000000000 = %f()",
            "sig4000000000 = ()",
            "gv40000000 = vmctx",
        ] {
            let text = format!("\nfunction %a() {{\n    {entity}\nblock0:\n    return\n}}\n");
            let (line, message) = syntax_error(&text);
            assert_eq!(line, 3, "{entity}: {message}");
            let name = entity.split(' ').next().unwrap_or_default();
            assert!(message.contains(name), "{message}");
        }
        for (line, body) in [
            (4, "v4000000000 = iconst.i8 0"),
            (3, "jump block4000000000"),
            (5, "jump block1\nblock1(v9:i8):\nv4000000000 -> v9"),
        ] {
            let text = format!("function %a() {{\nblock0:\n{body}\nreturn\n}}\n");
            let line = if body.starts_with('v') {
                line - 1
            } else {
                line
            };
            assert_eq!(syntax_error(&text).0, line, "{body}");
        }
        let sparse = |number: usize| {
            format!("function %a() {{\nblock0:\n    v{number} = iconst.i8 0\n    return\n}}\n")
        };
        let most = most_left_out(0);
        assert!(parse(&sparse(most), &file()).is_ok());
        // All functions share the allowance.
        let half = sparse(most * 2 / 3);
        assert!(parse(&half, &file()).is_ok());
        assert_eq!(syntax_error(&format!("{half}{half}")).0, 8);
        // Numbers that are unique in the whole program.
        let function = |number: usize| {
            format!("function %f{number}() {{\n    fn{number} = %g()\nblock0:\n    return\n}}\n")
        };
        let program: String = (0..3000).map(function).collect();
        assert!(parse(&program, &file()).is_ok());
    }

    #[test]
    fn locations_one_below_the_first_are_kept() {
        let text = "function %a(i8) -> i8 {\nblock0(v0: i8):\n@0002 v1 = bnot v0\n\
                    @0001 v2 = bnot v1\n@ffffffff v3 = bnot v2\n@0000 v4 = bnot v3\n    \
                    v5 = bnot v4 ; @0001\n    return v5\n}\n; run: %a(1) == -2\n";
        let parsed = parse(text, &file()).unwrap_or_else(|error| panic!("{error}"));
        let function = &parsed.functions[0];
        let body = function.body();
        let insts = body
            .layout
            .blocks()
            .flat_map(|block| body.layout.block_insts(block));
        let bits: Vec<u32> = insts.map(|inst| body.srcloc(inst).bits()).collect();
        assert_eq!(bits, [2, 1, u32::MAX, 0, u32::MAX, u32::MAX]);
        let [directive] = function.run_directives() else {
            panic!("no directive");
        };
        assert_eq!(
            (directive.line, directive.text.as_str()),
            (10, "run: %a(1) == -2")
        );
    }

    #[test]
    fn text_without_a_function_is_an_error() {
        for text in ["", "\n\n", "; only a comment", "test run\ntarget x86_64\n"] {
            assert!(
                matches!(parse(text, &file()), Err(ProgramError::Empty { file }) if &*file == "t.clif"),
                "{text:?}"
            );
        }
    }
}
