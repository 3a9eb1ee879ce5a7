//! Queries of the operating system. All `unsafe` of the tool is here.

/// Returns whether standard output was closed when the process began, so that output is lost.
#[cfg(unix)]
pub(crate) fn stdout_was_closed() -> bool {
    closed::STDOUT.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(not(unix))]
pub(crate) fn stdout_was_closed() -> bool {
    false
}

/// Before `main`, Rust's runtime opens `/dev/null` in place of closed standard streams, and writes
/// to it succeed. So the check happens before the runtime starts.
#[cfg(unix)]
mod closed {
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static STDOUT: AtomicBool = AtomicBool::new(false);

    extern "C" fn look() {
        // SAFETY: `fcntl` with `F_GETFD` reads the flags of a descriptor and changes nothing. It
        // needs nothing of Rust's runtime, and neither does a store to an atomic.
        let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
        STDOUT.store(flags == -1, Ordering::Relaxed);
    }

    // SAFETY: the section holds functions of this type, which the loader calls once, with
    // arguments that C functions may ignore.
    #[used]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    #[cfg_attr(
        target_vendor = "apple",
        unsafe(link_section = "__DATA,__mod_init_func")
    )]
    static LOOK: extern "C" fn() = look;
}

/// Returns whether the parent process asked to ignore a signal, like `nohup`.
#[cfg(unix)]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call changes nothing; it writes the old one into a valid
    // place.
    unsafe {
        let asked = libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        asked == 0 && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
