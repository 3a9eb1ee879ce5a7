//! The errors that stop the tool, with their messages.

use anstyle::{AnsiColor, Style};
use cranelift_inliner::backend::{CompileError, ObjectError, TargetError};
use cranelift_inliner::debug_info::DebugInfoError;
use cranelift_inliner::pass::PassError;
use cranelift_inliner::program::{FunctionName, Origin, Program, ProgramError};
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// An error of the tool.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is wrong, or cannot be processed.
    Message(String),
    /// The arguments contradict each other.
    Usage(String),
    /// The checker cannot decide whether a result is correct.
    Undecided(String),
    /// The reader of the output is gone, or the error has already been printed.
    Silent,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// Returns the failure to write a file.
    pub(crate) fn write(path: &Path, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Silent;
        }
        Self::Message(format!("{}: {error}", path.display()))
    }

    /// Returns the failure to read a file.
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::Message(format!("{}: {error}", path.display()))
    }

    /// Returns the failure of the pass on `program`.
    pub(crate) fn pass(error: &PassError, program: &Program) -> Self {
        let message = place_of(Some(error.function()), program) + &error.to_string();
        match error.is_undecided() {
            true => Self::Undecided(message),
            false => Self::Message(message),
        }
    }

    /// Returns the failure to make the object file of `program`.
    pub(crate) fn object(error: &ObjectError, program: &Program) -> Self {
        let function = match error {
            ObjectError::BadSymbol { function, .. }
            | ObjectError::ThreadLocalMismatch { function, .. }
            | ObjectError::Relocation { function, .. }
            | ObjectError::RelocationOffset { function, .. } => Some(function),
            ObjectError::DuplicateSymbol { second, .. } => Some(second),
            _ => None,
        };
        Self::at_function(function, error, program)
    }

    /// Returns the failure to write the debug information of `program`.
    pub(crate) fn debug_info(error: &DebugInfoError, program: &Program) -> Self {
        let function = match error {
            DebugInfoError::Unwind(error) => Some(error.function()),
            DebugInfoError::NotInObject { function, .. } => Some(function),
            _ => None,
        };
        Self::at_function(function, error, program)
    }

    fn at_function(
        function: Option<&FunctionName>,
        error: &dyn Display,
        program: &Program,
    ) -> Self {
        Self::Message(place_of(function, program) + &error.to_string())
    }

    /// Prints the error to standard error.
    pub(crate) fn report(&self) {
        match self {
            Self::Message(message) | Self::Undecided(message) => error(message),
            Self::Usage(message) => {
                error(message);
                say("For more information, try '--help'.");
            }
            Self::Silent => {}
        }
    }

    /// Returns the exit status: 2 for wrong arguments, like clap; 3 if the checker cannot decide
    /// and nothing else is wrong; otherwise 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Undecided(_) => ExitCode::from(3),
            Self::Message(_) | Self::Silent => ExitCode::FAILURE,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) | Self::Usage(message) | Self::Undecided(message) => {
                f.write_str(message)
            }
            Self::Silent => f.write_str("the output has no reader"),
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self::new(error.to_string())
    }
}

/// The place comes first, for editors and terminals.
impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        let place = |origin: &Option<Origin>| origin.as_ref().map(|origin| format!("{origin}: "));
        Self::Message(match &error {
            ProgramError::DuplicateName {
                name,
                first,
                second,
            } => {
                let first = first
                    .as_ref()
                    .map(|first| format!("; it is also at {first}"));
                format!(
                    "{}function {name} is defined twice{}",
                    place(second).unwrap_or_default(),
                    first.unwrap_or_default()
                )
            }
            ProgramError::Verifier {
                function,
                origin: origin @ Some(_),
                message,
            } => format!(
                "{}function {function} does not verify: {message}",
                place(origin).unwrap_or_default()
            ),
            ProgramError::Unprintable {
                function,
                origin: origin @ Some(_),
                message,
            } => format!(
                "{}function {function} cannot be written as text: {message}",
                place(origin).unwrap_or_default()
            ),
            ProgramError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Self::Silent;
            }
            other => other.to_string(),
        })
    }
}

/// Returns `file:line: ` of the function that an error names, as far as it is known.
fn place_of(function: Option<&FunctionName>, program: &Program) -> String {
    let id = function.and_then(|name| program.id(name));
    let origin = id.and_then(|id| program.get(id)?.origin());
    origin.map_or_else(String::new, |origin| format!("{origin}: "))
}

/// Warns of a function that was compiled from its original body.
pub(crate) fn warn_of_fallback(error: &CompileError, program: &Program) {
    let place = place_of(Some(error.function()), program);
    warn(&format!(
        "{place}compiled as it was before inlining: {error}"
    ));
}

/// Prints `warning: message` to standard error.
pub(crate) fn warn(message: &str) {
    let style = AnsiColor::Yellow.on_default().bold();
    labelled(style, "warning", message);
}

/// Prints `error: message` to standard error.
pub(crate) fn error(message: &str) {
    labelled(AnsiColor::Red.on_default().bold(), "error", message);
}

fn labelled(style: Style, label: &str, message: &str) {
    say(&format!("{style}{label}{style:#}: {message}"));
}

/// Prints a line to standard error. A failure to do so cannot be reported.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
