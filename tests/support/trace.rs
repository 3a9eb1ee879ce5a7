//! Traces of programs: what a debugger sees at each call of the host.

use super::trace_programs::Case;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{CompileScratch, CompiledFunction, compile_function};
use cranelift_inliner::frames::{
    CopiedMemory, CountedFrames, FrameTable, FrameTableBuilder, FrameTag, StackWalker, WalkStart,
};
use cranelift_inliner::program::Program;

/// A stopped program: what the host was called with, from where, and a copy of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) arguments: [i64; 2],
    /// The address to which the host returns.
    pub(crate) pc: u64,
    /// The frame pointer of the function that called.
    pub(crate) fp: u64,
    /// Where the copy of the stack begins.
    pub(crate) base: u64,
    pub(crate) stack: Vec<u8>,
}

/// What came of a run.
pub(crate) struct Run {
    /// The address of the text.
    pub(crate) text: u64,
    /// Where each function is in the text, by its identity.
    pub(crate) offsets: Vec<(u64, u64)>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) result: i64,
}

/// A program compiled in some way: functions with their identities.
pub(crate) type Build = Vec<(u64, CompiledFunction)>;

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trace {
    pub(crate) events: Vec<Event>,
    pub(crate) result: i64,
}

/// A call of the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) arguments: [i64; 2],
    /// The virtual stack, outermost frame first. Frames without tags stand for no frame and are not
    /// here.
    pub(crate) stack: Vec<Vec<Tag>>,
}

/// A tag and what it leads to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tag {
    User(u32),
    Slot {
        key: Option<u64>,
        descriptor: Option<String>,
        value: Vec<u8>,
    },
}

pub(crate) fn parse(case: &Case) -> Program {
    let mut program = Program::from_clif(case.clif, case.name).unwrap();
    program.export_only(&["main".parse().unwrap()]).unwrap();
    program
}

/// Compiles bodies under the identities of the source functions.
pub(crate) fn compile(isa: &dyn TargetIsa, bodies: &[(u64, Function)]) -> Build {
    let mut scratch = CompileScratch::new();
    let compiled = bodies.iter().map(|(identity, body)| {
        let compiled = compile_function(isa, body, &mut scratch);
        (
            *identity,
            compiled.unwrap_or_else(|error| panic!("{error}\n{}", body.display())),
        )
    });
    compiled.collect()
}

/// The table of a build, with descriptors from the source.
pub(crate) fn table(source: &Program, build: &Build, run: &Run) -> Result<FrameTable, String> {
    let mut builder = FrameTableBuilder::new(CountedFrames);
    for (_, function) in source.iter() {
        let described = builder.describe_slots(function.body(), |_, data| {
            let key = data.key?.bits();
            Some(format!("slot {key} of {}", function.name()).into_bytes())
        });
        described.map_err(|error| error.to_string())?;
    }
    for (identity, compiled) in build {
        let added = builder.add(*identity, compiled);
        added.map_err(|error| error.to_string())?;
    }
    let offset = |identity| {
        let mut offsets = run.offsets.iter();
        Some(offsets.find(|(id, _)| *id == identity)?.1)
    };
    let table = builder.link(offset).map_err(|error| error.to_string())?;
    table
        .reader()
        .validate()
        .map_err(|error| error.to_string())?;
    Ok(table)
}

/// What a debugger makes of a run.
pub(crate) fn trace(table: &FrameTable, run: &Run) -> Result<Trace, String> {
    let events = run
        .snapshots
        .iter()
        .map(|snapshot| event(table, run, snapshot));
    Ok(Trace {
        events: events.collect::<Result<_, _>>()?,
        result: run.result,
    })
}

fn event(table: &FrameTable, run: &Run, snapshot: &Snapshot) -> Result<Event, String> {
    let memory = CopiedMemory::new(snapshot.base, &snapshot.stack);
    let start = WalkStart {
        pc: snapshot.pc,
        fp: snapshot.fp,
        position: MachDebugTagPos::Post,
    };
    let walker = StackWalker::new(table.reader(), run.text, memory, start);
    let mut stack = Vec::new();
    for frame in walker.virtual_frames() {
        let (fp, frame) = frame.map_err(|error| error.to_string())?;
        let mut tags = Vec::new();
        for tag in frame.tags() {
            tags.push(match tag.map_err(|error| error.to_string())? {
                FrameTag::User(value) => Tag::User(value),
                FrameTag::Slot(slot) => {
                    let mut value = vec![0; slot.size as usize];
                    slot.read(fp, &memory, 0, &mut value)
                        .map_err(|error| error.to_string())?;
                    Tag::Slot {
                        key: slot.key.map(|key| key.bits()),
                        descriptor: slot
                            .descriptor
                            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
                        value,
                    }
                }
            });
        }
        if !tags.is_empty() {
            stack.push(tags);
        }
    }
    stack.reverse();
    Ok(Event {
        arguments: snapshot.arguments,
        stack,
    })
}

/// Fails at the first event in which the traces differ.
pub(crate) fn assert_same(what: &str, expected: &Trace, actual: &Trace) {
    for (index, (one, other)) in expected.events.iter().zip(&actual.events).enumerate() {
        assert_eq!(one, other, "{what}: event {index}");
    }
    assert_eq!(expected.events.len(), actual.events.len(), "{what}");
    assert_eq!(expected.result, actual.result, "{what}");
}
