//! The instruction set for directives: that of this machine.
//!
//! A file's `target x86_64 has_avx` names features, but neither the operating system nor the
//! calling convention that code called from here must follow. So the host's own triple is used,
//! with exactly the feature flags of the file's target: a file without flags is compiled without
//! any feature. A target with a feature that the processor lacks is skipped.

use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use target_lexicon::Architecture;

use super::script::Target;

/// A target that this machine can execute.
pub(super) struct Host {
    pub(super) isa: OwnedTargetIsa,
}

impl Host {
    /// Builds the instruction set for `target`, or returns the reason for skipping it.
    pub(super) fn for_target(target: &Target) -> Result<Self, String> {
        if target.flags.enable_pinned_reg() {
            // A caller in the host does not preserve the pinned register, but expects it preserved.
            return Err("a call from the host cannot honour enable_pinned_reg".to_owned());
        }
        let flags = linkable(&target.flags)?;
        let native = native_builder(true)?
            .finish(flags.clone())
            .map_err(|error| error.to_string())?;
        let Some(requested) = &target.requested else {
            return Ok(Self { isa: native });
        };
        check_executable(&*native, &**requested)?;

        let mut builder = native_builder(false)?;
        for flag in requested.isa_flags() {
            builder
                .set(flag.name, &flag.value_string())
                .map_err(|error| format!("the host has no setting {}: {error}", flag.name))?;
        }
        let isa = builder.finish(flags).map_err(|error| error.to_string())?;
        Ok(Self { isa })
    }
}

fn native_builder(infer_features: bool) -> Result<isa::Builder, String> {
    cranelift_native::builder_with_options(infer_features).map_err(str::to_owned)
}

/// Returns the file's flags, except those that only affect relocations: the linker in memory has no
/// global offset table, and library routines may be far away.
fn linkable(flags: &Flags) -> Result<Flags, String> {
    let mut builder = settings::builder();
    let forced = [("is_pic", "false"), ("use_colocated_libcalls", "false")];
    let given: Vec<_> = flags.iter().map(|f| (f.name, f.value_string())).collect();
    let given = given.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in given.chain(forced) {
        builder
            .set(name, value)
            .map_err(|error| format!("setting {name}: {error}"))?;
    }
    Ok(Flags::new(builder))
}

/// Checks whether this machine executes code for `requested`.
fn check_executable(native: &dyn TargetIsa, requested: &dyn TargetIsa) -> Result<(), String> {
    let here = native.triple().architecture;
    let wanted = requested.triple().architecture;
    let same = match (here, wanted) {
        (Architecture::Riscv64(_), Architecture::Riscv64(_)) => true,
        (here, wanted) => here == wanted,
    };
    if !same {
        return Err(format!("this machine is {here}"));
    }
    let available = native.isa_flags();
    for flag in requested.isa_flags() {
        let offered = available
            .iter()
            .any(|offer| offer.name == flag.name && offer.as_bool() == Some(true));
        // Signing return addresses is a hint, which older processors execute as a no-op.
        let hint = flag.name == "sign_return_address";
        if flag.as_bool() == Some(true) && !offered && !hint {
            return Err(format!("this processor lacks {}", flag.name));
        }
    }
    Ok(())
}
