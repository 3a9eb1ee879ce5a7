//! Plans of shards from text.

use super::lines::{MAGIC, VERSION};
use super::shard_plan::{Change, Import, Imports, ShardPlan, Visibility};
use crate::plan::{self, ParsePlanError, Plan, PlanProblem, Word, Words};
use crate::program::FunctionName;
use std::str::FromStr;
use thiserror::Error;

/// The error for a text that is not the plan of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct ParseShardPlanError {
    /// The line of the error, from 1.
    pub line: usize,
    /// The error in the line.
    #[source]
    pub problem: ShardPlanProblem,
}

/// An error in a line of a shard's plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShardPlanProblem {
    /// The text does not begin as the plan of a shard does.
    #[error("this is not the plan of a shard: the first line must be `{MAGIC} {VERSION}`")]
    NoShardPlan,
    /// The version is unknown.
    #[error("this plan is of version {0}, and only {VERSION} can be read")]
    Version(String),
    /// The second line does not name the shard.
    #[error("expected `shard \"NAME\"`")]
    NoShard,
    /// A line begins with an unknown word.
    #[error("no line of a shard's plan begins with `{0}`")]
    Keyword(String),
    /// An import stands before the first shard.
    #[error("an import needs a line `from \"SHARD\"` before it")]
    NoFrom,
    /// A hash is not one.
    #[error("expected a hash of 32 hexadecimal digits, not `{0}`")]
    Hash(String),
    /// A function is listed already.
    #[error("{0} is listed already")]
    Twice(FunctionName),
    /// The decisions are missing.
    #[error("the plan has no decisions, so it was cut")]
    Cut,
    /// An error that any plan may have.
    #[error(transparent)]
    Plan(#[from] PlanProblem),
}

impl FromStr for ShardPlan {
    type Err = ParseShardPlanError;

    fn from_str(text: &str) -> Result<Self, ParseShardPlanError> {
        let at = |line: usize| move |problem| ParseShardPlanError { line, problem };
        let mut lines = (1..).zip(text.split_inclusive('\n'));
        let (_, first) = lines.next().unwrap_or((1, ""));
        let version = first.strip_prefix(MAGIC).map(str::trim);
        match version {
            Some(VERSION) => {}
            None | Some("") => return Err(at(1)(ShardPlanProblem::NoShardPlan)),
            Some(other) => return Err(at(1)(ShardPlanProblem::Version(other.to_owned()))),
        }
        let (_, second) = lines.next().unwrap_or((2, ""));
        let mut reader = Reader {
            plan: ShardPlan {
                shard: shard_line(second).map_err(at(2))?,
                ..ShardPlan::default()
            },
            from: None,
        };
        let mut bytes = first.len() + second.len();
        let mut last = 2;
        for (number, line) in lines {
            if line.starts_with(plan::MAGIC) {
                let rest = text.get(bytes..).unwrap_or_default();
                let decisions = rest.parse::<Plan>();
                reader.plan.plan =
                    decisions.map_err(|ParsePlanError { line, problem, .. }| {
                        at(number + line - 1)(ShardPlanProblem::Plan(problem))
                    })?;
                return Ok(reader.plan);
            }
            reader.line(line.trim_end()).map_err(at(number))?;
            bytes += line.len();
            last = number;
        }
        Err(at(last)(ShardPlanProblem::Cut))
    }
}

fn shard_line(line: &str) -> Result<String, ShardPlanProblem> {
    let mut words = Words(line);
    match words.next()? {
        Some(Word::Plain("shard")) => {}
        _ => return Err(ShardPlanProblem::NoShard),
    }
    let shard = quoted(&mut words)?;
    end(&mut words)?;
    Ok(shard)
}

fn quoted(words: &mut Words<'_>) -> Result<String, ShardPlanProblem> {
    match words.required("the name of a shard in quotes")? {
        Word::Quoted(bytes) => {
            String::from_utf8(bytes).map_err(|_| ShardPlanProblem::Plan(PlanProblem::Quotes))
        }
        word => Err(word.instead_of("the name of a shard in quotes").into()),
    }
}

fn end(words: &mut Words<'_>) -> Result<(), ShardPlanProblem> {
    match words.next()? {
        None => Ok(()),
        Some(word) => Err(word.instead_of("the end of the line").into()),
    }
}

struct Reader {
    plan: ShardPlan,
    from: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), ShardPlanProblem> {
        let mut words = Words(line);
        let keyword = match words.next()? {
            None => return Ok(()),
            Some(Word::Plain(keyword)) => keyword,
            Some(word) => return Err(ShardPlanProblem::Keyword(word.text())),
        };
        let mut visibilities = Visibility::ALL.iter();
        if let Some((_, visibility)) = visibilities.find(|(known, _)| *known == keyword) {
            return self.change(*visibility, &mut words);
        }
        match keyword {
            "never-throws" => {
                self.plan.never_throw.insert(words.name()?);
                end(&mut words)
            }
            "from" => {
                self.from = Some(quoted(&mut words)?);
                end(&mut words)
            }
            "import" | "copy" => {
                let name = words.name()?;
                let mut word = words.required("a hash")?;
                let mut new = name.clone();
                if matches!(word, Word::Plain("as")) {
                    new = words.name()?;
                    word = words.required("a hash")?;
                }
                let import = Import {
                    name: new,
                    hash: hash(&word)?,
                    is_copy: keyword == "copy",
                };
                let functions = &mut self.imports()?.functions;
                if functions.insert(name.clone(), import).is_some() {
                    return Err(ShardPlanProblem::Twice(name));
                }
                end(&mut words)
            }
            "name" => {
                let name = words.name()?;
                let word = words.required("`as`")?;
                if !matches!(word, Word::Plain("as")) {
                    return Err(word.instead_of("`as`").into());
                }
                let new = words.name()?;
                if self.imports()?.names.insert(name.clone(), new).is_some() {
                    return Err(ShardPlanProblem::Twice(name));
                }
                end(&mut words)
            }
            other => Err(ShardPlanProblem::Keyword(other.to_owned())),
        }
    }

    fn change(
        &mut self,
        visibility: Visibility,
        words: &mut Words<'_>,
    ) -> Result<(), ShardPlanProblem> {
        let name = words.name()?;
        let new = match words.next()? {
            None => None,
            Some(Word::Plain("as")) => {
                let new = words.name()?;
                end(words)?;
                Some(new)
            }
            Some(word) => return Err(word.instead_of("`as`, or the end of the line").into()),
        };
        let change = Change {
            visibility,
            name: new,
        };
        match self.plan.changes.insert(name.clone(), change) {
            None => Ok(()),
            Some(_) => Err(ShardPlanProblem::Twice(name)),
        }
    }

    fn imports(&mut self) -> Result<&mut Imports, ShardPlanProblem> {
        let from = self.from.clone().ok_or(ShardPlanProblem::NoFrom)?;
        Ok(self.plan.imports.entry(from).or_default())
    }
}

fn hash(word: &Word<'_>) -> Result<u128, ShardPlanProblem> {
    let wrong = || ShardPlanProblem::Hash(word.text());
    match word {
        Word::Plain(digits) if digits.len() == 32 => {
            u128::from_str_radix(digits, 16).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}
