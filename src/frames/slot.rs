//! Stack slots of virtual frames.

use super::error::SlotReadError;
use super::memory::FrameMemory;
use cranelift_codegen::ir::StackSlotKey;

/// A stack slot of a virtual frame: the place of this copy, and the data common to all copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotPlace<'a> {
    /// The offset of the slot from the physical frame's frame pointer, in bytes; negative, because
    /// slots lie below.
    pub fp_offset: i32,
    /// The slot's size in bytes.
    pub size: u32,
    /// The embedder's key for the slot.
    pub key: Option<StackSlotKey>,
    /// The embedder's description of slots with this key.
    pub descriptor: Option<&'a [u8]>,
}

impl SlotPlace<'_> {
    /// Returns the slot's address in the physical frame whose frame pointer is `fp`; `None` if that
    /// is outside of the address space.
    pub fn address(&self, fp: u64) -> Option<u64> {
        fp.checked_add_signed(i64::from(self.fp_offset))
    }

    /// Reads `out.len()` bytes of the slot, from offset `start` in the slot, in the physical frame
    /// whose frame pointer is `fp`.
    ///
    /// # Errors
    ///
    /// A range that is not within the slot, or memory that cannot be read.
    pub fn read(
        &self,
        fp: u64,
        memory: &impl FrameMemory,
        start: u64,
        out: &mut [u8],
    ) -> Result<(), SlotReadError> {
        let end = start.saturating_add(out.len() as u64);
        if end > u64::from(self.size) {
            return Err(SlotReadError::OutOfSlot {
                start,
                end,
                size: self.size,
            });
        }
        let address = self.address(fp);
        let address = address.and_then(|address| address.checked_add(start));
        let address = address.ok_or(SlotReadError::AddressOverflow {
            fp,
            fp_offset: self.fp_offset,
        })?;
        Ok(memory.read(address, out)?)
    }
}
