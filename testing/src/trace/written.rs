//! The bytes of tagged slots that certainly were written.

use super::{Tag, VirtualStack};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    Block, DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, Value, ValueDef, types,
};
use cranelift_inliner::frames::{FrameSchema, split_frames};
use cranelift_inliner::program::Program;
use std::collections::BTreeMap;
use std::ops::Range;

/// For each place of a program that has tags, the bytes of the tagged slots that are written on
/// every way from the start of the function to it.
///
/// The other bytes of a slot are left from the stack before, which differs between a frame of its
/// own and a part of another one. So a comparison of [`VirtualStack`]s needs to leave them out.
///
/// A place is known by the keys and numbers of its own frame. Frames with a slot that has no key
/// are left as they are.
///
/// ```
/// use cranelift_inliner::frames::CountedFrames;
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner_testing::trace::{Tag, VirtualStack, WrittenBytes};
///
/// let program = Program::from_clif("
/// function %main(i32) system_v {
///     ss0 = explicit_slot 8, key = 5
///     fn0 = %host() system_v
/// block0(v0: i32):
///     v1 = stack_addr.i64 ss0
///     store v0, v1
///     <2, ss0, 77> call fn0()
///     return
/// }", "main.clif")?;
/// let slot = |value: &[u8]| Tag::Slot { key: Some(5), descriptor: None, value: value.to_vec() };
/// let stack = |value| VirtualStack {
///     frames: vec![vec![slot(value), Tag::User(77)]],
///     is_complete: true,
/// };
/// let written = WrittenBytes::of(&program, &CountedFrames);
/// let mut seen = stack(&[1, 2, 3, 4, 5, 6, 7, 8]);
/// written.clear_others(&mut seen);
/// assert_eq!(seen, stack(&[1, 2, 3, 4, 0, 0, 0, 0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct WrittenBytes {
    places: BTreeMap<Place, Bytes>,
}

/// The keys of the slots and the numbers in the tags of a frame, in order.
type Place = Vec<u64>;

/// Whether each byte was written, of one slot after the other.
type Bytes = Vec<bool>;

impl WrittenBytes {
    /// Finds the bytes in `program`. Its tags must have the form of `schema`; others are left out.
    pub fn of(program: &Program, schema: &dyn FrameSchema) -> Self {
        let mut written = WrittenBytes::default();
        for (_, function) in program.iter() {
            written.add(function.body(), schema);
        }
        written
    }

    fn add(&mut self, body: &Function, schema: &dyn FrameSchema) {
        if body.debug_tags.is_empty() {
            return;
        }
        let state = State::new(body);
        for block in body.layout.blocks() {
            let Some(mut bytes) = state.at_start[block].clone() else {
                continue;
            };
            for inst in body.layout.block_insts(block) {
                let tags = body.debug_tags.get(inst);
                let innermost = split_frames(&schema, tags).last();
                if let Some(Ok(frame)) = innermost
                    && let Some(place) = place_of(frame, body)
                {
                    let slots = frame.iter().filter_map(|tag| match tag {
                        DebugTag::StackSlot(slot) => Some(state.bytes_of(*slot)),
                        DebugTag::User(_) => None,
                    });
                    let here: Bytes = slots.flat_map(|range| bytes[range].to_vec()).collect();
                    // Instructions with the same tags are one place.
                    let known = self.places.entry(place).or_insert_with(|| here.clone());
                    for (known, here) in known.iter_mut().zip(here) {
                        *known &= here;
                    }
                }
                state.step(inst, &mut bytes);
            }
        }
    }

    /// Sets all other bytes of the slots in `stack` to zero.
    pub fn clear_others(&self, stack: &mut VirtualStack) {
        for frame in &mut stack.frames {
            let place: Option<Place> = frame.iter().map(number).collect();
            let Some(written) = place.and_then(|place| self.places.get(&place)) else {
                continue;
            };
            let values = frame.iter_mut().filter_map(|tag| match tag {
                Tag::Slot { value, .. } => Some(value),
                Tag::User(_) => None,
            });
            for (byte, &is_written) in values.flatten().zip(written) {
                if !is_written {
                    *byte = 0;
                }
            }
        }
    }

    /// Returns the number of places.
    pub fn place_count(&self) -> usize {
        self.places.len()
    }
}

fn number(tag: &Tag) -> Option<u64> {
    match tag {
        Tag::User(number) => Some(u64::from(*number)),
        Tag::Slot { key, .. } => *key,
    }
}

fn place_of(frame: &[DebugTag], body: &Function) -> Option<Place> {
    let numbers = frame.iter().map(|tag| match tag {
        DebugTag::User(number) => Some(u64::from(*number)),
        DebugTag::StackSlot(slot) => body.sized_stack_slots.get(*slot)?.key.map(|key| key.bits()),
    });
    numbers.collect()
}

struct State<'f> {
    body: &'f Function,
    /// Where the bytes of each slot begin.
    starts: SecondaryMap<StackSlot, usize>,
    /// `None` for blocks that are not reached.
    at_start: SecondaryMap<Block, Option<Bytes>>,
}

impl<'f> State<'f> {
    fn new(body: &'f Function) -> Self {
        let mut starts = SecondaryMap::new();
        let mut end = 0;
        for (slot, data) in &body.sized_stack_slots {
            starts[slot] = end;
            end += data.size as usize;
        }
        let mut state = State {
            body,
            starts,
            at_start: SecondaryMap::new(),
        };
        let Some(entry) = body.layout.entry_block() else {
            return state;
        };
        state.at_start[entry] = Some(vec![false; end]);
        let mut work = vec![entry];
        while let Some(block) = work.pop() {
            let Some(mut bytes) = state.at_start[block].clone() else {
                continue;
            };
            for inst in body.layout.block_insts(block) {
                state.step(inst, &mut bytes);
            }
            for successor in body.block_successors(block) {
                let changes = match &mut state.at_start[successor] {
                    Some(known) => {
                        let before = known.clone();
                        for (known, here) in known.iter_mut().zip(&bytes) {
                            *known &= here;
                        }
                        *known != before
                    }
                    unknown => {
                        *unknown = Some(bytes.clone());
                        true
                    }
                };
                if changes {
                    work.push(successor);
                }
            }
        }
        state
    }

    fn bytes_of(&self, slot: StackSlot) -> Range<usize> {
        let start = self.starts[slot];
        let data = self.body.sized_stack_slots.get(slot);
        start..start + data.map_or(0, |data| data.size as usize)
    }

    /// Marks the bytes that an instruction writes.
    fn step(&self, inst: Inst, bytes: &mut Bytes) {
        let dfg = &self.body.dfg;
        let (slot, offset, value, opcode) = match dfg.insts[inst] {
            InstructionData::Store {
                opcode,
                args: [value, address],
                offset,
                ..
            } => match self.slot_address(address) {
                Some((slot, start)) => (slot, start + i64::from(i32::from(offset)), value, opcode),
                None => return,
            },
            _ => return,
        };
        let size = match opcode {
            Opcode::Istore8 => types::I8.bytes(),
            Opcode::Istore16 => types::I16.bytes(),
            Opcode::Istore32 => types::I32.bytes(),
            _ => dfg.value_type(value).bytes(),
        };
        let own = self.bytes_of(slot);
        let start = usize::try_from(offset)
            .ok()
            .and_then(|offset| own.start.checked_add(offset));
        let Some(start) = start else { return };
        let end = (start + size as usize).min(own.end);
        if let Some(bytes) = bytes.get_mut(start..end) {
            bytes.fill(true);
        }
    }

    fn slot_address(&self, address: Value) -> Option<(StackSlot, i64)> {
        let dfg = &self.body.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(dfg.resolve_aliases(address)) else {
            return None;
        };
        match dfg.insts[inst] {
            InstructionData::StackAddr {
                stack_slot, offset, ..
            } => Some((stack_slot, i64::from(i32::from(offset)))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_inliner::frames::FixedFrames;

    /// Returns which bytes count at the place `number` of a function with one slot of 8 bytes.
    fn written(body: &str, number: u32) -> String {
        let text = format!(
            "function %f(i64, i32) system_v {{
                ss0 = explicit_slot 8, key = 5
                fn0 = %host() system_v
            {body}
            }}"
        );
        let program = Program::from_clif(&text, "f.clif").unwrap();
        let written = WrittenBytes::of(&program, &FixedFrames::new(2));
        let mut stack = VirtualStack {
            frames: vec![vec![
                Tag::Slot {
                    key: Some(5),
                    descriptor: None,
                    value: vec![1; 8],
                },
                Tag::User(number),
            ]],
            is_complete: true,
        };
        written.clear_others(&mut stack);
        let Tag::Slot { value, .. } = &stack.frames[0][0] else {
            panic!("{stack:?}")
        };
        let bytes = value.iter().map(|&byte| if byte == 0 { '.' } else { 'x' });
        bytes.collect()
    }

    #[test]
    fn stores_count_from_where_they_are_on() {
        let body = "
            block0(v0: i64, v1: i32):
                v2 = stack_addr.i64 ss0+2
                <ss0, 1> call fn0()
                istore8 v1, v2
                <ss0, 2> call fn0()
                store v1, v2+2
                <ss0, 3> call fn0()
                store v0, v2+4
                <ss0, 4> call fn0()
                return";
        assert_eq!(written(body, 1), "........");
        assert_eq!(written(body, 2), "..x.....");
        assert_eq!(written(body, 3), "..x.xxxx");
        // Bytes beyond the slot are not part of it.
        assert_eq!(written(body, 4), "..x.xxxx");
        // Nothing is known of other places.
        assert_eq!(written(body, 5), "xxxxxxxx");
    }

    #[test]
    fn bytes_are_written_on_all_ways() {
        let body = "
            block0(v0: i64, v1: i32):
                v2 = stack_addr.i64 ss0
                brif v1, block1, block2
            block1:
                store v1, v2
                istore16 v1, v2+6
                <ss0, 1> call fn0()
                jump block3
            block2:
                istore16 v1, v2+2
                <ss0, 2> call fn0()
                jump block3
            block3:
                <ss0, 3> call fn0()
                istore8 v1, v2+4
                <ss0, 1> call fn0()
                brif v1, block3, block4
            block4:
                <ss0, 4> call fn0()
                return";
        assert_eq!(written(body, 2), "..xx....");
        assert_eq!(written(body, 3), "..xx....");
        assert_eq!(written(body, 4), "..xxx...");
        // Two instructions are this place.
        assert_eq!(written(body, 1), "..xx....");
    }
}
