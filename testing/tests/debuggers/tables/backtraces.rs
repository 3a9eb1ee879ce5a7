//! The content of a backtrace table, read and written as the head of the library's module says.

use super::bytes::{Cursor, Writer, apply, step};

const NAMES: usize = 16;
const SCOPES: usize = 16;
const POINTS: usize = 64;

/// The content of a table, to be changed and written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backtraces {
    magic: [u8; 8],
    version: u32,
    pub(super) names: Vec<Name>,
    pub(super) scopes: Vec<Scope>,
    pub(super) points: Vec<Point>,
    text_bytes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    User(u32, u32),
    Text(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The scope around it and the location of the call there, in an inlined body.
    pub(super) call: Option<(u32, u32)>,
    pub(super) name: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) key: u32,
    pub(super) location: u32,
    pub(super) scope: u32,
}

impl Backtraces {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut header = Cursor::new(bytes);
        let magic = header.take(8).try_into().unwrap();
        let numbers = [(); 8].map(|()| header.u32());
        let [
            version,
            names,
            scopes,
            points,
            name_bytes,
            scope_bytes,
            _,
            text_bytes,
        ] = numbers;
        let [names, scopes, points] = [names, scopes, points].map(|count| count as usize);
        header.take(4 * names.div_ceil(NAMES) + 4 * scopes.div_ceil(SCOPES));
        let blocks = points.div_ceil(POINTS);
        let keys: Vec<u32> = (0..blocks)
            .map(|_| {
                let key = header.u32();
                header.u32();
                key
            })
            .collect();
        let name_start = header.at;
        let scope_start = name_start + name_bytes as usize;
        let point_start = scope_start + scope_bytes as usize;
        Backtraces {
            magic,
            version,
            names: read_names(&bytes[name_start..], names),
            scopes: read_scopes(&bytes[scope_start..], scopes),
            points: read_points(&bytes[point_start..], points, &keys),
            text_bytes,
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let (mut name_blocks, mut names) = (Writer::default(), Writer::default());
        let mut index = 0;
        for (number, name) in self.names.iter().enumerate() {
            if number.is_multiple_of(NAMES) {
                name_blocks.u32(names.len());
                index = 0;
            }
            match name {
                Name::User(namespace, own) => {
                    names.varint(u64::from(*namespace) << 1);
                    names.from(index, *own);
                    index = *own;
                }
                Name::Text(text) => {
                    names.varint((text.len() as u64) << 1 | 1);
                    names.0.extend(text);
                }
            }
        }
        let (mut scope_blocks, mut scopes) = (Writer::default(), Writer::default());
        let (mut name, mut location) = (0, 0);
        for (number, scope) in self.scopes.iter().enumerate() {
            if number.is_multiple_of(SCOPES) {
                scope_blocks.u32(scopes.len());
                (name, location) = (0, 0);
            }
            scopes.varint(
                scope
                    .call
                    .map_or(0, |(around, _)| number as u64 - u64::from(around)),
            );
            scopes.from(name, scope.name);
            name = scope.name;
            if let Some((_, at)) = scope.call {
                scopes.from(location, at);
                location = at;
            }
        }
        let (mut point_blocks, mut points) = (Writer::default(), Writer::default());
        let (mut key, mut location, mut scope) = (0, 0, 0);
        for (number, point) in self.points.iter().enumerate() {
            if number.is_multiple_of(POINTS) {
                point_blocks.u32(point.key);
                point_blocks.u32(points.len());
                (location, scope) = (0, 0);
            } else {
                points.varint(u64::from(point.key - key));
            }
            let is_elsewhere = point.scope != scope;
            points.varint(step(location, point.location) << 1 | u64::from(is_elsewhere));
            if is_elsewhere {
                points.from(scope, point.scope);
            }
            (key, location, scope) = (point.key, point.location, point.scope);
        }
        let mut all = Writer(self.magic.to_vec());
        for number in [
            self.version,
            self.names.len() as u32,
            self.scopes.len() as u32,
            self.points.len() as u32,
            names.len(),
            scopes.len(),
            points.len(),
            self.text_bytes,
        ] {
            all.u32(number);
        }
        for part in [
            name_blocks,
            scope_blocks,
            point_blocks,
            names,
            scopes,
            points,
        ] {
            all.0.extend(part.0);
        }
        all.0
    }
}

fn read_names(bytes: &[u8], count: usize) -> Vec<Name> {
    let mut cursor = Cursor::new(bytes);
    let mut index = 0;
    let names = (0..count).map(|number| {
        if number.is_multiple_of(NAMES) {
            index = 0;
        }
        let start = cursor.varint();
        match start & 1 {
            1 => Name::Text(cursor.take((start >> 1) as usize).to_vec()),
            _ => {
                index = cursor.from(index);
                Name::User((start >> 1) as u32, index)
            }
        }
    });
    names.collect()
}

fn read_scopes(bytes: &[u8], count: usize) -> Vec<Scope> {
    let mut cursor = Cursor::new(bytes);
    let (mut name, mut location) = (0, 0);
    let scopes = (0..count as u32).map(|number| {
        if (number as usize).is_multiple_of(SCOPES) {
            (name, location) = (0, 0);
        }
        let back = cursor.varint() as u32;
        name = cursor.from(name);
        let call = (back > 0).then(|| {
            location = cursor.from(location);
            (number - back, location)
        });
        Scope { call, name }
    });
    scopes.collect()
}

fn read_points(bytes: &[u8], count: usize, keys: &[u32]) -> Vec<Point> {
    let mut cursor = Cursor::new(bytes);
    let (mut key, mut location, mut scope) = (0, 0, 0);
    let points = (0..count).map(|number| {
        if number.is_multiple_of(POINTS) {
            (key, location, scope) = (keys[number / POINTS], 0, 0);
        } else {
            key += cursor.varint() as u32;
        }
        let start = cursor.varint();
        location = apply(location, start >> 1);
        if start & 1 == 1 {
            scope = cursor.from(scope);
        }
        Point {
            key,
            location,
            scope,
        }
    });
    points.collect()
}
