//! The runtime routines that Cranelift's code calls if the processor lacks an instruction, by their
//! linker symbols.

use super::child;

/// Returns the address of the routine with the linker symbol `symbol`.
pub(super) fn address(symbol: &str) -> Option<*const u8> {
    type Unary32 = extern "C" fn(f32) -> f32;
    type Unary64 = extern "C" fn(f64) -> f64;
    Some(match symbol {
        "ceilf" => (ceil_f32 as Unary32) as *const u8,
        "ceil" => (ceil_f64 as Unary64) as *const u8,
        "floorf" => (floor_f32 as Unary32) as *const u8,
        "floor" => (floor_f64 as Unary64) as *const u8,
        "truncf" => (trunc_f32 as Unary32) as *const u8,
        "trunc" => (trunc_f64 as Unary64) as *const u8,
        "nearbyintf" => (nearest_f32 as Unary32) as *const u8,
        "nearbyint" => (nearest_f64 as Unary64) as *const u8,
        "fmaf" => (fma_f32 as extern "C" fn(f32, f32, f32) -> f32) as *const u8,
        "fma" => (fma_f64 as extern "C" fn(f64, f64, f64) -> f64) as *const u8,
        "__cranelift_x86_pshufb" => return child::x86_pshufb(),
        _ => return None,
    })
}

extern "C" fn ceil_f32(x: f32) -> f32 {
    x.ceil()
}

extern "C" fn ceil_f64(x: f64) -> f64 {
    x.ceil()
}

extern "C" fn floor_f32(x: f32) -> f32 {
    x.floor()
}

extern "C" fn floor_f64(x: f64) -> f64 {
    x.floor()
}

extern "C" fn trunc_f32(x: f32) -> f32 {
    x.trunc()
}

extern "C" fn trunc_f64(x: f64) -> f64 {
    x.trunc()
}

extern "C" fn nearest_f32(x: f32) -> f32 {
    x.round_ties_even()
}

extern "C" fn nearest_f64(x: f64) -> f64 {
    x.round_ties_even()
}

extern "C" fn fma_f32(x: f32, y: f32, z: f32) -> f32 {
    x.mul_add(y, z)
}

extern "C" fn fma_f64(x: f64, y: f64, z: f64) -> f64 {
    x.mul_add(y, z)
}

/// Returns a vector of which byte `i` is the byte of `source` selected by the low four bits of byte
/// `i` of `selector`, or 0 if its high bit is set.
pub(super) fn shuffle_bytes(source: [u8; 16], selector: [u8; 16]) -> [u8; 16] {
    selector.map(|select| {
        if select & 0x80 != 0 {
            0
        } else {
            source[usize::from(select & 0x0f)]
        }
    })
}
