//! The numbers of which both tables consist, read and written as their documentation says.

/// Reads numbers, one after the other.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    /// Reads a number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.take(1)[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    /// Reads a number that was written as its difference from `base`.
    pub(super) fn from(&mut self, base: u32) -> u32 {
        let step = self.varint();
        apply(base, step)
    }
}

pub(super) fn apply(base: u32, step: u64) -> u32 {
    let step = (step >> 1) as i64 ^ -((step & 1) as i64);
    (i64::from(base) + step) as u32
}

/// Writes numbers.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn from(&mut self, base: u32, number: u32) {
        self.varint(step(base, number));
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }
}

pub(super) fn step(base: u32, number: u32) -> u64 {
    let step = i64::from(number) - i64::from(base);
    ((step << 1) ^ (step >> 63)) as u64
}
