//! The targets for which properties are checked, each made once per process.

use super::execute::Engine;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use std::sync::OnceLock;

/// An architecture of Cranelift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// x86-64 with SSE 4.2, which vectors need, and stack switching.
    X64,
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit RISC-V with vectors.
    Riscv64,
    /// IBM z.
    S390x,
}

/// The optimization levels at which properties are checked.
pub const LEVELS: [OptLevel; 2] = [OptLevel::None, OptLevel::Speed];

impl Architecture {
    /// All four.
    pub const ALL: [Architecture; 4] = [
        Architecture::X64,
        Architecture::Aarch64,
        Architecture::Riscv64,
        Architecture::S390x,
    ];

    /// Returns the architecture as a target, at one of [`LEVELS`]; other levels count as `speed`.
    ///
    /// `None` only if Cranelift refuses to set it up.
    ///
    /// ```
    /// use cranelift_codegen::settings::OptLevel;
    /// use cranelift_inliner_testing::targets::Architecture;
    ///
    /// let isa = Architecture::Riscv64.isa(OptLevel::None).expect("it is built in");
    /// assert_eq!(isa.name(), "riscv64");
    /// ```
    pub fn isa(self, level: OptLevel) -> Option<&'static OwnedTargetIsa> {
        type Cell = OnceLock<Option<OwnedTargetIsa>>;
        static TARGETS: [[Cell; 4]; 2] = [const { [const { OnceLock::new() }; 4] }; 2];
        let row = usize::from(level != OptLevel::None);
        let (column, name, features): (usize, &str, &[&str]) = match self {
            Architecture::X64 => (
                0,
                "x64",
                &[
                    "has_sse3",
                    "has_ssse3",
                    "has_cmpxchg16b",
                    "has_sse41",
                    "has_sse42",
                    "stack_switch_model=basic",
                ],
            ),
            Architecture::Aarch64 => (1, "aarch64", &[]),
            Architecture::Riscv64 => (2, "riscv64", &["has_v"]),
            Architecture::S390x => (3, "s390x", &[]),
        };
        let level = LEVELS[row];
        let made = TARGETS[row][column].get_or_init(|| {
            let mut settings = TargetSettings::new().opt_level(level);
            for feature in features {
                settings = settings.setting(feature);
            }
            target(name, &settings).ok()
        });
        made.as_ref()
    }
}

/// Returns the engine for this machine at one of [`LEVELS`]; other levels count as `speed`.
///
/// `None` if code [cannot run](Engine::works_here).
pub fn engine(level: OptLevel) -> Option<&'static Engine> {
    static ENGINES: [OnceLock<Option<Engine>>; 2] = [const { OnceLock::new() }; 2];
    let row = usize::from(level != OptLevel::None);
    let settings = TargetSettings::new().opt_level(LEVELS[row]);
    let made = ENGINES[row].get_or_init(|| Engine::new(&settings).ok());
    made.as_ref()
}
