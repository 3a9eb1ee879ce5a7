//! Labels of parameters whose block the optimised function has several times.

use cranelift_codegen::ir::{
    Function, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::check::{Alone, Unproved, check_optimized};

const BEFORE: &str = "
function %f(i32) -> i32, i64 system_v {
block0(v0: i32):
    v1 = iconst.i64 5
    brif v0, block1(v0), block2
block2:
    v2 = iconst.i32 7
    jump block1(v2)
block1(v3: i32):
    v4 = iadd v1, v1
    v5 = icmp eq v4, v4
    brif v5, block4, block3(v1, v3)
block4:
    jump block3(v4, v3)
block3(v6: i64, v7: i32):
    return v7, v6
}";

/// Each way has a copy of `block1`.
const AFTER: &str = "
function %f(i32) -> i32, i64 system_v {
block0(v0: i32):
    v1 = iconst.i64 5
    brif v0, block1, block2
block2:
    v2 = iconst.i32 7
    v8 = iadd v1, v1
    jump block3(v8, v2)
block1:
    v4 = iadd v1, v1
    jump block3(v4, v0)
block3(v6: i64, v9: i32):
    return v9, v6
}";

fn labelled(text: &str, values: &[u32]) -> Function {
    let mut func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    func.dfg.collect_debug_info();
    let all = func.dfg.values_labels.as_mut().unwrap();
    for &value in values {
        let start = ValueLabelStart {
            from: RelSourceLoc::default(),
            label: ValueLabel::from_u32(1),
        };
        let starts = ValueLabelAssignments::Starts(vec![start]);
        all.insert(Value::from_u32(value), starts);
    }
    func
}

fn prove(before: &[u32], after: &[u32]) -> Result<(), Unproved> {
    let (before, after) = (labelled(BEFORE, before), labelled(AFTER, after));
    check_optimized(&before, &after, &Alone(None))
}

/// The parameter `v3` is `v0` or `v2`, and `v9` where the ways meet again.
#[test]
fn the_label_goes_to_each_value_and_to_where_they_meet() {
    assert_eq!(prove(&[3], &[0, 2, 9]), Ok(()));
}

#[test]
fn it_goes_to_no_other_value() {
    for wrong in [1, 4, 6, 8] {
        let unproved = prove(&[3], &[0, 2, 9, wrong]).unwrap_err();
        assert!(unproved.to_string().contains("from nowhere"), "{unproved}");
    }
}
