//! The call graph of a program.
//!
//! A [`CallGraph`] is made once from a [`Program`]. It gives a bottom-up pass and its policies the
//! order in which to visit the functions, the recursive ones among them, the number of call sites
//! of each function, and whether other code may call it.
//!
//! ```
//! use cranelift_inliner::graph::{CallGraph, CallKind, Recursion};
//! use cranelift_inliner::program::Program;
//!
//! let program = Program::from_clif(
//!     "function %main() {
//!          fn0 = %even()
//!          fn1 = %print()
//!      block0:
//!          call fn0()
//!          call fn1()
//!          return
//!      }
//!      function %even() {
//!          fn0 = %odd()
//!      block0:
//!          return_call fn0()
//!      }
//!      function %odd() {
//!          fn0 = %even()
//!      block0:
//!          return_call fn0()
//!      }",
//!     "example",
//! )?;
//! let graph = CallGraph::new(&program);
//! let id = |name: &str| program.id(&name.parse().unwrap()).unwrap();
//!
//! let order: Vec<Vec<String>> = graph
//!     .bottom_up()
//!     .map(|component| component.iter().map(|&id| program[id].name().to_string()).collect())
//!     .collect();
//! assert_eq!(order, [vec!["%even", "%odd"], vec!["%main"]]);
//!
//! assert_eq!(graph.recursion(id("even")), Recursion::Mutual { size: 2 });
//! assert_eq!(graph.call_count(id("even")), 2);
//! assert_eq!(graph.externals().count(), 1);
//! let kinds: Vec<CallKind> = graph.callees(id("odd")).map(|site| site.edge.kind).collect();
//! assert_eq!(kinds, [CallKind::ReturnCall]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Nodes and edges
//!
//! Nodes have the numbers [`NodeId`], and call sites the numbers [`SiteId`]. There is one node per
//! function of the program, in input order, and then one node per undefined name that is called or
//! whose address is taken. There is one edge per *call site*, a `call`, `return_call` or `try_call`
//! instruction in the layout; two calls of one function are two edges.
//!
//! # Calls without an edge
//!
//! An indirect call has no edge; [`CallGraph::indirect_calls`] counts them. A function whose
//! address is taken, by `func_addr`, by a global value that is its symbol, or by a [table of the
//! program](Program::add_table), may be called from anywhere; [`CallGraph::address_taken`] counts
//! the places. An exported function may be called from outside the program.
//!
//! # Names of sites
//!
//! The number of an instruction means nothing in another build of the program. A [`SiteName`]
//! identifies a site across builds: by its caller, its callee, and its ordinal among the calls
//! between the two.
//!
//! # Order
//!
//! *Components* are the strongly connected components of the graph, found with Tarjan's algorithm,
//! without recursion: a chain of calls may be as long as the program. They are numbered bottom-up:
//! by height, and among equal heights by the least name. A component that calls no other has height
//! 0, and each other one is one higher than the highest that it calls. Within a component the
//! functions are ordered by name. So the order depends on the names and the calls, not on the order
//! of the input.
//!
//! A function whose address is taken comes before those that take it, as if they called it, because
//! an indirect call there may become direct. Where this rule and the calls make a cycle of
//! components, only the calls order the components of the cycle. A function that names a table
//! takes the addresses in it.
//!
//! # Cost
//!
//! Linear in the functions, their instructions and the sites, except that the names are sorted
//! once. Functions are scanned in parallel.

mod build;
mod components;
mod dot;
mod edges;
mod ids;
mod late;
mod site_name;
mod strong;

#[cfg(feature = "shards")]
pub(crate) use build::RecordedFunction;
pub use components::{ComponentId, Recursion};
pub use dot::dot_quoted;
pub use ids::{NodeId, SiteId};
pub use late::DeclarationMismatch;
pub use site_name::{PathStep, SiteName};
#[cfg(feature = "shards")]
pub(crate) use strong::Strong;

use crate::program::{FunctionId, FunctionName, Program};
use components::Components;
use cranelift_codegen::ir::{self, ExternalName};
use cranelift_entity::{EntityRef, EntitySet, PrimaryMap};
use edges::Edges;
use late::{LateSites, Settled};
use std::fmt;
use std::sync::Arc;

/// The function or name behind a node of the graph.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CallNode {
    /// A function that the program defines.
    Function(FunctionId),
    /// A name that no function of the program defines.
    External(FunctionName),
    /// A routine or symbol that Cranelift itself names: a library call or a known symbol.
    Runtime(ExternalName),
}

/// The kind of a call instruction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CallKind {
    /// `call`: returns to the instruction after it.
    Call,
    /// `return_call`: the callee returns in the caller's stead.
    ReturnCall,
    /// `try_call`: returns to a block, or to a handler if the callee throws.
    TryCall,
}

/// Writes the mnemonic.
impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallKind::Call => "call",
            CallKind::ReturnCall => "return_call",
            CallKind::TryCall => "try_call",
        })
    }
}

/// A call site: its place in the caller, and its kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct CallEdge {
    /// The call instruction.
    pub inst: ir::Inst,
    /// The block that holds it.
    pub block: ir::Block,
    /// The kind of the instruction.
    pub kind: CallKind,
    /// The number of earlier sites in the caller's layout that call the same function.
    pub ordinal: u32,
}

/// A call site together with both its ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SiteRef<'a> {
    /// Its number.
    pub id: SiteId,
    /// The function that calls.
    pub caller: FunctionId,
    /// The node of the callee.
    pub callee_node: NodeId,
    /// The callee.
    pub callee: &'a CallNode,
    /// The place and the kind of the call.
    pub edge: CallEdge,
}

impl SiteRef<'_> {
    /// Returns the function that is called, if the program defines it.
    pub fn callee_function(&self) -> Option<FunctionId> {
        match self.callee {
            CallNode::Function(id) => Some(*id),
            CallNode::External(_) | CallNode::Runtime(_) => None,
        }
    }
}

/// The call graph of a [`Program`]. See the [module](self) for an example.
///
/// It keeps the program as it was when the graph was made. A function that the program did not have
/// counts as one without calls and callers.
#[derive(Clone, Debug)]
pub struct CallGraph {
    program: Program,
    /// The functions' nodes come first, with the indices of their ids.
    edges: Edges,
    indirect_calls: PrimaryMap<FunctionId, u32>,
    sizes: PrimaryMap<FunctionId, usize>,
    /// The functions whose address each one takes, each once.
    addressed: PrimaryMap<FunctionId, Box<[FunctionId]>>,
    takes_addresses: EntitySet<FunctionId>,
    switches_stacks: EntitySet<FunctionId>,
    /// By node.
    address_taken: Vec<u32>,
    components: Components,
    /// The sites of functions whose bodies come after the graph was made.
    late: Option<Arc<LateSites>>,
    /// The facts about sites, if the bodies came after the graph was made.
    settled: Option<Arc<Settled>>,
}

impl CallGraph {
    /// Returns the call graph of `program`.
    ///
    /// The functions need not be valid: a call of a function that its caller does not declare has
    /// no edge.
    pub fn new(program: &Program) -> Self {
        build::build(program)
    }

    /// Returns the graph of a program whose bodies are elsewhere, with `functions` in its order.
    #[cfg(feature = "shards")]
    pub(crate) fn of_recorded<S, A>(
        program: &Program,
        site_count: usize,
        functions: impl Iterator<Item = RecordedFunction<S, A>>,
    ) -> Self
    where
        S: Iterator<Item = (CallKind, CallNode)>,
        A: Iterator<Item = CallNode>,
    {
        build::build_recorded(program, site_count, functions)
    }

    /// Returns the program of the graph, as it was when the graph was made.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the node of a function; `None` if the program did not have it.
    pub fn node(&self, id: FunctionId) -> Option<NodeId> {
        self.edges.of.is_valid(id).then(|| NodeId::new(id.index()))
    }

    /// Returns all nodes: the functions of the program in input order, and then the
    /// [`externals`](Self::externals).
    pub fn nodes(
        &self,
    ) -> impl DoubleEndedIterator<Item = (NodeId, &CallNode)> + ExactSizeIterator {
        let nodes = self.edges.nodes.iter().enumerate();
        nodes.map(|(index, node)| (NodeId::new(index), node))
    }

    /// Returns the number of nodes.
    pub fn node_count(&self) -> usize {
        self.edges.nodes.len()
    }

    /// Returns all call sites, in the order of their numbers.
    pub fn sites(&self) -> impl DoubleEndedIterator<Item = SiteRef<'_>> {
        let edges = 0..self.edges.count();
        edges.filter_map(|edge| self.site(SiteId::new(edge)))
    }

    /// Returns the number of functions.
    pub fn function_count(&self) -> usize {
        self.edges.of.len()
    }

    /// Returns the number of call sites of all functions together, with those of external names.
    pub fn site_count(&self) -> usize {
        self.edges.count()
    }

    /// Returns the call site of a number; `None` if the graph has none.
    pub fn site(&self, id: SiteId) -> Option<SiteRef<'_>> {
        let caller = self.edges.caller(id)?;
        let late = self.late.as_ref().and_then(|late| {
            let first = self.edges.of.get(caller)?.range().start;
            late.site(caller, id.index().checked_sub(first)?)
        });
        let (edge, callee_node) = match late {
            Some(late) => late,
            None => (self.edges.edge(id)?, self.edges.callee(id)?),
        };
        Some(SiteRef {
            id,
            caller,
            callee_node,
            callee: self.edges.node(callee_node)?,
            edge,
        })
    }

    /// Returns the call sites of a function, in the order of its layout.
    pub fn callees(&self, id: FunctionId) -> impl DoubleEndedIterator<Item = SiteRef<'_>> {
        let edges = self.edges.of.get(id).copied().unwrap_or_default().range();
        edges.filter_map(|edge| self.site(SiteId::new(edge)))
    }

    /// Returns the call sites that call a function, by caller in input order and then in the order
    /// of the caller's layout.
    pub fn callers(&self, id: FunctionId) -> impl DoubleEndedIterator<Item = SiteRef<'_>> {
        let edges = self.edges.incoming(id).iter();
        edges.filter_map(|&edge| self.site(edge))
    }

    /// Returns the number of call sites in the program that call a function, with its own calls of
    /// itself.
    pub fn call_count(&self, id: FunctionId) -> usize {
        self.edges.incoming_count(id)
    }

    /// Returns the number of indirect calls that a function makes: `call_indirect`,
    /// `return_call_indirect` and `try_call_indirect` instructions.
    pub fn indirect_calls(&self, id: FunctionId) -> usize {
        self.indirect_calls
            .get(id)
            .map_or(0, |&count| count as usize)
    }

    /// Returns the size of a function; see [`Limits`](crate::decide::Limits#sizes).
    pub(crate) fn size(&self, id: FunctionId) -> usize {
        self.sizes.get(id).copied().unwrap_or(0)
    }

    /// Returns the number of call sites in a function.
    pub(crate) fn direct_calls(&self, id: FunctionId) -> usize {
        self.edges.callees_of(id).len()
    }

    /// Returns the number of calls of every kind in a function's layout.
    pub(crate) fn calls(&self, id: FunctionId) -> usize {
        let direct = self.direct_calls(id);
        direct.saturating_add(self.indirect_calls(id))
    }

    /// Returns the number of earlier sites in the caller's layout that call the same function.
    #[cfg(feature = "shards")]
    pub(crate) fn ordinal(&self, id: SiteId) -> Option<u32> {
        self.edges.ordinal(id)
    }

    /// Returns the functions that a function calls or takes the address of. A function with several
    /// calls comes several times.
    pub(crate) fn references(&self, id: FunctionId) -> impl Iterator<Item = FunctionId> {
        let called = self.callees(id);
        let called = called.filter_map(|site| site.callee_function());
        let addressed = self.addressed.get(id).into_iter().flatten();
        called.chain(addressed.copied())
    }

    /// Returns the functions whose address a function takes, directly or through a table that it
    /// names; each once.
    pub(crate) fn addressed(&self, id: FunctionId) -> &[FunctionId] {
        self.addressed.get(id).map_or(&[], |addressed| addressed)
    }

    /// Returns whether a function takes the address of any function, defined or not, directly or
    /// through a table.
    pub(crate) fn takes_addresses(&self, id: FunctionId) -> bool {
        let late = self.late.as_ref().and_then(|late| late.takes_addresses(id));
        late.unwrap_or_else(|| self.takes_addresses.contains(id))
    }

    /// Returns whether the function goes on on other stacks, where anything may be called.
    pub(crate) fn switches_stacks(&self, id: FunctionId) -> bool {
        self.switches_stacks.contains(id)
    }

    /// Returns the cycle of calls and addresses that a component is in, perhaps alone: a number
    /// below [`component_count`](Self::component_count).
    pub(crate) fn cycle(&self, component: ComponentId) -> Option<u32> {
        self.components.cycle(component)
    }

    /// Returns the number of places in the program that take the address of a function: `func_addr`
    /// instructions, global values that are its symbol, used or not, and entries of tables.
    pub fn address_taken(&self, id: FunctionId) -> usize {
        self.node(id)
            .map_or(0, |node| self.node_address_taken(node))
    }

    /// Returns whether the address of a function is taken anywhere in the program.
    pub fn is_address_taken(&self, id: FunctionId) -> bool {
        self.address_taken(id) > 0
    }

    /// Like [`address_taken`](Self::address_taken), but for any node.
    pub(crate) fn node_address_taken(&self, node: NodeId) -> usize {
        let taken = self.address_taken.get(node.index());
        taken.map_or(0, |&count| count as usize)
    }

    /// Returns the nodes that are not functions of the program, in the order in which the program
    /// first calls them or takes their address.
    pub fn externals(&self) -> impl DoubleEndedIterator<Item = (NodeId, &CallNode)> {
        self.nodes().skip(self.edges.of.len())
    }

    /// Returns all functions by component, callees before their callers, and functions before those
    /// that take their address where no cycle forbids it. Functions of one component call each
    /// other, directly or over others, and stand in the order of their names.
    pub fn bottom_up(&self) -> impl DoubleEndedIterator<Item = &[FunctionId]> + ExactSizeIterator {
        self.components.iter()
    }

    /// Returns all functions by component, callees before their callers, like
    /// [`bottom_up`](Self::bottom_up). But neighbors in the program, which share their callees, are
    /// close to each other where the calls allow it, so that the facts about them are still in the
    /// processor's caches.
    #[cfg(feature = "shards")]
    pub(crate) fn callees_first(&self) -> Strong<FunctionId> {
        let mut strong = self.edges.strong_components();
        for number in 0..strong.len() {
            let members = strong.members_mut(number);
            if let [first, _, ..] = members
                && let Some(component) = self.component(*first)
            {
                members.copy_from_slice(self.members(component));
            }
        }
        strong
    }

    /// Returns the number of components.
    pub(crate) fn component_count(&self) -> usize {
        self.components.len()
    }

    /// Returns the component of a function; `None` if the program did not have the function.
    ///
    /// Components are numbered in the order of [`bottom_up`](Self::bottom_up).
    pub fn component(&self, id: FunctionId) -> Option<ComponentId> {
        self.components.of(id)
    }

    /// Returns the functions of a component in the order of their names; empty if there is no such
    /// component.
    pub fn members(&self, component: ComponentId) -> &[FunctionId] {
        self.components.members(component)
    }

    /// Returns whether and how direct calls lead from a function back to it.
    ///
    /// Calls of all three kinds count. Indirect calls do not, because their targets are unknown.
    pub fn recursion(&self, id: FunctionId) -> Recursion {
        self.components.recursion(id)
    }
}

#[cfg(test)]
mod tests;
