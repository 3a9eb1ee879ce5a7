//! The common part of all subcommands: reading, verifying and inlining.

use crate::arguments::{
    CommonArguments, LegalityArguments, LimitArguments, NameArguments, OptimizeArguments,
    PolicyArgument, PolicyArguments, TargetArguments,
};
use crate::failure::Failure;
use crate::input::{self, read_text};
use crate::names;
use crate::progress::Progress;
use crate::statistics::Phases;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_inliner::backend::{self, TargetSettings};
use cranelift_inliner::cleanup::{MemoryFunctions, OptimizeOptions};
use cranelift_inliner::decide::{Always, CostModel, Inline, Limits, Never, Small};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{CompiledProgram, Inlined, Inliner};
use cranelift_inliner::profile::{ParseProfileError, Profile};
use cranelift_inliner::program::{
    Attributes, FunctionName, InlineAttribute, Linkage, Program, ProgramError,
};
use cranelift_inliner::splice::SpliceOptions;
use rustc_hash::FxHashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Returns the target that the arguments name.
pub(crate) fn target(arguments: &TargetArguments) -> Result<OwnedTargetIsa, Failure> {
    let mut settings = TargetSettings::new().opt_level(arguments.opt_level.into());
    for setting in &arguments.settings {
        settings = settings.setting(setting);
    }
    Ok(backend::target(&arguments.target, &settings)?)
}

/// Reads all of `paths` as one program and applies the arguments about its functions.
pub(crate) fn read(
    paths: &[PathBuf],
    arguments: &CommonArguments,
    progress: &Progress,
    phases: &mut Phases,
) -> Result<Program, Failure> {
    progress.begin("reading");
    let started = Instant::now();
    let mut program = input::program(paths)?;
    Names::new(&arguments.names)?.apply(&mut program)?;
    phases.read += started.elapsed();
    Ok(program)
}

/// Verifies `program` before inlining, unless the arguments disable it.
pub(crate) fn verify(
    program: &Program,
    isa: &dyn TargetIsa,
    arguments: &CommonArguments,
    progress: &Progress,
    phases: &mut Phases,
) -> Result<(), Failure> {
    if arguments.work.no_verify {
        return Ok(());
    }
    progress.begin("verifying");
    let started = Instant::now();
    program.verify(isa)?;
    phases.verify_input += started.elapsed();
    Ok(())
}

/// The policy and the profile.
pub(crate) struct Decider<'a> {
    pub(crate) policy: Box<dyn Inline + 'a>,
    pub(crate) profile: Option<&'a Profile>,
    /// Whether --always and --flatten take precedence.
    pub(crate) meet_demands: bool,
}

/// Inlines across `program` with `policy`.
pub(crate) fn inline(
    program: &Program,
    isa: &dyn TargetIsa,
    arguments: &CommonArguments,
    policy: Decider<'_>,
    progress: &Progress,
    phases: &mut Phases,
) -> Result<Inlined, Failure> {
    progress.begin_steps("inlining", program.len());
    let inliner = inliner(arguments, policy, isa, |name| program.id(name).is_some());
    let inliner = inliner.observe(progress);
    let inlined = inliner
        .run(program)
        .map_err(|error| Failure::pass(&error, program))?;
    phases.add_steps(&inlined.times());
    Ok(inlined)
}

/// Inlines across `program` with `policy`, and compiles the result.
pub(crate) fn inline_and_compile(
    program: &Program,
    isa: &dyn TargetIsa,
    arguments: &CommonArguments,
    policy: Decider<'_>,
    locations: LocationMode,
    progress: &Progress,
    phases: &mut Phases,
) -> Result<(Inlined, CompiledProgram), Failure> {
    // Each function has two steps; dropped functions are never compiled.
    progress.begin_steps("inlining and compiling", program.len().saturating_mul(2));
    let inliner = inliner(arguments, policy, isa, |name| program.id(name).is_some());
    let inliner = inliner.locations(locations).observe(progress);
    let (inlined, compiled) = inliner
        .run_and_compile(program, isa)
        .map_err(|error| Failure::pass(&error, program))?;
    phases.add_steps(&inlined.times());
    Ok((inlined, compiled))
}

/// Returns the pass that the arguments describe, for a program that `defines` these functions.
pub(crate) fn inliner<'a>(
    arguments: &CommonArguments,
    decider: Decider<'a>,
    isa: &'a dyn TargetIsa,
    defines: impl Fn(&FunctionName) -> bool,
) -> Inliner<'a> {
    let mut inliner = Inliner::new(decider.policy)
        .limits(limits(&arguments.limits))
        .splice_options(splice_options(&arguments.legality))
        .clean_up(!arguments.work.no_cleanup)
        .optimize(arguments.optimize.optimize.into())
        .optimize_options(optimize_options(&arguments.optimize, isa, defines))
        .meet_demands(decider.meet_demands)
        .check(arguments.work.check);
    if let Some(profile) = decider.profile {
        inliner = inliner.profile(profile);
    }
    if arguments.work.no_verify {
        inliner
    } else {
        inliner.verify_with(isa)
    }
}

/// Returns the policy that the arguments name.
pub(crate) fn policy(arguments: &PolicyArguments) -> Box<dyn Inline> {
    match arguments.policy {
        PolicyArgument::Always => Box::new(Always),
        PolicyArgument::Never => Box::new(Never),
        PolicyArgument::Small => Box::new(Small::new(arguments.small_callee, arguments.small_sum)),
        PolicyArgument::Cost => {
            let mut model = CostModel::default();
            model.threshold = arguments.cost_threshold;
            Box::new(model)
        }
    }
}

/// Returns the profile that the arguments name.
pub(crate) fn profile(arguments: &PolicyArguments) -> Result<Option<Profile>, Failure> {
    let Some(path) = &arguments.profile else {
        return Ok(None);
    };
    read_profile(path).map(Some)
}

/// Reads a profile.
pub(crate) fn read_profile(path: &Path) -> Result<Profile, Failure> {
    Profile::from_json(&read_text(path)?).map_err(|error| {
        let line = match &error {
            ParseProfileError::Json(error) if error.line() > 0 => format!(":{}", error.line()),
            _ => String::new(),
        };
        Failure::new(format!("{}{line}: {error}", path.display()))
    })
}

/// Returns the limits of the arguments. A factor from them applies to small functions too: the
/// floor is for the default.
fn limits(arguments: &LimitArguments) -> Limits {
    let mut limits = Limits::default();
    limits.function_insts = arguments.max_function_insts;
    limits.frame_bytes = arguments.max_frame_bytes;
    limits.recursive_frame_bytes = arguments.max_recursive_frame_bytes;
    limits.depth = arguments.max_depth;
    if let Some(growth) = arguments.max_function_growth {
        limits.function_growth = growth;
        limits.function_growth_floor = 0;
    }
    if let Some(growth) = arguments.max_program_growth {
        limits.program_growth = growth;
        limits.program_growth_floor = 0;
    }
    limits
}

fn optimize_options(
    arguments: &OptimizeArguments,
    isa: &dyn TargetIsa,
    defines: impl Fn(&FunctionName) -> bool,
) -> OptimizeOptions {
    let mut options = OptimizeOptions::default();
    options.promote_slots = !arguments.no_promote_slots;
    options.drop_stores = !arguments.no_drop_stores;
    options.thread_branches = !arguments.no_thread_branches;
    options.drop_params = !arguments.no_drop_params;
    options.drop_insts = !arguments.no_drop_insts;
    options.resolve_targets = !arguments.no_resolve_targets;
    options.guard_calls = !arguments.no_guard_calls;
    options.simplify_comparisons = !arguments.no_simplify_comparisons;
    options.drop_handlers = !arguments.no_drop_handlers;
    options.never_throws = Arc::new(arguments.never_throws.iter().cloned().collect());
    options.endianness = Some(isa.endianness());
    if !arguments.no_c_memory_functions {
        let mut functions = MemoryFunctions::of_c();
        // A body may do something else than its name says.
        for names in [&mut functions.copy, &mut functions.set] {
            names.retain(|name| !defines(name));
        }
        options.memory_functions = functions;
    }
    options
}

pub(crate) fn splice_options(arguments: &LegalityArguments) -> SpliceOptions {
    let mut options = SpliceOptions::default();
    options.allow_stack_pointer = arguments.allow_stack_pointer;
    options.allow_frame_pointer = arguments.allow_frame_pointer;
    options.allow_return_address = arguments.allow_return_address;
    options.refuse_thread_locals = arguments.refuse_thread_locals;
    options.stack_limit_is_per_thread = arguments.stack_limit_is_per_thread;
    options.share_slots = !arguments.no_share_slots;
    options.memory_promises = arguments.memory_promises.into();
    options
}

/// The arguments about functions, by name.
pub(crate) struct Names<'a> {
    arguments: &'a NameArguments,
}

impl<'a> Names<'a> {
    pub(crate) fn new(arguments: &'a NameArguments) -> Result<Self, Failure> {
        let always: FxHashSet<_> = arguments.always.iter().collect();
        if let Some(name) = arguments.never.iter().find(|name| always.contains(name)) {
            let message = format!("{name} cannot be inlined both --always and --never");
            return Err(Failure::Usage(message));
        }
        Ok(Self { arguments })
    }

    /// Returns every option with its names.
    pub(crate) fn by_option(&self) -> [(&'static str, &'a [FunctionName]); 6] {
        let arguments = self.arguments;
        [
            ("--always", &arguments.always),
            ("--never", &arguments.never),
            ("--cold", &arguments.cold),
            ("--flatten", &arguments.flatten),
            ("--export", &arguments.export),
            ("--interposable", &arguments.interposable),
        ]
    }

    /// Applies all options to `program`, which must define every name.
    pub(crate) fn apply(&self, program: &mut Program) -> Result<(), Failure> {
        for (option, names) in self.by_option() {
            if let Some(name) = names.iter().find(|name| program.id(name).is_none()) {
                return Err(names::unknown(option, name, program));
            }
        }
        self.apply_where_defined(program, &[])?;
        Ok(())
    }

    /// Applies the options about functions that `program` defines; with --export, functions of
    /// `exported` stay exported too.
    pub(crate) fn apply_where_defined(
        &self,
        program: &mut Program,
        exported: &[FunctionName],
    ) -> Result<(), ProgramError> {
        let NameArguments {
            always,
            never,
            cold,
            flatten,
            export,
            interposable,
        } = self.arguments;
        for name in always {
            change_attributes(program, name, |a| a.inline = InlineAttribute::Always)?;
        }
        for name in never {
            change_attributes(program, name, |a| a.inline = InlineAttribute::Never)?;
        }
        for name in cold {
            change_attributes(program, name, |a| a.cold = true)?;
        }
        for name in flatten {
            change_attributes(program, name, |a| a.flatten = true)?;
        }
        for name in interposable {
            if program.id(name).is_some() {
                program.set_linkage(name, Linkage::Interposable)?;
            }
        }
        if !export.is_empty() {
            let names = export.iter().chain(exported);
            let defined = names.filter(|name| program.id(name).is_some());
            let defined: Vec<_> = defined.cloned().collect();
            program.export_only(&defined)?;
        }
        Ok(())
    }
}

fn change_attributes(
    program: &mut Program,
    name: &FunctionName,
    change: impl FnOnce(&mut Attributes),
) -> Result<(), ProgramError> {
    let Some(function) = program.id(name).and_then(|id| program.get(id)) else {
        return Ok(());
    };
    let mut attributes = function.attributes();
    change(&mut attributes);
    program.set_attributes(name, attributes)
}
