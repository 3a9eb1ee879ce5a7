//! Traps: a signal at an instruction that the compiler listed becomes a value that tells where in
//! the WebAssembly module it was, through which calls, inlined ones among them.
//!
//! The handler goes on at the exception handler of the innermost entry, with the entry's frame and
//! stack pointers. Compiled functions keep nothing in registers for their callers, so nothing else
//! has to be restored.

use crate::context::Context;
use crate::image::{Function, Image, TrapKind, number};
use cranelift_inliner::backtrace::{
    Backtrace, BacktraceError, BacktraceName, BacktraceReader, BacktraceWalker,
};
use cranelift_inliner::frames::{FrameMemory, UnreadableMemory};
use std::cell::Cell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::{Arc, Once, OnceLock};

/// The end of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A return with results.
    Returned,
    /// A call of `proc_exit` with this code.
    Exited(i32),
    /// A trap.
    Trapped(Trap),
}

/// A trap and where it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Trap {
    /// The reason.
    pub kind: TrapKind,
    /// The active functions from the innermost outwards, inlined ones too.
    pub frames: Vec<StackFrame>,
}

/// An active function of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// Its name.
    pub function: String,
    /// The offset in the module of the instruction where it is; 0 if it is not known.
    pub offset: u32,
    /// Whether it was inlined into the function of the next frame.
    pub inlined: bool,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        for frame in &self.frames {
            let inlined = if frame.inlined { ", inlined" } else { "" };
            write!(
                f,
                "\n  in {} at {:#x}{inlined}",
                frame.function, frame.offset
            )?;
        }
        Ok(())
    }
}

/// Finds functions by addresses in their code.
#[derive(Debug)]
pub(crate) struct CodeMap {
    image: Arc<Image>,
    /// Start, end and number of each function, by address.
    ranges: Vec<(usize, usize, u32)>,
    /// The bytes of the backtrace table; its text begins at the first function.
    backtraces: Arc<[u8]>,
}

impl CodeMap {
    /// Makes the map of the code in `image`, whose functions start at `functions`.
    ///
    /// # Errors
    ///
    /// If `backtraces` is not a table.
    pub(crate) fn new(
        image: Arc<Image>,
        functions: &[usize],
        backtraces: Arc<[u8]>,
    ) -> Result<Self, BacktraceError> {
        BacktraceReader::new(&backtraces)?;
        let numbered = functions.iter().zip(&image.functions).zip(0..);
        let mut ranges: Vec<_> = numbered
            .filter(|((_, function), _)| function.size > 0)
            .map(|((&start, function), number)| (start, start + function.size as usize, number))
            .collect();
        ranges.sort_unstable();
        Ok(Self {
            image,
            ranges,
            backtraces,
        })
    }

    fn reader(&self) -> BacktraceReader<'_> {
        BacktraceReader::new(&self.backtraces).unwrap_or_default()
    }

    /// Returns the address of the text of the table.
    fn text(&self) -> u64 {
        self.ranges.first().map_or(0, |&(start, ..)| start as u64)
    }

    fn find(&self, address: usize) -> Option<(&Function, u32)> {
        let after = self.ranges.partition_point(|&(start, ..)| start <= address);
        let &(start, end, number) = self.ranges.get(after.checked_sub(1)?)?;
        (address < end).then(|| {
            let function = &self.image.functions[number as usize];
            (function, (address - start) as u32)
        })
    }

    fn trap(&self, address: usize) -> Option<TrapKind> {
        let (function, offset) = self.find(address)?;
        let index = function.traps.binary_search_by_key(&offset, |&(at, _)| at);
        index.ok().map(|index| function.traps[index].1)
    }

    /// Adds the frames of an address: of a trap, or that a call returns to.
    fn describe(&self, address: u64, is_trap: bool, frames: &mut Vec<StackFrame>) {
        let offset = address.checked_sub(self.text());
        let Some(offset) = offset.and_then(|offset| u32::try_from(offset).ok()) else {
            return;
        };
        let reader = self.reader();
        let places = match is_trap {
            true => reader.trap(offset),
            false => reader.return_address(offset),
        };
        frames.extend(self.frames(places.ok().flatten()));
    }

    fn frames(&self, places: Option<Backtrace<'_>>) -> Vec<StackFrame> {
        let places = places.into_iter().flatten().flatten();
        let frames = places.map(|place| StackFrame {
            function: match place.function {
                BacktraceName::Text(symbol) => number(symbol)
                    .and_then(|number| self.image.functions.get(number as usize))
                    .map(|function| function.name.clone()),
                BacktraceName::User { .. } => None,
            }
            .unwrap_or_else(|| place.function.to_string()),
            offset: match place.location.is_default() {
                true => 0,
                false => place.location.bits(),
            },
            inlined: true,
        });
        let mut frames: Vec<_> = frames.collect();
        // The last one is the function that was compiled.
        if let Some(outermost) = frames.last_mut() {
            outermost.inlined = false;
        }
        frames
    }
}

/// The most frames in the message of a trap.
const FRAMES: usize = 64;

/// Compiled code that runs on this thread.
struct Activation {
    code: *const CodeMap,
    context: *const Context,
    caught: Cell<Option<TrapKind>>,
    /// The address of the trap, and then return addresses.
    addresses: Cell<[u64; FRAMES]>,
}

thread_local! {
    static ACTIVE: Cell<*const Activation> = const { Cell::new(std::ptr::null()) };
}

/// Calls `run`, which enters compiled code. Returns the trap that ended it, if one did.
pub(crate) fn catch(code: &CodeMap, context: *const Context, run: impl FnOnce()) -> Option<Trap> {
    let activation = Activation {
        code,
        context,
        caught: Cell::new(None),
        addresses: Cell::new([0; FRAMES]),
    };
    let outer = ACTIVE.replace(&activation);
    run();
    ACTIVE.set(outer);
    let kind = activation.caught.get()?;
    let mut frames = Vec::new();
    for (index, address) in activation.addresses.get().into_iter().enumerate() {
        if address != 0 {
            code.describe(address, index == 0, &mut frames);
        }
    }
    // As many as without inlining, where each has an address.
    frames.truncate(FRAMES);
    Some(Trap { kind, frames })
}

const SIGNALS: [i32; 4] = [libc::SIGILL, libc::SIGSEGV, libc::SIGFPE, libc::SIGBUS];

static BEFORE: OnceLock<[libc::sigaction; 4]> = OnceLock::new();

/// Installs the signal handler, once.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = SIGNALS.map(|signal| {
            let mut before = MaybeUninit::zeroed();
            // SAFETY: the action is whole, and its handler is safe in a signal's context: it reads
            // memory, writes to its own thread's cells, and allocates nothing.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                // It runs on the stack of the code, whose limit is far from the end: the
                // alternative stacks of Rust's threads are too small for a walk without
                // optimization.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
                libc::sigemptyset(&mut action.sa_mask);
                libc::sigaction(signal, &action, before.as_mut_ptr());
                before.assume_init()
            }
        });
        let _ = BEFORE.set(before);
    });
}

/// Returns program counter, frame pointer and stack pointer of the interrupted code.
#[cfg(target_arch = "x86_64")]
fn registers(context: &mut libc::ucontext_t) -> [*mut usize; 3] {
    let registers = &mut context.uc_mcontext.gregs;
    let mut register = |index: i32| (&raw mut registers[index as usize]).cast();
    [
        register(libc::REG_RIP),
        register(libc::REG_RBP),
        register(libc::REG_RSP),
    ]
}

/// Returns program counter, frame pointer and stack pointer of the interrupted code.
#[cfg(target_arch = "aarch64")]
fn registers(context: &mut libc::ucontext_t) -> [*mut usize; 3] {
    let registers = &mut context.uc_mcontext;
    [
        (&raw mut registers.pc).cast(),
        (&raw mut registers.regs[29]).cast(),
        (&raw mut registers.sp).cast(),
    ]
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes this for a handler with `SA_SIGINFO`.
    let [pc, frame, stack] = registers(unsafe { &mut *context.cast() });
    // SAFETY: an activation lives as long as it is in the cell. The registers are valid.
    unsafe {
        if let Some(activation) = ACTIVE.get().as_ref()
            && let Some(kind) = (*activation.code).trap(*pc)
        {
            let context = &*activation.context;
            activation.caught.set(Some(kind));
            let memory = Stack {
                start: *stack as u64,
                end: context.entry_stack as u64,
            };
            let addresses = walk(&*activation.code, memory, *pc as u64, *frame as u64);
            activation.addresses.set(addresses);
            *pc = context.entry_handler;
            *frame = context.entry_frame;
            *stack = context.entry_stack;
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Returns the addresses of the instruction and of the calls around it, up to the entry's frame,
/// which the table does not have. It allocates nothing.
fn walk(code: &CodeMap, memory: Stack, pc: u64, fp: u64) -> [u64; FRAMES] {
    let mut addresses = [0; FRAMES];
    let walk = BacktraceWalker::from_trap(code.reader(), code.text(), memory, pc, fp);
    let known = walk.map_while(|frame| {
        let frame = frame.ok()?;
        frame.places.map(|_| frame.pc)
    });
    for (address, found) in addresses.iter_mut().zip(known) {
        *address = found;
    }
    addresses
}

/// The stack from the trap to the frame of the entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl FrameMemory for Stack {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), UnreadableMemory> {
        let length = out.len();
        let end = address.checked_add(length as u64);
        if address < self.start || end.is_none_or(|end| end > self.end) {
            return Err(UnreadableMemory { address, length });
        }
        // SAFETY: these bytes of this thread's stack are in use, and nothing writes them now.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, out.as_mut_ptr(), length);
        }
        Ok(())
    }
}

/// Leaves a signal that is not about compiled code to the handler that was there before.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = SIGNALS.iter().position(|&s| s == signal);
    let before = BEFORE.get().zip(index).map(|(all, index)| all[index]);
    // SAFETY: the action before is called in its own form, or is restored, so that the instruction
    // is executed again and has its effect without this handler.
    unsafe {
        match before {
            Some(action)
                if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN =>
            {
                let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(action.sa_sigaction);
                handler(signal, info, context);
            }
            _ => {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}
