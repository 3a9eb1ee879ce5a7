//! Support for the tests of the tool: running it, and modules with numbers counted by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// 3 functions with 4, 2 and 2 instructions. Of 4 direct calls, one is external
/// and one a function's call of itself.
pub(crate) const COUNTED: &str = "\
function %main(i32) -> i32 {
    fn0 = %double(i32) -> i32
    fn1 = %ext()
    fn2 = %again(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    call fn1()
    v2 = call fn2(v1)
    return v2
}

function %double(i32) -> i32 {
block0(v0: i32):
    v1 = iadd v0, v0
    return v1
}

function %again(i32) -> i32 {
    fn0 = %again(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
";

/// A function that Cranelift's reader takes and its verifier does not, on line 2.
pub(crate) const UNVERIFIABLE: &str = "
function %bad(i32) -> i64 {
block0(v0: i32):
    return v0
}
";

/// A folder that goes away with the test, and the tool run inside it.
pub(crate) struct Workplace(TempDir);

impl Workplace {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Creates a workplace with these files in it.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let place = Self::new();
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Returns the names of all files, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the tool with these arguments, separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, "")
    }

    /// Returns the same with something on standard input.
    pub(crate) fn run_with(&self, arguments: &str, input: &str) -> Ran {
        let mut child = command(self.0.path())
            .args(arguments.split_whitespace())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A tool that does not read its input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Ran::of(child.wait_with_output().unwrap())
    }
}

/// Returns the tool, to be run in a folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clif-inline"));
    command
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let ran = Self {
            status: output.status.code().expect("the tool is not killed"),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.err.contains("internal error"), "{}", ran.err);
        ran
    }

    /// Returns standard output of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 0, "{}", self.err);
        String::from_utf8(self.out).unwrap()
    }

    /// Returns standard error of a run that must have failed with status 1.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.status, 1, "{self:?}");
        self.err
    }

    /// Returns standard error of a run after its arguments were refused, as they must be.
    #[track_caller]
    pub(crate) fn misused(self) -> String {
        assert_eq!(self.status, 2, "{self:?}");
        self.err
    }

    /// Returns standard output, as JSON, of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// Returns `count` functions. Each calls some before it.
pub(crate) fn many_functions(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let mut callees = vec![index / 3, index / 2, index.saturating_sub(1)];
        callees.retain(|&callee| callee < index);
        callees.dedup();
        text += &format!("function u0:{index}(i64) -> i64 {{\n");
        for callee in &callees {
            text += &format!("    fn{callee} = u0:{callee}(i64) -> i64\n");
        }
        text += "block0(v0: i64):\n    v1 = imul v0, v0\n";
        let mut last = 1;
        for callee in &callees {
            text += &format!("    v{} = call fn{callee}(v{last})\n", last + 1);
            last += 1;
        }
        text += &format!("    return v{last}\n}}\n");
    }
    text
}
