//! The image: the data that a compiled module needs beside its code. It goes with a JIT's code in
//! memory, and into an object file as bytes.

use serde::{Deserialize, Serialize};

/// The bytes of a WebAssembly page.
pub const PAGE: u64 = 65536;

/// A type of values. References occur in tables only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they have WebAssembly's names")]
pub enum ValueType {
    I32,
    I64,
    F32,
    F64,
}

/// A module without its code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// The memory, in pages: its size at the start, and the most it may have.
    pub memory: Option<(u64, u64)>,
    /// The number of elements of each table.
    pub tables: Vec<u32>,
    /// The bits of each global at the start.
    pub globals: Vec<u64>,
    /// The most results that a function has beyond those in registers.
    pub further_results: usize,
    /// Element segments, in order.
    pub elements: Vec<Elements>,
    /// Data segments, in order.
    pub data: Vec<Data>,
    /// All functions: imported ones, for which there are wrappers, those of the module, and one
    /// that stops for a debugger, if code is debugged.
    pub functions: Vec<Function>,
    /// Exports, in order.
    pub exports: Vec<Export>,
    /// The functions that can be entered from outside, each of which has an entry.
    pub entries: Vec<u32>,
    /// The entry of the function that runs first.
    pub start: Option<u32>,
}

/// The destination of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// An offset of a table (or of memory, which has no number), before anything runs.
    Active {
        /// The table.
        table: u32,
        /// The first element or byte.
        offset: u32,
    },
    /// A place that the program chooses.
    Passive,
    /// None: the segment only tells which functions have references.
    Declared,
}

/// A segment of functions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Elements {
    /// The destination.
    pub placement: Placement,
    /// Functions by their numbers; `None` is a null reference.
    pub functions: Vec<Option<u32>>,
}

/// A segment of bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// The destination.
    pub placement: Placement,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Facts about one function's code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Function {
    /// The name, for people.
    pub name: String,
    /// A number, equal for functions of equal types, and 0 only for one that is not of the module.
    pub type_id: u32,
    /// Bytes of code; 0 if there is none, since nothing calls the function any more.
    pub size: u32,
    /// The places at which the code may trap, by offset.
    pub traps: Vec<(u32, TrapKind)>,
}

/// Returns the symbol of a function, by which backtraces name it.
pub fn symbol(number: u32) -> String {
    format!("wasm{number}")
}

/// Returns the number of the function with this symbol.
pub fn number(symbol: &[u8]) -> Option<u32> {
    let digits = symbol.strip_prefix(b"wasm")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Something with a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Export {
    /// The name.
    pub name: String,
    /// The exported item.
    pub item: Exported,
}

/// An item that can be exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Exported {
    /// A function.
    Function {
        /// Index into [`Image::entries`].
        entry: u32,
        /// Types of parameters.
        params: Vec<ValueType>,
        /// Types of results.
        results: Vec<ValueType>,
    },
    /// A global and its type.
    Global(u32, ValueType),
    /// A table.
    Table(u32),
    /// The memory.
    Memory,
}

/// The reason why a program stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each says itself in `Display`")]
pub enum TrapKind {
    Unreachable,
    IntegerDivisionByZero,
    IntegerOverflow,
    BadConversion,
    MemoryOutOfBounds,
    TableOutOfBounds,
    NullCall,
    WrongSignature,
    StackOverflow,
    /// Not an error: the program called `proc_exit`.
    Exit,
    /// Not an error of the program.
    StoppedByDebugger,
}

impl std::fmt::Display for TrapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable code was reached",
            Self::IntegerDivisionByZero => "integer division by zero",
            Self::IntegerOverflow => "integer overflow",
            Self::BadConversion => "a number that is not an integer was converted to one",
            Self::MemoryOutOfBounds => "access out of the bounds of memory",
            Self::TableOutOfBounds => "access out of the bounds of a table",
            Self::NullCall => "indirect call of a null reference",
            Self::WrongSignature => "indirect call of a function of another type",
            Self::StackOverflow => "the stack is used up",
            Self::Exit => "the program exited",
            Self::StoppedByDebugger => "the debugger stopped the program",
        })
    }
}
