//! The checker: it accepts what is right, and finds what is wrong.

mod branches;
mod cleanup_labels;
mod copies;
mod faults;
mod passes;
mod stack_switches;
mod structures;
