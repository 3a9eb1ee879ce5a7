//! Labels of values that clean-up does away with.

use cranelift_codegen::ir::{
    Function, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};

/// Returns the function of `text` after clean-up, and whether the label that `value` had is on
/// `on`.
fn keeps_label(text: &str, value: u32, on: u32) -> (Function, bool) {
    let mut func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    func.dfg.collect_debug_info();
    let starts = ValueLabelAssignments::Starts(vec![ValueLabelStart {
        from: RelSourceLoc::default(),
        label: ValueLabel::from_u32(3),
    }]);
    let labels = func.dfg.values_labels.as_mut().unwrap();
    labels.insert(Value::from_u32(value), starts.clone());
    clean_up(&mut func, &mut CleanupContext::new());
    let labels = func.dfg.values_labels.as_ref().unwrap();
    let kept = labels.get(&Value::from_u32(on)) == Some(&starts);
    (func, kept)
}

/// A block that only jumps on, behind another jump, as a call at a `try_call` leaves it that was
/// spliced itself.
#[test]
fn the_only_jump_to_a_block_takes_its_labels_over() {
    let text = "
function %f(i32) system_v {
    fn0 = %g() system_v
block0(v0: i32):
    call fn0()
    brif v0, block1, block3(v0)
block1:
    v1 = ineg v0
    jump block2(v1)
block2(v2: i32):
    jump block3(v2)
block3(v3: i32):
    call fn0()
    return
}";
    let (func, kept) = keeps_label(text, 2, 1);
    assert!(kept, "{func}");
    assert_eq!(func.layout.blocks().count(), 3, "{func}");

    // Nor does the branch go past both blocks at once, where the first is another's target too.
    let behind_another = text
        .replace("block3(v0)", "block4")
        .replace("jump block2(v1)", "jump block4")
        .replace("v1 = ineg v0", "v1 = ineg v0\n    call fn0()")
        .replace(
            "block2(v2: i32)",
            "block4:\n    jump block2(v0)\nblock2(v2: i32)",
        );
    let (func, kept) = keeps_label(&behind_another, 2, 0);
    assert!(kept, "{func}");
    assert_eq!(func.layout.blocks().count(), 3, "{func}");

    // Of two jumps neither is the one to have it, and the block goes all the same.
    let two = text
        .replace("jump block2(v1)", "brif v1, block2(v1), block4")
        .replace(
            "block2(v2: i32)",
            "block4:\n    jump block2(v0)\nblock2(v2: i32)",
        );
    let (func, kept) = keeps_label(&two, 2, 1);
    assert!(!kept, "{func}");
    assert_eq!(func.layout.blocks().count(), 3, "{func}");
}

/// Two blocks become one that only jumps on, and the next block uses the parameter of the second,
/// which is then that of the first.
#[test]
fn the_value_of_a_parameter_is_used_where_the_parameter_was() {
    let text = "
function %f(i32, i32) -> i32 system_v {
block0(v0: i32, v1: i32):
    brif v0, block1(v1), block1(v0)
block1(v2: i32):
    jump block2(v2)
block2(v3: i32):
    jump block3(v1)
block3(v4: i32):
    v5 = isub v4, v3
    brif v5, block3(v5), block4
block4:
    return v5
}";
    let (func, kept) = keeps_label(text, 3, 2);
    assert!(kept, "{func}");
    let flags = cranelift_codegen::settings::Flags::new(cranelift_codegen::settings::builder());
    let verified = cranelift_codegen::verify_function(&func, &flags);
    assert!(verified.is_ok(), "{func}{verified:?}");
    assert_eq!(func.layout.blocks().count(), 4, "{func}");
}
