//! The steps from one point to the next, of which the common ones take one byte each.
//!
//! Code repeats itself: the same instructions in the same order, at the same distances in code and
//! source. So most steps of a table are among a few hundred different ones.

use super::format::STEP_ROW;
use super::function::Point;
use crate::frames::{apply, difference, read_varint, write_varint};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// More have no code of one byte, since one code means that the step follows.
const MOST_STEPS: usize = 255;

/// The point before the first one of a block, but for its key.
pub(super) const START: Point = Point {
    key: 0,
    scope: 0,
    location: 0,
};

/// The differences between two points.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Step {
    key: u32,
    location: u64,
    /// 0 if the scope is the same.
    scope: u64,
}

impl Step {
    pub(super) fn between(last: &Point, point: &Point) -> Self {
        Step {
            key: point.key - last.key,
            location: difference(point.location, last.location),
            scope: difference(point.scope, last.scope),
        }
    }

    /// Writes the step without its key.
    pub(super) fn write_place(self, out: &mut Vec<u8>) {
        let is_elsewhere = self.scope != 0;
        write_varint(out, self.location << 1 | u64::from(is_elsewhere));
        if is_elsewhere {
            write_varint(out, self.scope);
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        write_varint(out, self.key.into());
        self.write_place(out);
    }

    fn bytes(self) -> usize {
        let place = varint_bytes(self.location << 1);
        let scope = match self.scope {
            0 => 0,
            scope => varint_bytes(scope),
        };
        varint_bytes(self.key.into()) + place + scope
    }
}

/// Moves a point by the step at `at`. A look-up follows dozens, so that a call of each would take a
/// third of its time.
#[inline(always)]
pub(super) fn follow_step(point: &mut Point, stream: &[u8], at: &mut usize) -> Option<()> {
    let key = u32::try_from(read_varint(stream, at)?).ok()?;
    point.key = point.key.checked_add(key)?;
    follow_place(point, stream, at)
}

/// Like [`follow_step`], with a step that has no key.
#[inline(always)]
pub(super) fn follow_place(point: &mut Point, stream: &[u8], at: &mut usize) -> Option<()> {
    let place = read_varint(stream, at)?;
    point.location = apply(point.location, place >> 1)?;
    if place & 1 == 1 {
        point.scope = apply(point.scope, read_varint(stream, at)?)?;
    }
    Some(())
}

fn varint_bytes(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// The common steps of a table.
#[derive(Default)]
pub(super) struct Dictionary {
    steps: Vec<Step>,
    codes: FxHashMap<Step, u8>,
}

impl Dictionary {
    /// Chooses among the steps of a table. It has none if all are shorter without it.
    pub(super) fn of(all: impl Iterator<Item = Step>) -> Self {
        let mut counts: FxHashMap<Step, usize> = FxHashMap::default();
        let mut count = 0;
        for step in all {
            *counts.entry(step).or_default() += 1;
            count += 1;
        }
        let saved = |step: Step, count: usize| {
            let in_dictionary = STEP_ROW + step.bytes();
            (count * step.bytes()).checked_sub(in_dictionary)
        };
        let mut gains: Vec<(Reverse<usize>, Step, usize)> = counts
            .into_iter()
            .filter_map(|(step, count)| Some((Reverse(saved(step, count)?), step, count)))
            .collect();
        gains.sort_unstable();
        gains.truncate(MOST_STEPS);
        // All others get a byte in front.
        let coded: usize = gains.iter().map(|(.., count)| count).sum();
        let saved: usize = gains.iter().map(|(Reverse(saved), ..)| saved).sum();
        let others = count - coded;
        if saved <= coded + others {
            return Dictionary::default();
        }
        let steps: Vec<Step> = gains.into_iter().map(|(_, step, _)| step).collect();
        let codes = steps.iter().copied().zip(0..);
        Dictionary {
            codes: codes.collect(),
            steps,
        }
    }

    pub(super) fn write(&self, step: Step, out: &mut Vec<u8>) {
        match self.codes.get(&step) {
            Some(&code) => out.push(code),
            None => {
                if !self.steps.is_empty() {
                    out.push(self.escape());
                }
                step.write(out);
            }
        }
    }

    /// Returns the code of steps that are not in the dictionary.
    fn escape(&self) -> u8 {
        u8::try_from(self.steps.len()).unwrap_or(u8::MAX)
    }

    /// Returns where each step begins among the bytes of all, and these.
    pub(super) fn bytes(&self) -> (Vec<u16>, Vec<u8>) {
        let (mut index, mut bytes) = (Vec::new(), Vec::new());
        for step in &self.steps {
            // At most 15 bytes each, so that all have fewer than 16 bits.
            index.push(bytes.len() as u16);
            step.write(&mut bytes);
        }
        (index, bytes)
    }
}
