//! Instructions that compute a value.

pub(super) mod constants;
mod integers;

use super::body::Body;

impl Body<'_, '_, '_> {
    /// A few instructions for one value.
    pub(super) fn instruction(&mut self) {
        self.integer_instruction();
    }
}
