//! From written sections to sections of an object file.

use super::{DebugFunction, DebugInfoError};
use crate::panics;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::isa::TargetIsa;
use cranelift_module::FuncId;
use cranelift_object::ObjectProduct;
use cranelift_object::object::write::SymbolSection;
use cranelift_object::object::write::{Relocation, SectionId, StandardSection, SymbolId};
use cranelift_object::object::{
    BinaryFormat, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind,
};
use gimli::RunTimeEndian;
use gimli::write::{Address, EndianVec, RelocateWriter, RelocationTarget, Sections};
use rustc_hash::FxHashMap;

/// A function and where it is in the object file.
pub(super) struct Placed<'a> {
    pub(super) function: DebugFunction<'a>,
    number: usize,
    /// The symbol of the section that the function is in. The function's own could mean another
    /// definition in the end.
    section: SymbolId,
    /// Bytes from the section's start.
    offset: u64,
}

impl Placed<'_> {
    /// Returns the address `offset` bytes after the function's start.
    pub(super) fn address(&self, offset: u32) -> Address {
        let addend = self.offset.saturating_add(u64::from(offset));
        Address::Symbol {
            symbol: self.number,
            addend: i64::try_from(addend).unwrap_or(i64::MAX),
        }
    }

    /// Returns the size of the code in bytes.
    pub(super) fn size(&self) -> u64 {
        self.function.compiled.code().len() as u64
    }
}

pub(super) fn place<'a>(
    product: &mut ObjectProduct,
    functions: &[DebugFunction<'a>],
) -> Result<Vec<Placed<'a>>, DebugInfoError> {
    let format = product.object.format();
    if format != BinaryFormat::Elf {
        return Err(DebugInfoError::Format {
            format: format!("{format:?}"),
        });
    }
    let mut placed = Vec::with_capacity(functions.len());
    for (number, function) in functions.iter().enumerate() {
        let symbol = product
            .functions
            .get(FuncId::new(number))
            .copied()
            .flatten();
        let symbol = symbol.map(|(symbol, _)| product.object.symbol(symbol));
        let (section, offset) = match symbol.map(|symbol| (symbol.section, symbol.value)) {
            Some((SymbolSection::Section(section), offset)) => (section, offset),
            _ => {
                return Err(DebugInfoError::NotInObject {
                    function: function.locations.function().clone(),
                    number,
                });
            }
        };
        placed.push(Placed {
            function: *function,
            number,
            section: product.object.section_symbol(section),
            offset,
        });
    }
    Ok(placed)
}

/// Bytes and the places to fill in.
#[derive(Clone, Debug)]
pub(super) struct SectionWriter {
    bytes: EndianVec<RunTimeEndian>,
    relocations: Vec<gimli::write::Relocation>,
}

impl SectionWriter {
    pub(super) fn new(endian: RunTimeEndian) -> Self {
        SectionWriter {
            bytes: EndianVec::new(endian),
            relocations: Vec::new(),
        }
    }
}

impl RelocateWriter for SectionWriter {
    type Writer = EndianVec<RunTimeEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }

    fn relocate(&mut self, relocation: gimli::write::Relocation) {
        self.relocations.push(relocation);
    }
}

pub(super) fn endian(isa: &dyn TargetIsa) -> RunTimeEndian {
    match isa.triple().endianness() {
        Ok(target_lexicon::Endianness::Big) => RunTimeEndian::Big,
        _ => RunTimeEndian::Little,
    }
}

/// Adds the sections of debug information that are not empty.
pub(super) fn add(
    product: &mut ObjectProduct,
    functions: &[Placed<'_>],
    sections: &mut Sections<SectionWriter>,
) -> Result<(), DebugInfoError> {
    let mut ids: FxHashMap<gimli::SectionId, SymbolId> = FxHashMap::default();
    let mut relocations = Vec::new();
    sections.for_each_mut(|id, section| -> Result<(), DebugInfoError> {
        let bytes = section.bytes.take();
        if bytes.is_empty() {
            return Ok(());
        }
        let kind = match id {
            gimli::SectionId::DebugStr | gimli::SectionId::DebugLineStr => SectionKind::DebugString,
            _ => SectionKind::Debug,
        };
        let name = id.name().as_bytes().to_vec();
        let object = &mut product.object;
        let section_id = object.add_section(Vec::new(), name, kind);
        let start = object.append_section_data(section_id, &bytes, 1);
        ids.insert(id, object.section_symbol(section_id));
        let list = std::mem::take(&mut section.relocations);
        relocations.push(((section_id, start), list));
        Ok(())
    })?;
    for (place, list) in relocations {
        relocate(product, functions, place, &list, &ids)?;
    }
    Ok(())
}

/// Adds `.eh_frame`.
pub(super) fn add_frames(
    product: &mut ObjectProduct,
    functions: &[Placed<'_>],
    mut frames: SectionWriter,
) -> Result<(), DebugInfoError> {
    let bytes = frames.bytes.take();
    let section = product.object.section_id(StandardSection::EhFrame);
    // The section may have entries already.
    let start = product.object.append_section_data(section, &bytes, 8);
    let none = FxHashMap::default();
    let place = (section, start);
    relocate(product, functions, place, &frames.relocations, &none)
}

/// Adds the relocations of bytes that begin at an offset of a section.
fn relocate(
    product: &mut ObjectProduct,
    functions: &[Placed<'_>],
    (section, start): (SectionId, u64),
    relocations: &[gimli::write::Relocation],
    sections: &FxHashMap<gimli::SectionId, SymbolId>,
) -> Result<(), DebugInfoError> {
    for relocation in relocations {
        let symbol = match relocation.target {
            RelocationTarget::Symbol(number) => functions.get(number).map(|f| f.section),
            RelocationTarget::Section(id) => sections.get(&id).copied(),
        };
        let symbol = symbol.ok_or_else(|| DebugInfoError::Writing {
            reason: "a section refers to one that is empty".to_owned(),
        })?;
        let kind = match relocation.eh_pe {
            Some(_) => RelocationKind::Relative,
            None => RelocationKind::Absolute,
        };
        let relocation = Relocation {
            offset: start.saturating_add(relocation.offset as u64),
            symbol,
            addend: relocation.addend,
            flags: RelocationFlags::Generic {
                kind,
                encoding: RelocationEncoding::Generic,
                size: relocation.size.saturating_mul(8),
            },
        };
        let object = &mut product.object;
        panics::catch(|| object.add_relocation(section, relocation))
            .map_err(|reason| DebugInfoError::Writing { reason })?
            .map_err(|error| DebugInfoError::Writing {
                reason: error.to_string(),
            })?;
    }
    Ok(())
}
