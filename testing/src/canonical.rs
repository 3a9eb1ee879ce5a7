//! Functions up to renaming: a text that numbers entities in order of appearance.
//!
//! Two orders of splicing give the same function with other numbers: values, blocks and stack slots
//! are numbered in order of creation. [`CanonicalText`] is equal for functions that differ only in
//! numbers. It uses the function's printed text, so it shares no code with the numbering of
//! entities.
//!
//! Values, blocks and stack slots are *renumbered*. Signatures, function references, global values,
//! constants, alias regions and dynamic types are *written out* at their uses, since the choice
//! between equal ones does not matter. Aliases are *followed*. The order of instructions, debug
//! tags, stack maps, source locations and value labels are *kept*, and so is the order of blocks,
//! unless it is [left out](CanonicalText::in_any_block_order).
//!
//! ```
//! use cranelift_inliner_testing::canonical::CanonicalText;
//!
//! let functions = cranelift_reader::parse_functions("
//! function %f(i32) -> i32 {
//!     fn7 = %g(i32) -> i32
//! block3(v9: i32):
//!     v5 -> v9
//!     v1 = call fn7(v5)
//!     return v1
//! }
//! function %f(i32) -> i32 {
//!     sig1 = (i32) -> i32
//!     fn0 = %g sig1
//! block0(v0: i32):
//!     v1 = call fn0(v0)
//!     return v1
//! }")?;
//! let texts: Vec<_> = functions.iter().map(CanonicalText::of).collect::<Result<_, _>>()?;
//! assert_eq!(texts[0], texts[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use cranelift_codegen::ir::{Function, Value, ValueLabelAssignments};
use cranelift_entity::EntityRef;
use cranelift_inliner::cleanup::spread_cold;
use cranelift_inliner::program::{ProgramError, function_text};
use rustc_hash::FxHashMap;
use std::fmt::Write;

/// The greatest nesting of definitions; those of valid functions end long before.
const DEEPEST: usize = 100;

/// A function's text with entities numbered in order of appearance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalText {
    text: String,
    labels: Vec<String>,
    idle_slots: Vec<String>,
}

impl CanonicalText {
    /// Returns the text of `func`.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Unprintable`] for a function that Cranelift cannot print. One that verifies
    /// can be printed.
    pub fn of(func: &Function) -> Result<Self, ProgramError> {
        let text = function_text(func)?;
        Ok(Writer::new(&text).write(func, true))
    }

    /// Returns the text of `func` with blocks in the order of their first mention, and with each
    /// block cold that is only reached through cold ones. It is equal for functions that also
    /// differ in their layout.
    ///
    /// # Errors
    ///
    /// See [`of`](Self::of).
    pub fn in_any_block_order(func: &Function) -> Result<Self, ProgramError> {
        let mut func = func.clone();
        spread_cold(&mut func);
        let text = function_text(&func)?;
        Ok(Writer::new(&text).write(&func, false))
    }

    /// Returns the text, except [`labels`](Self::labels) and [`idle_slots`](Self::idle_slots).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the value labels, one per line, sorted. Labels of values that are not in the text
    /// are left out.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Returns the stack slots with a key that no instruction, tag or stack map names, as text,
    /// sorted. Unused slots without a key are left out.
    pub fn idle_slots(&self) -> &[String] {
        &self.idle_slots
    }
}

struct Writer<'t> {
    /// The definition of each entity of the preamble.
    definitions: FxHashMap<&'t str, &'t str>,
    slots: Vec<&'t str>,
    /// The text outside of blocks.
    head: Vec<&'t str>,
    /// The lines of each block, by its number in the layout.
    blocks: Vec<Vec<&'t str>>,
    layout: FxHashMap<&'t str, usize>,
    /// Blocks of the layout in the order of their first mention.
    named: Vec<usize>,
    aliases: FxHashMap<&'t str, &'t str>,
    numbers: FxHashMap<&'t str, usize>,
    /// The numbers of values, blocks, stack slots and dynamic stack slots so far.
    counts: [usize; 4],
    out: String,
}

/// The renumbered entities.
const NUMBERED: [&str; 4] = ["v", "block", "ss", "dss"];
/// The written-out entities.
const WRITTEN_OUT: [&str; 6] = ["sig", "fn", "gv", "const", "region", "dt"];

impl<'t> Writer<'t> {
    fn new(text: &'t str) -> Self {
        let mut writer = Writer {
            definitions: FxHashMap::default(),
            slots: Vec::new(),
            head: Vec::new(),
            blocks: Vec::new(),
            layout: FxHashMap::default(),
            named: Vec::new(),
            aliases: FxHashMap::default(),
            numbers: FxHashMap::default(),
            counts: [0; 4],
            out: String::new(),
        };
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.ends_with(':') && kind(&line[..word_length(line)]) == Some("block") {
                let name = &line[..word_length(line)];
                writer.layout.insert(name, writer.blocks.len());
                writer.blocks.push(vec![line]);
            } else if index == 0 {
                writer.head.push(line);
            } else if let Some(block) = writer.blocks.last_mut() {
                match line.split_once(" -> ") {
                    Some((alias, value)) if kind(alias) == Some("v") => {
                        writer.aliases.insert(alias, value);
                    }
                    _ if line.is_empty() || line == "}" => {}
                    _ => block.push(line),
                }
            } else if let Some((name, definition)) = line.split_once(" = ") {
                writer.definitions.insert(name, definition);
                match kind(name) {
                    Some("ss" | "dss") => writer.slots.push(name),
                    Some(_) => {}
                    None => writer.head.push(line),
                }
            }
        }
        writer
    }

    fn write(mut self, func: &Function, in_layout_order: bool) -> CanonicalText {
        for line in std::mem::take(&mut self.head) {
            self.rewrite(line, 0);
            self.out.push('\n');
        }
        let mut blocks = std::mem::take(&mut self.blocks);
        let mut next_named = 0;
        for block in 0..blocks.len() {
            self.write_block(&mut blocks[block]);
            while !in_layout_order && let Some(&named) = self.named.get(next_named) {
                next_named += 1;
                self.write_block(&mut blocks[named]);
            }
        }
        let mut slots = Vec::new();
        let mut idle_slots = Vec::new();
        for name in std::mem::take(&mut self.slots) {
            let definition = self.definitions.get(name).copied().unwrap_or_default();
            let start = self.out.len();
            self.rewrite(definition, 0);
            let definition = self.out.split_off(start);
            match self.numbers.get(name) {
                Some(&number) => slots.push((kind(name), number, definition)),
                None if definition.contains("key") => idle_slots.push(definition),
                None => {}
            }
        }
        slots.sort();
        idle_slots.sort();
        for (kind, number, definition) in slots {
            let kind = kind.unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(self.out, "{kind}{number} = {definition}");
        }
        CanonicalText {
            labels: self.labels(func),
            text: self.out,
            idle_slots,
        }
    }

    /// Writes the rest of a block: nothing if it was written before.
    fn write_block(&mut self, lines: &mut Vec<&'t str>) {
        for line in std::mem::take(lines) {
            self.rewrite(line, 0);
            self.out.push('\n');
        }
    }

    fn labels(&self, func: &Function) -> Vec<String> {
        let Some(labels) = &func.dfg.values_labels else {
            return Vec::new();
        };
        let base = func.params.base_srcloc();
        let mut lines = Vec::new();
        for (value, assignments) in labels {
            let Some(number) = self.number_of(*value) else {
                continue;
            };
            match assignments {
                ValueLabelAssignments::Starts(starts) => {
                    let starts = starts.iter();
                    lines.extend(starts.map(|start| {
                        let label = start.label.index();
                        format!("v{number}: label {label} from {}", start.from.expand(base))
                    }));
                }
                ValueLabelAssignments::Alias { from, value } => {
                    let of = self.number_of(*value);
                    let from = from.expand(base);
                    lines.push(format!("v{number}: labels of {of:?} from {from}"));
                }
            }
        }
        lines.sort();
        lines.dedup();
        lines
    }

    fn number_of(&self, value: Value) -> Option<usize> {
        let name = value.to_string();
        self.numbers.get(follow(&self.aliases, &name)).copied()
    }

    fn rewrite(&mut self, text: &'t str, depth: usize) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
                '%' => 1 + word_length(&rest[1..]),
                _ if first.is_whitespace() => rest.len() - rest.trim_start().len(),
                _ => word_length(rest).max(first.len_utf8()),
            };
            let (token, next) = rest.split_at(length);
            rest = next;
            if first.is_whitespace() {
                self.out.push(' ');
            } else {
                self.token(token, depth);
            }
        }
    }

    fn token(&mut self, token: &'t str, depth: usize) {
        let Some(kind) = kind(token) else {
            self.out.push_str(token);
            return;
        };
        if let Some(index) = NUMBERED.iter().position(|&numbered| numbered == kind) {
            let name = follow(&self.aliases, token);
            let number = *self.numbers.entry(name).or_insert_with(|| {
                self.named.extend(self.layout.get(name));
                self.counts[index] += 1;
                self.counts[index] - 1
            });
            let _ = write!(self.out, "{kind}{number}");
            return;
        }
        match self.definitions.get(token).copied() {
            Some(definition) if depth < DEEPEST => {
                // A region's description is for the reader only.
                let definition = match (kind, definition.split_once(' ')) {
                    ("region", Some((number, _))) => number,
                    _ => definition,
                };
                let _ = write!(self.out, "{kind}{{");
                self.rewrite(definition, depth + 1);
                self.out.push('}');
            }
            _ => self.out.push_str(token),
        }
    }
}

/// Follows aliases, which have no cycle in a valid function.
fn follow<'n>(aliases: &FxHashMap<&str, &'n str>, mut name: &'n str) -> &'n str {
    for _ in 0..=aliases.len() {
        match aliases.get(name) {
            Some(value) => name = value,
            None => break,
        }
    }
    name
}

/// Returns the entity that a word names, without its number; `None` for other words.
fn kind(word: &str) -> Option<&'static str> {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut kinds = NUMBERED.into_iter().chain(WRITTEN_OUT);
    kinds.find(|&kind| kind == letters && letters.len() < word.len())
}

/// Returns the length of the word at the beginning of `text`, in bytes.
fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::CanonicalText;

    fn canonical(text: &str) -> CanonicalText {
        let functions = cranelift_reader::parse_functions(text).unwrap();
        CanonicalText::of(&functions[0]).unwrap()
    }

    const BODY: &str = "
function %f(i64, i32) -> i32 system_v {
    ss0 = explicit_slot 8, key = 1
    ss1 = explicit_slot 8, key = 2
    ss2 = explicit_slot 8, key = 3
    ss3 = explicit_slot 4
    gv0 = symbol %data
    gv1 = load.i64 notrap aligned gv0+8
    fn0 = %v7(i64) -> i32 system_v
block0(v0: i64, v1: i32):
    v2 = stack_addr.i64 ss1
    v3 = symbol_value.i64 gv0
<ss0, 5> @0007 v4 = call fn0(v3)
    brif v4, block1(v4), block2
block1(v5: i32):
    v6 = iadd v5, v1
    return v6
block2 cold:
    return v4
}";

    #[test]
    fn numbers_do_not_matter() {
        let mut other = BODY.to_string();
        for (from, to) in [
            ("v6", "v60"),
            ("v2 ", "v61 "),
            ("block1", "block9"),
            ("ss0", "ss8"),
            ("ss1", "ss0"),
            ("ss8", "ss1"),
            ("gv0", "gv5"),
            ("fn0", "fn3"),
        ] {
            other = other.replace(from, to);
        }
        assert_ne!(other, BODY);
        assert_eq!(canonical(&other), canonical(BODY));
        assert_eq!(canonical(BODY).idle_slots().len(), 1);
    }

    #[test]
    fn the_order_of_blocks_can_be_left_out() {
        let start = BODY.find("block1(v5").unwrap();
        let middle = BODY.find("block2 cold").unwrap();
        let end = BODY.len() - 1;
        let [head, one, two] = [&BODY[..start], &BODY[start..middle], &BODY[middle..end]];
        let other = format!("{head}{two}{one}}}");
        assert_ne!(canonical(&other), canonical(BODY));
        let in_any_order = |text: &str| {
            let functions = cranelift_reader::parse_functions(text).unwrap();
            CanonicalText::in_any_block_order(&functions[0]).unwrap()
        };
        assert_eq!(in_any_order(&other), in_any_order(BODY));
        assert_eq!(in_any_order(BODY), canonical(BODY));
        let swapped = BODY.replace("block1(v4), block2", "block2, block1(v4)");
        assert_ne!(in_any_order(&swapped), in_any_order(BODY));
    }

    #[test]
    fn coldness_spreads_where_the_order_is_left_out() {
        let text = "
function %f(i32) -> i32 system_v {
block0(v0: i32):
    brif v0, block1, block3
block1 cold:
    jump block2(v0)
block2(v1: i32):
    brif v1, block2(v1), block3
block3:
    return v0
}";
        let colder = text.replace("block2(v1: i32):", "block2(v1: i32) cold:");
        let warmer = text.replace("block1 cold:", "block1:");
        let coldest = colder.replace("block3:", "block3 cold:");
        let in_any_order = |text: &str| {
            let functions = cranelift_reader::parse_functions(text).unwrap();
            CanonicalText::in_any_block_order(&functions[0]).unwrap()
        };
        assert_eq!(in_any_order(&colder), in_any_order(text));
        assert_ne!(canonical(&colder), canonical(text));
        for other in [warmer, coldest] {
            assert_ne!(in_any_order(&other), in_any_order(text));
        }
    }

    #[test]
    fn everything_else_does() {
        for (from, to) in [
            ("iadd v5, v1", "iadd v1, v5"),
            ("return v6", "return v5"),
            ("block1(v4), block2", "block1(v1), block2"),
            ("%v7", "%v8"),
            ("%data", "%date"),
            ("<ss0, 5>", "<ss1, 5>"),
            ("<ss0, 5>", "<ss0, 6>"),
            ("@0007 ", "@0008 "),
            ("stack_addr.i64 ss1", "stack_addr.i64 ss0"),
            ("key = 1", "key = 4"),
            ("key = 3", "key = 4"),
            (" cold", ""),
            ("system_v {", "fast {"),
        ] {
            let other = BODY.replacen(from, to, 1);
            assert_ne!(other, BODY, "{from}");
            assert_ne!(canonical(&other), canonical(BODY), "{from} {to}");
        }
    }

    #[test]
    fn labels_are_compared() {
        use cranelift_codegen::ir::{RelSourceLoc, Value, ValueLabelAssignments, ValueLabelStart};
        let functions = cranelift_reader::parse_functions(BODY).unwrap();
        let labelled = |value: u32| {
            let mut func = functions[0].clone();
            func.collect_debug_info();
            let starts = vec![ValueLabelStart {
                from: RelSourceLoc::default(),
                label: cranelift_codegen::ir::ValueLabel::from_u32(3),
            }];
            let labels = func.dfg.values_labels.as_mut().unwrap();
            labels.insert(
                Value::from_u32(value),
                ValueLabelAssignments::Starts(starts),
            );
            CanonicalText::of(&func).unwrap()
        };
        assert_ne!(labelled(1), labelled(4));
        assert_ne!(labelled(1), canonical(BODY));
        assert_eq!(labelled(1), labelled(1));
    }
}
