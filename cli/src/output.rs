//! Atomic replacement of files: a reader never sees a partial one.

use crate::failure::{Failure, say};
use crate::input;
use crate::system;
use crate::temporary::RemovedOnSignal;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The destination of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    StandardOutput,
    File(PathBuf),
}

/// Returns the output for a single input, with the given ending: `module.o` beside `module.clif`.
pub(crate) fn beside(inputs: &[PathBuf], ending: &str) -> Result<PathBuf, Failure> {
    let usage = |what: &str| Err(Failure::Usage(format!("{what}: -o OUT.{ending}")));
    let [input] = inputs else {
        return usage("several inputs need an output");
    };
    if input == Path::new("-") {
        return usage("standard input needs an output");
    }
    let output = input.with_extension(ending);
    if output == *input || output.file_name().is_none() {
        return usage("this input needs an output");
    }
    Ok(output)
}

/// Returns an error if two of `outputs` go to the same place: one would replace the other, or both
/// would be mixed. Each comes with the option that names it.
pub(crate) fn are_apart(outputs: &[(&str, &Output)]) -> Result<(), Failure> {
    for (at, (option, output)) in outputs.iter().enumerate() {
        let is_same = |other: &Output| match output.regular_file() {
            Some(file) => other.regular_file().as_ref() == Some(&file),
            None => output.is_standard_output() && other.is_standard_output(),
        };
        let others = outputs.get(at + 1..).unwrap_or_default();
        if let Some((other, _)) = others.iter().find(|(_, other)| is_same(other)) {
            let message = format!("{option} and {other} need two outputs");
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

/// Prints `text` to standard output, with colours if the terminal shows them.
pub(crate) fn print_styled(text: &str) -> Result<(), Failure> {
    standard_output_is_open()?;
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::write(Path::new("<stdout>"), &error))
}

/// Returns an error if standard output is closed.
fn standard_output_is_open() -> Result<(), Failure> {
    match system::stdout_was_closed() {
        false => Ok(()),
        true => Err(Failure::new("<stdout>: it is closed")),
    }
}

const BUFFER_BYTES: usize = 1 << 20;

impl Output {
    /// Parses the argument of an option: `-` and Linux's names for it are standard output.
    pub(crate) fn from_argument(path: &Path) -> Self {
        let names = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        if names.iter().any(|name| path == Path::new(name)) {
            Self::StandardOutput
        } else {
            Self::File(path.to_owned())
        }
    }

    pub(crate) fn is_standard_output(&self) -> bool {
        *self == Self::StandardOutput
    }

    /// Returns an error if the output would replace one of `inputs`, or a file of a folder among
    /// them. Only the output of `opt` may: it is of the same kind.
    pub(crate) fn is_none_of(&self, inputs: &[PathBuf]) -> Result<(), Failure> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let Ok(target) = fs::canonicalize(path) else {
            return Ok(());
        };
        let is_it = |input: &PathBuf| fs::canonicalize(input).is_ok_and(|input| input == target);
        match target.is_file() && input::files(inputs).iter().any(is_it) {
            true => {
                let message = "it is an input, which the output would replace";
                Err(Failure::new(format!("{}: {message}", path.display())))
            }
            false => Ok(()),
        }
    }

    /// Returns the file, in a form that is equal for all paths to it; `None` for standard output,
    /// and for devices, which any number of outputs may share.
    fn regular_file(&self) -> Option<PathBuf> {
        let Self::File(path) = self else {
            return None;
        };
        if let Ok(target) = fs::canonicalize(path) {
            return target.is_file().then_some(target);
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder).ok()?;
        Some(folder.join(path.file_name()?))
    }

    /// Writes the output of `fill`. After an error, the old file is unchanged.
    pub(crate) fn write<E>(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), Failure>
    where
        Failure: From<E>,
    {
        match self {
            Self::StandardOutput => {
                standard_output_is_open()?;
                let at = Path::new("<stdout>");
                let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
                fill(&mut out)?;
                out.flush().map_err(|error| Failure::write(at, &error))
            }
            Self::File(path) => write_file(path, fill),
        }
    }

    /// Reports on standard error that the output was written, followed by `next`. Standard output
    /// needs no report.
    pub(crate) fn tell(&self, next: &str) {
        let Self::File(path) = self else {
            return;
        };
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file);
        let size = match file.map(|file| file.len()) {
            None => String::new(),
            Some(bytes @ ..1000) => format!(" ({bytes} bytes)"),
            Some(bytes) => format!(" ({} kB)", bytes.div_ceil(1000)),
        };
        say(&format!("wrote {}{size}{next}", path.display()));
    }

    /// Writes `bytes`, unless the file has them already: then its time stays, so that nothing that
    /// depends on it is made again. Returns whether it was written.
    pub(crate) fn write_changed_bytes(&self, bytes: &[u8]) -> Result<bool, Failure> {
        if let Self::File(path) = self
            && fs::read(path).is_ok_and(|old| old == bytes)
        {
            return Ok(false);
        }
        self.write_bytes(bytes)?;
        Ok(true)
    }

    /// Writes `bytes`.
    pub(crate) fn write_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let name = match self {
            Self::StandardOutput => Path::new("<stdout>"),
            Self::File(path) => path,
        };
        self.write(|out| {
            out.write_all(bytes)
                .map_err(|error| Failure::write(name, &error))
        })
    }
}

fn write_file<E>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), Failure>
where
    Failure: From<E>,
{
    let failed = |error: io::Error| Failure::write(path, &error);
    // A symbolic link stays one: its target is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let existing = match fs::metadata(&target) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(metadata) = &existing {
        // Replacing needs no permission for the file itself, but users who make a file read-only
        // expect the check. For a folder it fails with the right message.
        let file = OpenOptions::new().write(true).open(&target);
        let file = file.map_err(failed)?;
        if !metadata.is_file() {
            return fill_file(path, file, fill).map(drop);
        }
    }
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".clif-inline-");
    match existing {
        Some(metadata) => builder.permissions(metadata.permissions()),
        None => new_file_permissions(&mut builder),
    };
    let made = RemovedOnSignal::make(|| builder.tempfile_in(folder), |file| file.path());
    let (temporary, removed_on_signal) = made.map_err(|error| failed(plain(&error)))?;
    let (file, temporary) = temporary.into_parts();
    fill_file(path, file, fill)?;
    removed_on_signal
        .finish(|| temporary.persist(&target))
        .map_err(|error| failed(plain(&error.error)))
}

/// Returns the error without the name of the temporary file, which means nothing to users.
fn plain(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let text = text.split(" at path ").next().unwrap_or(&text);
    io::Error::new(error.kind(), text)
}

fn fill_file<E>(
    path: &Path,
    file: File,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<File, Failure>
where
    Failure: From<E>,
{
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut out)?;
    out.into_inner()
        .map_err(|error| Failure::write(path, error.error()))
}

/// Returns the system's permissions for new files; otherwise only the owner could read the file.
#[cfg(unix)]
fn new_file_permissions<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn new_file_permissions<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    builder
}
