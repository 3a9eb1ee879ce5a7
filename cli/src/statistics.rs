//! Statistics of a run.

use crate::arguments::{CommonArguments, StatisticsForm};
use crate::failure::{Failure, say};
use crate::output::Output;
use crate::table;
use crate::verdict::Verdict;
use cranelift_codegen::ir::{Function, InstructionData};
use cranelift_inliner::cleanup::CleanupStats;
use cranelift_inliner::pass::{CompiledProgram, Inlined, StepTimes};
use cranelift_inliner::program::{FunctionId, Program};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// The number of functions listed among those that changed most.
const BIGGEST_CHANGES: usize = 10;

/// The statistics of one or more programs. Their serialized form is the output of `--stats=json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Statistics {
    /// Functions in the input.
    pub(crate) functions: usize,
    /// Dropped ones among them: local functions that are no longer referenced.
    pub(crate) functions_dropped: usize,
    /// Direct calls in the functions of the input.
    pub(crate) call_sites_before: usize,
    /// Direct calls in the functions of the output, so not in dropped ones.
    pub(crate) call_sites_after: usize,
    /// Decisions on direct calls: one for each of the input, and one for each copied with a body.
    /// It is the sum of the next four.
    pub(crate) decisions: usize,
    pub(crate) inlined: usize,
    /// Calls kept by the policy, an attribute or a hint, by the name of the reason.
    pub(crate) kept: BTreeMap<&'static str, usize>,
    /// Calls that could not be inlined or were beyond a limit, by the name of the reason.
    pub(crate) refused: BTreeMap<&'static str, usize>,
    /// Calls of functions without a definition in the input.
    pub(crate) external: usize,
    pub(crate) instructions_before: usize,
    /// Without dropped functions.
    pub(crate) instructions_after: usize,
    /// Bytes of stack slots.
    pub(crate) stack_bytes_before: u64,
    pub(crate) stack_bytes_after: u64,
    /// Effects of clean-up and optimization, one number per transform.
    pub(crate) transforms: Transforms,
    /// Accesses in copies that lost `readonly` or `can_move`, which hold in the callee only.
    pub(crate) flags_dropped: usize,
    /// Accesses of copies and callers that lost their alias regions.
    pub(crate) regions_dropped: usize,
    /// Bytes of machine code of the input's functions; null if these were not compiled.
    pub(crate) code_bytes_before: Option<usize>,
    /// Bytes of machine code of the output; null without compilation.
    pub(crate) code_bytes: Option<usize>,
    /// Functions compiled from their original bodies.
    pub(crate) fallbacks: usize,
    /// The directives of `run`; null for other commands.
    pub(crate) directives: Option<Directives>,
    /// The time of each phase.
    pub(crate) microseconds: Phases,
    #[serde(skip)]
    cleanup: CleanupStats,
    #[serde(skip)]
    pub(crate) sites: BTreeMap<(Verdict, &'static str), usize>,
    /// The functions that changed most, the greatest change first.
    #[serde(skip)]
    pub(crate) changes: Vec<Change>,
}

/// Effects of clean-up and optimization on all functions, kept or dropped.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Transforms {
    pub(crate) branches_folded: usize,
    pub(crate) branches_threaded: usize,
    pub(crate) blocks_dropped: usize,
    pub(crate) blocks_merged: usize,
    pub(crate) slots_dropped: usize,
    pub(crate) slots_promoted: usize,
    pub(crate) loads_replaced: usize,
    pub(crate) stores_replaced: usize,
    pub(crate) memory_calls_replaced: usize,
    pub(crate) calls_resolved: usize,
    pub(crate) calls_guarded: usize,
    pub(crate) guards_decided: usize,
    pub(crate) try_calls_replaced: usize,
    pub(crate) table_loads_replaced: usize,
    pub(crate) address_tests_folded: usize,
    pub(crate) comparisons_simplified: usize,
    pub(crate) stores_dropped: usize,
    pub(crate) branches_decided: usize,
    pub(crate) params_dropped: usize,
    pub(crate) instructions_dropped: usize,
}

impl Transforms {
    fn of(stats: &CleanupStats) -> Self {
        Transforms {
            branches_folded: stats.branches_folded,
            branches_threaded: stats.branches_threaded,
            blocks_dropped: stats.blocks_dropped,
            blocks_merged: stats.blocks_merged,
            slots_dropped: stats.slots_dropped,
            slots_promoted: stats.slots_promoted,
            loads_replaced: stats.loads_replaced,
            stores_replaced: stats.stores_replaced,
            memory_calls_replaced: stats.memory_calls_replaced,
            calls_resolved: stats.calls_resolved,
            calls_guarded: stats.calls_guarded,
            guards_decided: stats.guards_decided,
            try_calls_replaced: stats.try_calls_replaced,
            table_loads_replaced: stats.table_loads_replaced,
            address_tests_folded: stats.address_tests_folded,
            comparisons_simplified: stats.comparisons_simplified,
            stores_dropped: stats.stores_dropped,
            branches_decided: stats.branches_decided,
            params_dropped: stats.params_dropped,
            instructions_dropped: stats.insts_dropped,
        }
    }

    /// Returns each count with its description.
    pub(crate) fn rows(&self) -> [(&'static str, usize); 20] {
        [
            ("branches folded", self.branches_folded),
            ("branches threaded", self.branches_threaded),
            ("blocks dropped", self.blocks_dropped),
            ("blocks merged", self.blocks_merged),
            ("slots dropped", self.slots_dropped),
            ("slots promoted", self.slots_promoted),
            ("loads replaced", self.loads_replaced),
            ("stores replaced", self.stores_replaced),
            ("memory calls replaced", self.memory_calls_replaced),
            ("indirect calls resolved", self.calls_resolved),
            ("indirect calls guarded", self.calls_guarded),
            ("guards decided", self.guards_decided),
            ("calls without their handlers", self.try_calls_replaced),
            ("table loads replaced", self.table_loads_replaced),
            ("address tests folded", self.address_tests_folded),
            ("comparisons simplified", self.comparisons_simplified),
            ("stores dropped", self.stores_dropped),
            ("branches decided", self.branches_decided),
            ("parameters dropped", self.params_dropped),
            ("instructions dropped", self.instructions_dropped),
        ]
    }
}

/// The outcomes of `; run:` and `; print:` directives.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Directives {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) passed_over: usize,
}

/// A function whose size changed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) before: usize,
    pub(crate) after: usize,
    pub(crate) inlined: usize,
    pub(crate) dropped: bool,
}

/// The time of each phase. The pass's own are sums over threads, the others are not.
/// `compile_before` compiles the input's functions, for comparison.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Phases {
    #[serde(serialize_with = "microseconds")]
    pub(crate) read: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) verify_input: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) graph: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) inline: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) cleanup: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) verify: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) compile: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) compile_before: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) execute: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) write: Duration,
    #[serde(serialize_with = "microseconds")]
    pub(crate) total: Duration,
}

fn microseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

impl Phases {
    /// Adds the times of the pass.
    pub(crate) fn add_steps(&mut self, steps: &StepTimes) {
        self.graph += steps.graph;
        self.inline += steps.inline;
        self.cleanup += steps.cleanup;
        self.verify += steps.verify;
        self.compile += steps.compile;
    }
}

impl Statistics {
    /// Adds the results of the pass on `program`.
    pub(crate) fn add(&mut self, program: &Program, inlined: &Inlined) {
        for (id, function) in program.iter() {
            let stats = inlined.stats(id);
            self.functions += 1;
            let calls = CallSites::of(program, inlined, id);
            self.call_sites_before += calls.before;
            self.instructions_before += stats.insts_before;
            self.stack_bytes_before += stats.slot_bytes_before;
            self.cleanup += stats.cleanup;
            if stats.dropped {
                self.functions_dropped += 1;
            } else {
                self.call_sites_after += calls.after;
                self.instructions_after += stats.insts_after;
                self.stack_bytes_after += stats.slot_bytes_after;
                self.flags_dropped += stats.promises.flags;
                self.regions_dropped += stats.promises.regions;
            }
            let after = if stats.dropped { 0 } else { stats.insts_after };
            if after != stats.insts_before {
                self.changes.push(Change {
                    name: function.name().to_string(),
                    before: stats.insts_before,
                    after,
                    inlined: stats.inlined,
                    dropped: stats.dropped,
                });
            }
        }
        self.transforms = Transforms::of(&self.cleanup);
        // The sort is stable: among equals, the order of the input.
        let by = |change: &Change| std::cmp::Reverse(change.after.abs_diff(change.before));
        self.changes.sort_by_key(by);
        self.changes.truncate(BIGGEST_CHANGES);
        for site in inlined.sites() {
            let reason = site.reason.slug();
            let verdict = Verdict::of(site);
            self.decisions += 1;
            match verdict {
                Verdict::Inlined => self.inlined += 1,
                Verdict::Kept => *self.kept.entry(reason).or_default() += 1,
                Verdict::Refused => *self.refused.entry(reason).or_default() += 1,
                Verdict::External => self.external += 1,
            }
            *self.sites.entry((verdict, reason)).or_default() += 1;
        }
    }

    /// Adds the results of the backend.
    pub(crate) fn add_code(&mut self, compiled: &CompiledProgram) {
        *self.code_bytes.get_or_insert(0) += compiled.code_bytes();
        self.fallbacks += compiled.fallbacks().count();
    }

    /// Prints the output of `--stats`; `holds_output` is true if standard output holds a result.
    pub(crate) fn print(
        &self,
        arguments: &CommonArguments,
        holds_output: bool,
    ) -> Result<(), Failure> {
        let text = match arguments.report.stats {
            None => return Ok(()),
            Some(StatisticsForm::Table) => table::full(self),
            Some(StatisticsForm::Json) => serde_json::to_string_pretty(self).map_err(|error| {
                Failure::new(format!("the statistics cannot be written as JSON: {error}"))
            })?,
        };
        if holds_output {
            say(&text);
            Ok(())
        } else {
            Output::StandardOutput.write_bytes(format!("{text}\n").as_bytes())
        }
    }
}

/// The number of direct calls in a function.
#[derive(Clone, Copy)]
pub(crate) struct CallSites {
    pub(crate) before: usize,
    /// The number after inlining, even if the function is dropped.
    pub(crate) after: usize,
}

impl CallSites {
    pub(crate) fn of(program: &Program, inlined: &Inlined, id: FunctionId) -> Self {
        let before = program.get(id).map(|function| function.body());
        Self {
            before: before.map_or(0, |body| direct_calls(body)),
            after: inlined.body(id).map_or(0, |body| direct_calls(body)),
        }
    }
}

/// Returns a number with its noun.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn direct_calls(function: &Function) -> usize {
    let insts = function
        .layout
        .blocks()
        .flat_map(|block| function.layout.block_insts(block));
    insts
        .filter(|&inst| {
            matches!(
                function.dfg.insts[inst],
                InstructionData::Call { .. } | InstructionData::TryCall { .. }
            )
        })
        .count()
}
