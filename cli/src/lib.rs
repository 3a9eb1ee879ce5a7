//! The tool `clif-inline`, which inlines across CLIF modules, and verifies, compiles, runs or draws
//! them. Embedders of [`cranelift_inliner`] find its page about a result in [`report`].
//!
//! `arguments` has the command line, and each subcommand has a file in `commands`. They share
//! `stage` (reading, verifying and inlining), `statistics` and `remarks` (reports), and `output`
//! (replacement of files).

mod arguments;
mod build_files;
mod commands;
mod drawing;
mod explanation;
mod explanation_json;
mod failure;
mod inline_tree;
mod input;
mod names;
mod output;
mod panics;
mod progress;
mod records;
mod remarks;
pub mod report;
mod run;
mod stage;
mod statistics;
mod system;
mod table;
mod temporary;
mod test_files;
mod verdict;

use arguments::{Arguments, Command, help};
use clap::FromArgMatches;
use failure::Failure;
use std::process::ExitCode;

/// The stack of each thread, in bytes. Cranelift recurses over the nesting of its input; unused
/// pages cost nothing.
const STACK_BYTES: usize = 64 << 20;

/// Runs the tool with the arguments of the process.
#[doc(hidden)]
pub fn main() -> ExitCode {
    panics::install_hook();
    start_log();
    if let Some(help) = help::asked_for_shared() {
        return ended(output::print_styled(&help.ansi().to_string()));
    }
    let matches = help::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches);
    let Arguments { command } = arguments.unwrap_or_else(|error| error.exit());
    ended(run_command(&command))
}

/// Lets `RUST_LOG` select log lines for standard error; by default there are none. Lines have no
/// times, so that two runs can be compared.
fn start_log() {
    env_logger::Builder::from_default_env()
        .format_timestamp(None)
        .init();
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

fn run_command(command: &Command) -> Result<(), Failure> {
    let threads = command.threads().unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .build()
        .map_err(|error| Failure::new(format!("cannot start {threads} threads: {error}")))?;
    pool.install(|| match command {
        Command::Opt(arguments) => commands::opt(arguments),
        Command::Compile(arguments) => commands::compile(arguments),
        Command::Run(arguments) => commands::run(arguments),
        Command::Graph(arguments) => commands::graph(arguments),
        Command::Explain(arguments) => commands::explain(arguments),
        Command::Report(arguments) => commands::report(arguments),
        Command::Bisect(arguments) => commands::bisect(arguments),
        Command::Summarize(arguments) => commands::summarize(arguments),
        Command::Thin(arguments) => commands::thin(arguments),
        Command::Backend(arguments) => commands::backend(arguments),
        Command::Completions(arguments) => commands::completions(arguments),
        Command::Man(arguments) => commands::man(arguments),
    })
}
