//! The programs whose traces are compared.
//!
//! Every function stores the marks of its virtual frame into its own slots before it calls
//! anything, and every call is tagged in the form of `CountedFrames`: how many tags follow, the
//! function's slots, and a number for the place. One kind of call is different: a `return_call` has
//! the frame `0`, which stands for no frame: without inlining the caller's frame is gone when the
//! callee runs, so it must not be there after inlining either, while the frames around it are.
//!
//! A slot is tagged only once it holds a value.
//!
//! `%probe` notes its arguments and the stack. `%throw` does the same and throws an exception with
//! the tag and the payload that are its arguments. It has the convention `tail`: a `try_call` of
//! any other expects that the unwinder restores the registers which the callee would have, and the
//! hosts do not.

use super::guest::GUEST;
use cranelift_inliner::frames::{CountedFrames, FrameSchema, WasmtimeFrames};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) clif: &'static str,
    /// The arguments of `%main`.
    pub(crate) arguments: &'static [i64],
    /// Whether the tags have Wasmtime's form.
    pub(crate) is_guest: bool,
}

impl Case {
    pub(crate) fn schema(&self) -> &'static dyn FrameSchema {
        match self.is_guest {
            true => &WasmtimeFrames,
            false => &CountedFrames,
        }
    }
}

/// Returns all programs.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain([&GUEST])
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "nesting",
        is_guest: false,
        arguments: &[5],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 1000
    fn0 = %probe(i64, i64) system_v
    fn1 = %a(i64) -> i64 tail
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v1 = iconst.i64 1
    <2, ss0, 1> call fn0(v1, v0)
    v200 = iconst.i64 100
    v2 = iadd v0, v200
    <2, ss0, 2> v3 = call fn1(v2)
    v101 = stack_addr.i64 ss0
    store v3, v101
    <2, ss0, 3> call fn0(v1, v3)
    return v3
}
function %a(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 1100
    ss1 = explicit_slot 16, key = 1101
    fn0 = %probe(i64, i64) system_v
    fn1 = %b(i64, i64) -> i64 tail
block0(v0: i64):
    v200 = iconst.i64 1
    v9 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss1
    store v9, v101
    v102 = stack_addr.i64 ss1+8
    store v0, v102
    v1 = iconst.i64 2
    <3, ss0, ss1, 11> call fn0(v1, v0)
    <3, ss1, ss0, 12> v2 = call fn1(v0, v9)
    v103 = stack_addr.i64 ss0
    store v2, v103
    <3, ss0, ss1, 13> call fn0(v1, v2)
    return v2
}
function %b(i64, i64) -> i64 tail {
    ss0 = explicit_slot 32, align = 16, key = 1200
    fn0 = %probe(i64, i64) system_v
    fn1 = %c(i64) -> i64 fast
block0(v0: i64, v1: i64):
    v2 = imul v0, v1
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    v102 = stack_addr.i64 ss0+16
    store v2, v102
    v103 = stack_addr.i64 ss0+24
    store v0, v103
    <2, ss0, 21> v3 = call fn1(v2)
    <2, ss0, 22> call fn0(v3, v2)
    v4 = iadd v3, v0
    return v4
}
function %c(i64) -> i64 fast {
    ss0 = explicit_slot 8, key = 1300
    fn0 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 7
    v1 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v1, v100
    v2 = iconst.i64 3
    <2, ss0, 31> call fn0(v2, v1)
    <1, 32> call fn0(v2, v0)
    return v1
}",
    },
    Case {
        name: "several copies of a callee",
        is_guest: false,
        arguments: &[3, -40],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 24, key = 2000
    fn0 = %leaf(i64) -> i64 tail
    fn1 = %middle(i64) -> i64 tail
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v0, v101
    v102 = stack_addr.i64 ss0+16
    store v0, v102
    <2, ss0, 1> v1 = call fn0(v0)
    v200 = iconst.i64 1000
    v2 = iadd v1, v200
    <2, ss0, 2> v3 = call fn0(v2)
    v201 = iconst.i64 1000
    v4 = iadd v3, v201
    <2, ss0, 3> v5 = call fn1(v4)
    v202 = iconst.i64 1000
    v6 = iadd v5, v202
    <2, ss0, 4> v7 = call fn1(v6)
    v8 = iadd v1, v7
    return v8
}
function %middle(i64) -> i64 tail {
    ss0 = explicit_slot 16, align = 16, key = 2100
    fn0 = %leaf(i64) -> i64 tail
block0(v0: i64):
    v200 = iconst.i64 17
    v1 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    <2, ss0, 11> v2 = call fn0(v1)
    <2, ss0, 12> v3 = call fn0(v2)
    return v3
}
function %leaf(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 2200
    ss1 = explicit_slot 16, key = 2201
    ss2 = explicit_slot 8, key = 2200
    fn0 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 3
    v1 = imul v0, v200
    v201 = iconst.i64 2
    v2 = iadd v0, v201
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss1
    store v1, v101
    v102 = stack_addr.i64 ss1+8
    store v2, v102
    v103 = stack_addr.i64 ss2
    store v2, v103
    v3 = iconst.i64 9
    <4, ss0, ss1, ss2, 21> call fn0(v3, v1)
    v104 = stack_addr.i64 ss0
    store v1, v104
    <4, ss2, 22, ss1, ss0> call fn0(v3, v2)
    return v2
}",
    },
    Case {
        name: "recursion",
        is_guest: false,
        arguments: &[4, 0, 1, 2, 3],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 3000
    fn0 = %factorial(i64) -> i64 tail
    fn1 = %even(i64) -> i64 tail
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    <2, ss0, 1> v1 = call fn0(v0)
    v200 = iconst.i64 3
    v2 = band v0, v200
    <2, ss0, 2> v3 = call fn1(v2)
    v4 = iadd v1, v3
    return v4
}
function %factorial(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 3100
    fn0 = %factorial(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v1 = iconst.i64 10
    <2, ss0, 11> call fn1(v1, v0)
    brif v0, block1, block2
block1:
    v200 = iconst.i64 -1
    v2 = iadd v0, v200
    <2, ss0, 12> v3 = call fn0(v2)
    v4 = imul v3, v0
    <2, ss0, 13> call fn1(v1, v4)
    return v4
block2:
    v5 = iconst.i64 1
    return v5
}
function %even(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 3200
    fn0 = %odd(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    brif v0, block1, block2
block1:
    v200 = iconst.i64 -1
    v2 = iadd v0, v200
    <2, ss0, 21> v3 = call fn0(v2)
    <2, ss0, 22> call fn1(v3, v0)
    return v3
block2:
    v5 = iconst.i64 1
    <2, ss0, 23> call fn1(v5, v0)
    return v5
}
function %odd(i64) -> i64 tail {
    ss0 = explicit_slot 16, key = 3300
    fn0 = %even(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v1 = imul v0, v0
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    brif v0, block1, block2
block1:
    v200 = iconst.i64 -1
    v2 = iadd v0, v200
    <2, ss0, 31> v3 = call fn0(v2)
    <2, ss0, 32> call fn1(v3, v0)
    return v3
block2:
    v5 = iconst.i64 0
    <2, ss0, 33> call fn1(v5, v0)
    return v5
}",
    },
    Case {
        name: "tail calls",
        is_guest: false,
        arguments: &[6, 0],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 4000
    fn0 = %first(i64) -> i64 tail
    fn1 = %count_down(i64, i64) -> i64 tail
    fn2 = %probe(i64, i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    <2, ss0, 1> v1 = call fn0(v0)
    <2, ss0, 2> v2 = call fn1(v0, v1)
    <2, ss0, 3> call fn2(v1, v2)
    return v2
}
function %first(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 4100
    fn0 = %second(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 50
    v1 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v1, v100
    <2, ss0, 11> call fn1(v0, v1)
    <0> return_call fn0(v1)
}
function %second(i64) -> i64 tail {
    ss0 = explicit_slot 24, key = 4200
    fn0 = %third(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 2
    v1 = imul v0, v200
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    v102 = stack_addr.i64 ss0+16
    store v0, v102
    <2, ss0, 21> call fn1(v0, v1)
    <2, ss0, 22> v2 = call fn0(v1)
    <0> return_call fn0(v2)
}
function %third(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 4300
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 3
    v1 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v1, v100
    <2, ss0, 31> call fn1(v0, v1)
    return v1
}
function %count_down(i64, i64) -> i64 tail {
    ss0 = explicit_slot 16, key = 4400
    fn0 = %count_down(i64, i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
    fn2 = %third(i64) -> i64 tail
block0(v0: i64, v1: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    <2, ss0, 41> call fn1(v0, v1)
    brif v0, block1, block2
block1:
    v200 = iconst.i64 -1
    v2 = iadd v0, v200
    v3 = iadd v1, v0
    <0> return_call fn0(v2, v3)
block2:
    <0> return_call fn2(v1)
}",
    },
    Case {
        name: "loops",
        is_guest: false,
        arguments: &[4],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 5000
    fn0 = %round(i64, i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v1 = iconst.i64 0
    jump block1(v0, v1)
block1(v2: i64, v3: i64):
    v100 = stack_addr.i64 ss0
    store v3, v100
    <2, ss0, 1> v4 = call fn0(v2, v3)
    v200 = iconst.i64 -1
    v5 = iadd v2, v200
    brif v5, block1(v5, v4), block2
block2:
    <2, ss0, 2> call fn1(v4, v2)
    return v4
}
function %round(i64, i64) -> i64 tail {
    ss0 = explicit_slot 16, key = 5100
    fn0 = %step(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64, v1: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    v2 = iconst.i64 2
    jump block1(v2, v1)
block1(v3: i64, v4: i64):
    <2, ss0, 11> v5 = call fn0(v4)
    v102 = stack_addr.i64 ss0+8
    store v5, v102
    v200 = iconst.i64 -1
    v6 = iadd v3, v200
    brif v6, block1(v6, v5), block2
block2:
    v201 = iconst.i64 1
    v7 = band v0, v201
    brif v7, block3, block4
block3:
    <2, ss0, 12> v8 = call fn0(v5)
    return v8
block4:
    <2, ss0, 13> call fn1(v5, v0)
    return v5
}
function %step(i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 5200
    fn0 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 3
    v1 = imul v0, v200
    v201 = iconst.i64 1
    v2 = iadd v1, v201
    v100 = stack_addr.i64 ss0
    store v2, v100
    <2, ss0, 21> call fn0(v0, v2)
    return v2
}",
    },
    Case {
        name: "exceptions",
        is_guest: false,
        arguments: &[1, 2, 3, 5, 7, -19, -18, -17, -15],
        clif: "
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 6000
    fn0 = %catches(i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    <2, ss0, 1> v1 = call fn0(v0)
    v200 = iconst.i64 20
    v2 = iadd v0, v200
    <2, ss0, 2> v3 = call fn0(v2)
    <2, ss0, 3> call fn1(v1, v3)
    return v1
}
function %catches(i64) -> i64 tail {
    ss0 = explicit_slot 16, key = 6100
    sig0 = (i64, i64) -> i64 tail
    fn0 = %between(i64, i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64):
    v200 = iconst.i64 5
    v1 = iadd v0, v200
    v100 = stack_addr.i64 ss0
    store v0, v100
    v101 = stack_addr.i64 ss0+8
    store v1, v101
    <2, ss0, 11> try_call fn0(v0, v1), sig0, block1(ret0), [ tag1: block2(exn0), tag2: block3(exn0), default: block4 ]
block1(v2: i64):
    <2, ss0, 12> call fn1(v0, v2)
    return v2
block2(v3: i64):
    v102 = stack_addr.i64 ss0
    store v3, v102
    <2, ss0, 13> call fn1(v0, v3)
    return v3
block3(v4: i64):
    v201 = iconst.i64 300
    v5 = iadd v4, v201
    <2, ss0, 14> call fn1(v0, v5)
    return v5
block4:
    v6 = iconst.i64 -1
    <2, ss0, 15> call fn1(v0, v6)
    return v6
}
function %between(i64, i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 6200
    sig0 = (i64, i64) -> i64 tail
    fn0 = %throws(i64, i64) -> i64 tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64, v1: i64):
    v100 = stack_addr.i64 ss0
    store v1, v100
    v200 = iconst.i64 1
    v2 = iadd v1, v200
    <2, ss0, 21> try_call fn0(v0, v2), sig0, block1(ret0), [ tag2: block2(exn0) ]
block1(v3: i64):
    <2, ss0, 22> call fn1(v1, v3)
    v202 = iconst.i64 -3
    v6 = iadd v0, v202
    <2, ss0, 23> v4 = call fn0(v6, v3)
    return v4
block2(v5: i64):
    v101 = stack_addr.i64 ss0
    store v5, v101
    <2, ss0, 24> call fn1(v1, v5)
    return v5
}
function %throws(i64, i64) -> i64 tail {
    ss0 = explicit_slot 8, key = 6300
    fn0 = %throw(i64, i64) tail
    fn1 = %probe(i64, i64) system_v
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    v100 = stack_addr.i64 ss0
    store v2, v100
    <2, ss0, 31> call fn1(v0, v1)
    v200 = iconst.i64 4
    v3 = icmp slt v0, v200
    brif v3, block1, block2
block1:
    <2, ss0, 32> call fn0(v0, v2)
    trap user1
block2:
    return v2
}",
    },
];
