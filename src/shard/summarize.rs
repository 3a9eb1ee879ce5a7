//! From the bodies of a shard to its summary.

use super::bodies::{ShardBodies, encoded};
use super::names::{NameRef, Names};
use super::summary::{
    FunctionSummary, Hint, Kind, Parameter, Passed, ShardLinkage, ShardSummary, SiteSummary,
    function_flags, number, site_flags,
};
use crate::body::{Mention, for_each_mention, frame_bytes};
use crate::decide::{
    ParameterUse, ResultWays, RoundAnalysis, Shape, Summary, passed_values, result_branches,
};
use crate::graph::{CallGraph, CallNode, NodeId, PathStep, SiteId, SiteRef};
use crate::panics;
use crate::profile::{Profile, SiteCounts};
use crate::program::{FunctionId, FunctionName, InlineAttribute, Program};
use crate::splice::{RuledOut, SpliceOptions};
use cranelift_codegen::ir::{
    ExceptionTableItem, ExternalName, Function, GlobalValueData, InstructionData, SigRef, Signature,
};
use cranelift_entity::SecondaryMap;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};

/// The knowledge of a front end about a shard, beside its program.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SummarizeOptions {
    /// Functions of which several shards may have the same definition, such as instances of generic
    /// functions. [`thin`](super::thin) keeps one.
    pub once: FxHashSet<FunctionName>,
    /// The options of splices, which must be those of the [`Inliner`](crate::pass::Inliner) of the
    /// other steps.
    pub splice_options: SpliceOptions,
    /// Execution counts of calls.
    pub profile: Profile,
}

settings!(SummarizeOptions {
    with_once: once: FxHashSet<FunctionName>,
    with_splice_options: splice_options: SpliceOptions,
    with_profile: profile: Profile,
});

impl ShardSummary {
    /// Makes the summary of a shard. `shard` names it, and is different for each shard of a
    /// program, such as the path of its file.
    ///
    /// The bodies need not be valid: one that cannot be read is never wanted elsewhere. The tables
    /// of the program are not part of the summary; functions in them count as functions whose
    /// address is taken.
    pub fn summarize(program: &Program, shard: &str, options: &SummarizeOptions) -> Self {
        Self::of_program(program, shard, options, None)
    }

    /// Like [`summarize`](Self::summarize), but also returns the bodies as bytes, for the backend.
    pub fn summarize_with_bodies(
        program: &Program,
        shard: &str,
        options: &SummarizeOptions,
    ) -> (Self, ShardBodies) {
        let mut code = Vec::with_capacity(program.len());
        let summary = Self::of_program(program, shard, options, Some(&mut code));
        (summary, ShardBodies::new(program, &code))
    }

    fn of_program(
        program: &Program,
        shard: &str,
        options: &SummarizeOptions,
        mut code: Option<&mut Vec<(u128, Vec<u8>)>>,
    ) -> Self {
        let graph = CallGraph::new(program);
        let counts = SiteCounts::new(&options.profile, &graph);
        let ids: Vec<FunctionId> = program.ids().collect();
        let keeps_code = code.is_some();
        let read = |&id: &FunctionId| {
            let (hash, bytes) = encoded(program[id].body());
            let read = Read::function(program, &graph, id, hash, options);
            (read, keeps_code.then_some(bytes))
        };
        let functions: Vec<(Read, Option<Vec<u8>>)> = ids.par_iter().map(read).collect();
        let mut summary = ShardSummary {
            shard: shard.to_owned(),
            command: Vec::new(),
            bodies_at: None,
            names: Names::default(),
            signatures: Vec::new(),
            functions: Vec::with_capacity(ids.len()),
            parameters: Vec::new(),
            results: Vec::new(),
            addresses: Vec::new(),
            sites: Vec::new(),
            passed: Vec::new(),
            branches: Vec::new(),
            counts: Vec::new(),
        };
        let mut tables = Tables::default();
        for (function, bytes) in functions {
            if let (Some(code), Some(bytes)) = (&mut code, bytes) {
                code.push((function.summary.hash, bytes));
            }
            function.add_to(&graph, &mut summary, &mut tables, |site| {
                let path = [PathStep::Site(site)];
                counts.of_path(&graph, &path)
            });
        }
        // The counts fit, because they were made here.
        let complete = summary.complete();
        debug_assert!(
            complete.is_ok(),
            "a new summary is consistent: {complete:?}"
        );
        summary
    }
}

/// The numbers of names and signatures.
#[derive(Default)]
struct Tables {
    names: FxHashMap<FunctionName, u32>,
    /// Those of callees, by their nodes.
    callees: SecondaryMap<NodeId, Option<u32>>,
    signatures: FxHashMap<Signature, u32>,
}

impl Tables {
    fn name(&mut self, name: FunctionName, names: &mut Names) -> u32 {
        let entry = self.names.entry(name);
        *entry.or_insert_with_key(|name| names.push(NameRef::of(name)))
    }

    fn callee(&mut self, graph: &CallGraph, node: NodeId, names: &mut Names) -> u32 {
        if let Some(known) = self.callees[node] {
            return known;
        }
        let name = match graph.callee_name(node) {
            Some(name) => name.clone(),
            None => {
                debug_assert!(false, "sites without a name are left out");
                FunctionName::testcase("")
            }
        };
        let number = self.name(name, names);
        self.callees[node] = Some(number);
        number
    }

    fn signature(&mut self, signature: Signature, texts: &mut Vec<String>) -> u32 {
        *self
            .signatures
            .entry(signature)
            .or_insert_with_key(|signature| {
                // The types of an unverified function may not exist. That has no text, and this one
                // is not read as a signature.
                let text = panics::catch(|| signature.to_string());
                texts.push(text.unwrap_or_else(|_| "?".to_owned()));
                number(texts.len() - 1)
            })
    }
}

/// The facts about one function, before names are numbered.
struct Read {
    name: FunctionName,
    signature: Signature,
    summary: FunctionSummary,
    parameters: Vec<ParameterUse>,
    results: Vec<ResultWays>,
    addresses: Vec<FunctionName>,
    sites: Vec<ReadSite>,
    /// The signatures that its calls declare, each once.
    declared: Vec<Signature>,
}

struct ReadSite {
    id: SiteId,
    callee: NodeId,
    /// The number among those that are declared.
    signature: usize,
    summary: SiteSummary,
    passed: Vec<Passed>,
    branches: Vec<u32>,
}

impl Read {
    fn function(
        program: &Program,
        graph: &CallGraph,
        id: FunctionId,
        hash: u128,
        options: &SummarizeOptions,
    ) -> Self {
        let function = &program[id];
        let body = function.body();
        let attributes = function.attributes();
        let mut flags = 0;
        let mut set = |flag: u16, on: bool| flags |= if on { flag } else { 0 };
        set(function_flags::COLD, attributes.cold);
        set(function_flags::FLATTEN, attributes.flatten);
        set(function_flags::SWITCHES_STACKS, graph.switches_stacks(id));
        set(function_flags::HAS_STACK_LIMIT, body.stack_limit.is_some());
        let ruled_out = RuledOut::of(body, &options.splice_options);
        set(function_flags::NO_COPIES, ruled_out.all.is_some());
        set(function_flags::NOT_WITH_HANDLERS, ruled_out.with_handlers);
        set(function_flags::NOT_AT_SAFEPOINTS, ruled_out.at_safepoints);
        let shape = panics::catch(|| Shape::of(body)).unwrap_or_default();
        let parameters = panics::catch(|| Summary::parameters_of(body)).unwrap_or_default();
        let results = panics::catch(|| Summary::results_of(body)).unwrap_or_default();
        let own_slots = panics::catch(|| Summary::own_slots_of(body)).unwrap_or_default();
        let addresses = addresses(program, body);
        let once = options.once.contains(function.name());
        let read = panics::catch(|| sites(program, graph, id));
        let (mut sites, declared) = read.unwrap_or_default();
        // Those of a body that cannot be read are not there.
        let is_missing = |value: &Passed| match value {
            Passed::Parameter(index) => *index as usize >= parameters.len(),
            _ => false,
        };
        for value in sites.iter_mut().flat_map(|site| &mut site.passed) {
            if is_missing(value) {
                *value = Passed::Unknown;
            }
        }
        let summary = FunctionSummary {
            name: 0,
            signature: 0,
            hash,
            linkage: ShardLinkage::of(function.linkage(), once),
            inline: match attributes.inline {
                InlineAttribute::None => 0,
                InlineAttribute::Always => 1,
                InlineAttribute::Never => 2,
            },
            flags,
            insts: number(graph.size(id)),
            calls: number(graph.calls(id)),
            indirect_calls: number(graph.indirect_calls(id)),
            blocks: number(shape.blocks),
            returns: number(shape.returns),
            loops: number(shape.back_edges),
            slot_bytes: shape.slot_bytes,
            frame_bytes: frame_bytes(body),
            own_slot_insts: number(own_slots.insts),
            own_slot_bytes: own_slots.bytes,
            parameters: number(parameters.len()),
            results: number(results.len()),
            addresses: number(addresses.len()),
            sites: number(sites.len()),
            first_parameter: 0,
            first_result: 0,
            first_address: 0,
            first_site: 0,
        };
        Read {
            name: function.name().clone(),
            signature: body.signature.clone(),
            summary,
            parameters,
            results,
            addresses,
            sites,
            declared,
        }
    }

    fn add_to(
        mut self,
        graph: &CallGraph,
        summary: &mut ShardSummary,
        tables: &mut Tables,
        count: impl Fn(SiteId) -> Option<u64>,
    ) {
        self.summary.name = tables.name(self.name, &mut summary.names);
        self.summary.signature = tables.signature(self.signature, &mut summary.signatures);
        let parameters = self.parameters.iter().map(Parameter::of);
        summary.parameters.extend(parameters);
        let results = self.results.iter();
        let results = results.map(|ways| (ways.constant, ways.all));
        summary.results.extend(results);
        for name in self.addresses {
            let number = tables.name(name, &mut summary.names);
            summary.addresses.push(number);
        }
        let mut numbers: SmallVec<[Option<u32>; 8]> = smallvec![None; self.declared.len()];
        for mut site in self.sites {
            site.summary.callee = tables.callee(graph, site.callee, &mut summary.names);
            let declared = numbers.get_mut(site.signature);
            if let Some((number, signature)) = declared.zip(self.declared.get(site.signature)) {
                let number = number.get_or_insert_with(|| {
                    tables.signature(signature.clone(), &mut summary.signatures)
                });
                site.summary.signature = *number;
            }
            summary.passed.append(&mut site.passed);
            summary.branches.append(&mut site.branches);
            if let Some(count) = count(site.id) {
                summary.counts.push((number(summary.sites.len()), count));
            }
            summary.sites.push(site.summary);
        }
        summary.functions.push(self.summary);
    }
}

/// Returns the functions and symbols whose address `body` takes, in a fixed order.
fn addresses(program: &Program, body: &Function) -> Vec<FunctionName> {
    let mut names = Vec::new();
    for data in body.global_values.values() {
        if let GlobalValueData::Symbol { name, .. } = data
            && let Some(name) = FunctionName::of_external(body, name)
        {
            names.extend(program.table(&name).map(|(_, function)| function.clone()));
            names.push(name);
        }
    }
    for_each_mention(body, |_, _, mention| {
        if let Mention::Address(func_ref) = mention {
            names.extend(FunctionName::of_callee(body, func_ref));
        }
    });
    names.sort();
    names.dedup();
    names
}

/// The signatures that the calls of a function declare, each once.
#[derive(Default)]
struct Declared {
    signatures: Vec<Signature>,
    numbers: SecondaryMap<SigRef, Option<usize>>,
}

impl Declared {
    /// Returns the number of a signature; `None` if the function does not have it.
    fn number(&mut self, body: &Function, signature: SigRef) -> Option<usize> {
        if let Some(known) = self.numbers[signature] {
            return Some(known);
        }
        let number = self.signatures.len();
        let data = body.dfg.signatures.get(signature)?;
        self.signatures.push(data.clone());
        self.numbers[signature] = Some(number);
        Some(number)
    }
}

/// Returns the direct calls of a function, and the signatures that they declare.
fn sites(program: &Program, graph: &CallGraph, id: FunctionId) -> (Vec<ReadSite>, Vec<Signature>) {
    let body = program[id].body();
    let analysis = RoundAnalysis::new(body);
    let mut declared = Declared::default();
    let sites = graph.callees(id);
    let sites = sites
        .filter_map(|site| read_site(program, &analysis, &site, &mut declared))
        .collect();
    (sites, declared.signatures)
}

fn read_site(
    program: &Program,
    analysis: &RoundAnalysis<'_>,
    site: &SiteRef<'_>,
    signatures: &mut Declared,
) -> Option<ReadSite> {
    let body = analysis.caller;
    let function = &program[site.caller];
    if matches!(site.callee, CallNode::Runtime(_)) {
        return None;
    }
    let call = site.edge.inst;
    let (func_ref, exception) = match body.dfg.insts[call] {
        InstructionData::Call { func_ref, .. } => (func_ref, None),
        InstructionData::TryCall {
            func_ref,
            exception,
            ..
        } => (func_ref, Some(exception)),
        _ => return None,
    };
    let declared = body.dfg.ext_funcs.get(func_ref)?;
    debug_assert!(!matches!(declared.name, ExternalName::LibCall(_)));
    let signature = signatures.number(body, declared.signature)?;
    let mut flags = 0;
    let mut set = |flag: u8, on: bool| flags |= if on { flag } else { 0 };
    set(
        site_flags::COLD_BLOCK,
        body.is_effectively_cold(site.edge.block),
    );
    let is_first = Some(site.edge.block) == body.layout.entry_block();
    set(site_flags::FIRST_BLOCK, is_first);
    set(site_flags::PATCHABLE, declared.patchable);
    let references = body.dfg.user_stack_map_entries(call).unwrap_or_default();
    set(site_flags::SAFEPOINT, !references.is_empty());
    if let Some(table) = exception.and_then(|table| body.dfg.exception_tables.get(table)) {
        for item in table.items() {
            match item {
                ExceptionTableItem::Context(_) => {}
                ExceptionTableItem::Tag(..) => set(site_flags::HANDLERS, true),
                ExceptionTableItem::Default(_) => {
                    set(site_flags::HANDLERS | site_flags::CATCHES_ALL, true);
                }
            }
        }
    }
    let values = passed_values(analysis, call, true).into_iter();
    let passed: Vec<Passed> = values.map(Passed::of).collect();
    let branches = result_branches(analysis, call);
    Some(ReadSite {
        id: site.id,
        callee: site.callee_node,
        signature,
        summary: SiteSummary {
            callee: 0,
            signature: 0,
            location: body.srcloc(call).bits(),
            kind: Kind::of(site.edge.kind),
            flags,
            loop_depth: u8::try_from(analysis.loop_depth(site.edge.block)).unwrap_or(u8::MAX),
            hint: Hint::of(function.hint(call)),
            // Cranelift's signatures have fewer.
            passed: u16::try_from(passed.len()).ok()?,
            results: u16::try_from(branches.len()).ok()?,
            first_passed: 0,
            first_result: 0,
        },
        passed,
        branches,
    })
}
