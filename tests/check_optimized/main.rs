//! The checker of optimised bodies: results that it must accept, and mistakes that it must find.
//!
//! A base is a function before optimisation and, by hand, one after. The checker takes the pair.
//! Then one of the texts is changed in one place, as a mistake in a transform would have it, and
//! the pair must not pass any more.

mod accepted;
mod branches;
mod byte_loops;
mod byte_orders;
mod calls;
mod control_flow;
mod escapes;
mod facts;
mod generated;
mod handlers;
mod joined_labels;
mod malformed;
mod metadata;
mod pieces;
mod support;
mod threading;

use std::collections::BTreeSet;
use support::{Base, prove, read};

const BASES: &[&[Base]] = &[
    pieces::BASES,
    escapes::BASES,
    control_flow::BASES,
    calls::BASES,
    metadata::BASES,
    threading::BASES,
];

#[test]
fn every_fault_is_found() {
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for base in BASES.iter().copied().flatten() {
        if let Err(unproved) = prove(base.before, base.after, base.program) {
            failures.push(format!("{}: is right, but {unproved}", base.name));
            continue;
        }
        for fault in base.faults {
            assert!(names.insert(fault.name), "{} is there twice", fault.name);
            let mut texts = [base.before.to_string(), base.after.to_string()];
            for &(from, to) in fault.edits {
                let text = &mut texts[usize::from(!fault.is_in_before)];
                assert_eq!(text.matches(from).count(), 1, "{}: `{from}`", fault.name);
                *text = text.replace(from, to);
            }
            let [before, after] = texts;
            for text in [&before, &after] {
                if let Err(error) = read(text) {
                    panic!("{}: {error}\n{text}", fault.name);
                }
            }
            match prove(&before, &after, base.program) {
                Ok(()) => failures.push(format!("{}: {}: not found", base.name, fault.name)),
                Err(unproved) => {
                    let found = unproved.to_string();
                    if fault.message.is_empty() || !found.contains(fault.message) {
                        failures.push(format!("{}: found as: {found}", fault.name));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(names.len() >= 209, "only {} faults", names.len());
}
