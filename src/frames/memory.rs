//! Reading the memory of a stopped program, without `unsafe` in this crate.

use thiserror::Error;

/// Memory of the program whose stack is walked: this process's own, a copy of a stack, a core file,
/// another process's.
pub trait FrameMemory {
    /// Fills `out` with the bytes at `address`.
    ///
    /// # Errors
    ///
    /// [`UnreadableMemory`] if not all of them can be read; the content of `out` is then
    /// unspecified.
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), UnreadableMemory>;
}

impl<M: FrameMemory + ?Sized> FrameMemory for &M {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), UnreadableMemory> {
        (**self).read(address, out)
    }
}

/// Memory that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{length} bytes at {address:#x} cannot be read")]
pub struct UnreadableMemory {
    /// The address of the request.
    pub address: u64,
    /// The length of the request, in bytes.
    pub length: usize,
}

/// A piece of memory that was copied, for example a thread's stack.
///
/// ```
/// use cranelift_inliner::frames::{CopiedMemory, FrameMemory};
///
/// let stack = CopiedMemory::new(0x7000, &[1, 2, 3, 4]);
/// let mut word = [0; 2];
/// stack.read(0x7001, &mut word)?;
/// assert_eq!(word, [2, 3]);
/// assert!(stack.read(0x7003, &mut word).is_err());
/// # Ok::<(), cranelift_inliner::frames::UnreadableMemory>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CopiedMemory<'a> {
    base: u64,
    bytes: &'a [u8],
}

impl<'a> CopiedMemory<'a> {
    /// Creates a copy of memory: `bytes`, which were at the address `base`.
    pub fn new(base: u64, bytes: &'a [u8]) -> Self {
        CopiedMemory { base, bytes }
    }
}

impl FrameMemory for CopiedMemory<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), UnreadableMemory> {
        let start = address.checked_sub(self.base);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let bytes = start
            .and_then(|start| self.bytes.get(start..))
            .and_then(|bytes| bytes.get(..out.len()));
        match bytes {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(UnreadableMemory {
                address,
                length: out.len(),
            }),
        }
    }
}
