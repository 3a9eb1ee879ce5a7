//! Flags whose promises do not hold at their new places.

use super::{Base, edited};

pub(super) const PROMISES: Base = Base {
    module: include_str!("../modules/promises.clif"),
    shares_slots: false,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "a copy promises that memory is not written",
            &[("load.i64 notrap v1+16", "load.i64 notrap readonly v1+16")],
            "does not make",
        ),
        edited(
            "a copy promises that its load can move",
            &[("load.i64 notrap v1+16", "load.i64 notrap can_move v1+16")],
            "does not make",
        ),
        edited(
            "a copy loads through its own region",
            &[("load.i64 notrap v1+16", "load.i64 notrap region0 v1+16")],
            "with another operand",
        ),
        edited(
            "a copy stores through its own region",
            &[("store v10, v1+24", "store region0 v10, v1+24")],
            "with another operand",
        ),
        edited(
            "the caller stores through its region beside a copy",
            &[("store v3, v1\n", "store region0 v3, v1\n")],
            "though a copy may access",
        ),
        edited(
            "a load of the caller loses its region",
            &[("load.i64 region0 v1+32", "load.i64 v1+32")],
            "with another operand",
        ),
        edited(
            "a load of the caller may move past a check that was a call",
            &[(
                "load.i64 notrap readonly v5",
                "load.i64 notrap readonly can_move v5",
            )],
            "known earlier",
        ),
        edited(
            "a load of the caller is not readonly any more",
            &[("load.i64 notrap readonly v5", "load.i64 notrap v5")],
            "with another operand",
        ),
        edited(
            "a copy promises with half of the caller's flags",
            &[(
                "v9 = load.i64 notrap aligned readonly can_move region0 v0+8",
                "v9 = load.i64 notrap aligned readonly region0 v0+8",
            )],
            "does not make",
        ),
    ],
};

pub(super) const STRUCTURES_AND_REGIONS: Base = Base {
    module: include_str!("../modules/structures_and_regions.clif"),
    shares_slots: false,
    for_program: true,
    cleaned_up: false,
    faults: &[
        edited(
            "a structure is copied past a store to a region",
            &[("istore8 notrap v3, v3\n", "")],
            "past stores to alias regions",
        ),
        edited(
            "a store before the copy of a structure has a region",
            &[("istore8 notrap v3, v3", "istore8 notrap region0 v3, v3")],
            "past stores to alias regions",
        ),
        edited(
            "a structure is loaded through a region",
            &[("load.i64 notrap v0\n", "load.i64 notrap region0 v0\n")],
            "not loaded",
        ),
        edited(
            "a copied structure is said not to be written",
            &[(
                "load.i64 notrap region0 v3",
                "load.i64 notrap readonly can_move region0 v3",
            )],
            "which is copied",
        ),
        edited(
            "other memory is not said to be readonly any more",
            &[(
                "load.i64 notrap readonly can_move region0 v1",
                "load.i64 notrap readonly region0 v1",
            )],
            "with another operand",
        ),
    ],
};
