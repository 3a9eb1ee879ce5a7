//! Accounts for everything that a debugger needs of a debug build.
//!
//! From the original bodies and the report of inlined calls, this works out the calls and sequence
//! points that each function must have, their tags with the slots of each copy, and the keyed
//! slots; and compares them with the resulting functions. It shares no code with the splicing
//! engine.

use super::files::module;
use cranelift_codegen::ir::{
    Block, DebugTag, ExternalName, FuncRef, Function, Inst, InstructionData, Opcode,
};
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{CallSite, Decision};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use cranelift_inliner::splice::SpliceOptions;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The parts of a function that a debugger sees.
#[derive(Clone, Default)]
struct Visible {
    slots: Vec<Slot>,
    points: Vec<Point>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    key: Option<u64>,
    size: u32,
    alignment: u8,
}

/// A call or a sequence point.
#[derive(Clone)]
struct Point {
    what: String,
    tags: Vec<Tag>,
}

#[derive(Clone, Copy)]
enum Tag {
    User(u32),
    /// An index of `Visible::slots`.
    Slot(usize),
}

impl Visible {
    fn slots_of(func: &Function) -> Vec<Slot> {
        let slots = func.sized_stack_slots.values();
        slots
            .map(|slot| Slot {
                key: slot.key.map(|key| key.bits()),
                size: slot.size,
                alignment: slot.align_shift,
            })
            .collect()
    }

    /// Reads off the instructions `insts` of a body.
    fn of(func: &Function, insts: impl IntoIterator<Item = Inst>) -> Self {
        let points = insts.into_iter().filter_map(|inst| {
            let data = &func.dfg.insts[inst];
            let what = match (data, data.opcode()) {
                (
                    InstructionData::Call { func_ref, .. }
                    | InstructionData::TryCall { func_ref, .. },
                    _,
                ) => callee_name(func, *func_ref),
                (_, Opcode::SequencePoint) => "sequence_point".to_owned(),
                (_, opcode) if opcode.is_call() => "indirect".to_owned(),
                _ => {
                    assert!(
                        !func.debug_tags.has(inst),
                        "{inst} of {} has tags",
                        func.name
                    );
                    return None;
                }
            };
            let tags = tags_of(func, inst);
            Some(Point { what, tags })
        });
        Visible {
            points: points.collect(),
            slots: Self::slots_of(func),
        }
    }

    /// Adds a copy of `callee`, made for a call that had `tags`.
    fn add_copy(&mut self, callee: &Visible, tags: &[Tag]) {
        let first = self.slots.len();
        self.slots.extend(callee.slots.iter().cloned());
        for point in &callee.points {
            let own = point.tags.iter().map(|tag| match *tag {
                Tag::User(number) => Tag::User(number),
                Tag::Slot(slot) => Tag::Slot(first + slot),
            });
            let mut all = Vec::new();
            if !point.tags.is_empty() {
                all.extend_from_slice(tags);
                all.extend(own);
            }
            self.points.push(Point {
                what: point.what.clone(),
                tags: all,
            });
        }
    }

    /// Describes each point in words, with slots named by their content.
    fn describe(&self) -> Vec<String> {
        let describe = |point: &Point| {
            let tags: Vec<String> = point
                .tags
                .iter()
                .map(|tag| match *tag {
                    Tag::User(number) => number.to_string(),
                    Tag::Slot(slot) => format!("{:?}", self.slots[slot].key),
                })
                .collect();
            format!("<{}> {}", tags.join(", "), point.what)
        };
        self.points.iter().map(describe).collect()
    }

    /// Returns the slots with the points that name each: two copies that shared a slot, or two tags
    /// of one frame that named different copies' slots, would differ here.
    fn slots_with_points(&self) -> Vec<(Slot, Vec<String>)> {
        let mut slots: Vec<(Slot, Vec<String>)> = self
            .slots
            .iter()
            .map(|slot| (slot.clone(), Vec::new()))
            .collect();
        for (point, words) in self.points.iter().zip(self.describe()) {
            for (position, tag) in point.tags.iter().enumerate() {
                if let Tag::Slot(slot) = *tag {
                    slots[slot].1.push(format!("{position} of {words}"));
                }
            }
        }
        for (_, points) in &mut slots {
            points.sort();
        }
        slots.sort();
        slots
    }
}

fn callee_name(func: &Function, func_ref: FuncRef) -> String {
    match (
        &func.dfg.ext_funcs[func_ref].name,
        FunctionName::of_callee(func, func_ref),
    ) {
        (_, Some(name)) => name.to_string(),
        (ExternalName::LibCall(call), None) => format!("{call:?}"),
        (_, None) => panic!("{func_ref} of {} has no name", func.name),
    }
}

fn tags_of(func: &Function, inst: Inst) -> Vec<Tag> {
    let tags = func.debug_tags.get(inst).iter();
    tags.map(|tag| match tag {
        DebugTag::User(number) => Tag::User(*number),
        DebugTag::StackSlot(slot) => Tag::Slot(slot.as_u32() as usize),
    })
    .collect()
}

fn all_insts(func: &Function) -> impl Iterator<Item = Inst> {
    let blocks = func.layout.blocks();
    blocks.flat_map(|block| func.layout.block_insts(block))
}

/// A function after some of its calls are replaced.
struct Walk {
    /// The instructions that are reached and not replaced.
    kept: Vec<Inst>,
    /// The calls that are reached and replaced.
    replaced: Vec<Inst>,
    returns: bool,
}

/// Walks an original body. For a replaced call, `callee_returns` says whether its callee ever
/// returns; if not, the code after the call is not reached.
fn walk(func: &Function, callee_returns: impl Fn(Inst) -> Option<bool>) -> Walk {
    let mut walk = Walk {
        kept: Vec::new(),
        replaced: Vec::new(),
        returns: false,
    };
    let mut seen = HashSet::new();
    let mut work: Vec<Block> = func.layout.entry_block().into_iter().collect();
    while let Some(block) = work.pop() {
        if !seen.insert(block) {
            continue;
        }
        for inst in func.layout.block_insts(block) {
            let data = &func.dfg.insts[inst];
            let replaced = callee_returns(inst);
            if replaced.is_some() {
                walk.replaced.push(inst);
            } else {
                walk.kept.push(inst);
            }
            if replaced == Some(false) {
                if let InstructionData::TryCall { .. } = data {
                    panic!("{inst} of {} would need its handlers followed", func.name);
                }
                break;
            }
            walk.returns |= data.opcode().is_return();
            let jump_tables = &func.dfg.jump_tables;
            let targets = data.branch_destination(jump_tables, &func.dfg.exception_tables);
            work.extend(targets.iter().map(|call| call.block(&func.dfg.value_lists)));
        }
    }
    walk
}

/// Returns the visible points of each function, by the inlined calls in the report.
fn expected(program: &Program, inlined: &Inlined) -> HashMap<FunctionId, Visible> {
    let mut callees = HashMap::new();
    for site in inlined.sites().filter(|site| site.inlined) {
        assert!(
            site.via().is_empty(),
            "only functions' own calls are inlined"
        );
        callees.insert((site.caller, site.inst), site.callee_id.unwrap());
    }
    let mut done: HashMap<FunctionId, (Visible, bool)> = HashMap::new();
    for &id in inlined.graph().bottom_up().flatten() {
        let body = program[id].body();
        let callee = |inst| Some(&done[callees.get(&(id, inst))?]);
        let walk = walk(body, |inst| Some(callee(inst)?.1));
        let mut visible = Visible::of(body, walk.kept);
        for call in walk.replaced {
            visible.add_copy(&done[&callees[&(id, call)]].0, &tags_of(body, call));
        }
        done.insert(id, (visible, walk.returns));
    }
    let visible = done.into_iter().map(|(id, (visible, _))| (id, visible));
    visible.collect()
}

/// Returns up to ten points of which there are more on one side.
fn differences(result: Vec<String>, expected: Vec<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for point in result {
        *counts.entry(point).or_default() += 1;
    }
    for point in expected {
        *counts.entry(point).or_default() -= 1;
    }
    let differing = counts.into_iter().filter(|(_, count)| *count != 0);
    let told = differing.map(|(point, count)| format!("{count:+} {point}"));
    told.take(10).collect()
}

/// Merges the points of slots that differ only in their places.
fn merged(slots: Vec<(Slot, Vec<String>)>) -> Vec<(Slot, Vec<String>)> {
    let mut merged: BTreeMap<Slot, Vec<String>> = BTreeMap::new();
    for (slot, points) in slots {
        merged.entry(slot).or_default().extend(points);
    }
    merged.values_mut().for_each(|points| points.sort());
    merged.into_iter().collect()
}

#[test]
fn tags_and_keys_of_a_debug_build_are_accounted_for_one_by_one() {
    let Some(text) = module("richards-debug") else {
        return;
    };
    let program = Program::from_clif(&text, "richards-debug").unwrap();
    for share_slots in [false, true] {
        account_for(&program, share_slots);
    }
}

fn account_for(program: &Program, share_slots: bool) {
    let isa = target("x86_64", &TargetSettings::new()).unwrap();
    let mut options = SpliceOptions::default();
    options.allow_stack_pointer = true;
    options.share_slots = share_slots;
    // Copied calls are final in the callee; deciding them again would only repeat that.
    let own_calls = |site: &CallSite<'_>| match site.depth() {
        0 => Decision::inline("a call of the caller's own"),
        _ => Decision::keep("came in with a body"),
    };
    let inlined = Inliner::new(own_calls)
        .splice_options(options)
        .clean_up(false)
        .verify_with(&*isa)
        .run(program)
        .unwrap();
    let expected = expected(program, &inlined);

    let (mut tagged, mut nested, mut keyed, mut copied) = (0, 0, 0, 0);
    let mut keys_before = HashSet::new();
    let mut keys_after = HashSet::new();
    for (id, function) in program.iter() {
        let body = inlined.body(id).unwrap();
        let result = Visible::of(body, all_insts(body));
        let differences = differences(result.describe(), expected[&id].describe());
        assert!(
            differences.is_empty(),
            "{}: {differences:#?}",
            function.name()
        );
        let slots = |visible: &Visible| match share_slots {
            false => visible.slots_with_points(),
            true => merged(visible.slots_with_points()),
        };
        assert!(
            slots(&result) == slots(&expected[&id]),
            "slots of {}",
            function.name()
        );
        tagged += result
            .points
            .iter()
            .filter(|point| !point.tags.is_empty())
            .count();
        // Three tags a frame.
        nested += result
            .points
            .iter()
            .filter(|point| point.tags.len() > 3)
            .count();
        keyed += result
            .slots
            .iter()
            .filter(|slot| slot.key.is_some())
            .count();
        let before = Visible::slots_of(function.body());
        copied += result.slots.len() - before.len();
        keys_before.extend(before.iter().filter_map(|slot| slot.key));
        if !inlined.stats(id).dropped {
            keys_after.extend(result.slots.iter().filter_map(|slot| slot.key));
        }
    }
    assert_eq!(
        keys_after, keys_before,
        "every key lives on in the remaining code"
    );
    let count = inlined.sites().filter(|site| site.inlined).count();
    println!(
        "{count} calls inlined; {tagged} tagged points, {nested} of them in two frames or more; \
         {keyed} keyed slots, {copied} of them copies"
    );
    assert!(count > 0 && nested > 0 && copied > 0);
}
