//! Traces of programs: a debugger's view at each call of the host.

use super::programs::Case;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_inliner::backend::{CompileScratch, CompiledFunction, compile_function};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::{Engine, Invocation, Outcome, Snapshot};
use cranelift_inliner_testing::trace::{Tag, VirtualStack, WrittenBytes, frame_table};

/// The result of a run.
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

/// The compared data.
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

/// Returns a debugger's view of a run, with the table of the build.
pub(crate) fn trace(
    case: &Case,
    source: &Program,
    build: &Build,
    run: &Run,
) -> Result<Trace, String> {
    let functions = build
        .iter()
        .map(|(identity, compiled)| (*identity, compiled));
    let table = frame_table(case.schema(), source, functions, |identity| {
        let mut offsets = run.offsets.iter();
        Some(offsets.find(|(id, _)| *id == identity)?.1)
    });
    let table = table.map_err(|error| error.to_string())?;
    let written = WrittenBytes::of(source, case.schema());
    let events = run.events.iter();
    let events = events.map(|(arguments, snapshot)| {
        let stack = VirtualStack::read(table.reader(), run.text, snapshot);
        let mut stack = stack.map_err(|error| error.to_string())?;
        if case.is_guest {
            written.clear_others(&mut stack);
        }
        Ok::<_, String>(Event {
            arguments: *arguments,
            stack: stack.frames,
        })
    });
    Ok(Trace {
        events: events.collect::<Result<_, _>>()?,
        result: run.result,
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
