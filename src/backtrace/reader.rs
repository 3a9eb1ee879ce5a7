//! Reads tables in place.

use super::error::BacktraceError;
use super::format::{
    Header, NAMES_PER_BLOCK, POINT_BLOCK_ROW, POINTS_PER_BLOCK, Parts, SCOPES_PER_BLOCK, STEP_ROW,
    u16_at, u32_at,
};
use super::function::Point;
use super::steps::{START, follow_place, follow_step};
use crate::frames::{apply, read_varint};
use crate::program::FunctionName;
use cranelift_codegen::ir::SourceLoc;
use std::fmt;

/// Reads the bytes of a [`BacktraceTable`](super::BacktraceTable).
///
/// It trusts none of them, allocates nothing and takes no lock.
#[derive(Clone, Copy, Debug)]
pub struct BacktraceReader<'a> {
    bytes: &'a [u8],
    header: Header,
    parts: Option<Parts>,
}

/// A reader of a table without functions.
impl Default for BacktraceReader<'_> {
    fn default() -> Self {
        BacktraceReader {
            bytes: &[],
            header: Header::default(),
            parts: None,
        }
    }
}

impl<'a> BacktraceReader<'a> {
    /// Reads the table at the start of `bytes`. More bytes may follow it.
    ///
    /// # Errors
    ///
    /// [`BacktraceError::NotATable`] and [`BacktraceError::Truncated`]. The content is read when it
    /// is asked for.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BacktraceError> {
        let (header, parts) = Header::read(bytes)?;
        Ok(BacktraceReader {
            bytes,
            header,
            parts: Some(parts),
        })
    }

    /// Returns the size of the table, in bytes.
    pub fn table_bytes(&self) -> usize {
        self.parts.map_or(0, |parts| parts.end)
    }

    /// Returns the number of return addresses and traps.
    pub fn point_count(&self) -> u32 {
        self.header.points
    }

    /// Returns the end of the code that the table is for, in bytes from the start of the text.
    pub fn text_bytes(&self) -> u32 {
        self.header.text_bytes
    }

    /// Returns the source places of the call that returns to `offset`, in bytes from the start of
    /// the text; `None` if no call does.
    ///
    /// # Errors
    ///
    /// [`BacktraceError::Malformed`] for corrupt bytes.
    pub fn return_address(&self, offset: u32) -> Result<Option<Backtrace<'a>>, BacktraceError> {
        self.find(u64::from(offset) * 2)
    }

    /// Returns the source places of the instruction at `offset`, in bytes from the start of the
    /// text; `None` if it cannot trap.
    ///
    /// # Errors
    ///
    /// [`BacktraceError::Malformed`] for corrupt bytes.
    pub fn trap(&self, offset: u32) -> Result<Option<Backtrace<'a>>, BacktraceError> {
        self.find(u64::from(offset) * 2 + 1)
    }

    fn find(&self, key: u64) -> Result<Option<Backtrace<'a>>, BacktraceError> {
        let (Ok(key), Some(parts)) = (u32::try_from(key), self.parts) else {
            return Ok(None);
        };
        let first_key = |block: u32| {
            u32_at(
                self.bytes,
                parts.point_blocks + block as usize * POINT_BLOCK_ROW,
            )
            .ok_or(malformed("point block", block))
        };
        // The first block that begins after the key.
        let (mut low, mut high) = (0, self.header.point_blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            match first_key(middle)? <= key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let Some(block) = low.checked_sub(1) else {
            return Ok(None);
        };
        let row = parts.point_blocks + block as usize * POINT_BLOCK_ROW;
        let begin = u32_at(self.bytes, row + 4).ok_or(malformed("point block", block))?;
        let mut steps = Steps {
            stream: self.part(parts.points, parts.end),
            at: begin as usize,
            index: self.part(parts.step_index, parts.names),
            dictionary: self.part(parts.steps, parts.points),
        };
        let first = block * POINTS_PER_BLOCK;
        let last = self
            .header
            .points
            .min(first.saturating_add(POINTS_PER_BLOCK));
        let mut point = Point {
            key: first_key(block)?,
            ..START
        };
        follow_place(&mut point, steps.stream, &mut steps.at).ok_or(malformed("point", first))?;
        for index in first + 1..last {
            if point.key >= key {
                break;
            }
            steps.follow(&mut point).ok_or(malformed("point", index))?;
        }
        Ok((point.key == key).then_some(Backtrace {
            reader: *self,
            next: Some((point.scope, SourceLoc::new(point.location))),
        }))
    }

    /// Returns the name of a scope, and the call that it is in place of.
    fn scope(&self, number: u32) -> Result<(BacktraceName<'a>, Option<Call>), BacktraceError> {
        let scope = self.read_scope(number);
        let (name, call) = scope.ok_or(malformed("scope", number))?;
        let name = self.read_name(name).ok_or(malformed("name", name))?;
        Ok((name, call))
    }

    /// Returns the number of a scope's name, and the call that it is in place of.
    fn read_scope(&self, number: u32) -> Option<(u32, Option<Call>)> {
        let parts = self.parts?;
        if number >= self.header.scopes {
            return None;
        }
        let block = number / SCOPES_PER_BLOCK;
        let mut at = u32_at(self.bytes, parts.scope_blocks + block as usize * 4)? as usize;
        let stream = self.part(parts.scopes, parts.steps);
        let (mut back, mut name, mut location) = (0, 0, 0);
        for _ in 0..number % SCOPES_PER_BLOCK + 1 {
            back = read_varint(stream, &mut at)?;
            name = apply(name, read_varint(stream, &mut at)?)?;
            if back > 0 {
                location = apply(location, read_varint(stream, &mut at)?)?;
            }
        }
        // The scopes around others come before them, so that every chain ends.
        let call = match back {
            0 => None,
            back => {
                let around = number.checked_sub(u32::try_from(back).ok()?)?;
                Some((around, SourceLoc::new(location)))
            }
        };
        Some((name, call))
    }

    fn read_name(&self, number: u32) -> Option<BacktraceName<'a>> {
        let parts = self.parts?;
        if number >= self.header.names {
            return None;
        }
        let block = number / NAMES_PER_BLOCK;
        let mut at = u32_at(self.bytes, parts.name_blocks + block as usize * 4)? as usize;
        let stream = self.part(parts.names, parts.scopes);
        let mut last_index = 0;
        let mut name = BacktraceName::Text(&[]);
        for _ in 0..number % NAMES_PER_BLOCK + 1 {
            let start = read_varint(stream, &mut at)?;
            let number = u32::try_from(start >> 1).ok()?;
            name = if start & 1 == 1 {
                let end = at.checked_add(number as usize)?;
                let text = stream.get(at..end)?;
                at = end;
                BacktraceName::Text(text)
            } else {
                last_index = apply(last_index, read_varint(stream, &mut at)?)?;
                BacktraceName::User {
                    namespace: number,
                    index: last_index,
                }
            };
        }
        Some(name)
    }

    fn part(&self, begin: usize, end: usize) -> &'a [u8] {
        self.bytes.get(begin..end).unwrap_or_default()
    }
}

/// The steps of points, of which some are in a dictionary.
struct Steps<'a> {
    stream: &'a [u8],
    at: usize,
    /// Where each step of the dictionary begins.
    index: &'a [u8],
    dictionary: &'a [u8],
}

impl Steps<'_> {
    /// Moves a point by the next step, which is in the dictionary if its code is there.
    #[inline]
    fn follow(&mut self, point: &mut Point) -> Option<()> {
        if !self.index.is_empty() {
            let code = *self.stream.get(self.at)?;
            self.at += 1;
            if let Some(begin) = u16_at(self.index, usize::from(code) * STEP_ROW) {
                return follow_step(point, self.dictionary, &mut usize::from(begin));
            }
        }
        follow_step(point, self.stream, &mut self.at)
    }
}

/// A call that was replaced: its scope, and its location there.
type Call = (u32, SourceLoc);

fn malformed(part: &'static str, index: u32) -> BacktraceError {
    BacktraceError::Malformed { part, index }
}

/// The source places of one point, innermost first. Ends after an error.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace<'a> {
    reader: BacktraceReader<'a>,
    next: Option<Call>,
}

impl<'a> Iterator for Backtrace<'a> {
    type Item = Result<BacktracePlace<'a>, BacktraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (scope, location) = self.next.take()?;
        let scope = self.reader.scope(scope);
        Some(scope.map(|(function, call)| {
            self.next = call;
            BacktracePlace { function, location }
        }))
    }
}

impl std::iter::FusedIterator for Backtrace<'_> {}

/// A place in the source program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BacktracePlace<'a> {
    /// The function in whose source it is.
    pub function: BacktraceName<'a>,
    /// The front end's location in the function; it may be unknown.
    pub location: SourceLoc,
}

/// Writes the function and the location, like CLIF prints both.
impl fmt::Display for BacktracePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location.is_default() {
            true => write!(f, "{}", self.function),
            false => write!(f, "{} {}", self.function, self.location),
        }
    }
}

/// The name of a function, where it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacktraceName<'a> {
    /// `u<namespace>:<index>`.
    User {
        /// The namespace.
        namespace: u32,
        /// The index in it.
        index: u32,
    },
    /// The bytes of any other name.
    Text(&'a [u8]),
}

impl BacktraceName<'_> {
    /// Returns the name on its own. This allocates memory.
    pub fn to_name(&self) -> FunctionName {
        match *self {
            BacktraceName::User { namespace, index } => FunctionName::user(namespace, index),
            BacktraceName::Text(bytes) => FunctionName::testcase(bytes),
        }
    }
}

/// Writes the name like CLIF prints it, with a replacement for bytes that are not UTF-8.
impl fmt::Display for BacktraceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BacktraceName::User { namespace, index } => write!(f, "u{namespace}:{index}"),
            BacktraceName::Text(bytes) => {
                f.write_str("%")?;
                for chunk in bytes.utf8_chunks() {
                    f.write_str(chunk.valid())?;
                    if !chunk.invalid().is_empty() {
                        f.write_str("\u{fffd}")?;
                    }
                }
                Ok(())
            }
        }
    }
}
