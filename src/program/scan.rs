//! Checks of a text before Cranelift's reader sees it.
//!
//! For each number of an entity, the reader makes all entities with lower numbers, so that a few
//! bytes can take all memory. It also loses a source location that is one below the first of its
//! function.

use std::collections::BTreeMap;
use std::ops::Range;

/// Returns the number of entities that a text of `bytes` may leave out, beside one for each byte of
/// the function.
///
/// A number that is left out costs the reader up to about a hundred bytes of memory. The text of an
/// optimized function leaves out the numbers of removed entities, so even the shortest text may
/// leave out a million. Some front ends number references across the whole program, and leave out
/// more numbers the longer the program is.
pub(super) fn most_left_out(bytes: usize) -> usize {
    const OF_ANY_TEXT: usize = 1 << 20;
    const PER_BYTE: usize = 32;
    bytes.saturating_mul(PER_BYTE).saturating_add(OF_ANY_TEXT)
}

/// The kinds of entities for which the reader, or an analysis behind it, makes all entities below a
/// number.
const KINDS: [&str; 11] = [
    "v", "block", "ss", "dss", "dt", "gv", "const", "fn", "sig", "extable", "region",
];

/// The findings in the text of one function.
#[derive(Default)]
pub(super) struct Scan<'a> {
    /// The number of entities that the text leaves out, beside one for each of its bytes.
    pub(super) left_out: usize,
    /// The entity with the greatest number, and the number of lines before it.
    pub(super) greatest: Option<(&'a str, usize)>,
    /// The places of the digits of source locations, in order.
    locations: Vec<Range<usize>>,
}

impl<'a> Scan<'a> {
    /// Looks through the text as the reader's lexer would: not into comments, strings and names.
    pub(super) fn of(text: &'a str) -> Self {
        let mut scan = Scan::default();
        let mut numbers = [0_u64; KINDS.len()];
        let mut greatest = 0;
        let mut line = 0;
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b'\n' => line += 1,
                b';' => at = end(bytes, at, |byte| byte != b'\n'),
                b'"' => {
                    at = end(bytes, at, |byte| byte != b'"');
                    line += bytes[start..at]
                        .iter()
                        .filter(|&&byte| byte == b'\n')
                        .count();
                    at += 1;
                }
                b'%' => at = end(bytes, at, is_word),
                b'#' => at = end(bytes, at, |byte| byte.is_ascii_hexdigit()),
                b'@' => {
                    at = end(bytes, at, |byte| byte.is_ascii_hexdigit());
                    if at > start + 1 {
                        scan.locations.push(start + 1..at);
                    }
                }
                b'0'..=b'9' | b'+' | b'-' => at = end(bytes, at, is_word),
                _ if is_word(byte) => {
                    at = end(bytes, at, is_word);
                    let word = text.get(start..at).unwrap_or_default();
                    if let Some((kind, number)) = entity(word)
                        && let Some(most) = numbers.get_mut(kind)
                    {
                        *most = (*most).max(number + 1);
                        if number >= greatest {
                            greatest = number;
                            scan.greatest = Some((word, line));
                        }
                    }
                }
                _ => {}
            }
        }
        let beyond = numbers.map(|most| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            most.saturating_sub(text.len())
        });
        scan.left_out = beyond.into_iter().fold(0, usize::saturating_add);
        scan
    }

    /// Returns the same text with other source locations, if the reader would lose one of those
    /// that it has, and which it stands for by which.
    pub(super) fn with_other_locations(&self, text: &str) -> Option<(String, Vec<u32>)> {
        let location = |place: &Range<usize>| {
            let digits = text.get(place.clone())?;
            u32::from_str_radix(digits, 16).ok()
        };
        let first = self.locations.first().and_then(location)?;
        let lost = first.wrapping_sub(1);
        if !self
            .locations
            .iter()
            .any(|place| location(place) == Some(lost))
        {
            return None;
        }
        // Every second number, and the first is the least: none is one below it.
        let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
        let mut stands_for = Vec::new();
        let mut other = String::with_capacity(text.len());
        let mut copied = 0;
        for place in &self.locations {
            let location = location(place)?;
            let number = *numbers.entry(location).or_insert_with(|| {
                stands_for.push(location);
                stands_for.len() - 1
            });
            other += text.get(copied..place.start)?;
            other += &format!("{number:x}");
            copied = place.end;
        }
        other += text.get(copied..)?;
        Some((other, stands_for))
    }
}

/// Returns the kind and number of an entity that the reader takes `word` for.
fn entity(word: &str) -> Option<(usize, u64)> {
    let kind = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = word.get(kind.len()..).filter(|digits| !digits.is_empty())?;
    let kind = KINDS.iter().position(|&known| known == kind)?;
    // A number of more than 32 bits is not an entity number.
    digits
        .parse::<u32>()
        .ok()
        .map(|number| (kind, number.into()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns the first position from `at` on at which `is_inside` is false.
fn end(bytes: &[u8], at: usize, is_inside: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| is_inside(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_count_where_the_reader_sees_them() {
        let text = "function %v4000000000() {\n ; v4000000001\n region0 = 1 \"v4000000002\n\"\n \
                    block0:\n v7 = iconst.i8 0x1v8\n}";
        let scan = Scan::of(text);
        assert_eq!(scan.greatest, Some(("v7", 5)));
        assert_eq!(scan.left_out, 0);
        let far = Scan::of("brif v0, block4000000000, block1\ngv200");
        assert_eq!(far.greatest, Some(("block4000000000", 0)));
        assert_eq!(far.left_out, 4_000_000_001 - 38 + (201 - 38));
        assert_eq!(Scan::of("v4294967296 v01").left_out, 0);
    }

    #[test]
    fn only_a_location_one_below_the_first_asks_for_others() {
        let others = |text: &str| Scan::of(text).with_other_locations(text);
        assert_eq!(others("@2 a\n@4 b\n@2 c"), None);
        assert_eq!(others("; @1\n@2 i64 @ ss0"), None);
        let expected = ("@0 a\n@1 b\n@0 c".to_owned(), vec![2, 1]);
        assert_eq!(others("@2 a\n@0001 b\n@2 c"), Some(expected));
    }
}
