//! The command line: the commands, each with the options that it alone has.

pub(crate) mod help;
mod shared;

pub(crate) use shared::{
    CommonArguments, FallbackArgument, Inputs, LegalityArguments, LimitArguments, NameArguments,
    OptimizeArguments, PlanArguments, PolicyArgument, PolicyArguments, StatisticsForm,
    TargetArguments,
};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cranelift_inliner::program::FunctionName;
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Interprocedural inlining for Cranelift.
///
/// Reads CLIF text, decides at every direct call whether the callee's body shall take the call's
/// place, and writes, compiles, runs or draws what comes of it.
#[derive(Debug, Parser)]
#[command(name = "clif-inline", version, styles = STYLES, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  clif-inline compile module.clif -o module.o   inline, verify, compile; print a table
  clif-inline opt module.clif                   show the module after inlining
  clif-inline run tests/                        execute the `; run:` lines of every file
  clif-inline graph module.clif -o calls.svg    draw who calls whom and what was inlined
  clif-inline explain module.clif --function f  tell why each call of f was inlined or not
  clif-inline report module.clif                all of it as a page for a browser: module.html
  clif-inline bisect module.clif --plan p -- ./test.sh {}
                                                find the decision that makes a test fail

`clif-inline COMMAND --help` tells more of each.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Opt(OptArguments),
    Compile(CompileArguments),
    Run(RunArguments),
    Graph(GraphArguments),
    Explain(ExplainArguments),
    Report(ReportCommandArguments),
    Bisect(BisectArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

impl Command {
    /// `None` for commands that inline nothing.
    pub(crate) fn common(&self) -> Option<&CommonArguments> {
        Some(match self {
            Self::Opt(arguments) => &arguments.common,
            Self::Compile(arguments) => &arguments.common,
            Self::Run(arguments) => &arguments.common,
            Self::Graph(arguments) => &arguments.common,
            Self::Explain(arguments) => &arguments.common,
            Self::Report(arguments) => &arguments.common,
            Self::Bisect(arguments) => &arguments.common,
            Self::Completions(_) | Self::Man(_) => return None,
        })
    }
}

/// Inline and write CLIF text
///
/// All inputs are one module: their functions may call each other. Every function is verified
/// before inlining and after each step of it. Local functions (see --export) that nothing calls
/// any more are left out.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Show what the default policy makes of a module:
    clif-inline opt module.clif

  Take what `wasmtime compile --emit-clif clif/` wrote, export one function, see every decision:
    clif-inline opt clif/ --export u0:0 -o out.clif --remarks remarks.yaml

  Inline whatever is legal, but not the error paths:
    clif-inline opt module.clif --policy always --never panic --stats

  In a pipe:
    frontend --emit-clif | clif-inline opt - | less")]
pub(crate) struct OptArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the module [default: standard output]
    ///
    /// An existing file is replaced at once when everything has been written; it may be one of
    /// the inputs. `-` is standard output.
    #[arg(short, long, value_name = "OUT.clif")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Inline, compile and write an object file
///
/// All inputs are one module. Each function is compiled as soon as it is final; one that Cranelift
/// refuses after inlining is compiled as it was, with a warning. A short table of what was done
/// goes to standard error, with the size of the code without inlining if the module has at most
/// 50,000 instructions; --stats takes its place with more, --quiet leaves it out.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Symbols:
  %name becomes name, and u0:4 becomes u0_4. Names that no input defines are imported.

Examples:
  An object file for this machine beside the input, module.o:
    clif-inline compile module.clif

  For another machine, for size:
    clif-inline compile module.clif -o module.o --target aarch64 --opt-level speed_and_size

  With the inlined calls as frames for debuggers:
    clif-inline compile module.clif -o module.o -g && addr2line -f -i -e module.o 0x10

  What inlining gains, as numbers for a script:
    clif-inline compile module.clif -o a.o --stats=json | jq .code_bytes_before,.code_bytes")]
pub(crate) struct CompileArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the object file [default: IN.o, where there is one input]
    ///
    /// An existing file is replaced at once when everything has been written. `-` is standard
    /// output.
    #[arg(short, long, value_name = "OUT.o")]
    pub(crate) output: Option<PathBuf>,

    /// Write DWARF debug information, inlined calls as frames of their own
    ///
    /// The source is the CLIF text: an instruction's line is that of the first one in its function
    /// with the same @location. For ELF files.
    #[arg(short = 'g', long)]
    pub(crate) debug_info: bool,

    /// Print nothing of what was done
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Inline, then execute the `; run:` and `; print:` lines of test files
///
/// Unlike elsewhere each file is a module of its own. A folder stands for all .clif files in it and
/// in the folders inside it.
///
/// A line such as `; run: %add(1, 2) == 3` after a function calls that function natively, in a
/// process of its own, after inlining across its file; `; print: %add(1, 2)` prints the result. A
/// file's `target` and `set` lines say what it is compiled for. What this machine cannot execute is
/// passed over, and the reason told. A file that cannot be read fails, and the others go on. A plan
/// is of one module, so its options take one file.
///
/// A line belongs to the function that it stands in or after. One that names another function of
/// the file fails. So does a run without any line to execute; a file without one among others is
/// told of.
///
/// The exit status is 1 if anything failed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  All of Cranelift's run tests, inlining whatever is legal:
    clif-inline run cranelift/filetests/filetests/runtests --policy always

  Whether a failure has to do with inlining:
    clif-inline run failing.clif --policy never

  Only totals and failures:
    clif-inline run tests/ --quiet

  Count calls, and inline by the counts:
    clif-inline run module.clif --profile-out module.profile.json
    clif-inline compile module.clif -o module.o --profile module.profile.json

  Write the decisions down, and follow them again:
    clif-inline run test.clif --plan-out test.plan
    clif-inline run test.clif --plan test.plan --plan-fallback fail")]
pub(crate) struct RunArguments {
    /// Test files, folders of .clif files, or - for standard input
    #[arg(value_name = "IN", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Do not tell what was passed over
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Count how often each direct call is executed, and write that down (see docs/PROFILE.md)
    ///
    /// The functions get counters before anything is inlined. Counts of several directives, targets
    /// and files are added up.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Draw the call graph with the decisions
///
/// All inputs are one module. Functions are boxes with their instructions before and after, arrows
/// lead from callers to callees: solid green where the call was inlined, dashed grey where the
/// policy or an attribute kept it, dotted red where it was refused, and light grey to functions
/// that no input defines.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A picture for a browser:
    clif-inline graph module.clif -o calls.svg

  With Graphviz's tools:
    clif-inline graph module.clif | dot -Tpdf > calls.pdf

  A part of a large module:
    clif-inline graph module.clif --around main --depth 3 -o main.svg

  What `always` would do if only main were called from outside:
    clif-inline graph module.clif --policy always --export main -o calls.svg")]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the graph: as SVG if the name ends so, else as DOT [default: DOT to standard
    /// output]
    #[arg(short, long, value_name = "OUT.dot|OUT.svg")]
    pub(crate) output: Option<PathBuf>,

    /// Draw only this function and what is near it: %name, name or u0:4; may be repeated
    ///
    /// Functions over it in the picture call it, directly or over others; those below it are called
    /// from it.
    #[arg(long, value_name = "NAME")]
    pub(crate) around: Vec<FunctionName>,

    /// Over how many calls what is near may be
    #[arg(long, value_name = "N", default_value_t = 2, requires = "around")]
    pub(crate) depth: usize,

    /// Who lays out an SVG
    #[arg(long, value_name = "WHO", default_value = "builtin")]
    pub(crate) layout: LayoutArgument,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Tell of every call site of a function what was decided and why
///
/// Prints a function's inline tree: its calls, below each one that was inlined the calls of the
/// body that took its place, and so on. A line has what became of the call, the callee's size as
/// it was copied, the caller's at that time, and the reason; the default policy gives its numbers
/// there. A body is inlined with all that was inlined into it before, so some decisions were made
/// where another function was the caller; these lines say which.
///
/// Where standard output is a terminal there are colours, unless NO_COLOR is set.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What changed most?
    clif-inline explain module.clif

  Why was this call not inlined?
    clif-inline explain module.clif --function main

  Its own calls alone, and those of another function:
    clif-inline explain module.clif --function main --function u0:4 --depth 1

  Whether a higher threshold would change it:
    clif-inline explain module.clif --function main --cost-threshold 100")]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// The function to tell of: %name, name or u0:4; may be repeated [default: the five whose
    /// sizes changed most]
    #[arg(long = "function", value_name = "NAME")]
    pub(crate) functions: Vec<FunctionName>,

    /// How many levels of calls to show [default: all]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) depth: Option<usize>,

    /// How to tell it
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) format: FormatArgument,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Write a page that shows what was done, for a browser
///
/// One file that needs nothing else: totals, tables of all functions and call sites that can be
/// sorted and filtered, the call graph as a picture, and for each function its inline tree and its
/// CLIF before and after. Its tables, trees and picture are there without scripts too.
///
/// The page stays under 10 MB. Of a large module it leaves out the functions that changed least,
/// some call sites, and texts of functions, and says so.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What the default policy makes of a module, in module.html:
    clif-inline report module.clif

  What it would make of it if only main were called from outside:
    clif-inline report module.clif --export main -o main.html

  A large module, without the text of its functions:
    clif-inline report clif/ --no-clif -o report.html")]
pub(crate) struct ReportCommandArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the page [default: IN.html, where there is one input]
    ///
    /// An existing file is replaced at once when everything has been written. `-` is standard
    /// output.
    #[arg(short, long, value_name = "OUT.html")]
    pub(crate) output: Option<PathBuf>,

    /// Leave out the text of the functions, which is most of the page
    #[arg(long)]
    pub(crate) no_clif: bool,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Find the one decision that makes a command fail
///
/// Takes a plan (see --plan-out of the other commands) of a module that goes wrong. The module is
/// inlined by parts of the plan, and the command is told each time where the result is; it fails
/// if its exit status is not 0. If the plan inlines N calls, the command runs at most log2(N) + 2
/// times. So that every part can be followed, callees come before their callers, and a call comes
/// after the one whose body brings it in.
///
/// The plan alone decides: --policy, --always and --flatten are not asked. What Cranelift or the
/// verifier refuses fails too, without running the command.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A program that crashes since it is inlined:
    clif-inline compile module.clif -o module.o --plan-out module.plan
    clif-inline bisect module.clif --plan module.plan -- sh -c 'cc main.o {} -o test && ./test'

  A command that hangs where it fails:
    clif-inline bisect module.clif --plan module.plan -- timeout 10 ./test.sh {}

  A tool that reads CLIF, and finds the file in the environment:
    clif-inline bisect module.clif --plan module.plan --emit clif -- \\
      sh -c 'clif-util compile --target x86_64 \"$CLIF_INLINE_FILE\"'")]
pub(crate) struct BisectArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// The plan with which the command fails
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: PathBuf,

    /// Where to write the plan that fails with the fewest calls inlined
    /// [default: PLAN with the ending .failing.plan]
    #[arg(short, long, value_name = "FAILING")]
    pub(crate) output: Option<PathBuf>,

    /// What the command gets
    #[arg(long, value_name = "KIND", default_value = "object")]
    pub(crate) emit: EmitArgument,

    /// The command and its arguments, in which {} becomes the file's path; the environment
    /// variable CLIF_INLINE_FILE has it too
    ///
    /// What it prints goes to standard error.
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub(crate) command: Vec<String>,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  For this user's bash:
    clif-inline completions bash > ~/.local/share/bash-completion/completions/clif-inline

  For zsh, in a folder of $fpath:
    clif-inline completions zsh > ~/.zfunc/_clif-inline")]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Write the manual pages
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  For this user's man:
    clif-inline man ~/.local/share/man/man1

  To read at once:
    clif-inline man - | man -l -")]
pub(crate) struct ManArguments {
    /// The folder for clif-inline.1 and a page for each command, which must be there; - prints the
    /// first one
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmitArgument {
    /// An object file
    Object,
    /// CLIF text
    Clif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// A tree to read
    Text,
    /// A JSON array of functions, each with its tree of sites
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArgument {
    /// This program: an arrow for all call sites between two functions that ended alike
    Builtin,
    /// Graphviz's program dot, which must be installed: an arrow for each call site
    Graphviz,
}
