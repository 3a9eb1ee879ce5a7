//! `wasm run` and `wasm compile`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use cranelift_inliner_wasm::{Options, Policy, jit, object};
use cranelift_inliner_wasm_runtime::{Wasi, run_command};
use std::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Compiles WebAssembly with the inlining stage of `cranelift-inliner`.
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
    /// Optimizes all functions, and not only those into which something was inlined.
    #[arg(long)]
    optimize: bool,
    /// Prints the inlined calls.
    #[arg(long)]
    stats: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PolicyName {
    None,
    Small,
    Cost,
    Always,
}

impl Shared {
    fn options(&self) -> Options {
        Options {
            policy: match self.policy {
                PolicyName::None => Policy::None,
                PolicyName::Small => Policy::Small,
                PolicyName::Cost => Policy::Cost,
                PolicyName::Always => Policy::Always,
            },
            optimize: self.optimize,
        }
    }

    fn tell(&self, compiled: &cranelift_inliner_wasm::Compiled) {
        if self.stats {
            if let Some(report) = &compiled.report {
                eprintln!("{report}");
            }
            eprintln!("{} bytes of code", compiled.code_bytes);
        }
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    match arguments.command {
        Task::Run {
            shared,
            dir,
            env,
            module,
            arguments,
        } => {
            let wasm = read(&module)?;
            let named = |error| format!("{}: {error}", module.display());
            let program = jit(&wasm, &shared.options()).map_err(named)?;
            shared.tell(&program.compiled);
            let mut wasi = Wasi::inherit();
            let name = module.clone().into_os_string();
            let all = std::iter::once(name).chain(arguments);
            wasi.set_args(all.map(OsStringExt::into_vec));
            wasi.set_env(env.into_iter().map(String::into_bytes));
            if let Some(folder) = dir {
                wasi.preopen("/", folder);
            }
            let mut instance = program.instantiate(wasi)?;
            Ok(ExitCode::from(run_command(&mut instance) as u8))
        }
        Task::Compile {
            shared,
            module,
            output,
        } => {
            let wasm = read(&module)?;
            let named = |error| format!("{}: {error}", module.display());
            let (bytes, compiled) = object(&wasm, &shared.options()).map_err(named)?;
            shared.tell(&compiled);
            let failed = |error| format!("{}: {error}", output.display());
            if output.extension().is_some_and(|extension| extension == "o") {
                fs::write(&output, bytes).map_err(failed)?;
                return Ok(ExitCode::SUCCESS);
            }
            let path = output.with_extension("wasm-object.o");
            fs::write(&path, bytes).map_err(failed)?;
            let linked = link(&path, &output);
            fs::remove_file(&path).map_err(failed)?;
            linked.map(|()| ExitCode::SUCCESS)
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
