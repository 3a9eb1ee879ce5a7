//! Choices made from bytes.

use arbitrary::Unstructured;
use std::ops::RangeInclusive;

/// Bytes, read as choices. At the end of the bytes, and for zeros, each choice is the first, which
/// callers make the simplest. So shorter and smaller bytes mean simpler programs.
pub(super) struct Choices<'c, 'b> {
    bytes: &'c mut Unstructured<'b>,
}

impl<'c, 'b> Choices<'c, 'b> {
    pub(super) fn new(bytes: &'c mut Unstructured<'b>) -> Self {
        Choices { bytes }
    }

    /// Returns a number below `count`; 0 if `count` is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let last = count.saturating_sub(1);
        self.bytes.int_in_range(0..=last).unwrap_or(0)
    }

    /// Returns a number in `range`; its start if the range is empty.
    pub(super) fn within(&mut self, range: &RangeInclusive<usize>) -> usize {
        let (start, end) = (*range.start(), *range.end());
        start + self.below(end.saturating_sub(start).saturating_add(1))
    }

    /// Returns true in `of_256` of 256 cases.
    pub(super) fn chance(&mut self, of_256: u8) -> bool {
        self.byte() > u8::MAX - of_256
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bytes.int_in_range(0..=u8::MAX).unwrap_or(0)
    }

    /// Returns any 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.bytes.int_in_range(0..=u64::MAX).unwrap_or(0)
    }

    /// Returns one of `items`; `None` if there are none.
    pub(super) fn one_of<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_bytes_the_first_is_chosen() {
        let mut bytes = Unstructured::new(&[]);
        let mut choices = Choices::new(&mut bytes);
        assert_eq!(choices.below(9), 0);
        assert_eq!(choices.within(&(3..=9)), 3);
        assert!(!choices.chance(255));
        assert_eq!(choices.one_of(&[4, 5]), Some(4));
        assert_eq!(choices.one_of::<u8>(&[]), None);
        assert_eq!(choices.bits(), 0);
    }

    #[test]
    fn bytes_reach_every_choice() {
        for byte in 0..=u8::MAX {
            let bytes = [byte];
            let mut bytes = Unstructured::new(&bytes);
            let number = Choices::new(&mut bytes).below(5);
            assert_eq!(number, usize::from(byte) % 5);
        }
        let never = [255];
        assert!(!Choices::new(&mut Unstructured::new(&never)).chance(0));
        assert!(Choices::new(&mut Unstructured::new(&never)).chance(1));
    }
}
