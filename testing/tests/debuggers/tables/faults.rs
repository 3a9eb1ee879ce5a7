//! Mistakes that a writer of the tables could make, each in every place of its kind.

use super::backtraces::Backtraces;
use super::frames::Frames;

/// A mistake, and the change that it makes.
pub(super) type Fault<T> = (&'static str, fn(&mut T));

const UNKNOWN: u32 = u32::MAX;

pub(super) const IN_BACKTRACES: [Fault<Backtraces>; 15] = [
    ("locations are off by one", |table| {
        let points = table.points.iter_mut();
        points
            .filter(|point| point.location != UNKNOWN)
            .for_each(|point| point.location ^= 1);
    }),
    ("a place has the location of the next one", |table| {
        for at in 1..table.points.len() {
            table.points[at - 1].location = table.points[at].location;
        }
    }),
    ("a place is in the body around its own", |table| {
        for point in &mut table.points {
            if let Some((around, _)) = table.scopes[point.scope as usize].call {
                point.scope = around;
            }
        }
    }),
    ("a place is in the body before its own", |table| {
        for point in &mut table.points {
            point.scope = point.scope.saturating_sub(1);
        }
    }),
    ("a body between two is left out", |table| {
        let before = table.scopes.clone();
        for scope in &mut table.scopes {
            if let Some((around, _)) = scope.call
                && let Some(call) = before[around as usize].call
            {
                scope.call = Some(call);
            }
        }
    }),
    ("two calls have each other's location", |table| {
        for at in 1..table.scopes.len() {
            let (Some((one, first)), Some((other, second))) =
                (table.scopes[at - 1].call, table.scopes[at].call)
            else {
                continue;
            };
            if one == other {
                table.scopes[at - 1].call = Some((one, second));
                table.scopes[at].call = Some((other, first));
            }
        }
    }),
    ("two bodies have each other's parent", |table| {
        for at in 1..table.scopes.len() {
            let (Some((one, first)), Some((other, second))) =
                (table.scopes[at - 1].call, table.scopes[at].call)
            else {
                continue;
            };
            if (other as usize) < at - 1 {
                table.scopes[at - 1].call = Some((other, first));
                table.scopes[at].call = Some((one, second));
            }
        }
    }),
    ("a body has the name of the one around it", |table| {
        for at in 0..table.scopes.len() {
            if let Some((around, _)) = table.scopes[at].call {
                table.scopes[at].name = table.scopes[around as usize].name;
            }
        }
    }),
    ("a name is another's", |table| table.names.rotate_left(1)),
    ("return addresses are a byte late", |table| {
        let points = table.points.iter_mut();
        points
            .filter(|point| point.key % 2 == 0)
            .for_each(|point| point.key += 2);
        sort(table);
    }),
    ("return addresses are those of the calls", |table| {
        let points = table.points.iter_mut();
        points
            .filter(|point| point.key % 2 == 0)
            .for_each(|point| point.key = point.key.saturating_sub(10));
        sort(table);
    }),
    ("traps are return addresses", |table| {
        table.points.iter_mut().for_each(|point| point.key &= !1);
        sort(table);
    }),
    ("functions are 16 bytes further on", |table| {
        table.points.iter_mut().for_each(|point| point.key += 32);
    }),
    ("a function is inlined into the one before", |table| {
        for at in 1..table.scopes.len() {
            let around = at as u32 - 1;
            table.scopes[at].call.get_or_insert((around, UNKNOWN));
        }
    }),
    ("calls have no location", |table| {
        let calls = table.scopes.iter_mut();
        calls
            .filter_map(|scope| scope.call.as_mut())
            .for_each(|call| call.1 = UNKNOWN);
    }),
];

/// Sorts the points; two at one place become one.
fn sort(table: &mut Backtraces) {
    table.points.sort_by_key(|point| point.key);
    table.points.dedup_by_key(|point| point.key);
}

/// Returns the tags of the frames that are not empty.
fn tags(table: &mut Frames) -> impl Iterator<Item = &mut Vec<(u32, bool)>> {
    let tags = table.frames.iter_mut().map(|frame| &mut frame.tags);
    tags.filter(|tags| !tags.is_empty())
}

pub(super) const IN_FRAMES: [Fault<Frames>; 17] = [
    ("a frame between two is left out", |table| {
        let before = table.frames.clone();
        for frame in &mut table.frames {
            if let Some(around) = frame.parent.checked_sub(1) {
                frame.parent = before[around as usize].parent;
            }
        }
    }),
    ("two frames have each other's parent", |table| {
        for at in 1..table.frames.len() {
            let (one, other) = (table.frames[at - 1].parent, table.frames[at].parent);
            // A frame comes after the one around it.
            if (other as usize) < at {
                table.frames[at - 1].parent = other;
                table.frames[at].parent = one;
            }
        }
    }),
    ("frames have none around them", |table| {
        table.frames.iter_mut().for_each(|frame| frame.parent = 0);
    }),
    ("lines are off by one", |table| {
        tags(table).for_each(|tags| tags[2].0 += 1);
    }),
    ("a frame is another function's", |table| {
        tags(table).for_each(|tags| tags[1].0 ^= 1);
    }),
    ("the last tag is missing", |table| {
        tags(table).for_each(|tags| tags.truncate(2));
    }),
    ("a frame has the slot before its own", |table| {
        tags(table).for_each(|tags| tags[0].0 = tags[0].0.saturating_sub(1));
    }),
    ("slots are eight bytes off", |table| {
        table.slots.iter_mut().for_each(|slot| slot.fp_offset += 8);
    }),
    ("slots are counted from the other end", |table| {
        let slots = table.slots.iter_mut();
        slots.for_each(|slot| slot.fp_offset = -slot.fp_offset);
    }),
    ("slots are smaller", |table| {
        table.slots.iter_mut().for_each(|slot| slot.size /= 2);
    }),
    ("slots have the key before their own", |table| {
        let slots = table.slots.iter_mut();
        slots
            .filter(|slot| slot.key > 1)
            .for_each(|slot| slot.key -= 1);
    }),
    ("keys have each other's description", |table| {
        for at in 1..table.keys.len() {
            let (start, length) = (table.keys[at - 1].start, table.keys[at - 1].length);
            table.keys[at - 1].start = table.keys[at].start;
            table.keys[at - 1].length = table.keys[at].length;
            table.keys[at].start = start;
            table.keys[at].length = length;
        }
    }),
    ("points are a byte late", |table| {
        table.points.iter_mut().for_each(|point| point.offset += 1);
    }),
    ("a point has the frames of the next one", |table| {
        for at in 1..table.points.len() {
            table.points[at - 1].frame = table.points[at].frame;
        }
    }),
    ("the points of calls are before them", |table| {
        table
            .points
            .iter_mut()
            .for_each(|point| point.is_pre = true);
    }),
    ("functions end too early", |table| {
        let functions = table.functions.iter_mut();
        functions.for_each(|function| function.length /= 2);
    }),
    ("a function is another one", |table| {
        for at in 1..table.functions.len() {
            let before = table.functions[at - 1].identity;
            table.functions[at - 1].identity = table.functions[at].identity;
            table.functions[at].identity = before;
        }
    }),
];
