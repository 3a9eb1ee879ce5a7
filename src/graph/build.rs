//! Builds the graph: functions are scanned in parallel, and the results are joined in order.

use super::components::Components;
use super::edges::Edges;
use super::{CallEdge, CallGraph, CallKind, CallNode, NodeId};
use crate::body::{Mention, code_size, for_each_mention};
use crate::program::{Declaration, FunctionId, FunctionName, Program};
use cranelift_codegen::ir::{self, ExternalName, GlobalValueData, Opcode};
use cranelift_entity::packed_option::ReservedValue;
use cranelift_entity::{EntityRef, EntitySet, PrimaryMap};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// Fewer functions are scanned before another thread could begin to help.
const WORTH_THREADS: usize = 64;

pub(super) fn build(program: &Program) -> CallGraph {
    let bodies: Vec<&ir::Function> = program
        .iter()
        .map(|(_, function)| &**function.body())
        .collect();
    let scans: Vec<Scan> = match bodies.len() < WORTH_THREADS {
        true => bodies.iter().map(|body| scan(program, body)).collect(),
        false => bodies.par_iter().map(|body| scan(program, body)).collect(),
    };

    let site_count = scans.iter().map(|scan| scan.sites.len()).sum();
    let mut join = Join::new(program, site_count);
    for (caller, scan) in program.ids().zip(scans) {
        join.add(caller, scan);
    }
    join.finish(program)
}

/// Builds the graph of functions that are only declared, in the order of their declarations. Their
/// sites have no instructions yet.
pub(super) fn build_declared(program: &Program, declarations: &[Declaration]) -> CallGraph {
    let sites = declarations.iter().map(Declaration::call_count).sum();
    let mut join = Join::new(program, sites);
    for (caller, declaration) in program.ids().zip(declarations) {
        join.add(caller, Scan::declared(program, declaration));
    }
    join.finish(program)
}

/// The graph's knowledge of a function whose body is elsewhere.
#[cfg(feature = "shards")]
pub(crate) struct RecordedFunction<S, A> {
    /// The callees of its direct calls, in the order of its layout.
    pub(crate) sites: S,
    /// The functions and symbols whose address it takes.
    pub(crate) addressed: A,
    pub(crate) indirect_calls: usize,
    pub(crate) switches_stacks: bool,
    pub(crate) size: usize,
}

/// Builds the graph of functions whose bodies are elsewhere, in their order. Their sites have no
/// instructions.
#[cfg(feature = "shards")]
pub(super) fn build_recorded<S, A>(
    program: &Program,
    site_count: usize,
    functions: impl Iterator<Item = RecordedFunction<S, A>>,
) -> CallGraph
where
    S: Iterator<Item = (CallKind, CallNode)>,
    A: Iterator<Item = CallNode>,
{
    let mut join = Join::new(program, site_count);
    for (caller, function) in program.ids().zip(functions) {
        let first_edge = join.begin(caller, function.switches_stacks);
        for (kind, callee) in function.sites {
            let callee = join.node(&callee);
            let (inst, block) = (ir::Inst::reserved_value(), ir::Block::reserved_value());
            join.site(caller, first_edge, callee, edge(inst, block, kind));
        }
        let mut addressed = Vec::new();
        for symbol in function.addressed {
            let node = join.node(&symbol);
            join.take_address(node, &mut addressed);
            join.takes_addresses.insert(caller);
        }
        join.end(
            first_edge,
            addressed,
            function.size,
            function.indirect_calls,
        );
    }
    join.finish(program)
}

/// The callees of one function, and the functions whose address it takes.
pub(super) struct Scan {
    /// The node of each function reference.
    pub(super) targets: PrimaryMap<ir::FuncRef, Option<CallNode>>,
    /// In the order of the layout.
    pub(super) sites: Vec<(CallEdge, ir::FuncRef)>,
    pub(super) addressed: Vec<ir::FuncRef>,
    pub(super) addressed_symbols: Vec<CallNode>,
    /// The functions in the tables that it names.
    pub(super) in_tables: Vec<FunctionId>,
    pub(super) indirect_calls: usize,
    pub(super) switches_stacks: bool,
    pub(super) size: usize,
}

pub(super) fn scan(program: &Program, func: &ir::Function) -> Scan {
    let declared = func.dfg.ext_funcs.values();
    let mut scan = Scan {
        targets: declared
            .map(|declared| target(program, func, &declared.name))
            .collect(),
        sites: Vec::new(),
        addressed: Vec::new(),
        addressed_symbols: Vec::new(),
        in_tables: Vec::new(),
        indirect_calls: 0,
        switches_stacks: false,
        size: code_size(func),
    };
    for data in func.global_values.values() {
        if let GlobalValueData::Symbol { name, .. } = data {
            scan.addressed_symbols.extend(target(program, func, name));
            if program.has_tables()
                && let Some(name) = FunctionName::of_external(func, name)
            {
                let functions = program
                    .table(&name)
                    .map(|(_, function)| program.id(function));
                scan.in_tables.extend(functions.flatten());
            }
        }
    }
    for_each_mention(func, |block, inst, mention| match mention {
        Mention::Call(func_ref) => {
            let kind = match func.dfg.insts[inst].opcode() {
                Opcode::TryCall => CallKind::TryCall,
                Opcode::ReturnCall => CallKind::ReturnCall,
                _ => CallKind::Call,
            };
            scan.site(inst, block, kind, func_ref);
        }
        Mention::IndirectCall => scan.indirect_calls += 1,
        Mention::Address(func_ref) => scan.addressed.push(func_ref),
        Mention::StackSwitch => scan.switches_stacks = true,
    });
    scan
}

/// Returns the node for `name` in `func`; `None` if `func` does not declare it.
fn target(program: &Program, func: &ir::Function, name: &ExternalName) -> Option<CallNode> {
    if matches!(
        name,
        ExternalName::LibCall(_) | ExternalName::KnownSymbol(_)
    ) {
        return Some(CallNode::Runtime(name.clone()));
    }
    let name = FunctionName::of_external(func, name)?;
    Some(match program.id(&name) {
        Some(id) => CallNode::Function(id),
        None => CallNode::External(name),
    })
}

impl Scan {
    fn declared(program: &Program, declaration: &Declaration) -> Self {
        let node = |name: &FunctionName| match program.id(name) {
            Some(id) => CallNode::Function(id),
            None => CallNode::External(name.clone()),
        };
        let mut scan = Scan {
            targets: PrimaryMap::with_capacity(declaration.calls.len()),
            sites: Vec::with_capacity(declaration.call_count()),
            addressed: Vec::new(),
            addressed_symbols: declaration.addresses.iter().map(node).collect(),
            in_tables: Vec::new(),
            indirect_calls: declaration.indirect_calls,
            switches_stacks: declaration.switches_stacks,
            size: declaration.insts,
        };
        for (callee, count) in &declaration.calls {
            let func_ref = scan.targets.push(Some(node(callee)));
            for _ in 0..*count {
                let (inst, block) = (ir::Inst::reserved_value(), ir::Block::reserved_value());
                scan.site(inst, block, CallKind::Call, func_ref);
            }
        }
        scan
    }

    pub(super) fn takes_addresses(&self) -> bool {
        !self.addressed.is_empty() || !self.in_tables.is_empty()
    }

    fn site(&mut self, inst: ir::Inst, block: ir::Block, kind: CallKind, func_ref: ir::FuncRef) {
        self.sites.push((edge(inst, block, kind), func_ref));
    }
}

fn edge(inst: ir::Inst, block: ir::Block, kind: CallKind) -> CallEdge {
    CallEdge {
        inst,
        block,
        kind,
        // Counted after references to the same callee are joined.
        ordinal: 0,
    }
}

/// The sites of a function that are compared with each other rather than counted in a table.
const FEW_SITES: usize = 16;

/// The graph under construction.
struct Join {
    edges: Edges,
    /// The nodes that are not functions.
    others: FxHashMap<CallNode, NodeId>,
    /// The number of sites that the current caller has for each callee so far; empty as long as it
    /// has few.
    sites_of: FxHashMap<NodeId, u32>,
    indirect_calls: PrimaryMap<FunctionId, u32>,
    sizes: PrimaryMap<FunctionId, usize>,
    addressed: PrimaryMap<FunctionId, Box<[FunctionId]>>,
    takes_addresses: EntitySet<FunctionId>,
    switches_stacks: EntitySet<FunctionId>,
    address_taken: Vec<u32>,
}

impl Join {
    fn new(program: &Program, site_count: usize) -> Self {
        Self {
            edges: Edges::new(program.len(), site_count),
            others: FxHashMap::default(),
            sites_of: FxHashMap::default(),
            indirect_calls: PrimaryMap::with_capacity(program.len()),
            sizes: PrimaryMap::with_capacity(program.len()),
            addressed: PrimaryMap::with_capacity(program.len()),
            takes_addresses: EntitySet::new(),
            switches_stacks: EntitySet::new(),
            address_taken: vec![0; program.len()],
        }
    }

    /// Adds the result for `caller`, the next function in input order.
    fn add(&mut self, caller: FunctionId, scan: Scan) {
        if scan.takes_addresses() {
            self.takes_addresses.insert(caller);
        }
        let first_edge = self.begin(caller, scan.switches_stacks);
        let mut nodes: PrimaryMap<ir::FuncRef, Option<NodeId>> =
            scan.targets.values().map(|_| None).collect();
        for (edge, func_ref) in scan.sites {
            if let Some(callee) = self.node_of(func_ref, &scan.targets, &mut nodes) {
                self.site(caller, first_edge, callee, edge);
            }
        }
        let mut addressed = Vec::new();
        for func_ref in scan.addressed {
            if let Some(node) = self.node_of(func_ref, &scan.targets, &mut nodes) {
                self.take_address(node, &mut addressed);
            }
        }
        for symbol in &scan.addressed_symbols {
            let node = self.node(symbol);
            self.take_address(node, &mut addressed);
        }
        addressed.extend(scan.in_tables);
        self.end(first_edge, addressed, scan.size, scan.indirect_calls);
    }

    /// Begins with `caller`, the next function in input order; returns its first edge.
    fn begin(&mut self, caller: FunctionId, switches_stacks: bool) -> usize {
        if switches_stacks {
            self.switches_stacks.insert(caller);
        }
        self.sites_of.clear();
        self.edges.count()
    }

    /// Adds the next call of `caller`, whose edges begin with `first_edge`.
    fn site(&mut self, caller: FunctionId, first_edge: usize, callee: NodeId, mut edge: CallEdge) {
        let before = self.edges.callees.get(first_edge..).unwrap_or_default();
        edge.ordinal = match before.len() < FEW_SITES {
            true => before.iter().map(|&other| u32::from(other == callee)).sum(),
            false => {
                if self.sites_of.is_empty() {
                    for &callee in before {
                        *self.sites_of.entry(callee).or_default() += 1;
                    }
                }
                let count = self.sites_of.entry(callee).or_default();
                let ordinal = *count;
                *count = count.saturating_add(1);
                ordinal
            }
        };
        self.edges.push(caller, callee, edge);
    }

    fn end(
        &mut self,
        first_edge: usize,
        mut addressed: Vec<FunctionId>,
        size: usize,
        indirect_calls: usize,
    ) {
        addressed.sort_unstable();
        addressed.dedup();
        self.addressed.push(addressed.into_boxed_slice());
        self.sizes.push(size);
        let edges = first_edge..self.edges.count();
        self.edges.of.push(edges.into());
        let indirect_calls = u32::try_from(indirect_calls).unwrap_or(u32::MAX);
        self.indirect_calls.push(indirect_calls);
    }

    /// Returns the node that `func_ref` stands for, looked up once for all its uses in a function.
    fn node_of(
        &mut self,
        func_ref: ir::FuncRef,
        targets: &PrimaryMap<ir::FuncRef, Option<CallNode>>,
        nodes: &mut PrimaryMap<ir::FuncRef, Option<NodeId>>,
    ) -> Option<NodeId> {
        let target = targets.get(func_ref)?.as_ref()?;
        let known = nodes.get_mut(func_ref)?;
        Some(*known.get_or_insert_with(|| self.node(target)))
    }

    fn node(&mut self, target: &CallNode) -> NodeId {
        if let CallNode::Function(id) = target {
            return NodeId::new(id.index());
        }
        if let Some(&node) = self.others.get(target) {
            return node;
        }
        let node = NodeId::new(self.edges.nodes.len());
        self.edges.nodes.push(target.clone());
        self.others.insert(target.clone(), node);
        self.address_taken.push(0);
        node
    }

    /// Notes that the address of `node` is taken, and in `functions` if it is one.
    fn take_address(&mut self, node: NodeId, functions: &mut Vec<FunctionId>) {
        if let Some(CallNode::Function(id)) = self.edges.node(node) {
            functions.push(*id);
        }
        if let Some(count) = self.address_taken.get_mut(node.index()) {
            *count += 1;
        }
    }

    fn finish(mut self, program: &Program) -> CallGraph {
        for id in program.table_functions() {
            if let Some(count) = self.address_taken.get_mut(id.index()) {
                *count += 1;
            }
        }
        self.edges.find_incoming();
        let components = Components::new(program, &self.edges, &self.addressed);
        CallGraph {
            program: program.clone(),
            edges: self.edges,
            indirect_calls: self.indirect_calls,
            sizes: self.sizes,
            addressed: self.addressed,
            takes_addresses: self.takes_addresses,
            switches_stacks: self.switches_stacks,
            address_taken: self.address_taken,
            components,
            late: None,
            settled: None,
        }
    }
}
