//! Targets by name, with the settings that compiled programs need.

use super::error::TargetError;
use crate::panics;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable, OptLevel, SetError};
use target_lexicon::{BinaryFormat, Triple};

/// Cranelift's settings for a target: the common ones by method, every other by name.
///
/// The defaults are Cranelift's own, except for these:
///
/// * `opt_level` is `speed`: inlining pays off with the mid-end's optimizations.
/// * `is_pic` is on: object files then link into position-independent executables. A JIT wants
///   [`position_independent(false)`](Self::position_independent).
/// * `preserve_frame_pointers` is on: `get_frame_pointer` and stack walkers need them.
/// * `enable_verifier` is off: call [`verify_function`](super::verify_function) instead, once, and
///   get its own error.
/// * `tls_model` follows the triple's object format, where Cranelift would reject `tls_value`.
///
/// ```
/// use cranelift_codegen::settings::OptLevel;
/// use cranelift_inliner::backend::{TargetSettings, target};
///
/// let settings = TargetSettings::new()
///     .opt_level(OptLevel::SpeedAndSize)
///     .setting("probestack_size_log2=16")
///     .setting("enable_llvm_abi_extensions");
/// let isa = target("host", &settings)?;
/// assert_eq!(isa.flags().opt_level(), OptLevel::SpeedAndSize);
/// assert!(isa.flags().enable_llvm_abi_extensions());
/// # Ok::<(), cranelift_inliner::backend::TargetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    opt_level: OptLevel,
    position_independent: bool,
    named: Vec<NamedSetting>,
}

/// A setting by its name; without a value it is one to switch on, or a preset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedSetting {
    name: String,
    value: Option<String>,
}

impl Default for TargetSettings {
    fn default() -> Self {
        TargetSettings {
            opt_level: OptLevel::Speed,
            position_independent: true,
            named: Vec::new(),
        }
    }
}

impl TargetSettings {
    /// Returns the defaults, see the type.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the level and the goal of Cranelift's optimizations.
    pub fn opt_level(mut self, opt_level: OptLevel) -> Self {
        self.opt_level = opt_level;
        self
    }

    /// Sets whether the code may be loaded at any address (`is_pic`).
    pub fn position_independent(mut self, position_independent: bool) -> Self {
        self.position_independent = position_independent;
        self
    }

    /// Adds a setting in the form of CLIF's `set` lines and of command lines: `name=value`, or
    /// `name` alone to switch a setting on or for a preset. Both shared settings and those of the
    /// architecture are accepted. A later setting takes precedence, also over the other methods.
    /// Names and values are checked by [`target`].
    pub fn setting(mut self, text: &str) -> Self {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (text, None),
        };
        self.named.push(NamedSetting {
            name: name.trim().to_owned(),
            value,
        });
        self
    }
}

impl NamedSetting {
    fn apply(&self, builder: &mut dyn Configurable) -> Result<(), SetError> {
        match &self.value {
            Some(value) => builder.set(&self.name, value),
            None => builder.enable(&self.name),
        }
    }
}

/// Returns the target called `name`, set up by `settings`.
///
/// `name` is a triple, or one of the short names `x64` (`x86_64`), `aarch64` (`arm64`), `riscv64`
/// and `s390x`, which stand for Linux with the features that the architecture always has, or
/// `host`: the machine that the program runs on, with (feature `tool`) all that its processor can
/// do.
///
/// # Errors
///
/// An unknown name, an architecture without a backend in this build (see the feature `all-arch`),
/// unknown settings, bad values and combinations that Cranelift refuses.
pub fn target(name: &str, settings: &TargetSettings) -> Result<OwnedTargetIsa, TargetError> {
    let triple = triple_of(name)?;
    let mut isa_builder =
        isa::lookup(triple.clone()).map_err(|error| TargetError::no_backend(name, error))?;
    if name == HOST {
        infer_host_features(&mut isa_builder)?;
    }

    let mut shared = settings::builder();
    for (setting, value) in defaults(&triple, settings) {
        shared
            .set(setting, &value)
            .map_err(|error| TargetError::setting(name, setting, &value, error))?;
    }
    for setting in &settings.named {
        let result = match setting.apply(&mut shared) {
            Err(SetError::BadName(_)) => setting.apply(&mut isa_builder),
            shared_knows_it => shared_knows_it,
        };
        result.map_err(|error| {
            let value = setting.value.as_deref().unwrap_or_default();
            TargetError::setting(name, &setting.name, value, error)
        })?;
    }

    let inconsistent = |reason: String| TargetError::Inconsistent {
        name: name.to_owned(),
        reason,
    };
    panics::catch(|| isa_builder.finish(settings::Flags::new(shared)))
        .map_err(inconsistent)?
        .map_err(|error| inconsistent(error.to_string()))
}

const HOST: &str = "host";

fn triple_of(name: &str) -> Result<Triple, TargetError> {
    let triple = match name {
        HOST => return Ok(Triple::host()),
        "x64" | "x86_64" => "x86_64-unknown-linux-gnu",
        "aarch64" | "arm64" => "aarch64-unknown-linux-gnu",
        "riscv64" => "riscv64gc-unknown-linux-gnu",
        "s390x" => "s390x-unknown-linux-gnu",
        other => other,
    };
    triple.parse().map_err(
        |error: target_lexicon::ParseError| TargetError::UnknownName {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    )
}

fn defaults(triple: &Triple, settings: &TargetSettings) -> Vec<(&'static str, String)> {
    let tls_model = match triple.binary_format {
        BinaryFormat::Elf => "elf_gd",
        BinaryFormat::Macho => "macho",
        BinaryFormat::Coff => "coff",
        _ => "none",
    };
    vec![
        ("opt_level", settings.opt_level.to_string()),
        ("is_pic", settings.position_independent.to_string()),
        ("preserve_frame_pointers", true.to_string()),
        ("enable_verifier", false.to_string()),
        ("tls_model", tls_model.to_owned()),
    ]
}

#[cfg(feature = "native")]
fn infer_host_features(builder: &mut isa::Builder) -> Result<(), TargetError> {
    cranelift_native::infer_native_flags(builder).map_err(|reason| TargetError::Host {
        reason: reason.to_owned(),
    })
}

#[cfg(not(feature = "native"))]
fn infer_host_features(_builder: &mut isa::Builder) -> Result<(), TargetError> {
    Ok(())
}

#[cfg(all(test, feature = "all-arch"))]
mod tests {
    use super::{TargetSettings, target};
    use crate::backend::TargetError;
    use cranelift_codegen::settings::{OptLevel, TlsModel};

    fn error_of(name: &str, settings: &TargetSettings) -> TargetError {
        target(name, settings).err().expect("an error")
    }

    #[test]
    fn short_names_and_triples_lead_to_the_same_backends() {
        let settings = TargetSettings::new();
        let host = target("host", &settings).unwrap();
        assert_eq!(host.triple(), &target_lexicon::Triple::host());
        for (name, backend) in [
            ("x64", "x64"),
            ("x86_64", "x64"),
            ("x86_64-apple-darwin", "x64"),
            ("aarch64", "aarch64"),
            ("arm64", "aarch64"),
            ("aarch64-unknown-linux-musl", "aarch64"),
            ("riscv64", "riscv64"),
            ("riscv64gc-unknown-linux-gnu", "riscv64"),
            ("s390x", "s390x"),
        ] {
            let isa = target(name, &settings).unwrap();
            assert_eq!(isa.name(), backend, "{name}");
        }
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let flags = isa.flags();
        assert_eq!(flags.opt_level(), OptLevel::Speed);
        assert!(flags.is_pic());
        assert!(flags.preserve_frame_pointers());
        assert!(!flags.enable_verifier());
        assert!(flags.unwind_info());
        assert_ne!(flags.tls_model(), TlsModel::None);
    }

    #[test]
    fn settings_reach_both_kinds_of_flags_and_the_last_one_wins() {
        let settings = TargetSettings::new()
            .opt_level(OptLevel::None)
            .position_independent(false)
            .setting("preserve_frame_pointers = false")
            .setting("enable_verifier")
            .setting("has_avx2=true")
            .setting("has_avx")
            .setting("has_avx=no");
        let isa = target("x64", &settings).unwrap();
        assert_eq!(isa.flags().opt_level(), OptLevel::None);
        assert!(!isa.flags().is_pic());
        assert!(!isa.flags().preserve_frame_pointers());
        assert!(isa.flags().enable_verifier());
        let flag = |name: &str| {
            let flags = isa.isa_flags();
            flags
                .iter()
                .find(|flag| flag.name == name)
                .unwrap()
                .as_bool()
        };
        assert_eq!(flag("has_avx2"), Some(true));
        assert_eq!(flag("has_avx"), Some(false));

        let preset = TargetSettings::new().setting("skylake");
        let isa = target("x64", &preset).unwrap();
        let flags = isa.isa_flags();
        let avx = flags.iter().find(|flag| flag.name == "has_avx2").unwrap();
        assert_eq!(avx.as_bool(), Some(true));
    }

    #[test]
    fn faults_of_names_and_of_settings_are_told_apart() {
        let settings = TargetSettings::new();
        assert!(matches!(
            error_of("pdp11", &settings),
            TargetError::UnknownName { name, .. } if name == "pdp11"
        ));
        assert!(matches!(
            error_of("", &settings),
            TargetError::UnknownName { .. }
        ));
        assert!(matches!(
            error_of("armv7-unknown-linux-gnueabi", &settings),
            TargetError::NoBackend { .. }
        ));
        assert!(matches!(
            error_of("x64", &TargetSettings::new().setting("has_wings=true")),
            TargetError::UnknownSetting { setting, .. } if setting == "has_wings"
        ));
        assert!(matches!(
            error_of("x64", &TargetSettings::new().setting("opt_level=best")),
            TargetError::BadValue { setting, value, .. }
                if setting == "opt_level" && value == "best"
        ));
        assert!(matches!(
            error_of("x64", &TargetSettings::new().setting("opt_level")),
            TargetError::BadValue { .. }
        ));
    }

    #[test]
    fn settings_that_a_backend_refuses_are_an_error() {
        let settings = TargetSettings::new().setting("has_m=false");
        assert!(matches!(
            error_of("riscv64", &settings),
            TargetError::Inconsistent { name, reason } if name == "riscv64" && reason.contains("G")
        ));
    }
}
