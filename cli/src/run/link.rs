//! Compiles the functions that directives reach, and links them in memory.
//!
//! Functions are compiled in waves: first those that directives call, then those that the
//! relocations of their code name. Only then are functions linked, and only those for which
//! everything they reach was compiled or found in this process. The obstacles of the others are
//! kept as an [`Obstacle`] for their directives.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_inliner::backend::{CompiledFunction, ScratchPool};
use cranelift_inliner::profile::COUNTERS;
use cranelift_inliner::program::{self, FunctionName};
use cranelift_inliner_testing::execute::{IsolatedProgram, SharedCounters, process_symbol};
use rayon::prelude::*;

use super::compile::{Obstacle, compile, referenced};
use super::host::Host;

/// Linked code, and the functions that are not in it.
pub(super) struct Program {
    pub(super) code: IsolatedProgram,
    obstacles: BTreeMap<FunctionName, Obstacle>,
}

impl Program {
    /// Compiles and links the `wanted` of `functions`, given by name, and the functions that they
    /// reach, also through the tables of `tables`.
    pub(super) fn link(
        host: &Host,
        functions: &HashMap<FunctionName, &Function>,
        tables: &program::Program,
        wanted: impl Iterator<Item = FunctionName>,
        counters: Option<&SharedCounters>,
    ) -> Result<Self, String> {
        let isa = &*host.isa;
        let first: Vec<FunctionName> = wanted.collect();
        let mut compiled: BTreeMap<FunctionName, CompiledFunction> = BTreeMap::new();
        let mut obstacles: BTreeMap<FunctionName, Obstacle> = BTreeMap::new();
        let mut seen: HashSet<FunctionName> = HashSet::new();
        let scratch = ScratchPool::new();
        let mut wave = first.clone();
        while !wave.is_empty() {
            wave.retain(|name| seen.insert(name.clone()));
            let mut bodies = Vec::new();
            for name in std::mem::take(&mut wave) {
                if let Some(body) = functions.get(&name) {
                    bodies.push((name, *body));
                } else if tables.table(&name).next().is_some() {
                    wave.extend(tables.table(&name).map(|(_, function)| function.clone()));
                } else if address(&name, counters).is_none() {
                    let reason = format!("no function {name} in the program or on the host");
                    obstacles.insert(name, Obstacle::PassOver(reason));
                }
            }
            let near = |name: &FunctionName| functions.contains_key(name);
            let done: Vec<_> = bodies
                .into_par_iter()
                .map(|(name, body)| {
                    let outcome = scratch.with(|scratch| compile(body, near, isa, scratch));
                    (name, outcome)
                })
                .collect();
            for (name, outcome) in done {
                match outcome {
                    Ok(code) => {
                        wave.extend(referenced(&code));
                        compiled.insert(name, code);
                    }
                    Err(obstacle) => {
                        let obstacle = obstacle.of(&name);
                        obstacles.insert(name, obstacle);
                    }
                }
            }
        }
        spread(&compiled, tables, &mut obstacles);
        compiled.retain(|name, _| !obstacles.contains_key(name));

        let code: Vec<&CompiledFunction> = compiled.values().collect();
        let callable = first.iter().filter_map(|name| {
            let is_there = compiled.contains_key(name);
            let body = functions.get(name).filter(|_| is_there)?;
            Some((name, &body.signature))
        });
        let symbol = |name: &FunctionName| address(name, counters);
        let code = IsolatedProgram::link(&host.isa, tables, &code, callable, symbol);
        Ok(Self {
            code: code.map_err(|error| error.to_string())?,
            obstacles,
        })
    }

    /// Returns the obstacle to calls of `function`.
    pub(super) fn obstacle(&self, function: &FunctionName) -> Option<&Obstacle> {
        self.obstacles.get(function)
    }
}

/// Returns the address of a symbol that the program does not define. Numbered names have no symbol.
fn address(name: &FunctionName, counters: Option<&SharedCounters>) -> Option<*const u8> {
    let UserFuncName::Testcase(name) = name.as_user_func_name() else {
        return None;
    };
    let symbol = std::str::from_utf8(name.raw()).ok()?;
    match counters {
        Some(counters) if symbol == COUNTERS => Some(counters.address()),
        _ => process_symbol(symbol),
    }
}

/// Propagates obstacles from functions to those that reach them.
fn spread(
    compiled: &BTreeMap<FunctionName, CompiledFunction>,
    tables: &program::Program,
    obstacles: &mut BTreeMap<FunctionName, Obstacle>,
) {
    let mut referrers: HashMap<FunctionName, Vec<&FunctionName>> = HashMap::new();
    for (name, code) in compiled {
        for target in referenced(code) {
            referrers.entry(target).or_default().push(name);
        }
    }
    for name in tables.tables().filter(|name| !compiled.contains_key(name)) {
        for (_, function) in tables.table(name) {
            referrers.entry(function.clone()).or_default().push(name);
        }
    }
    let mut blocked: VecDeque<FunctionName> = obstacles.keys().cloned().collect();
    while let Some(name) = blocked.pop_front() {
        let Some(obstacle) = obstacles.get(&name).cloned() else {
            continue;
        };
        for &referrer in referrers.get(&name).into_iter().flatten() {
            if !obstacles.contains_key(referrer) {
                obstacles.insert(referrer.clone(), obstacle.clone());
                blocked.push_back(referrer.clone());
            }
        }
    }
}
