//! A debugger sees the same frames.

use super::broken::{Broken, Property};
use super::code::Code;
use crate::execute::{Engine, ExecuteError, Invocation, NativeProgram, Snapshot};
use crate::targets::{LEVELS, engine};
use crate::trace::{Tag, TraceError, VirtualStack, frame_table};
use cranelift_inliner::frames::{FrameSchema, FrameTable};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionName, Program};
use std::hint::black_box;

/// Checks that at each call of the host, the stack of the source program is the same before and
/// after, natively, with and without optimization: the same frames with the same tags, which are
/// numbers, or slots with the same key and the same bytes. `schema` splits the program's tags into
/// frames.
///
/// Three things are not checked: programs whose tags are not in the form of `schema`, calls of the
/// host with an untagged call on the stack, and bytes of slots that were never written. Invocations
/// must [end](crate::execute::NativeProgram#trust).
///
/// # Errors
///
/// The first frame or tag that differs.
pub fn same_frames(
    before: &Program,
    inlined: &Inlined,
    invocations: &[Invocation],
    schema: &dyn FrameSchema,
) -> Result<(), Broken> {
    for level in LEVELS {
        let Some(engine) = engine(level) else {
            continue;
        };
        // An input that cannot run says nothing about the result.
        let Ok(code) = Code::of(engine, before) else {
            continue;
        };
        let Ok(traced) = Traced::new(engine, schema, before, &code) else {
            continue;
        };
        let after = code.after(engine, before, inlined.program());
        let after = after.map_err(|error| TracedError::Execute(error.into()));
        let after = after.and_then(|after| Traced::new(engine, schema, before, &after));
        let after = after.map_err(|error| {
            Broken::new(Property::Frames, error.to_string()).at(level.to_string())
        })?;
        for (index, invocation) in invocations.iter().enumerate() {
            let broken = |place: String, difference: String| {
                let place = format!("invocation {index}, {place}{level}");
                let broken = Broken::new(Property::Frames, difference);
                Err(broken.in_function(&invocation.function).at(place))
            };
            // Bytes that differ between these two were never written.
            let (Ok(expected), Ok(again)) =
                (traced.trace(invocation, 0), traced.trace(invocation, 0xa5))
            else {
                continue;
            };
            let actual = match after.trace(invocation, 0) {
                Ok(actual) => actual,
                Err(error) => return broken(String::new(), error.to_string()),
            };
            // The number of calls is another property.
            let stops = expected.iter().zip(&again).zip(&actual).enumerate();
            for (stop, ((expected, again), actual)) in stops {
                if !expected.is_complete {
                    continue;
                }
                if let Some(difference) = difference(expected, again, actual) {
                    return broken(format!("call {stop} of the host, "), difference);
                }
            }
        }
    }
    Ok(())
}

/// A running program, with the frame table of its code.
struct Traced {
    native: NativeProgram,
    table: FrameTable,
}

#[derive(Debug, thiserror::Error)]
enum TracedError {
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl Traced {
    fn new(
        engine: &Engine,
        schema: &dyn FrameSchema,
        source: &Program,
        code: &Code,
    ) -> Result<Self, TracedError> {
        let native = code.link(engine, source)?;
        let table = frame_table(schema, source, (0..).zip(code.iter()), |identity| {
            let code = code.iter().nth(usize::try_from(identity).ok()?)?;
            native.offset(&FunctionName::from(code.name().clone()))
        })?;
        Ok(Traced { native, table })
    }

    /// Returns the stack at each call of the host, with fresh stack memory filled with `paint`.
    fn trace(&self, invocation: &Invocation, paint: u8) -> Result<Vec<VirtualStack>, TracedError> {
        paint_stack(paint);
        let (_, snapshots) = self.native.call_with_snapshots(invocation)?;
        let stacks = snapshots.iter().map(|snapshot| self.stack(snapshot));
        Ok(stacks.collect::<Result<_, _>>()?)
    }

    fn stack(&self, snapshot: &Snapshot) -> Result<VirtualStack, TraceError> {
        VirtualStack::read(self.table.reader(), self.native.text(), snapshot)
    }
}

/// Fills the stack below the caller's frame.
#[inline(never)]
fn paint_stack(byte: u8) {
    black_box([byte; 64 << 10]);
}

fn difference(
    expected: &VirtualStack,
    again: &VirtualStack,
    actual: &VirtualStack,
) -> Option<String> {
    let frames = expected.frames.iter().zip(&again.frames);
    for (depth, ((expected, again), actual)) in frames.zip(&actual.frames).enumerate() {
        let tags = expected.iter().zip(again).zip(actual);
        for (number, ((expected, again), actual)) in tags.enumerate() {
            if !is_same(expected, again, actual) {
                return Some(format!(
                    "tag {number} of frame {depth} is {actual:?} instead of {expected:?}"
                ));
            }
        }
        let (count, expected) = (actual.len(), expected.len());
        if count != expected {
            return Some(format!(
                "frame {depth} has {count} tags instead of {expected}"
            ));
        }
    }
    let (count, expected) = (actual.frames.len(), expected.frames.len());
    (count != expected).then(|| format!("there are {count} frames instead of {expected}"))
}

fn is_same(expected: &Tag, again: &Tag, actual: &Tag) -> bool {
    let slot = |tag: &Tag| match tag {
        Tag::User(_) => None,
        Tag::Slot {
            key,
            descriptor,
            value,
        } => Some((*key, descriptor.clone(), value.clone())),
    };
    match (slot(expected), slot(again), slot(actual)) {
        (
            Some((key, descriptor, bytes)),
            Some((.., again)),
            Some((its_key, its_descriptor, its)),
        ) => {
            let mut bytes_alike = bytes.iter().zip(&again).zip(&its);
            (key, descriptor) == (its_key, its_descriptor)
                && bytes.len() == its.len()
                && bytes_alike.all(|((byte, again), its)| byte != again || byte == its)
        }
        _ => expected == actual,
    }
}
