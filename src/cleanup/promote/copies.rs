//! Copies of aggregates by loads and stores.
//!
//! Front ends copy an aggregate by words: each word is loaded from one slot and stored to another.
//! Taken as accesses, the words would cut both slots, and padding would become values that nothing
//! reads but that go around every loop. Taken as copies, only those parts of the source are read
//! that are read from the target later. LLVM's SROA splits such pairs for the same reason.

use super::super::options::OptimizeOptions;
use super::pieces::Pieces;
use super::scan::{Action, Event, Place, Privacy, Side, Uses, resolved};
use cranelift_codegen::entity::{EntityRef, SecondaryMap};
use cranelift_codegen::ir::{
    ExceptionTableItem, Function, Inst, InstructionData, Opcode, StackSlot, Value,
};

/// After as many attempts, loads and stores are taken as accesses.
const MOST_ATTEMPTS: usize = 4;

/// A load with a result that is only stored, before its slot is written again.
#[derive(Clone, Copy, Debug)]
struct Pair {
    value: Value,
    /// The indices of the two events.
    load: usize,
    store: usize,
    from: Place,
    to: Place,
}

/// Scratch memory.
#[derive(Default)]
pub(super) struct Copies {
    pairs: Vec<Pair>,
    /// By index of a value: the number of the event that loads it, from 1, and how often it is
    /// used.
    loads: Vec<(u32, u32)>,
    /// The number of events up to the last one that writes to a slot.
    written: SecondaryMap<StackSlot, usize>,
    /// The events as they were found.
    found: Vec<Event>,
    /// By event, whether it is the load of a pair.
    goes: Vec<bool>,
    /// The loads that the copies replace.
    replaced: Vec<Inst>,
}

impl Copies {
    /// Cuts the slots of `func` into `pieces`, and makes events of `uses` copies where both slots
    /// become values. Returns the loads that go for these copies.
    pub(super) fn cut(
        &mut self,
        func: &Function,
        uses: &mut Uses,
        pieces: &mut Pieces,
        options: &OptimizeOptions,
    ) -> &[Inst] {
        self.find(func, uses);
        self.replaced.clear();
        for _ in 0..MOST_ATTEMPTS {
            if self.pairs.is_empty() {
                break;
            }
            self.take(uses);
            pieces.find(func, uses, options);
            let before = self.pairs.len();
            self.pairs
                .retain(|pair| pieces.has(pair.from.slot) && pieces.has(pair.to.slot));
            if self.pairs.len() == before {
                return &self.replaced;
            }
            std::mem::swap(&mut self.found, &mut uses.events);
            self.replaced.clear();
        }
        pieces.find(func, uses, options);
        &self.replaced
    }

    /// Makes one copy of the two events of each pair.
    fn take(&mut self, uses: &mut Uses) {
        self.found.clone_from(&uses.events);
        self.goes.clear();
        self.goes.resize(uses.events.len(), false);
        for pair in &self.pairs {
            self.goes[pair.load] = true;
            self.replaced.push(uses.events[pair.load].inst);
            uses.events[pair.store].action = Action::Copy {
                to: Side::Slot(pair.to),
                from: Side::Slot(pair.from),
                size: pair.to.size,
            };
        }
        let mut goes = self.goes.iter();
        uses.events.retain(|_| goes.next() != Some(&true));
    }

    /// Finds all pairs.
    fn find(&mut self, func: &Function, uses: &Uses) {
        self.pairs.clear();
        self.loads.clear();
        self.written.clear();
        for (index, event) in uses.events.iter().enumerate() {
            match event.action {
                Action::Access { place, stores, .. } => {
                    if uses.privacy[place.slot] != Privacy::Fixed {
                        continue;
                    }
                    let value = whole_value(func, event.inst);
                    match value {
                        Some(value) if stores => self.note_store(func, uses, index, value),
                        Some(value) => {
                            let at = value.index();
                            self.loads.resize(self.loads.len().max(at + 1), (0, 0));
                            self.loads[at].0 = u32::try_from(index + 1).unwrap_or(0);
                        }
                        None => {}
                    }
                    if stores {
                        self.written[place.slot] = index + 1;
                    }
                }
                Action::Copy {
                    to: Side::Slot(place),
                    ..
                }
                | Action::Fill { place, .. } => self.written[place.slot] = index + 1,
                Action::Copy { .. } | Action::LoadSomewhere(_) => {}
            }
        }
        if !self.pairs.is_empty() {
            self.keep_single_uses(func);
        }
    }

    /// Notes a store of `value`, which may have been loaded in the same block.
    fn note_store(&mut self, func: &Function, uses: &Uses, store: usize, value: Value) {
        let number = self.loads.get(value.index()).map_or(0, |load| load.0);
        let Some(load) = (number as usize).checked_sub(1) else {
            return;
        };
        let (from, to) = (uses.events[load], uses.events[store]);
        let (
            Action::Access {
                place: source,
                flags: loaded,
                ..
            },
            Action::Access {
                place: target,
                flags: stored,
                ..
            },
        ) = (from.action, to.action)
        else {
            debug_assert!(false, "both events are accesses");
            return;
        };
        let order = |flags| func.dfg.mem_flags[flags].explicit_endianness();
        let same_order = source.size == 1 || order(loaded) == order(stored);
        if from.block == to.block && self.written[source.slot] <= load && same_order {
            self.pairs.push(Pair {
                value,
                load,
                store,
                from: source,
                to: target,
            });
        }
    }

    /// Drops the pairs of values with other uses than the store. A label is a use.
    fn keep_single_uses(&mut self, func: &Function) {
        let Copies { pairs, loads, .. } = self;
        let mut note = |value: Value| {
            let value = resolved(func, value);
            if let Some((_, count)) = loads.get_mut(value.index()) {
                *count = count.saturating_add(1);
            }
        };
        for &value in func
            .dfg
            .values_labels
            .iter()
            .flat_map(|labels| labels.keys())
        {
            note(value);
        }
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                func.dfg.inst_values(inst).for_each(&mut note);
                let table = func.dfg.insts[inst].exception_table();
                let table = table.and_then(|table| func.dfg.exception_tables.get(table));
                for item in table.into_iter().flat_map(|table| table.items()) {
                    if let ExceptionTableItem::Context(value) = item {
                        note(value);
                    }
                }
            }
        }
        pairs.retain(|pair| loads[pair.value.index()].1 == 1);
    }
}

/// Returns the value that a load or store moves as it is, neither extended nor cut.
fn whole_value(func: &Function, inst: Inst) -> Option<Value> {
    match func.dfg.insts[inst] {
        InstructionData::Load {
            opcode: Opcode::Load,
            ..
        } => func.dfg.inst_results(inst).first().copied(),
        InstructionData::Store {
            opcode: Opcode::Store,
            args: [value, _],
            ..
        } => Some(resolved(func, value)),
        _ => None,
    }
}
