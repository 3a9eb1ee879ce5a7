//! Plans from text.

use super::print::{MAGIC, VERSION, VERSION_WITHOUT_END};
use super::{Plan, PlannedSite, SitePath};
use crate::program::{FunctionName, ParseNameError};
use cranelift_codegen::ir::SourceLoc;
use std::str::FromStr;

/// The error for a text that is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct ParsePlanError {
    /// The line of the error, from 1.
    pub line: usize,
    /// The error in the line.
    #[source]
    pub problem: PlanProblem,
}

/// An error in a line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanProblem {
    /// The text does not begin as a plan does.
    #[error("this is not a plan: the first line must be `{MAGIC} {VERSION}`")]
    NoPlan,
    /// The version of the plan is unknown.
    #[error(
        "this plan is of version {0}, and only {VERSION_WITHOUT_END} and {VERSION} can be read"
    )]
    Version(String),
    /// A line begins with an unknown word.
    #[error("expected `function`, `inline`, `keep` or `end`, not `{0}`")]
    Keyword(String),
    /// The last line is missing, so that others may be too.
    #[error("the plan has no end: its last line must be `end`, so it was cut")]
    Cut,
    /// There is text after the last line.
    #[error("nothing may stand behind the line `end`")]
    BehindEnd,
    /// A site stands before the first function.
    #[error("a site needs a line `function NAME` before it")]
    NoFunction,
    /// A word is missing at the end of the line.
    #[error("expected {0} at the end of the line")]
    Missing(&'static str),
    /// A word is not the expected one.
    #[error("expected {expected}, not `{found}`")]
    Unexpected {
        /// The expected text.
        expected: &'static str,
        /// The text that is there.
        found: String,
    },
    /// A function name is invalid.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// A name in quotes has no end, or an invalid escape.
    #[error("the name in quotes has no end, or an escape other than `\\\\`, `\\\"` and `\\x00`")]
    Quotes,
    /// The site is listed already.
    #[error("{path} is on line {first} already")]
    Twice {
        /// The site.
        path: Box<SitePath>,
        /// The line that has it.
        first: usize,
    },
}

/// Reads the form that `docs/PLANS.md` describes.
impl FromStr for Plan {
    type Err = ParsePlanError;

    fn from_str(text: &str) -> Result<Self, ParsePlanError> {
        let mut reader = Reader::default();
        let mut lines = (1..).zip(text.lines());
        let line = lines.next().map_or("", |(_, line)| line);
        let at = |line| move |problem| ParsePlanError { line, problem };
        let needs_end = header(line).map_err(at(1))?;
        let mut last = 1;
        for (number, line) in lines {
            let problem = match reader.line(line) {
                Ok(None) => {
                    last = number;
                    continue;
                }
                Ok(Some(path)) => PlanProblem::Twice {
                    first: line_of(text, &path),
                    path: Box::new(path),
                },
                Err(problem) => problem,
            };
            return Err(at(number)(problem));
        }
        if needs_end && !reader.has_end {
            return Err(at(last)(PlanProblem::Cut));
        }
        Ok(reader.plan)
    }
}

/// Returns the first line that lists a site.
fn line_of(text: &str, path: &SitePath) -> usize {
    let mut reader = Reader::default();
    let mut lines = (1..).zip(text.lines()).skip(1);
    let first = lines.find(|(_, line)| {
        let read = reader.line(line);
        debug_assert!(read.is_ok(), "the lines were read before");
        reader.plan.get(path).is_some()
    });
    first.map_or(0, |(number, _)| number)
}

/// Returns whether the plan must have an end line.
fn header(line: &str) -> Result<bool, PlanProblem> {
    let version = line.strip_prefix(MAGIC).ok_or(PlanProblem::NoPlan)?;
    match version.trim() {
        VERSION => Ok(true),
        VERSION_WITHOUT_END => Ok(false),
        "" => Err(PlanProblem::NoPlan),
        other => Err(PlanProblem::Version(other.to_owned())),
    }
}

#[derive(Default)]
struct Reader {
    plan: Plan,
    function: Option<FunctionName>,
    has_end: bool,
}

impl Reader {
    /// Reads a line; returns the site that it lists if an earlier one does.
    fn line(&mut self, line: &str) -> Result<Option<SitePath>, PlanProblem> {
        let mut words = Words(line);
        let mut twice = None;
        match words.next()? {
            None => {}
            Some(_) if self.has_end => return Err(PlanProblem::BehindEnd),
            Some(Word::Plain("end")) => self.has_end = true,
            Some(Word::Plain("function")) => self.function = Some(words.name()?),
            Some(Word::Plain("inline")) => twice = self.site(true, &mut words)?,
            Some(Word::Plain("keep")) => twice = self.site(false, &mut words)?,
            Some(word) => return Err(PlanProblem::Keyword(word.text())),
        }
        if twice.is_some() {
            return Ok(twice);
        }
        match words.next()? {
            None => Ok(None),
            Some(word) => Err(word.instead_of("the end of the line")),
        }
    }

    /// Reads a site; returns its path if an earlier line lists it.
    fn site(
        &mut self,
        inline: bool,
        words: &mut Words<'_>,
    ) -> Result<Option<SitePath>, PlanProblem> {
        let caller = self.function.clone().ok_or(PlanProblem::NoFunction)?;
        let callee = words.name()?;
        let (ordinal, stage) = words.ordinal()?;
        let mut path = SitePath::resolved(caller, callee, ordinal, stage);
        let mut location = SourceLoc::default();
        loop {
            match words.next()? {
                None => break,
                Some(Word::Plain(">")) => {
                    let callee = words.name()?;
                    let (ordinal, stage) = words.ordinal()?;
                    path = path.then_resolved(callee, ordinal, stage);
                }
                Some(word) => {
                    location = word.location()?;
                    break;
                }
            }
        }
        if self.plan.get(&path).is_some() {
            return Ok(Some(path));
        }
        let site = PlannedSite {
            inline,
            location,
            reason: words.comment().to_owned(),
        };
        self.plan.insert(path, site);
        Ok(None)
    }
}

/// The rest of a line, read word by word up to the comment.
pub(crate) struct Words<'a>(pub(crate) &'a str);

pub(crate) enum Word<'a> {
    Plain(&'a str),
    /// The bytes between quotes.
    Quoted(Vec<u8>),
}

impl<'a> Words<'a> {
    pub(crate) fn next(&mut self) -> Result<Option<Word<'a>>, PlanProblem> {
        let text = self.0.trim_start();
        self.0 = text;
        if text.is_empty() || text.starts_with(';') {
            return Ok(None);
        }
        if let Some(quoted) = text.strip_prefix('"') {
            let (bytes, rest) = unquote(quoted).ok_or(PlanProblem::Quotes)?;
            self.0 = rest;
            return Ok(Some(Word::Quoted(bytes)));
        }
        let end = text.find(|c: char| c.is_whitespace() || c == ';');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        Ok(Some(Word::Plain(word)))
    }

    pub(crate) fn required(&mut self, what: &'static str) -> Result<Word<'a>, PlanProblem> {
        self.next()?.ok_or(PlanProblem::Missing(what))
    }

    pub(crate) fn name(&mut self) -> Result<FunctionName, PlanProblem> {
        match self.required("the name of a function")? {
            Word::Plain(word) => Ok(word.parse()?),
            Word::Quoted(bytes) => match bytes.strip_prefix(b"%") {
                Some(name) => Ok(FunctionName::testcase(name)),
                None => Ok(String::from_utf8_lossy(&bytes).parse()?),
            },
        }
    }

    /// Returns the number of a step and its stage.
    fn ordinal(&mut self) -> Result<(u32, u32), PlanProblem> {
        let what = "a number such as #0";
        let word = self.required(what)?;
        let number = match &word {
            Word::Plain(word) => word.strip_prefix('#').and_then(number_and_stage),
            Word::Quoted(_) => None,
        };
        number.ok_or_else(|| word.instead_of(what))
    }

    /// Returns the comment after the `;`, if all words were read.
    fn comment(&self) -> &'a str {
        self.0.trim_start().strip_prefix(';').unwrap_or("").trim()
    }
}

impl Word<'_> {
    pub(crate) fn text(&self) -> String {
        match self {
            Word::Plain(word) => (*word).to_owned(),
            Word::Quoted(bytes) => format!("\"{}\"", String::from_utf8_lossy(bytes)),
        }
    }

    pub(crate) fn instead_of(&self, expected: &'static str) -> PlanProblem {
        let found = self.text();
        PlanProblem::Unexpected { expected, found }
    }

    fn location(&self) -> Result<SourceLoc, PlanProblem> {
        let bits = match self {
            Word::Plain(word) => word
                .strip_prefix('@')
                .and_then(|hex| u32::from_str_radix(hex, 16).ok()),
            Word::Quoted(_) => None,
        };
        let wrong = || self.instead_of("`>`, a location such as @001f, or the end of the line");
        bits.map(SourceLoc::new).ok_or_else(wrong)
    }
}

/// Returns the two numbers of `0~1`, or of `0`, without a stage.
fn number_and_stage(text: &str) -> Option<(u32, u32)> {
    match text.split_once('~') {
        None => Some((text.parse().ok()?, 0)),
        Some((number, stage)) => {
            let stage = stage.parse().ok().filter(|&stage| stage != 0)?;
            Some((number.parse().ok()?, stage))
        }
    }
}

/// Returns the bytes up to the closing quote, and the rest after it.
fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(['"', '\\'])?;
        let (plain, special) = rest.split_at(end);
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = special.strip_prefix('"') {
            return Some((bytes, after));
        }
        rest = special.strip_prefix('\\')?;
        if let Some(hex) = rest.strip_prefix('x') {
            bytes.push(u8::from_str_radix(hex.get(..2)?, 16).ok()?);
            rest = hex.get(2..)?;
        } else {
            let escaped = rest.chars().next().filter(|c| matches!(c, '"' | '\\'))?;
            bytes.push(u8::try_from(escaped).ok()?);
            rest = rest.get(1..)?;
        }
    }
}
