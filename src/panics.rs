//! Turns panics of Cranelift into values.
//!
//! Cranelift's reader, printer, verifier and compiler assert their expectations of a function. A
//! function that was built by hand or read from strange text can trip such an assertion, and the
//! library promises a typed error instead. Every call that may panic goes through [`catch`].
//!
//! # The process's panic hook
//!
//! A panic is printed by the process's panic hook before it is caught. So the first [`catch`], of
//! the library or of its user, installs a hook. It stays silent on a thread that is inside `catch`,
//! and calls the hook that was there before for every other panic. A program that sets a hook of
//! its own later simply replaces this one. One whose hook must stay in place, or must see the
//! caught panics too, calls [`leave_hook`] before anything else of the library.
//!
//! ```
//! use cranelift_inliner::panics::catch;
//!
//! assert_eq!(catch(|| 7), Ok(7));
//! assert_eq!(catch(|| panic!("out of range")), Err::<(), _>("out of range".to_owned()));
//! ```

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// How many [`catch`] calls are on this thread's stack.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` and returns its result, or the message of its panic.
///
/// The caught panic prints nothing, unless [`leave_hook`] was called: see the
/// [module](self#the-processs-panic-hook). Panics on other threads that `f` starts are printed as
/// usual.
///
/// `f` may leave its mutable borrows half changed; callers hand it either shared references or
/// values that they discard on error. A panic while the program is built with `panic = "abort"`
/// cannot be caught.
///
/// # Errors
///
/// The message of the panic.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let _level = Level::enter();
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

/// Whether the hook is settled: installed, or declined.
static HOOK: Once = Once::new();

/// Declines the panic hook: the library leaves the process's hook alone from now on, and caught
/// panics reach it. Panics are still caught.
///
/// Returns whether that came in time. `false` means that the hook had been installed before, and
/// stays.
///
/// ```
/// assert!(cranelift_inliner::panics::leave_hook());
/// ```
pub fn leave_hook() -> bool {
    HOOK.call_once(|| DECLINED.store(true, Ordering::Release));
    DECLINED.load(Ordering::Acquire)
}

/// Whether [`leave_hook`] came first.
static DECLINED: AtomicBool = AtomicBool::new(false);

fn install_hook() {
    // The standard library refuses to change the hook on a thread that is unwinding.
    if std::thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread past the destruction of its locals is in no `catch`.
            let silent = CATCHING.try_with(|level| level.get() > 0).unwrap_or(false);
            if !silent {
                previous(info);
            }
        }));
    });
}

/// Counts one [`catch`] on this thread for as long as it lives.
struct Level;

impl Level {
    fn enter() -> Self {
        let _ = CATCHING.try_with(|level| level.set(level.get() + 1));
        Level
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        let _ = CATCHING.try_with(|level| level.set(level.get().saturating_sub(1)));
    }
}

fn message(payload: Box<dyn Any + Send>) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes_through() {
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[test]
    fn both_kinds_of_message_are_kept() {
        let place = "here";
        assert_eq!(catch(|| panic!("plain")), Err::<(), _>("plain".into()));
        assert_eq!(
            catch(|| panic!("formatted {place}")),
            Err::<(), _>("formatted here".into())
        );
        let odd = catch(|| panic::panic_any(3_u8));
        assert_eq!(odd, Err::<(), _>("a panic without a message".into()));
    }

    #[test]
    fn an_inner_catch_does_not_end_the_silence_of_the_outer() {
        let outer = catch(|| {
            let inner = catch(|| panic!("inner"));
            assert_eq!(inner, Err::<(), _>("inner".into()));
            assert_eq!(CATCHING.with(Cell::get), 1);
            panic!("outer")
        });
        assert_eq!(outer, Err::<(), _>("outer".into()));
        assert_eq!(CATCHING.with(Cell::get), 0);
    }
}
