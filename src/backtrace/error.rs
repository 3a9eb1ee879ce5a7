//! Errors of linking and reading.

use crate::program::FunctionName;
use thiserror::Error;

/// Why functions could not be put into one table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
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
    /// A table cannot hold so much: its text has at most 2 GiB, and every other number 32 bits.
    #[error("the table cannot hold {what}")]
    TooLarge {
        /// The name of the part.
        what: &'static str,
    },
}

/// Why bytes are not a table, or a part of them cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BacktraceError {
    /// The bytes do not begin like a table of this version.
    #[error("not a backtrace table of version {version}", version = super::format::VERSION)]
    NotATable,
    /// The bytes end before the table does.
    #[error("the table has {needed} bytes, and only {given} are there")]
    Truncated {
        /// The size of the table.
        needed: u64,
        /// The number of bytes.
        given: u64,
    },
    /// A number cannot be read, or has no meaning in its place.
    #[error("{part} {index} is malformed")]
    Malformed {
        /// The part of the table.
        part: &'static str,
        /// The index in the part.
        index: u32,
    },
}
