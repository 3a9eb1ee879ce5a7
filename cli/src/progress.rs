//! A progress bar for long work.

use cranelift_inliner::pass::Observer;
use cranelift_inliner::program::FunctionId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Shorter work shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// The bar: hidden at first, and always hidden if standard error is not a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    showing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Returns a bar that is never shown.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            showing: None,
        }
    }

    pub(crate) fn new() -> Self {
        let bar = ProgressBar::hidden();
        let showing = std::io::stderr().is_terminal().then(|| {
            let (done, is_done) = mpsc::channel();
            let bar = bar.clone();
            let thread = thread::spawn(move || {
                if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(Duration::from_millis(100));
                }
            });
            (done, thread)
        });
        Self { bar, showing }
    }

    /// Begins work of unknown length.
    pub(crate) fn begin(&self, what: &'static str) {
        self.start("{spinner} {msg}", what, 0);
    }

    /// Begins work of `steps` steps.
    pub(crate) fn begin_steps(&self, what: &'static str, steps: usize) {
        let template = "{msg} [{bar:40}] {pos}/{len} {eta}";
        self.start(template, what, u64::try_from(steps).unwrap_or(u64::MAX));
    }

    fn start(&self, template: &str, what: &'static str, steps: u64) {
        self.bar.reset();
        self.bar.set_length(steps);
        self.bar.set_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    /// Runs work that prints to standard error.
    pub(crate) fn pause(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Advances by one step.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }
}

impl Observer for Progress {
    fn inlined(&self, _: FunctionId) {
        self.step();
    }

    fn compiled(&self, _: FunctionId) {
        self.step();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.showing.take() {
            drop(done);
            // The thread does not panic; if it did, only the bar would be lost.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}
