//! The table as a section of an object file.

use super::builder::FrameTable;
use crate::panics;
use cranelift_module::FuncId;
use cranelift_object::ObjectProduct;
use cranelift_object::object::SectionKind;
use cranelift_object::object::write::{Symbol, SymbolSection};
use cranelift_object::object::{SymbolFlags, SymbolKind, SymbolScope};
use thiserror::Error;

/// The section that holds the table.
pub const FRAME_SECTION: &str = ".clif_frames";

/// Why a table could not be put into an object file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameSectionError {
    /// The object file does not define the function.
    #[error("{function} is not defined in the object file")]
    NotDefined {
        /// The function, as cranelift-module numbers it.
        function: FuncId,
    },
    /// The functions are in different sections, so that their offsets have no common base.
    #[error("{function} is in another section than the functions before it")]
    SeveralSections {
        /// The function, as cranelift-module numbers it.
        function: FuncId,
    },
    /// The `object` library failed.
    #[error("the section cannot be written: {reason}")]
    Writing {
        /// The library's message.
        reason: String,
    },
}

/// Returns where the code of each of `functions` begins, in bytes from the start of the text
/// section, for [`FrameTableBuilder::link`](super::FrameTableBuilder::link).
///
/// A linker moves the text of each object file as a whole, so the offsets stay right relative to
/// the start of this file's text. That start is the address of any function of the file, less its
/// offset.
///
/// # Errors
///
/// [`FrameSectionError::NotDefined`], and [`FrameSectionError::SeveralSections`] for a file with a
/// section for each function.
pub fn text_offsets(
    product: &ObjectProduct,
    functions: impl IntoIterator<Item = FuncId>,
) -> Result<Vec<u64>, FrameSectionError> {
    let mut text = None;
    let mut offsets = Vec::new();
    for function in functions {
        let symbol = panics::catch(|| {
            let symbol = product.object.symbol(product.function_symbol(function));
            (symbol.section.id(), symbol.value)
        });
        let Ok((Some(section), offset)) = symbol else {
            return Err(FrameSectionError::NotDefined { function });
        };
        if *text.get_or_insert(section) != section {
            return Err(FrameSectionError::SeveralSections { function });
        }
        offsets.push(offset);
    }
    Ok(offsets)
}

/// Adds `table` to an object file as the read-only section [`FRAME_SECTION`], which is loaded with
/// the program. If `symbol` is given, the table begins at this symbol, which other object files of
/// the program see, so that the program can find its table.
///
/// # Errors
///
/// [`FrameSectionError::Writing`].
pub fn add_frame_section(
    product: &mut ObjectProduct,
    table: &FrameTable,
    symbol: Option<&str>,
) -> Result<(), FrameSectionError> {
    add_section(product, FRAME_SECTION, table.bytes(), symbol)
}

/// Adds `bytes` as a read-only section that is loaded with the program, with a symbol at its start.
pub(crate) fn add_section(
    product: &mut ObjectProduct,
    name: &str,
    bytes: &[u8],
    symbol: Option<&str>,
) -> Result<(), FrameSectionError> {
    let object = &mut product.object;
    panics::catch(|| {
        let name = name.as_bytes().to_vec();
        let section = object.add_section(Vec::new(), name, SectionKind::ReadOnlyData);
        let offset = object.append_section_data(section, bytes, 8);
        if let Some(symbol) = symbol {
            object.add_symbol(Symbol {
                name: symbol.as_bytes().to_vec(),
                value: offset,
                size: bytes.len() as u64,
                kind: SymbolKind::Data,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
    })
    .map_err(|reason| FrameSectionError::Writing { reason })
}
