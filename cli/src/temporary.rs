//! Temporary files and folders, which are gone when the tool is, even if a signal ends it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is there now. A signal's handler keeps the lock until the process is gone.
static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file or folder when a signal ends the tool, for as long as this lives.
pub(crate) struct RemovedOnSignal(PathBuf);

impl RemovedOnSignal {
    /// Makes a file or folder; `path` tells where it is.
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

    /// Does what leaves no file of this name. No signal interrupts that.
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

    /// Begins to wait for the signals that users end a tool with.
    pub(super) fn watch() {
        static WATCHING: Once = Once::new();
        WATCHING.call_once(|| {
            let wanted = [SIGHUP, SIGINT, SIGTERM];
            let wanted = wanted.into_iter().filter(|&signal| !is_ignored(signal));
            // Where that fails, a signal ends the tool as it would have done, and leaves a file.
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
            // There is nobody left to tell of what cannot be removed.
            let _ = match is_folder {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
        let _ = emulate_default_handler(signal);
    }
}
