//! What must hold of every program, of those in this repository and of generated ones; and that
//! each property fails where it should.

mod generated;
mod modules;
mod wrong;
