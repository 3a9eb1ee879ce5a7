//! Calls of functions in the emulator.

use super::{Emulator, emulated};
use crate::execute::error::ExecuteError;
use crate::execute::glue::{self, SLOT_BYTES, Slot};
use crate::execute::host::{Exception, Host, Reply};
use crate::execute::image::Image;
use crate::execute::values::check_arguments;
use crate::execute::{Invocation, Observation, Outcome};
use cranelift_codegen::ir::{Endianness, Signature};
use cranelift_inliner::program::FunctionName;
use rustc_hash::FxHashMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

// The numbers of messages, which host.c has too: first those from there, then those from here.
const CALLED: u64 = 1;
const RETURNED: u64 = 2;
const STOPPED: u64 = 3;

const RETURN: u64 = 1;
const WALK: u64 = 2;
const LAND: u64 = 3;
const END: u64 = 4;

/// Linked programs in an emulator.
///
/// A trap, or an access to unmapped memory, ends only the call. A call that takes longer than a
/// minute ends the emulator, and so does code that QEMU cannot translate. It starts again for the
/// next call.
pub struct EmulatedPrograms {
    command: Command,
    order: Endianness,
    image: Image,
    programs: Vec<FxHashMap<FunctionName, Callable>>,
    running: Running,
    /// The executable is in it.
    _folder: TempDir,
}

/// The emulator's process.
struct Running {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self, ExecuteError> {
        let mut child = command.spawn().map_err(emulated)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Running { child, to, from }),
            _ => Err(emulated("it has no pipes")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A function that can be called from outside.
#[derive(Debug)]
pub(super) struct Callable {
    pub(super) signature: Signature,
    /// Of the entry and of the function.
    pub(super) addresses: [u64; 2],
}

impl fmt::Debug for EmulatedPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EmulatedPrograms");
        debug.field("programs", &self.programs.len());
        debug.finish_non_exhaustive()
    }
}

impl EmulatedPrograms {
    pub(super) fn start(
        emulator: &Emulator,
        folder: TempDir,
        executable: &Path,
        image: Image,
        programs: Vec<FxHashMap<FunctionName, Callable>>,
    ) -> Result<Self, ExecuteError> {
        let mut command = emulator.command();
        command.arg(executable);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(EmulatedPrograms {
            running: Running::start(&mut command)?,
            command,
            order: emulator.order(),
            image,
            programs,
            _folder: folder,
        })
    }

    /// Calls an exported function of the program with the number `program`.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::UnknownFunction`] for a function that is not callable, and for a number that
    /// the linker has not returned; [`ExecuteError::Arguments`]; [`ExecuteError::Fault`] if the
    /// processor stopped the program at an unexpected place; [`ExecuteError::Emulated`] if the
    /// emulator ended.
    pub fn call(
        &mut self,
        program: usize,
        invocation: &Invocation,
    ) -> Result<Observation, ExecuteError> {
        let name = &invocation.function;
        let callable = self.programs.get(program);
        let callable = callable.and_then(|program| program.get(name));
        let callable = callable.ok_or_else(|| ExecuteError::UnknownFunction {
            function: name.clone(),
        })?;
        let signature = callable.signature.clone();
        check_arguments(&invocation.arguments, &signature).map_err(|reason| {
            ExecuteError::Arguments {
                function: name.clone(),
                reason,
            }
        })?;
        let slots = glue::fill(&invocation.arguments, &signature, self.order);
        let [entry, callee] = callable.addresses;
        self.tell(&[entry, callee, slots.len() as u64], &slots)?;
        let mut host = Host::default();
        let outcome = self.answer_calls(&signature, &mut host);
        if let Err(ExecuteError::Emulated { reason }) = &outcome {
            let reason = format!("{reason}; {}", self.start_again()?);
            return Err(ExecuteError::Emulated { reason });
        }
        let outcome = outcome?;
        Ok(Observation {
            host_calls: host.into_calls(),
            outcome,
        })
    }

    /// Starts the emulator again, and returns how it ended.
    fn start_again(&mut self) -> Result<String, ExecuteError> {
        let next = Running::start(&mut self.command)?;
        let mut last = std::mem::replace(&mut self.running, next);
        // Its output ends a moment before it does.
        for _ in 0..100 {
            if let Some(status) = last.child.try_wait().map_err(emulated)? {
                return Ok(status.to_string());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok("it still runs".to_owned())
    }

    /// Answers calls of the host until a call of a function of `signature` ends.
    fn answer_calls(
        &mut self,
        signature: &Signature,
        host: &mut Host,
    ) -> Result<Outcome, ExecuteError> {
        loop {
            match self.word()? {
                CALLED => {
                    let number = self.word()?;
                    if let Some(exception) = self.answer(number, host)? {
                        return Ok(Outcome::threw(exception));
                    }
                }
                RETURNED => {
                    let slots = self.slots(glue::slot_count(signature))?;
                    let values = glue::read(&slots, &signature.returns, self.order);
                    return Ok(Outcome::returned(values, signature));
                }
                STOPPED => {
                    let (pc, signal) = (self.word()?, self.word()?);
                    return self.stopped(pc, signal);
                }
                word => return Err(emulated(format!("an unknown message {word}"))),
            }
        }
    }

    /// Answers a call of the host; returns an exception without a handler.
    fn answer(&mut self, number: u64, host: &mut Host) -> Result<Option<Exception>, ExecuteError> {
        let number = usize::try_from(number).map_err(emulated)?;
        let called = self.image.host.get(number).cloned();
        let (name, signature) = called.ok_or_else(|| emulated("an unknown function"))?;
        let slots = self.slots(glue::slot_count(&signature))?;
        let arguments = glue::read(&slots, &signature.params, self.order);
        match host.call(&name, arguments, &signature) {
            Reply::Return(results) => {
                let slots = glue::fill(&results, &signature, self.order);
                self.tell(&[RETURN], &slots)?;
                Ok(None)
            }
            Reply::Throw(exception) => match self.handler(exception.tag)? {
                Some([address, sp, fp]) => {
                    let payload = exception.payload.cast_unsigned();
                    self.tell(&[LAND, address, sp, fp, payload], &[])?;
                    Ok(None)
                }
                None => {
                    self.tell(&[END], &[])?;
                    Ok(Some(exception))
                }
            },
        }
    }

    /// Returns the first handler of `tag` outward from the current call of the host: its address,
    /// and the stack and frame pointers there.
    fn handler(&mut self, tag: u32) -> Result<Option<[u64; 3]>, ExecuteError> {
        self.tell(&[WALK], &[])?;
        let mut first = None;
        loop {
            let (fp, pc) = (self.word()?, self.word()?);
            if (fp, pc) == (0, 0) {
                return Ok(first);
            }
            let landing = self.image.handler(pc, tag).filter(|_| first.is_none());
            if let Some(landing) = landing {
                first = Some([landing.address, fp.wrapping_sub(landing.frame_offset), fp]);
            }
        }
    }

    fn stopped(&self, pc: u64, signal: u64) -> Result<Outcome, ExecuteError> {
        if let Some(code) = self.image.trap_at(pc) {
            return Ok(Outcome::Trapped(code));
        }
        Err(match self.image.function_at(pc) {
            Some((function, offset)) => ExecuteError::Fault {
                function: function.clone(),
                offset,
                signal: i32::try_from(signal).unwrap_or(0),
            },
            None => emulated(format!("signal {signal} at {pc:#x}")),
        })
    }

    fn tell(&mut self, words: &[u64], slots: &[Slot]) -> Result<(), ExecuteError> {
        let mut bytes = Vec::with_capacity(words.len() * 8 + slots.len() * SLOT_BYTES);
        for word in words {
            bytes.extend(match self.order {
                Endianness::Big => word.to_be_bytes(),
                Endianness::Little => word.to_le_bytes(),
            });
        }
        for slot in slots {
            bytes.extend(slot.0);
        }
        self.running.to.write_all(&bytes).map_err(emulated)
    }

    fn word(&mut self) -> Result<u64, ExecuteError> {
        let mut bytes = [0; 8];
        self.running.from.read_exact(&mut bytes).map_err(emulated)?;
        Ok(match self.order {
            Endianness::Big => u64::from_be_bytes(bytes),
            Endianness::Little => u64::from_le_bytes(bytes),
        })
    }

    fn slots(&mut self, count: usize) -> Result<Vec<Slot>, ExecuteError> {
        let mut slots = vec![Slot::default(); count];
        for slot in &mut slots {
            self.running
                .from
                .read_exact(&mut slot.0)
                .map_err(emulated)?;
        }
        Ok(slots)
    }
}
