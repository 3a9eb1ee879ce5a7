//! Splicing with a record of which call was replaced by which body.

use cranelift_codegen::ir::{Function, Inst, InstructionData};
use cranelift_inliner::check::CopyTree;
use cranelift_inliner::splice::{Callee, CalleeTables, SpliceContext, SpliceOptions};
use std::collections::{BTreeMap, VecDeque};

pub(crate) type Functions = BTreeMap<String, Function>;

/// Bodies in bodies in bodies are deep enough for a test, and end recursion.
const MAX_DEPTH: usize = 3;

/// In which order the calls of a caller are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All of one depth, then those that came in with them.
    Forwards,
    /// The last one first, with its copied calls before all others.
    Backwards,
    /// Any, leaving some out; the number is where the choice starts from.
    Mixed(u64),
}

/// A caller with its calls replaced.
pub(crate) struct Spliced {
    pub(crate) after: Function,
    pub(crate) claims: Vec<Claim>,
}

/// At `call` of the body of the claim `parent` stands a copy of `callee`.
pub(crate) struct Claim {
    parent: Option<usize>,
    call: Inst,
    callee: String,
}

struct Pending {
    /// The call in the caller as it stands, and in the body it comes from.
    inst: Inst,
    source: Inst,
    parent: Option<usize>,
    depth: usize,
}

impl Spliced {
    pub(crate) fn tree<'f>(&self, caller: &'f Function, functions: &'f Functions) -> CopyTree<'f> {
        let mut tree = CopyTree::new(caller);
        let mut copies = Vec::new();
        for claim in &self.claims {
            let parent = claim.parent.map_or(CopyTree::ROOT, |parent| copies[parent]);
            copies.push(tree.add(parent, claim.call, &functions[&claim.callee]));
        }
        tree
    }
}

/// Returns the functions of a text by name.
pub(crate) fn parse(text: &str) -> Functions {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    let by_name = functions
        .into_iter()
        .map(|func| (func.name.to_string(), func));
    by_name.collect()
}

/// Replaces the calls of `caller` to functions of the map where the engine
/// does not refuse.
pub(crate) fn splice_all(
    caller: &Function,
    functions: &Functions,
    options: &SpliceOptions,
    order: Order,
) -> Spliced {
    let mut after = caller.clone();
    let mut claims: Vec<Claim> = Vec::new();
    let mut prepared: BTreeMap<String, Option<CalleeTables>> = BTreeMap::new();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut after, options);
    let own = caller
        .layout
        .blocks()
        .flat_map(|block| caller.layout.block_insts(block));
    let mut pending: VecDeque<Pending> = own
        .map(|inst| Pending {
            inst,
            source: inst,
            parent: None,
            depth: 0,
        })
        .collect();
    let mut state = match order {
        Order::Mixed(seed) => seed,
        _ => 0,
    };
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    loop {
        let next = match order {
            Order::Forwards => pending.pop_front(),
            Order::Backwards => pending.pop_back(),
            Order::Mixed(_) => pending.swap_remove_back(random(pending.len())),
        };
        let Some(next) = next else { break };
        let callee =
            called(session.caller(), next.inst).filter(|name| functions.contains_key(name));
        let Some(name) = callee else { continue };
        if next.depth == MAX_DEPTH || matches!(order, Order::Mixed(_)) && random(5) == 0 {
            continue;
        }
        // Copies of the same prepared body can share more slots.
        let body = &functions[&name];
        let tables = prepared.entry(name.clone()).or_insert_with(|| {
            let callee = Callee::new(body).ok();
            callee.map(Callee::into_tables)
        });
        let Some(tables) = tables else { continue };
        let callee = Callee::from_tables(body, tables);
        let Ok(copied) = session.splice(next.inst, &callee) else {
            continue;
        };
        claims.push(Claim {
            parent: next.parent,
            call: next.source,
            callee: name,
        });
        pending.extend(copied.iter().map(|copied| Pending {
            inst: copied.inst,
            source: copied.callee_inst,
            parent: Some(claims.len() - 1),
            depth: next.depth + 1,
        }));
    }
    session.finish();
    Spliced { after, claims }
}

/// Returns the name that a direct call names.
fn called(func: &Function, inst: Inst) -> Option<String> {
    match func.dfg.insts[inst] {
        InstructionData::Call { func_ref, .. } | InstructionData::TryCall { func_ref, .. } => {
            let name = &func.dfg.ext_funcs[func_ref].name;
            Some(name.display(Some(&func.params)).to_string())
        }
        _ => None,
    }
}
