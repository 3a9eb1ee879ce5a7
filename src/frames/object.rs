//! The table as a section of an object file.

use super::builder::FrameTable;
use crate::panics;
use cranelift_module::FuncId;
use cranelift_object::ObjectProduct;
use cranelift_object::object::macho::N_ALT_ENTRY;
use cranelift_object::object::write::{SectionId, Symbol, SymbolSection};
use cranelift_object::object::{BinaryFormat, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use rustc_hash::FxHashMap;
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
/// offset. Mach-O linkers move each function by itself, until the file has a section with a table.
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
/// the program see, so that the program can find its table. In Mach-O files the section is in the
/// segment `__TEXT` and begins with `__` in place of the dot, and linkers keep the functions of the
/// file together.
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
    panics::catch(|| {
        let (segment, name) = match product.object.format() {
            BinaryFormat::MachO => {
                keep_together(product);
                ("__TEXT", name.replacen('.', "__", 1))
            }
            _ => ("", name.to_owned()),
        };
        let object = &mut product.object;
        let (segment, name) = (segment.as_bytes().to_vec(), name.into_bytes());
        let section = object.add_section(segment, name, SectionKind::ReadOnlyData);
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

/// Lets the functions of a Mach-O file stay where they are from each other. Without it, linkers may
/// remove or move them one by one, because cranelift-object says that this is possible.
fn keep_together(product: &mut ObjectProduct) {
    let object = &mut product.object;
    let symbols = product.functions.values().flatten();
    let defined = symbols.filter_map(|&(id, _)| {
        let symbol = object.symbol(id);
        Some((symbol.section.id()?, symbol.value, id))
    });
    let defined: Vec<_> = defined.collect();
    let mut first: FxHashMap<SectionId, u64> = FxHashMap::default();
    for &(section, start, _) in &defined {
        let first = first.entry(section).or_insert(start);
        *first = start.min(*first);
    }
    for (section, start, id) in defined {
        if first.get(&section).is_some_and(|&first| first < start)
            && let SymbolFlags::MachO { n_desc } = object.symbol_flags_mut(id)
        {
            *n_desc |= N_ALT_ENTRY;
        }
    }
}
