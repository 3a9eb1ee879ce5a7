//! What is worked out of a final body for its callers, and for how long.
//!
//! Of every callee that might be inlined, wanted or not, the facts are needed on
//! which refusals depend; they are small, and stay. The tables of a copy are as
//! large as the body. They stay from the first caller that wants the callee to
//! the last function that calls it, and are made again for whoever else the
//! callee comes to with other bodies. So what is kept does not depend on how
//! many calls are only looked at.

use crate::splice::{Callee, CalleeFacts, CalleeTables, Outline, Refusal};
use cranelift_codegen::ir::Function;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Bodies of more instructions get no tables until somebody wants them, so that
/// the one walk more is paid seldom, and what one body takes up is bounded.
const SELDOM_WANTED: usize = 1000;

#[derive(Default)]
pub(super) struct Preparation {
    facts: OnceLock<Result<CalleeFacts, Refusal>>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    kept: Option<Arc<CalleeTables>>,
    wanted: bool,
}

impl Preparation {
    /// What a refusal can depend on in `body`, which is the same each time. The
    /// first to ask pays for the walk, which makes the tables of small bodies as well.
    pub(super) fn outline<'f>(&'f self, body: &'f Function) -> Result<Outline<'f>, &'f Refusal> {
        let facts = self.facts.get_or_init(|| {
            if body.dfg.num_insts() > SELDOM_WANTED {
                return CalleeFacts::of(body);
            }
            let tables = Callee::new(body)?.into_tables();
            let facts = tables.facts().clone();
            self.tables().kept = Some(Arc::new(tables));
            Ok(facts)
        });
        let facts = facts.as_ref()?;
        Ok(Outline::new(body, facts))
    }

    /// The tables of `body`, which are kept from now on.
    pub(super) fn tables_of(&self, body: &Function) -> Result<Arc<CalleeTables>, Refusal> {
        let outline = self.outline(body).map_err(Clone::clone)?;
        // Whoever else wants them waits, instead of making them as well.
        let mut tables = self.tables();
        tables.wanted = true;
        if let Some(kept) = &tables.kept {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(outline.prepare()?.into_tables());
        tables.kept = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Keeps the tables, if they are there still, until [`Preparation::release`].
    pub(super) fn want(&self) {
        self.tables().wanted = true;
    }

    /// Frees the tables where nobody wanted them so far.
    pub(super) fn release_unless_wanted(&self) {
        let mut tables = self.tables();
        if !tables.wanted {
            tables.kept = None;
        }
    }

    /// Frees the tables. Who has them keeps them.
    pub(super) fn release(&self) {
        *self.tables() = Tables::default();
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
