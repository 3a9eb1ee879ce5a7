//! Linear memory behind guard pages.

use crate::image::PAGE;
use region::Protection;

/// Every sum of a 32-bit address, a 32-bit offset and the width of an access is in here.
const RESERVED: usize = (8 << 30) + PAGE as usize;

/// The memory of an instance. All addresses that its code can compute are reserved, and those
/// beyond its size cannot be accessed, so that the code checks no bounds.
pub struct Memory {
    reserved: region::Allocation,
    pages: u64,
    max_pages: u64,
}

impl Memory {
    /// Reserves a memory of `pages`, which can grow to `max_pages`.
    ///
    /// # Errors
    ///
    /// If the system has no room.
    pub fn new(pages: u64, max_pages: u64) -> region::Result<Self> {
        let mut memory = Self {
            reserved: region::alloc(RESERVED, Protection::NONE)?,
            pages: 0,
            max_pages,
        };
        memory.extend(pages)?;
        Ok(memory)
    }

    /// Returns the first byte.
    pub fn base(&mut self) -> *mut u8 {
        self.reserved.as_mut_ptr()
    }

    /// Returns the size.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns the bytes of the memory as large as it is.
    pub fn bytes(&mut self) -> &mut [u8] {
        let len = (self.pages * PAGE) as usize;
        // SAFETY: `extend` has made these accessible, and they are zero at first. The program,
        // which writes them too, does not run while a host function holds the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.reserved.as_mut_ptr(), len) }
    }

    /// Adds pages, and returns the size before; `None` if that many cannot be had.
    pub fn grow(&mut self, pages: u64) -> Option<u64> {
        let before = self.pages;
        if before + pages > self.max_pages.min(1 << 16) {
            return None;
        }
        self.extend(pages).ok().map(|()| before)
    }

    fn extend(&mut self, pages: u64) -> region::Result<()> {
        let start = self.base().wrapping_add((self.pages * PAGE) as usize);
        if pages > 0 {
            // SAFETY: the range is in the reservation, and nothing is in it yet.
            unsafe {
                region::protect(start, (pages * PAGE) as usize, Protection::READ_WRITE)?;
            }
        }
        self.pages += pages;
        Ok(())
    }
}
