//! A small language of functions over 64-bit integers, and a compiler for it.
//!
//! ```text
//! fn putchar(c);                                    # defined elsewhere
//! fn square(x) = x * x;                             # seen in this program only
//! export fn squares(n) = sum i from 0 to n of square(i);
//! export fn max(a, b) = if a < b then b else a;
//! export fn apply(x) = let y = x + 1 in max(x, square(y)) % 1000;
//! export fn address() = &square;
//! ```
//!
//! The compiler is written against `cranelift_module::Module` and knows of no inlining.

pub(crate) mod compiler;
pub(crate) mod parser;
pub(crate) mod syntax;
