//! Joins functions to a table.

use super::error::LinkError;
use super::format::{Header, NAMES_PER_BLOCK, POINTS_PER_BLOCK, SCOPES_PER_BLOCK, TEXT_LIMIT};
use super::function::{FunctionBacktraces, Point, Scope};
use super::reader::BacktraceReader;
use super::steps::{Dictionary, START, Step};
use crate::frames::{difference, write_varint};
use crate::program::FunctionName;
use cranelift_codegen::ir::UserFuncName;
use rustc_hash::FxHashMap;

/// The backtraces of a text, as bytes that [`BacktraceReader`] reads. See the [module](super) for
/// their form and an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacktraceTable {
    bytes: Vec<u8>,
}

impl BacktraceTable {
    /// Joins functions. Each comes with the offset of its code from the start of the text, in
    /// bytes. Their order does not matter.
    ///
    /// # Errors
    ///
    /// [`LinkError`], for functions that overlap or are too many.
    pub fn link<'f>(
        functions: impl IntoIterator<Item = (u64, &'f FunctionBacktraces)>,
    ) -> Result<Self, LinkError> {
        let mut functions: Vec<_> = functions.into_iter().collect();
        functions.sort_by(|(one, first), (other, second)| {
            (one, first.function()).cmp(&(other, second.function()))
        });
        let mut linker = Linker::default();
        let mut last: Option<(u64, &FunctionBacktraces)> = None;
        for (start, function) in functions {
            let end = start.saturating_add(function.code_bytes.into());
            if end >= TEXT_LIMIT {
                return Err(LinkError::TooLarge {
                    what: "2 GiB of text",
                });
            }
            if let Some((end, before)) = last
                && start < end
            {
                return Err(LinkError::Overlap {
                    first: before.function().clone(),
                    second: function.function().clone(),
                    offset: start,
                });
            }
            last = Some((end, function));
            // Below the limit, so it has 31 bits.
            linker.add(start as u32, function)?;
            linker.text_bytes = end as u32;
        }
        linker.write()
    }

    /// Returns the table's bytes. They do not depend on where they lie; an alignment is not needed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the table's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns a reader of the table.
    pub fn reader(&self) -> BacktraceReader<'_> {
        let reader = BacktraceReader::new(&self.bytes);
        debug_assert!(reader.is_ok(), "the table was just written");
        reader.unwrap_or_default()
    }
}

#[derive(Default)]
struct Linker<'f> {
    names: Vec<&'f FunctionName>,
    name_numbers: FxHashMap<&'f FunctionName, u32>,
    scopes: Vec<Scope>,
    scope_numbers: FxHashMap<Scope, u32>,
    points: Vec<Point>,
    text_bytes: u32,
}

impl<'f> Linker<'f> {
    fn add(&mut self, start: u32, function: &'f FunctionBacktraces) -> Result<(), LinkError> {
        let mut names = Vec::with_capacity(function.names.len());
        for name in &function.names {
            let next = count(self.names.len(), "so many names")?;
            names.push(*self.name_numbers.entry(name).or_insert_with(|| {
                self.names.push(name);
                next
            }));
        }
        let mut scopes: Vec<u32> = Vec::with_capacity(function.scopes.len());
        for scope in &function.scopes {
            let scope = Scope {
                name: names[scope.name as usize],
                // The scopes around others come first.
                call: scope.call.map(|(around, at)| (scopes[around as usize], at)),
            };
            let next = count(self.scopes.len(), "so many scopes")?;
            scopes.push(*self.scope_numbers.entry(scope).or_insert_with(|| {
                self.scopes.push(scope);
                next
            }));
        }
        self.points
            .extend(function.points.iter().map(|point| Point {
                key: start * 2 + point.key,
                scope: scopes[point.scope as usize],
                location: point.location,
            }));
        Ok(())
    }

    fn write(mut self) -> Result<BacktraceTable, LinkError> {
        // A return address may be the first byte behind its function, where the next one begins.
        self.points.sort_unstable();
        self.points.dedup_by_key(|point| point.key);
        let (name_blocks, names) = self.write_names()?;
        let (scope_blocks, scopes) = self.write_scopes()?;
        let dictionary = Dictionary::of(self.steps());
        let (point_blocks, points) = self.write_points(&dictionary)?;
        let (step_index, steps) = dictionary.bytes();
        let header = Header {
            names: count(self.names.len(), "so many names")?,
            scopes: count(self.scopes.len(), "so many scopes")?,
            points: count(self.points.len(), "so many points")?,
            name_bytes: count(names.len(), "so many names")?,
            scope_bytes: count(scopes.len(), "so many scopes")?,
            steps: count(step_index.len(), "so many steps")?,
            step_bytes: count(steps.len(), "so many steps")?,
            point_bytes: count(points.len(), "so many points")?,
            text_bytes: self.text_bytes,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        let point_blocks = point_blocks.into_iter().flatten();
        let blocks = name_blocks
            .into_iter()
            .chain(scope_blocks)
            .chain(point_blocks);
        bytes.extend(blocks.flat_map(u32::to_le_bytes));
        bytes.extend(step_index.into_iter().flat_map(u16::to_le_bytes));
        bytes.extend(names);
        bytes.extend(scopes);
        bytes.extend(steps);
        bytes.extend(points);
        debug_assert_eq!(
            header.parts().map(|parts| parts.end),
            Some(bytes.len()),
            "the header has the sizes of all parts"
        );
        Ok(BacktraceTable { bytes })
    }

    fn write_names(&self) -> Result<(Vec<u32>, Vec<u8>), LinkError> {
        let (mut blocks, mut names) = (Vec::new(), Vec::new());
        let mut index = 0;
        for (number, &name) in (0u32..).zip(&self.names) {
            if number.is_multiple_of(NAMES_PER_BLOCK) {
                blocks.push(count(names.len(), "so many names")?);
                index = 0;
            }
            match name.clone().into() {
                UserFuncName::User(name) => {
                    write_varint(&mut names, u64::from(name.namespace) << 1);
                    write_varint(&mut names, difference(name.index, index));
                    index = name.index;
                }
                UserFuncName::Testcase(name) => {
                    let length = count(name.raw().len(), "so long a name")?;
                    write_varint(&mut names, u64::from(length) << 1 | 1);
                    names.extend(name.raw());
                }
            }
        }
        Ok((blocks, names))
    }

    fn write_scopes(&self) -> Result<(Vec<u32>, Vec<u8>), LinkError> {
        let (mut blocks, mut scopes) = (Vec::new(), Vec::new());
        let (mut name, mut location) = (0, 0);
        for (number, scope) in (0u32..).zip(&self.scopes) {
            if number.is_multiple_of(SCOPES_PER_BLOCK) {
                blocks.push(count(scopes.len(), "so many scopes")?);
                (name, location) = (0, 0);
            }
            let back = scope.call.map_or(0, |(around, _)| number - around);
            write_varint(&mut scopes, back.into());
            write_varint(&mut scopes, difference(scope.name, name));
            name = scope.name;
            if let Some((_, at)) = scope.call {
                write_varint(&mut scopes, difference(at.bits(), location));
                location = at.bits();
            }
        }
        Ok((blocks, scopes))
    }

    /// Returns the steps that do not begin a block.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let blocks = self.points.chunks(POINTS_PER_BLOCK as usize);
        blocks.flat_map(|block| {
            let pairs = block.iter().zip(block.iter().skip(1));
            pairs.map(|(last, point)| Step::between(last, point))
        })
    }

    fn write_points(&self, steps: &Dictionary) -> Result<(Vec<[u32; 2]>, Vec<u8>), LinkError> {
        let (mut blocks, mut points) = (Vec::new(), Vec::new());
        for block in self.points.chunks(POINTS_PER_BLOCK as usize) {
            let mut last: Option<&Point> = None;
            for point in block {
                match last {
                    None => {
                        blocks.push([point.key, count(points.len(), "so many points")?]);
                        Step::between(&START, point).write_place(&mut points);
                    }
                    Some(last) => steps.write(Step::between(last, point), &mut points),
                }
                last = Some(point);
            }
        }
        Ok((blocks, points))
    }
}

fn count(number: usize, what: &'static str) -> Result<u32, LinkError> {
    u32::try_from(number).map_err(|_| LinkError::TooLarge { what })
}
