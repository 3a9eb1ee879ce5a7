//! The preparation of final bodies for their callers, and its lifetime.
//!
//! For every wanted callee, the facts that refusals depend on are needed; they are small, and kept
//! to the end. The tables of a copy are as large as the body. They are kept from the first caller
//! that may inline the callee to the last function that calls it, and rebuilt for callers that get
//! calls of it with other bodies. So the memory does not depend on the number of calls that stay
//! calls.

use crate::splice::{Callee, CalleeFacts, CalleeTables, CalleeView, Refusal};
use cranelift_codegen::ir::Function;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

#[derive(Default)]
pub(super) struct Preparation {
    /// In a box: there is one of these for each function, and few are ever wanted.
    facts: OnceLock<Box<Result<CalleeFacts, Refusal>>>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    kept: Option<Arc<CalleeTables>>,
    wanted: bool,
}

impl Preparation {
    /// Returns the facts about `body` that refusals depend on; `body` must be the same each time.
    /// The first call pays for the walk, which makes the tables as well: it comes after the policy
    /// has accepted a call of `body`, and few of these are refused.
    pub(super) fn view<'f>(&'f self, body: &'f Function) -> Result<CalleeView<'f>, &'f Refusal> {
        let facts = self
            .facts
            .get_or_init(|| Box::new(self.facts_and_tables(body)));
        let facts = (**facts).as_ref()?;
        Ok(CalleeView::new(body, facts))
    }

    fn facts_and_tables(&self, body: &Function) -> Result<CalleeFacts, Refusal> {
        let tables = Callee::new(body)?.into_tables();
        let facts = tables.facts().clone();
        self.tables().kept = Some(Arc::new(tables));
        Ok(facts)
    }

    /// Returns the tables of `body`, which are kept from now on.
    pub(super) fn tables_of(&self, body: &Function) -> Result<Arc<CalleeTables>, Refusal> {
        let view = self.view(body).map_err(Clone::clone)?;
        // Other threads that want them wait, instead of making them as well.
        let mut tables = self.tables();
        tables.wanted = true;
        if let Some(kept) = &tables.kept {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(view.prepare()?.into_tables());
        tables.kept = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Keeps the tables, if they are there still, until [`Preparation::release`].
    pub(super) fn want(&self) {
        self.tables().wanted = true;
    }

    /// Frees the tables, unless they were wanted.
    pub(super) fn release_unless_wanted(&self) {
        let mut tables = self.tables();
        if !tables.wanted {
            tables.kept = None;
        }
    }

    /// Frees the tables. Callers that hold them keep them.
    pub(super) fn release(&self) {
        *self.tables() = Tables::default();
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splice::{SpliceContext, SpliceOptions};

    const TEXT: &str = "
        function %callee(i32) -> i32 system_v {
            ss0 = explicit_slot 8
        block0(v0: i32):
            v1 = stack_addr.i64 ss0
            store v0, v1
            v2 = load.i32 v1
            return v2
        }
        function %caller(i32) -> i32 system_v {
            fn0 = %callee(i32) -> i32 system_v
        block0(v0: i32):
            v1 = call fn0(v0)
            v2 = call fn0(v1)
            return v2
        }";

    #[test]
    fn tables_that_are_made_again_are_those_of_the_same_callee() {
        let mut functions = cranelift_reader::parse_functions(TEXT).unwrap();
        let (caller, callee) = (functions.pop().unwrap(), functions.pop().unwrap());
        let spliced = |release: bool| {
            let preparation = Preparation::default();
            let mut caller = caller.clone();
            let entry = caller.layout.entry_block().unwrap();
            let calls: Vec<_> = caller.layout.block_insts(entry).take(2).collect();
            let options = SpliceOptions::default();
            let mut context = SpliceContext::new();
            let mut session = context.session(&mut caller, &options);
            for call in calls {
                let tables = preparation.tables_of(&callee).unwrap();
                let callee = Callee::from_tables(&callee, &tables);
                session.splice(call, &callee).unwrap();
                if release {
                    preparation.release();
                }
            }
            session.finish();
            caller.to_string()
        };
        // Slots are shared between copies of one callee.
        assert_eq!(spliced(true), spliced(false));
    }

    #[test]
    fn unwanted_tables_are_not_kept() {
        let callee = &cranelift_reader::parse_functions(TEXT).unwrap()[0];
        let preparation = Preparation::default();
        let is_kept = || preparation.tables().kept.is_some();
        assert!(preparation.view(callee).is_ok() && is_kept());
        preparation.release_unless_wanted();
        assert!(!is_kept());
        assert!(preparation.tables_of(callee).is_ok() && is_kept());
        preparation.release_unless_wanted();
        assert!(is_kept());
        preparation.release();
        assert!(!is_kept());
    }
}
