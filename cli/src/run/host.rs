//! The instruction set that directives are compiled for: that of this machine.
//!
//! A file's `target x86_64 has_avx` names features, not the operating system or the calling
//! convention that code must follow to be called from here. So the host's own triple is taken, and
//! of the file's target its feature flags, exactly those: a file that names none is compiled
//! without any. A feature that the processor lacks makes the target one to pass over.

use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use target_lexicon::Architecture;

use super::script::Target;

/// A target that can be compiled for and executed here.
pub(super) struct Host {
    pub(super) isa: OwnedTargetIsa,
}

impl Host {
    /// Builds the instruction set for `target`, or says why the target is passed over.
    pub(super) fn for_target(target: &Target) -> Result<Self, String> {
        if target.flags.enable_pinned_reg() {
            // A host caller does not keep the pinned register, and expects it kept.
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

/// The file's flags, with those replaced that decide only which relocations the code has: the
/// linker in memory takes no global offset table, and library routines lie far away.
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

/// Whether this machine executes what is compiled for `requested`.
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
        // Signing return addresses is a hint that older processors execute as nothing.
        let hint = flag.name == "sign_return_address";
        if flag.as_bool() == Some(true) && !offered && !hint {
            return Err(format!("this processor lacks {}", flag.name));
        }
    }
    Ok(())
}
