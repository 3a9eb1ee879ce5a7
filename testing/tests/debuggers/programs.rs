//! Programs, with locations by which each instruction is known.

use arbitrary::Unstructured;
use cranelift_codegen::ir::{
    Function, Inst, Opcode, RelSourceLoc, Signature, SourceLoc, StackSlotKey, Value, ValueLabel,
    ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::debug_info::{Variable, VariableEncoding, VariableSchema, VariableType};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::generate::{Feature, Generated, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The locations of a program's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Each has its own.
    Unique,
    /// Two share one, and every ninth has none.
    Shared,
}

/// A program to be built and run.
pub(crate) struct Subject {
    pub(crate) program: Program,
    pub(crate) invocations: Vec<Invocation>,
    /// The functions that it calls and does not define.
    pub(crate) hosts: Vec<(FunctionName, Signature)>,
    /// The lines of calls that do not return.
    pub(crate) tail_calls: BTreeSet<u64>,
    /// The instructions that trap without other effects, or may come to, by line.
    pub(crate) traps: BTreeMap<u64, BTreeSet<String>>,
    /// Whether the function with the number N has a slot with the key `SLOT_KEYS + N`, and tags.
    pub(crate) is_tagged: bool,
}

/// The first of the keys of slots in tagged programs.
pub(crate) const SLOT_KEYS: u64 = 1 << 40;

/// The slots of a tagged program are variables called `slot`.
impl VariableSchema for Subject {
    fn variables(&self, key: StackSlotKey) -> Vec<Variable> {
        let number = key.bits().checked_sub(SLOT_KEYS).filter(|_| self.is_tagged);
        let function = number.and_then(|number| self.program.ids().nth(number as usize));
        let variable = function.map(|id| Variable {
            function: self.program[id].name().clone(),
            name: "slot".to_owned(),
            ty: VariableType {
                name: "u64".to_owned(),
                size: 8,
                encoding: VariableEncoding::Unsigned,
            },
            offset: 0,
        });
        variable.into_iter().collect()
    }
}

impl Subject {
    /// Returns the program, with `lines`; `None` if the host in C cannot run it.
    pub(crate) fn new(generated: &Generated, lines: Lines) -> Option<Self> {
        let mut next = 1;
        let mut tail_calls = BTreeSet::new();
        let mut hosts = BTreeMap::new();
        let mut traps = BTreeMap::new();
        let program = &generated.program;
        let program = program.with_bodies(|_, function| {
            let mut body = Function::clone(function.body());
            relocate(&mut body, lines, &mut next, &mut tail_calls);
            label(&mut body, lines);
            add_traps(&body, &mut traps);
            for (name, signature) in imports(&body) {
                if program.id(&name).is_none() {
                    hosts.insert(name.to_string(), (name, signature));
                }
            }
            Some(Arc::new(body))
        });
        Some(Subject {
            program: program.ok()?,
            invocations: generated.invocations.clone(),
            hosts: hosts.into_values().collect(),
            tail_calls,
            traps,
            is_tagged: false,
        })
    }

    /// Returns the program that `seed` stands for.
    pub(crate) fn generated(seed: u64, shape: &Shape, lines: Lines) -> Option<Self> {
        Subject::new(&generated(seed, shape)?, lines)
    }

    /// Returns the function and its signature that each invocation calls.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&FunctionName, &Signature)> {
        self.invocations.iter().filter_map(|invocation| {
            let id = self.program.id(&invocation.function)?;
            Some((&invocation.function, &self.program[id].body().signature))
        })
    }

    /// Returns whether a trap of the line `one` may be at the line `other` in optimized code. Of two
    /// instructions that trap alike, without other effects, Cranelift keeps the first. A branch to a
    /// block that only traps becomes a conditional trap.
    pub(crate) fn may_trap_at(&self, one: u64, other: u64) -> bool {
        let (Some(one), Some(other)) = (self.traps.get(&one), self.traps.get(&other)) else {
            return false;
        };
        let branches = one.contains("trap") && other.contains("brif");
        branches
            || one
                .intersection(other)
                .any(|opcode| opcode != "trap" && opcode != "brif")
    }

    pub(crate) fn text(&self) -> String {
        self.program.to_clif().unwrap()
    }
}

/// Returns the program that `seed` stands for.
pub(crate) fn generated(seed: u64, shape: &Shape) -> Option<Generated> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let length = 100 + next() % 1400;
    // Programs with traps seldom get far.
    let mut shape = shape.clone();
    for feature in [Feature::Traps, Feature::Exceptions, Feature::TailCalls] {
        if next() % 3 != 0 {
            shape = shape.without(feature);
        }
    }
    let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
    shape.generate(&mut Unstructured::new(&bytes)).ok()
}

/// Programs that the host in C can run, which has no data for them.
pub(crate) fn shape() -> Shape {
    let shape = Shape::new().functions(2..=6).statements(16);
    shape.without(Feature::MethodTables)
}

fn imports(body: &Function) -> Vec<(FunctionName, Signature)> {
    let imports = body.dfg.ext_funcs.iter();
    imports
        .filter_map(|(reference, data)| {
            let name = FunctionName::of_callee(body, reference)?;
            Some((name, body.dfg.signatures[data.signature].clone()))
        })
        .collect()
}

fn add_traps(body: &Function, traps: &mut BTreeMap<u64, BTreeSet<String>>) {
    let insts = body.layout.blocks();
    for inst in insts.flat_map(|block| body.layout.block_insts(block)) {
        let opcode = body.dfg.insts[inst].opcode();
        let traps_alone = opcode.can_trap() && opcode.side_effects_idempotent();
        if traps_alone || matches!(opcode, Opcode::Trap | Opcode::Brif) {
            let location = body.srcloc(inst);
            // Debuggers show 0 where there is none.
            let line = match location.is_default() {
                true => 0,
                false => u64::from(location.bits()),
            };
            traps.entry(line).or_default().insert(opcode.to_string());
        }
    }
}

/// Makes each value a variable. With shared lines there are none: a label of several values means
/// the last one in the order of the code, which differs.
fn label(body: &mut Function, lines: Lines) {
    body.dfg.values_labels = None;
    if lines == Lines::Shared {
        return;
    }
    body.dfg.collect_debug_info();
    let blocks: Vec<_> = body.layout.blocks().collect();
    let mut values: Vec<Value> = Vec::new();
    for block in blocks {
        values.extend(body.dfg.block_params(block));
        for inst in body.layout.block_insts(block) {
            values.extend(body.dfg.inst_results(inst));
        }
    }
    let labels = values.into_iter().map(|value| {
        let start = ValueLabelStart {
            from: RelSourceLoc::default(),
            label: ValueLabel::from_u32(value.as_u32()),
        };
        (value, ValueLabelAssignments::Starts(vec![start]))
    });
    body.dfg.values_labels = Some(labels.collect());
}

fn relocate(body: &mut Function, lines: Lines, next: &mut u32, tail_calls: &mut BTreeSet<u64>) {
    let blocks = body.layout.blocks();
    let insts: Vec<Inst> = blocks
        .flat_map(|block| body.layout.block_insts(block))
        .collect();
    for inst in insts {
        *next += 2;
        let does_not_return = matches!(
            body.dfg.insts[inst].opcode(),
            Opcode::ReturnCall | Opcode::ReturnCallIndirect
        );
        let line = match lines {
            _ if does_not_return => *next + 1,
            Lines::Unique => *next,
            Lines::Shared if next.is_multiple_of(9) => {
                body.stencil.srclocs[inst] = RelSourceLoc::default();
                continue;
            }
            Lines::Shared => *next / 4 * 4,
        };
        if does_not_return {
            tail_calls.insert(u64::from(line));
        }
        body.set_srcloc(inst, SourceLoc::new(line));
    }
}
