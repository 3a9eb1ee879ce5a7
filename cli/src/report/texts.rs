//! The CLIF of all functions before and after, and their machine code, compact enough to embed.
//!
//! The CLIF after is stored as kept and new lines of the CLIF before. Functions are compressed in
//! groups of a hundred kilobytes, so that showing one does not unpack all. If the space is too
//! small, those that changed most come first, and CLIF comes before machine code.

use super::Report;
use super::code::MachineCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program, ProgramFunction};
use imara_diff::{Algorithm, Diff, InternedInput};
use miniz_oxide::deflate::compress_to_vec;
use rayon::prelude::*;
use serde::Serialize;
use std::cmp::Reverse;
use std::sync::Arc;

/// The size of a group, in bytes before compression.
const CHUNK_BYTES: usize = 200_000;
/// The best compression in reasonable time.
const LEVEL: u8 = 9;

/// A function's text before, and the pieces that make the text after.
#[derive(Serialize)]
struct Text(String, Option<Vec<Piece>>);

/// A piece of the text after.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    /// A number of lines of the text before, from this one on.
    Lines(usize, usize),
    /// New lines.
    New(String),
}

/// The number of chunks compressed at the same time.
const AT_ONCE: usize = 16;
/// The markup around a chunk, in bytes.
const ELEMENT_BYTES: usize = 50;

/// Compressed texts.
#[derive(Default)]
pub(super) struct Texts {
    /// The numbers of the functions in each chunk.
    pub(super) numbers: Vec<Vec<usize>>,
    /// A JSON array with a member for each function, compressed by DEFLATE, in base64.
    pub(super) chunks: Vec<String>,
    /// The number of functions left out.
    pub(super) left_out: usize,
}

impl Texts {
    /// Returns the bytes of the chunks in the page.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |chunk: &String| chunk.len() + ELEMENT_BYTES;
        self.chunks.iter().map(bytes).sum()
    }
}

/// Functions whose texts are compressed together.
#[derive(Default)]
struct Group {
    numbers: Vec<usize>,
    texts: Vec<String>,
}

/// Returns the CLIF of a report's functions before and after, in at most `room` bytes.
pub(super) fn clif(report: &Report<'_>, room: usize) -> Texts {
    let json = |number: usize| {
        let id = report.shown.functions[number];
        to_json(&text(report.program, report.inlined, id))
    };
    compress(report, |_| true, json, room)
}

/// Returns the machine code of a report's functions, in at most `room` bytes.
pub(super) fn machine_code(report: &Report<'_>, code: &MachineCode<'_>, room: usize) -> Texts {
    let id = |number: usize| report.shown.functions[number];
    let json = |number| to_json(&code.listing(report.program, report.inlined, id(number)));
    compress(report, |number| code.has(id(number)), json, room)
}

fn to_json(text: &impl Serialize) -> String {
    // Strings and numbers are always valid JSON.
    serde_json::to_string(text).unwrap_or_else(|_| "null".to_owned())
}

/// Compresses the texts of the functions that have one, as JSON: those that changed most first,
/// then the unchanged ones, the smallest first.
fn compress(
    report: &Report<'_>,
    has_text: impl Fn(usize) -> bool,
    json: impl Fn(usize) -> String + Sync,
    mut room: usize,
) -> Texts {
    let functions = &report.shown.functions;
    let mut order: Vec<usize> = (0..functions.len()).collect();
    order.retain(|&number| has_text(number));
    order.sort_by_key(|&number| {
        let stats = report.inlined.stats(functions[number]);
        let change = stats.insts_after.abs_diff(stats.insts_before);
        let is_changed = change > 0 || stats.inlined > 0;
        let unchanged = if is_changed { 0 } else { stats.insts_before };
        (!is_changed, Reverse(change), unchanged)
    });
    let mut texts = Texts::default();
    let mut left = order.as_slice();
    while !left.is_empty() {
        let groups = groups(&json, &mut left);
        let chunks: Vec<String> = groups
            .par_iter()
            .map(|group| {
                let json = format!("[{}]", group.texts.join(","));
                STANDARD.encode(compress_to_vec(json.as_bytes(), LEVEL))
            })
            .collect();
        let mut is_full = true;
        for (group, chunk) in groups.into_iter().zip(chunks) {
            let Some(rest) = room.checked_sub(chunk.len() + ELEMENT_BYTES) else {
                texts.left_out += group.numbers.len();
                continue;
            };
            room = rest;
            is_full = false;
            texts.numbers.push(group.numbers);
            texts.chunks.push(chunk);
        }
        if is_full {
            texts.left_out += left.len();
            break;
        }
    }
    texts
}

/// Returns the next groups of the functions that are `left`.
fn groups(json: &(impl Fn(usize) -> String + Sync), left: &mut &[usize]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = CHUNK_BYTES;
    while !left.is_empty() && (groups.len() < AT_ONCE || bytes < CHUNK_BYTES) {
        let (next, rest) = left.split_at(left.len().min(AT_ONCE));
        let texts: Vec<String> = next.par_iter().map(|&number| json(number)).collect();
        *left = rest;
        for (&number, text) in next.iter().zip(texts) {
            if bytes >= CHUNK_BYTES {
                groups.push(Group::default());
                bytes = 0;
            }
            bytes += text.len();
            if let Some(group) = groups.last_mut() {
                group.numbers.push(number);
                group.texts.push(text);
            }
        }
    }
    groups
}

fn text(program: &Program, inlined: &Inlined, id: FunctionId) -> Text {
    let Some(function) = program.get(id) else {
        return Text(String::new(), None);
    };
    let before = clif_of(function.clone());
    let after = inlined.body(id);
    let after = after.filter(|after| !Arc::ptr_eq(after, function.body()));
    let after = after.map(|after| clif_of(ProgramFunction::new(Arc::clone(after))));
    let pieces = after.map(|after| pieces(&before, &after));
    Text(before, pieces)
}

/// Returns the text of one function, or the reason for its absence.
fn clif_of(function: ProgramFunction) -> String {
    let mut alone = Program::new();
    let text = alone.add_function(function).and_then(|_| alone.to_clif());
    text.unwrap_or_else(|error| format!("; {error}"))
}

fn pieces(before: &str, after: &str) -> Vec<Piece> {
    let mut input = InternedInput::default();
    input.update_before(before.lines());
    input.update_after(after.lines());
    let new: Vec<&str> = after.lines().collect();
    let mut pieces = Vec::new();
    let mut left = 0;
    let stays =
        |from: usize, to: usize| (to > from).then_some(Piece::Lines(from, to.saturating_sub(from)));
    let index = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    for hunk in Diff::compute(Algorithm::Histogram, &input).hunks() {
        pieces.extend(stays(left, index(hunk.before.start)));
        left = index(hunk.before.end);
        let lines = new.get(index(hunk.after.start)..index(hunk.after.end));
        let lines = lines.unwrap_or_default();
        if !lines.is_empty() {
            pieces.push(Piece::New(lines.join("\n")));
        }
    }
    pieces.extend(stays(left, input.before.len()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Names;
    use cranelift_inliner::backend::{TargetSettings, target};
    use cranelift_inliner::decide::Always;
    use cranelift_inliner::pass::Inliner;

    /// Returns a function with a body of so many additions, and calls of %leaf before them.
    fn function(name: &str, additions: usize, calls: usize) -> String {
        let mut text = format!(
            "function %{name}(i64) -> i64 {{\n    fn0 = %leaf(i64) -> i64\nblock0(v0: i64):\n"
        );
        for call in 0..calls {
            text += &format!("    v{} = call fn0(v{call})\n", call + 1);
        }
        for add in calls..calls + additions {
            text += &format!("    v{} = iadd v{add}, v0\n", add + 1);
        }
        text + &format!("    return v{}\n}}\n", calls + additions)
    }

    #[test]
    fn where_room_is_short_texts_of_the_greatest_changes_come_first() {
        let text = "function %leaf(i64) -> i64 {\nblock0(v0: i64):\n    v1 = imul v0, v0\n    \
                    v2 = imul v1, v0\n    return v2\n}\n"
            .to_owned()
            + &function("large", 9000, 0)
            + &function("once", 9000, 1)
            + &function("twice", 9000, 2);
        let program = Program::from_clif(&text, "test").unwrap();
        let inlined = Inliner::new(Always).run(&program).unwrap();
        let names: Names<'_> = Box::new(ToString::to_string);
        let report = Report::new(&inlined, &names);
        let all = clif(&report, usize::MAX);
        // Each of the large ones fills a chunk; %leaf did not change, and is small.
        assert_eq!(all.numbers, [vec![3], vec![2], vec![0, 1]]);
        assert_eq!(all.left_out, 0);
        let bytes = |chunks: usize| -> usize {
            all.chunks[..chunks]
                .iter()
                .map(|chunk| chunk.len() + ELEMENT_BYTES)
                .sum()
        };
        for chunks in 0..=3 {
            let some = clif(&report, bytes(chunks));
            assert_eq!(some.chunks, all.chunks[..chunks]);
            assert_eq!(some.numbers, all.numbers[..chunks]);
            let shown: usize = some.numbers.iter().map(Vec::len).sum();
            assert_eq!(shown + some.left_out, 4);
        }
    }

    #[test]
    fn machine_code_is_left_out_by_the_same_rule() {
        let text = function("large", 9000, 0)
            + &function("once", 9000, 1)
            + &function("leaf", 3, 0).replace("fn0 = %leaf(i64) -> i64\n", "");
        let program = Program::from_clif(&text, "test").unwrap();
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let (inlined, compiled) = Inliner::new(Always)
            .run_and_compile(&program, &*isa)
            .unwrap();
        let code = MachineCode::new(isa, &compiled);
        let names: Names<'_> = Box::new(ToString::to_string);
        let report = Report::new(&inlined, &names);
        let all = machine_code(&report, &code, usize::MAX);
        assert_eq!(all.numbers.concat(), [1, 2, 0]);
        assert_eq!(all.left_out, 0);
        let some = machine_code(&report, &code, all.bytes() - 1);
        assert_eq!(some.left_out, 3 - some.numbers.concat().len());
        assert!(some.left_out > 0 && all.numbers.starts_with(&some.numbers));
        assert!(some.bytes() < all.bytes());
    }

    fn put_together(before: &str, pieces: &[Piece]) -> String {
        let old: Vec<&str> = before.lines().collect();
        let mut lines = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Lines(first, count) => lines.extend(&old[*first..first + count]),
                Piece::New(text) => lines.extend(text.split('\n')),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn the_text_after_is_put_together_from_old_and_new_lines() {
        let before = "a\nb\n\nc\nd\ne";
        for after in [
            "a\nb\n\nc\nd\ne",
            "x",
            "",
            "a\nc\nx\ny\n\ne\nz",
            "e\na\nb\n\n",
        ] {
            let after = after.trim_end();
            assert_eq!(put_together(before, &pieces(before, after)), after);
        }
    }

    #[test]
    fn unchanged_text_is_written_once() {
        let pieces = pieces("a\nb\nc\nd", "a\nb\nnew\nd");
        let json = serde_json::to_string(&pieces).unwrap();
        assert_eq!(json, r#"[[0,2],"new",[3,1]]"#);
    }
}
