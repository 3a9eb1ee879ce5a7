//! Running programs: the interpreter and native code see the same, whatever a program does.

mod calls;
mod exceptions;
mod support;
mod traps;
