//! Turning panics of the code we call into values.
//!
//! Cranelift's reader, printer, verifier and compiler assert what they expect of a function. A
//! function that was built by hand or read from strange text can trip such an assertion, and the
//! library promises a typed error instead. Every call that may panic goes through [`catch`].
//!
//! The hook that keeps caught panics from being printed belongs to the process; [`catch`] says when
//! it is installed.
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

thread_local! {
    /// How many [`catch`] calls are on this thread's stack.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` and returns what it returns, or the message of the panic that it raised.
///
/// The caught panic prints nothing: the first call installs a panic hook for the process, which
/// stays silent while the panicking thread is inside `catch` and otherwise calls the hook that was
/// there before. Panics on other threads that `f` starts are printed as usual.
///
/// `f` may leave what it borrows mutably half changed; callers hand it either shared references
/// or values that they throw away on error. A panic while the program is built with
/// `panic = "abort"` cannot be caught.
///
/// # Errors
///
/// The message of the panic.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let _level = Level::enter();
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn install_hook() {
    static INSTALLED: Once = Once::new();
    // The standard library refuses to change the hook on a thread that is unwinding.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
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
