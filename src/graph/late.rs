//! The sites of functions whose bodies come after the graph was made.
//!
//! Such a graph is made from [declarations](Declaration). It has as many sites as these say, with
//! the numbers that they will have, since the sites of a function have consecutive numbers. The
//! instructions behind them become known with the body.

use super::build::{Scan, build_declared, scan};
use super::edges::Edges;
use super::{CallEdge, CallGraph, CallNode, NodeId, SiteId, SiteRef};
use crate::body::catches_all;
use crate::program::{Declaration, FunctionId, FunctionName, Program};
use cranelift_codegen::ir::{Function, Inst, SourceLoc};
use cranelift_entity::{EntityRef, EntitySet, PrimaryMap, SecondaryMap};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::{Arc, OnceLock};
use thiserror::Error;

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A difference between a body and its declaration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeclarationMismatch {
    /// The signature is another one.
    #[error("its signature is another one")]
    Signature,
    /// The direct calls are others.
    #[error("it has {} of {callee}, and {declared} were declared", counted(*.found, "call"))]
    Calls {
        /// The first callee with another number of calls.
        callee: FunctionName,
        /// The number of calls in the body.
        found: usize,
        /// The declared number.
        declared: usize,
    },
    /// A call that was declared to be caught can throw out of the function.
    #[error("a call of {callee} has no handler for every exception, against its declaration")]
    NotCaught {
        /// The callee.
        callee: FunctionName,
    },
    /// The number of indirect calls is another one.
    #[error("it has {}, and {declared} were declared", counted(*.found, "indirect call"))]
    IndirectCalls {
        /// The number in the body.
        found: usize,
        /// The declared number.
        declared: usize,
    },
    /// It takes the addresses of other functions.
    #[error("it takes the addresses of other functions than declared")]
    Addresses,
    /// A hint is not for a direct call.
    #[error("the hint for {inst} is not for a direct call")]
    Hint {
        /// The instruction.
        inst: Inst,
    },
    /// Only one of the two switches stacks.
    #[error("it switches stacks against its declaration, or does not")]
    StackSwitches,
    /// It has a feature that the front end ruled out for all functions.
    #[error("it has {0}, which no function was to have")]
    Excluded(&'static str),
}

#[derive(Debug)]
pub(super) struct LateSites {
    bodies: PrimaryMap<FunctionId, OnceLock<LateBody>>,
    /// The nodes that are not functions.
    others: FxHashMap<CallNode, NodeId>,
    /// The callees of each function whose exceptions do not leave it, in order.
    caught: PrimaryMap<FunctionId, Box<[NodeId]>>,
}

/// The part of a body that the graph needs.
#[derive(Debug)]
struct LateBody {
    sites: Box<[(CallEdge, NodeId)]>,
    /// Those of the sites; empty if there are none.
    locations: Box<[SourceLoc]>,
    /// The sites with handlers for every exception, counted from the first.
    caught: Box<[usize]>,
    takes_addresses: bool,
    size: usize,
}

/// The facts about sites that a graph has of bodies which the program may not have any more.
#[derive(Debug, Default)]
pub(super) struct Settled {
    locations: SecondaryMap<SiteId, SourceLoc>,
    caught: EntitySet<SiteId>,
}

impl LateSites {
    /// Returns the site `index` of the function `caller`, counted from its first one.
    pub(super) fn site(&self, caller: FunctionId, index: usize) -> Option<(CallEdge, NodeId)> {
        self.body(caller)?.sites.get(index).copied()
    }

    /// Returns whether the body of a function takes addresses; `None` before that is there.
    pub(super) fn takes_addresses(&self, id: FunctionId) -> Option<bool> {
        Some(self.body(id)?.takes_addresses)
    }

    fn is_caught(&self, caller: FunctionId, callee: NodeId) -> bool {
        let caught = self.caught.get(caller);
        caught.is_some_and(|caught| caught.binary_search(&callee).is_ok())
    }

    fn body(&self, id: FunctionId) -> Option<&LateBody> {
        self.bodies.get(id)?.get()
    }

    /// Returns the body that a site of `graph` is in, and its number there.
    fn body_of(&self, graph: &CallGraph, site: &SiteRef<'_>) -> Option<(&LateBody, usize)> {
        let first = graph.edges.of.get(site.caller)?.range().start;
        let index = site.id.index().checked_sub(first)?;
        Some((self.body(site.caller)?, index))
    }
}

impl CallGraph {
    /// Returns the graph of a program of declared functions, whose bodies [come
    /// later](Self::arrive). `declarations` are those of the functions, in their order.
    pub(crate) fn of_declared(program: &Program, declarations: &[Declaration]) -> Self {
        let mut graph = build_declared(program, declarations);
        let others = graph.externals();
        let others = others.map(|(id, node)| (node.clone(), id)).collect();
        let caught = |declaration: &Declaration| {
            let nodes = declaration.caught_calls.iter();
            let nodes = nodes.filter_map(|name| match program.id(name) {
                Some(id) => Some(NodeId::new(id.index())),
                None => node_of(&others, name),
            });
            let mut nodes: Vec<NodeId> = nodes.collect();
            nodes.sort_unstable();
            nodes.into_boxed_slice()
        };
        let late = LateSites {
            caught: declarations.iter().map(caught).collect(),
            others,
            bodies: program.ids().map(|_| OnceLock::new()).collect(),
        };
        graph.late = Some(Arc::new(late));
        graph
    }

    /// Returns whether the bodies come later.
    pub(crate) fn awaits_bodies(&self) -> bool {
        self.late.is_some()
    }

    /// Takes the sites of the body of a declared function, and returns its size; see
    /// [`Limits`](crate::decide::Limits#sizes).
    pub(crate) fn arrive(
        &self,
        id: FunctionId,
        body: &Function,
    ) -> Result<usize, DeclarationMismatch> {
        let Some(late) = &self.late else {
            debug_assert!(false, "the graph was made of declarations");
            return Err(DeclarationMismatch::Excluded("a body"));
        };
        let scan = scan(&self.program, body);
        self.check_addresses(id, &scan)?;
        if scan.indirect_calls != self.indirect_calls(id) {
            return Err(DeclarationMismatch::IndirectCalls {
                found: scan.indirect_calls,
                declared: self.indirect_calls(id),
            });
        }
        if scan.switches_stacks != self.switches_stacks(id) {
            return Err(DeclarationMismatch::StackSwitches);
        }
        let sites = self.sites_of(id, &scan, late)?;
        self.check_caught(id, body, &sites, late)?;
        let takes_addresses = scan.takes_addresses();
        if let Some(place) = late.bodies.get(id) {
            let locations = sites.iter().map(|(edge, _)| body.srcloc(edge.inst));
            let mut locations: Vec<SourceLoc> = locations.collect();
            if locations.iter().all(|location| location.is_default()) {
                locations.clear();
            }
            let caught = sites.iter().enumerate();
            let caught = caught.filter(|(_, (edge, _))| catches_all(body, edge.inst));
            let caught: Vec<usize> = caught.map(|(index, _)| index).collect();
            let body = LateBody {
                sites: sites.into(),
                locations: locations.into(),
                caught: caught.into(),
                takes_addresses,
                size: scan.size,
            };
            let is_first = place.set(body).is_ok();
            debug_assert!(is_first, "a second body is refused before");
        }
        Ok(scan.size)
    }

    /// Returns the location of a site in a body that came later; `None` if there is none.
    pub(super) fn late_location(&self, site: &SiteRef<'_>) -> Option<SourceLoc> {
        let location = match &self.late {
            Some(late) => {
                let (body, index) = late.body_of(self, site)?;
                body.locations.get(index).copied()
            }
            None => self.settled.as_ref()?.locations.get(site.id).copied(),
        };
        location.filter(|location| !location.is_default())
    }

    /// Makes the graph one of bodies, after all of them have come: each site has its instruction,
    /// and leads to the callee of that. `program` has the bodies, or only those that were kept.
    pub(crate) fn settle(&mut self, program: Program) {
        self.program = program;
        let Some(late) = self.late.clone() else {
            return;
        };
        let mut settled = Settled::default();
        for site in self.sites() {
            if let Some(location) = self.late_location(&site) {
                settled.locations[site.id] = location;
            }
            let place = late.body_of(self, &site);
            if place.is_some_and(|(body, index)| body.caught.binary_search(&index).is_ok()) {
                settled.caught.insert(site.id);
            }
        }
        let mut edges = Edges::new(0, self.site_count());
        edges.nodes.clone_from(&self.edges.nodes);
        edges.of.clone_from(&self.edges.of);
        for site in self.sites() {
            edges.push(site.caller, site.callee_node, site.edge);
        }
        edges.find_incoming();
        let mut takes_addresses = EntitySet::new();
        takes_addresses.extend(self.program.ids().filter(|&id| self.takes_addresses(id)));
        self.takes_addresses = takes_addresses;
        for (id, size) in self.sizes.iter_mut() {
            *size = late.body(id).map_or(*size, |body| body.size);
        }
        self.edges = edges;
        self.settled = Some(Arc::new(settled));
        self.late = None;
    }

    fn check_addresses(&self, id: FunctionId, scan: &Scan) -> Result<(), DeclarationMismatch> {
        let by_instruction = scan.addressed.iter().filter_map(|&name| {
            let target = scan.targets.get(name)?;
            target.as_ref()
        });
        let functions = by_instruction.chain(&scan.addressed_symbols);
        let functions = functions.filter_map(|node| match node {
            CallNode::Function(id) => Some(*id),
            CallNode::External(_) | CallNode::Runtime(_) => None,
        });
        let mut functions: Vec<FunctionId> = functions.chain(scan.in_tables.clone()).collect();
        functions.sort_unstable();
        functions.dedup();
        match functions == self.addressed(id) {
            true => Ok(()),
            false => Err(DeclarationMismatch::Addresses),
        }
    }

    fn check_caught(
        &self,
        id: FunctionId,
        body: &Function,
        sites: &[(CallEdge, NodeId)],
        late: &LateSites,
    ) -> Result<(), DeclarationMismatch> {
        let is_caught = |node: NodeId| late.is_caught(id, node);
        let mut leaves = sites.iter();
        let leaves = leaves.find(|&&(edge, node)| is_caught(node) && !catches_all(body, edge.inst));
        match leaves.and_then(|&(_, node)| self.edges.node(node)) {
            Some(callee) => Err(DeclarationMismatch::NotCaught {
                callee: self.name_of(callee),
            }),
            None => Ok(()),
        }
    }

    /// Returns whether the call at `site` has handlers for every exception of the callee. `body` is
    /// that of the caller; where bodies come later, the graph has the answer itself.
    pub(crate) fn is_caught(&self, site: &SiteRef<'_>, body: &Function) -> bool {
        match &self.late {
            Some(late) => late.is_caught(site.caller, site.callee_node),
            None => match &self.settled {
                Some(settled) => settled.caught.contains(site.id),
                None => catches_all(body, site.edge.inst),
            },
        }
    }

    /// Returns whether no calls of a function beside those that were declared are caught. Its body
    /// must be there.
    pub(crate) fn catches_as_declared(&self, id: FunctionId, body: &Function) -> bool {
        // Most bodies have no handlers, and the declared ones were checked.
        if body.dfg.exception_tables.is_empty() {
            return true;
        }
        let leaves = self.callees(id);
        let leaves = leaves.filter(|site| !catches_all(body, site.edge.inst));
        let leaves: FxHashSet<NodeId> = leaves.map(|site| site.callee_node).collect();
        self.callees(id)
            .all(|site| leaves.contains(&site.callee_node) != self.is_caught(&site, body))
    }

    fn sites_of(
        &self,
        id: FunctionId,
        scan: &Scan,
        late: &LateSites,
    ) -> Result<Vec<(CallEdge, NodeId)>, DeclarationMismatch> {
        let mut declared: FxHashMap<&CallNode, usize> = FxHashMap::default();
        for site in self.callees(id) {
            *declared.entry(site.callee).or_default() += 1;
        }
        let mut found: FxHashMap<&CallNode, u32> = FxHashMap::default();
        let mut sites = Vec::with_capacity(scan.sites.len());
        let target = |func_ref| scan.targets.get(func_ref).and_then(Option::as_ref);
        for &(mut edge, func_ref) in &scan.sites {
            let Some(callee) = target(func_ref) else {
                continue;
            };
            let count = found.entry(callee).or_default();
            edge.ordinal = *count;
            *count = count.saturating_add(1);
            let node = match callee {
                CallNode::Function(id) => Some(NodeId::new(id.index())),
                other => late.others.get(other).copied(),
            };
            // A callee without a node was not declared, and its count differs.
            sites.extend(node.map(|node| (edge, node)));
        }
        let in_body = scan.sites.iter();
        let in_body = in_body.filter_map(|&(_, func_ref)| target(func_ref));
        for callee in in_body.chain(self.callees(id).map(|site| site.callee)) {
            let found = found.get(callee).map_or(0, |&count| count as usize);
            let declared = declared.get(callee).copied().unwrap_or(0);
            if found != declared {
                return Err(DeclarationMismatch::Calls {
                    callee: self.name_of(callee),
                    found,
                    declared,
                });
            }
        }
        Ok(sites)
    }

    fn name_of(&self, node: &CallNode) -> FunctionName {
        match node {
            CallNode::Function(id) => match self.program.get(*id) {
                Some(function) => function.name().clone(),
                None => {
                    debug_assert!(false, "{id} is a function of the program");
                    FunctionName::testcase("")
                }
            },
            CallNode::External(name) => name.clone(),
            CallNode::Runtime(name) => FunctionName::testcase(name.display(None).to_string()),
        }
    }

    /// Returns the declaration that says of a function all that its body does.
    ///
    /// Calls of Cranelift's own routines cannot be declared; `None` for a function that has any,
    /// and for one that the program does not have.
    ///
    /// ```
    /// use cranelift_inliner::{graph::CallGraph, program::Program};
    ///
    /// let text = "function %f() {\n fn0 = %g()\nblock0:\n call fn0()\n return\n}";
    /// let program = Program::from_clif(text, "f.clif")?;
    /// let graph = CallGraph::new(&program);
    /// let declaration = graph.declaration(program.id(&"f".parse()?).unwrap()).unwrap();
    /// assert_eq!(declaration.calls, [("g".parse()?, 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn declaration(&self, id: FunctionId) -> Option<Declaration> {
        let function = self.program.get(id)?;
        let mut calls: Vec<(FunctionName, usize)> = Vec::new();
        let mut places: FxHashMap<NodeId, usize> = FxHashMap::default();
        let mut leaves: FxHashSet<usize> = FxHashSet::default();
        for site in self.callees(id) {
            let name = match site.callee {
                CallNode::Function(_) | CallNode::External(_) => self.name_of(site.callee),
                CallNode::Runtime(_) => return None,
            };
            let place = *places.entry(site.callee_node).or_insert_with(|| {
                calls.push((name, 0));
                calls.len() - 1
            });
            calls[place].1 += 1;
            if !self.is_caught(&site, function.body()) {
                leaves.insert(place);
            }
        }
        let caught = calls.iter().enumerate();
        let caught = caught.filter(|(place, _)| !leaves.contains(place));
        let caught = caught.map(|(_, (name, _))| name.clone()).collect();
        let addressed = self.addressed(id).iter();
        let addressed = addressed.filter_map(|&id| Some(self.program.get(id)?.name().clone()));
        let signature = function.body().signature.clone();
        Some(
            Declaration::new(function.name().clone(), signature, self.size(id))
                .with_linkage(function.linkage())
                .with_attributes(function.attributes())
                .with_calls(calls)
                .with_caught_calls(caught)
                .with_indirect_calls(self.indirect_calls(id))
                .with_addresses(addressed.collect())
                .with_switches_stacks(self.switches_stacks(id)),
        )
    }
}

fn node_of(others: &FxHashMap<CallNode, NodeId>, name: &FunctionName) -> Option<NodeId> {
    others.get(&CallNode::External(name.clone())).copied()
}
