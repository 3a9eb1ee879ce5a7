//! Calls in child processes, and the addresses of symbols that compiled code can call there.
//!
//! A child has a copy of the linked code and of the arguments, and sends the results back through a
//! pipe. The code affects only that copy. If a child dies, the first call without results is the
//! one that killed it, and a new child continues after it. The system's alarm ends a call that runs
//! longer than [`SECONDS_PER_CALL`].
#![allow(unsafe_code)]

use crate::execute::glue::Slot;
use crate::execute::image::Image;
use std::sync::Arc;

/// The time limit of a call.
#[cfg(unix)]
const SECONDS_PER_CALL: u32 = 60;

/// The stack of calls, in bytes: the usual size of a process's first stack.
#[cfg(unix)]
const STACK_BYTES: usize = 8 << 20;

/// The exit status of a child that threw an exception without a handler.
#[cfg(unix)]
const STATUS_UNCAUGHT: i32 = 117;

/// A call by addresses.
pub(super) struct Call {
    /// The entry that `glue::entry` generated for the callee's signature.
    pub(super) entry: u64,
    pub(super) callee: u64,
    /// One per argument or result, whichever are more.
    pub(super) slots: Vec<Slot>,
}

/// The end of a call.
pub(super) enum Ending {
    /// The slots after the call.
    Returned(Vec<Slot>),
    /// The process did not survive the call, with a description.
    Ended(String),
    /// The call was not made, with the reason.
    NotRun(String),
}

/// Makes the `calls` in order, and returns the end of each.
#[cfg(not(unix))]
pub(super) fn call_all(_image: &Arc<Image>, calls: &mut [Call]) -> Vec<Ending> {
    let reason = "it takes a system where a process can fork";
    let ending = |_| Ending::NotRun(reason.to_owned());
    calls.iter().map(ending).collect()
}

/// Makes the `calls` in order, and returns the end of each.
#[cfg(unix)]
pub(super) fn call_all(image: &Arc<Image>, calls: &mut [Call]) -> Vec<Ending> {
    let count = calls.len();
    let done = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || forked::make_all(image, calls))
            .map(|thread| thread.join().unwrap_or_default())
    });
    let mut endings = done.unwrap_or_default();
    endings.resize_with(count, || Ending::NotRun("no thread to run in".to_owned()));
    endings
}

#[cfg(unix)]
mod forked {
    use super::{Call, Ending, SECONDS_PER_CALL, STATUS_UNCAUGHT};
    use crate::execute::glue::{SLOT_BYTES, Slot};
    use crate::execute::image::Image;
    use std::cell::RefCell;
    use std::io::{self, PipeReader, PipeWriter, Read, Write};
    use std::sync::Arc;

    thread_local! {
        /// The image of the code that this thread is executing.
        pub(super) static IMAGE: RefCell<Option<Arc<Image>>> = const { RefCell::new(None) };
    }

    /// The mark after the slots of a call that returned, so that a call without slots shows, too.
    const RETURNED: [u8; 1] = [1];

    pub(super) fn make_all(image: &Arc<Image>, calls: &mut [Call]) -> Vec<Ending> {
        IMAGE.with_borrow_mut(|current| *current = Some(Arc::clone(image)));
        let mut endings = Vec::with_capacity(calls.len());
        while let Some(rest @ [_, ..]) = calls.get_mut(endings.len()..) {
            match fork_for(rest) {
                Ok((results, ending)) => {
                    endings.extend(split(&results, rest).map(Ending::Returned));
                    if endings.len() < calls.len() {
                        endings.push(Ending::Ended(ending));
                    }
                }
                Err(error) => {
                    let reason = format!("no child process to run in: {error}");
                    endings.resize_with(calls.len(), || Ending::NotRun(reason.clone()));
                }
            }
        }
        endings
    }

    /// Makes calls until the child dies. Returns the bytes of their slots, one call after the
    /// other, and the end of the child. The calls in this process are unchanged.
    fn fork_for(calls: &mut [Call]) -> io::Result<(Vec<u8>, String)> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: the child runs only `make_calls`, which does not return, allocates nothing and
        // takes no lock: another thread may have held one when the process was copied.
        let child = unsafe { libc::fork() };
        if child == 0 {
            make_calls(calls, writer);
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

    fn make_calls(calls: &mut [Call], mut writer: PipeWriter) -> ! {
        for call in calls {
            let entry = std::ptr::with_exposed_provenance::<u8>(call.entry as usize);
            let callee = std::ptr::with_exposed_provenance::<u8>(call.callee as usize);
            // SAFETY: an alarm is a plain number to the system; by default it ends the process.
            unsafe { libc::alarm(SECONDS_PER_CALL) };
            // SAFETY: the address is the start of a function that `glue::entry` generated for this
            // calling convention and these two parameters, and `slots` is as long as it expects.
            // The callee may do anything, but only to this child process, whose results are plain
            // bytes to the reader, as are the counters that it may share.
            unsafe {
                let entry: extern "C" fn(*const u8, *mut Slot) = std::mem::transmute(entry);
                entry(callee, call.slots.as_mut_ptr());
            }
            for slot in &call.slots {
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
            // SAFETY: `child` is a child of this process for which nothing else waits, and `status`
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

    /// Returns the results of the completed `calls`.
    fn split<'a>(mut results: &'a [u8], calls: &'a [Call]) -> impl Iterator<Item = Vec<Slot>> + 'a {
        calls.iter().map_while(move |call| {
            let length = call.slots.len() * SLOT_BYTES;
            let (own, rest) = results.split_at_checked(length + RETURNED.len())?;
            results = rest;
            let (slots, _) = own.as_chunks::<SLOT_BYTES>();
            Some(slots.iter().map(|bytes| Slot(*bytes)).collect())
        })
    }
}

/// Returns the address of `symbol` for code in this process: a runtime routine of Cranelift's code
/// generation, `__cranelift_throw` of Cranelift's filetests (on x86-64 with Unix), or a symbol of a
/// linked library such as the C library.
pub fn process_symbol(symbol: &str) -> Option<*const u8> {
    match symbol {
        "" => None,
        "__cranelift_throw" => throw_address(),
        other => super::libcalls::address(other).or_else(|| linked_symbol(other)),
    }
}

#[cfg(unix)]
fn linked_symbol(symbol: &str) -> Option<*const u8> {
    let symbol = std::ffi::CString::new(symbol).ok()?;
    // SAFETY: the argument is a string that ends in a zero byte and outlives the call.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) };
    (!address.is_null()).then_some(address.cast_const().cast())
}

#[cfg(not(unix))]
fn linked_symbol(_symbol: &str) -> Option<*const u8> {
    None
}

/// Counters in memory that [isolated](super::IsolatedProgram) calls share with this process, in the
/// form of the [counting code](cranelift_inliner::profile::Instrumented). They start at 0.
#[derive(Debug)]
pub struct SharedCounters {
    counters: *mut u64,
    len: usize,
}

// SAFETY: the memory is this value's alone, on every thread.
unsafe impl Send for SharedCounters {}

impl SharedCounters {
    /// Asks the system for the memory of `len` counters.
    ///
    /// # Errors
    ///
    /// Errors of the system, or a system other than Unix.
    #[cfg(unix)]
    pub fn new(len: usize) -> std::io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let bytes = Self::bytes(len);
        // SAFETY: new memory is asked for, at no address in particular.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let counters = memory.cast();
        Ok(Self { counters, len })
    }

    /// Asks the system for the memory of `len` counters.
    ///
    /// # Errors
    ///
    /// Always, since the system is not Unix.
    #[cfg(not(unix))]
    pub fn new(_len: usize) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Returns a length that the system maps; it does not map zero bytes.
    #[cfg(unix)]
    fn bytes(len: usize) -> usize {
        len.max(1).saturating_mul(size_of::<u64>())
    }

    /// Returns the address of the first counter.
    pub fn address(&self) -> *const u8 {
        self.counters.cast_const().cast()
    }

    /// Returns the current counts. No call should be running.
    pub fn counts(&self) -> Vec<u64> {
        let counter = |index| {
            // SAFETY: the table has `len` counters, and any bits are a counter.
            unsafe { self.counters.add(index).read_volatile() }
        };
        (0..self.len).map(counter).collect()
    }
}

impl Drop for SharedCounters {
    fn drop(&mut self) {
        // SAFETY: this is the memory of `new`. Code that knows its address is called only in child
        // processes, whose mapping is their own.
        #[cfg(unix)]
        unsafe {
            libc::munmap(self.counters.cast(), Self::bytes(self.len));
        }
    }
}

/// Returns the address of a substitute for the instruction `pshufb`, for processors without it.
pub(super) fn x86_pshufb() -> Option<*const u8> {
    #[cfg(target_arch = "x86_64")]
    {
        Some((shuffle as extern "C" fn(__m128i, __m128i) -> __m128i) as *const u8)
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
extern "C" fn shuffle(source: __m128i, selector: __m128i) -> __m128i {
    // SAFETY: a vector of 16 bytes and an array of 16 bytes have the same size, and every pattern
    // of bits is a value of either.
    unsafe {
        let bytes = super::libcalls::shuffle_bytes(
            std::mem::transmute::<__m128i, [u8; 16]>(source),
            std::mem::transmute::<__m128i, [u8; 16]>(selector),
        );
        std::mem::transmute::<[u8; 16], __m128i>(bytes)
    }
}

#[cfg(all(unix, target_arch = "x86_64"))]
fn throw_address() -> Option<*const u8> {
    type Throw = extern "C" fn(u64, u64, u64, u32, u64, u64) -> !;
    Some((throw as Throw) as *const u8)
}

#[cfg(not(all(unix, target_arch = "x86_64")))]
fn throw_address() -> Option<*const u8> {
    None
}

/// Throws an exception: finds a handler of `tag` at the calls of the frames from the one at
/// `exit_frame`, which contains `exit_address`, to the one at `entry_frame`, inclusive, and
/// continues there with the two payload values. Frames are linked by their frame pointers, so all
/// code in between must keep them.
#[cfg(all(unix, target_arch = "x86_64"))]
extern "C" fn throw(
    entry_frame: u64,
    exit_frame: u64,
    exit_address: u64,
    tag: u32,
    payload_0: u64,
    payload_1: u64,
) -> ! {
    // The caller promises a chain of frame pointers. A broken promise harms only this child.
    let image = forked::IMAGE.with_borrow(Clone::clone);
    let goal = image.as_ref().and_then(|image| {
        super::unwind::find_handler(image, tag, (exit_frame, exit_address), |fp, _| {
            fp == entry_frame
        })
    });
    drop(image);
    match goal {
        // SAFETY: a `try_call` is under way in this frame, so its frame is intact. The frames
        // below, this function's among them, have nothing to drop.
        Some(goal) => unsafe { super::unwind::resume(goal, payload_0, payload_1) },
        None => forked::exit(STATUS_UNCAUGHT),
    }
}
