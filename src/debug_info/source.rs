//! The meaning of source locations.

use crate::program::FunctionName;
use cranelift_codegen::ir::SourceLoc;
use rustc_hash::FxHashMap;

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourcePosition<'s> {
    /// The file's path, absolute or from [`SourceMap::directory`].
    pub file: &'s str,
    /// The line, counted from 1; 0 where there is none.
    pub line: u64,
    /// The column, counted from 1; 0 where there is none.
    pub column: u64,
}

impl<'s> SourcePosition<'s> {
    /// Makes the position of a line, counted from 1, without a column.
    pub fn new(file: &'s str, line: u64) -> Self {
        SourcePosition {
            file,
            line,
            column: 0,
        }
    }

    /// Sets the column, counted from 1.
    #[must_use]
    pub fn with_column(mut self, column: u64) -> Self {
        self.column = column;
        self
    }
}

/// Maps a front end's functions and locations to its source.
pub trait SourceMap: Sync {
    /// Returns the path of the main source file, absolute or from [`SourceMap::directory`].
    fn unit(&self) -> &str;

    /// Returns the directory that relative paths start from.
    fn directory(&self) -> &str;

    /// Returns the source language, a `DW_LANG` code of the DWARF standard. Debuggers print values
    /// and names accordingly; C11, the default, leaves names as they are.
    fn language(&self) -> u16 {
        gimli::DW_LANG_C11.0
    }

    /// Returns the name to show for `function`; by default its symbol.
    fn name(&self, function: &FunctionName) -> String {
        function.symbol()
    }

    /// Returns where `function` is declared.
    fn declaration(&self, function: &FunctionName) -> Option<SourcePosition<'_>>;

    /// Returns the position of `location`, which is known, in `function`.
    fn position(&self, function: &FunctionName, location: SourceLoc) -> Option<SourcePosition<'_>>;
}

/// A map for front ends whose source locations are the line numbers of one file.
#[derive(Clone, Debug)]
pub struct LineIsLocation {
    file: String,
    directory: String,
}

impl LineIsLocation {
    /// Lines of `file` in `directory`.
    pub fn new(file: impl Into<String>, directory: impl Into<String>) -> Self {
        LineIsLocation {
            file: file.into(),
            directory: directory.into(),
        }
    }
}

impl SourceMap for LineIsLocation {
    fn unit(&self) -> &str {
        &self.file
    }

    fn directory(&self) -> &str {
        &self.directory
    }

    fn declaration(&self, _function: &FunctionName) -> Option<SourcePosition<'_>> {
        None
    }

    fn position(&self, _: &FunctionName, location: SourceLoc) -> Option<SourcePosition<'_>> {
        Some(SourcePosition {
            file: &self.file,
            line: u64::from(location.bits()),
            column: 0,
        })
    }
}

/// CLIF text as source: a location leads to the first instruction of the function that has it.
#[derive(Clone, Debug)]
pub struct ClifLines {
    /// The first is the main one.
    files: Vec<String>,
    directory: String,
    /// The file, by its number, and the line.
    functions: FxHashMap<FunctionName, (usize, u64)>,
    locations: FxHashMap<(FunctionName, u32), (usize, u64)>,
}

impl ClifLines {
    /// Finds the lines of functions and locations in `text`, the content of `file`, which is an
    /// absolute path or relative to `directory`. Text that is not CLIF has none.
    pub fn new(file: impl Into<String>, directory: impl Into<String>, text: &str) -> Self {
        let mut lines = ClifLines {
            files: Vec::new(),
            directory: directory.into(),
            functions: FxHashMap::default(),
            locations: FxHashMap::default(),
        };
        lines.add_file(file, text);
        lines
    }

    /// Adds the functions of another file of the program.
    pub fn add_file(&mut self, file: impl Into<String>, text: &str) {
        let file_number = self.files.len();
        self.files.push(file.into());
        let mut function = None;
        for (number, line) in (1u64..).zip(text.lines()) {
            let line = without_tags(line.trim_start());
            if let Some(header) = line.strip_prefix("function ") {
                let name = header.split('(').next().unwrap_or_default();
                function = name.trim().parse::<FunctionName>().ok();
                if let Some(name) = &function {
                    let place = (file_number, number);
                    self.functions.entry(name.clone()).or_insert(place);
                }
            } else if let (Some(name), Some(rest)) = (&function, line.strip_prefix('@')) {
                let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next();
                let location = u32::from_str_radix(digits.unwrap_or_default(), 16);
                if let Ok(location) = location {
                    let key = (name.clone(), location);
                    self.locations.entry(key).or_insert((file_number, number));
                }
            }
        }
    }

    fn at(&self, (file, line): (usize, u64)) -> Option<SourcePosition<'_>> {
        Some(SourcePosition {
            file: self.files.get(file)?,
            line,
            column: 0,
        })
    }
}

/// Returns a line from where a source location would be.
fn without_tags(line: &str) -> &str {
    match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((_, rest)) => rest.trim_start(),
        None => line,
    }
}

impl SourceMap for ClifLines {
    fn unit(&self) -> &str {
        self.files.first().map_or("", String::as_str)
    }

    fn directory(&self) -> &str {
        &self.directory
    }

    fn declaration(&self, function: &FunctionName) -> Option<SourcePosition<'_>> {
        self.at(*self.functions.get(function)?)
    }

    fn position(&self, function: &FunctionName, location: SourceLoc) -> Option<SourcePosition<'_>> {
        let key = (function.clone(), location.bits());
        self.at(*self.locations.get(&key)?)
    }
}
