//! The order of splices does not matter.

use super::broken::{Broken, Property, first_difference};
use crate::canonical::CanonicalText;
use cranelift_codegen::ir::{Function, Inst, MemFlags, SourceLoc};
use cranelift_inliner::cleanup::CleanupContext;
use cranelift_inliner::pass::{Inlined, Inliner, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use cranelift_inliner::splice::{
    Callee, CalleeTables, CopiedCall, MemoryPromises, Refusal, Session, SpliceContext,
    SpliceOptions,
};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::hash_map::Entry;

/// Checks that the result of `inliner` for each function equals the result of splicing the same
/// calls one after the other, up to [renaming](crate::canonical). With several sessions, the layout
/// of blocks may differ too. Copies share stack slots only within a session, so a result of several
/// sessions without sharing is compared with one of a single session without sharing.
///
/// `choose` decides the order: it gets the number of calls that could be spliced next, and returns
/// the index of the next one, modulo that number. Before the first splice into a function, and
/// after each one if the answer was 1, it gets 2 and decides whether to continue in another
/// session.
///
/// # Errors
///
/// The first line that differs, a splice that is refused only in this order, or a refused splice
/// that changed the caller.
pub fn any_order(
    before: &Program,
    inlined: &Inlined,
    inliner: &Inliner<'_>,
    mut choose: impl FnMut(usize) -> usize,
) -> Result<(), Broken> {
    let mut scratch = SpliceContext::new();
    for (id, function) in before.iter() {
        let broken = |difference: String| {
            Broken::new(Property::Orders, difference).in_function(function.name())
        };
        let Some(expected) = inlined.body(id).filter(|_| inlined.stats(id).inlined > 0) else {
            continue;
        };
        // A further stage has calls of a body that has other numbers in another order. Its splices
        // are compared when the pass runs without optimization.
        if inlined
            .sites_of(id)
            .iter()
            .any(|site| site.inlined && site.stage() > 0)
        {
            continue;
        }
        // `Inliner::finish` knows nothing of other functions: neither which never throw, nor which
        // would be inlined behind a guard.
        let done = inlined.stats(id).cleanup;
        if done.try_calls_replaced > 0 || done.calls_guarded > 0 {
            continue;
        }
        let one_session = relies_on_one_session(before, inlined, id)
            || promises_for_copies(function.body(), &inliner.splice_options_for(before))
            || choose(2).is_multiple_of(2);
        let mut options = inliner.splice_options_for(before);
        let share_slots = options.share_slots;
        options.share_slots &= one_session;
        let mut replay = Replay {
            inlined,
            wrong: before.iter().next().map(|(_, function)| &**function.body()),
            records: inlined.sites_of(id),
            options: &options,
            one_session,
            sessions: 0,
            lost: false,
            tables: FxHashMap::default(),
        };
        let mut spliced = |replay: &mut Replay<'_>, choose: &mut dyn FnMut(usize) -> usize| {
            let mut body = (**function.body()).clone();
            replay.run(&mut body, &mut scratch, choose)?;
            inliner.finish(function.body(), &mut body, &mut CleanupContext::new());
            Ok(body)
        };
        let body = spliced(&mut replay, &mut choose).map_err(broken)?;
        let sessions = replay.sessions;
        let apart;
        let mut expected: &Function = expected;
        if options.share_slots != share_slots {
            replay.one_session = true;
            apart = spliced(&mut replay, &mut |_| 0).map_err(broken)?;
            expected = &apart;
        }
        let has_table = inlined.locations(id).is_some();
        let text = |body: &Function| {
            let mut body = Cow::Borrowed(body);
            if has_table {
                remove_locations(body.to_mut());
            }
            let text = match sessions {
                0 | 1 => CanonicalText::of(&body),
                _ => CanonicalText::in_any_block_order(&body),
            };
            text.map_err(|error| broken(error.to_string()))
        };
        let (expected, actual) = (text(expected)?, text(&body)?);
        // Slots of an unreachable, removed body may stay, and labels of its results, and so all that
        // computes the labelled values; in this order the body may not have been spliced at all.
        if replay.lost && expected.labels() != actual.labels() {
            continue;
        }
        if let Some((line, one, other)) = first_difference(expected.text(), actual.text()) {
            let difference = format!("`{other}` instead of `{one}`");
            return Err(broken(difference).at(format!("line {line}")));
        }
        if replay.lost {
            continue;
        }
        for (what, one, other) in [
            ("labels", expected.labels(), actual.labels()),
            ("unused slots", expected.idle_slots(), actual.idle_slots()),
        ] {
            if one != other {
                return Err(broken(format!("{what} {other:?} instead of {one:?}")));
            }
        }
    }
    Ok(())
}

/// Returns a `choose` for [`any_order`] from a number: the same number gives the same order.
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
        let own = own.filter(|(_, record)| record.inlined && record.parent().is_none());
        ready.extend(own.map(|(index, record)| (index, record.source_inst())));
        while !ready.is_empty() {
            self.sessions += 1;
            let mut session = scratch.session(body, self.options);
            while !ready.is_empty() {
                let (index, call) = ready.swap_remove(choose(ready.len()) % ready.len());
                self.be_refused(&mut session, call)?;
                self.prepare(index)?;
                let callee = self.callee(index).ok_or("it was not prepared")?;
                match session.splice(call, &callee) {
                    Ok(copied) => ready.extend(self.came_in(index, copied)?),
                    Err(Refusal::Unreachable | Refusal::NotADirectCall(_)) => self.lost = true,
                    Err(refusal) => return Err(format!("{call} is refused: {refusal}")),
                }
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

/// Entries of a table differ between functions.
fn remove_locations(body: &mut Function) {
    let blocks: Vec<_> = body.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = body.layout.block_insts(block).collect();
        for inst in insts {
            body.set_srcloc(inst, SourceLoc::default());
        }
    }
    body.dfg.values_labels = None;
}
