//! The table as a section of an object file.

use super::link::BacktraceTable;
use crate::frames::{FrameSectionError, add_section};
use cranelift_object::ObjectProduct;

/// The section that holds the table.
pub const BACKTRACE_SECTION: &str = ".clif_backtrace";

/// Adds `table` to an object file as the read-only section [`BACKTRACE_SECTION`], which is loaded
/// with the program. If `symbol` is given, the table begins at this symbol, which other object
/// files of the program see, so that the program can find its table.
///
/// [`text_offsets`](crate::frames::text_offsets) has the offsets of the functions to [link the
/// table](BacktraceTable::link) with.
///
/// # Errors
///
/// [`FrameSectionError::Writing`].
pub fn add_backtrace_section(
    product: &mut ObjectProduct,
    table: &BacktraceTable,
    symbol: Option<&str>,
) -> Result<(), FrameSectionError> {
    add_section(product, BACKTRACE_SECTION, table.bytes(), symbol)
}
