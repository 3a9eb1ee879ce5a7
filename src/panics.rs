//! The one place where a panic of Cranelift is turned into a value.
//!
//! The reader, the verifier and the code generator assert what they take for granted, and some of
//! it can be broken by input that nobody verified or that a target does not support. Every call
//! into them goes through [`catch`], so that such input ends as a typed error of ours.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// How many calls of [`catch`] are active on this thread.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
}

/// Counts an active [`catch`] for as long as it lives, however that call ends.
struct Catching;

impl Catching {
    fn begin() -> Self {
        CATCHING.set(CATCHING.get() + 1);
        Catching
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHING.set(CATCHING.get() - 1);
    }
}

/// Calls `f`; a panic inside comes back as its message, and nothing is printed for it.
///
/// Whatever `f` was changing when it panicked may be half changed: the caller must drop it.
///
/// # Errors
///
/// The message of the panic. (A program built with `panic = "abort"` ends instead.)
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    silence_caught_panics();
    let _catching = Catching::begin();
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        if let Some(message) = payload.downcast_ref::<&str>() {
            (*message).to_owned()
        } else if let Some(message) = payload.downcast_ref::<String>() {
            message.clone()
        } else {
            "a panic without a message".to_owned()
        }
    })
}

/// Puts a hook before the program's own that passes on only the panics that nobody here catches.
fn silence_caught_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let passed_on = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = CATCHING.try_with(|active| active.get() > 0);
            if !caught.unwrap_or(false) {
                passed_on(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::catch;

    #[test]
    fn a_value_passes_and_a_panic_becomes_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| -> u8 { panic!("plain") }), Err("plain".to_owned()));
        let number = 3;
        assert_eq!(
            catch(|| -> u8 { panic!("formatted {number}") }),
            Err("formatted 3".to_owned())
        );
    }

    #[test]
    fn catching_nests_and_goes_on_after_a_panic() {
        let outer = catch(|| {
            let inner = catch(|| -> u8 { panic!("inner") });
            assert_eq!(inner, Err("inner".to_owned()));
            panic!("outer")
        });
        assert_eq!(outer, Err::<u8, _>("outer".to_owned()));
        assert_eq!(catch(|| 1), Ok(1));
    }
}
