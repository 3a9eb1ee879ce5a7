//! Temporary files and folders, which are removed when the tool ends, even by a signal.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The current files and folders. A signal's handler keeps the lock until the process ends.
static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file or folder if a signal ends the tool during this value's lifetime.
pub(crate) struct RemovedOnSignal(PathBuf);

impl RemovedOnSignal {
    /// Makes a file or folder; `path` returns its place.
    pub(crate) fn make<T>(
        make: impl FnOnce() -> io::Result<T>,
        path: impl FnOnce(&T) -> &Path,
    ) -> io::Result<(T, Self)> {
        #[cfg(unix)]
        signals::watch();
        let mut paths = paths();
        let made = make()?;
        let path = path(&made).to_owned();
        paths.insert(path.clone());
        Ok((made, Self(path)))
    }

    /// Runs an operation after which no file of this name exists. Signals do not interrupt it.
    pub(crate) fn finish<T>(self, last: impl FnOnce() -> T) -> T {
        let mut paths = paths();
        let result = last();
        paths.remove(&self.0);
        drop(paths);
        result
    }
}

impl Drop for RemovedOnSignal {
    fn drop(&mut self) {
        paths().remove(&self.0);
    }
}

#[cfg(unix)]
mod signals {
    use super::paths;
    use crate::system::is_ignored;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use std::fs;
    use std::sync::Once;
    use std::thread;

    /// Starts to wait for the signals with which users end a tool.
    pub(super) fn watch() {
        static WATCHING: Once = Once::new();
        WATCHING.call_once(|| {
            let wanted = [SIGHUP, SIGINT, SIGTERM];
            let wanted = wanted.into_iter().filter(|&signal| !is_ignored(signal));
            // If this fails, a signal ends the tool directly and leaves a file.
            if let Ok(signals) = Signals::new(wanted) {
                thread::spawn(|| end_at_first(signals));
            }
        });
    }

    fn end_at_first(mut signals: Signals) {
        let Some(signal) = signals.forever().next() else {
            return;
        };
        let paths = paths();
        for path in paths.iter() {
            let is_folder = path.is_dir();
            // Errors of the removal cannot be reported any more.
            let _ = match is_folder {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
        let _ = emulate_default_handler(signal);
    }
}
