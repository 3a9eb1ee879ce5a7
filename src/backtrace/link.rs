//! Joins functions to a table.

use super::error::LinkError;
use super::format::{Header, PLACES_PER_BLOCK, POINTS_PER_BLOCK, TEXT_LIMIT};
use super::function::{FunctionBacktraces, Place, Point};
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
    places: Vec<Place>,
    place_numbers: FxHashMap<Place, u32>,
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
        let mut places: Vec<u32> = Vec::with_capacity(function.places.len());
        for place in &function.places {
            let place = Place {
                name: names[place.name as usize],
                location: place.location,
                // Callers' places come first.
                caller: place.caller.map(|caller| places[caller as usize]),
            };
            let next = count(self.places.len(), "so many places")?;
            places.push(*self.place_numbers.entry(place).or_insert_with(|| {
                self.places.push(place);
                next
            }));
        }
        self.points
            .extend(function.points.iter().map(|point| Point {
                key: start * 2 + point.key,
                place: places[point.place as usize],
            }));
        Ok(())
    }

    fn write(mut self) -> Result<BacktraceTable, LinkError> {
        // A return address may be the first byte behind its function, where the next one begins.
        self.points.sort_unstable();
        self.points.dedup_by_key(|point| point.key);
        let (mut ends, mut names) = (Vec::new(), Vec::new());
        for name in &self.names {
            write_name(&mut names, name);
            ends.push(count(names.len(), "so many names")?);
        }
        let (mut place_blocks, mut places) = (Vec::new(), Vec::new());
        let (mut name, mut location) = (0, 0);
        for (number, place) in (0u32..).zip(&self.places) {
            if number.is_multiple_of(PLACES_PER_BLOCK) {
                place_blocks.push(count(places.len(), "so many places")?);
                (name, location) = (0, 0);
            }
            let back = place.caller.map_or(0, |caller| number - caller);
            write_varint(&mut places, back.into());
            write_varint(&mut places, difference(place.name, name));
            write_varint(&mut places, difference(place.location.bits(), location));
            (name, location) = (place.name, place.location.bits());
        }
        let (mut point_blocks, mut points) = (Vec::new(), Vec::new());
        let mut last = Point { key: 0, place: 0 };
        for (number, point) in (0u32..).zip(&self.points) {
            if number.is_multiple_of(POINTS_PER_BLOCK) {
                point_blocks.push((point.key, count(points.len(), "so many points")?));
                last.place = 0;
            } else {
                write_varint(&mut points, (point.key - last.key).into());
            }
            write_varint(&mut points, difference(point.place, last.place));
            last = *point;
        }
        let header = Header {
            names: count(self.names.len(), "so many names")?,
            places: count(self.places.len(), "so many places")?,
            points: count(self.points.len(), "so many points")?,
            name_bytes: count(names.len(), "so many names")?,
            place_bytes: count(places.len(), "so many places")?,
            point_bytes: count(points.len(), "so many points")?,
            text_bytes: self.text_bytes,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        bytes.extend(ends.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(place_blocks.into_iter().flat_map(u32::to_le_bytes));
        for (key, at) in point_blocks {
            bytes.extend(key.to_le_bytes());
            bytes.extend(at.to_le_bytes());
        }
        bytes.extend(names);
        bytes.extend(places);
        bytes.extend(points);
        debug_assert_eq!(
            header.parts().map(|parts| parts.end),
            Some(bytes.len()),
            "the header has the sizes of all parts"
        );
        Ok(BacktraceTable { bytes })
    }
}

fn write_name(out: &mut Vec<u8>, name: &FunctionName) {
    match name.clone().into() {
        UserFuncName::User(name) => {
            out.push(0);
            write_varint(out, name.namespace.into());
            write_varint(out, name.index.into());
        }
        UserFuncName::Testcase(name) => {
            out.push(1);
            out.extend(name.raw());
        }
    }
}

fn count(number: usize, what: &'static str) -> Result<u32, LinkError> {
    u32::try_from(number).map_err(|_| LinkError::TooLarge { what })
}
