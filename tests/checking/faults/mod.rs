//! The checker finds every mistake of a list of realistic ones.
//!
//! Each module of `tests/checking/modules` is spliced, and cleaned up or not. The
//! result passes the checker. Then its text is changed in one place, as a
//! mistake in the engine would have it, and must not pass any more.

mod control_flow;
mod entities;
mod exceptions;
mod labels;
mod metadata;
mod promises;
mod slots;

use crate::copies::{Order, parse, splice_all};
use cranelift_codegen::ir::Function;
use cranelift_inliner::check::{CheckError, check};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};
use cranelift_inliner::splice::{MemoryPromises, SpliceOptions};
use std::collections::BTreeSet;

/// A correct result and possible faults in it.
struct Base {
    module: &'static str,
    shares_slots: bool,
    /// Whether promises of memory flags hold for the whole program.
    for_program: bool,
    cleaned_up: bool,
    faults: &'static [Fault],
}

struct Fault {
    name: &'static str,
    /// A part of the text that occurs once, and its replacement.
    edits: &'static [(&'static str, &'static str)],
    /// Part of the checker's message.
    message: &'static str,
}

const fn edited(
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    message: &'static str,
) -> Fault {
    Fault {
        name,
        edits,
        message,
    }
}

const BASES: [Base; 13] = [
    control_flow::ARITHMETIC,
    control_flow::LOOPS,
    control_flow::LOOPS_CLEANED_UP,
    entities::MEMORY,
    entities::MEMORY_CLEANED_UP,
    entities::STRUCTURES,
    exceptions::EXCEPTIONS,
    exceptions::EXCEPTIONS_CLEANED_UP,
    metadata::METADATA,
    metadata::METADATA_CLEANED_UP,
    slots::SHARED,
    promises::PROMISES,
    promises::STRUCTURES_AND_REGIONS,
];

/// Returns the text of a function with single spaces, so that edits need not care for columns.
fn plain_text(func: &Function) -> String {
    let text = func.to_string();
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn every_fault_is_found() {
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for base in &BASES {
        let functions = parse(base.module);
        let caller = &functions["%caller"];
        let mut options = SpliceOptions::default();
        options.share_slots = base.shares_slots;
        if base.for_program {
            options.memory_promises = MemoryPromises::WholeProgram;
        }
        for order in [Order::Backwards, Order::Mixed(5)] {
            let spliced = splice_all(caller, &functions, &options, order);
            let mut tree = spliced.tree(caller, &functions);
            if base.for_program {
                tree.promise_for_whole_program();
            }
            check(&tree, &spliced.after).unwrap();
        }
        let mut spliced = splice_all(caller, &functions, &options, Order::Forwards);
        if base.cleaned_up {
            clean_up(&mut spliced.after, &mut CleanupContext::new());
        }
        let mut tree = spliced.tree(caller, &functions);
        if !base.shares_slots {
            tree.forbid_shared_slots();
        }
        if base.for_program {
            tree.promise_for_whole_program();
        }
        let text = plain_text(&spliced.after);
        let read = |text: &str| cranelift_reader::parse_functions(text).map(|mut f| f.remove(0));
        for result in [&spliced.after, &read(&text).unwrap()] {
            if let Err(difference) = check(&tree, result) {
                panic!("the result is correct, but {difference}:\n{text}");
            }
        }
        for fault in base.faults {
            assert!(
                names.insert(fault.name),
                "{} stands there twice",
                fault.name
            );
            let mut wrong = text.clone();
            for (from, to) in fault.edits {
                assert_eq!(
                    wrong.matches(from).count(),
                    1,
                    "{}: `{from}` in\n{text}",
                    fault.name
                );
                wrong = wrong.replace(from, to);
            }
            let wrong = read(&wrong).unwrap_or_else(|e| panic!("{}: {e}\n{wrong}", fault.name));
            match check(&tree, &wrong) {
                Ok(()) => failures.push(format!("{}: not found", fault.name)),
                Err(CheckError::Undecided(undecided)) => {
                    failures.push(format!("{}: {undecided}", fault.name));
                }
                Err(error) => {
                    let found = error.to_string();
                    if fault.message.is_empty() || !found.contains(fault.message) {
                        failures.push(format!("{}: found as: {found}", fault.name));
                    }
                }
            }
        }
    }
    assert!(names.len() >= 40);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
