//! Panics of Cranelift that the library catches are not printed, and other panics still are.
//!
//! The panic hook belongs to the process, so the binary has one test in its own process, and runs
//! itself for the other.

use cranelift_inliner::panics;
use cranelift_inliner::program::{Program, ProgramError};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, panic};

static REPORTED: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    panic::set_hook(Box::new(|_| {
        REPORTED.fetch_add(1, Ordering::SeqCst);
    }));
}

/// Panics in Cranelift's reader, which the library catches.
fn read_strange_text() {
    // The reader looks up the scale of `dt0` in a global value that is not there.
    let strange =
        "function %a() {\n    dt0 = i8*gv0\nblock0:\n    v0 = iconst.dt0 1\n    return\n}";
    let many = strange.repeat(50);
    assert!(matches!(
        Program::from_clif(&many, "strange"),
        Err(ProgramError::Syntax { line: 1, .. })
    ));
}

#[test]
fn only_panics_of_others_reach_the_hook() {
    count_panics();
    read_strange_text();
    assert_eq!(REPORTED.load(Ordering::SeqCst), 0);
    assert!(!panics::leave_hook(), "too late");
    read_strange_text();
    assert_eq!(REPORTED.load(Ordering::SeqCst), 0);

    assert!(panic::catch_unwind(|| panic!("of the embedder")).is_err());
    assert_eq!(REPORTED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_hook_that_is_left_alone_sees_caught_panics() {
    const IN_CHILD: &str = "LEAVE_THE_HOOK";
    if env::var_os(IN_CHILD).is_none() {
        let this = "a_hook_that_is_left_alone_sees_caught_panics";
        let mut child = Command::new(env::current_exe().unwrap());
        let child = child.args(["--exact", this]).env(IN_CHILD, "1");
        let output = child.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{printed}"
        );
        return;
    }
    assert!(panics::leave_hook());
    count_panics();
    read_strange_text();
    assert_ne!(REPORTED.load(Ordering::SeqCst), 0);
    assert!(panics::leave_hook(), "declined before");
}
