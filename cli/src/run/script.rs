//! A file's header and directives.
//!
//! Headers follow the rules of Cranelift's filetests: `test run` requests native execution, each
//! `target` line a pass over the directives, and `set` lines apply to the targets after them. A
//! file without a header runs once, on the host with all features of its processor.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir;
use cranelift_codegen::isa::{self, CallConv, LookupError, OwnedTargetIsa};
use cranelift_codegen::settings::Flags;
use cranelift_inliner::program::{Program, ProgramError};
use cranelift_reader::{
    Comment, Feature, Invocation, IsaSpec, ParseError, ParseOptions, RunCommand, TestCommand,
    TestFile, parse_run_command, parse_test,
};
use target_lexicon::Triple;

use super::host::Host;

/// A file: its targets, its directives, and its functions as written.
pub(crate) struct Script {
    pub(super) path: PathBuf,
    pub(super) plan: Plan,
    pub(super) directives: Vec<Directive>,
    /// The functions of the file, in its order.
    pub(crate) functions: Vec<ir::Function>,
    /// The first line of each of them, counted from 1.
    pub(crate) function_lines: Vec<usize>,
    /// A program with the tables of the file and without its functions.
    pub(crate) tables: Program,
    /// The directives that name no function of the file, as `file:line: message`.
    pub(crate) warnings: Vec<String>,
}

/// A file that cannot be read as CLIF.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub(crate) struct ScriptError {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line of the error, counted from 1.
    pub(crate) line: usize,
    /// The reader's message.
    pub(crate) message: String,
}

/// The ways to run the directives of a file natively.
pub(super) enum Plan {
    Run(Vec<Target>),
    PassOver(String),
}

/// One pass over the directives.
pub(super) struct Target {
    /// The text after `target` on its line, or `host`.
    pub(super) label: String,
    pub(super) flags: Flags,
    /// The instruction set named by the file, or `None` for the host with all its features.
    pub(super) requested: Option<OwnedTargetIsa>,
}

/// A comment that requests a call of the function before it.
pub(super) struct Directive {
    pub(super) line: usize,
    /// The comment's text without the leading semicolons.
    pub(super) text: String,
    /// The function before it.
    pub(super) function: ir::UserFuncName,
    /// Whether the directive names another function of the file. Its arguments are not those of
    /// `function`.
    pub(super) is_misplaced: bool,
}

/// A directive checked against a signature.
pub(super) enum Parsed {
    Command(RunCommand),
    /// `; run` alone: the function must return something other than zero.
    Truthy(Invocation),
}

impl Script {
    /// Reads `text`, the contents of the file `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ScriptError> {
        let options = ParseOptions {
            default_calling_convention: CallConv::triple_default(&Triple::host()),
            unwind_info: false,
            machine_code_cfg_info: false,
            passes: None,
            target: None,
        };
        let error = |line, message| ScriptError {
            path: path.to_owned(),
            line,
            message,
        };
        match super::caught(|| parse_test(text, options)) {
            Err(panic) => Err(error(1, panic)),
            // For a target that this Cranelift lacks, the reader warns and stops.
            Ok(Err(warning)) if warning.is_warning => Ok(Self::beyond_reader(path, text, &warning)),
            Ok(Err(other)) => Err(error(other.location.line_number, other.message)),
            Ok(Ok(file)) => {
                let is_directive = |comment: &&Comment<'_>| directive_text(comment.text).is_some();
                match file.preamble_comments.iter().find(is_directive) {
                    Some(early) => Err(error(
                        line_of(text, early.text),
                        "a directive stands before every function, and must stand after its own"
                            .to_owned(),
                    )),
                    None => {
                        let mut script = Self::from_test_file(path, text, file);
                        script.tables =
                            tables(path, text).map_err(|(line, message)| error(line, message))?;
                        Ok(script)
                    }
                }
            }
        }
    }

    fn beyond_reader(path: &Path, text: &str, warning: &ParseError) -> Self {
        let directives = text
            .lines()
            .zip(1..)
            .filter_map(|(line, number)| {
                let comment = line.trim_start().strip_prefix(';')?;
                Some(Directive {
                    line: number,
                    text: directive_text(comment)?.to_owned(),
                    function: ir::UserFuncName::default(),
                    is_misplaced: false,
                })
            })
            .collect();
        Self {
            path: path.to_owned(),
            plan: Plan::PassOver(warning.message.clone()),
            directives,
            functions: Vec::new(),
            tables: Program::new(),
            function_lines: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn from_test_file(path: &Path, text: &str, file: TestFile<'_>) -> Self {
        let plan = plan(text, &file.commands, &file.features, file.isa_spec);
        let names = file.functions.iter().map(|(function, _)| &function.name);
        let names: HashSet<ir::UserFuncName> = names.cloned().collect();
        let mut directives = Vec::new();
        let mut warnings = Vec::new();
        let mut functions = Vec::new();
        let mut function_lines = Vec::new();
        for (function, details) in file.functions {
            for comment in &details.comments {
                let Some(directive) = directive_text(comment.text) else {
                    continue;
                };
                let line = line_of(text, comment.text);
                let named = named_function(directive);
                let other = named.filter(|named| *named != function.name);
                let is_misplaced = other.as_ref().is_some_and(|named| names.contains(named));
                // Cranelift's own filetests ignore the name, and a function with a number has no
                // name to write.
                if let Some(other) = other
                    && !is_misplaced
                    && matches!(function.name, ir::UserFuncName::Testcase(_))
                {
                    warnings.push(format!(
                        "{}:{line}: the file defines no function {other}; {} is called, which \
                         stands before the directive",
                        path.display(),
                        function.name
                    ));
                }
                directives.push(Directive {
                    line,
                    text: directive.to_owned(),
                    function: function.name.clone(),
                    is_misplaced,
                });
            }
            functions.push(function);
            function_lines.push(details.location.line_number);
        }
        Self {
            path: path.to_owned(),
            plan,
            directives,
            functions,
            function_lines,
            tables: Program::new(),
            warnings,
        }
    }

    /// Returns the functions that the directives call.
    pub(crate) fn called(&self) -> impl Iterator<Item = &ir::UserFuncName> {
        self.directives.iter().map(|directive| &directive.function)
    }

    /// Returns the instruction set of the first target that this machine can execute: its settings
    /// decide which code it verifies. `None` without such a target; then no directive is
    /// executed.
    pub(crate) fn executable_isa(&self) -> Option<OwnedTargetIsa> {
        match &self.plan {
            Plan::PassOver(_) => None,
            Plan::Run(targets) => {
                let mut hosts = targets.iter().map(Host::for_target);
                Some(hosts.find_map(Result::ok)?.isa)
            }
        }
    }

    /// Returns the number of directives in the file.
    pub(crate) fn directive_count(&self) -> usize {
        self.directives.len()
    }
}

/// Returns a program with the tables of a text, or the line and the message of an error in them.
fn tables(path: &Path, text: &str) -> Result<Program, (usize, String)> {
    let mut tables = Program::new();
    if text.contains("table:") {
        let whole = Program::from_clif(text, &path.to_string_lossy());
        let whole = whole.map_err(|error| match error {
            ProgramError::Syntax { line, message, .. } => {
                (usize::try_from(line).unwrap_or(1), message)
            }
            other => (1, other.to_string()),
        })?;
        for name in whole.tables() {
            let entries = whole.table(name);
            let entries = entries.map(|(offset, function)| (offset, function.clone()));
            tables.add_table(name.clone(), entries);
        }
    }
    Ok(tables)
}

fn plan(
    text: &str,
    commands: &[TestCommand<'_>],
    features: &[Feature<'_>],
    isa_spec: IsaSpec,
) -> Plan {
    if !commands.is_empty() && !commands.iter().any(|test| test.command == "run") {
        let named: Vec<&str> = commands.iter().map(|test| test.command).collect();
        let named = named.join(", ");
        return Plan::PassOver(format!(
            "its header asks for `test {named}`, not `test run`"
        ));
    }
    for feature in features {
        if let Feature::With(name) = feature {
            return Plan::PassOver(format!("it needs the Cranelift feature {name}"));
        }
    }
    let labels = target_lines(text);
    match isa_spec {
        IsaSpec::None(flags) if labels.is_empty() => Plan::Run(vec![Target {
            label: "host".to_owned(),
            flags,
            requested: None,
        }]),
        IsaSpec::None(_) => Plan::PassOver("this build has none of its targets".to_owned()),
        IsaSpec::Some(isas) => {
            // The reader leaves out targets that this build of Cranelift lacks.
            let mut labels = labels.into_iter().filter(|label| is_built_in(label));
            let targets = isas
                .into_iter()
                .map(|isa| Target {
                    label: labels.next().unwrap_or(isa.name()).to_owned(),
                    flags: isa.flags().clone(),
                    requested: Some(isa),
                })
                .collect();
            Plan::Run(targets)
        }
    }
}

/// Returns the text after `target` on each such line of the header.
fn target_lines(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.split(';').next().unwrap_or(line).trim())
        .take_while(|line| !line.starts_with("function"))
        .filter_map(|line| line.strip_prefix("target"))
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .map(str::trim)
        .collect()
}

fn is_built_in(label: &str) -> bool {
    let name = label.split_whitespace().next().unwrap_or(label);
    Triple::from_str(name)
        .is_ok_and(|triple| !matches!(isa::lookup(triple), Err(LookupError::SupportDisabled)))
}

/// Returns a comment's text without its semicolons, if it is a directive: `run` or `print`, alone
/// or followed by a colon. Prose that begins with one of these words is not one.
fn directive_text(comment: &str) -> Option<&str> {
    let text = comment.trim_start_matches([' ', '\t', ';']).trim_end();
    ["run", "print"]
        .iter()
        .filter_map(|word| text.strip_prefix(word))
        .any(|rest| rest.is_empty() || rest.trim_start().starts_with(':'))
        .then_some(text)
}

/// Returns the function that a directive names: `%f` in `run: %f(1) == 2`.
fn named_function(directive: &str) -> Option<ir::UserFuncName> {
    let (_, invocation) = directive.split_once(':')?;
    let (name, _) = invocation.trim_start().strip_prefix('%')?.split_once('(')?;
    Some(ir::UserFuncName::testcase(name.trim_end()))
}

/// Returns the line, counted from 1, of `part`, which is a slice of `text`.
fn line_of(text: &str, part: &str) -> usize {
    let offset = (part.as_ptr().addr()).saturating_sub(text.as_ptr().addr());
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

impl Directive {
    /// Reads the arguments and the expected results as values of `signature`.
    pub(super) fn parse(&self, signature: &ir::Signature) -> Result<Parsed, String> {
        if self.is_misplaced {
            return Err(format!(
                "`{}` names a function other than {}, which stands before it",
                self.text, self.function
            ));
        }
        let invocation = || Invocation {
            func: self.function.to_string().trim_start_matches('%').to_owned(),
            args: Vec::new(),
        };
        match self.text.as_str() {
            "run" | "print" if !signature.params.is_empty() => Err(format!(
                "`{}` alone needs a function without parameters",
                self.text
            )),
            "run" if signature.returns.is_empty() => {
                Err("`run` alone needs a function that returns a value".to_owned())
            }
            "run" => Ok(Parsed::Truthy(invocation())),
            "print" => Ok(Parsed::Command(RunCommand::Print(invocation()))),
            text => match parse_run_command(text, signature) {
                Ok(Some(command)) => Ok(Parsed::Command(command)),
                Ok(None) => Err(format!("`{text}` is not a directive")),
                Err(error) => Err(format!("`{text}`: {}", error.message)),
            },
        }
    }
}

impl Parsed {
    pub(super) fn arguments(&self) -> &[DataValue] {
        match self {
            Self::Truthy(invocation)
            | Self::Command(RunCommand::Print(invocation) | RunCommand::Run(invocation, ..)) => {
                &invocation.args
            }
        }
    }
}

impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Truthy(invocation) => write!(f, "run: {invocation} must not return 0"),
        }
    }
}
