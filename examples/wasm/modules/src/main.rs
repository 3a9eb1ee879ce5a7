//! Writes random WebAssembly modules to standard output, each after its length in four bytes:
//!
//! ```text
//! cargo run --release -- FIRST COUNT > modules
//! ```
//!
//! Modules have numbers, from `FIRST` on, and the same number always gives the same module. It is a
//! package of its own, since `wasm-smith` turns a feature of `arbitrary` on that Cranelift would be
//! compiled again for.

use arbitrary::Unstructured;
use std::io::{self, BufWriter, Write};
use wasm_smith::{Config, Module};

/// Returns the features of the compiler: WebAssembly 2.0 without SIMD and without references in
/// functions.
fn config(number: u64) -> Config {
    Config {
        allow_start_export: number % 4 == 0,
        bulk_memory_enabled: true,
        canonicalize_nans: true,
        custom_page_sizes_enabled: false,
        disallow_traps: number % 4 != 0,
        exceptions_enabled: false,
        export_everything: true,
        extended_const_enabled: false,
        gc_enabled: false,
        max_elements: 8,
        max_funcs: 12,
        max_globals: 8,
        max_imports: 0,
        max_instructions: 300,
        max_memories: 1,
        max_memory32_bytes: 4 << 20,
        max_table_elements: 64,
        max_tables: 2,
        memory64_enabled: false,
        memory_max_size_required: true,
        min_funcs: 3,
        min_types: 2,
        multi_value_enabled: true,
        reference_types_enabled: number % 8 == 0,
        relaxed_simd_enabled: false,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// Returns a generator of numbers by Vigna (SplitMix64), for the bytes that a module is made of.
fn bytes(number: u64) -> Vec<u8> {
    let mut state = number;
    let words = (0..4096).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    });
    words.collect()
}

/// How often functions may be entered and loops repeated, before the module traps.
const FUEL: u32 = 900;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
        eprintln!("FIRST and COUNT");
        std::process::exit(2);
    };
    let mut output = BufWriter::new(io::stdout().lock());
    for number in first..first + count {
        let bytes = bytes(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut module = Module::new(config(number), &mut Unstructured::new(&bytes))
            .expect("there are enough bytes");
        module.ensure_termination(FUEL).expect("it can be changed");
        let wasm = module.to_bytes();
        output.write_all(&(wasm.len() as u32).to_le_bytes())?;
        output.write_all(&wasm)?;
    }
    output.flush()
}
