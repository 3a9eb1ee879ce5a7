//! The checker: it accepts right results, and finds wrong ones.

mod branches;
mod by_hand;
mod cleanup_labels;
mod copies;
mod faults;
mod passes;
mod stack_switches;
mod structures;
