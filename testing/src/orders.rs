//! The calls that a pass has inlined, spliced one after the other in any order.
//!
//! The pass splices the calls of a function in rounds, and those of a round in one sweep. An
//! embedder that splices on its own may do so call by call, in another order, and in several
//! sessions. [`OneByOne`] does that with the decisions of a pass.
//!
//! ```
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//! use cranelift_inliner_testing::orders::{OneByOne, seeded};
//!
//! let program = Program::from_clif("
//! function %twice(i32) -> i32 {
//! block0(v0: i32):
//!     v1 = iadd v0, v0
//!     return v1
//! }
//! function %main(i32) -> i32 {
//!     fn0 = %twice(i32) -> i32
//! block0(v0: i32):
//!     v1 = call fn0(v0)
//!     v2 = call fn0(v1)
//!     return v2
//! }", "example")?;
//! let inliner = Inliner::new(Always);
//! let inlined = inliner.run(&program)?;
//! let main = program.id(&"%main".parse()?).ok_or("no main")?;
//! let spliced = OneByOne::new(&program, &inlined, &inliner).splice(main, seeded(7))?;
//! let body = spliced.ok_or("nothing was inlined")?.body;
//! assert_eq!(body.layout.blocks().count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use cranelift_codegen::ir::{Function, Inst, MemFlags};
use cranelift_inliner::cleanup::CleanupContext;
use cranelift_inliner::locations::{LocationBuilder, LocationTable};
use cranelift_inliner::pass::{Inlined, Inliner, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use cranelift_inliner::splice::{
    Callee, CalleeTables, CopiedCall, MemoryPromises, Refusal, Session, SpliceContext,
    SpliceOptions,
};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// Splices the calls of a result's functions one by one: see the head of the module.
pub struct OneByOne<'a> {
    before: &'a Program,
    inlined: &'a Inlined,
    inliner: &'a Inliner<'a>,
    options: SpliceOptions,
    scratch: SpliceContext,
}

/// A function after its calls were spliced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SplicedOneByOne {
    /// Its body, tidied and optimized by the settings of the pass.
    pub body: Function,
    /// The table of the body's locations, where the pass has one.
    pub locations: Option<LocationTable>,
    /// The number of sessions.
    pub sessions: usize,
    /// Whether a call was not spliced because it became unreachable.
    pub lost: bool,
}

/// The distribution of copies over sessions.
#[derive(Clone, Copy)]
pub(crate) struct Sessions {
    pub(crate) one: bool,
    pub(crate) share_slots: bool,
}

impl<'a> OneByOne<'a> {
    /// Takes `inlined`, the result of `inliner` for `before`. Its inlined calls must have been
    /// recorded.
    pub fn new(before: &'a Program, inlined: &'a Inlined, inliner: &'a Inliner<'a>) -> Self {
        OneByOne {
            before,
            inlined,
            inliner,
            options: inliner.splice_options_for(before),
            scratch: SpliceContext::new(),
        }
    }

    /// Splices the calls of `id` that the pass has inlined before it optimized the function.
    /// Returns `None` if there are none.
    ///
    /// `choose` decides the order: it gets the number of calls that could be spliced next, and
    /// returns the index of the next one, modulo that number. Before the first splice, and after
    /// each one if the answer was 1, it gets 2 and decides whether to continue in another session.
    /// [`seeded`] makes one from a number.
    ///
    /// # Errors
    ///
    /// A splice that is refused only in this order, or a refused splice that changed the caller.
    pub fn splice(
        &mut self,
        id: FunctionId,
        mut choose: impl FnMut(usize) -> usize,
    ) -> Result<Option<SplicedOneByOne>, String> {
        let sites = self.inlined.sites_of(id);
        if !sites.iter().any(|site| site.inlined && site.stage() == 0) {
            return Ok(None);
        }
        let sessions = Sessions {
            one: self.needs_one_session(id) || choose(2).is_multiple_of(2),
            share_slots: self.options.share_slots,
        };
        self.splice_in(id, sessions, &mut choose)
    }

    /// Returns whether another session would give another result.
    pub(crate) fn needs_one_session(&self, id: FunctionId) -> bool {
        let function = self.before.get(id);
        relies_on_one_session(self.before, self.inlined, id)
            || function.is_some_and(|caller| promises_for_copies(caller.body(), &self.options))
    }

    pub(crate) fn shares_slots(&self) -> bool {
        self.options.share_slots
    }

    /// Like [`OneByOne::splice`], in the given sessions.
    pub(crate) fn splice_in(
        &mut self,
        id: FunctionId,
        sessions: Sessions,
        choose: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Option<SplicedOneByOne>, String> {
        let Some(before) = self.before.get(id).map(|function| function.body()) else {
            return Ok(None);
        };
        let mut options = self.options.clone();
        options.share_slots = sessions.share_slots;
        let mut body = Function::clone(before);
        let has_table = self.inlined.locations(id).is_some();
        let mut functions = self.before.iter();
        let mut replay = Replay {
            inlined: self.inlined,
            wrong: functions.next().map(|(_, function)| &**function.body()),
            records: self.inlined.sites_of(id),
            options: &options,
            one_session: sessions.one,
            sessions: 0,
            lost: false,
            tables: FxHashMap::default(),
            locations: has_table.then(|| LocationBuilder::begin(&mut body)),
        };
        replay.run(&mut body, &mut self.scratch, choose)?;
        self.inliner
            .finish(before, &mut body, &mut CleanupContext::new());
        let Replay {
            sessions,
            lost,
            locations,
            ..
        } = replay;
        let locations = locations.map(|builder| builder.finish(&mut body));
        Ok(Some(SplicedOneByOne {
            body,
            locations,
            sessions,
            lost,
        }))
    }
}

/// Returns a `choose` for [`OneByOne::splice`] from a number: the same number gives the same order.
pub fn seeded(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |count| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % count.max(1)
    }
}

struct Replay<'a> {
    inlined: &'a Inlined,
    records: &'a [SiteRecord],
    options: &'a SpliceOptions,
    /// A callee to try where it must be refused.
    wrong: Option<&'a Function>,
    one_session: bool,
    sessions: usize,
    /// Whether a call was not spliced because it became unreachable.
    lost: bool,
    /// Bodies are prepared once: copies of the same prepared body may share more slots.
    tables: FxHashMap<FunctionId, CalleeTables>,
    locations: Option<LocationBuilder>,
}

impl Replay<'_> {
    /// Splices the calls that the records list as inlined.
    fn run(
        &mut self,
        body: &mut Function,
        scratch: &mut SpliceContext,
        choose: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), String> {
        let mut ready: Vec<(usize, Inst)> = Vec::new();
        let own = self.records.iter().enumerate();
        // A further stage has calls of a body that has other numbers in another order.
        let own = own.filter(|(_, record)| {
            record.inlined && record.stage() == 0 && record.parent().is_none()
        });
        ready.extend(own.map(|(index, record)| (index, record.source_inst())));
        while !ready.is_empty() {
            self.sessions += 1;
            let mut session = scratch.session(body, self.options);
            while !ready.is_empty() {
                let (index, call) = ready.swap_remove(choose(ready.len()) % ready.len());
                self.be_refused(&mut session, call)?;
                self.prepare(index)?;
                let mut locations = self.locations.take();
                let callee = self.callee(index).ok_or("it was not prepared")?;
                let copied = match (&mut locations, self.table(index)) {
                    (Some(builder), Some(table)) => {
                        session.splice_with(call, &callee, &mut builder.inlining(table))
                    }
                    _ => session.splice(call, &callee),
                };
                match copied {
                    Ok(copied) => ready.extend(self.came_in(index, copied)?),
                    Err(Refusal::Unreachable | Refusal::NotADirectCall(_)) => self.lost = true,
                    Err(refusal) => return Err(format!("{call} is refused: {refusal}")),
                }
                self.locations = locations;
                if !self.one_session && !choose(2).is_multiple_of(2) {
                    break;
                }
            }
            session.finish();
        }
        Ok(())
    }

    fn be_refused(&self, session: &mut Session<'_>, call: Inst) -> Result<(), String> {
        let Some(Ok(wrong)) = self.wrong.map(Callee::new) else {
            return Ok(());
        };
        let Err(refusal) = session.check(call, &wrong) else {
            return Ok(());
        };
        let before = session.caller().clone();
        let again = session.splice(call, &wrong).map(|_| ());
        match again == Err(refusal.clone()) && *session.caller() == before {
            true => Ok(()),
            false => Err(format!(
                "{call} was refused ({refusal}), but splicing it changed the caller or succeeded"
            )),
        }
    }

    /// Prepares the body to splice, unless it was prepared before.
    fn prepare(&mut self, index: usize) -> Result<(), String> {
        let record = self.records.get(index).ok_or("there is no such record")?;
        let has_no_body = || format!("{} has no body", record.callee);
        let id = record.callee_id.ok_or_else(has_no_body)?;
        if let Entry::Vacant(entry) = self.tables.entry(id) {
            let body = self.inlined.body(id).ok_or_else(has_no_body)?;
            let callee = Callee::new(body);
            let callee =
                callee.map_err(|refusal| format!("{} is refused: {refusal}", record.callee))?;
            entry.insert(callee.into_tables());
        }
        Ok(())
    }

    fn callee(&self, index: usize) -> Option<Callee<'_>> {
        let id = self.records.get(index)?.callee_id?;
        let body = self.inlined.body(id)?;
        Some(Callee::from_tables(body, self.tables.get(&id)?))
    }

    /// Returns the table of the callee's locations.
    fn table(&self, index: usize) -> Option<&LocationTable> {
        let id = self.records.get(index)?.callee_id?;
        self.inlined.locations(id).map(|table| &**table)
    }

    /// Returns the calls to splice among those copied with the body of a record.
    fn came_in(&self, parent: usize, copied: &[CopiedCall]) -> Result<Vec<(usize, Inst)>, String> {
        let inner = self.records.iter().enumerate();
        let inner = inner.filter(|(_, record)| record.inlined && record.parent() == Some(parent));
        inner
            .map(|(index, record)| {
                let mut copied = copied.iter();
                let found = copied.find(|copied| copied.callee_inst == record.source_inst());
                let found =
                    found.ok_or_else(|| format!("{} did not come in", record.source_inst()))?;
                Ok((index, found.inst))
            })
            .collect()
    }
}

/// Returns whether an untagged call is spliced that was copied below tags: the tags that its copies
/// inherit are known only in the same session.
fn relies_on_one_session(program: &Program, inlined: &Inlined, id: FunctionId) -> bool {
    let records = inlined.sites_of(id);
    let is_tagged = |record: &SiteRecord| {
        let source = match record.via().last() {
            Some(&around) => inlined.body(around),
            None => program.get(id).map(|function| function.body()),
        };
        source.is_some_and(|source| !source.debug_tags.get(record.source_inst()).is_empty())
    };
    let mut nested = records
        .iter()
        .filter(|record| record.inlined && record.parent().is_some());
    nested.any(|record| {
        let mut parent = record.parent().and_then(|parent| records.get(parent));
        let mut below_tags = false;
        while let Some(around) = parent {
            below_tags |= is_tagged(around);
            parent = around.parent().and_then(|parent| records.get(parent));
        }
        below_tags && !is_tagged(record)
    })
}

/// Returns whether copies may keep promises of the caller: a later session does not know which of
/// its loads were executed before a call, since the first has cut the entry block.
fn promises_for_copies(caller: &Function, options: &SpliceOptions) -> bool {
    let flags = &caller.dfg.mem_flags;
    options.memory_promises == MemoryPromises::PerFunction
        && (0..)
            .map_while(MemFlags::with_number)
            .take_while(|&number| flags.is_valid(number))
            .any(|number| flags[number].readonly() || flags[number].can_move())
}
