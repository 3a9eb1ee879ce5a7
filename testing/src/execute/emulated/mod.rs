//! Executes compiled code of other architectures, in an emulator.
//!
//! An [`Emulator`] compiles for its architecture. An [`EmulatedLinker`] takes any number of
//! programs, which a C compiler links with `host.c` into one executable. QEMU's user-mode emulator
//! runs that, and [`EmulatedPrograms`] calls functions in it through pipes. The host's functions
//! are those of the interpreter and of native code, in this process.
//!
//! # Messages
//!
//! All are words of eight bytes and slots of the [glue](super::glue), in the byte order of the
//! machine.
//!
//! | from | message | answer |
//! | --- | --- | --- |
//! | here | a call: addresses of entry and function, number of slots, slots | one of the next three |
//! | there | 1, a call of the host: its number, slots | one of the last four |
//! | there | 2, the call returned: slots | |
//! | there | 3, the processor stopped the call: address, signal | |
//! | here | 1, the host's results: slots | as to a call |
//! | here | 2, the frames are wanted | frame pointers and return addresses outward, then two zeros |
//! | here | 3, a handler: address, stack pointer, frame pointer, payload | as to a call |
//! | here | 4, no handler: the call ends | none |

mod link;
mod process;

pub use link::EmulatedLinker;
pub use process::EmulatedPrograms;

use super::error::ExecuteError;
use crate::targets::Architecture;
use cranelift_codegen::ir::Endianness;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use std::fmt;
use std::process::{Command, Stdio};

/// Compiles and links programs for a machine that QEMU emulates.
///
/// It takes Debian's cross compilers (`gcc-aarch64-linux-gnu`, `gcc-riscv64-linux-gnu`,
/// `gcc-s390x-linux-gnu`) and QEMU's emulators of programs (`qemu-user`), or programs with their
/// names.
///
/// ```
/// use cranelift_codegen::data_value::DataValue;
/// use cranelift_inliner::backend::TargetSettings;
/// use cranelift_inliner::decide::Always;
/// use cranelift_inliner::pass::Inliner;
/// use cranelift_inliner::program::Program;
/// use cranelift_inliner_testing::execute::{Emulator, ExecuteError, Invocation, interpret};
/// use cranelift_inliner_testing::targets::Architecture;
///
/// let program = Program::from_clif("
/// function %main(i32) -> i32 {
///     fn0 = %twice(i32) -> i32
/// block0(v0: i32):
///     v1 = call fn0(v0)
///     return v1
/// }
/// function %twice(i32) -> i32 {
///     fn0 = %host(i32) -> i32
/// block0(v0: i32):
///     v1 = iadd v0, v0
///     v2 = call fn0(v1)
///     return v2
/// }", "twice.clif")?;
/// let emulator = match Emulator::new(Architecture::S390x, &TargetSettings::new()) {
///     // The emulator or the compiler is missing.
///     Err(ExecuteError::Unsupported { .. }) => return Ok(()),
///     emulator => emulator?,
/// };
/// let (_, compiled) = Inliner::new(Always).run_and_compile(&program, emulator.isa())?;
/// let mut linker = emulator.linker()?;
/// let number = linker.add(&program, compiled.iter().map(|(_, function)| function))?;
/// let mut emulated = linker.link()?;
/// let call = Invocation { function: "main".parse()?, arguments: vec![DataValue::I32(7)] };
/// assert_eq!(emulated.call(number, &call)?, interpret(&program, &call, 1000)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Emulator {
    isa: OwnedTargetIsa,
    /// The same target without optimization.
    glue_isa: OwnedTargetIsa,
    machine: &'static Machine,
    /// The name of the emulator's program.
    program: String,
}

/// The programs for an architecture.
#[derive(Debug)]
struct Machine {
    target: &'static str,
    compiler: &'static str,
    emulator: &'static str,
    /// The emulator's options.
    options: &'static [&'static str],
    /// Features of the processor that code for vectors takes.
    features: &'static [&'static str],
}

const AARCH64: Machine = Machine {
    target: "aarch64",
    compiler: "aarch64-linux-gnu-gcc",
    emulator: "qemu-aarch64",
    options: &[],
    features: &[],
};

const RISCV64: Machine = Machine {
    target: "riscv64",
    compiler: "riscv64-linux-gnu-gcc",
    emulator: "qemu-riscv64",
    options: &["-cpu", "rv64,v=true,vext_spec=v1.0"],
    features: &["has_v"],
};

const S390X: Machine = Machine {
    target: "s390x",
    compiler: "s390x-linux-gnu-gcc",
    emulator: "qemu-s390x",
    options: &["-cpu", "max"],
    features: &[],
};

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Emulator");
        debug.field("isa", &self.isa.to_string());
        debug.field("machine", &self.machine);
        debug.finish_non_exhaustive()
    }
}

impl Emulator {
    /// Makes an emulator of `architecture` with these settings, except those that it needs, which
    /// are the same as for [`Engine::new`](super::Engine::new).
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Unsupported`] for x64, and where the emulator or the C compiler is missing,
    /// and [`ExecuteError::Target`] if there is no such target.
    pub fn new(
        architecture: Architecture,
        settings: &TargetSettings,
    ) -> Result<Self, ExecuteError> {
        let machine = match architecture {
            Architecture::Aarch64 => &AARCH64,
            Architecture::Riscv64 => &RISCV64,
            Architecture::S390x => &S390X,
            Architecture::X64 => return Err(unsupported("x64 is not emulated")),
        };
        let found = [
            machine.emulator.to_owned(),
            format!("{}-static", machine.emulator),
        ];
        let found = found.into_iter().find(|program| exists(program));
        let program = found.ok_or_else(|| unsupported(&format!("no {}", machine.emulator)))?;
        if !exists(machine.compiler) {
            return Err(unsupported(&format!("no {}", machine.compiler)));
        }
        let isa = |settings: TargetSettings| {
            let settings = settings
                .setting("is_pic=false")
                .setting("preserve_frame_pointers=true")
                .setting("enable_nan_canonicalization=true")
                .setting("enable_llvm_abi_extensions=true");
            let features = machine.features.iter();
            let settings = features.fold(settings, |settings, feature| settings.setting(feature));
            target(machine.target, &settings)
        };
        Ok(Emulator {
            isa: isa(settings.clone())?,
            glue_isa: isa(TargetSettings::new().opt_level(OptLevel::None))?,
            machine,
            program,
        })
    }

    /// Returns the target of the code.
    pub fn isa(&self) -> &dyn TargetIsa {
        &*self.isa
    }

    /// Returns a linker without programs.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Emulated`] if no temporary folder can be made.
    pub fn linker(&self) -> Result<EmulatedLinker<'_>, ExecuteError> {
        EmulatedLinker::new(self)
    }

    fn order(&self) -> Endianness {
        self.isa.endianness()
    }

    /// Returns the command that executes a file.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.machine.options);
        command
    }
}

fn exists(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn unsupported(reason: &str) -> ExecuteError {
    ExecuteError::Unsupported {
        reason: reason.to_owned(),
    }
}

fn emulated(reason: impl ToString) -> ExecuteError {
    ExecuteError::Emulated {
        reason: reason.to_string(),
    }
}
