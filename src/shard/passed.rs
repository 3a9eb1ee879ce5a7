//! The values that calls pass, in eight bytes each.

use super::summary::Passed;

/// A value that a call passes: see [`Passed`].
#[derive(Clone, Copy, Debug)]
pub(super) enum PackedValue {
    Unknown,
    Int(i32),
    /// An integer of more bits, by its number in the list of those.
    Wide(u32),
    Constant,
    FunctionAddress,
    Address,
    Parameter(u32),
    Slot {
        /// More are as good as this many.
        other_calls: u8,
        accesses: u16,
        slot: u32,
    },
}

const _: () = assert!(size_of::<PackedValue>() == 8);

impl PackedValue {
    /// Packs a value; integers of more than 32 bits are added to `wide`.
    pub(super) fn of(value: Passed, wide: &mut Vec<i64>) -> Self {
        match value {
            Passed::Unknown => PackedValue::Unknown,
            Passed::Int(bits) => match i32::try_from(bits) {
                Ok(bits) => PackedValue::Int(bits),
                Err(_) => {
                    wide.push(bits);
                    let number = u32::try_from(wide.len() - 1);
                    number.map_or(PackedValue::Constant, PackedValue::Wide)
                }
            },
            Passed::Constant => PackedValue::Constant,
            Passed::FunctionAddress => PackedValue::FunctionAddress,
            Passed::Address => PackedValue::Address,
            Passed::Parameter(index) => PackedValue::Parameter(index),
            Passed::Slot {
                slot,
                other_calls,
                accesses,
            } => PackedValue::Slot {
                other_calls: u8::try_from(other_calls).unwrap_or(u8::MAX),
                accesses: u16::try_from(accesses).unwrap_or(u16::MAX),
                slot,
            },
        }
    }

    pub(super) fn value(self, wide: &[i64]) -> Passed {
        match self {
            PackedValue::Unknown => Passed::Unknown,
            PackedValue::Int(bits) => Passed::Int(bits.into()),
            PackedValue::Wide(number) => {
                let bits = wide.get(number as usize);
                bits.map_or(Passed::Constant, |&bits| Passed::Int(bits))
            }
            PackedValue::Constant => Passed::Constant,
            PackedValue::FunctionAddress => Passed::FunctionAddress,
            PackedValue::Address => Passed::Address,
            PackedValue::Parameter(index) => Passed::Parameter(index),
            PackedValue::Slot {
                other_calls,
                accesses,
                slot,
            } => Passed::Slot {
                slot,
                other_calls: other_calls.into(),
                accesses: accesses.into(),
            },
        }
    }

    /// Marks a slot as one of a function `level` calls outwards, so that it differs from others.
    pub(super) fn at_level(self, level: usize) -> Self {
        match self {
            PackedValue::Slot {
                other_calls,
                accesses,
                slot,
            } => PackedValue::Slot {
                other_calls,
                accesses,
                slot: slot.wrapping_add(u32::try_from(level).unwrap_or(u32::MAX) << 20)
                    & (u32::MAX >> 1),
            },
            other => other,
        }
    }
}
