//! Checks of every function that a test gets out of the library.

use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, verify_function};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the backend of `target` with the `settings` that the text names.
pub(crate) fn isa(target: &str, settings: &[String]) -> Result<OwnedTargetIsa, String> {
    let mut builder = settings::builder();
    // On x64 tail calls need them.
    builder
        .enable("preserve_frame_pointers")
        .map_err(|error| error.to_string())?;
    for setting in settings {
        let result = match setting.split_once('=') {
            Some((name, value)) => builder.set(name, value),
            None => builder.enable(setting),
        };
        result.map_err(|error| format!("setting `{setting}`: {error}"))?;
    }
    let builder_of = isa::lookup_by_name(&format!("{target}-unknown-linux"));
    let mut isa = builder_of.map_err(|error| format!("{target}: {error}"))?;
    if target == "x86_64" {
        // Vector instructions need more than the first x86-64.
        for feature in ["has_sse3", "has_ssse3", "has_sse41", "has_sse42"] {
            isa.enable(feature).map_err(|error| error.to_string())?;
        }
    }
    if target == "riscv64" {
        isa.enable("has_v").map_err(|error| error.to_string())?;
    }
    isa.finish(settings::Flags::new(builder))
        .map_err(|error| error.to_string())
}

/// Verifies `func`.
pub(crate) fn check_valid(func: &Function, isa: &dyn TargetIsa) -> Result<(), String> {
    let name = isa.triple().architecture;
    verify_function(func, isa)
        .map_err(|errors| format!("the verifier for {name} rejects {}:\n{errors}", func.name))
}

/// Compiles `func`.
pub(crate) fn compile(func: &Function, isa: &dyn TargetIsa) -> Result<(), String> {
    let mut context = Context::for_function(func.clone());
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        context
            .compile(isa, &mut Default::default())
            .map(|_| ())
            .map_err(|error| format!("{:?}", error.inner))
    }));
    let architecture = isa.triple().architecture;
    compiled
        .unwrap_or_else(|_| Err("the compiler panics".into()))
        .map_err(|error| format!("compiling {} for {architecture}: {error}", func.name))
}
