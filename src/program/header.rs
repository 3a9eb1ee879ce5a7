//! The lines that a Cranelift filetest has before its first function.

use std::sync::Arc;

/// The kind of a header line: its first word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeaderKind {
    /// `test run`, `test compile precise-output`: a command of Cranelift's own test runner.
    Test,
    /// `set opt_level=speed`: settings that do not depend on the target.
    Set,
    /// `target x86_64 has_avx2`: a target, with settings of its own.
    Target,
    /// `feature "pulley"`: a feature that Cranelift must have been built with.
    Feature,
}

impl HeaderKind {
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "test" => Some(Self::Test),
            "set" => Some(Self::Set),
            "target" => Some(Self::Target),
            "feature" => Some(Self::Feature),
            _ => None,
        }
    }
}

/// One line of a [`FileHeader`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct HeaderLine {
    /// The line's number, counted from 1.
    pub line: u32,
    /// Its first word.
    pub kind: HeaderKind,
    /// The rest of the line after the first word, without the spaces around it.
    pub text: String,
}

/// The header of one text: its `test`, `set`, `target` and `feature` lines, in their order.
///
/// A program keeps them for its execution. By themselves they change one thing, as in Cranelift's
/// reader: with `test run`, a signature that names no calling convention has the host's default one
/// instead of `fast`. Their settings and targets are not checked here, so that a file made for a
/// target that this build lacks can still be read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FileHeader {
    file: Arc<str>,
    lines: Vec<HeaderLine>,
}

impl FileHeader {
    /// Returns the file as it was named.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Returns all lines of the header. A `set` line concerns the `target` lines after it.
    pub fn lines(&self) -> &[HeaderLine] {
        &self.lines
    }

    /// Returns the text of the lines of one kind.
    pub fn texts(&self, kind: HeaderKind) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter(move |line| line.kind == kind)
            .map(|line| line.text.as_str())
    }

    /// Returns whether a line is `test <command>`, with or without options.
    pub(crate) fn has_test(&self, command: &str) -> bool {
        self.texts(HeaderKind::Test)
            .any(|text| text.split_whitespace().next() == Some(command))
    }

    /// Reads the header at the start of `text`; also returns the number of bytes and of whole lines
    /// before the first line that is neither header, comment nor blank.
    pub(super) fn scan(file: &Arc<str>, text: &str) -> (Self, usize, usize) {
        let mut lines = Vec::new();
        let mut bytes = 0;
        let mut count = 0;
        for line in text.split_inclusive('\n') {
            let content = line.trim();
            let word_end = content
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(content.len());
            let (word, rest) = content.split_at(word_end);
            if let Some(kind) = HeaderKind::of_word(word) {
                lines.push(HeaderLine {
                    line: u32::try_from(count + 1).unwrap_or(u32::MAX),
                    kind,
                    text: rest.trim().to_string(),
                });
            } else if !content.is_empty() && !content.starts_with(';') {
                break;
            }
            bytes += line.len();
            count += 1;
        }
        let file = Arc::clone(file);
        (Self { file, lines }, bytes, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_kept_in_order_and_end_at_the_first_function() {
        let text = "test run\n; comment\n\nset opt_level=speed\r\ntarget x86_64  has_avx2\n\
                    feature \"x\"\nfunction %f() {\n";
        let (header, bytes, count) = FileHeader::scan(&Arc::from("a.clif"), text);
        let seen: Vec<_> = header
            .lines()
            .iter()
            .map(|line| (line.line, line.kind, line.text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (1, HeaderKind::Test, "run"),
                (4, HeaderKind::Set, "opt_level=speed"),
                (5, HeaderKind::Target, "x86_64  has_avx2"),
                (6, HeaderKind::Feature, "\"x\""),
            ]
        );
        assert!(text[bytes..].starts_with("function"));
        assert_eq!(count, 6);
        assert!(header.has_test("run"));
        assert!(!header.has_test("compile"));
        assert_eq!(header.texts(HeaderKind::Set).count(), 1);
    }

    #[test]
    fn a_word_that_only_begins_like_a_keyword_ends_the_header() {
        let (header, bytes, _) = FileHeader::scan(&Arc::from("a"), "testing 1\n");
        assert!(header.lines().is_empty());
        assert_eq!(bytes, 0);
    }
}
