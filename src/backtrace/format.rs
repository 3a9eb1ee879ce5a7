//! The header, and the sizes of blocks; see the head of the module.

use super::error::BacktraceError;

pub(super) const MAGIC: [u8; 8] = *b"CLIFBTRC";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 48;

/// A look-up reads half of this on average, and the index costs four bytes per block.
pub(super) const SCOPES_PER_BLOCK: u32 = 16;
/// Like [`SCOPES_PER_BLOCK`].
pub(super) const NAMES_PER_BLOCK: u32 = 16;
/// Points are shorter, and more than all others.
pub(super) const POINTS_PER_BLOCK: u32 = 128;

pub(super) const POINT_BLOCK_ROW: usize = 8;
pub(super) const STEP_ROW: usize = 2;

/// Texts end before this offset, so that a key has 32 bits.
pub(super) const TEXT_LIMIT: u64 = 1 << 31;

/// The numbers of the header, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) names: u32,
    pub(super) scopes: u32,
    pub(super) points: u32,
    pub(super) name_bytes: u32,
    pub(super) scope_bytes: u32,
    pub(super) steps: u32,
    pub(super) step_bytes: u32,
    pub(super) point_bytes: u32,
    /// The end of the last function's code.
    pub(super) text_bytes: u32,
}

/// Where the parts begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) name_blocks: usize,
    pub(super) scope_blocks: usize,
    pub(super) point_blocks: usize,
    pub(super) step_index: usize,
    pub(super) names: usize,
    pub(super) scopes: usize,
    pub(super) steps: usize,
    pub(super) points: usize,
    pub(super) end: usize,
}

impl Header {
    pub(super) fn name_blocks(&self) -> u32 {
        self.names.div_ceil(NAMES_PER_BLOCK)
    }

    pub(super) fn scope_blocks(&self) -> u32 {
        self.scopes.div_ceil(SCOPES_PER_BLOCK)
    }

    pub(super) fn point_blocks(&self) -> u32 {
        self.points.div_ceil(POINTS_PER_BLOCK)
    }

    /// Returns where the parts begin; `None` if that is more than an address has.
    pub(super) fn parts(&self) -> Option<Parts> {
        let mut at = HEADER_BYTES;
        let mut next = |count: u32, size: usize| {
            let start = at;
            at = at.checked_add(usize::try_from(count).ok()?.checked_mul(size)?)?;
            Some(start)
        };
        Some(Parts {
            name_blocks: next(self.name_blocks(), 4)?,
            scope_blocks: next(self.scope_blocks(), 4)?,
            point_blocks: next(self.point_blocks(), POINT_BLOCK_ROW)?,
            step_index: next(self.steps, STEP_ROW)?,
            names: next(self.name_bytes, 1)?,
            scopes: next(self.scope_bytes, 1)?,
            steps: next(self.step_bytes, 1)?,
            points: next(self.point_bytes, 1)?,
            end: at,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        for number in [
            VERSION,
            self.names,
            self.scopes,
            self.points,
            self.name_bytes,
            self.scope_bytes,
            self.steps,
            self.step_bytes,
            self.point_bytes,
            self.text_bytes,
        ] {
            out.extend(number.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<(Self, Parts), BacktraceError> {
        let number = |index: usize| u32_at(bytes, 8 + 4 * index);
        if bytes.get(..8) != Some(&MAGIC) || number(0) != Some(VERSION) {
            return Err(BacktraceError::NotATable);
        }
        let number = |index| number(index).ok_or(BacktraceError::NotATable);
        let header = Header {
            names: number(1)?,
            scopes: number(2)?,
            points: number(3)?,
            name_bytes: number(4)?,
            scope_bytes: number(5)?,
            steps: number(6)?,
            step_bytes: number(7)?,
            point_bytes: number(8)?,
            text_bytes: number(9)?,
        };
        let parts = header.parts().ok_or(BacktraceError::NotATable)?;
        if parts.end > bytes.len() {
            return Err(BacktraceError::Truncated {
                needed: parts.end as u64,
                given: bytes.len() as u64,
            });
        }
        Ok((header, parts))
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let end = at.checked_add(2)?;
    Some(u16::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}
