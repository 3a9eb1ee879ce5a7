//! Lines for maintainers, through the crate `log`.

use cranelift_codegen::ir::UserFuncName;
use std::fmt;

/// A function's name as CLIF prints it. Unlike Cranelift's own printing it takes bytes that are not
/// UTF-8.
pub(crate) struct Name<'a>(pub(crate) &'a UserFuncName);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            UserFuncName::User(name) => write!(f, "{name}"),
            UserFuncName::Testcase(name) => {
                write!(f, "%{}", String::from_utf8_lossy(name.raw()))
            }
        }
    }
}

/// Logs at the level `trace`, under the path of the module. Without the feature `trace-log` it is
/// checked and compiled to nothing, as in Cranelift.
#[cfg(feature = "trace-log")]
macro_rules! trace {
    ($($arguments:tt)*) => { ::log::trace!($($arguments)*) };
}

/// Returns whether [`trace`] logs anything, for lines that cost something to make.
#[cfg(feature = "trace-log")]
macro_rules! traces {
    () => {
        ::log::log_enabled!(::log::Level::Trace)
    };
}

/// Returns whether [`trace`] logs anything, for lines that cost something to make.
#[cfg(not(feature = "trace-log"))]
macro_rules! traces {
    () => {
        false
    };
}

/// Logs at the level `trace`, under the path of the module. Without the feature `trace-log` it is
/// checked and compiled to nothing, as in Cranelift.
#[cfg(not(feature = "trace-log"))]
macro_rules! trace {
    ($($arguments:tt)*) => {
        if false {
            let _ = ::std::format_args!($($arguments)*);
        }
    };
}
