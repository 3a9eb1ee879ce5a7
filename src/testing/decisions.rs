//! Arbitrary decisions: any subset of the call sites of a program, in any order.
