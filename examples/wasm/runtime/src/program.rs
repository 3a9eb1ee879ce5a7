//! How a program that was linked by `wasm compile` begins.

use crate::image::Image;
use crate::instance::{Code, Instance};
use crate::traps::Outcome;
use crate::wasi::Wasi;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// The exit status after a trap: that of a program that aborts.
const TRAPPED: i32 = 134;

/// Runs `_start` of an instance. Returns the status to exit with, and prints why if it trapped.
pub fn run_command(instance: &mut Instance) -> i32 {
    match instance.call("_start", &[]) {
        None => {
            eprintln!("the module exports no function `_start` without parameters");
            1
        }
        Some((Outcome::Returned, _)) => 0,
        Some((Outcome::Exited(code), _)) => code,
        Some((Outcome::Trapped(trap), _)) => {
            eprintln!("trap: {trap}");
            TRAPPED
        }
    }
}

/// Runs a linked program: its `main` calls this.
///
/// # Safety
///
/// The compiler's object file must be the caller: `image` has `image_len` bytes, `functions` and
/// `entries` as many elements as the image says, and `backtraces` the bytes that `backtraces_len`
/// says.
#[unsafe(export_name = "cranelift_inliner_wasm_main")]
unsafe extern "C" fn main(
    image: *const u8,
    image_len: usize,
    functions: *const usize,
    entries: *const usize,
    backtraces: *const u8,
    backtraces_len: *const u64,
) -> i32 {
    // SAFETY: as the caller promises.
    let bytes = unsafe { std::slice::from_raw_parts(image, image_len) };
    let image: Image = match postcard::from_bytes(bytes) {
        Ok(image) => image,
        Err(error) => {
            eprintln!("the program is damaged: {error}");
            return 1;
        }
    };
    // SAFETY: as the caller promises.
    let code = unsafe {
        Code {
            functions: std::slice::from_raw_parts(functions, image.functions.len()).to_vec(),
            entries: std::slice::from_raw_parts(entries, image.entries.len()).to_vec(),
            backtraces: std::slice::from_raw_parts(backtraces, *backtraces_len as usize).into(),
        }
    };
    let mut wasi = Wasi::inherit();
    wasi.set_args(std::env::args_os().map(OsStringExt::into_vec));
    wasi.set_env(std::env::vars_os().map(|(name, value)| {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        pair
    }));
    if let Some(folder) = std::env::var_os("WASM_FOLDER") {
        wasi.preopen("/", folder);
    }
    // SAFETY: code and image are of one object file, and code of a program stays.
    match unsafe { Instance::new(Arc::new(image), code, wasi) } {
        Ok(mut instance) => run_command(&mut instance),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}
