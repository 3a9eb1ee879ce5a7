//! The frames of a stop in gdb, compared with those of both tables.

use crate::programs::{SLOT_KEYS, Subject};
use crate::session::{Frame, Stop, number};
use cranelift_codegen::MachDebugTagPos;
use cranelift_inliner::backend::default_symbol;
use cranelift_inliner::backtrace::{BacktraceReader, BacktraceWalker};
use cranelift_inliner::frames::{CopiedMemory, FrameTableReader, FrameTag, VirtualFrame};
use cranelift_inliner::program::FunctionName;

/// The tables of a build, and the place of its code.
pub(super) struct Tables<'a> {
    pub(super) subject: &'a Subject,
    /// The address of the text.
    pub(super) text: u64,
    /// The functions by their identities in the frame table.
    pub(super) functions: &'a [String],
    pub(super) backtraces: Vec<u8>,
    pub(super) frames: Vec<u8>,
}

/// The stack of a stop.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

/// A function and a line, 0 where that is unknown.
type Place = (String, u64);

/// The frames that are one frame of the machine, innermost first.
#[derive(Debug)]
struct Machine<'a> {
    frames: Vec<&'a Frame>,
    /// Whether it stopped at a trap and not at a call.
    is_trap: bool,
}

impl Machine<'_> {
    fn places(&self) -> Vec<Place> {
        let frames = self.frames.iter();
        frames
            .map(|frame| (frame.function.clone(), frame.line))
            .collect()
    }
}

/// The numbers of compared frames and slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    pub(super) places: usize,
    pub(super) tagged: usize,
    pub(super) slots: usize,
    /// Traps at which gdb shows a call in place of the body that is entered there.
    pub(super) at_entries: usize,
}

impl Tables<'_> {
    /// Counts equal frames and slots in `compared`, and returns the first difference.
    pub(super) fn difference(
        &self,
        stop: &Stop,
        stack: &Stack,
        compared: &mut Compared,
    ) -> Option<String> {
        let machine = machine_frames(stop);
        let different = self.walk(&machine, stack, compared);
        let different = different.and_then(|()| {
            let mut calls = machine.iter().filter(|frame| !frame.is_trap);
            calls.try_for_each(|frame| self.virtual_frames(frame, stack, compared))
        });
        different.err()
    }

    /// Compares with the backtrace table, by a walk over the frame pointers.
    fn walk(
        &self,
        machine: &[Machine<'_>],
        stack: &Stack,
        compared: &mut Compared,
    ) -> Result<(), String> {
        let reader = BacktraceReader::new(&self.backtraces).map_err(|error| error.to_string())?;
        let memory = CopiedMemory::new(stack.start, &stack.bytes);
        let first = machine.first().ok_or("no frame")?;
        let (pc, fp) = (first.frames[0].pc, first.frames[0].fp);
        let mut walk = match first.is_trap {
            true => BacktraceWalker::from_trap(reader, self.text, memory, pc, fp),
            false => BacktraceWalker::from_return_address(reader, self.text, memory, pc, fp),
        };
        for expected in machine {
            let frame = walk.next().ok_or("the walk ends early")?;
            let frame = frame.map_err(|error| error.to_string())?;
            let own = expected.frames[0];
            if (frame.pc, frame.fp) != (own.pc, own.fp) {
                return Err(format!("{frame:x?}, and {own:x?} in gdb"));
            }
            let places = frame.places.ok_or(format!("nothing at {:#x}", frame.pc))?;
            let mut found = Vec::new();
            for place in places {
                let place = place.map_err(|error| error.to_string())?;
                let line = match place.location.is_default() {
                    true => 0,
                    false => u64::from(place.location.bits()),
                };
                found.push((shown_name(&place.function.to_name()), line));
            }
            let places = expected.places();
            if expected.is_trap && found.len() > places.len() && found.ends_with(&places) {
                compared.at_entries += 1;
            } else if found != places {
                return Err(format!("{found:?}, and {places:?} in gdb"));
            }
            compared.places += found.len();
        }
        // The entry is the last function of the text.
        match (walk.next(), walk.next()) {
            (Some(Ok(_)), None) => Ok(()),
            other => Err(format!("the walk goes on: {other:x?}")),
        }
    }

    /// Compares with the frame table.
    fn virtual_frames(
        &self,
        machine: &Machine<'_>,
        stack: &Stack,
        compared: &mut Compared,
    ) -> Result<(), String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let reader = FrameTableReader::new(&self.frames).map_err(|error| failed(&error))?;
        let (pc, fp) = (machine.frames[0].pc, machine.frames[0].fp);
        let offset = u32::try_from(pc - self.text).map_err(|error| failed(&error))?;
        let function = reader
            .function_at(offset - 1)
            .map_err(|error| failed(&error))?;
        let function = function.ok_or(format!("no function at {pc:#x}"))?;
        let name = self.functions.get(function.identity as usize);
        let outermost = machine.frames.last().ok_or("no frame")?;
        if name != Some(&outermost.function) {
            return Err(format!("{name:?}, and {} in gdb", outermost.function));
        }
        let frames = reader.lookup(offset, MachDebugTagPos::Post);
        let Some(frames) = frames.map_err(|error| failed(&error))? else {
            // Functions of the host have no tags.
            return match self.is_host(&outermost.function) {
                true => Ok(()),
                false => Err(format!("no tags at {pc:#x}")),
            };
        };
        // Calls that do not return have an empty frame.
        let tail_calls = &self.subject.tail_calls;
        let shown = machine.frames.iter();
        let shown = shown.filter(|frame| !tail_calls.contains(&frame.line));
        let shown: Vec<&Frame> = shown.copied().collect();
        let mut count = 0;
        for frame in frames.innermost_first() {
            let frame = frame.map_err(|error| failed(&error))?;
            if frame.tags().next().is_none() {
                continue;
            }
            let shown = shown.get(count).ok_or("more tags than frames")?;
            self.virtual_frame(&frame, shown, fp, stack, compared)?;
            count += 1;
        }
        compared.tagged += count;
        match count == shown.len() {
            true => Ok(()),
            false => Err(format!("{count} frames with tags, and {shown:?} in gdb")),
        }
    }

    fn virtual_frame(
        &self,
        frame: &VirtualFrame<'_>,
        shown: &Frame,
        fp: u64,
        stack: &Stack,
        compared: &mut Compared,
    ) -> Result<(), String> {
        let tags: Result<Vec<_>, _> = frame.tags().collect();
        let tags = tags.map_err(|error| error.to_string())?;
        let [
            FrameTag::Slot(slot),
            FrameTag::User(own),
            FrameTag::User(line),
        ] = tags[..]
        else {
            return Err(format!("{tags:?}"));
        };
        let name = self.name(u64::from(own));
        if (name.as_deref(), u64::from(line)) != (Some(&shown.function), shown.line) {
            return Err(format!("{name:?} at {line}, and {shown:?} in gdb"));
        }
        let key = slot.key.and_then(|key| key.bits().checked_sub(SLOT_KEYS));
        let described = slot.descriptor.map(String::from_utf8_lossy);
        if key != Some(u64::from(own)) || described.as_deref() != name.as_deref() || slot.size != 8
        {
            return Err(format!("{slot:?} in {name:?}"));
        }
        let address = slot.address(fp);
        if let Some(known) = shown.variables.get("&slot") {
            if address != Some(number(known)) {
                return Err(format!("the slot at {address:x?}, and at {known} in gdb"));
            }
            compared.slots += 1;
        }
        let mut bytes = [0; 8];
        let memory = CopiedMemory::new(stack.start, &stack.bytes);
        slot.read(fp, &memory, 0, &mut bytes)
            .map_err(|error| error.to_string())?;
        match u64::from_le_bytes(bytes) == u64::from(own) {
            true => Ok(()),
            false => Err(format!("{bytes:?} in the slot of {name:?}")),
        }
    }

    fn name(&self, number: u64) -> Option<String> {
        let id = self.subject.program.ids().nth(number as usize)?;
        Some(shown_name(self.subject.program[id].name()))
    }

    fn is_host(&self, function: &str) -> bool {
        let mut hosts = self.subject.hosts.iter();
        hosts.any(|(name, _)| shown_name(name) == function)
    }
}

/// Returns the name of a function in DWARF.
pub(super) fn shown_name(name: &FunctionName) -> String {
    default_symbol(name.as_user_func_name())
}

/// Returns the frames of the machine, innermost first. gdb adds those of tail calls, which have
/// none.
fn machine_frames(stop: &Stop) -> Vec<Machine<'_>> {
    let mut all = Vec::new();
    let mut frames = Vec::new();
    let mut is_trap = stop.signal != "breakpoint";
    for frame in &stop.frames {
        frames.push(frame);
        if frame.kind != "i" {
            let frames = std::mem::take(&mut frames);
            if frame.kind == "n" {
                all.push(Machine { frames, is_trap });
            }
            is_trap = false;
        }
    }
    all
}
