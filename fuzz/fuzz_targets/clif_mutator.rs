//! Mutations of CLIF by words and lines.
//!
//! Hardly any text mutated byte by byte passes the reader. Replacing a word by one of its kind (a
//! value by a value, a block by a block, a type by a type) often gives text that parses, and
//! sometimes text that verifies.

use libfuzzer_sys::fuzzer_mutate;
use std::ops::Range;

/// Mutates the first `size` bytes of `data` and returns the new size.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut choices = Choices(u64::from(seed));
    let edited = data.get(..size).and_then(|text| {
        let text = std::str::from_utf8(text).ok()?;
        // Bytes are mutated sometimes, since the reader should also see text that is not CLIF.
        (choices.below(16) != 0).then(|| edit(text, &mut choices))
    });
    match edited {
        Some(text) if text.len() <= max_size && text.len() <= data.len() => {
            data[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
}

fn edit(text: &str, choices: &mut Choices) -> String {
    let mut text = text.to_string();
    for _ in 0..=choices.below(2) {
        let edited = match choices.below(8) {
            0 => edit_lines(&text, choices),
            _ => replace_word(&text, choices),
        };
        // Some words are the only ones of their kind.
        text = edited.unwrap_or(text);
    }
    text
}

/// Replaces a word by another of its kind, or a number by another number.
fn replace_word(text: &str, choices: &mut Choices) -> Option<String> {
    let words = words(text);
    let place = choices.of(&words)?.clone();
    let old = text.get(place.clone())?;
    let wanted = kind(text, &place);
    let alike: Vec<&str> = words
        .iter()
        .filter(|word| kind(text, word) == wanted)
        .filter_map(|word| text.get(word.clone()))
        .filter(|word| *word != old)
        .collect();
    let new = match old.parse::<u32>() {
        Ok(number) if choices.below(2) == 0 => number.wrapping_add(1).to_string(),
        _ => (*choices.of(&alike)?).to_string(),
    };
    let mut edited = text.to_string();
    edited.replace_range(place, &new);
    Some(edited)
}

/// Removes, duplicates or exchanges lines.
fn edit_lines(text: &str, choices: &mut Choices) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let line = choices.below(lines.len());
    let other = choices.below(lines.len());
    let moved = *lines.get(line)?;
    match choices.below(3) {
        0 => drop(lines.remove(line)),
        1 => lines.insert(other, moved),
        _ => lines.swap(line, other),
    }
    Some(lines.join("\n") + "\n")
}

fn words(text: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, is_word(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Returns a word without its number. For a word without one, returns its context, which
/// distinguishes opcodes, names and flags.
fn kind<'a>(text: &'a str, word: &Range<usize>) -> (&'a str, Option<(char, char)>) {
    let (before, behind) = text.split_at(word.end);
    let (before, word) = before.split_at(word.start);
    let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() < word.len() {
        return (stem, None);
    }
    let last = before.trim_end_matches(' ').chars().next_back();
    let next = behind.chars().next();
    ("", Some((last.unwrap_or(' '), next.unwrap_or(' '))))
}

/// A sequence of choices that the seed determines (SplitMix64).
struct Choices(u64);

impl Choices {
    /// Returns a number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed as usize).checked_rem(end).unwrap_or(0)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}
