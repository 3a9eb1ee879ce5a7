//! Joins functions to a table.

use super::error::LinkError;
use super::format::{Header, NAMES_PER_BLOCK, POINTS_PER_BLOCK, SCOPES_PER_BLOCK, TEXT_LIMIT};
use super::function::{FunctionBacktraces, Point, Scope};
use super::reader::BacktraceReader;
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
    /// Joins functions. Each comes with the offset of its code from the start of the text, in bytes.
    /// Their order does not matter.
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
        let (point_blocks, points) = self.write_points()?;
        let header = Header {
            names: count(self.names.len(), "so many names")?,
            scopes: count(self.scopes.len(), "so many scopes")?,
            points: count(self.points.len(), "so many points")?,
            name_bytes: count(names.len(), "so many names")?,
            scope_bytes: count(scopes.len(), "so many scopes")?,
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
        bytes.extend(names);
        bytes.extend(scopes);
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

    fn write_points(&self) -> Result<(Vec<[u32; 2]>, Vec<u8>), LinkError> {
        let (mut blocks, mut points) = (Vec::new(), Vec::new());
        let start = Point {
            key: 0,
            scope: 0,
            location: 0,
        };
        let mut last = start;
        for (number, point) in (0u32..).zip(&self.points) {
            if number.is_multiple_of(POINTS_PER_BLOCK) {
                blocks.push([point.key, count(points.len(), "so many points")?]);
                last = start;
            } else {
                write_varint(&mut points, (point.key - last.key).into());
            }
            let is_elsewhere = point.scope != last.scope;
            let step = difference(point.location, last.location);
            write_varint(&mut points, step << 1 | u64::from(is_elsewhere));
            if is_elsewhere {
                write_varint(&mut points, difference(point.scope, last.scope));
            }
            last = *point;
        }
        Ok((blocks, points))
    }
}

fn count(number: usize, what: &'static str) -> Result<u32, LinkError> {
    u32::try_from(number).map_err(|_| LinkError::TooLarge { what })
}
