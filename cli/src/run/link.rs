//! Compiles what the directives reach and links it in memory.
//!
//! Functions are compiled in waves: first those that directives call, then those that their code
//! refers to, as its relocations tell. Only then is anything linked, and only functions of which
//! everything they reach could be compiled or found in this process. What stands in the way of the
//! others is kept as an [`Obstacle`] for their directives.

use std::collections::{HashMap, HashSet, VecDeque};

use cranelift_codegen::ir::{Function, Signature, UserFuncName};
use cranelift_inliner::profile::COUNTERS;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use rayon::prelude::*;

use super::compile::{Compiled, Obstacle, compile, referenced};
use super::handlers::{HandlerTable, Loaded};
use super::host::Host;
use super::native::{CounterTable, LoadedCode};
use super::numbers::Numbers;
use super::{host_functions, trampoline};

/// Linked code and the ways into it.
pub(super) struct Program {
    pub(super) code: LoadedCode,
    obstacles: HashMap<u32, Obstacle>,
    trampolines: HashMap<Signature, u32>,
}

impl Program {
    /// Compiles and links the `wanted` functions, given by their place among `functions` with
    /// their signatures, and what they reach.
    pub(super) fn link(
        host: &Host,
        functions: &[&Function],
        wanted: impl Iterator<Item = (u32, Signature)>,
        counters: Option<&CounterTable>,
    ) -> Result<Self, String> {
        let isa = &*host.isa;
        let mut numbers = Numbers::new(functions);
        let mut first = Vec::new();
        let mut trampolines = HashMap::new();
        let mut generated = HashMap::new();
        for (function, signature) in wanted {
            first.push(function);
            if !trampolines.contains_key(&signature) {
                let name = format!("trampoline {}", trampolines.len());
                let number = numbers.of(&UserFuncName::testcase(name));
                let name = UserFuncName::user(0, number);
                generated.insert(number, trampoline::build(name, &signature, isa));
                trampolines.insert(signature, number);
                first.push(number);
            }
        }

        let mut compiled: HashMap<u32, Compiled> = HashMap::new();
        let mut obstacles: HashMap<u32, Obstacle> = HashMap::new();
        let mut externals: HashMap<u32, *const u8> = HashMap::new();
        let mut seen: HashSet<u32> = HashSet::new();
        let mut wave = first;
        while !wave.is_empty() {
            wave.retain(|number| seen.insert(*number));
            let mut bodies = Vec::new();
            for number in std::mem::take(&mut wave) {
                if let Some(body) = functions.get(number as usize) {
                    bodies.push((number, numbers.rename(body)));
                } else if let Some(body) = generated.remove(&number) {
                    bodies.push((number, body));
                } else if let Some(address) = address(numbers.symbol(number), counters) {
                    externals.insert(number, address);
                } else {
                    let name = numbers.display(number);
                    let reason = format!("no function {name} in the program or on the host");
                    obstacles.insert(number, Obstacle::PassOver(reason));
                }
            }
            let done: Vec<_> = bodies
                .into_par_iter()
                .map(|(number, body)| (number, compile(number, body, isa)))
                .collect();
            for (number, outcome) in done {
                match outcome {
                    Ok(body) => {
                        wave.extend(body.relocations.iter().filter_map(referenced));
                        compiled.insert(number, body);
                    }
                    Err(obstacle) => {
                        let name = numbers.display(number);
                        obstacles.insert(number, obstacle.of(&name));
                    }
                }
            }
        }
        spread(&compiled, &mut obstacles);
        compiled.retain(|number, _| !obstacles.contains_key(number));

        Ok(Self {
            code: load(host, &numbers, compiled, &externals)?,
            obstacles,
            trampolines,
        })
    }

    /// The trampoline and the callee by which `function`, of this `signature`, is called.
    pub(super) fn entry(
        &self,
        function: u32,
        signature: &Signature,
    ) -> Result<(FuncId, FuncId), Obstacle> {
        let trampoline = *self.trampolines.get(signature).ok_or_else(|| {
            Obstacle::Fails(format!("no trampoline for the signature {signature}"))
        })?;
        for needed in [function, trampoline] {
            if let Some(obstacle) = self.obstacles.get(&needed) {
                return Err(obstacle.clone());
            }
        }
        Ok((FuncId::from_u32(trampoline), FuncId::from_u32(function)))
    }
}

/// The address of what no function of the program defines.
fn address(symbol: &str, counters: Option<&CounterTable>) -> Option<*const u8> {
    match counters {
        Some(counters) if symbol == COUNTERS => Some(counters.address()),
        _ => host_functions::address(symbol),
    }
}

/// Gives each function the obstacle of what it reaches.
fn spread(compiled: &HashMap<u32, Compiled>, obstacles: &mut HashMap<u32, Obstacle>) {
    let mut referrers: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut numbers: Vec<u32> = compiled.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        let body = compiled.get(&number);
        for target in body
            .iter()
            .flat_map(|body| body.relocations.iter().filter_map(referenced))
        {
            referrers.entry(target).or_default().push(number);
        }
    }
    let mut blocked: Vec<u32> = obstacles.keys().copied().collect();
    blocked.sort_unstable();
    let mut blocked = VecDeque::from(blocked);
    while let Some(number) = blocked.pop_front() {
        let Some(obstacle) = obstacles.get(&number).cloned() else {
            continue;
        };
        for referrer in referrers.get(&number).into_iter().flatten() {
            if !obstacles.contains_key(referrer) {
                obstacles.insert(*referrer, obstacle.clone());
                blocked.push_back(*referrer);
            }
        }
    }
}

fn load(
    host: &Host,
    numbers: &Numbers,
    compiled: HashMap<u32, Compiled>,
    externals: &HashMap<u32, *const u8>,
) -> Result<LoadedCode, String> {
    let mut builder = JITBuilder::with_isa(host.isa.clone(), default_libcall_names());
    builder.symbol_lookup_fn(Box::new(host_functions::address));
    builder.symbols(
        externals
            .iter()
            .map(|(number, address)| (numbers.display(*number), *address)),
    );
    // One stretch of address space, so that calls between functions stay in reach. Each function
    // may begin a page and, on aarch64, add a few words for each call.
    let room = |body: &Compiled| body.code.len() + body.relocations.len() * 24 + (1 << 16);
    let size = compiled.values().map(room).sum::<usize>() + (1 << 20);
    let memory = ArenaMemoryProvider::new_with_size(size).map_err(|error| error.to_string())?;
    builder.memory_provider(Box::new(memory));

    let mut module = JITModule::new(builder);
    let signature = Signature::new(host.isa.default_call_conv());
    for number in 0..numbers.len() {
        let number = u32::try_from(number).map_err(|error| error.to_string())?;
        let name = numbers.display(number);
        let linkage = if compiled.contains_key(&number) {
            Linkage::Local
        } else {
            Linkage::Import
        };
        let id = module
            .declare_function(&name, linkage, &signature)
            .map_err(|error| error.to_string())?;
        if id.as_u32() != number {
            return Err(format!("two functions are named {name}"));
        }
    }
    let mut defined: Vec<(u32, Compiled)> = compiled.into_iter().collect();
    defined.sort_by_key(|(number, _)| *number);
    for (number, body) in &defined {
        let id = FuncId::from_u32(*number);
        module
            .define_function_bytes(id, body.alignment, &body.code, &body.relocations)
            .map_err(|error| error.to_string())?;
    }
    module
        .finalize_definitions()
        .map_err(|error| error.to_string())?;

    let functions = defined.into_iter().map(|(number, body)| {
        let start = module.get_finalized_function(FuncId::from_u32(number));
        Loaded {
            start: start.addr(),
            length: body.code.len(),
            call_sites: body.call_sites,
        }
    });
    let unwinding = HandlerTable::new(functions.collect());
    Ok(LoadedCode::new(module, unwinding))
}
