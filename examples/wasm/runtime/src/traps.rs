//! Traps: a signal at an instruction that the compiler listed becomes a value that tells where in
//! the WebAssembly module it was, through which calls, inlined ones among them.
//!
//! The handler goes on at the exception handler of the innermost entry, with the entry's frame and
//! stack pointers. Compiled functions keep nothing in registers for their callers, so nothing else
//! has to be restored.

use crate::context::Context;
use crate::image::{Function, Image, Place, TrapKind};
use std::cell::Cell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::{Arc, Once, OnceLock};

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With results.
    Returned,
    /// By `proc_exit` with this code.
    Exited(i32),
    /// By a trap.
    Trapped(Trap),
}

/// A trap and where it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Trap {
    /// Why the program stopped.
    pub kind: TrapKind,
    /// From the innermost outwards, those that were inlined too.
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
}

impl CodeMap {
    pub(crate) fn new(image: Arc<Image>, functions: &[usize]) -> Self {
        let numbered = functions.iter().zip(&image.functions).zip(0..);
        let mut ranges: Vec<_> = numbered
            .filter(|((_, function), _)| function.size > 0)
            .map(|((&start, function), number)| (start, start + function.size as usize, number))
            .collect();
        ranges.sort_unstable();
        Self { image, ranges }
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

    fn describe(&self, address: usize, frames: &mut Vec<StackFrame>) {
        let Some((function, offset)) = self.find(address) else {
            return;
        };
        let line = function.lines.partition_point(|&(at, _)| at <= offset);
        let line = line.checked_sub(1).map(|index| function.lines[index].1);
        let place = |index: u32| function.places.get(index as usize).copied();
        let mut next = line.and_then(place);
        if next.is_none() {
            frames.push(StackFrame {
                function: function.name.clone(),
                offset: 0,
                inlined: false,
            });
        }
        while let Some(Place {
            function,
            offset,
            call,
        }) = next
        {
            frames.push(StackFrame {
                function: self.image.functions[function as usize].name.clone(),
                offset,
                inlined: call.is_some(),
            });
            next = call.and_then(place);
        }
    }
}

/// The most frames that a trap tells of.
const FRAMES: usize = 64;

/// Compiled code that runs on this thread.
struct Activation {
    code: *const CodeMap,
    context: *const Context,
    caught: Cell<Option<TrapKind>>,
    addresses: Cell<[usize; FRAMES]>,
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
    for address in activation.addresses.get() {
        if address != 0 {
            code.describe(address, &mut frames);
        }
    }
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
                action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
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
            activation
                .addresses
                .set(walk(*pc, *frame, context.entry_frame));
            *pc = context.entry_handler;
            *frame = context.entry_frame;
            *stack = context.entry_stack;
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Returns the addresses of the instruction and of the calls around it, up to the entry's frame.
///
/// # Safety
///
/// `frame` must be the frame of a compiled function, all of which have frame pointers.
unsafe fn walk(pc: usize, mut frame: usize, entry: usize) -> [usize; FRAMES] {
    let mut addresses = [0; FRAMES];
    addresses[0] = pc;
    for address in &mut addresses[1..] {
        // SAFETY: as the caller promised; the frame pointer before is in the frame, and the
        // return address above it.
        let (before, call) = unsafe { (*(frame as *const usize), *((frame + 8) as *const usize)) };
        if before == entry || frame == entry {
            break;
        }
        *address = call - 1;
        frame = before;
    }
    addresses
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
