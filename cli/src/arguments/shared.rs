//! Options shared by several commands.

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::decide::{CostModel, Limits, Small};
use cranelift_inliner::pass::Optimize;
use cranelift_inliner::program::FunctionName;
use cranelift_inliner::splice::MemoryPromises;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Inputs {
    /// Files of CLIF text, folders of .clif files, or - for standard input
    #[arg(value_name = "IN", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArguments {
    /// The target: x64, aarch64, riscv64, s390x, a triple, or host
    ///
    /// `host` has all features of this machine's processor. The others have the features that every
    /// processor of their kind has, and --set adds to them.
    #[arg(long, value_name = "TRIPLE", default_value = "host")]
    pub(crate) target: String,

    /// Cranelift's optimization level
    #[arg(long, value_name = "LEVEL", default_value = "speed")]
    pub(crate) opt_level: OptLevelArgument,

    /// Set a Cranelift setting, shared or of the target; may be repeated
    ///
    /// `NAME` alone switches a setting on or applies a preset. The last one wins.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum OptLevelArgument {
    /// Compile fast
    None,
    /// Make the code fast
    Speed,
    /// Make the code fast, and small if that costs nothing
    SpeedAndSize,
}

impl From<OptLevelArgument> for OptLevel {
    fn from(level: OptLevelArgument) -> Self {
        match level {
            OptLevelArgument::None => OptLevel::None,
            OptLevelArgument::Speed => OptLevel::Speed,
            OptLevelArgument::SpeedAndSize => OptLevel::SpeedAndSize,
        }
    }
}

/// The heading of options for checks and threads.
pub(super) const WORK: &str = "Checks and threads";

#[derive(Debug, Args)]
pub(crate) struct CommonArguments {
    #[command(flatten)]
    pub(crate) policy: PolicyArguments,

    #[command(flatten)]
    pub(crate) names: NameArguments,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    #[command(flatten)]
    pub(crate) legality: LegalityArguments,

    #[command(flatten)]
    pub(crate) optimize: OptimizeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

    #[command(flatten)]
    pub(crate) work: WorkArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WorkArguments {
    /// The number of threads [default: 0, which is as many as there are processors]
    ///
    /// The result does not depend on it.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = WORK,
        value_parser = threads()
    )]
    pub(crate) threads: Option<usize>,

    /// Do not run Cranelift's verifier on inputs and results
    #[arg(long, help_heading = WORK)]
    pub(crate) no_verify: bool,

    /// Prove each result with the independent checker, after the splices into a function and after
    /// its clean-up
    #[arg(long, help_heading = WORK)]
    pub(crate) check: bool,

    /// Do not clean up after splices, to show their direct results
    #[arg(long, help_heading = WORK)]
    pub(crate) no_cleanup: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyArguments {
    /// The policy
    #[arg(long, default_value = "cost")]
    pub(crate) policy: PolicyArgument,

    /// Policy small: the largest callee, in instructions
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = Small::default().callee_insts
    )]
    pub(crate) small_callee: usize,

    /// Policy small: the largest sum of caller and callee, in instructions
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = Small::default().sum_insts
    )]
    pub(crate) small_sum: usize,

    /// Policy cost: the instructions by which the cost may exceed the benefit at an ordinary site
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = CostModel::default().threshold
    )]
    pub(crate) cost_threshold: i64,

    /// The execution counts of calls, for policy cost (see docs/PROFILE.md)
    ///
    /// Hot calls, which make up most executions, may add more to their callers; calls that were
    /// never executed may add nothing. `run --profile-out` writes such a file. If the program
    /// differs from the counted one, a warning says so.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyArgument {
    /// Inline everything that is legal and within the limits
    Always,
    /// Inline only functions named by --always
    Never,
    /// Inline small callees, like Wasmtime
    Small,
    /// Weigh estimated cost against estimated benefit
    Cost,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Plans: decisions in a file (see docs/PLANS.md)")]
pub(crate) struct PlanArguments {
    /// Write every decision to a file for --plan
    #[arg(long, value_name = "FILE")]
    pub(crate) plan_out: Option<PathBuf>,

    /// Follow the decisions in this file
    ///
    /// Attributes of functions (--always, --never, --flatten) and limits still hold. If the program
    /// does not match the plan, a warning says so.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,

    /// The decision for calls that the plan does not list
    #[arg(
        long,
        value_name = "DECISION",
        default_value = "policy",
        requires = "plan"
    )]
    pub(crate) plan_fallback: FallbackArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FallbackArgument {
    /// Ask the policy
    Policy,
    /// Keep them as calls
    Keep,
    /// Stop, and write nothing
    Fail,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Functions by name (%name, name or u0:4; options may be repeated)")]
pub(crate) struct NameArguments {
    /// Inline this function wherever it is legal
    #[arg(long, value_name = "NAME")]
    pub(crate) always: Vec<FunctionName>,

    /// Never inline this function
    #[arg(long, value_name = "NAME")]
    pub(crate) never: Vec<FunctionName>,

    /// This function seldom runs
    #[arg(long, value_name = "NAME")]
    pub(crate) cold: Vec<FunctionName>,

    /// Inline everything below this function: its calls, the calls in their bodies, and so on
    ///
    /// For calls that cannot be inlined nevertheless, and those of --always, a warning has the
    /// reason.
    #[arg(long, value_name = "NAME")]
    pub(crate) flatten: Vec<FunctionName>,

    /// This function is called from outside, and unnamed functions are not [default: all are]
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<FunctionName>,

    /// This function may be replaced at link time: keep it, and never inline it
    #[arg(long, value_name = "NAME")]
    pub(crate) interposable: Vec<FunctionName>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits that no policy can exceed")]
pub(crate) struct LimitArguments {
    /// No function grows beyond this many instructions
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = Limits::default().function_insts
    )]
    pub(crate) max_function_insts: usize,

    /// No function's stack slots grow beyond this many bytes
    #[arg(
        long,
        value_name = "BYTES",
        allow_negative_numbers = true,
        default_value_t = Limits::default().frame_bytes
    )]
    pub(crate) max_frame_bytes: u64,

    /// The same for functions that may be active many times at once: recursive ones, and those
    /// whose address is taken
    #[arg(
        long,
        value_name = "BYTES",
        allow_negative_numbers = true,
        default_value_t = Limits::default().recursive_frame_bytes
    )]
    pub(crate) max_recursive_frame_bytes: u64,

    #[arg(
        long,
        value_name = "TIMES",
        allow_negative_numbers = true,
        value_parser = growth,
        help = growth_help(
            "A function",
            Limits::default().function_growth,
            Limits::default().function_growth_floor,
        )
    )]
    pub(crate) max_function_growth: Option<f64>,

    #[arg(
        long,
        value_name = "TIMES",
        allow_negative_numbers = true,
        value_parser = growth,
        help = growth_help(
            "The module",
            Limits::default().program_growth,
            Limits::default().program_growth_floor,
        )
    )]
    pub(crate) max_program_growth: Option<f64>,

    /// The longest chain of bodies inlined into each other
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = Limits::default().depth
    )]
    pub(crate) max_depth: u32,
}

/// Returns a parser of numbers of threads. Far more threads than processors only wait for each
/// other, for minutes if there are thousands of them.
pub(super) fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=1024)
}

/// Parses a factor of growth.
fn growth(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times >= 0.0 => Ok(times),
        _ => Err("it must be a number, 0 or more".to_owned()),
    }
}

fn growth_help(what: &str, default: f64, floor: usize) -> String {
    format!(
        "{what} grows by at most this many times its size [default: {default}, or {floor} \
         instructions if that is more]"
    )
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Semantics of inlined bodies")]
pub(crate) struct LegalityArguments {
    /// Inline functions that use get_stack_pointer, which then returns the caller's
    #[arg(long)]
    pub(crate) allow_stack_pointer: bool,

    /// Inline functions that use get_frame_pointer, which then returns the caller's
    #[arg(long)]
    pub(crate) allow_frame_pointer: bool,

    /// Inline functions that use get_return_address, which then returns the caller's
    #[arg(long)]
    pub(crate) allow_return_address: bool,

    /// Keep calls of functions that read thread-local variables, since a call may return on another
    /// thread
    #[arg(long)]
    pub(crate) refuse_thread_locals: bool,

    /// Treat the same loads from any `vmctx` as the same stack limit, so that functions with a
    /// limit can be inlined across instances
    #[arg(long)]
    pub(crate) stack_limit_is_per_thread: bool,

    /// Give each inlined body its own stack slots, even if bodies that never run at the same time
    /// could share them
    #[arg(long)]
    pub(crate) no_share_slots: bool,

    /// The scope of readonly, can_move and alias regions
    ///
    /// By default they hold per function, like without inlining: copies lose promises that their
    /// callers do not make too. If the front end promises for the whole program, nothing is lost
    /// (see docs/GUIDE.md).
    #[arg(long, value_name = "SCOPE", default_value = "per-function")]
    pub(crate) memory_promises: MemoryPromisesArgument,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MemoryPromisesArgument {
    /// Promises hold within one function, and regions are numbered per function
    PerFunction,
    /// Promises hold wherever a body is inlined, and regions are numbered once for all functions
    WholeProgram,
}

impl From<MemoryPromisesArgument> for MemoryPromises {
    fn from(argument: MemoryPromisesArgument) -> Self {
        match argument {
            MemoryPromisesArgument::PerFunction => MemoryPromises::PerFunction,
            MemoryPromisesArgument::WholeProgram => MemoryPromises::WholeProgram,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Optimization after inlining")]
pub(crate) struct OptimizeArguments {
    /// The functions to optimize
    #[arg(long, value_name = "FUNCTIONS", default_value = "inlined")]
    pub(crate) optimize: OptimizeArgument,

    /// Leave stack slots in memory
    #[arg(long)]
    pub(crate) no_promote_slots: bool,

    /// Keep stores to private stack slots that nothing can read
    #[arg(long)]
    pub(crate) no_drop_stores: bool,

    /// Do not thread branches that are decided on some ways into a join
    #[arg(long)]
    pub(crate) no_thread_branches: bool,

    /// Keep block parameters with one value, and unused ones
    #[arg(long)]
    pub(crate) no_drop_params: bool,

    /// Keep unused instructions without an effect
    #[arg(long)]
    pub(crate) no_drop_insts: bool,

    /// Leave indirect calls of known functions indirect
    #[arg(long)]
    pub(crate) no_resolve_targets: bool,

    /// Do not test for the likely target of an indirect call whose address a stack slot holds
    #[arg(long)]
    pub(crate) no_guard_calls: bool,

    /// Keep comparisons of the results of comparisons
    #[arg(long)]
    pub(crate) no_simplify_comparisons: bool,

    /// Keep the handlers of calls whose callee never throws
    #[arg(long)]
    pub(crate) no_drop_handlers: bool,

    /// This function, which no input defines, never throws
    #[arg(long, value_name = "NAME")]
    pub(crate) never_throws: Vec<FunctionName>,

    /// Treat external memcpy, memmove and memset as ordinary functions, without the meaning that
    /// they have in C
    #[arg(long)]
    pub(crate) no_c_memory_functions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizeArgument {
    /// No functions, for debugging
    None,
    /// Functions with an inlined call
    Inlined,
    /// All functions
    All,
}

impl From<OptimizeArgument> for Optimize {
    fn from(which: OptimizeArgument) -> Self {
        match which {
            OptimizeArgument::None => Optimize::None,
            OptimizeArgument::Inlined => Optimize::Inlined,
            OptimizeArgument::All => Optimize::All,
        }
    }
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct ReportArguments {
    /// Write one record per call site: LLVM's optimization remarks, in YAML
    ///
    /// `!Passed` records are inlined calls, `!Missed` records all others, each with its reason. The
    /// place of a record is the first line of its function.
    #[arg(long, value_name = "FILE")]
    pub(crate) remarks: Option<PathBuf>,

    /// Print statistics, as a table or as one JSON object
    ///
    /// They go to standard output, unless that holds the module, the object file or the remarks:
    /// then to standard error. Times are sums over all threads, except those for reading and
    /// writing and the total. `compile` also compiles the input without inlining, for comparison.
    #[arg(
        long,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "table"
    )]
    pub(crate) stats: Option<StatisticsForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatisticsForm {
    /// Tables to read
    Table,
    /// One JSON object
    Json,
}
