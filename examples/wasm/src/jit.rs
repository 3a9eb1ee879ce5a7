//! Modules that are compiled in this process.

use crate::compile::{Compiled, Options, Translated, define, isa};
use crate::error::{Error, Result};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::frames::{FrameTable, FrameTableBuilder, WasmtimeFrames};
use cranelift_inliner::profile::Profile;
use cranelift_inliner_wasm_runtime::{
    Code, HOST_FUNCTIONS, Image, Instance, InstantiateError, Wasi,
};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, default_libcall_names};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Returns the target of [`jit_module`].
///
/// # Errors
///
/// If Cranelift does not know the host.
pub fn jit_isa() -> Result<OwnedTargetIsa> {
    isa(false)
}

/// Returns a JIT for the host, which knows the runtime's functions.
///
/// # Errors
///
/// If Cranelift does not know the host.
pub fn jit_module() -> Result<JITModule> {
    let mut builder = JITBuilder::with_isa(jit_isa()?, default_libcall_names());
    for function in HOST_FUNCTIONS {
        builder.symbol(function.symbol, function.address.0);
    }
    Ok(JITModule::new(builder))
}

/// A module compiled in this process.
pub struct JitProgram {
    jit: Option<JITModule>,
    /// The compiled functions.
    pub compiled: Compiled,
    image: Arc<Image>,
    code: Code,
}

impl Drop for JitProgram {
    fn drop(&mut self) {
        if let Some(jit) = self.jit.take() {
            // SAFETY: instances borrow the program, so none of its code runs.
            unsafe { jit.free_memory() }
        }
    }
}

/// Compiles a module to run it at once.
///
/// # Errors
///
/// If it is invalid, or uses features that are not supported or imports that are not provided.
pub fn jit(wasm: &[u8], options: &Options<'_>) -> Result<JitProgram> {
    let (translated, jit, compiled) = define(wasm, jit_module()?, Some(jit_isa()?), options)?;
    JitProgram::new(translated, jit, compiled)
}

impl JitProgram {
    /// Returns the program of a JIT in which all functions are defined.
    ///
    /// # Errors
    ///
    /// If the code cannot be made executable.
    pub fn new(translated: Translated<'_>, mut jit: JITModule, compiled: Compiled) -> Result<Self> {
        jit.finalize_definitions()?;
        let address = |&id: &FuncId| jit.get_finalized_function(id) as usize;
        let functions = compiled.backtraces.iter();
        let offsets: Vec<_> = functions.map(|(id, _)| address(id) as u64).collect();
        let code = Code {
            backtraces: compiled.link(&offsets)?.into_bytes().into(),
            functions: translated
                .declared
                .with_code()
                .map(|id| address(&id))
                .collect(),
            entries: translated.entry_ids.iter().map(address).collect(),
        };
        Ok(Self {
            image: Arc::new(compiled.image.clone()),
            jit: Some(jit),
            compiled,
            code,
        })
    }

    /// Returns the counts of all calls so far, in any instance; `None` if there are no counters.
    pub fn profile(&self) -> Option<Profile> {
        let report = self.compiled.report.as_ref()?;
        let (start, bytes) = self.jit.as_ref()?.get_finalized_data(report.counters()?);
        // SAFETY: the table is aligned to eight bytes and stays with the code, none of which runs
        // on another thread.
        let table = unsafe { std::slice::from_raw_parts(start.cast::<u64>(), bytes / 8) };
        report.profile(table).ok()
    }

    /// Returns the table of the frames in the code, and the address that its offsets count from, if
    /// the program was compiled for debugging.
    ///
    /// # Errors
    ///
    /// If the tags have another form.
    pub fn frame_table(&self) -> Result<(FrameTable, u64)> {
        let failed = |error: &dyn std::fmt::Display| Error::Target(error.to_string());
        let jit = self.jit.as_ref();
        let address = |id| jit.map_or(0, |jit| jit.get_finalized_function(id) as u64);
        let functions = &self.compiled.debugged;
        let text = functions.iter().map(|&(id, _)| address(id)).min();
        let text = text.unwrap_or_default();
        let mut builder = FrameTableBuilder::new(WasmtimeFrames);
        for (id, code) in functions {
            let added = builder.add(id.as_u32().into(), code);
            added.map_err(|error| failed(&error))?;
        }
        let offset = |id: u64| Some(address(FuncId::from_u32(id as u32)) - text);
        let table = builder.link(offset).map_err(|error| failed(&error))?;
        Ok((table, text))
    }

    /// Makes the program ready to run.
    ///
    /// # Errors
    ///
    /// If there is no memory, a segment does not fit, or the start function traps.
    pub fn instantiate(&self, wasi: Wasi) -> Result<Running<'_>, InstantiateError> {
        // SAFETY: image and code are of one compilation, and the borrow keeps the code.
        let instance = unsafe { Instance::new(Arc::clone(&self.image), self.code.clone(), wasi)? };
        Ok(Running {
            instance,
            program: PhantomData,
        })
    }
}

/// An instance of a [`JitProgram`].
pub struct Running<'p> {
    instance: Instance,
    program: PhantomData<&'p JitProgram>,
}

impl Deref for Running<'_> {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl DerefMut for Running<'_> {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }
}
