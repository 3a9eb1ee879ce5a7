//! A program in Wasmtime's form for the debugging of guests.
//!
//! Each function has a state slot, whose key names it, with the context, the locals and the operand
//! stack. It checks the stack by the stack pointer, and calls a patchable function before each
//! instruction. Calls have three tags: the slot, a program counter, and the shape of the operand
//! stack. The slot is tagged before all of it is written.
//!
//! The context is the limit of the stack itself, so that its value is the same in each build. With
//! some arguments the check fails in one of the functions.

use super::programs::Case;

pub(crate) const GUEST: Case = Case {
    name: "guest debugging",
    is_guest: true,
    arguments: &[0, 1, 2, 7, 40],
    clif: "
function %main(i64) -> i64 system_v {
    sig0 = (i64 vmctx, i64, i64) -> i64 tail
    fn0 = colocated %outer sig0
block0(v0: i64):
    v1 = iconst.i64 4096
    v2 = iconst.i64 -1
    v3 = iconst.i64 0
    v4 = icmp eq v0, v3
    v5 = select v4, v2, v1
    v6 = call fn0(v5, v5, v0)
    return v6
}
function %breakpoint(i64 vmctx) preserve_all {
    fn0 = %probe(i64, i64) system_v
block0(v0: i64):
    v1 = get_frame_pointer.i64
    v2 = iconst.i64 0
    v3 = icmp eq v1, v2
    trapnz v3, user1
    call fn0(v0, v0)
    return
}
function %raise(i64 vmctx) tail {
    fn0 = %probe(i64, i64) system_v
block0(v0: i64):
    v1 = get_return_address.i64
    v2 = iconst.i64 0
    v3 = icmp eq v1, v2
    trapnz v3, user1
    call fn0(v2, v2)
    return
}
function %outer(i64 vmctx, i64, i64) -> i64 tail {
    ss0 = explicit_slot 36, key = 7000
    region0 = 1 \"Stack(ss0)\"
    sig0 = (i64) preserve_all
    sig1 = (i64 vmctx) tail
    sig2 = (i64 vmctx, i64, i64, i32) -> i64 tail
    fn0 = colocated patchable %breakpoint sig0
    fn1 = colocated %raise sig1
    fn2 = colocated %middle sig2
block0(v0: i64, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0+8
    store notrap region0 v2, v3
    v4 = iconst.i64 0
    v5 = stack_addr.i64 ss0+16
    store notrap region0 v4, v5
    v6 = get_stack_pointer.i64
    v7 = icmp ult v6, v0
    brif v7, block1, block2
block1 cold:
    <ss0, 100, 4294967295> call fn1(v0)
    v8 = iconst.i64 -100
    return v8
block2:
    v9 = stack_addr.i64 ss0
    store.i64 notrap region0 v0, v9
    <ss0, 101, 4294967295> call fn0(v0)
    v10 = iconst.i64 1
    v11 = icmp eq v2, v10
    v12 = iconst.i64 -1
    v13 = select v11, v12, v0
    v14 = ireduce.i32 v2
    v15 = stack_addr.i64 ss0+24
    store notrap region0 v14, v15
    <ss0, 102, 0> call fn0(v0)
    <ss0, 103, 0> v16 = call fn2(v13, v13, v2, v14)
    v17 = stack_addr.i64 ss0+24
    store notrap region0 v16, v17
    <ss0, 104, 1> call fn0(v0)
    v18 = stack_addr.i64 ss0+16
    store notrap region0 v16, v18
    <ss0, 105, 4294967295> call fn0(v0)
    v20 = stack_addr.i64 ss0+32
    store notrap region0 v14, v20
    v21 = stack_addr.i64 ss0+24
    store notrap region0 v16, v21
    <ss0, 106, 2> v22 = call fn2(v13, v13, v16, v14)
    v23 = iadd v16, v22
    v24 = stack_addr.i64 ss0+24
    store notrap region0 v23, v24
    <ss0, 107, 1> call fn0(v0)
    return v23
}
function %middle(i64 vmctx, i64, i64, i32) -> i64 tail {
    ss0 = explicit_slot 36, key = 7001
    region0 = 1 \"Stack(ss0)\"
    sig0 = (i64) preserve_all
    sig1 = (i64 vmctx) tail
    sig2 = (i64 vmctx, i64, i64) -> i64 tail
    fn0 = colocated patchable %breakpoint sig0
    fn1 = colocated %raise sig1
    fn2 = colocated %leaf sig2
block0(v0: i64, v1: i64, v2: i64, v3: i32):
    v4 = stack_addr.i64 ss0+8
    store notrap region0 v2, v4
    v5 = stack_addr.i64 ss0+16
    store notrap region0 v3, v5
    v6 = get_stack_pointer.i64
    v7 = icmp ult v6, v0
    brif v7, block1, block2
block1 cold:
    <ss0, 200, 4294967295> call fn1(v0)
    v8 = iconst.i64 -200
    return v8
block2:
    v9 = stack_addr.i64 ss0
    store.i64 notrap region0 v0, v9
    <ss0, 201, 4294967295> call fn0(v0)
    v10 = iconst.i32 2
    v11 = icmp eq v3, v10
    v12 = iconst.i64 -1
    v13 = select v11, v12, v0
    jump block3(v3, v2)
block3(v14: i32, v15: i64):
    v16 = stack_addr.i64 ss0+20
    store notrap region0 v15, v16
    <ss0, 202, 0> call fn0(v0)
    <ss0, 203, 0> v17 = call fn2(v13, v13, v15)
    v18 = iconst.i32 1
    v19 = ushr v14, v18
    v20 = stack_addr.i64 ss0+16
    store notrap region0 v19, v20
    <ss0, 204, 4294967295> call fn0(v0)
    brif v19, block3(v19, v17), block4
block4:
    v21 = stack_addr.i64 ss0+20
    store notrap region0 v17, v21
    v22 = stack_addr.i64 ss0+28
    store notrap region0 v2, v22
    <ss0, 205, 1> v23 = call fn2(v13, v13, v2)
    v24 = isub v17, v23
    return v24
}
function %leaf(i64 vmctx, i64, i64) -> i64 tail {
    ss0 = explicit_slot 24, key = 7002
    region0 = 1 \"Stack(ss0)\"
    sig0 = (i64) preserve_all
    sig1 = (i64 vmctx) tail
    fn0 = colocated patchable %breakpoint sig0
    fn1 = colocated %raise sig1
block0(v0: i64, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0+8
    store notrap region0 v2, v3
    v4 = get_stack_pointer.i64
    v5 = icmp ult v4, v0
    brif v5, block1, block2
block1 cold:
    <ss0, 300, 4294967295> call fn1(v0)
    v6 = iconst.i64 -300
    return v6
block2:
    v7 = stack_addr.i64 ss0
    store.i64 notrap region0 v0, v7
    <ss0, 301, 4294967295> call fn0(v0)
    v8 = iconst.i64 3
    v9 = imul v2, v8
    v10 = stack_addr.i64 ss0+16
    store notrap region0 v9, v10
    <ss0, 302, 0> call fn0(v0)
    return v9
}",
};
