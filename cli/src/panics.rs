//! Panics of the tool itself, as readable messages.

use std::panic;

/// Turns panics into an error that asks for a report. [`catch`](cranelift_inliner::panics::catch)
/// silences panics that it turns into values.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string);
        let place = place.unwrap_or_else(|| "an unknown place".to_owned());
        eprintln!("error: internal error at {place}: {message}\nThis is a bug; please report it.");
    }));
}
