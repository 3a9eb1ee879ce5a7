//! Promotion of stack slots to values.
//!
//! A slot that is invisible outside the function is equivalent to a few variables, and these are
//! better as values: later transforms see through them, and they may be in registers. So a slot of
//! a fixed size without a key, with an address that is only used to load and store at constant
//! places in it, is cut into [pieces](pieces), and each piece becomes values, with block parameters
//! where [several meet](reaching).
//!
//! *Allowed uses of an address.* It may be the operand of loads and stores of whole values, be
//! added to or subtracted from a constant, be passed for a block parameter that is always this
//! address, be both choices of a `select`, be compared with null or another place in the same slot,
//! and be an operand of a memory function of known size that copies or fills. All other uses let
//! the whole slot escape: a stored address, one that is passed to a call, returned, named by a tag
//! or a stack map, atomic accesses, and accesses that reach out of the slot.
//!
//! *Unwritten parts* read as zero: any value is right, if it is always the same one.
//!
//! *Remains.* Accesses of a slot do not trap, so they leave no trap behind. Labels of a load's
//! result go to the value that it loaded; stores of a slot have none. Labels of removed addresses
//! are dropped.

pub(super) mod addresses;
mod convert;
mod copies;
mod pieces;
pub(super) mod reaching;
mod rewrite;
pub(super) mod scan;

use super::CleanupStats;
use super::flow::Flow;
use super::options::OptimizeOptions;
use addresses::Addresses;
use copies::Copies;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, MemFlags};
use pieces::Pieces;
use reaching::{Reaching, Touch};
use rewrite::{Rewriter, fold_tests};
use scan::{Action, Event, Place, Uses};

/// The number of parameters of a block is limited, and with this many live values promotion gains
/// nothing.
const MOST_PARAMS: usize = 4000;

/// Scratch memory.
#[derive(Default)]
pub(super) struct PromoteContext {
    pub(super) addresses: Addresses,
    pub(super) uses: Uses,
    pieces: Pieces,
    copies: Copies,
    pub(super) reaching: Reaching,
    pub(super) touches: Vec<Touch>,
}

impl PromoteContext {
    /// Finds the uses of all slots of `func`; returns whether there is any.
    pub(super) fn scan(&mut self, func: &Function, flow: &Flow, options: &OptimizeOptions) -> bool {
        let functions = &options.memory_functions;
        if !self.addresses.find(func, flow, functions) {
            self.uses.clear();
            return false;
        }
        self.uses.find(func, flow, &self.addresses, functions);
        true
    }
}

/// Promotes the slots of `func` that can be promoted now. No block may be unreachable.
pub(super) fn promote_slots(
    func: &mut Function,
    flow: &Flow,
    options: &OptimizeOptions,
    context: &mut PromoteContext,
) -> CleanupStats {
    let mut stats = CleanupStats::default();
    if flow.returns_to_entry() || !context.scan(func, flow, options) || !has_room(func) {
        return stats;
    }
    let PromoteContext {
        addresses,
        uses,
        pieces,
        copies,
        reaching,
        touches,
    } = context;
    stats.address_tests_folded = fold_tests(func, &uses.tests);
    let loads = copies.cut(func, uses, pieces, options);
    let promoted = pieces.slots().count();
    if promoted == 0 {
        return stats;
    }
    touches.clear();
    for event in &uses.events {
        touches_of(pieces, event, |variable, writes| {
            touches.push(Touch {
                variable: u32::try_from(variable).unwrap_or(u32::MAX),
                block: event.block,
                writes,
            });
        });
    }
    reaching.find_live(flow, pieces.all.len(), touches);
    reaching.find_origins(flow);
    if reaching.most_params(flow) > MOST_PARAMS {
        return stats;
    }
    stats.loads_replaced += loads.len();
    for &load in loads {
        func.layout.remove_inst(load);
    }
    stats += Rewriter::new(func, flow, pieces, reaching, options).run(uses, addresses);
    stats.slots_promoted = promoted;
    stats
}

/// Returns whether the table has room for the memory flags that may be added.
fn has_room(func: &Function) -> bool {
    const MORE: usize = 8;
    let last = MemFlags::new(usize::from(u16::MAX) - 1 - MORE);
    !func.dfg.mem_flags.is_valid(last)
}

/// Calls `touch` for each variable that an event reads, and then for each that it writes.
fn touches_of(pieces: &Pieces, event: &Event, mut touch: impl FnMut(usize, bool)) {
    match event.action {
        Action::Access { place, stores, .. } => {
            for variable in pieces.within(place) {
                touch(variable, stores);
            }
        }
        Action::Copy { to, from, .. } => {
            let (to, from) = (pieces.promoted(to), pieces.promoted(from));
            match (to, from) {
                (Some(to), Some(from)) => {
                    for target in pieces.within(to) {
                        let piece = pieces.all[target];
                        let place = Place {
                            slot: from.slot,
                            start: piece.start - to.start + from.start,
                            size: piece.ty.bytes(),
                        };
                        for variable in pieces.within(place) {
                            touch(variable, false);
                        }
                    }
                }
                (None, Some(from)) => {
                    for variable in pieces.within(from) {
                        touch(variable, false);
                    }
                }
                (_, None) => {}
            }
            if let Some(to) = to {
                for variable in pieces.within(to) {
                    touch(variable, true);
                }
            }
        }
        Action::Fill { place, .. } => {
            for variable in pieces.within(place) {
                touch(variable, true);
            }
        }
        Action::LoadSomewhere(_) => {}
    }
}
