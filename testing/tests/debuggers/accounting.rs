//! Locations and labels that are still there after each step, as LLVM's Debugify counts them: every
//! instruction has a location of its own before, and every value a label.

use super::builds::{Build, Order};
use super::programs::{Lines, Subject, shape};
use cranelift_codegen::ir::{Function, TrapCode, Value, ValueDef, ValueLabelAssignments};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::decide::Always;
use cranelift_inliner::locations::{CodeLocations, LocationMode, LocationTable};
use cranelift_inliner::pass::{CompiledProgram, Inlined, Inliner, Optimize};
use cranelift_inliner::program::Program;
use std::collections::{BTreeMap, BTreeSet};

/// A function and the location of an instruction in it, or the label of a value.
type Known = BTreeSet<(String, u32)>;

#[derive(Debug, Default)]
struct Account {
    instructions: usize,
    /// Instructions without a location, by opcode.
    lost: BTreeMap<String, usize>,
    labels: usize,
    lost_labels: usize,
    /// Lost labels of values whose instruction is still there.
    labels_lost_from_values: usize,
    /// Calls and traps of the machine code.
    stops: usize,
    stops_without_location: usize,
}

impl Account {
    fn add(&mut self, program: &Program, inlined: &Inlined) {
        let (mut locations, mut found) = (Known::new(), Known::new());
        for id in program.ids() {
            let (Some(body), Some(table)) = (inlined.body(id), inlined.locations(id)) else {
                continue;
            };
            found.extend(labels(body, table));
            for inst in body
                .layout
                .blocks()
                .flat_map(|block| body.layout.block_insts(block))
            {
                self.instructions += 1;
                let place = table.innermost(body.srcloc(inst));
                if place.location.is_default() {
                    let opcode = body.dfg.insts[inst].opcode().to_string();
                    *self.lost.entry(opcode).or_default() += 1;
                }
                locations.insert((place.function.to_string(), place.location.bits()));
            }
        }
        for (_, function) in program.iter() {
            let body = function.body();
            let own = labels(body, &LocationTable::own(function.name().clone()));
            self.labels += own.len();
            for (name, label) in own.difference(&found) {
                self.lost_labels += 1;
                if let ValueDef::Result(inst, _) = body.dfg.value_def(Value::from_u32(*label)) {
                    let place = (name.clone(), body.srcloc(inst).bits());
                    self.labels_lost_from_values += usize::from(locations.contains(&place));
                }
            }
        }
    }

    fn add_code(&mut self, compiled: &CompiledProgram) {
        for (id, code) in compiled.iter() {
            let places = CodeLocations::new(code, compiled.locations(id).unwrap());
            let calls = code.call_sites().map(|site| site.ret_addr - 1);
            // The check of the stack limit is in the prologue.
            let traps = code.traps().iter();
            let traps = traps.filter(|trap| trap.code != TrapCode::STACK_OVERFLOW);
            for offset in calls.chain(traps.map(|trap| trap.offset)) {
                self.stops += 1;
                let place = places.lookup(offset).next().unwrap();
                self.stops_without_location += usize::from(place.location.is_default());
            }
        }
    }
}

/// Returns the labels of the values in `body`, by function.
fn labels(body: &Function, table: &LocationTable) -> Known {
    let base = body.params.base_srcloc();
    let labels = body.dfg.values_labels.iter().flatten();
    let starts = labels.flat_map(|(_, assignments)| match assignments {
        ValueLabelAssignments::Starts(starts) => &starts[..],
        ValueLabelAssignments::Alias { .. } => &[],
    });
    starts
        .map(|start| {
            let place = table.innermost(start.from.expand(base));
            (place.function.to_string(), start.label.as_u32())
        })
        .collect()
}

fn account(optimize: Optimize, isa: &dyn TargetIsa) -> Account {
    let mut account = Account::default();
    let inliner = Inliner::new(Always)
        .optimize(optimize)
        .locations(LocationMode::InlinedAt);
    let subjects = (0..200).filter_map(|seed| Subject::generated(seed, &shape(), Lines::Unique));
    for subject in subjects {
        let program = &subject.program;
        let (inlined, compiled) = inliner.run_and_compile(program, isa).unwrap();
        account.add(program, &inlined);
        account.add_code(&compiled);
    }
    eprintln!("{optimize:?}: {account:?}");
    assert!(account.instructions > 10_000 && account.labels > 5_000 && account.stops > 300);
    account
}

fn isa(level: OptLevel) -> cranelift_codegen::isa::OwnedTargetIsa {
    let build = Build {
        policy: "always",
        optimize: Optimize::None,
        level,
        order: Order::Rounds,
    };
    build.isa("x64")
}

#[test]
fn inlining_and_compiling_lose_no_location_and_no_label() {
    let account = account(Optimize::None, &*isa(OptLevel::None));
    assert!(account.lost.is_empty());
    assert_eq!(account.lost_labels, 0);
    assert_eq!(account.stops_without_location, 0);
}

/// The values that stand for bytes without a store, for the address that a guard compares with, or
/// for a parameter that is the same constant on all ways, come from no instruction.
#[test]
fn optimizing_loses_labels_only_with_their_instructions() {
    let account = account(Optimize::Inlined, &*isa(OptLevel::None));
    let new = [
        "f32const",
        "f64const",
        "func_addr",
        "iconst",
        "stack_addr",
        "vconst",
    ];
    let lost = account.lost.keys();
    let lost: Vec<_> = lost
        .filter(|opcode| !new.contains(&opcode.as_str()))
        .collect();
    assert_eq!(lost, [""; 0]);
    assert!(account.lost.values().sum::<usize>() * 1000 < account.instructions);
    assert!(account.lost_labels > 0);
    assert_eq!(account.labels_lost_from_values, 0);
    assert_eq!(account.stops_without_location, 0);
}
