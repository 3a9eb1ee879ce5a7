//! Traces of programs: what a debugger sees at each call of the host.

use super::programs::Case;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_inliner::backend::{CompileScratch, CompiledFunction, compile_function};
use cranelift_inliner::frames::{
    CopiedMemory, CountedFrames, FrameTable, FrameTableBuilder, FrameTag, StackWalker, WalkStart,
};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner::testing::execute::{Engine, Invocation, Outcome, Snapshot};

/// What came of a run.
pub(crate) struct Run {
    /// The address of the text.
    pub(crate) text: u64,
    /// Where each function is in the text, by its identity.
    pub(crate) offsets: Vec<(u64, u64)>,
    /// For each call of the host its arguments and the stack.
    pub(crate) events: Vec<([i64; 2], Snapshot)>,
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

/// Calls `%main` of a build of `source` on this machine.
pub(crate) fn run(isa: &OwnedTargetIsa, source: &Program, build: &Build, argument: i64) -> Run {
    let engine = Engine::for_isa(isa.clone()).unwrap();
    let functions = build.iter().map(|(_, compiled)| compiled);
    let native = engine.link(source, functions).unwrap();
    let invocation = Invocation {
        function: "main".parse().unwrap(),
        arguments: vec![DataValue::I64(argument)],
    };
    let (seen, snapshots) = native.call_with_snapshots(&invocation).unwrap();
    let integer = |value: &DataValue| match value {
        DataValue::I64(value) => *value,
        other => panic!("the test programs have no {other}"),
    };
    let arguments = seen
        .host_calls
        .iter()
        .map(|call| match &call.arguments[..] {
            [first, second] => [integer(first), integer(second)],
            other => panic!("the host takes two arguments, not {other:?}"),
        });
    let offsets = build.iter().map(|(identity, compiled)| {
        let name = FunctionName::from(compiled.name().clone());
        (*identity, native.offset(&name).unwrap())
    });
    Run {
        text: native.text(),
        offsets: offsets.collect(),
        events: arguments.zip(snapshots).collect(),
        result: match &seen.outcome {
            Outcome::Returned(values) => integer(&values[0]),
            other => panic!("the test programs return, but {other:?}"),
        },
    }
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
    let events = run.events.iter();
    let events = events.map(|(arguments, snapshot)| {
        let stack = stack(table, run, snapshot)?;
        let arguments = *arguments;
        Ok::<_, String>(Event { arguments, stack })
    });
    Ok(Trace {
        events: events.collect::<Result<_, _>>()?,
        result: run.result,
    })
}

fn stack(table: &FrameTable, run: &Run, snapshot: &Snapshot) -> Result<Vec<Vec<Tag>>, String> {
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
    Ok(stack)
}

/// Fails at the first event in which the traces differ.
pub(crate) fn assert_same(what: &str, expected: &Trace, actual: &Trace) {
    for (index, (one, other)) in expected.events.iter().zip(&actual.events).enumerate() {
        assert_eq!(one, other, "{what}: event {index}");
    }
    assert_eq!(expected.events.len(), actual.events.len(), "{what}");
    assert_eq!(expected.result, actual.result, "{what}");
}
