//! A small language of functions over 64-bit integers, and a compiler for it.
//!
//! ```text
//! fn putchar(c);                                    # defined elsewhere
//! fn square(x) = x * x;                             # seen in this program only
//! export fn squares(n) = sum i from 0 to n of square(i);
//! export fn max(a, b) = if a < b then b else a;
//! export fn apply(x) = let y = x + 1 in max(x, square(y)) % 1000;
//! export fn address() = &square;
//! export fn power(n) = loop i = 0, p = 1 while i < n next i + 1, p * 2 in p;
//! ```
//!
//! Records and options live in stack slots, and are passed by reference. A function that returns
//! one writes it to an address from its caller.
//!
//! ```text
//! record point { x, y };
//! fn move(p: point, by): point = point { x: p.x + by, y: p.y };
//! fn half(n): option = if n % 2 > 0 then none else some n / 2;
//! export fn both(n) = move(point { x: n, y: 1 }, 2).x + match half(n) some h then h else 0;
//! ```
//!
//! A closure is the address of a slot with its code and the variables that it captures. It must not
//! outlive the function that makes it. A table is constant data, full of functions.
//!
//! ```text
//! fn twice(f: closure, x) = f(f(x));
//! table operations = [square, double];
//! export fn add_twice(n) = twice(|x| x + n, n);
//! export fn operate(i, x) = operations[i](x);
//! ```
//!
//! An iterator is a record whose function `next` changes it.
//!
//! ```text
//! record range { at, end };
//! fn range_next(r: range): option =
//!     if r.at < r.end then let at = r.at in set r.at = at + 1 in some at else none;
//! export fn total(n) = fold t = 0 over x in range { at: 0, end: n } of t + x;
//! ```
//!
//! The compiler is written against `cranelift_module::Module` and does not know about inlining.

pub(crate) mod aggregates;
pub(crate) mod closures;
pub(crate) mod compiler;
pub(crate) mod loops;
pub(crate) mod parser;
pub(crate) mod syntax;
