//! Properties of every program, of those in this repository and of generated ones; that each
//! property fails where it should; and that a debugger sees the same program, inlined or not.

mod branches;
mod closures;
mod generated;
mod lists;
mod modules;
mod optimized;
mod orders;
mod shapes;
mod shards;
mod streams;
mod trace;
mod wrong;
