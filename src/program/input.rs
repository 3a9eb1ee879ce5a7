//! Reads programs from files, folders and standard input.

use super::error::ProgramError;
use super::name::FunctionName;
use super::text::{self, ParsedText};
use super::{Program, merge};
use rayon::prelude::*;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of standard input in errors and origins.
const STANDARD_INPUT: &str = "<stdin>";

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Program {
    /// Reads one program from all of `paths`, in the order given.
    ///
    /// A path is a file of CLIF text, `-` for standard input, or a folder. Of a folder, such as the
    /// output of `wasmtime compile --emit-clif`, the files with the ending `.clif` are read, sorted
    /// by file name; folders inside it are not. Functions may call each other across files.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Read`] for a path that cannot be read, [`ProgramError::Empty`] for a file
    /// without a function and for an empty list of paths, [`ProgramError::NoFiles`] for a folder
    /// without a `.clif` file, [`ProgramError::Syntax`] for text that does not parse, and
    /// [`ProgramError::DuplicateName`].
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Program, ProgramError> {
        let mut files = Vec::new();
        for path in paths {
            collect_files(path.as_ref(), &mut files)?;
        }
        if files.is_empty() {
            return Err(ProgramError::Empty {
                file: Arc::from("<no input>"),
            });
        }
        let parsed: Vec<Result<ParsedText, ProgramError>> =
            files.par_iter().map(|file| file.parse()).collect();
        let mut program = Program::new();
        for file in parsed {
            merge(&mut program, file?)?;
        }
        Ok(program)
    }
}

impl Program {
    /// Reads only the functions of one file whose names `wanted` takes, perhaps none. The others
    /// are not parsed, so this costs little more than reading the file. A folder stands for its
    /// files, as for [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), except for functions that are not wanted.
    pub fn read_some(
        path: impl AsRef<Path>,
        wanted: impl Fn(&FunctionName) -> bool,
    ) -> Result<Program, ProgramError> {
        let mut files = Vec::new();
        collect_files(path.as_ref(), &mut files)?;
        let mut program = Program::new();
        for file in files {
            merge(&mut program, file.parse_some(Some(&wanted))?)?;
        }
        Ok(program)
    }
}

enum InputFile {
    OnDisk(PathBuf),
    /// Read at once: it can be read only once, and the first path that names it gets it.
    StandardInput(String),
}

impl InputFile {
    fn parse(&self) -> Result<ParsedText, ProgramError> {
        self.read(text::parse)
    }

    fn parse_some(
        &self,
        wanted: Option<&dyn Fn(&FunctionName) -> bool>,
    ) -> Result<ParsedText, ProgramError> {
        self.read(|text, file| text::parse_some(text, file, wanted))
    }

    fn read(
        &self,
        parse: impl Fn(&str, &Arc<str>) -> Result<ParsedText, ProgramError>,
    ) -> Result<ParsedText, ProgramError> {
        match self {
            InputFile::OnDisk(path) => {
                let bytes = fs::read(path).map_err(|source| read_error(path, source))?;
                let file = file_name(path);
                parse(&utf8(bytes, &file)?, &file)
            }
            InputFile::StandardInput(text) => parse(text, &Arc::from(STANDARD_INPUT)),
        }
    }
}

fn collect_files(path: &Path, files: &mut Vec<InputFile>) -> Result<(), ProgramError> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(|source| read_error(Path::new(STANDARD_INPUT), source))?;
        let text = utf8(bytes, &Arc::from(STANDARD_INPUT))?;
        files.push(InputFile::StandardInput(text));
        return Ok(());
    }
    if !path.is_dir() {
        files.push(InputFile::OnDisk(path.to_path_buf()));
        return Ok(());
    }
    let mut members = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| read_error(path, source))? {
        let member = entry.map_err(|source| read_error(path, source))?.path();
        if member.extension().is_some_and(|ending| ending == "clif") && !member.is_dir() {
            members.push(member);
        }
    }
    if members.is_empty() {
        return Err(ProgramError::NoFiles {
            folder: file_name(path),
        });
    }
    members.sort();
    files.extend(members.into_iter().map(InputFile::OnDisk));
    Ok(())
}

/// Converts `bytes` to text, without the byte order mark that some editors write; an error names
/// the line that is not UTF-8.
fn utf8(bytes: Vec<u8>, file: &Arc<str>) -> Result<String, ProgramError> {
    let bytes = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => text.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let lines = text
            .unwrap_or_default()
            .iter()
            .filter(|&&byte| byte == b'\n');
        ProgramError::Syntax {
            file: Arc::clone(file),
            line: u32::try_from(lines.count() + 1).unwrap_or(u32::MAX),
            message: "the text is not UTF-8".to_owned(),
        }
    })
}

fn file_name(path: &Path) -> Arc<str> {
    Arc::from(path.to_string_lossy())
}

fn read_error(path: &Path, source: io::Error) -> ProgramError {
    ProgramError::Read {
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> String {
        format!("function {name}() {{\nblock0:\n    return\n}}\n")
    }

    fn names(program: &Program) -> Vec<String> {
        program
            .iter()
            .map(|(_, function)| function.name().to_string())
            .collect()
    }

    #[test]
    fn a_folder_is_one_program_in_the_order_of_its_file_names() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("b.clif"), function("%two"))?;
        fs::write(folder.path().join("a.clif"), function("%one"))?;
        fs::write(folder.path().join("notes.txt"), "no CLIF")?;
        fs::create_dir(folder.path().join("c.clif"))?;
        let extra = folder.path().join("extra");
        fs::write(&extra, format!("test run\n{}", function("%zero")))?;
        let program = Program::read(&[&extra, folder.path()]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(names(&program), ["%zero", "%one", "%two"]);
        assert_eq!(program.headers().len(), 3);
        let zero = program.iter().next().map(|(_, function)| function);
        let zero = zero.unwrap_or_else(|| panic!("no function"));
        assert!(zero.header().is_some_and(|header| header.has_test("run")));
        let origin = zero.origin().map(ToString::to_string);
        assert_eq!(origin, Some(format!("{}:2", extra.display())));
        Ok(())
    }

    #[test]
    fn unreadable_files_are_named() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let missing = folder.path().join("missing.clif");
        assert!(matches!(
            Program::read(&[&missing]),
            Err(ProgramError::Read { path, .. }) if path == missing
        ));
        assert!(matches!(
            Program::read(&[folder.path()]),
            Err(ProgramError::NoFiles { folder: named }) if *named == *folder.path().to_string_lossy()
        ));
        let binary = folder.path().join("binary.clif");
        fs::write(&binary, b"; one\n; tw\xff\n")?;
        let error = Program::read(&[&binary]).map(|_| ()).unwrap_err();
        let place = binary.display();
        assert_eq!(
            error.to_string(),
            format!("{place}:2: the text is not UTF-8")
        );
        let nothing: [&Path; 0] = [];
        assert!(matches!(
            Program::read(&nothing),
            Err(ProgramError::Empty { .. })
        ));
        Ok(())
    }

    #[test]
    fn a_name_in_two_files_is_an_error_that_names_both_places() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let first = folder.path().join("1.clif");
        let second = folder.path().join("2.clif");
        fs::write(&first, function("u0:1"))?;
        fs::write(
            &second,
            format!("\n{}{}", function("u0:2"), function("u0:1")),
        )?;
        let error = Program::read(&[&first, &second]).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "function u0:1 is defined twice: {}:1 and {}:6",
                first.display(),
                second.display()
            )
        );
        Ok(())
    }
}
