//! Removal of stores to private stack slots that are never read.
//!
//! A slot that cannot be promoted, such as an array with accesses at unknown places, is still
//! private if its address does not escape. Then a call or a fence between a store and the next one
//! to the same place does not matter, and a store without a later load of the slot is removed.

use super::flow::Flow;
use super::options::OptimizeOptions;
use super::promote::PromoteContext;
use super::promote::reaching::{Reaching, Touch};
use super::promote::scan::{Action, Event, Place, Privacy, Side, Uses};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, StackSlot};
use std::ops::Range;

/// Slots with more parts are skipped.
const MOST_PARTS: usize = 64;

/// Removes stores that nothing can read; returns their number. Nothing may be unreachable. With
/// `is_scanned`, promotion has found nothing to do in the function as it is.
pub(super) fn drop_stores(
    func: &mut Function,
    flow: &Flow,
    options: &OptimizeOptions,
    is_scanned: bool,
    context: &mut PromoteContext,
) -> usize {
    if flow.returns_to_entry() {
        return 0;
    }
    if !is_scanned {
        context.scan(func, flow, options);
    }
    let PromoteContext {
        uses,
        reaching,
        touches,
        ..
    } = context;
    let parts = Parts::find(uses);
    if parts.of.is_empty() {
        return 0;
    }
    touches.clear();
    for event in &uses.events {
        parts.touches_of(event, |part, writes| {
            touches.push(Touch {
                variable: u32::try_from(part).unwrap_or(u32::MAX),
                block: event.block,
                writes,
            });
        });
    }
    reaching.find_live(flow, parts.count, touches);
    let dead = find_dead(func, flow, &parts, uses, reaching);
    for event in dead.iter().map(|&index| &uses.events[index]) {
        func.layout.remove_inst(event.inst);
    }
    dead.len()
}

/// Goes backward through each block, from the parts that are read after it.
fn find_dead(
    func: &Function,
    flow: &Flow,
    parts: &Parts,
    uses: &Uses,
    reaching: &Reaching,
) -> Vec<usize> {
    let mut dead = Vec::new();
    // The parts that are read later, if known for this block.
    let mut read_later: Vec<Option<(u32, bool)>> = vec![None; parts.count];
    for (index, event) in uses.events.iter().enumerate().rev() {
        let mut is_read = false;
        let mut is_store = false;
        if let Action::Access {
            place,
            stores: true,
            ..
        } = event.action
            && let Some(range) = parts.within(place)
        {
            is_store = true;
            for part in range {
                let known = read_later[part].filter(|&(block, _)| block == event.block);
                is_read |= match known {
                    Some((_, read)) => read,
                    None => is_live_out(func, flow, reaching, part, event.block),
                };
            }
        }
        if is_store && !is_read {
            dead.push(index);
            continue;
        }
        // An event reads before it writes.
        for pass_writes in [true, false] {
            parts.touches_of(event, |part, writes| {
                if writes == pass_writes {
                    read_later[part] = Some((event.block, !writes));
                }
            });
        }
    }
    dead
}

fn is_live_out(func: &Function, flow: &Flow, reaching: &Reaching, part: usize, block: u32) -> bool {
    let Some(last) = func.layout.last_inst(flow.blocks()[block as usize]) else {
        return false;
    };
    let pool = &func.dfg.value_lists;
    let mut calls = crate::body::branches(func, last).iter();
    calls.any(|call| reaching.is_live_in(part, flow.number(call.block(pool))))
}

/// The private slots, cut wherever an access at a known place begins or ends.
struct Parts {
    /// By slot.
    of: Vec<CutSlot>,
    /// The number of all parts.
    count: usize,
}

struct CutSlot {
    slot: StackSlot,
    /// The bounds of parts; some parts may have no accesses.
    cuts: Vec<u32>,
    /// The number of the first part.
    first: usize,
}

impl Parts {
    fn find(uses: &Uses) -> Self {
        let mut index: SecondaryMap<StackSlot, Option<u32>> = SecondaryMap::new();
        let mut of: Vec<CutSlot> = Vec::new();
        let mut note = |slot: StackSlot, cuts: [u32; 2]| {
            if uses.privacy[slot] == Privacy::Escapes {
                return;
            }
            let at = *index[slot].get_or_insert_with(|| {
                of.push(CutSlot {
                    slot,
                    cuts: Vec::new(),
                    first: 0,
                });
                u32::try_from(of.len() - 1).unwrap_or(u32::MAX)
            });
            of[at as usize].cuts.extend(cuts);
        };
        for event in &uses.events {
            match event.action {
                Action::Access { place, .. } | Action::Fill { place, .. } => {
                    note(place.slot, [place.start, place.end()]);
                }
                Action::Copy { to, from, .. } => {
                    for side in [to, from] {
                        if let Side::Slot(place) = side {
                            note(place.slot, [place.start, place.end()]);
                        }
                    }
                }
                Action::LoadSomewhere(_) => {}
            }
        }
        for slot in &mut of {
            slot.cuts.sort_unstable();
            slot.cuts.dedup();
        }
        of.retain(|slot| slot.cuts.len() <= MOST_PARTS);
        of.sort_unstable_by_key(|slot| slot.slot);
        let mut count = 0;
        for slot in &mut of {
            slot.first = count;
            count += slot.cuts.len().saturating_sub(1);
        }
        Parts { of, count }
    }

    fn slot(&self, slot: StackSlot) -> Option<&CutSlot> {
        let at = self.of.binary_search_by_key(&slot, |cut| cut.slot).ok()?;
        self.of.get(at)
    }

    /// Returns the numbers of the parts within `place`, if its slot is looked at.
    fn within(&self, place: Place) -> Option<Range<usize>> {
        let CutSlot { cuts, first, .. } = self.slot(place.slot)?;
        let start = cuts.partition_point(|&cut| cut < place.start);
        let end = cuts.partition_point(|&cut| cut < place.end());
        Some(first + start..first + end)
    }

    /// Calls `touch` for each part that an event reads, and then for each that it writes as a
    /// whole.
    fn touches_of(&self, event: &Event, mut touch: impl FnMut(usize, bool)) {
        let mut all = |place: Place, writes: bool| {
            for part in self.within(place).into_iter().flatten() {
                touch(part, writes);
            }
        };
        match event.action {
            Action::Access { place, stores, .. } => all(place, stores),
            Action::Copy { to, from, .. } => {
                if let Side::Slot(place) = from {
                    all(place, false);
                }
                if let Side::Slot(place) = to {
                    all(place, true);
                }
            }
            Action::Fill { place, .. } => all(place, true),
            Action::LoadSomewhere(slot) => {
                if let Some(CutSlot { cuts, first, .. }) = self.slot(slot) {
                    for part in 0..cuts.len().saturating_sub(1) {
                        touch(first + part, false);
                    }
                }
            }
        }
    }
}
