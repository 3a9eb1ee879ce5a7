//! A policy's view of a call.

use super::Summary;
use super::addresses::{SlotUses, may_be_slot};
use super::argument::{Argument, SlotArgument, describe};
use super::loops::Loops;
use super::recorded::RecordedSite;
use super::results::DecidedBranches;
use crate::graph::{CallGraph, CallKind, PathStep, SiteName};
use crate::panics;
use crate::profile::Heat;
use crate::program::FunctionName;
use cranelift_codegen::ir::{Block, Function, Inst, Opcode, SourceLoc, Value};
use std::sync::OnceLock;

/// A direct call about which a policy decides.
pub struct CallSite<'a> {
    pub(crate) context: SiteContext<'a>,
    pub(crate) analysis: &'a RoundAnalysis<'a>,
    /// The facts about the call where its caller has no body.
    pub(crate) recorded: Option<&'a RecordedSite>,
}

/// The pass's facts about a site.
#[derive(Clone, Copy)]
pub(crate) struct SiteContext<'a> {
    pub(crate) caller_name: &'a FunctionName,
    pub(crate) callee_name: &'a FunctionName,
    pub(crate) graph: &'a CallGraph,
    pub(crate) path: &'a [PathStep],
    pub(crate) callee: &'a Function,
    pub(crate) summary: &'a Summary,
    pub(crate) call: Inst,
    pub(crate) block: Block,
    pub(crate) srcloc: SourceLoc,
    pub(crate) kind: CallKind,
    pub(crate) caller_insts: usize,
    pub(crate) caller_insts_at_start: usize,
    pub(crate) caller_call_sites: usize,
    pub(crate) depth: u32,
    pub(crate) cold: bool,
    pub(crate) count: Option<u64>,
    pub(crate) heat: Heat,
    /// Whether slots of the caller are promoted after the splices.
    pub(crate) promotes_slots: bool,
}

/// Facts about a caller, computed for the first site that needs them.
pub(crate) struct RoundAnalysis<'a> {
    pub(crate) caller: &'a Function,
    loops: OnceLock<Loops>,
    slots: OnceLock<SlotUses>,
    branches: OnceLock<DecidedBranches>,
}

impl<'a> RoundAnalysis<'a> {
    pub(crate) fn new(caller: &'a Function) -> Self {
        RoundAnalysis {
            caller,
            loops: OnceLock::new(),
            slots: OnceLock::new(),
            branches: OnceLock::new(),
        }
    }

    pub(super) fn branches(&self) -> &DecidedBranches {
        self.branches
            .get_or_init(|| panics::catch(|| DecidedBranches::of(self.caller)).unwrap_or_default())
    }

    pub(super) fn slots(&self) -> &SlotUses {
        self.slots
            .get_or_init(|| panics::catch(|| SlotUses::of(self.caller)).unwrap_or_default())
    }

    /// Returns the slot whose address `value` is, if only calls keep it in memory.
    pub(super) fn slot_argument(&self, value: Value) -> Option<SlotArgument> {
        if !may_be_slot(self.caller, value) {
            return None;
        }
        let slot = self.slots().slot_of(self.caller, value)?;
        let uses = self.slots().get(slot);
        (!uses.stays).then(|| SlotArgument {
            slot,
            other_calls: uses.calls.saturating_sub(1),
            accesses: uses.accesses,
        })
    }

    pub(crate) fn loop_depth(&self, block: Block) -> u32 {
        let loops = self.loops.get_or_init(|| Loops::of(self.caller));
        loops.depth(block)
    }
}

impl<'a> CallSite<'a> {
    /// Returns the function that holds the call.
    pub fn caller_name(&self) -> &'a FunctionName {
        self.context.caller_name
    }

    /// Returns the function that is called.
    pub fn callee_name(&self) -> &'a FunctionName {
        self.context.callee_name
    }

    /// Returns the chain of inlined sites that leads from the caller to this call. Each step is a
    /// site of the original program, as an edge of its [call graph](Self::graph), or a call that
    /// became direct later. The last step is the call itself. The path does not depend on the order
    /// in which the bodies were inlined.
    pub fn path(&self) -> &'a [PathStep] {
        self.context.path
    }

    /// Returns the call graph of the program as it was before anything was inlined.
    pub fn graph(&self) -> &'a CallGraph {
        self.context.graph
    }

    /// Returns the name of the call in the function whose original body has it, which is not
    /// [`CallSite::caller_name`] if the call came in with a body.
    pub fn name(&self) -> Option<SiteName> {
        self.context.graph.step_name(*self.path().last()?)
    }

    /// Returns the names of the sites of [`CallSite::path`].
    pub fn path_names(&self) -> Vec<SiteName> {
        let graph = self.context.graph;
        let path = self.path().iter();
        path.filter_map(|&step| graph.step_name(step)).collect()
    }

    /// Returns the caller's body as it stands. Sites that came in with an inlined body are decided
    /// after that body is in place.
    ///
    /// Where decisions are made on summaries alone, it is a function with only this call in it, and
    /// the [callee](Self::callee) is one without instructions. All other methods then have the
    /// facts that were recorded.
    pub fn caller(&self) -> &'a Function {
        match self.recorded {
            Some(recorded) => &recorded.skeleton(self.analysis.caller).caller,
            None => self.analysis.caller,
        }
    }

    /// Returns the callee's body as it would be copied: with everything that was inlined into it.
    pub fn callee(&self) -> &'a Function {
        self.context.callee
    }

    /// Returns the call, an instruction of [`CallSite::caller`].
    pub fn call(&self) -> Inst {
        match self.recorded {
            Some(recorded) => recorded.skeleton(self.analysis.caller).call,
            None => self.context.call,
        }
    }

    /// Returns the kind of the call.
    pub fn kind(&self) -> CallKind {
        self.context.kind
    }

    /// Returns the call's opcode.
    pub fn opcode(&self) -> Opcode {
        if let Some(opcode) = self.recorded.and_then(|recorded| recorded.opcode) {
            return opcode;
        }
        self.caller().dfg.insts[self.call()].opcode()
    }

    /// Returns the block that holds the call.
    pub fn block(&self) -> Block {
        match self.recorded {
            Some(recorded) => recorded.skeleton(self.analysis.caller).block,
            None => self.context.block,
        }
    }

    /// Returns whether the call is in the first block of its caller, which runs as often as the
    /// caller.
    pub fn is_in_first_block(&self) -> bool {
        match self.recorded {
            Some(recorded) => recorded.in_first_block,
            None => Some(self.context.block) == self.analysis.caller.layout.entry_block(),
        }
    }

    /// Returns the call's source location, in the function whose original body has the call.
    pub fn srcloc(&self) -> SourceLoc {
        self.context.srcloc
    }

    /// Returns the values that the call passes.
    pub fn args(&self) -> &'a [Value] {
        self.caller().dfg.inst_args(self.call())
    }

    /// Returns the known content of each value that the call passes.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = Argument> + use<'a> {
        let (caller, call) = (self.analysis.caller, self.context.call);
        let recorded = self.recorded;
        let count = match recorded {
            Some(recorded) => recorded.arguments.len(),
            None => caller.dfg.inst_args(call).len(),
        };
        (0..count)
            .map(move |index| match recorded {
                Some(recorded) => recorded.arguments.get(index).copied(),
                None => {
                    let value = caller.dfg.inst_args(call).get(index);
                    value.map(|&value| describe(caller, value))
                }
            })
            .map(|argument| argument.unwrap_or(Argument::Unknown))
    }

    /// Says of each value that the call passes whether it is the address of a stack slot of the
    /// caller that only calls keep in memory. `None` also for slots with a key, for those that
    /// tags or stack maps name, and where the pass does not promote slots.
    ///
    /// Costs a walk over the caller, once for all sites of a round, if it has slots and an argument
    /// is the address of one or a block parameter.
    pub fn slot_arguments(&self) -> impl ExactSizeIterator<Item = Option<SlotArgument>> + use<'a> {
        let (caller, call) = (self.analysis.caller, self.context.call);
        let (analysis, recorded) = (self.analysis, self.recorded);
        let promotes_slots = self.promotes_slots();
        let count = match recorded {
            Some(recorded) => recorded.slots.len(),
            None => caller.dfg.inst_args(call).len(),
        };
        (0..count).map(move |index| {
            if !promotes_slots {
                return None;
            }
            if let Some(recorded) = recorded {
                return recorded.slots.get(index).copied().flatten();
            }
            let value = *caller.dfg.inst_args(call).get(index)?;
            analysis.slot_argument(value)
        })
    }

    /// Returns whether the optimizer turns stack slots into values after the splices.
    pub fn promotes_slots(&self) -> bool {
        self.context.promotes_slots
    }

    /// Returns, for each result of the call, the number of branches of the caller that it decides,
    /// alone or with constants. Where the callee [returns a constant](super::Summary::results),
    /// such a branch is decided once the call is inlined, if no other value comes between.
    ///
    /// Costs a walk over the blocks of the caller, once for all sites of a round.
    pub fn result_branches(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let (caller, call) = (self.analysis.caller, self.context.call);
        let (analysis, recorded) = (self.analysis, self.recorded);
        let count = match recorded {
            Some(recorded) => recorded.result_branches.len(),
            None => caller.dfg.inst_results(call).len(),
        };
        (0..count).map(move |index| match recorded {
            Some(recorded) => recorded.result_branches.get(index).copied().unwrap_or(0),
            None => {
                let result = caller.dfg.inst_results(call).get(index);
                result.map_or(0, |&result| analysis.branches().by(caller, result))
            }
        })
    }

    /// Returns the number of loops around the call in its caller.
    ///
    /// Costs a dominator tree of the caller, once for all sites of a round.
    pub fn loop_depth(&self) -> u32 {
        match self.recorded {
            Some(recorded) => recorded.loop_depth,
            None => self.analysis.loop_depth(self.context.block),
        }
    }

    /// Returns the number of executions of the call in this caller, if the pass has a
    /// [profile](crate::profile) that knows the call; for a copy, it is an estimate.
    pub fn count(&self) -> Option<u64> {
        self.context.count
    }

    /// Returns how hot the call is compared with others; [`Heat::Unknown`] without a
    /// [profile](crate::profile).
    pub fn heat(&self) -> Heat {
        self.context.heat
    }

    /// Returns whether the call is cold. It is cold if its block is marked cold or ends in a trap,
    /// if the embedder says so of the call, the callee, or anything around the call, or if the
    /// profile says that the call was never executed. A call that is hot by the profile is never
    /// cold.
    pub fn is_cold(&self) -> bool {
        match self.heat() {
            Heat::Hot => return false,
            Heat::Never => return true,
            Heat::Warm | Heat::Unknown => {}
        }
        let in_cold_block = match self.recorded {
            Some(recorded) => recorded.in_cold_block,
            None => self.analysis.caller.is_effectively_cold(self.context.block),
        };
        in_cold_block || self.context.cold || self.summary().attributes().cold
    }

    /// Returns the facts about the callee.
    pub fn summary(&self) -> &'a Summary {
        self.context.summary
    }

    /// Returns the caller's size as it would be now, in instructions: its own and those of the
    /// callees that were accepted so far.
    pub fn caller_insts(&self) -> usize {
        self.context.caller_insts
    }

    /// Returns the caller's size before anything was inlined, in instructions.
    pub fn caller_insts_at_start(&self) -> usize {
        self.context.caller_insts_at_start
    }

    /// Returns the number of call sites in the whole program that named the caller before inlining.
    /// Where there are several, the caller may be copied as often, if it stays small enough.
    pub fn caller_call_sites(&self) -> usize {
        self.context.caller_call_sites
    }

    /// Returns the number of inlined bodies around the call: 0 for a call of the caller's own, 1
    /// for a call that came in with a callee.
    pub fn depth(&self) -> u32 {
        self.context.depth
    }
}
