//! Virtual frames of real modules: every frame is one of the module's functions, every stack is a
//! path of the call graph, and the frames of each function match its copies.
//!
//! The modules are not part of the repository; see `main.rs` for their places. `richards-debug` is
//! checked, or every `*-debug` if `CLIF_CORPUS_ALL` is set.

use cranelift_codegen::ir::{DebugTag, Function, Inst, InstructionData, Opcode};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::Always;
use cranelift_inliner::frames::{FrameTableBuilder, FrameTag, WasmtimeFrames};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use cranelift_inliner::splice::SpliceOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn modules() -> Vec<(String, String)> {
    let folder = match env::var_os("CLIF_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(crate::ROOT).join("../shared/corpus"),
    };
    let all = env::var_os("CLIF_CORPUS_ALL").is_some();
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let stem = name.map(|name| name.trim_end_matches(".xz"));
            let stem = stem.and_then(|name| name.strip_suffix(".clif"));
            stem.is_some_and(|stem| stem == "richards-debug" || all && stem.ends_with("-debug"))
        })
        .collect();
    paths.sort();
    let texts = paths.into_iter();
    texts
        .filter_map(|path| Some((path.display().to_string(), text(&path)?)))
        .collect()
}

/// Returns the text of a module; `None` if it is packed and there is no `xz`.
fn text(path: &Path) -> Option<String> {
    if path.extension()? == "clif" {
        return Some(fs::read_to_string(path).unwrap());
    }
    let unpacked = Command::new("xz").arg("-dc").arg(path).output().ok()?;
    assert!(unpacked.status.success(), "xz cannot unpack {path:?}");
    Some(String::from_utf8(unpacked.stdout).unwrap())
}

/// Returns the function of a key: Wasmtime's keys are the numbers of functions.
fn function_of_key(program: &Program, key: u64) -> FunctionId {
    let name = FunctionName::user((key >> 32) as u32, key as u32);
    let id = program.id(&name);
    id.unwrap_or_else(|| panic!("the key {key:#x} is of no function: {name}"))
}

/// Facts about the source functions.
struct Source {
    /// The functions with a keyed slot that tags refer to.
    has_frames: Vec<bool>,
    /// The program counters in the tags of each function's reachable instructions.
    places: Vec<BTreeSet<u32>>,
    /// Those of them that are reached although no call of a function that never returns does: code
    /// after such a call is dropped where the callee is inlined.
    certain_places: Vec<BTreeSet<u32>>,
    /// Which functions with frames each may call, through functions without.
    callees: Vec<BTreeSet<FunctionId>>,
    /// Which functions return, after inlining into them.
    returns: Vec<bool>,
}

impl Source {
    fn new(program: &Program, inlined: &Inlined) -> Self {
        let all_places = |ends: &dyn Fn(&Function, Inst) -> bool| -> Vec<BTreeSet<u32>> {
            let functions = program.iter();
            functions
                .map(|(_, function)| reachable(function.body(), ends).0)
                .collect()
        };
        let places = all_places(&|_, _| false);
        let returns: Vec<bool> = program
            .ids()
            .map(|id| reachable(inlined.body(id).unwrap(), &|_, _| false).1)
            .collect();
        let certain_places = all_places(&|body, inst| {
            let (InstructionData::Call { func_ref, .. }
            | InstructionData::TryCall { func_ref, .. }) = body.dfg.insts[inst]
            else {
                return false;
            };
            let callee = program.callee(body, func_ref);
            callee.is_some_and(|id| !returns[id.as_u32() as usize])
        });
        let has_frames: Vec<bool> = places.iter().map(|places| !places.is_empty()).collect();
        let callees = program
            .ids()
            .map(|id| {
                let mut found = BTreeSet::new();
                let mut seen = BTreeSet::new();
                let mut work = vec![id];
                while let Some(at) = work.pop() {
                    for site in inlined.graph().callees(at) {
                        let Some(callee) = site.callee_function() else {
                            continue;
                        };
                        if has_frames[callee.as_u32() as usize] {
                            found.insert(callee);
                        } else if seen.insert(callee) {
                            work.push(callee);
                        }
                    }
                }
                found
            })
            .collect();
        Source {
            has_frames,
            places,
            certain_places,
            callees,
            returns,
        }
    }
}

/// Returns the program counters in the tags of the instructions that are reached if an instruction
/// for which `ends` holds does not go on, and whether a return is.
fn reachable(body: &Function, ends: &dyn Fn(&Function, Inst) -> bool) -> (BTreeSet<u32>, bool) {
    let mut reached = BTreeSet::new();
    let mut work: Vec<_> = body.layout.entry_block().into_iter().collect();
    let mut places = BTreeSet::new();
    let mut returns = false;
    'blocks: while let Some(block) = work.pop() {
        if !reached.insert(block) {
            continue;
        }
        for inst in body.layout.block_insts(block) {
            let opcode = body.dfg.insts[inst].opcode();
            returns |= opcode.is_return();
            if let [DebugTag::StackSlot(_), DebugTag::User(place), _] = body.debug_tags.get(inst)
                && opcode != Opcode::ReturnCall
            {
                places.insert(*place);
            }
            if ends(body, inst) {
                continue 'blocks;
            }
        }
        work.extend(body.block_successors(block));
    }
    (places, returns)
}

/// Returns how many copies of each function the report says are in each, itself included.
fn copies(inlined: &Inlined, program: &Program) -> Vec<BTreeMap<FunctionId, usize>> {
    let mut bodies: BTreeMap<FunctionId, Vec<FunctionId>> = BTreeMap::new();
    for site in inlined.sites().filter(|site| site.inlined) {
        bodies
            .entry(site.caller)
            .or_default()
            .extend(site.callee_id);
    }
    let mut done: BTreeMap<FunctionId, BTreeMap<FunctionId, usize>> = BTreeMap::new();
    fn count(
        id: FunctionId,
        bodies: &BTreeMap<FunctionId, Vec<FunctionId>>,
        done: &mut BTreeMap<FunctionId, BTreeMap<FunctionId, usize>>,
    ) -> BTreeMap<FunctionId, usize> {
        if let Some(known) = done.get(&id) {
            return known.clone();
        }
        let mut counts = BTreeMap::from([(id, 1)]);
        for &callee in bodies.get(&id).into_iter().flatten() {
            for (inner, number) in count(callee, bodies, done) {
                *counts.entry(inner).or_default() += number;
            }
        }
        done.insert(id, counts.clone());
        counts
    }
    program
        .ids()
        .map(|id| count(id, &bodies, &mut done))
        .collect()
}

#[test]
fn the_frames_of_real_modules_are_those_of_their_sources() {
    let modules = modules();
    if modules.is_empty() {
        eprintln!("passed over: no corpus, or no xz to unpack it");
    }
    for (path, text) in modules {
        let apart = check(&path, &text, false);
        let shared = check(&path, &text, true);
        // Nothing is inside a copy of itself, so copies of the same body share. But a body whose
        // slot's address escapes does not share with the body around it.
        assert!(shared * 10 < apart, "{path}: {shared} of {apart}");
    }
}

/// Returns how many bodies have more than one place of their slots in one function.
fn check(path: &str, text: &str, share_slots: bool) -> usize {
    let program = Program::from_clif(text, path).unwrap();
    let isa = target("x64", &TargetSettings::new().opt_level(OptLevel::None)).unwrap();
    let mut options = SpliceOptions::default();
    options.allow_stack_pointer = true;
    options.share_slots = share_slots;
    let inliner = Inliner::new(Always).splice_options(options).clean_up(false);
    let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    assert_eq!(compiled.fallbacks().count(), 0);
    let mut builder = FrameTableBuilder::new(WasmtimeFrames);
    let mut offsets = BTreeMap::new();
    let mut next = 0;
    for (id, function) in compiled.iter() {
        builder.add(u64::from(id.as_u32()), function).unwrap();
        offsets.insert(u64::from(id.as_u32()), next);
        next += function.code().len() as u64;
    }
    let table = builder.link(|identity| offsets.get(&identity).copied());
    let table = table.unwrap();
    let reader = table.reader();
    reader.validate().unwrap();

    let source = Source::new(&program, &inlined);
    let copies = copies(&inlined, &program);
    // By the physical function: each copy is a place of a slot, with the program counters that its
    // frames have. Copies that share their slots are one.
    let mut found: BTreeMap<FunctionId, BTreeMap<(FunctionId, i32), BTreeSet<u32>>> =
        BTreeMap::new();
    let mut points = 0;
    for point in reader.points() {
        let point = point.unwrap();
        points += 1;
        let function = reader.function_at(point.offset.saturating_sub(1)).unwrap();
        let physical = FunctionId::from_u32(function.unwrap().identity as u32);
        let mut around = None;
        for frame in point.frames.outermost_first() {
            let tags: Vec<_> = frame.unwrap().tags().map(Result::unwrap).collect();
            let [FrameTag::Slot(slot), FrameTag::User(place), _] = tags[..] else {
                panic!("{path}: {tags:?}")
            };
            let id = function_of_key(&program, slot.key.unwrap().bits());
            let legal = match around {
                None if source.has_frames[physical.as_u32() as usize] => id == physical,
                None => source.callees[physical.as_u32() as usize].contains(&id),
                Some(outer) => {
                    let outer: FunctionId = outer;
                    source.callees[outer.as_u32() as usize].contains(&id)
                }
            };
            assert!(
                legal,
                "{path}: in {}, {} is in {around:?}",
                program[physical].name(),
                program[id].name()
            );
            around = Some(id);
            let places = found.entry(physical).or_default();
            let places = places.entry((id, slot.fp_offset)).or_default();
            places.insert(place);
        }
    }
    assert!(points > 1000, "{path}: {points} points");

    let (mut more_than_one, mut exact) = (0, 0);
    for (physical, _) in compiled.iter() {
        let expected: BTreeMap<FunctionId, usize> = copies[physical.as_u32() as usize]
            .iter()
            .filter(|(id, _)| source.has_frames[id.as_u32() as usize])
            .map(|(id, count)| (*id, *count))
            .collect();
        let mut actual: BTreeMap<FunctionId, usize> = BTreeMap::new();
        for ((id, _), places) in found.get(&physical).into_iter().flatten() {
            *actual.entry(*id).or_default() += 1;
            let all = &source.places[id.as_u32() as usize];
            let certain = &source.certain_places[id.as_u32() as usize];
            assert!(
                certain.is_subset(places) && places.is_subset(all),
                "{path}: a copy of {} in {} has {places:?}, of which {certain:?} are certain and \
                 {all:?} possible",
                program[*id].name(),
                program[physical].name()
            );
        }
        more_than_one += actual.values().filter(|&&count| count > 1).count();
        // A copy may be cut off again, by the copy of a function that never returns.
        for (id, count) in &actual {
            assert!(
                expected.get(id).is_some_and(|most| count <= most),
                "{path}: {count} copies of {} in {}",
                program[*id].name(),
                program[physical].name()
            );
        }
        let mut inlined_here = copies[physical.as_u32() as usize].keys();
        if inlined_here.all(|id| *id == physical || source.returns[id.as_u32() as usize]) {
            exact += 1;
            if share_slots {
                let (actual, expected): (Vec<_>, Vec<_>) =
                    (actual.keys().collect(), expected.keys().collect());
                assert_eq!(actual, expected, "{path}: {}", program[physical].name());
            } else {
                assert_eq!(actual, expected, "{path}: {}", program[physical].name());
            }
        }
    }
    assert!(exact * 2 > compiled.iter().len(), "{path}: only {exact}");
    more_than_one
}
