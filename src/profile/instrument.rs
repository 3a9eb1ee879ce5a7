//! Counters at call sites, to make a profile by running a program.

use super::Profile;
use crate::graph::{CallGraph, SiteName};
use crate::panics;
use crate::program::{FunctionId, FunctionName, Linkage, Program, ProgramError};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValueData, Inst, InstBuilder, MemFlagsData, SourceLoc, types,
};
use std::sync::Arc;
use thiserror::Error;

/// The default symbol of the table of counters.
pub const COUNTERS: &str = "clif_inline_counters";

/// A program with a counter at each direct call site.
///
/// Before each call stands the increment of a 64-bit counter in a table, which starts at the symbol
/// given to [`new`](Self::new). It has one counter per [site](Self::sites), in their order and in
/// the byte order of the machine. The embedder defines the table, filled with zeros, and takes the
/// [profile](Self::profile) from it after the run.
///
/// A counter stays with its call. So the program may be inlined and compiled like any other, and
/// counts the same. Increments are not atomic: simultaneous calls on several threads may be lost.
/// Addresses must have 64 bits.
///
/// ```
/// use cranelift_inliner::profile::{COUNTERS, Instrumented};
/// use cranelift_inliner::program::{FunctionName, Program};
///
/// let program = Program::from_clif("
/// function %main() fast {
///     fn0 = %step() fast
/// block0:
///     call fn0()
///     call fn0()
///     return
/// }", "main.clif")?;
/// let instrumented = Instrumented::new(&program, &FunctionName::testcase(COUNTERS))?;
/// assert_eq!(instrumented.sites().len(), 2);
///
/// // Compile `instrumented.program()`, run it, read the table:
/// let counters = [1, 1];
/// let profile = instrumented.profile(&counters)?;
/// assert_eq!(profile.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Instrumented {
    program: Program,
    sites: Vec<(SiteName, SourceLoc)>,
}

/// Why a program cannot be given counters.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstrumentError {
    /// A function is so malformed that nothing can be inserted into it.
    #[error("function {function} cannot take counters: {message}")]
    Function {
        /// The function.
        function: FunctionName,
        /// The reason.
        message: String,
    },
    /// There are more sites than a load's offset can reach.
    #[error("{sites} call sites are too many for one table of counters")]
    TooManySites {
        /// The number of sites.
        sites: usize,
    },
    /// The table's symbol cannot be a name in the program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// A table has another length than the program has sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{counters} counters for {sites} call sites")]
pub struct WrongLength {
    /// The length of the table.
    pub counters: usize,
    /// The length that it should have.
    pub sites: usize,
}

impl Instrumented {
    /// Gives each direct call site of `program` that has a [name](SiteName) a counter in the table
    /// at the symbol `table`. Functions that are [available
    /// externally](Linkage::AvailableExternally) get none, because their definition is elsewhere.
    ///
    /// # Errors
    ///
    /// See [`InstrumentError`].
    pub fn new(program: &Program, table: &FunctionName) -> Result<Self, InstrumentError> {
        let graph = CallGraph::new(program);
        let mut sites = Vec::new();
        let mut bodies: Vec<Arc<Function>> = Vec::with_capacity(program.len());
        for (id, function) in program.iter() {
            if function.linkage() == Linkage::AvailableExternally {
                bodies.push(Arc::clone(function.body()));
                continue;
            }
            let first = sites.len();
            let calls = named_calls(&graph, id, &mut sites);
            let offsets = (first..sites.len()).map(offset);
            let Some(offsets) = offsets.collect::<Option<Vec<_>>>() else {
                let sites = graph.site_count();
                return Err(InstrumentError::TooManySites { sites });
            };
            if calls.is_empty() {
                bodies.push(Arc::clone(function.body()));
                continue;
            }
            // The body is not checked before the insertion, and its table of memory flags may be
            // full.
            let counted = panics::catch(|| {
                let mut body = (**function.body()).clone();
                add_counters(&mut body, table, calls.into_iter().zip(offsets));
                body
            });
            bodies.push(Arc::new(counted.map_err(|message| {
                InstrumentError::Function {
                    function: function.name().clone(),
                    message,
                }
            })?));
        }
        let mut bodies = bodies.into_iter();
        let mut counting = program.with_bodies(|_, _| bodies.next())?;
        for (_, function) in program.iter() {
            for (call, hint) in function.hints() {
                counting.set_hint(function.name(), call, hint)?;
            }
        }
        Ok(Self {
            program: counting,
            sites,
        })
    }

    /// Returns the program with counters. Linkage, attributes and hints are those of the original.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the site of each counter, in the order of the table.
    pub fn sites(&self) -> impl ExactSizeIterator<Item = &SiteName> {
        self.sites.iter().map(|(name, _)| name)
    }

    /// Returns the size of the table in bytes.
    pub fn table_bytes(&self) -> usize {
        self.sites.len().saturating_mul(8)
    }

    /// Returns the profile that the table holds after the program ran. It lists every site.
    ///
    /// # Errors
    ///
    /// [`WrongLength`] if it is the table of another program.
    pub fn profile(&self, counters: &[u64]) -> Result<Profile, WrongLength> {
        if counters.len() != self.sites.len() {
            return Err(WrongLength {
                counters: counters.len(),
                sites: self.sites.len(),
            });
        }
        let mut profile = Profile::new();
        for ((name, location), &count) in self.sites.iter().zip(counters) {
            profile.insert(name.clone(), *location, count);
        }
        Ok(profile)
    }
}

/// Returns the calls of a function that have names, which are added to `sites`.
fn named_calls(
    graph: &CallGraph,
    id: FunctionId,
    sites: &mut Vec<(SiteName, SourceLoc)>,
) -> Vec<Inst> {
    let mut calls = Vec::new();
    for site in graph.callees(id) {
        if let Some(name) = graph.site_name(site.id) {
            sites.push((name, graph.site_location(site.id)));
            calls.push(site.edge.inst);
        }
    }
    calls
}

/// Returns the place of a counter in the table.
fn offset(index: usize) -> Option<Offset32> {
    let bytes = index.checked_mul(8)?;
    Some(Offset32::new(i32::try_from(bytes).ok()?))
}

fn add_counters(
    body: &mut Function,
    table: &FunctionName,
    counters: impl Iterator<Item = (Inst, Offset32)>,
) {
    let name = match table.as_user_func_name().clone() {
        cranelift_codegen::ir::UserFuncName::Testcase(name) => ExternalName::TestCase(name),
        cranelift_codegen::ir::UserFuncName::User(name) => {
            ExternalName::user(body.declare_imported_user_function(name))
        }
    };
    let table = body.create_global_value(GlobalValueData::Symbol {
        name,
        offset: 0.into(),
        colocated: false,
        tls: false,
    });
    let flags = MemFlagsData::trusted();
    for (call, offset) in counters {
        let mut cursor = FuncCursor::new(body).at_inst(call);
        let start = cursor.ins().symbol_value(types::I64, table);
        let count = cursor.ins().load(types::I64, flags, start, offset);
        let next = cursor.ins().iadd_imm_s(count, 1);
        cursor.ins().store(flags, next, start, offset);
    }
}
