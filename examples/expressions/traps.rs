//! Traps of compiled code: a signal becomes a value with the functions and lines around it, those
//! of inlined functions too.
//!
//! The signal handler walks the stack with the backtrace table of the code, and goes on behind the
//! call that entered the code, where [`enter`] has left its stack pointer. It works on Linux, on
//! x64 and aarch64.

use crate::expressions::{compiler::compile, parser::parse};
use crate::jit;
use cranelift_inliner::backtrace::{
    Backtrace, BacktraceError, BacktraceRegistry, BacktraceTable, BacktraceWalker,
};
use cranelift_inliner::decide::Inline;
use cranelift_inliner::frames::{FrameMemory, UnreadableMemory};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::sync::Once;

/// A program that divides by zero if its argument is 7.
const TRAPS: &str = "
    fn share(total, parts) = total / parts;
    fn between(total, parts) =
        share(total + 1,
              parts - 3) % 10;
    fn each(f: closure, n) = f(n) + f(n - 4);
    export fn shares(n) = each(|x|
        between(100, x), n);
";

/// The tables of all code that runs.
static CODE: BacktraceRegistry = BacktraceRegistry::new();

/// Compiles [`TRAPS`] with a policy, and returns the trap of `shares(7)` and how many calls were
/// inlined. It is an error if there is no trap.
pub(crate) fn trap_in(policy: impl Inline + 'static) -> Result<(Trap, usize), Box<dyn Error>> {
    let inliner = Inliner::new(policy).locations(LocationMode::InlinedAt);
    let mut module = InliningModule::new(jit()?, inliner).keep_backtraces(true);
    let ids = compile(&parse(TRAPS)?, &mut module)?;
    let (mut module, report) = module.finish()?;
    module.finalize_definitions()?;

    // One text from the first function to the last.
    let address = |id| module.get_finalized_function(id) as u64;
    let defined = report.defined().iter();
    let functions: Vec<_> = defined
        .filter_map(|&id| Some((address(id), report.backtraces(id)?)))
        .collect();
    let start = functions.iter().map(|&(address, _)| address).min();
    let start = start.ok_or("no function")?;
    let offsets = functions
        .iter()
        .map(|&(address, function)| (address - start, function));
    let table = BacktraceTable::link(offsets)?;
    let end = start + u64::from(table.reader().text_bytes());
    let registration = CODE.register(start..end, table);

    let code = module.get_finalized_function(ids["shares"]);
    // SAFETY: a function of the language with one parameter, whose table is registered.
    let results = [6, 7].map(|argument| unsafe { call(code, argument) });
    drop(registration);
    // SAFETY: the module's code is not running, and its addresses are not kept.
    unsafe { module.free_memory() };
    match results {
        [Ok(_), Err(trap)] => Ok((trap, report.inlined().sites().filter(|s| s.inlined).count())),
        other => Err(format!("expected a result and a trap, got {other:?}").into()),
    }
}

/// The places around a trap, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap(Vec<TrapFrame>);

/// An active function of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TrapFrame {
    function: String,
    /// The line where it is; 0 if it is not known.
    line: u32,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TrapFrame { function, line } in &self.0 {
            write!(f, "\n  in {function} at line {line}")?;
        }
        Ok(())
    }
}

/// The most frames in the message of a trap.
const FRAMES: usize = 64;

/// A call into compiled code on this thread.
#[repr(C)]
struct Entry {
    /// Where to go on, and with which stack pointer: see [`enter`].
    address: Cell<usize>,
    stack: Cell<usize>,
    is_trapped: Cell<bool>,
    /// The address of the trap, and then return addresses.
    addresses: [Cell<u64>; FRAMES],
}

thread_local! {
    static ENTRY: Cell<*const Entry> = const { Cell::new(std::ptr::null()) };
}

/// Calls a function of compiled code with one argument.
///
/// # Errors
///
/// The trap, if it does not return.
///
/// # Safety
///
/// `code` must be the address of a function that takes and returns an integer. It and all functions
/// below it have frame pointers, and are in texts that [`CODE`] has. None holds a resource.
unsafe fn call(code: *const u8, argument: i64) -> Result<i64, Trap> {
    install();
    let entry = Entry {
        address: Cell::new(0),
        stack: Cell::new(0),
        is_trapped: Cell::new(false),
        addresses: [const { Cell::new(0) }; FRAMES],
    };
    let outer = ENTRY.replace(&entry);
    // SAFETY: as the caller promises.
    let result = unsafe { enter(code, argument, &entry) };
    ENTRY.set(outer);
    match entry.is_trapped.get() {
        false => Ok(result),
        true => Err(entry.trap()),
    }
}

impl Entry {
    fn trap(&self) -> Trap {
        let mut frames = Vec::new();
        let addresses = self.addresses.iter().map(Cell::get);
        for (index, address) in addresses.take_while(|&address| address != 0).enumerate() {
            let found = match index {
                0 => CODE.at_trap(address, |text| describe(text.reader.trap(text.offset))),
                _ => CODE.at_return_address(address, |text| {
                    describe(text.reader.return_address(text.offset))
                }),
            };
            frames.extend(found.into_iter().flatten());
        }
        // As many as without inlining, where each has an address.
        frames.truncate(FRAMES);
        Trap(frames)
    }
}

fn describe(places: Result<Option<Backtrace<'_>>, BacktraceError>) -> Vec<TrapFrame> {
    let places = places.ok().flatten().into_iter().flatten().flatten();
    let frames = places.map(|place| TrapFrame {
        function: place
            .function
            .to_string()
            .trim_start_matches('%')
            .to_owned(),
        line: match place.location.is_default() {
            true => 0,
            false => place.location.bits(),
        },
    });
    frames.collect()
}

/// Saves the registers that the function may use, and leaves in the entry where to go on after a
/// trap: right behind the call, with the same stack.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn enter(code: *const u8, argument: i64, entry: *const Entry) -> i64 {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // For the alignment.
        "push rdx",
        "lea rax, [rip + 2f]",
        "mov [rdx], rax",
        "mov [rdx + 8], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "2:",
        "pop rdx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Saves the registers that the function may use, and leaves in the entry where to go on after a
/// trap: right behind the call, with the same stack.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn enter(code: *const u8, argument: i64, entry: *const Entry) -> i64 {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "adr x9, 2f",
        "mov x10, sp",
        "stp x9, x10, [x2]",
        "mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "2:",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}

/// Installs the signal handler, once.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
            // SAFETY: the action is whole. Its handler reads the table and the stack, and writes to
            // its own thread's entry.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigemptyset(&mut action.sa_mask);
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
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

extern "C" fn handle(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes this for a handler with `SA_SIGINFO`.
    let [pc, frame, stack] = registers(unsafe { &mut *context.cast() });
    // SAFETY: an entry lives as long as it is in the cell, and the registers are valid.
    let handled = unsafe {
        ENTRY.get().as_ref().is_some_and(|entry| {
            let memory = Stack {
                start: *stack as u64,
                end: entry.stack.get() as u64,
            };
            let (trap, fp) = (*pc as u64, *frame as u64);
            let found = CODE.at_trap(trap, |text| {
                let start = text.address;
                let walk = BacktraceWalker::from_trap(text.reader, start, memory, trap, fp);
                let addresses = walk.map_while(|frame| Some(frame.ok()?.pc));
                for (cell, address) in entry.addresses.iter().zip(addresses) {
                    cell.set(address);
                }
            });
            if found.is_some() {
                entry.is_trapped.set(true);
                *pc = entry.address.get();
                *stack = entry.stack.get();
            }
            found.is_some()
        })
    };
    if !handled {
        // The instruction is executed again, and then has its effect without this handler.
        // SAFETY: it restores the action that every process begins with.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// The stack of compiled code, from the trap to its entry.
#[derive(Clone, Copy)]
struct Stack {
    start: u64,
    end: u64,
}

impl FrameMemory for Stack {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), UnreadableMemory> {
        let length = out.len();
        let is_within = address >= self.start
            && address
                .checked_add(length as u64)
                .is_some_and(|end| end <= self.end);
        if !is_within {
            return Err(UnreadableMemory { address, length });
        }
        // SAFETY: this thread's stack has these bytes, and nothing writes them now.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, out.as_mut_ptr(), length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::trap_in;
    use cranelift_inliner::decide::{Always, CostModel, Never};

    /// The lines are those of `TRAPS`, whose first is empty.
    const CHAIN: &str = "
  in share at line 2
  in between at line 4
  in shares_closure0 at line 8
  in each at line 6
  in shares at line 7";

    #[test]
    fn a_trap_tells_of_the_same_chain_with_and_without_inlining() {
        let (without, none) = trap_in(Never).unwrap();
        assert_eq!((without.to_string(), none), (CHAIN.to_owned(), 0));
        for (with, calls) in [
            trap_in(Always).unwrap(),
            trap_in(CostModel::default()).unwrap(),
        ] {
            assert_eq!(with.to_string(), CHAIN);
            assert!(calls >= 4, "{calls}");
        }
    }
}
