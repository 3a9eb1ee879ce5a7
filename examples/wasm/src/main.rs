//! `wasm run` and `wasm compile`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use cranelift_inliner::decide::{CostModel, Small};
use cranelift_inliner::profile::Profile;
use cranelift_inliner_wasm::{Compiled, Options, Policy, Schedule, explain, jit, object, page};
use cranelift_inliner_wasm_runtime::{Wasi, run_command};
use std::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Compiles WebAssembly with the inlining pass of `cranelift-inliner`.
#[derive(Parser)]
#[command(name = "wasm", version)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compiles a module and runs it.
    Run {
        #[command(flatten)]
        shared: Shared,
        /// A folder that the program may read, as `/`.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// Counts the program's calls, and writes a file for --profile at its end.
        #[arg(long, value_name = "FILE")]
        profile_out: Option<PathBuf>,
        /// Inlines and compiles in the background, while the module is still being translated.
        #[arg(long)]
        stream: bool,
        /// A variable of the program's environment.
        #[arg(long, value_name = "NAME=VALUE")]
        env: Vec<String>,
        /// The module.
        module: PathBuf,
        /// The program's arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Compiles a module to a program, which the C compiler links.
    ///
    /// The program gets its environment from the system; it may read the folder that `WASM_FOLDER`
    /// names.
    Compile {
        #[command(flatten)]
        shared: Shared,
        /// The module.
        module: PathBuf,
        /// The program, or an object file if it ends in `.o`.
        #[arg(short, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Args)]
struct Shared {
    /// Which calls are inlined.
    #[arg(long, value_enum, default_value_t = PolicyName::Cost)]
    policy: PolicyName,
    /// Policy small: the largest callee, in instructions.
    #[arg(long, value_name = "N", default_value_t = Small::default().callee_insts)]
    small_callee: usize,
    /// Policy small: the largest sum of caller and callee, in instructions.
    #[arg(long, value_name = "N", default_value_t = Small::default().sum_insts)]
    small_sum: usize,
    /// Policy cost: by how much the cost may exceed the benefit at an ordinary site, in
    /// instructions.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = CostModel::default().threshold
    )]
    cost_threshold: i64,
    /// Counts of calls, which `run --profile-out` wrote, for policy cost.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Optimizes all functions, and not only those into which something was inlined.
    #[arg(long)]
    optimize: bool,
    /// Keeps functions that nothing refers to any more, as if all were exported.
    #[arg(long)]
    keep_unused: bool,
    /// Makes code for a debugger in the process, in Wasmtime's form: its tags are in --clif-out.
    #[arg(long)]
    debug: bool,
    /// Prints how much was inlined.
    #[arg(long)]
    stats: bool,
    /// Prints the decision and its reason for each call of the functions with this in their names.
    #[arg(long, value_name = "FUNCTION", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    explain: Option<String>,
    /// Writes a page for a browser: the decisions on all calls, and the CLIF of all functions
    /// before and after.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Writes all functions before inlining as CLIF, for `clif-inline`.
    #[arg(long, value_name = "FILE")]
    clif_out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum PolicyName {
    None,
    Small,
    Cost,
    Always,
}

impl Shared {
    fn read_profile(&self) -> Result<Option<Profile>, String> {
        let Some(path) = &self.profile else {
            return Ok(None);
        };
        let named = |error: &dyn Error| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        let profile = Profile::from_json(&text).map_err(|error| named(&error))?;
        Ok(Some(profile))
    }

    fn options<'p>(&self, profile: Option<&'p Profile>) -> Options<'p> {
        let mut model = CostModel::default();
        model.threshold = self.cost_threshold;
        Options {
            policy: match self.policy {
                PolicyName::None => Policy::None,
                PolicyName::Small => Policy::Small(Small::new(self.small_callee, self.small_sum)),
                PolicyName::Cost => Policy::Cost(model),
                PolicyName::Always => Policy::Always,
            },
            optimize: self.optimize,
            profile,
            count_calls: false,
            keep_unused: self.keep_unused,
            schedule: Schedule::InTurn,
            debug: self.debug,
        }
    }

    /// Fails if an output would replace a file that is read.
    fn check_outputs(&self, module: &Path, output: Option<&PathBuf>) -> Result<(), String> {
        let inputs: Vec<PathBuf> = [Some(module), self.profile.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        let outputs = [self.report.as_ref(), self.clif_out.as_ref(), output];
        for path in outputs.into_iter().flatten() {
            if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
                let path = path.display();
                return Err(format!(
                    "{path}: it is an input, which the output would replace"
                ));
            }
        }
        Ok(())
    }

    fn tell(&self, compiled: &Compiled, module: &Path) -> Result<(), Box<dyn Error>> {
        if self.stats {
            if let Some(report) = &compiled.report {
                eprintln!("{report}");
            }
            eprintln!("{} bytes of code", compiled.code_bytes);
        }
        if let Some(wanted) = &self.explain {
            eprint!("{}", explain(compiled, wanted));
        }
        if let Some(path) = &self.report {
            let title = module.file_name().unwrap_or_default().to_string_lossy();
            let page = page(compiled, &title);
            let page = page.ok_or("--report: --policy none does not keep the functions")?;
            page.write(path)?;
        }
        if let Some(path) = &self.clif_out {
            let named = |error: &dyn Error| format!("{}: {error}", path.display());
            let report = compiled.report.as_ref();
            let report = report.ok_or("--clif-out: --policy none does not keep the functions")?;
            let text = report.program().to_clif().map_err(|error| named(&error))?;
            replace(path, |path| Ok(fs::write(path, text)?))?;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wasm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a file beside the one at `path`, and puts it in its place. If that fails, the old one
/// stays as it is.
fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
) -> Result<(), String> {
    replace_unnamed(path, write).map_err(|error| format!("{}: {error}", path.display()))
}

fn replace_unnamed(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // Devices and pipes stay in their place.
    if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return write(path);
    }
    let name = path.file_name().ok_or("it is not the name of a file")?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = tempfile::tempdir_in(folder.unwrap_or(Path::new(".")))?;
    let new = folder.path().join(name);
    write(&new)?;
    Ok(fs::rename(new, path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    match arguments.command {
        Task::Run {
            shared,
            dir,
            profile_out,
            stream,
            env,
            module,
            arguments,
        } => {
            shared.check_outputs(&module, profile_out.as_ref())?;
            let wasm = read(&module)?;
            let named = |error| format!("{}: {error}", module.display());
            let profile = shared.read_profile()?;
            let mut options = shared.options(profile.as_ref());
            options.count_calls = profile_out.is_some();
            if stream {
                options.schedule = Schedule::InBackground;
            }
            let program = jit(&wasm, &options).map_err(named)?;
            shared.tell(&program.compiled, &module)?;
            let mut wasi = Wasi::inherit();
            let name = module.clone().into_os_string();
            let all = std::iter::once(name).chain(arguments);
            wasi.set_args(all.map(OsStringExt::into_vec));
            wasi.set_env(env.into_iter().map(String::into_bytes));
            if let Some(folder) = dir {
                wasi.preopen("/", folder);
            }
            let mut instance = program.instantiate(wasi)?;
            let status = run_command(&mut instance);
            if let (Some(path), Some(profile)) = (profile_out, program.profile()) {
                replace(&path, |path| Ok(fs::write(path, profile.to_json())?))?;
            }
            Ok(ExitCode::from(status as u8))
        }
        Task::Compile {
            shared,
            module,
            output,
        } => {
            shared.check_outputs(&module, Some(&output))?;
            let wasm = read(&module)?;
            let named = |error| format!("{}: {error}", module.display());
            let profile = shared.read_profile()?;
            let options = shared.options(profile.as_ref());
            let (bytes, compiled) = object(&wasm, &options).map_err(named)?;
            shared.tell(&compiled, &module)?;
            let is_object = output.extension().is_some_and(|extension| extension == "o");
            replace(&output, |path| match is_object {
                true => Ok(fs::write(path, bytes)?),
                false => {
                    let object = path.with_extension("wasm-object.o");
                    fs::write(&object, bytes)?;
                    link(&object, path)
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Links with the C compiler, or with the one that `CC` names.
fn link(object: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let linker = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&linker)
        .arg(object)
        .arg(runtime()?)
        .args(["-Wl,--gc-sections", "-lpthread", "-ldl", "-lm", "-lgcc_s"])
        .arg("-o")
        .arg(output)
        .status()
        .map_err(|error| format!("{}: {error}", linker.display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{} failed: {status}", linker.display()).into()),
    }
}

/// Returns the runtime as a static library: `WASM_RUNTIME`, or where Cargo puts it beside this
/// program.
fn runtime() -> Result<PathBuf, Box<dyn Error>> {
    const STEM: &str = "libcranelift_inliner_wasm_runtime";
    if let Some(path) = env::var_os("WASM_RUNTIME") {
        return Ok(path.into());
    }
    let program = env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for folder in [folder.to_owned(), folder.join("deps")] {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(STEM) && name.ends_with(".a") {
                found.push((file.metadata()?.modified()?, file.path()));
            }
        }
    }
    let newest = found.into_iter().max();
    newest.map(|(_, path)| path).ok_or_else(|| {
        format!(
            "{STEM}.a is missing: `cargo build --workspace` makes it, and WASM_RUNTIME names it"
        )
        .into()
    })
}
