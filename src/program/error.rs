//! Errors about programs.

use super::function::{FunctionId, Origin};
use super::name::FunctionName;
use cranelift_codegen::ir::Inst;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a program could not be read, changed, verified or written.
///
/// Every error about a function names it, and its origin if that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Two functions have one name.
    #[error("function {name} is defined twice{}", places(.first, .second))]
    DuplicateName {
        /// The name.
        name: FunctionName,
        /// The origin of the first definition in the input.
        first: Option<Origin>,
        /// The origin of the other definition.
        second: Option<Origin>,
    },

    /// A function was asked for by a name that no function of the program has.
    #[error("the program defines no function {name}")]
    UnknownName {
        /// The name.
        name: FunctionName,
    },

    /// A function was asked for by an id that the program does not have.
    #[error("the program has no function number {}", .id.as_u32())]
    UnknownId {
        /// The id.
        id: FunctionId,
    },

    /// A hint was given for an instruction that is not a direct call.
    #[error("{call} of function {function} is not a direct call")]
    NoCall {
        /// The function.
        function: FunctionName,
        /// The instruction; the function may not have it at all.
        call: Inst,
    },

    /// A test-case name that a function has or refers to is not UTF-8, so that no text can show the
    /// function.
    #[error("function {function} ({}): the name {name} is not UTF-8", place(.origin))]
    NameNotUtf8 {
        /// The function that has the name or refers to it.
        function: FunctionName,
        /// Where the function comes from.
        origin: Option<Origin>,
        /// The name; displayed, it shows a replacement for the bytes that are not UTF-8.
        name: FunctionName,
    },

    /// An input holds no function.
    #[error("{file}:1: no function in the input")]
    Empty {
        /// The file as it was named.
        file: Arc<str>,
    },

    /// A folder holds no file whose name ends in `.clif`.
    #[error("{folder}: no .clif file in the folder")]
    NoFiles {
        /// The folder as it was named.
        folder: Arc<str>,
    },

    /// A text does not parse, is not UTF-8, or numbers its entities so sparsely that reading it
    /// would take all memory.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file as it was named.
        file: Arc<str>,
        /// The line, counted from 1.
        line: u32,
        /// The reader's message.
        message: String,
    },

    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },

    /// Cranelift's verifier rejects a function.
    #[error("function {function} ({}) does not verify: {message}", place(.origin))]
    Verifier {
        /// The function.
        function: FunctionName,
        /// Where it comes from.
        origin: Option<Origin>,
        /// All that the verifier reports, one line each.
        message: String,
    },

    /// A function has no text that reads back as the same function.
    #[error("function {function} ({}) cannot be written as text: {message}", place(.origin))]
    Unprintable {
        /// The function.
        function: FunctionName,
        /// Where it comes from.
        origin: Option<Origin>,
        /// The reason.
        message: String,
    },

    /// The text could not be written.
    #[error("cannot write the program: {0}")]
    Write(#[from] io::Error),
}

fn places(first: &Option<Origin>, second: &Option<Origin>) -> String {
    match (first, second) {
        (None, None) => String::new(),
        _ => format!(": {} and {}", place(first), place(second)),
    }
}

fn place(origin: &Option<Origin>) -> String {
    match origin {
        Some(origin) => origin.to_string(),
        None => "in memory".to_string(),
    }
}
