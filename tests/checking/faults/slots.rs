//! Mistakes with slots that several copies share.

use super::{Base, edited};

pub(super) const SHARED: Base = Base {
    module: include_str!("../modules/slots.clif"),
    shares_slots: true,
    for_program: true,
    cleaned_up: false,
    faults: &[
        edited(
            "a slot shared by copies inside each other",
            &[("v14 = stack_addr.i64 ss11", "v14 = stack_addr.i64 ss1")],
            "with another operand",
        ),
        edited(
            "a slot shared with the caller's own",
            &[("v4 = stack_addr.i64 ss1", "v4 = stack_addr.i64 ss0")],
            "with another operand",
        ),
        edited(
            "two slots of one copy shared",
            &[("v8 = stack_addr.i64 ss6", "v8 = stack_addr.i64 ss4")],
            "with another operand",
        ),
        edited(
            "a slot with a key shared with one without",
            &[("v15 = stack_addr.i64 ss2", "v15 = stack_addr.i64 ss4")],
            "with another operand",
        ),
        edited(
            "slots with different keys shared",
            &[("v15 = stack_addr.i64 ss2", "v15 = stack_addr.i64 ss3")],
            "with another operand",
        ),
        edited(
            "slots of different sizes shared",
            &[("v13 = stack_addr.i64 ss1", "v13 = stack_addr.i64 ss4")],
            "with another operand",
        ),
        edited(
            "slots of different alignments shared",
            &[("v13 = stack_addr.i64 ss1", "v13 = stack_addr.i64 ss5")],
            "with another operand",
        ),
        edited(
            "slots of different alias regions shared",
            &[("v9 = stack_addr.i64 ss7", "v9 = stack_addr.i64 ss1")],
            "with another operand",
        ),
        edited(
            "a slot given away shared with another body's",
            &[("v11 = stack_addr.i64 ss9", "v11 = stack_addr.i64 ss8")],
            "with another operand",
        ),
        edited(
            "a slot given away shared with one that is not",
            &[("v11 = stack_addr.i64 ss9", "v11 = stack_addr.i64 ss1")],
            "with another operand",
        ),
        edited(
            "unused slots with a key shared by copies inside each other",
            &[("ss12 = explicit_slot 16, key = 9\n", "")],
            "with key 9 is missing",
        ),
        edited(
            "more unused slots with a key than copies have",
            &[(
                "ss12 = explicit_slot 16, key = 9\n",
                "ss12 = explicit_slot 16, key = 9\nss13 = explicit_slot 16, key = 9\nss14 = explicit_slot 16, key = 9\n",
            )],
            "comes from nowhere",
        ),
    ],
};
