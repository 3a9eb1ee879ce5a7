//! The command line: the commands, each with its own options.

pub(crate) mod help;
mod shards;
mod shared;

pub(crate) use shards::{BackendArguments, SummarizeArguments, ThinArguments, given_step_options};
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
/// Reads CLIF text, decides for every direct call whether to replace it by the callee's body, and
/// writes, compiles, runs or draws the result.
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
  clif-inline graph module.clif -o calls.svg    draw the call graph with the decisions
  clif-inline explain module.clif --function f  show why each call of f was inlined or not
  clif-inline report module.clif                all of it as a page for a browser: module.html
  clif-inline bisect module.clif --plan p -- ./test.sh {}
                                                find the decision that makes a test fail
  clif-inline summarize a.clif -o out/a.sum     build a program in shards: see docs/SCALE.md

`clif-inline COMMAND --help` describes a command.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Opt(OptArguments),
    Compile(CompileArguments),
    Run(RunArguments),
    Graph(GraphArguments),
    Explain(ExplainArguments),
    Report(ReportCommandArguments),
    Bisect(BisectArguments),
    Summarize(SummarizeArguments),
    Thin(ThinArguments),
    Backend(BackendArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

impl Command {
    /// Returns the number of threads that the arguments ask for.
    pub(crate) fn threads(&self) -> Option<usize> {
        match self {
            Self::Summarize(arguments) => arguments.threads,
            Self::Thin(arguments) => arguments.step.work.threads,
            Self::Backend(arguments) => arguments.step.work.threads,
            _ => self.common()?.work.threads,
        }
    }

    /// Returns the shared arguments; `None` for commands that do not inline.
    pub(crate) fn common(&self) -> Option<&CommonArguments> {
        Some(match self {
            Self::Opt(arguments) => &arguments.common,
            Self::Compile(arguments) => &arguments.common,
            Self::Run(arguments) => &arguments.common,
            Self::Graph(arguments) => &arguments.common,
            Self::Explain(arguments) => &arguments.common,
            Self::Report(arguments) => &arguments.common,
            Self::Bisect(arguments) => &arguments.common,
            Self::Summarize(_) | Self::Thin(_) | Self::Backend(_) => return None,
            Self::Completions(_) | Self::Man(_) => return None,
        })
    }
}

/// Inline and write CLIF text
///
/// All inputs are one module: their functions may call each other. Every function is verified
/// before inlining and after each step of it. Local functions (see --export) that are no longer
/// called are left out.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Inline a module with the default policy:
    clif-inline opt module.clif

  Read the output of `wasmtime compile --emit-clif clif/`, export one function, list decisions:
    clif-inline opt clif/ --export u0:0 -o out.clif --remarks remarks.yaml

  Inline every legal call, except the error paths:
    clif-inline opt module.clif --policy always --never panic --stats

  In a pipe:
    frontend --emit-clif | clif-inline opt - | less")]
pub(crate) struct OptArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the module [default: standard output]
    ///
    /// An existing file is replaced atomically at the end; it may be one of the inputs. `-` is
    /// standard output.
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
/// All inputs are one module. Each function is compiled as soon as it is final. If Cranelift
/// refuses it after inlining, its original body is compiled, with a warning. A short table of the
/// results goes to standard error. It compares with the code without inlining if the module has at
/// most 50,000 instructions. --stats prints more instead, and --quiet prints nothing.
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

  Code size before and after, for a script:
    clif-inline compile module.clif -o a.o --stats=json | jq .code_bytes_before,.code_bytes")]
pub(crate) struct CompileArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the object file [default: IN.o for a single input]
    ///
    /// An existing file is replaced atomically at the end. `-` is standard output.
    #[arg(short, long, value_name = "OUT.o")]
    pub(crate) output: Option<PathBuf>,

    /// Write DWARF debug information, with inlined calls as frames
    ///
    /// The source is the CLIF text: the line of an instruction is the line of the first one in its
    /// function with the same @location. Values are variables with their own names, and may get
    /// other registers than without this option. For ELF files.
    #[arg(short = 'g', long)]
    pub(crate) debug_info: bool,

    /// Do not print the table of results
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
/// Each file is a separate module, unlike in the other commands. A folder stands for all .clif
/// files in it and in its subfolders.
///
/// A line such as `; run: %add(1, 2) == 3` after a function calls that function natively, in a
/// separate process, after inlining across its file; `; print: %add(1, 2)` prints the result. A
/// file's `target` and `set` lines select the target. Directives that this machine cannot execute
/// are skipped, with a reason. A file that cannot be read fails, and the others continue. A plan
/// belongs to one module, so its options take one file.
///
/// A line belongs to the function that contains it or precedes it. A line that names another
/// function of the file fails, and so does a run without any line to execute. Among several files,
/// those without a line are reported.
///
/// The exit status is 1 if anything failed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  All of Cranelift's run tests, with every legal call inlined:
    clif-inline run cranelift/filetests/filetests/runtests --policy always

  Check whether a failure depends on inlining:
    clif-inline run failing.clif --policy never

  Only totals and failures:
    clif-inline run tests/ --quiet

  Count calls, and inline by the counts:
    clif-inline run module.clif --profile-out module.profile.json
    clif-inline compile module.clif -o module.o --profile module.profile.json

  Record the decisions, and repeat them:
    clif-inline run test.clif --plan-out test.plan
    clif-inline run test.clif --plan test.plan --plan-fallback fail")]
pub(crate) struct RunArguments {
    /// Test files, folders of .clif files, or - for standard input
    #[arg(value_name = "IN", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Do not list skipped directives and files
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Count the executions of each direct call, and write them to a file (see docs/PROFILE.md)
    ///
    /// Counters are inserted before inlining. Counts of several directives, targets and files are
    /// added up.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Draw the call graph with the decisions
///
/// All inputs are one module. Functions are boxes with their instructions before and after. Arrows
/// lead from callers to callees: solid green for inlined calls, dashed grey for calls that the
/// policy or an attribute kept, dotted red for refused calls, and light grey to functions that no
/// input defines.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A picture for a browser:
    clif-inline graph module.clif -o calls.svg

  With Graphviz's tools:
    clif-inline graph module.clif | dot -Tpdf > calls.pdf

  A part of a large module:
    clif-inline graph module.clif --around main --depth 3 -o main.svg

  The decisions of `always`, with only main called from outside:
    clif-inline graph module.clif --policy always --export main -o calls.svg")]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the graph: as SVG if the name ends in .svg, else as DOT [default: DOT to
    /// standard output]
    #[arg(short, long, value_name = "OUT.dot|OUT.svg")]
    pub(crate) output: Option<PathBuf>,

    /// Draw only this function and its neighbours: %name, name or u0:4; may be repeated
    ///
    /// Functions above it in the picture call it, directly or through others; it calls those below.
    #[arg(long, value_name = "NAME")]
    pub(crate) around: Vec<FunctionName>,

    /// The distance of the neighbours, in calls
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 2,
        requires = "around"
    )]
    pub(crate) depth: usize,

    /// The layout of an SVG
    #[arg(long, value_name = "LAYOUT", default_value = "builtin")]
    pub(crate) layout: LayoutArgument,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// List the decision and its reason for every call site of a function
///
/// Prints a function's inline tree: its calls, below each inlined call the calls of the copied
/// body, and so on. A line has the decision, the sizes of callee and caller at that time, and the
/// reason; the default policy gives its numbers. A body is copied with everything that was inlined
/// into it before, so some decisions were made in another caller; these lines name it.
///
/// Output to a terminal has colours, unless NO_COLOR is set.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The functions that changed most:
    clif-inline explain module.clif

  Why was this call not inlined?
    clif-inline explain module.clif --function main

  Only its own calls, and those of another function:
    clif-inline explain module.clif --function main --function u0:4 --depth 1

  The effect of a higher threshold:
    clif-inline explain module.clif --function main --cost-threshold 100")]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// The function to explain: %name, name or u0:4; may be repeated [default: the five whose sizes
    /// changed most]
    #[arg(long = "function", value_name = "NAME")]
    pub(crate) functions: Vec<FunctionName>,

    /// The levels of calls to show [default: all]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
    )]
    pub(crate) depth: Option<usize>,

    /// The output format
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) format: FormatArgument,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Write a page about the result, for a browser
///
/// A single file without external parts. It has totals, tables of all functions and call sites that
/// sort and filter, the call graph as a picture, and for each function its inline tree and its CLIF
/// before and after. Tables, trees and the picture also work without scripts.
///
/// The page stays under 10 MB. For a large module it leaves out the functions that changed least,
/// some call sites, and the text and machine code of functions, with a note.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The result of the default policy, in module.html:
    clif-inline report module.clif

  The result with only main called from outside:
    clif-inline report module.clif --export main -o main.html

  With the machine code for aarch64 beside the text:
    clif-inline report module.clif --machine-code --target aarch64

  A large module, without the text of its functions:
    clif-inline report clif/ --no-clif -o report.html")]
pub(crate) struct ReportCommandArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the page [default: IN.html for a single input]
    ///
    /// An existing file is replaced atomically at the end. `-` is standard output.
    #[arg(short, long, value_name = "OUT.html")]
    pub(crate) output: Option<PathBuf>,

    /// Leave out the text of functions, which is most of the page
    #[arg(long)]
    pub(crate) no_clif: bool,

    /// Compile the functions, and show their machine code beside their text
    ///
    /// The code is listed by Cranelift, after register allocation.
    #[arg(long)]
    pub(crate) machine_code: bool,

    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Find the one decision that makes a command fail
///
/// Takes a plan (see --plan-out of the other commands) of a broken module. The module is inlined by
/// parts of the plan, and the command gets the path of each result; it fails if its exit status is
/// not 0. If the plan inlines N calls, the command runs at most log2(N) + 2 times. Callees come
/// before their callers, and a call comes after the one whose body contains it, so that every part
/// can be followed.
///
/// The plan alone decides: --policy, --always and --flatten have no effect. A result that Cranelift
/// or the verifier refuses also fails, without running the command.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A program that crashes after inlining:
    clif-inline compile module.clif -o module.o --plan-out module.plan
    clif-inline bisect module.clif --plan module.plan -- sh -c 'cc main.o {} -o test && ./test'

  A command that hangs on failure:
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

    /// The file that the command gets
    #[arg(long, value_name = "KIND", default_value = "object")]
    pub(crate) emit: EmitArgument,

    /// The command and its arguments, in which {} becomes the file's path; the environment variable
    /// CLIF_INLINE_FILE has the path too
    ///
    /// Its output goes to standard error.
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

  To read the first page directly:
    clif-inline man - | man -l -")]
pub(crate) struct ManArguments {
    /// The folder for clif-inline.1 and a page for each command, which must exist; - prints the
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
    /// A tree, as text
    Text,
    /// A JSON array of functions, each with its tree of sites
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArgument {
    /// This program: one arrow for all call sites between two functions with the same outcome
    Builtin,
    /// Graphviz's program dot, which must be installed: one arrow for each call site
    Graphviz,
}
