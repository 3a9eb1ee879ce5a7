//! Mistakes with handlers, tail calls and addresses of handlers.

use super::{Base, edited};

pub(super) const EXCEPTIONS: Base = Base {
    module: include_str!("../modules/exceptions.clif"),
    shares_slots: true,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "a call not turned into a try_call",
            &[(
                "try_call fn3(v0), sig5, block9(ret0, ret1), [ tag1: block2(exn0, v1), default: block3(exn0) ]",
                "v50, v51 = call fn3(v0)\njump block9(v50, v51)",
            )],
            "another kind of call",
        ),
        edited(
            "handlers in another order",
            &[(
                "[ tag7: block7(exn0), tag8: block8(exn1), tag1",
                "[ tag8: block8(exn1), tag7: block7(exn0), tag1",
            )],
            "has another item",
        ),
        edited(
            "the caller's handlers before the callee's",
            &[(
                "[ tag7: block7(exn0), tag8: block8(exn1), tag1: block2(exn0, v1), default: block3(exn0) ]",
                "[ tag1: block2(exn0, v1), tag7: block7(exn0), tag8: block8(exn1), default: block3(exn0) ]",
            )],
            "has another item",
        ),
        edited(
            "a tag lost in an exception table",
            &[(
                "tag8: block8(exn1), tag1: block2(exn0, v1), ",
                "tag8: block8(exn1), ",
            )],
            "items instead of 4",
        ),
        edited(
            "the default handler missing",
            &[(
                "tag8: block8(exn1), tag1: block2(exn0, v1), default: block3(exn0) ]",
                "tag8: block8(exn1), tag1: block2(exn0, v1) ]",
            )],
            "items instead of 4",
        ),
        edited(
            "a tag changed",
            &[("[ tag7: block7(exn0), tag8", "[ tag6: block7(exn0), tag8")],
            "has another item",
        ),
        edited(
            "the default handler became a tag",
            &[(
                "tag8: block8(exn1), tag1: block2(exn0, v1), default: block3(exn0)",
                "tag8: block8(exn1), tag1: block2(exn0, v1), tag2: block3(exn0)",
            )],
            "has another item",
        ),
        edited(
            "a handler goes to the wrong block",
            &[(
                "try_call fn4(v12), sig1, block10(ret0), [ tag1: block2(exn0, v1), default: block3(exn0) ]",
                "try_call fn4(v12), sig1, block10(ret0), [ tag1: block2(exn0, v1), default: block7(exn0) ]",
            )],
            "became `v4 = isub",
        ),
        edited(
            "a handler gets the other payload",
            &[("[ tag7: block7(exn0), tag8", "[ tag7: block7(exn1), tag8")],
            "with another operand",
        ),
        edited(
            "a handler gets a wrong argument",
            &[(
                "[ tag1: block2(exn0, v1), default: block3(exn0) ]\n\nblock9",
                "[ tag1: block2(exn0, v0), default: block3(exn0) ]\n\nblock9",
            )],
            "with another operand",
        ),
        edited(
            "a context lost",
            &[(
                "[ context v1, tag5: block3(exn1) ]",
                "[ tag5: block3(exn1) ]",
            )],
            "items instead of 2",
        ),
        edited(
            "a context is another value",
            &[(
                "[ context v1, tag5: block3(exn1) ]",
                "[ context v0, tag5: block3(exn1) ]",
            )],
            "has another item",
        ),
        edited(
            "a context behind its tags",
            &[(
                "[ context v1, tag5: block3(exn1) ]",
                "[ tag5: block3(exn1), context v1 ]",
            )],
            "has another item",
        ),
        edited(
            "the normal return gets the results swapped",
            &[("block6(ret1, ret0)", "block6(ret0, ret1)")],
            "other arguments",
        ),
        edited(
            "the normal edge goes past the copy",
            &[(
                "try_call fn4(v12), sig1, block10(ret0)",
                "try_call fn4(v12), sig1, block1(v0, ret0)",
            )],
            "became `v4 = isub",
        ),
        edited(
            "the normal edge is an exceptional one",
            &[(
                "try_call fn4(v12), sig1, block10(ret0)",
                "try_call fn4(v12), sig1, block7(ret0)",
            )],
            "became `v4 = isub",
        ),
        edited(
            "a tail call stays one though the caller goes on",
            &[(
                "v20 = call fn4(v7)\nv9 -> v20\ntry_call fn2(v9), sig1, block4(ret0), [ context v1, tag5: block3(exn1) ]",
                "return_call fn4(v7)",
            )],
            "another kind of call",
        ),
        edited(
            "a tail call became a call",
            &[("return_call fn4(v4)", "v50 = call fn4(v4)\nreturn v50")],
            "another kind of call",
        ),
        edited(
            "a tail call with handlers became a plain call",
            &[(
                "try_call fn4(v12), sig1, block10(ret0), [ tag1: block2(exn0, v1), default: block3(exn0) ]",
                "v50 = call fn4(v12)\njump block10(v50)",
            )],
            "another kind of call",
        ),
        edited(
            "a call got handlers that nobody asked for",
            &[(
                "v20 = call fn4(v7)\nv9 -> v20\n",
                "try_call fn4(v7), sig1, block11(ret0), [ default: block3(exn0) ]\n\nblock11(v20: i64):\nv9 -> v20\n",
            )],
            "another kind of call",
        ),
        edited(
            "a handler's address names another block",
            &[(
                "get_exception_handler_address.i64 block5, 0",
                "get_exception_handler_address.i64 block6, 0",
            )],
            "names another block",
        ),
        edited(
            "a handler's address names the caller's block",
            &[(
                "get_exception_handler_address.i64 block5, 0",
                "get_exception_handler_address.i64 block0, 0",
            )],
            "names another block",
        ),
        edited(
            "a handler's address names another handler",
            &[(
                "get_exception_handler_address.i64 block5, 0",
                "get_exception_handler_address.i64 block5, 1",
            )],
            "became",
        ),
        edited(
            "a handler's address became null",
            &[(
                "v17 = get_exception_handler_address.i64 block5, 0",
                "v17 = iconst.i64 0",
            )],
            "names another block",
        ),
        edited(
            "a try_call has another signature",
            &[
                (
                    "sig5 = (i64) -> i64, i64 tail",
                    "sig5 = (i64) -> i64, i64 tail\nsig6 = (i64 uext) -> i64 tail",
                ),
                ("try_call fn4(v12), sig1", "try_call fn4(v12), sig6"),
            ],
            "another signature",
        ),
        edited(
            "a return of the copy returns from the caller",
            &[(
                "block7(v13: i64):\njump block1(v0, v13)",
                "block7(v13: i64):\nreturn v13",
            )],
            "two paths lead to it",
        ),
        edited(
            "a trap code of a handler changed",
            &[("trap user9", "trap user8")],
            "became",
        ),
    ],
};

pub(super) const EXCEPTIONS_CLEANED_UP: Base = Base {
    module: include_str!("../modules/exceptions.clif"),
    shares_slots: true,
    for_program: false,
    cleaned_up: true,
    faults: &[
        edited(
            "a threaded handler passes the wrong value",
            &[("tag7: block1(v0, exn0)", "tag7: block1(exn0, v0)")],
            "with another operand",
        ),
        edited(
            "a threaded handler goes to another handler",
            &[("tag7: block1(v0, exn0)", "tag7: block8(exn0)")],
            "two paths lead to it",
        ),
        edited(
            "a handler's address names the block before it was merged",
            &[(
                "get_exception_handler_address.i64 block9, 0",
                "get_exception_handler_address.i64 block0, 0",
            )],
            "names another block",
        ),
    ],
};
