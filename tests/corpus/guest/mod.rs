//! The modules for guest debugging run, and a debugger sees the same with and without inlining.
//!
//! Wasmtime's runtime is not here, so functions are entered one by one on a [`machine`] that is
//! made for them, and each call ends after some breakpoints. The results have no meaning, but they
//! are the same without inlining. At each breakpoint, and at each other call of the runtime, the
//! stack is walked with the frame table; frames, program counters, shapes, keys and written bytes
//! of slots are compared, and the memory at the end.
//!
//! `richards-debug` is run, or every `*-debug` if `CLIF_CORPUS_ALL` is set.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod machine;
mod sizes;

use crate::files::{corpus, module, module_name};

/// Calls `report` with the name and the text of each module to look at.
fn for_each_debugged(report: impl Fn(&str, &str)) {
    if std::env::var_os("CLIF_CORPUS_ALL").is_none() {
        if let Some(text) = module("richards-debug") {
            report("richards-debug", &text);
        }
        return;
    }
    for (path, text) in corpus() {
        let name = module_name(&path);
        if name.ends_with("-debug") {
            report(name, &text);
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod same_frames {
    use super::for_each_debugged;
    use super::machine::{ENTRIES, Input, Layout, Machine};
    use crate::files::module;
    use cranelift_codegen::MachDebugTagPos;
    use cranelift_codegen::data_value::DataValue;
    use cranelift_codegen::ir::Signature;
    use cranelift_codegen::settings::OptLevel;
    use cranelift_inliner::backend::{CompiledFunction, TargetSettings};
    use cranelift_inliner::decide::{Always, CostModel, Inline, Never};
    use cranelift_inliner::frames::{
        CopiedMemory, FrameTable, FrameTableReader, StackWalker, WalkStart, WasmtimeFrames,
    };
    use cranelift_inliner::pass::{Inliner, Optimize};
    use cranelift_inliner::program::{FunctionId, FunctionName, Program};
    use cranelift_inliner::splice::SpliceOptions;
    use cranelift_inliner_testing::execute::{
        Engine, ExecuteError, HostCall, Invocation, NativeProgram, Outcome, Snapshot,
    };
    use cranelift_inliner_testing::trace::{
        Tag, TraceError, VirtualStack, WrittenBytes, frame_table,
    };
    use std::collections::{BTreeMap, BTreeSet};

    /// A program compiled in some way.
    struct Build {
        native: NativeProgram,
        table: FrameTable,
        addresses: BTreeMap<String, u64>,
    }

    struct Subject {
        program: Program,
        layout: Layout,
        machine: Machine,
        entries: Vec<u32>,
        /// Those in the table.
        functions: Vec<(String, Signature)>,
        written: WrittenBytes,
        engine: Engine,
    }

    type Frames = Vec<Vec<Tag>>;

    /// The stacks and the result of a run.
    struct Seen {
        calls: Vec<HostCall>,
        /// At each call of the host; `None` where the call of the runtime has no tags, such as that
        /// which notes the reason of a trap.
        stacks: Vec<Option<Frames>>,
        outcome: Outcome,
        left: Vec<u8>,
        /// The source of the stacks.
        snapshots: Vec<Snapshot>,
    }

    #[derive(Debug, Default)]
    struct Tally {
        inlined: usize,
        runs: usize,
        ends: BTreeMap<String, usize>,
        stacks: usize,
        frames: usize,
        /// The functions that are on the stacks, and the places in them.
        functions: BTreeSet<u64>,
        places: BTreeSet<(u64, u32, u32)>,
        all_places: usize,
    }

    impl Subject {
        fn new(text: &str, path: &str, machine: usize) -> Self {
            let module = Program::from_clif(text, path).unwrap();
            let names = module.iter().map(|(_, function)| function.name());
            let (mut entries, mut functions) = (Vec::new(), Vec::new());
            for name in names {
                let text = name.to_string();
                if let Some(number) = text.strip_prefix(&format!("u{ENTRIES}:")) {
                    entries.push(number.parse().unwrap());
                } else if text.starts_with("u0:") {
                    let signature = &module[module.id(name).unwrap()].body().signature;
                    functions.push((text, signature.clone()));
                }
            }
            let (layout, machine) = (Layout::of(&module), Machine::new(machine));
            let stubs = layout.stubs(&entries, &machine);
            let mut program = module;
            program.add_clif(&stubs, "stubs.clif").unwrap();
            let settings = TargetSettings::new().opt_level(OptLevel::Speed);
            Subject {
                written: WrittenBytes::of(&program, &WasmtimeFrames),
                engine: Engine::new(&settings).unwrap(),
                program,
                layout,
                machine,
                entries,
                functions,
            }
        }

        fn build(&self, policy: impl Inline + 'static, optimize: Optimize) -> (Build, usize) {
            let mut options = SpliceOptions::default();
            options.allow_stack_pointer = true;
            let inliner = Inliner::new(policy)
                .splice_options(options)
                .optimize(optimize);
            let compiled = inliner.run_and_compile(&self.program, self.engine.isa());
            let (inlined, compiled) = compiled.unwrap();
            assert_eq!(compiled.fallbacks().count(), 0);
            let functions: Vec<(u64, &CompiledFunction)> = compiled
                .iter()
                .map(|(id, function)| (u64::from(id.as_u32()), function))
                .collect();
            let code = functions.iter().map(|&(_, function)| function);
            let native = self.engine.link(&self.program, code).unwrap();
            let mut addresses = BTreeMap::new();
            let mut offsets = BTreeMap::new();
            for &(identity, function) in &functions {
                let name = FunctionName::from(function.name().clone());
                let offset = native.offset(&name).unwrap();
                addresses.insert(name.to_string(), native.text() + offset);
                offsets.insert(identity, offset);
            }
            let table = frame_table(WasmtimeFrames, &self.program, functions, |identity| {
                offsets.get(&identity).copied()
            });
            let build = Build {
                native,
                table: table.unwrap(),
                addresses,
            };
            (build, inlined.sites().filter(|site| site.inlined).count())
        }

        /// Returns whether the innermost function of the module is at a call with tags.
        fn is_tagged(&self, build: &Build, snapshot: &Snapshot) -> bool {
            let memory = CopiedMemory::new(snapshot.base, &snapshot.stack);
            let start = WalkStart {
                pc: snapshot.pc,
                fp: snapshot.fp,
                position: MachDebugTagPos::Post,
            };
            let walk = StackWalker::new(build.table.reader(), build.native.text(), memory, start);
            let mut frames = walk.map(Result::unwrap);
            let of_module = frames.find(|frame| {
                let function = FunctionId::from_u32(frame.function.identity as u32);
                !self.program[function].body().debug_tags.is_empty()
            });
            of_module.is_some_and(|frame| frame.frames.is_some())
        }

        /// Returns the frames in a copy of the stack.
        fn view(
            &self,
            table: FrameTableReader<'_>,
            build: &Build,
            snapshot: &Snapshot,
        ) -> Result<Frames, TraceError> {
            let mut stack = VirtualStack::read(table, build.native.text(), snapshot)?;
            self.written.clear_others(&mut stack);
            Ok(stack.frames)
        }

        /// Enters a function.
        fn run(
            &self,
            build: &Build,
            entry: u32,
            input: &Input,
            fuel: u64,
        ) -> Result<Seen, ExecuteError> {
            let code = |name: &str| build.addresses.get(name).copied();
            self.machine
                .prepare(&self.layout, &self.functions, code, input, fuel);
            let context = self.machine.context().cast_signed();
            let arguments = [
                context,
                context,
                self.machine.values().cast_signed(),
                input.values.len() as i64,
            ];
            let invocation = Invocation {
                function: format!("enter_{entry}").parse().unwrap(),
                arguments: arguments.map(DataValue::I64).to_vec(),
            };
            let (seen, snapshots) = build.native.call_with_snapshots(&invocation)?;
            let stacks = snapshots.iter().map(|snapshot| {
                let is_tagged = self.is_tagged(build, snapshot);
                is_tagged.then(|| self.view(build.table.reader(), build, snapshot).unwrap())
            });
            Ok(Seen {
                stacks: stacks.collect(),
                snapshots,
                calls: seen.host_calls,
                outcome: seen.outcome,
                left: self.machine.left(),
            })
        }
    }

    /// Returns how many inputs each function gets, and the most breakpoints of a run.
    fn extent() -> (u32, u64) {
        match std::env::var_os("CLIF_CORPUS_ALL") {
            Some(_) => (24, 300),
            None => (3, 400),
        }
    }

    fn check(name: &str, text: &str) -> Tally {
        let subject = Subject::new(text, name, 0);
        let (plain, none) = subject.build(Never, Optimize::None);
        assert_eq!(none, 0);
        let (always, all) = subject.build(Always, Optimize::All);
        let (cost, some) = subject.build(CostModel::default(), Optimize::All);
        let (inputs, most) = extent();
        let mut tally = Tally {
            inlined: all + some,
            all_places: subject.written.place_count(),
            ..Tally::default()
        };
        for &entry in &subject.entries {
            for seed in 1..=inputs {
                let input = Input::new(seed);
                let mut fuel = most;
                // A program that leaves the memory that there is tells nothing: it goes less far.
                let expected = loop {
                    match subject.run(&plain, entry, &input, fuel) {
                        Ok(seen) => break Some(seen),
                        Err(_) if fuel > 1 => fuel /= 2,
                        Err(_) => break None,
                    }
                };
                let Some(expected) = expected else {
                    *tally.ends.entry("fault".to_owned()).or_default() += 1;
                    continue;
                };
                for (way, build) in [("always", &always), ("cost", &cost)] {
                    let place = format!("{name}, {way}, entry {entry}, input {seed}, {fuel}");
                    let actual = subject.run(build, entry, &input, fuel);
                    let actual = actual.unwrap_or_else(|error| panic!("{place}: {error}"));
                    assert_same(&place, &expected, &actual);
                    tally.runs += 1;
                    let stacks = actual.stacks.iter().flatten();
                    tally.stacks += stacks.clone().count();
                    tally.frames += stacks.map(Vec::len).sum::<usize>();
                }
                tally.add(&expected);
            }
        }
        tally
    }

    fn assert_same(place: &str, expected: &Seen, actual: &Seen) {
        for (index, (one, other)) in expected.stacks.iter().zip(&actual.stacks).enumerate() {
            assert_eq!(one, other, "{place}, stack {index}");
        }
        assert!(expected.calls == actual.calls, "{place}: the calls differ");
        assert_eq!(expected.outcome, actual.outcome, "{place}");
        assert!(expected.left == actual.left, "{place}: the memory differs");
    }

    impl Tally {
        fn add(&mut self, seen: &Seen) {
            let end = match &seen.outcome {
                Outcome::Returned(_) => "returned".to_owned(),
                Outcome::Trapped(code) => code.to_string(),
                other => format!("{other:?}"),
            };
            *self.ends.entry(end).or_default() += 1;
            for stack in seen.stacks.iter().flatten() {
                for frame in stack {
                    if let [
                        Tag::Slot { key: Some(key), .. },
                        Tag::User(pc),
                        Tag::User(shape),
                    ] = frame[..]
                    {
                        self.functions.insert(key);
                        self.places.insert((key, pc, shape));
                    }
                }
            }
        }
    }

    /// A fault in the place of a slot shows exactly where a stack has the slot.
    #[test]
    fn a_fault_in_the_table_is_seen() {
        let Some(text) = module("richards-debug") else {
            return;
        };
        let subject = Subject::new(&text, "richards-debug", 1);
        let (build, _) = subject.build(Always, Optimize::None);
        let runs = subject.entries.iter().take(8).filter_map(|&entry| {
            let seen = subject.run(&build, entry, &Input::new(1), 100).ok()?;
            let stacks = seen.snapshots.into_iter().zip(seen.stacks);
            Some(stacks.filter_map(|(snapshot, stack)| Some((snapshot, stack?))))
        });
        let stacks: Vec<(Snapshot, Frames)> = runs.flatten().collect();
        let bytes = build.table.bytes();
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        // The columns are those of docs/FRAMES.md.
        let [functions, points, frames, slots, keys] = [16, 20, 28, 36, 40].map(word);
        let places = 64 + 16 * functions + 8 * points.div_ceil(32) + 4 * frames.div_ceil(16);
        let key = |row: usize| {
            let at = places + 12 * slots + 16 * row;
            u64::from_le_bytes(*bytes[at..].first_chunk().unwrap())
        };
        assert!(keys > 20 && slots > keys, "{slots} slots, {keys} keys");
        let (mut seen, mut unseen) = (0, 0);
        for slot in 0..slots {
            let at = places + 12 * slot;
            let own = key(word(at + 8) - 1);
            let mut faulty = bytes.to_vec();
            faulty[at..at + 4].copy_from_slice(&(word(at) as u32).wrapping_add(1).to_le_bytes());
            let table = FrameTableReader::new(&faulty).unwrap();
            let is_noticed = stacks.iter().any(|(snapshot, frames)| {
                let view = subject.view(table, &build, snapshot);
                view.map_or(true, |view| view != *frames)
            });
            let mut tags = stacks
                .iter()
                .flat_map(|(_, frames)| frames.iter().flatten());
            let is_of_function =
                tags.any(|tag| matches!(tag, Tag::Slot { key, .. } if *key == Some(own)));
            assert!(is_of_function || !is_noticed, "slot {slot}");
            seen += usize::from(is_noticed);
            unseen += usize::from(!is_noticed);
        }
        println!("{seen} faults are seen; {unseen} are in slots that no stack has");
        assert!(seen >= 8, "{seen}");
    }

    #[test]
    fn a_debugger_sees_the_same_in_modules_that_run() {
        for_each_debugged(report);
    }

    fn report(name: &str, text: &str) {
        let tally = check(name, text);
        println!(
            "{name}: {} inlined calls, {} runs, ends {:?}, {} stacks compared with {} frames; {} \
             functions at {} of {} places",
            tally.inlined,
            tally.runs,
            tally.ends,
            tally.stacks,
            tally.frames,
            tally.functions.len(),
            tally.places.len(),
            tally.all_places
        );
        assert!(tally.inlined > 0 && tally.places.len() > 100, "{name}");
    }
}
