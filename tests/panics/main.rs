//! What the library catches of Cranelift's panics is not printed, and other panics still are.
//!
//! The panic hook belongs to the process, so this is the only test in its binary.

use cranelift_inliner::program::{Program, ProgramError};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

static REPORTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn only_panics_of_others_reach_the_hook() {
    panic::set_hook(Box::new(|_| {
        REPORTED.fetch_add(1, Ordering::SeqCst);
    }));
    // The reader looks up the scale of `dt0` in a global value that is not there.
    let strange =
        "function %a() {\n    dt0 = i8*gv0\nblock0:\n    v0 = iconst.dt0 1\n    return\n}";
    let many = strange.repeat(50);
    assert!(matches!(
        Program::from_clif(&many, "strange"),
        Err(ProgramError::Syntax { line: 1, .. })
    ));
    assert_eq!(REPORTED.load(Ordering::SeqCst), 0);

    assert!(panic::catch_unwind(|| panic!("of the embedder")).is_err());
    assert_eq!(REPORTED.load(Ordering::SeqCst), 1);
}
