//! Inline trees as JSON, for scripts.

use crate::inline_tree::{InlineTrees, Site};
use crate::statistics::CallSites;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program};
use serde::Serialize;

/// The limit of sites: if each function calls the next one twice, a tree doubles with each level.
const MOST_SITES: usize = 20_000;

/// A function and its tree.
#[derive(Serialize)]
pub(crate) struct FunctionTree {
    function: String,
    linkage: String,
    dropped: bool,
    instructions_before: usize,
    instructions_after: usize,
    call_sites_before: usize,
    call_sites_after: usize,
    inlined: usize,
    sites: Vec<SiteTree>,
    /// Whether some sites are left out.
    cut: bool,
}

/// A call site, and the sites of the body that replaced it.
#[derive(Serialize)]
struct SiteTree {
    callee: String,
    /// `inlined`, `kept`, `refused`, `external`, or `unreachable` if the call was removed before
    /// its decision.
    decision: String,
    /// The short name of the reason.
    reason_kind: &'static str,
    reason: String,
    /// Null without a body.
    callee_instructions: Option<usize>,
    caller_instructions: usize,
    kind: String,
    instruction: String,
    location: Option<String>,
    /// The caller at the time of the decision.
    decided_in: String,
    sites: Vec<SiteTree>,
}

/// The trees of functions.
pub(crate) struct JsonTrees<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    trees: InlineTrees<'a>,
    depth: usize,
    left: usize,
}

impl<'a> JsonTrees<'a> {
    /// Makes trees of at most `depth` levels.
    pub(crate) fn new(program: &'a Program, inlined: &'a Inlined, depth: usize) -> Self {
        Self {
            program,
            inlined,
            trees: InlineTrees::new(program, inlined),
            depth,
            left: 0,
        }
    }

    pub(crate) fn of(&mut self, id: FunctionId) -> Option<FunctionTree> {
        let function = self.program.get(id)?;
        let stats = self.inlined.stats(id);
        let calls = CallSites::of(self.program, self.inlined, id);
        let own: Vec<_> = self.trees.own(id).collect();
        // One more site than shown reveals whether there are more.
        self.left = MOST_SITES + 1;
        let sites = self.sites(&own, 1);
        Some(FunctionTree {
            function: function.name().to_string(),
            linkage: function.linkage().to_string(),
            dropped: stats.dropped,
            instructions_before: stats.insts_before,
            instructions_after: stats.insts_after,
            call_sites_before: calls.before,
            call_sites_after: calls.after,
            inlined: stats.inlined,
            sites,
            cut: self.left == 0,
        })
    }

    fn sites(&mut self, sites: &[Site<'a>], level: usize) -> Vec<SiteTree> {
        let mut trees = Vec::new();
        if level > self.depth {
            return trees;
        }
        for site in sites {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                break;
            }
            let record = site.record;
            let verdict = site.verdict();
            let caller = self.program.get(record.caller);
            let location = record.srcloc;
            let below = self.trees.below(site);
            trees.push(SiteTree {
                callee: record.callee.to_string(),
                decision: verdict.map_or("unreachable".into(), |verdict| verdict.to_string()),
                reason_kind: record.reason.slug(),
                reason: record.reason.to_string(),
                callee_instructions: record.callee_id.map(|_| record.callee_insts()),
                caller_instructions: record.caller_insts(),
                kind: record.kind.to_string(),
                instruction: record.inst.to_string(),
                location: (!location.is_default()).then(|| location.to_string()),
                decided_in: caller.map_or(String::new(), |caller| caller.name().to_string()),
                sites: self.sites(&below, level + 1),
            });
        }
        trees
    }
}
