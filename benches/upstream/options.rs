//! The options of a run.

use crate::decisions::Policy;
use std::env;
use std::path::PathBuf;

const USAGE: &str = "\
cargo bench --bench upstream -- [OPTION]...
  --part LETTERS     which parts to measure: a splice, b output, c memory, d pipeline, e scaling
  --module TEXT      only modules with TEXT in their names; may be given several times
  --policy NAME      only one policy: small or generous
  --rounds N         how often each time is measured
  --no-counts        no instruction counts
  --profiles FOLDER  where callgrind's profiles are kept
  --json FILE        where the results go as JSON
  --svg FILE         where the plot of part e goes
  --largest N        the largest N of part e";

/// The command line.
pub(crate) struct Options {
    parts: String,
    modules: Vec<String>,
    policy: Option<String>,
    pub(crate) rounds: usize,
    pub(crate) counts: bool,
    pub(crate) profiles: Option<PathBuf>,
    pub(crate) json: String,
    pub(crate) svg: String,
    pub(crate) largest: usize,
}

impl Options {
    /// Reads the command line; exits on an error.
    pub(crate) fn from_arguments() -> Self {
        let target = option_env!("CARGO_TARGET_TMPDIR").unwrap_or(".");
        let mut options = Options {
            parts: "abcde".into(),
            modules: Vec::new(),
            policy: None,
            rounds: 7,
            counts: true,
            profiles: None,
            json: format!("{target}/upstream.json"),
            svg: format!("{target}/upstream-scaling.svg"),
            largest: 100_000,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| usage());
            match argument.as_str() {
                "--part" => options.parts = value(),
                "--module" => options.modules.push(value()),
                "--policy" => options.policy = Some(value()),
                "--rounds" => options.rounds = number(&value()),
                "--no-counts" => options.counts = false,
                "--profiles" => options.profiles = Some(value().into()),
                "--json" => options.json = value(),
                "--svg" => options.svg = value(),
                "--largest" => options.largest = number(&value()),
                // An argument that `cargo bench` adds.
                "--bench" => {}
                _ => usage(),
            }
        }
        options
    }

    pub(crate) fn wants_part(&self, part: char) -> bool {
        self.parts.contains(part)
    }

    pub(crate) fn wants_module(&self, name: &str) -> bool {
        self.modules.is_empty() || self.modules.iter().any(|wanted| name.contains(wanted))
    }

    pub(crate) fn wants_policy(&self, policy: Policy) -> bool {
        let wanted = self.policy.as_deref();
        wanted.is_none_or(|wanted| wanted == policy.name())
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| usage())
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}
