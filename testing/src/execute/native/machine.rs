//! Execution of compiled code in the caller's process.
//!
//! # How a call goes
//!
//! [`execute`] records the running code in a thread-local, and calls `enter`, a few lines of
//! assembly: it saves the callee-saved registers, records the stack pointer, and calls the
//! program's entry. The program may leave in three ways. It returns. It calls the host, whose
//! recorder finds that a thrown exception has no handler. Or the processor stops it, and the system
//! calls the signal handler: if the address is in the running code, the handler makes the thread
//! continue at `recover`. In the last two cases the stack pointer is reset to the recorded one, and
//! `enter` returns as if the program had. No frame in between is a Rust frame with something to
//! drop: they are the program's, the glue's, and the recorder's, which by then holds plain numbers.
//!
//! A fault anywhere else, on another thread or in the recorder, goes to the previous signal
//! handler, and without one it ends the process as usual. Wasmtime finds its traps in the same way.
//!
//! # Trust
//!
//! The engine relies on three things: the code is Cranelift's; it keeps frame pointers (the
//! engine's settings ensure this); and the program writes only to memory that belongs to it. An
//! invented address can hit anything in this process.
#![allow(unsafe_code)]

use crate::execute::glue::Slot;
use cranelift_jit::JITModule;
use cranelift_module::FuncId;

/// Linked code in executable memory, which is freed when this value is dropped.
pub(super) struct Code {
    module: Option<JITModule>,
}

impl Code {
    /// Creates a machine for the code of `module`, which must be finalized.
    pub(super) fn new(module: JITModule) -> Self {
        Code {
            module: Some(module),
        }
    }

    pub(super) fn address(&self, function: FuncId) -> u64 {
        let module = self.module.as_ref();
        module.map_or(0, |module| {
            module.get_finalized_function(function).expose_provenance() as u64
        })
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the code is called only from `execute`, whose caller borrows this value, and
            // which has returned, and in child processes, which have a copy of the memory.
            unsafe { module.free_memory() }
        }
    }
}

/// A call by addresses.
pub(super) struct Call<'a> {
    /// The entry that `glue::entry` generated for the callee's signature.
    pub(super) entry: u64,
    pub(super) callee: u64,
    /// As many as the signature needs.
    pub(super) slots: &'a mut [Slot],
}

#[cfg(all(any(target_os = "linux", target_os = "macos"), target_arch = "x86_64"))]
pub(super) use here::{execute, recorder};

#[cfg(not(all(any(target_os = "linux", target_os = "macos"), target_arch = "x86_64")))]
pub(super) use elsewhere::{execute, recorder};

#[cfg(all(any(target_os = "linux", target_os = "macos"), target_arch = "x86_64"))]
mod here {
    use super::{Call, Code, Slot};
    use crate::execute::glue::slot_count;
    use crate::execute::image::Image;
    use crate::execute::native::{Ending, HostAnswer, HostSide, Snapshot, unwind};
    use std::arch::naked_asm;
    use std::cell::Cell;
    use std::ffi::{c_int, c_void};
    use std::ops::Range;
    use std::ptr;
    use std::sync::OnceLock;

    /// The running code of a thread.
    struct Running<'a> {
        image: &'a Image,
        /// A copy of the image's, so that the signal handler need not look further.
        code: Range<u64>,
        host: *mut HostSide,
        /// The place where `enter` saved the callee-saved registers; the outer end of the program's
        /// stack.
        base: u64,
        /// The reason why `enter` returned, if not by the program's return.
        ending: Option<Ending>,
    }

    thread_local! {
        static RUNNING: Cell<*mut Running<'static>> = const { Cell::new(ptr::null_mut()) };
        static SIGNAL_STACK: SignalStack = SignalStack::install();
    }

    /// Makes `call` in the code of `image`, and answers its calls of the host.
    pub(in super::super) fn execute(
        _code: &Code,
        image: &Image,
        call: Call<'_>,
        host: &mut HostSide,
    ) -> Result<Ending, String> {
        handle_signals()?;
        SIGNAL_STACK
            .try_with(|_| ())
            .map_err(|error| error.to_string())?;
        let mut running = Running {
            image,
            code: image.code.clone(),
            host: ptr::from_mut(host),
            base: 0,
            ending: None,
        };
        let current = ptr::from_mut(&mut running);
        let outer = RUNNING.replace(current.cast());
        // SAFETY: the entry was generated for the convention and the parameters that `enter` calls
        // it with, and for as many slots as there are. `current` stays valid until `enter` has
        // returned, and only this thread touches the data behind it.
        unsafe {
            enter(
                call.entry,
                call.callee,
                call.slots.as_mut_ptr(),
                &raw mut (*current).base,
            );
        }
        RUNNING.set(outer);
        Ok(running.ending.unwrap_or(Ending::Returned))
    }

    /// Returns the address of the recorder that shims call.
    pub(in super::super) fn recorder() -> *const u8 {
        (record as extern "C" fn(usize, *mut Slot, u64)) as *const u8
    }

    /// Saves the callee-saved registers, writes the stack pointer to `base`, and calls
    /// `entry(callee, slots)`.
    #[unsafe(naked)]
    unsafe extern "C" fn enter(entry: u64, callee: u64, slots: *mut Slot, base: *mut u64) {
        naked_asm!(
            "push rbp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "sub rsp, 8",
            "stmxcsr [rsp]",
            "fnstcw [rsp + 4]",
            "mov [rcx], rsp",
            "mov rax, rdi",
            "mov rdi, rsi",
            "mov rsi, rdx",
            "call rax",
            "mov rdi, rsp",
            "jmp {recover}",
            recover = sym recover,
        )
    }

    /// Returns from the `enter` that wrote `base`.
    #[unsafe(naked)]
    unsafe extern "C" fn recover(base: u64) -> ! {
        naked_asm!(
            "mov rsp, rdi",
            "cld",
            "ldmxcsr [rsp]",
            "fldcw [rsp + 4]",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret",
        )
    }

    /// Records a call of function `number` of the host with the arguments in `slots`, for shims;
    /// `fp` is the shim's frame pointer.
    extern "C" fn record(number: usize, slots: *mut Slot, fp: u64) {
        let running = RUNNING.get();
        if running.is_null() {
            std::process::abort();
        }
        // SAFETY: shims are called only by code that `execute` called, which set the pointer to a
        // value that lives on below this frame and that nothing else refers to now.
        let running = unsafe { &mut *running };
        // SAFETY: as above.
        let host = unsafe { &mut *running.host };
        let Some((name, signature)) = running.image.host.get(number) else {
            std::process::abort();
        };
        // SAFETY: the shim was generated for this signature and has this many slots.
        let slots = unsafe { std::slice::from_raw_parts_mut(slots, slot_count(signature)) };
        let (caller_fp, return_address) = unwind::frame(fp);
        if host.keeps_snapshots() {
            let snapshot = Snapshot {
                pc: return_address,
                fp: caller_fp,
                base: fp,
                stack: copy_stack(fp, running.base),
            };
            host.keep(snapshot);
        }
        let exception = match host.call(name, signature, slots) {
            HostAnswer::Returned => return,
            HostAnswer::Threw(exception) => exception,
        };
        let goal = unwind::find_handler(
            running.image,
            exception.tag,
            (caller_fp, return_address),
            // The outermost frame is the entry's, whose caller is not in the code.
            |fp, pc| !running.code.contains(&pc) || fp >= running.base,
        );
        if goal.is_none() {
            running.ending = Some(Ending::Threw(exception));
        }
        let base = running.base;
        match goal {
            // SAFETY: a call with this handler is under way in the frame at `fp`, so the frame is
            // intact. Of the frames below only this one is Rust's, and it has nothing to drop.
            Some(goal) => unsafe { unwind::resume(goal, exception.payload as u64, 0) },
            // SAFETY: `enter` wrote `base` and has not returned; this frame has nothing to drop.
            None => unsafe { recover(base) },
        }
    }

    fn copy_stack(from: u64, to: u64) -> Vec<u8> {
        let length = to.saturating_sub(from) as usize;
        let start = ptr::with_exposed_provenance::<u8>(from as usize);
        // SAFETY: between a frame of the program and the frame of `enter` there is nothing but this
        // thread's stack, which nothing else writes to now.
        unsafe { std::slice::from_raw_parts(start, length) }.to_vec()
    }

    /// The signals for code that traps or fails.
    const SIGNALS: [c_int; 5] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
    ];

    /// The previous signal handlers.
    static PREVIOUS: OnceLock<Result<[libc::sigaction; SIGNALS.len()], String>> = OnceLock::new();

    /// Makes [`on_signal`] the process's handler, once.
    fn handle_signals() -> Result<(), String> {
        let installed = PREVIOUS.get_or_init(|| {
            // SAFETY: zero is a value of every field; the system overwrites it.
            let mut previous: [libc::sigaction; SIGNALS.len()] = unsafe { std::mem::zeroed() };
            for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
                // SAFETY: as above.
                let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                // SAFETY: both places have the types that the system expects, and the handler only
                // performs permitted operations.
                let result = unsafe {
                    libc::sigemptyset(&raw mut action.sa_mask);
                    libc::sigaction(signal, &raw const action, previous)
                };
                if result != 0 {
                    return Err(std::io::Error::last_os_error().to_string());
                }
            }
            Ok(previous)
        });
        installed.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let running = RUNNING.try_with(Cell::get).unwrap_or(ptr::null_mut());
        if !running.is_null() {
            // SAFETY: the system hands over the context of the thread that the signal stopped.
            let (pc, first_argument) = unsafe { registers(context) };
            // SAFETY: the pointer is valid while it is set. If the program counter is in the code,
            // nothing of Rust's is under way that could refer to the same.
            unsafe {
                if (&raw const (*running).code)
                    .as_ref()
                    .is_some_and(|code| code.contains(pc))
                {
                    (*running).ending = Some(Ending::Stopped { pc: *pc, signal });
                    *first_argument = (*running).base;
                    *pc = (recover as unsafe extern "C" fn(u64) -> !) as *const () as u64;
                    return;
                }
            }
        }
        pass_on(signal, info, context);
    }

    /// Calls the handler that was there before this one.
    fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let index = SIGNALS.iter().position(|&known| known == signal);
        let previous = match (PREVIOUS.get(), index) {
            (Some(Ok(previous)), Some(index)) => previous.get(index),
            _ => None,
        };
        match previous {
            Some(action)
                if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN =>
            {
                let address = ptr::with_exposed_provenance::<()>(action.sa_sigaction);
                // SAFETY: the flag of the installed handler has its type.
                unsafe {
                    if action.sa_flags & libc::SA_SIGINFO != 0 {
                        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                            std::mem::transmute(address);
                        handler(signal, info, context);
                    } else {
                        let handler: extern "C" fn(c_int) = std::mem::transmute(address);
                        handler(signal);
                    }
                }
            }
            // SAFETY: sets the default, which the instruction meets when it is tried again.
            _ => unsafe {
                libc::signal(signal, libc::SIG_DFL);
            },
        }
    }

    /// Returns the program counter and the register of a first argument in a stopped thread's
    /// context.
    #[cfg(target_os = "linux")]
    unsafe fn registers<'a>(context: *mut c_void) -> (&'a mut u64, &'a mut u64) {
        let context = context.cast::<libc::ucontext_t>();
        // SAFETY: the caller's promise.
        let registers = unsafe { &raw mut (*context).uc_mcontext.gregs }.cast::<u64>();
        // SAFETY: the constants are places in the array, and they differ.
        unsafe {
            (
                &mut *registers.add(libc::REG_RIP as usize),
                &mut *registers.add(libc::REG_RDI as usize),
            )
        }
    }

    /// Returns the program counter and the register of a first argument in a stopped thread's
    /// context.
    #[cfg(target_os = "macos")]
    unsafe fn registers<'a>(context: *mut c_void) -> (&'a mut u64, &'a mut u64) {
        let context = context.cast::<libc::ucontext_t>();
        // SAFETY: the caller's promise; the two fields differ.
        unsafe {
            let state = &raw mut (*(*context).uc_mcontext).__ss;
            (&mut (*state).__rip, &mut (*state).__rdi)
        }
    }

    /// A stack for signal handlers, for a thread that has none: a program that ran out of its own
    /// stack has no room for the handler's frame.
    struct SignalStack {
        own: Option<Box<[u8]>>,
    }

    const SIGNAL_STACK_BYTES: usize = 64 << 10;

    impl SignalStack {
        fn install() -> Self {
            // SAFETY: zero is a value of every field; the system overwrites it.
            let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
            // SAFETY: asks for the current stack only.
            let known = unsafe { libc::sigaltstack(ptr::null(), &raw mut current) } == 0;
            if known && current.ss_flags & libc::SS_DISABLE == 0 {
                return SignalStack { own: None };
            }
            let mut own = vec![0; SIGNAL_STACK_BYTES].into_boxed_slice();
            let stack = libc::stack_t {
                ss_sp: own.as_mut_ptr().cast(),
                ss_flags: 0,
                ss_size: own.len(),
            };
            // SAFETY: the memory is this value's, whose drop takes the stack away first.
            unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
            SignalStack { own: Some(own) }
        }
    }

    impl Drop for SignalStack {
        fn drop(&mut self) {
            if self.own.is_some() {
                let none = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: SIGNAL_STACK_BYTES,
                };
                // SAFETY: the thread ends, and no signal is being handled.
                unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
            }
        }
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "macos"), target_arch = "x86_64")))]
mod elsewhere {
    use super::{Call, Code};
    use crate::execute::image::Image;
    use crate::execute::native::{Ending, HostSide};

    pub(in super::super) fn execute(
        _code: &Code,
        _image: &Image,
        _call: Call<'_>,
        _host: &mut HostSide,
    ) -> Result<Ending, String> {
        Err("it takes x86-64 with Linux or macOS".to_owned())
    }

    pub(in super::super) fn recorder() -> *const u8 {
        std::ptr::null()
    }
}
