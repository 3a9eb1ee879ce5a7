//! A callee prepared for splicing: read once, copied many times.
//!
//! All facts that do not depend on the caller are computed here: the reachable blocks in an order
//! in which definitions come before uses, the value behind each alias, each instruction's
//! controlling type, the used entities, and restrictions on the call sites that the body can go to.
//! The same walk checks every reference that the copy will follow, so that copying cannot fail
//! half-way for any input.

use super::Refusal;
use super::facts::{CalleeFacts, CalleeView};
use super::survey::Survey;
use super::tables::Tables;
use crate::panics;
use cranelift_codegen::ir;
use std::borrow::Cow;

/// A function body ready to be spliced into any number of callers.
///
/// Preparing costs one walk over the body; each splice then only copies. The tables can be kept
/// beside the body with [`Callee::into_tables`] and put together again with
/// [`Callee::from_tables`].
///
/// ```
/// use cranelift_inliner::splice::Callee;
///
/// let text = "
/// function %f(i32) -> i32 system_v {
/// block0(v0: i32):
///     jump block2
/// block1:
///     trap user1
/// block2:
///     return v0
/// }";
/// let func = cranelift_reader::parse_functions(text)?.remove(0);
/// let callee = Callee::new(&func)?;
/// // `block1` is unreachable and will not be copied.
/// assert_eq!((callee.reachable_blocks(), callee.reachable_insts()), (2, 2));
///
/// let tables = callee.into_tables();
/// let callee = Callee::from_tables(&func, &tables);
/// assert_eq!(callee.reachable_blocks(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Callee<'f> {
    pub(super) func: &'f ir::Function,
    pub(super) tables: Cow<'f, CalleeTables>,
}

/// The part of a prepared [`Callee`] that does not borrow the function.
#[derive(Clone)]
pub struct CalleeTables(
    /// In a box, because it is moved several times and large enough for that to cost time.
    pub(super) Box<Tables>,
);

#[cfg(feature = "shards")]
impl CalleeFacts {
    /// Checks `func` as [`Callee::new`] does, and makes no tables.
    pub(crate) fn of(func: &ir::Function) -> Result<Self, Refusal> {
        panics::catch(|| Survey::new(func).facts())
            .unwrap_or_else(Err)
            .map_err(Refusal::MalformedCallee)
    }
}

impl<'f> CalleeView<'f> {
    /// Rebuilds the tables that a copy needs; costs one walk over the body.
    ///
    /// # Errors
    ///
    /// Those of [`Callee::new`], if the facts are about another function.
    pub(crate) fn prepare(&self) -> Result<Callee<'f>, Refusal> {
        let mut callee = Callee::new(self.func)?;
        callee.tables.to_mut().0.facts.id = self.facts.id;
        Ok(callee)
    }
}

impl CalleeTables {
    /// Returns the facts that refusals depend on.
    pub(crate) fn facts(&self) -> &CalleeFacts {
        &self.0.facts
    }
}

impl<'f> Callee<'f> {
    /// Reads `func` and checks all properties that a splice relies on.
    ///
    /// The cost is linear in the size of `func`. It need not be verified or legalized.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedCallee`] where the body breaks a rule of CLIF on which copying relies.
    pub fn new(func: &'f ir::Function) -> Result<Self, Refusal> {
        match panics::catch(|| Survey::new(func).run()) {
            Ok(Ok(tables)) => Ok(Callee {
                func,
                tables: Cow::Owned(CalleeTables(tables)),
            }),
            Ok(Err(error)) | Err(error) => Err(Refusal::MalformedCallee(error)),
        }
    }

    /// Joins `func` with tables that were made from it.
    ///
    /// `tables` must come from [`Callee::into_tables`] of the same unchanged function. Where `func`
    /// has other numbers of values, instructions, blocks or other entities, splicing it is refused
    /// as malformed.
    pub fn from_tables(func: &'f ir::Function, tables: &'f CalleeTables) -> Self {
        Callee {
            func,
            tables: Cow::Borrowed(tables),
        }
    }

    /// Returns the tables, so that they can be kept without the borrowed function.
    pub fn into_tables(self) -> CalleeTables {
        self.tables.into_owned()
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables.0
    }

    /// Returns the facts that refusals depend on.
    pub(crate) fn view(&self) -> CalleeView<'_> {
        CalleeView::new(self.func, &self.tables().facts)
    }

    /// Returns the function that was prepared.
    pub fn function(&self) -> &'f ir::Function {
        self.func
    }

    /// Returns the number of instructions in reachable blocks. A splice copies no more of them.
    pub fn reachable_insts(&self) -> usize {
        self.tables().facts.insts
    }

    /// Returns the number of blocks that are reachable from the entry block, itself included.
    pub fn reachable_blocks(&self) -> usize {
        self.tables().facts.blocks
    }
}
