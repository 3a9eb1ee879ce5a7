//! The table's layout in bytes, for the encoder and the reader alike. `docs/FRAMES.md` describes
//! it.

use super::error::TableError;

pub(super) const MAGIC: [u8; 8] = *b"CLIFRAME";
pub(super) const VERSION: u16 = 1;
pub(super) const HEADER_BYTES: usize = 64;

pub(super) const FUNCTION_ROW: usize = 16;
pub(super) const POINT_BLOCK_ROW: usize = 8;
pub(super) const FRAME_BLOCK_ROW: usize = 4;
pub(super) const SLOT_ROW: usize = 12;
pub(super) const KEY_ROW: usize = 16;

/// The number of points per row of the point index.
pub(super) const POINTS_PER_BLOCK: u32 = 32;
/// The number of frames per row of the frame index.
pub(super) const FRAMES_PER_BLOCK: u32 = 16;

/// The number of a frame's tags that are stored as differences from those of the frame before.
pub(super) const DELTA_TAGS: usize = 4;

/// The most virtual frames at one point.
pub(super) const MAX_DEPTH: u32 = 1 << 16;

/// The descriptor length of a key without a descriptor.
pub(super) const NO_DESCRIPTOR: u32 = u32::MAX;

/// The number of rows or bytes of each column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) functions: u32,
    pub(super) points: u32,
    pub(super) point_bytes: u32,
    pub(super) frames: u32,
    pub(super) frame_bytes: u32,
    pub(super) slots: u32,
    pub(super) keys: u32,
    pub(super) descriptor_bytes: u32,
    pub(super) max_depth: u32,
}

/// Where each column starts, in bytes from the start of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    pub(super) functions: usize,
    pub(super) point_index: usize,
    pub(super) frame_index: usize,
    pub(super) slots: usize,
    pub(super) keys: usize,
    pub(super) points: usize,
    pub(super) frames: usize,
    pub(super) descriptors: usize,
    pub(super) end: usize,
}

impl Counts {
    pub(super) fn point_blocks(&self) -> u32 {
        self.points.div_ceil(POINTS_PER_BLOCK)
    }

    pub(super) fn frame_blocks(&self) -> u32 {
        self.frames.div_ceil(FRAMES_PER_BLOCK)
    }

    /// Returns where each column starts; `None` if the sum does not fit.
    pub(super) fn starts(&self) -> Option<Starts> {
        let mut at = HEADER_BYTES;
        let mut column = |count: u32, row: usize| {
            let start = at;
            at = at.checked_add(usize::try_from(count).ok()?.checked_mul(row)?)?;
            Some(start)
        };
        Some(Starts {
            functions: column(self.functions, FUNCTION_ROW)?,
            point_index: column(self.point_blocks(), POINT_BLOCK_ROW)?,
            frame_index: column(self.frame_blocks(), FRAME_BLOCK_ROW)?,
            slots: column(self.slots, SLOT_ROW)?,
            keys: column(self.keys, KEY_ROW)?,
            points: column(self.point_bytes, 1)?,
            frames: column(self.frame_bytes, 1)?,
            descriptors: column(self.descriptor_bytes, 1)?,
            end: at,
        })
    }

    pub(super) fn write_header(&self, total: u32) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend([0; 2]);
        for word in [
            total,
            self.functions,
            self.points,
            self.point_bytes,
            self.frames,
            self.frame_bytes,
            self.slots,
            self.keys,
            self.descriptor_bytes,
            self.max_depth,
        ] {
            header.extend(word.to_le_bytes());
        }
        header.resize(HEADER_BYTES, 0);
        header
    }

    /// Reads the header at the start of `bytes`, and returns the table's columns.
    pub(super) fn read_header(bytes: &[u8]) -> Result<(Self, Starts), TableError> {
        let cut_short = |needed: usize| TableError::Truncated {
            needed: needed as u64,
            length: bytes.len() as u64,
        };
        let malformed = |reason| TableError::Header { reason };
        let too_short = || cut_short(HEADER_BYTES);
        let header = bytes.get(..HEADER_BYTES).ok_or_else(too_short)?;
        if header.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(TableError::BadMagic);
        }
        let version = u16_at(header, 8).ok_or_else(too_short)?;
        if version != VERSION {
            return Err(TableError::UnsupportedVersion {
                version,
                known: VERSION,
            });
        }
        let word = |at| u32_at(header, at).ok_or_else(too_short);
        if u16_at(header, 10) != Some(0) || header.iter().skip(52).any(|&byte| byte != 0) {
            return Err(malformed("a reserved byte is not 0"));
        }
        let total = word(12)?;
        let counts = Counts {
            functions: word(16)?,
            points: word(20)?,
            point_bytes: word(24)?,
            frames: word(28)?,
            frame_bytes: word(32)?,
            slots: word(36)?,
            keys: word(40)?,
            descriptor_bytes: word(44)?,
            max_depth: word(48)?,
        };
        if counts.max_depth > MAX_DEPTH {
            return Err(malformed("the depth is beyond the limit"));
        }
        let starts = counts.starts();
        let starts = starts.ok_or(malformed("the columns exceed the address space"))?;
        if usize::try_from(total) != Ok(starts.end) {
            return Err(malformed("the length is not that of the columns"));
        }
        if bytes.len() < starts.end {
            return Err(cut_short(starts.end));
        }
        Ok((counts, starts))
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// Appends `value` in groups of 7 bits, the lowest first; all but the last have the high bit set.
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The most bytes of a varint. The largest value in a table has 35 bits.
const VARINT_BYTES: usize = 5;

/// Reads the varint at `at` and moves `at` behind it. `None` where it runs out of `bytes`, is too
/// long, or longer than it needs to be.
#[inline]
pub(crate) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    // Most numbers have one byte or two.
    match *bytes.get(*at..)? {
        [first @ ..0x80, ..] => {
            *at += 1;
            Some(first.into())
        }
        [first, second @ 1..0x80, ..] => {
            *at += 2;
            Some(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => read_long_varint(bytes, at),
    }
}

#[cold]
fn read_long_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let rest = bytes.get(*at..)?;
    let mut value = 0;
    for (index, &byte) in rest.iter().take(VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return None;
            }
            *at = at.checked_add(index + 1)?;
            return Some(value);
        }
    }
    None
}

/// Encodes a difference as an unsigned number that is small for small differences.
pub(super) fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Returns the number that differs by `difference` from `base`, if it has 32 bits.
#[inline]
pub(crate) fn apply(base: u32, difference: u64) -> Option<u32> {
    let value = i64::from(base).checked_add(unzigzag(difference))?;
    u32::try_from(value).ok()
}

pub(crate) fn difference(value: u32, base: u32) -> u64 {
    zigzag(i64::from(value) - i64::from(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_and_differences_come_back(value: u32, base: u32, low: bool) {
            let number = difference(value, base) << 1 | u64::from(low);
            let mut bytes = vec![9];
            write_varint(&mut bytes, number);
            let mut at = 1;
            prop_assert_eq!(read_varint(&bytes, &mut at), Some(number));
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(apply(base, number >> 1), Some(value));
        }
    }

    #[test]
    fn bad_varints_are_refused() {
        for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff; 6]] {
            assert_eq!(read_varint(bad, &mut 0), None, "{bad:?}");
        }
        assert_eq!(read_varint(&[1], &mut 5), None);
        assert_eq!(apply(0, zigzag(-1)), None);
        assert_eq!(apply(u32::MAX, zigzag(1)), None);
    }
}
