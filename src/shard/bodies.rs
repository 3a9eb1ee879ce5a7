//! The functions of a shard as bytes, so that the backend need not parse text again: a header like
//! that of a summary, an index of the functions, and then their bytes, one after the other.

use super::body::{from_bytes as body_from_bytes, to_bytes as body_to_bytes};
use super::hash::{checksum, hash_of_bytes};
use super::names::NameRef;
use super::summary::Name;
use crate::program::{FunctionId, FunctionName, Origin, Program, ProgramError, ProgramFunction};
use cranelift_codegen::VERSION as CRANELIFT;
use cranelift_codegen::ir::Function;
use cranelift_entity::PrimaryMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use thiserror::Error;

/// The first bytes of the bodies of a shard.
const MAGIC: [u8; 8] = *b"clif-fns";

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 2;

const HEADER_BYTES: usize = MAGIC.len() + 4 + 8 + 8;

/// The bodies of a shard's functions as bytes, which are read several times as fast as text.
///
/// [`ShardSummary::summarize_with_bodies`](super::ShardSummary::summarize_with_bodies) makes them
/// beside the summary, from functions that it has parsed or got. [`ShardFunctions::read`] reads all
/// functions from them, and [`ShardFunctions::read_some`] only those that a plan imports. They are
/// for builds with the same versions of this crate and of Cranelift.
///
/// ```
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner::shard::{ShardFunctions, ShardSummary, SummarizeOptions};
/// use std::io::Cursor;
///
/// let program = Program::from_clif("
/// function %one() -> i32 {
/// block0:
///     v0 = iconst.i32 1
///     return v0
/// }
/// function %two() -> i32 {
/// block0:
///     v0 = iconst.i32 2
///     return v0
/// }", "a.clif")?;
/// let options = SummarizeOptions::default();
/// let (_, bodies) = ShardSummary::summarize_with_bodies(&program, "a.clif", &options);
/// let bytes = bodies.to_bytes();
/// let all = ShardFunctions::read(&mut Cursor::new(&bytes))?;
/// assert_eq!(all.program().to_clif()?, program.to_clif()?);
/// let two = "two".parse()?;
/// let some = ShardFunctions::read_some(&mut Cursor::new(&bytes), |name| *name == two)?;
/// assert_eq!(some.program().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBodies {
    index: Index,
    /// Those of each function follow each other.
    code: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Index {
    /// The version of Cranelift.
    cranelift: String,
    files: Vec<String>,
    functions: Vec<Entry<Name>>,
    tables: Vec<(Name, Vec<(i64, Name)>)>,
}

/// The same index, read.
#[derive(Deserialize)]
struct ReadIndex<'b> {
    cranelift: &'b str,
    files: Vec<String>,
    #[serde(borrow)]
    functions: Vec<Entry<NameRef<'b>>>,
    tables: Vec<(Name, Vec<(i64, Name)>)>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry<N> {
    name: N,
    /// Of its bytes.
    #[serde(with = "super::hash")]
    hash: u128,
    bytes: u64,
    /// The file that it comes from, by its number, and the line.
    origin: Option<(u32, u32)>,
}

/// Why the bodies of a shard cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BodiesError {
    /// The source of the bytes failed.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The bytes do not begin as the bodies of a shard do.
    #[error("these are not the functions of a shard")]
    NoBodies,
    /// They are of another version.
    #[error("these functions are of version {0}, and only version {VERSION} can be read")]
    Version(u32),
    /// They were made with another version of Cranelift.
    #[error("these functions are for Cranelift {0}, and this is {CRANELIFT}")]
    Cranelift(String),
    /// The index was changed.
    #[error("the functions are damaged: {0}")]
    Index(String),
    /// The bytes of a function were changed, or are not a function.
    #[error("{function} is damaged: {reason}")]
    Function {
        /// The function.
        function: FunctionName,
        /// The kind of the damage.
        reason: String,
    },
    /// Two functions have the same name.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// The functions of a shard, or some of them, with the hashes of those that were read from
/// [`ShardBodies`]. A [`Program`] becomes one by `into`.
#[derive(Clone, Debug)]
pub struct ShardFunctions {
    program: Program,
    hashes: PrimaryMap<FunctionId, u128>,
}

impl From<Program> for ShardFunctions {
    fn from(program: Program) -> Self {
        ShardFunctions {
            program,
            hashes: PrimaryMap::new(),
        }
    }
}

impl From<ShardFunctions> for Program {
    fn from(functions: ShardFunctions) -> Self {
        functions.program
    }
}

impl ShardBodies {
    /// Collects the functions of a program, of which `code` has the bytes and the hashes.
    pub(super) fn new(program: &Program, code: &[(u128, Vec<u8>)]) -> Self {
        let mut index = Index {
            cranelift: CRANELIFT.to_owned(),
            ..Index::default()
        };
        for ((_, function), (hash, bytes)) in program.iter().zip(code) {
            let origin = function.origin().map(|origin| {
                let file = &*origin.file;
                // A shard has few files, and the functions of one follow each other.
                let known = index.files.iter().rposition(|known| known == file);
                let file = known.unwrap_or_else(|| {
                    index.files.push(file.to_owned());
                    index.files.len() - 1
                });
                (u32::try_from(file).unwrap_or(u32::MAX), origin.line)
            });
            index.functions.push(Entry {
                name: Name::of(function.name()),
                hash: *hash,
                bytes: bytes.len() as u64,
                origin,
            });
        }
        for name in program.tables() {
            let entries = program.table(name);
            let entries = entries.map(|(offset, function)| (offset, Name::of(function)));
            index.tables.push((Name::of(name), entries.collect()));
        }
        let mut all = Vec::with_capacity(code.iter().map(|(_, bytes)| bytes.len()).sum());
        for (_, bytes) in code {
            all.extend_from_slice(bytes);
        }
        ShardBodies { index, code: all }
    }

    /// Returns the number of functions.
    pub fn functions(&self) -> usize {
        self.index.functions.len()
    }

    /// Returns the bodies as the bytes of a file, the same ones for the same functions.
    pub fn to_bytes(&self) -> Vec<u8> {
        let index = postcard::to_allocvec(&self.index);
        debug_assert!(index.is_ok(), "memory has no bound: {index:?}");
        let index = index.unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + index.len() + self.code.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((index.len() as u64).to_le_bytes());
        bytes.extend(checksum(&index).to_le_bytes());
        bytes.extend(index);
        bytes.extend_from_slice(&self.code);
        bytes
    }

    /// Returns whether `bytes` begin with the magic number of [`to_bytes`](Self::to_bytes).
    pub fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }
}

/// Returns the bytes of a body and their hash.
pub(super) fn encoded(body: &Function) -> (u128, Vec<u8>) {
    let bytes = body_to_bytes(body);
    (hash_of_bytes(&bytes), bytes)
}

impl ShardFunctions {
    /// Reads all functions from the bytes of [`ShardBodies::to_bytes`]. Any bytes are safe.
    ///
    /// # Errors
    ///
    /// See [`BodiesError`].
    pub fn read(source: &mut (impl Read + Seek)) -> Result<Self, BodiesError> {
        let functions = Self::read_some(source, |_| true)?;
        match source.read(&mut [0])? {
            0 => Ok(functions),
            _ => Err(BodiesError::Index(
                "there are bytes behind their end".to_owned(),
            )),
        }
    }

    /// Like [`read`](Self::read), but only the functions whose names `wanted` takes. Of the others,
    /// not even the bytes are read.
    ///
    /// # Errors
    ///
    /// See [`BodiesError`].
    pub fn read_some(
        source: &mut (impl Read + Seek),
        wanted: impl Fn(&FunctionName) -> bool,
    ) -> Result<Self, BodiesError> {
        let index = read_index(source)?;
        let index = ReadIndex::of(&index)?;
        let files: Vec<Arc<str>> = index
            .files
            .iter()
            .map(|file| file.as_str().into())
            .collect();
        let mut found = Vec::new();
        // The source is behind the index.
        let mut skipped: u64 = 0;
        for entry in index.functions {
            let name = entry.name.function_name();
            if !wanted(&name) {
                skipped = skipped.saturating_add(entry.bytes);
                continue;
            }
            if skipped > 0 {
                let skipped_bytes = i64::try_from(skipped).map_err(|_| cut())?;
                source.seek(SeekFrom::Current(skipped_bytes))?;
                skipped = 0;
            }
            let bytes = exactly(source, entry.bytes)?;
            found.push((name, entry.hash, entry.origin, bytes));
        }
        let read = found.into_par_iter().map(|(name, hash, origin, bytes)| {
            let body = body(&name, hash, &bytes)?;
            let mut function = ProgramFunction::new(body);
            if let Some((file, line)) = origin {
                let file = files.get(file as usize).cloned();
                let file = file.ok_or_else(|| {
                    BodiesError::Index(format!("{name} is from a file that is not there"))
                })?;
                function = function.with_origin(Origin { file, line });
            }
            Ok((function, hash))
        });
        let read: Vec<Result<(ProgramFunction, u128), BodiesError>> = read.collect();
        let mut functions = ShardFunctions::from(Program::new());
        for function in read {
            let (function, hash) = function?;
            functions.program.add_function(function)?;
            functions.hashes.push(hash);
        }
        for (name, entries) in index.tables {
            let entries = entries.into_iter();
            let entries = entries.map(|(offset, function)| (offset, function.function_name()));
            functions.program.add_table(name.function_name(), entries);
        }
        Ok(functions)
    }

    /// Returns the functions.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the content hash of a function.
    pub(super) fn hash(&self, id: FunctionId) -> Option<u128> {
        let known = self.hashes.get(id).copied();
        known.or_else(|| Some(super::body::content_hash(self.program.get(id)?.body())))
    }
}

/// Reads the body of a function, if its bytes have this hash.
fn body(name: &FunctionName, hash: u128, bytes: &[u8]) -> Result<Function, BodiesError> {
    let damaged = |reason| BodiesError::Function {
        function: name.clone(),
        reason,
    };
    if hash_of_bytes(bytes) != hash {
        return Err(damaged("its hash is wrong".to_owned()));
    }
    let body = body_from_bytes(bytes).map_err(damaged)?;
    match name.is_that_of(&body) {
        true => Ok(body),
        false => Err(damaged("it has another name".to_owned())),
    }
}

/// Reads the bytes of the index.
fn read_index(source: &mut impl Read) -> Result<Vec<u8>, BodiesError> {
    let header = at_most(source, HEADER_BYTES as u64)?;
    let rest = header.strip_prefix(&MAGIC).ok_or(BodiesError::NoBodies)?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(BodiesError::Version(version));
    }
    let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let (sum, _) = rest.split_first_chunk().ok_or_else(cut)?;
    let bytes = exactly(source, u64::from_le_bytes(*length))?;
    if u64::from_le_bytes(*sum) != checksum(&bytes) {
        return Err(BodiesError::Index("the checksum is wrong".to_owned()));
    }
    Ok(bytes)
}

impl<'b> ReadIndex<'b> {
    fn of(bytes: &'b [u8]) -> Result<Self, BodiesError> {
        let index: ReadIndex<'b> =
            postcard::from_bytes(bytes).map_err(|error| BodiesError::Index(error.to_string()))?;
        match index.cranelift == CRANELIFT {
            true => Ok(index),
            false => Err(BodiesError::Cranelift(index.cranelift.to_owned())),
        }
    }
}

/// Reads as many bytes as asked for. Takes memory only for bytes that are there.
fn exactly(source: &mut impl Read, count: u64) -> Result<Vec<u8>, BodiesError> {
    let bytes = at_most(source, count)?;
    match bytes.len() as u64 == count {
        true => Ok(bytes),
        false => Err(cut()),
    }
}

fn at_most(source: &mut impl Read, count: u64) -> Result<Vec<u8>, BodiesError> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn cut() -> BodiesError {
    BodiesError::Index("they were cut".to_owned())
}
