//! Mistakes with tags, stack maps, source locations and cold blocks.

use super::{Base, edited};

pub(super) const METADATA: Base = Base {
    module: include_str!("../modules/metadata.clif"),
    shares_slots: false,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "tags lost",
            &[("<4, 3, ss1, 2> v12", "v12")],
            "its tags are <> instead of",
        ),
        edited(
            "the call's tags missing",
            &[("<4, 3, ss1, 2> v12", "<2> v12")],
            "its tags are <2> instead of",
        ),
        edited(
            "the outermost frame's tags missing",
            &[(
                "<4, 3, ss1, 1, ss3> sequence_point",
                "<3, ss1, 1, ss3> sequence_point",
            )],
            "its tags are",
        ),
        edited(
            "tags from the inside out",
            &[("<4, 3, ss1, 2> v12", "<2, 3, ss1, 4> v12")],
            "its tags are",
        ),
        edited(
            "own tags before the call's",
            &[(
                "<4, 3, ss1, 1, ss3> sequence_point",
                "<1, ss3, 4, 3, ss1> sequence_point",
            )],
            "its tags are",
        ),
        edited(
            "the slot in a tag not translated",
            &[("<1, ss2> sequence_point", "<1, ss0> sequence_point")],
            "its tags are",
        ),
        edited(
            "the slot in a tag is another copy's",
            &[("<1, ss2> sequence_point", "<1, ss3> sequence_point")],
            "its tags are",
        ),
        edited(
            "the slot in an inherited tag not translated",
            &[("<4, 3, ss1, 2> v12", "<4, 3, ss0, 2> v12")],
            "its tags are",
        ),
        edited(
            "the call's tags on a copy that has none around it",
            &[("<2> v9", "<4, 2> v9")],
            "its tags are",
        ),
        edited(
            "a tag's number changed",
            &[("<2> v9", "<3> v9")],
            "its tags are",
        ),
        edited(
            "a sequence point dropped",
            &[("<1, ss2> sequence_point\n", "")],
            "became",
        ),
        edited(
            "a sequence point moved",
            &[(
                "@0101 store v0, v11\n<4, 3, ss1, 2> v12",
                "<4, 3, ss1, 1, ss3> sequence_point\n@0101 store v0, v11\n<4, 3, ss1, 2> v12",
            )],
            "became",
        ),
        edited(
            "the references of the outer frame lost",
            &[(
                "stack_map=[i64 @ ss0+0, i64 @ ss1+8, i64 @ ss3+0]",
                "stack_map=[i64 @ ss1+8, i64 @ ss3+0]",
            )],
            "stack map",
        ),
        edited(
            "the references of the copy lost",
            &[(
                "stack_map=[i64 @ ss0+0, i64 @ ss1+8, i64 @ ss3+0]",
                "stack_map=[i64 @ ss0+0, i64 @ ss1+8]",
            )],
            "stack map",
        ),
        edited(
            "a stack map lost",
            &[(", stack_map=[i64 @ ss2+0]", "")],
            "stack map",
        ),
        edited(
            "a stack map not translated",
            &[("stack_map=[i64 @ ss2+0]", "stack_map=[i64 @ ss0+0]")],
            "stack map",
        ),
        edited(
            "an offset in a stack map changed",
            &[("i64 @ ss1+8, i64 @ ss3+0]", "i64 @ ss1+0, i64 @ ss3+0]")],
            "stack map",
        ),
        edited(
            "a type in a stack map changed",
            &[("stack_map=[i64 @ ss2+0]", "stack_map=[i32 @ ss2+0]")],
            "stack map",
        ),
        edited(
            "a source location taken over from the caller",
            &[("@0102 v13 = iadd", "@0302 v13 = iadd")],
            "source location is",
        ),
        edited(
            "a source location lost",
            &[("@0302 v4 = iadd", "v4 = iadd")],
            "source location is",
        ),
        edited(
            "a cold mark of the copy lost",
            &[("block4 cold:", "block4:")],
            "no longer cold",
        ),
        edited(
            "a cold mark of the caller lost",
            &[("block1 cold:", "block1:")],
            "no longer cold",
        ),
    ],
};

pub(super) const METADATA_CLEANED_UP: Base = Base {
    module: include_str!("../modules/metadata.clif"),
    shares_slots: false,
    for_program: false,
    cleaned_up: true,
    faults: &[
        edited(
            "a threaded edge passes another value",
            &[(
                "brif v6, block4, block6(v13)",
                "brif v6, block4, block6(v0)",
            )],
            "with another operand",
        ),
        edited(
            "a cold side taken over by the hot one",
            &[(
                "brif v6, block4, block6(v13)",
                "brif v6, block6(v13), block4",
            )],
            "became `v7 = iadd",
        ),
        edited(
            "tags lost when blocks were merged",
            &[("<4, 3, ss1, 1, ss3> sequence_point", "sequence_point")],
            "its tags are",
        ),
    ],
};
