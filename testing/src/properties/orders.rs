//! The order of splices does not matter.

use super::broken::{Broken, Property, first_difference};
use crate::canonical::CanonicalText;
use crate::orders::{OneByOne, Sessions, SplicedOneByOne};
use cranelift_codegen::ir::{Function, Inst, SourceLoc};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::borrow::Cow;

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
    let mut one_by_one = OneByOne::new(before, inlined, inliner);
    let shares_slots = one_by_one.shares_slots();
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
        // `Inliner::finish` knows nothing of the program: neither which functions never throw, nor
        // which would be inlined behind a guard, nor the tables of functions.
        let done = inlined.stats(id).cleanup;
        if done.try_calls_replaced > 0 || done.calls_guarded > 0 || done.table_loads_replaced > 0 {
            continue;
        }
        let one = one_by_one.needs_one_session(id) || choose(2).is_multiple_of(2);
        let share_slots = one && one_by_one.shares_slots();
        let mut spliced = |one: bool, choose: &mut dyn FnMut(usize) -> usize| {
            let sessions = Sessions { one, share_slots };
            let spliced = one_by_one.splice_in(id, sessions, choose).map_err(broken)?;
            spliced.ok_or_else(|| broken("it is not in the input".to_owned()))
        };
        let spliced_in_order = spliced(one, &mut choose)?;
        let apart;
        let mut lost = spliced_in_order.lost;
        let mut expected: &Function = expected;
        if share_slots != shares_slots {
            apart = spliced(true, &mut |_| 0)?;
            lost |= apart.lost;
            expected = &apart.body;
        }
        let SplicedOneByOne { body, sessions, .. } = spliced_in_order;
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
        let same_promises = promises(expected) == promises(&body);
        let (expected, actual) = (text(expected)?, text(&body)?);
        // An unreachable body is removed, but it may leave slots, and labels of its results, and so
        // all that computes the labelled values, and its caller has lost promises. In one of the
        // orders the body may not have been spliced at all.
        if lost && (expected.labels() != actual.labels() || !same_promises) {
            continue;
        }
        if let Some((line, one, other)) = first_difference(expected.text(), actual.text()) {
            let difference = format!("`{other}` instead of `{one}`");
            return Err(broken(difference).at(format!("line {line}")));
        }
        if lost {
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

/// Returns how many accesses promise to read or write a region, not to change, and to move freely.
fn promises(body: &Function) -> [usize; 3] {
    let mut counts = [0; 3];
    let insts = body
        .layout
        .blocks()
        .flat_map(|block| body.layout.block_insts(block));
    for flags in insts.filter_map(|inst| body.dfg.insts[inst].memflags()) {
        let flags = body.dfg.mem_flags[flags];
        counts[0] += usize::from(flags.alias_region().is_some());
        counts[1] += usize::from(flags.readonly());
        counts[2] += usize::from(flags.can_move());
    }
    counts
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
