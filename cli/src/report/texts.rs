//! The CLIF of all functions before and after, small enough to carry along.
//!
//! What a function became is written as what is left of it and what is new, line by line. Functions
//! are compressed together by the hundred kilobytes, so that looking at one does not mean
//! unpacking all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program, ProgramFunction};
use imara_diff::{Algorithm, Diff, InternedInput};
use miniz_oxide::deflate::compress_to_vec;
use rayon::prelude::*;
use serde::Serialize;
use std::sync::Arc;

/// How much text is compressed together, in bytes before compression.
const CHUNK_BYTES: usize = 200_000;
/// As small as it gets in reasonable time.
const LEVEL: u8 = 9;

/// A function's text before, and how that after is made of it.
#[derive(Serialize)]
struct Text(String, Option<Vec<Piece>>);

/// A piece of the text after.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    /// So many lines of the text before, from this one on.
    Lines(usize, usize),
    /// New lines.
    New(String),
}

/// Compressed texts.
pub(super) struct Texts {
    /// The number of the first function of each chunk.
    pub(super) starts: Vec<usize>,
    /// In base64 what DEFLATE makes of a JSON array, a member a function.
    pub(super) chunks: Vec<String>,
}

/// The texts of all functions of `program` and of what became of them.
pub(super) fn compress(program: &Program, inlined: &Inlined) -> Texts {
    let ids: Vec<FunctionId> = program.ids().collect();
    let texts: Vec<(usize, String)> = ids
        .par_iter()
        .map(|&id| {
            let json = serde_json::to_string(&text(program, inlined, id));
            // Strings and numbers always are JSON.
            let json = json.unwrap_or_else(|_| "[\"\",null]".to_owned());
            (json.len(), json)
        })
        .collect();
    let mut starts = Vec::new();
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut bytes = CHUNK_BYTES;
    for (number, (size, json)) in texts.iter().enumerate() {
        if bytes >= CHUNK_BYTES {
            starts.push(number);
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(group) = groups.last_mut() {
            group.push(json);
        }
    }
    let chunks = groups.par_iter().map(|group| {
        let json = format!("[{}]", group.join(","));
        STANDARD.encode(compress_to_vec(json.as_bytes(), LEVEL))
    });
    Texts {
        starts,
        chunks: chunks.collect(),
    }
}

fn text(program: &Program, inlined: &Inlined, id: FunctionId) -> Text {
    let Some(function) = program.get(id) else {
        return Text(String::new(), None);
    };
    let before = clif(function.clone());
    let after = inlined.body(id);
    let after = after.filter(|after| !Arc::ptr_eq(after, function.body()));
    let after = after.map(|after| clif(ProgramFunction::new(Arc::clone(after))));
    let pieces = after.map(|after| pieces(&before, &after));
    Text(before, pieces)
}

/// The text of one function, or why there is none.
fn clif(function: ProgramFunction) -> String {
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
    fn the_text_after_is_put_together_from_what_is_left_and_what_is_new() {
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
    fn what_did_not_change_is_written_once() {
        let pieces = pieces("a\nb\nc\nd", "a\nb\nnew\nd");
        let json = serde_json::to_string(&pieces).unwrap();
        assert_eq!(json, r#"[[0,2],"new",[3,1]]"#);
    }
}
