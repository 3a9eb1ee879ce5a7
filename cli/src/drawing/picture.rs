//! The contents of a picture, independent of its form.

use crate::verdict::Verdict;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::Inst;
use cranelift_inliner::graph::{CallNode, SiteRef};
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, FunctionName, Linkage, Program};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// A call graph and its decisions.
pub(crate) struct Picture<'a> {
    pub(crate) program: &'a Program,
    pub(crate) inlined: &'a Inlined,
    /// The decision on each original call of a function.
    records: FxHashMap<(FunctionId, Inst), &'a SiteRecord>,
    /// Whether each node of the graph is shown; empty if all are.
    part: Vec<bool>,
}

/// A function, or a name without a definition.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Its size before and after, as text; empty if unknown.
    pub(crate) size: String,
    /// `None` if the program does not define it.
    pub(crate) linkage: Option<Linkage>,
    pub(crate) dropped: bool,
}

/// All call sites between two functions with the same verdict.
pub(crate) struct Arrow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) verdict: Verdict,
    pub(crate) sites: usize,
    /// The reasons, each once, in the order of the sites.
    pub(crate) reasons: Vec<String>,
}

/// More reasons than this are not useful.
const MOST_REASONS: usize = 8;

impl<'a> Picture<'a> {
    pub(crate) fn new(program: &'a Program, inlined: &'a Inlined) -> Self {
        let own = inlined.sites().filter(|site| site.via().is_empty());
        Self {
            program,
            inlined,
            records: own.map(|site| ((site.caller, site.inst), site)).collect(),
            part: Vec::new(),
        }
    }

    /// Keeps only some functions, with their callers and callees over at most `depth` calls.
    pub(crate) fn around(mut self, functions: &[FunctionId], depth: usize) -> Self {
        let graph = self.inlined.graph();
        let mut part = vec![false; graph.node_count()];
        for upwards in [true, false] {
            let mut seen = vec![false; graph.node_count()];
            let mut front = functions.to_vec();
            for level in 0..=depth {
                front.retain(|id| !std::mem::replace(&mut seen[id.index()], true));
                for id in &front {
                    part[id.index()] = true;
                }
                if level == depth {
                    break;
                }
                let next = front.iter();
                front = if upwards {
                    let callers = next.flat_map(|&id| graph.callers(id));
                    callers.map(|site| site.caller).collect()
                } else {
                    let sites: Vec<_> = next.flat_map(|&id| graph.callees(id)).collect();
                    for site in &sites {
                        part[site.callee_node.index()] = true;
                    }
                    sites.iter().filter_map(SiteRef::callee_function).collect()
                };
            }
        }
        self.part = part;
        self
    }

    /// Removes other functions, and undefined names that only these call.
    pub(crate) fn of_functions(mut self, functions: &[FunctionId]) -> Self {
        let graph = self.inlined.graph();
        if functions.len() == graph.function_count() {
            return self;
        }
        let mut part = vec![false; graph.node_count()];
        for &id in functions {
            part[id.index()] = true;
            let outside = graph.callees(id);
            let outside = outside.filter(|site| site.callee_function().is_none());
            outside.for_each(|site| part[site.callee_node.index()] = true);
        }
        self.part = part;
        self
    }

    /// Returns whether a node of the graph is in the picture.
    pub(crate) fn shows(&self, node: usize) -> bool {
        self.part.is_empty() || self.part.get(node).copied().unwrap_or(false)
    }

    /// Returns the verdict on a call site of the graph, and the reason.
    pub(crate) fn verdict(&self, site: SiteRef<'_>) -> (Verdict, String) {
        match self.records.get(&(site.caller, site.edge.inst)) {
            Some(record) => (Verdict::of(record), record.reason.to_string()),
            None => (Verdict::External, "Cranelift's own routine".to_owned()),
        }
    }

    /// Returns the shown nodes, in the order of the graph, with names by `name`.
    pub(crate) fn nodes(&self, name: impl Fn(&FunctionName) -> String) -> Vec<Node> {
        let nodes = self.inlined.graph().nodes();
        let shown = nodes.filter(|(node, _)| self.shows(node.index()));
        shown.map(|(_, node)| self.node(node, &name)).collect()
    }

    /// Returns the place of each node of the graph among [`nodes`](Self::nodes).
    fn places(&self) -> Vec<Option<usize>> {
        let nodes = 0..self.inlined.graph().node_count();
        let mut next = 0;
        let place = |node| {
            self.shows(node).then(|| {
                next += 1;
                next - 1
            })
        };
        nodes.map(place).collect()
    }

    fn node(&self, node: &CallNode, name_of: impl Fn(&FunctionName) -> String) -> Node {
        let outside = |name: String| Node {
            name,
            size: String::new(),
            linkage: None,
            dropped: false,
        };
        let id = match node {
            CallNode::Function(id) => *id,
            CallNode::External(name) => return outside(name_of(name)),
            CallNode::Runtime(name) => return outside(name.display(None).to_string()),
        };
        let Some(function) = self.program.get(id) else {
            return outside(id.to_string());
        };
        let stats = self.inlined.stats(id);
        let after = if stats.dropped {
            "dropped".to_owned()
        } else {
            stats.insts_after.to_string()
        };
        Node {
            name: name_of(function.name()),
            size: format!("{} → {after}", stats.insts_before),
            linkage: Some(function.linkage()),
            dropped: stats.dropped,
        }
    }

    /// Returns the arrows between shown nodes, by caller in their order, then by callee. Their ends
    /// are places among [`nodes`](Self::nodes).
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let graph = self.inlined.graph();
        let places = self.places();
        let mut arrows: BTreeMap<(usize, usize, Verdict), Arrow> = BTreeMap::new();
        for site in graph.sites() {
            let (from, to) = (site.caller.index(), site.callee_node.index());
            let (Some(from), Some(to)) = (places[from], places[to]) else {
                continue;
            };
            let (verdict, reason) = self.verdict(site);
            let arrow = arrows.entry((from, to, verdict)).or_insert_with(|| Arrow {
                from,
                to,
                verdict,
                sites: 0,
                reasons: Vec::new(),
            });
            arrow.sites += 1;
            if arrow.reasons.len() < MOST_REASONS && !arrow.reasons.contains(&reason) {
                arrow.reasons.push(reason);
            }
        }
        arrows.into_values().collect()
    }
}
