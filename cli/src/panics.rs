//! Panics of what the tool calls, as values or as one readable line.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// How many [`catch`] calls are on this thread's stack.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Makes panics silent inside [`catch`], and elsewhere an error that asks for a report.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        // A thread past the destruction of its locals is in no `catch`.
        if CATCHING.try_with(Cell::get).unwrap_or(0) > 0 {
            return;
        }
        let message = message(info.payload());
        let place = info.location().map(ToString::to_string);
        let place = place.unwrap_or_else(|| "an unknown place".to_owned());
        eprintln!("error: internal error at {place}: {message}\nThis is a bug; please report it.");
    }));
}

/// What `work` returns, or the message of its panic. The caller drops what `work` changed.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _level = Level::enter();
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(&*payload))
}

/// Counts one [`catch`] for as long as it lives.
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

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}
