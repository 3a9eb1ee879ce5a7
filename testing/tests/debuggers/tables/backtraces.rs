//! The content of a backtrace table, read and written as the head of the library's module says.

use super::bytes::{Cursor, Writer, apply, step};

const NAMES: usize = 16;
const SCOPES: usize = 16;
const POINTS: usize = 128;

/// The content of a table, to be changed and written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backtraces {
    magic: [u8; 8],
    version: u32,
    pub(super) names: Vec<Name>,
    pub(super) scopes: Vec<Scope>,
    pub(super) points: Vec<Point>,
    /// The common steps from one point to the next.
    steps: Vec<Step>,
    text_bytes: u32,
}

/// The difference of the keys, twice that of the locations plus 1 for another scope, and that of
/// the scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    key: u64,
    location: u64,
    scope: u64,
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
        let numbers = [(); 10].map(|()| header.u32());
        let [
            version,
            names,
            scopes,
            points,
            name_bytes,
            scope_bytes,
            steps,
            step_bytes,
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
        header.take(2 * steps as usize);
        let name_start = header.at;
        let scope_start = name_start + name_bytes as usize;
        let step_start = scope_start + scope_bytes as usize;
        let point_start = step_start + step_bytes as usize;
        let mut cursor = Cursor::new(&bytes[step_start..]);
        let steps: Vec<Step> = (0..steps).map(|_| Step::read(&mut cursor)).collect();
        Backtraces {
            magic,
            version,
            names: read_names(&bytes[name_start..], names),
            scopes: read_scopes(&bytes[scope_start..], scopes),
            points: read_points(&bytes[point_start..], points, &keys, &steps),
            steps,
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
        let start = Point {
            key: 0,
            location: 0,
            scope: 0,
        };
        let mut last = start;
        for (number, point) in self.points.iter().enumerate() {
            if number.is_multiple_of(POINTS) {
                point_blocks.u32(point.key);
                point_blocks.u32(points.len());
                Step::between(&start, point).write_place(&mut points);
            } else {
                let step = Step::between(&last, point);
                let code = self.steps.iter().position(|common| *common == step);
                if !self.steps.is_empty() {
                    points.0.push(code.unwrap_or(self.steps.len()) as u8);
                }
                if code.is_none() {
                    step.write(&mut points);
                }
            }
            last = *point;
        }
        let (mut step_index, mut steps) = (Writer::default(), Writer::default());
        for step in &self.steps {
            step_index.0.extend((steps.len() as u16).to_le_bytes());
            step.write(&mut steps);
        }
        let mut all = Writer(self.magic.to_vec());
        for number in [
            self.version,
            self.names.len() as u32,
            self.scopes.len() as u32,
            self.points.len() as u32,
            names.len(),
            scopes.len(),
            self.steps.len() as u32,
            steps.len(),
            points.len(),
            self.text_bytes,
        ] {
            all.u32(number);
        }
        for part in [
            name_blocks,
            scope_blocks,
            point_blocks,
            step_index,
            names,
            scopes,
            steps,
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

fn read_points(bytes: &[u8], count: usize, keys: &[u32], steps: &[Step]) -> Vec<Point> {
    let mut cursor = Cursor::new(bytes);
    let mut point = Point {
        key: 0,
        location: 0,
        scope: 0,
    };
    let points = (0..count).map(|number| {
        let step = if number.is_multiple_of(POINTS) {
            point = Point {
                key: keys[number / POINTS],
                location: 0,
                scope: 0,
            };
            Step::read_place(&mut cursor)
        } else {
            let code = (!steps.is_empty()).then(|| cursor.take(1)[0]);
            let common = code.and_then(|code| steps.get(usize::from(code)));
            match common {
                Some(step) => *step,
                None => Step::read(&mut cursor),
            }
        };
        point = Point {
            key: point.key + step.key as u32,
            location: apply(point.location, step.location >> 1),
            scope: apply(point.scope, step.scope),
        };
        point
    });
    points.collect()
}

impl Step {
    fn between(last: &Point, point: &Point) -> Self {
        let scope = step(last.scope, point.scope);
        Step {
            key: u64::from(point.key - last.key),
            location: step(last.location, point.location) << 1 | u64::from(scope != 0),
            scope,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Self {
        let key = cursor.varint();
        let place = Step::read_place(cursor);
        Step { key, ..place }
    }

    fn read_place(cursor: &mut Cursor<'_>) -> Self {
        let location = cursor.varint();
        Step {
            key: 0,
            location,
            scope: if location & 1 == 1 {
                cursor.varint()
            } else {
                0
            },
        }
    }

    fn write(self, to: &mut Writer) {
        to.varint(self.key);
        self.write_place(to);
    }

    fn write_place(self, to: &mut Writer) {
        to.varint(self.location);
        if self.scope != 0 {
            to.varint(self.scope);
        }
    }
}
