//! Errors of building, reading and walking, as values that can be kept and compared.

use super::memory::UnreadableMemory;
use super::schema::SchemaViolation;
use crate::program::FunctionName;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::StackSlot;
use thiserror::Error;

/// Why a table could not be built. An operation that fails leaves the builder as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The schema cannot split the tags of a point.
    #[error("{function}, offset {offset:#x} ({position:?}): the tags are not frames: {violation}")]
    Schema {
        /// The function.
        function: FunctionName,
        /// Bytes from the start of the function.
        offset: u32,
        /// Before or after the instruction.
        position: MachDebugTagPos,
        /// The schema's message.
        violation: SchemaViolation,
    },
    /// A tag names a stack slot that the compiled function has no place for.
    #[error(
        "{function}, offset {offset:#x}: the tags name {slot}, which has no place in the frame"
    )]
    NoSuchSlot {
        /// The function.
        function: FunctionName,
        /// Bytes from the start of the function.
        offset: u32,
        /// The slot in the compiled body.
        slot: StackSlot,
    },
    /// A slot lies further from the frame pointer than a signed 32-bit offset reaches.
    #[error("{function}: {slot} is out of reach of the frame pointer")]
    SlotOutOfReach {
        /// The function.
        function: FunctionName,
        /// The slot in the compiled body.
        slot: StackSlot,
    },
    /// More frames at one point than a table can hold.
    #[error("{function}, offset {offset:#x}: more than {limit} frames at one point")]
    TooDeep {
        /// The function.
        function: FunctionName,
        /// Bytes from the start of the function.
        offset: u32,
        /// The maximum.
        limit: u32,
    },
    /// Two functions were added under one identity.
    #[error("{first} and {second} have the same identity {identity}")]
    DuplicateIdentity {
        /// The identity.
        identity: u64,
        /// One function.
        first: FunctionName,
        /// The other.
        second: FunctionName,
    },
    /// One key was given two descriptors that differ.
    #[error("the key {key:#x} has two descriptors")]
    DescriptorConflict {
        /// The key.
        key: u64,
    },
    /// Two functions were placed over each other.
    #[error("{first} and {second} overlap at text offset {offset:#x}")]
    Overlap {
        /// The function that begins first.
        first: FunctionName,
        /// The other.
        second: FunctionName,
        /// Where the second begins, in bytes from the start of the text.
        offset: u64,
    },
    /// A number does not fit into its 32 bits in the table.
    #[error("the table cannot hold {what}: more than 32 bits")]
    TooLarge {
        /// The name of the part.
        what: &'static str,
    },
}

/// The reason why bytes are not a table, or a part of them cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// There are fewer bytes than the table says it has, or than a header has.
    #[error("the table is cut short: {length} bytes where {needed} are needed")]
    Truncated {
        /// The least number of bytes that the table needs.
        needed: u64,
        /// The number of bytes given.
        length: u64,
    },
    /// The first bytes are not those of a table.
    #[error("this is not a frame table")]
    BadMagic,
    /// The version is unknown to this reader.
    #[error("the table has version {version}, this reader knows {known}")]
    UnsupportedVersion {
        /// The table's.
        version: u16,
        /// The reader's.
        known: u16,
    },
    /// The header contradicts itself.
    #[error("the table's header is malformed: {reason}")]
    Header {
        /// The defect.
        reason: &'static str,
    },
    /// A row of a column is malformed.
    #[error("{part} {index} is malformed: {reason}")]
    Malformed {
        /// The column.
        part: TablePart,
        /// The row, from 0.
        index: u32,
        /// The defect.
        reason: &'static str,
    },
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TablePart {
    /// Functions in the order of the text.
    Function,
    /// Program points.
    Point,
    /// Virtual frames.
    Frame,
    /// Places of stack slots.
    Slot,
    /// Keys and their descriptors.
    Key,
}

impl std::fmt::Display for TablePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TablePart::Function => "function",
            TablePart::Point => "point",
            TablePart::Frame => "frame",
            TablePart::Slot => "slot",
            TablePart::Key => "key",
        })
    }
}

/// Why a slot's value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotReadError {
    /// The range lies outside of the slot.
    #[error("bytes {start}..{end} of a slot of {size} bytes")]
    OutOfSlot {
        /// The first byte asked for.
        start: u64,
        /// The end of the requested range.
        end: u64,
        /// The slot's size in bytes.
        size: u32,
    },
    /// The frame pointer is so close to an end of the address space that the slot is outside.
    #[error("a slot at {fp_offset} from the frame pointer {fp:#x} is outside of the address space")]
    AddressOverflow {
        /// The frame pointer.
        fp: u64,
        /// The slot's offset from it, in bytes.
        fp_offset: i32,
    },
    /// The memory cannot be read.
    #[error(transparent)]
    Memory(#[from] UnreadableMemory),
}

/// Why a walk over a stack ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The table is corrupt.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A frame cannot be read.
    #[error(transparent)]
    Memory(#[from] UnreadableMemory),
    /// A frame pointer that is not a multiple of 8.
    #[error("the frame pointer {fp:#x} is misaligned")]
    Misaligned {
        /// The frame pointer.
        fp: u64,
    },
    /// A saved frame pointer at or below that of the frame that saved it: the chain has a loop, or
    /// it is not a chain of frame pointers.
    #[error("the frame at {fp:#x} saved the frame pointer {next:#x}, which is not above it")]
    NotAscending {
        /// The frame pointer of the callee.
        fp: u64,
        /// The frame pointer that it saved for its caller.
        next: u64,
    },
    /// More physical frames than the walk may visit.
    #[error("more than {limit} physical frames")]
    TooManyFrames {
        /// The maximum number of frames.
        limit: usize,
    },
}
