//! Calling compiled code, and all `unsafe` of the tool.
//!
//! Directives run in a forked child process, which has a copy of the linked code and of the
//! arguments, and sends the results back through a pipe. Whatever the code does, it does to that
//! copy. A child that dies before its last call has died in the first call of which no results
//! came; a new child goes on behind it. A call that runs longer than [`SECONDS_PER_CALL`] is ended
//! by the system's alarm.

use std::cell::RefCell;
use std::ffi::CString;
use std::sync::Arc;

use cranelift_jit::JITModule;
use cranelift_module::FuncId;

use super::handlers::HandlerTable;
use super::host_functions::shuffle_bytes;
use super::trampoline::Slot;

/// The time that one call may take.
const SECONDS_PER_CALL: u32 = 60;

/// The stack that calls have, in bytes: as much as a process's first thread usually has.
const STACK_BYTES: usize = 8 << 20;

/// How a child ends that threw an exception which no handler takes.
const STATUS_UNCAUGHT: i32 = 117;

/// Linked code in executable memory, which is given back when this is dropped.
pub(super) struct LoadedCode {
    module: Option<JITModule>,
    handlers: Arc<HandlerTable>,
}

/// A call to make. The slots hold the arguments, and have room for the results.
pub(super) struct Call {
    pub(super) trampoline: FuncId,
    pub(super) callee: FuncId,
    pub(super) slots: Vec<Slot>,
}

/// What came of a call.
pub(super) enum Outcome {
    /// The slots after the call.
    Returned(Vec<Slot>),
    /// The process did not survive the call, in words.
    Ended(String),
    /// The call was never made, and why.
    NotRun(String),
}

impl LoadedCode {
    pub(super) fn new(module: JITModule, handlers: HandlerTable) -> Self {
        Self {
            module: Some(module),
            handlers: Arc::new(handlers),
        }
    }

    fn address(&self, function: FuncId) -> *const u8 {
        let module = self.module.as_ref();
        module.map_or(std::ptr::null(), |module| {
            module.get_finalized_function(function)
        })
    }
}

impl Drop for LoadedCode {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the code is called only from `run_isolated`, which borrows this value and
            // has returned, and in child processes, which have their own copy of the memory.
            unsafe { module.free_memory() }
        }
    }
}

thread_local! {
    /// The handlers of the code that this thread is executing.
    static HANDLERS: RefCell<Option<Arc<HandlerTable>>> = const { RefCell::new(None) };
}

/// The address of `symbol` in this process, if it is linked to something of that name.
pub(super) fn process_symbol(symbol: &str) -> Option<*const u8> {
    let symbol = CString::new(symbol).ok()?;
    #[cfg(unix)]
    {
        // SAFETY: the argument is a string that ends in a zero byte and outlives the call.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) };
        (!address.is_null()).then_some(address.cast_const().cast())
    }
    #[cfg(not(unix))]
    {
        drop(symbol);
        None
    }
}

/// Counters that the processes in which calls are made share with this one. They begin at 0.
pub(crate) struct CounterTable {
    counters: *mut u64,
    len: usize,
}

impl CounterTable {
    #[cfg(unix)]
    pub(crate) fn new(len: usize) -> std::io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: new memory is asked for, at no address in particular.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::bytes(len),
                protection,
                flags,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let counters = memory.cast();
        Ok(Self { counters, len })
    }

    #[cfg(not(unix))]
    pub(crate) fn new(_len: usize) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// The system maps no stretch of no bytes.
    #[cfg(unix)]
    fn bytes(len: usize) -> usize {
        len.max(1).saturating_mul(size_of::<u64>())
    }

    pub(super) fn address(&self) -> *const u8 {
        self.counters.cast_const().cast()
    }

    pub(crate) fn counts(&self) -> Vec<u64> {
        let counter = |index| {
            // SAFETY: the table has `len` counters, and no call is under way that would write them.
            unsafe { self.counters.add(index).read_volatile() }
        };
        (0..self.len).map(counter).collect()
    }
}

impl Drop for CounterTable {
    fn drop(&mut self) {
        // SAFETY: this is the memory of `new`, and code that knows its address is called only while
        // the table is borrowed.
        #[cfg(unix)]
        unsafe {
            libc::munmap(self.counters.cast(), Self::bytes(self.len));
        }
    }
}

/// Makes the `calls` in order, and says for each what came of it.
#[cfg(not(unix))]
pub(super) fn run_isolated(_code: &LoadedCode, calls: &[Call]) -> Vec<Outcome> {
    let reason = "directives run only where a process can fork";
    calls
        .iter()
        .map(|_| Outcome::NotRun(reason.to_owned()))
        .collect()
}

/// Makes the `calls` in order, and says for each what came of it.
#[cfg(unix)]
pub(super) fn run_isolated(code: &LoadedCode, calls: &[Call]) -> Vec<Outcome> {
    let mut entries: Vec<child::Entry> = calls
        .iter()
        .map(|call| child::Entry {
            trampoline: code.address(call.trampoline).expose_provenance(),
            callee: code.address(call.callee).expose_provenance(),
            slots: call.slots.clone(),
        })
        .collect();
    let handlers = &code.handlers;
    let done = std::thread::scope(|scope| {
        let make_all = || child::make_all(&mut entries, handlers);
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, make_all)
            .map(|thread| thread.join().unwrap_or_default())
    });
    let mut outcomes = done.unwrap_or_default();
    let not_run = || Outcome::NotRun("no thread to run in".to_owned());
    outcomes.resize_with(calls.len(), not_run);
    outcomes
}

#[cfg(unix)]
mod child {
    use std::io::{self, PipeReader, PipeWriter, Read, Write};
    use std::sync::Arc;

    use super::super::handlers::HandlerTable;
    use super::super::trampoline::{SLOT_BYTES, Slot};
    use super::{HANDLERS, Outcome, SECONDS_PER_CALL, STATUS_UNCAUGHT};

    /// A call by addresses.
    pub(super) struct Entry {
        pub(super) trampoline: usize,
        pub(super) callee: usize,
        pub(super) slots: Vec<Slot>,
    }

    /// What follows the slots of a call that returned, so that one without slots shows, too.
    const RETURNED: [u8; 1] = [1];

    pub(super) fn make_all(entries: &mut [Entry], handlers: &Arc<HandlerTable>) -> Vec<Outcome> {
        HANDLERS.with_borrow_mut(|current| *current = Some(Arc::clone(handlers)));
        let mut outcomes = Vec::with_capacity(entries.len());
        while let Some(rest @ [_, ..]) = entries.get_mut(outcomes.len()..) {
            match fork_for(rest) {
                Ok((results, ending)) => {
                    outcomes.extend(split(&results, rest).map(Outcome::Returned));
                    if outcomes.len() < entries.len() {
                        outcomes.push(Outcome::Ended(ending));
                    }
                }
                Err(error) => {
                    let reason = format!("no child process to run in: {error}");
                    let not_run = || Outcome::NotRun(reason.clone());
                    outcomes.resize_with(entries.len(), not_run);
                }
            }
        }
        outcomes
    }

    /// Makes as many of the calls as a child lives through. Returns the bytes of their slots, one
    /// call after the other, and how the child ended. The entries here stay as they are.
    fn fork_for(entries: &mut [Entry]) -> io::Result<(Vec<u8>, String)> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: the child runs only `make_calls`, which does not return, allocates nothing and
        // takes no lock: another thread may have held one when the process was copied.
        let child = unsafe { libc::fork() };
        if child == 0 {
            make_calls(entries, writer);
        }
        drop(writer);
        if child < 0 {
            return Err(io::Error::last_os_error());
        }
        let results = read_all(reader);
        let ending = wait_for(child)?;
        Ok((results?, ending))
    }

    fn read_all(mut reader: PipeReader) -> io::Result<Vec<u8>> {
        let mut results = Vec::new();
        reader.read_to_end(&mut results)?;
        Ok(results)
    }

    fn make_calls(entries: &mut [Entry], mut writer: PipeWriter) -> ! {
        for entry in entries {
            let trampoline = std::ptr::with_exposed_provenance::<u8>(entry.trampoline);
            let callee = std::ptr::with_exposed_provenance::<u8>(entry.callee);
            // SAFETY: an alarm is a plain number to the system; by default it ends the process.
            unsafe { libc::alarm(SECONDS_PER_CALL) };
            // SAFETY: the address is the start of a function that `trampoline::build` generated
            // for this calling convention and these two parameters, and `slots` is as long as it
            // expects. The callee may do anything, but only to this child process, which shares
            // no memory with another and whose results are plain bytes to the reader.
            unsafe {
                let trampoline: extern "C" fn(*const u8, *mut Slot) =
                    std::mem::transmute(trampoline);
                trampoline(callee, entry.slots.as_mut_ptr());
            }
            for slot in &entry.slots {
                send(&mut writer, &slot.0);
            }
            send(&mut writer, &RETURNED);
        }
        exit(0)
    }

    fn send(writer: &mut PipeWriter, bytes: &[u8]) {
        if writer.write_all(bytes).is_err() {
            exit(1);
        }
    }

    pub(super) fn exit(status: i32) -> ! {
        // SAFETY: ends the process at once, running nothing of it.
        unsafe { libc::_exit(status) }
    }

    fn wait_for(child: libc::pid_t) -> io::Result<String> {
        let mut status = 0;
        loop {
            // SAFETY: `child` is a child of this process that nobody else waits for, and `status`
            // is a place for one number.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            if waited == child {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(describe(status))
    }

    fn describe(status: i32) -> String {
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            let meaning = match signal {
                libc::SIGILL => "it trapped",
                libc::SIGFPE => "it trapped on a division",
                libc::SIGTRAP => "it reached a breakpoint",
                libc::SIGSEGV | libc::SIGBUS => "it accessed memory that it may not",
                libc::SIGALRM => return format!("it ran longer than {SECONDS_PER_CALL} seconds"),
                _ => "it was ended",
            };
            return format!("{meaning} (signal {signal})");
        }
        match libc::WEXITSTATUS(status) {
            STATUS_UNCAUGHT => "it threw an exception that no handler takes".to_owned(),
            other => format!("it ended the process (status {other})"),
        }
    }

    /// The results of the `calls` that were completed.
    fn split<'a>(
        mut results: &'a [u8],
        calls: &'a [Entry],
    ) -> impl Iterator<Item = Vec<Slot>> + 'a {
        calls.iter().map_while(move |call| {
            let length = call.slots.len() * SLOT_BYTES;
            let (own, rest) = results.split_at_checked(length + RETURNED.len())?;
            results = rest;
            let (slots, _) = own.as_chunks::<SLOT_BYTES>();
            Some(slots.iter().map(|bytes| Slot(*bytes)).collect())
        })
    }
}

/// The address of a substitute for the instruction `pshufb`, for processors without it.
pub(super) fn x86_pshufb_address() -> Option<*const u8> {
    #[cfg(target_arch = "x86_64")]
    {
        Some((x86_pshufb as extern "C" fn(__m128i, __m128i) -> __m128i) as *const u8)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i;

#[cfg(target_arch = "x86_64")]
#[expect(
    improper_ctypes_definitions,
    reason = "Cranelift passes vectors in registers as C does, but C's type has no lint-proof form"
)]
extern "C" fn x86_pshufb(source: __m128i, selector: __m128i) -> __m128i {
    // SAFETY: a vector of 16 bytes and an array of 16 bytes have the same size, and every pattern
    // of bits is a value of either.
    unsafe {
        let bytes = shuffle_bytes(
            std::mem::transmute::<__m128i, [u8; 16]>(source),
            std::mem::transmute::<__m128i, [u8; 16]>(selector),
        );
        std::mem::transmute::<[u8; 16], __m128i>(bytes)
    }
}

/// The address of the function behind the name `__cranelift_throw`, where the host has one.
pub(super) fn throw_address() -> Option<*const u8> {
    #[cfg(all(unix, target_arch = "x86_64"))]
    {
        type Throw = extern "C" fn(usize, usize, usize, u32, usize, usize) -> !;
        Some((throw as Throw) as *const u8)
    }
    #[cfg(not(all(unix, target_arch = "x86_64")))]
    None
}

/// Throws an exception: looks for a handler of `tag` at the calls of the frames from the one at
/// `exit_frame`, which `exit_address` is in, to the one at `entry_frame`, inclusive, and goes on
/// there with the two payload values. Frames are linked by their frame pointers, so all code in
/// between must have been compiled to keep them.
#[cfg(all(unix, target_arch = "x86_64"))]
extern "C" fn throw(
    entry_frame: usize,
    exit_frame: usize,
    exit_address: usize,
    tag: u32,
    payload_0: usize,
    payload_1: usize,
) -> ! {
    let handlers = HANDLERS.with_borrow(Clone::clone);
    let mut frame = exit_frame;
    let mut address = exit_address;
    // The stack pointer just after the call at `address` returned.
    let mut stack = None;
    loop {
        let landing = handlers.as_ref().and_then(|table| table.find(address, tag));
        if let Some(landing) = landing {
            let below_frame = landing.frame_offset.map(|offset| frame - offset);
            if let Some(stack) = below_frame.or(stack) {
                drop(handlers);
                // SAFETY: a `try_call` was under way in this frame, so its frame is intact, and
                // the handler expects no register but these. The frames below, this function's
                // among them, are abandoned; nothing in them is to be dropped.
                unsafe { resume(landing.address, stack, frame, payload_0, payload_1) }
            }
        }
        if frame == entry_frame {
            child::exit(STATUS_UNCAUGHT);
        }
        let words = std::ptr::with_exposed_provenance::<usize>(frame);
        // SAFETY: the caller promises a chain of frame pointers from `exit_frame` to
        // `entry_frame`. On x64 a frame begins with the frame pointer of its caller and the
        // address to return to. A broken promise harms only this child process.
        let (caller, return_address) = unsafe { (words.read(), words.add(1).read()) };
        stack = frame.checked_add(2 * size_of::<usize>());
        frame = caller;
        address = return_address;
    }
}

/// Goes on at `address` with these pointers, the payload in the registers that every convention
/// with exceptions names for it.
///
/// # Safety
///
/// A frame of compiled code must be at `frame` and `stack`, and `address` a handler of its call.
#[cfg(all(unix, target_arch = "x86_64"))]
unsafe fn resume(
    address: usize,
    stack: usize,
    frame: usize,
    payload_0: usize,
    payload_1: usize,
) -> ! {
    // SAFETY: never returns to this function, so it need not preserve anything for it.
    unsafe {
        std::arch::asm!(
            "mov rsp, {stack}",
            "mov rbp, {frame}",
            "jmp {address}",
            stack = in(reg) stack,
            frame = in(reg) frame,
            address = in(reg) address,
            in("rax") payload_0,
            in("rdx") payload_1,
            options(noreturn),
        )
    }
}
