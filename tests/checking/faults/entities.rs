//! Mistakes with memory, slots, globals, callees and structures.

use super::{Base, edited};

pub(super) const MEMORY: Base = Base {
    module: include_str!("../modules/memory.clif"),
    shares_slots: false,
    for_program: true,
    cleaned_up: false,
    faults: &[
        edited(
            "an offset changed",
            &[(
                "load.i32 notrap aligned region0 v3+8",
                "load.i32 notrap aligned region0 v3",
            )],
            "became",
        ),
        edited(
            "an offset of a slot's address changed",
            &[("v8 = stack_addr.i64 ss1", "v8 = stack_addr.i64 ss1+4")],
            "became",
        ),
        edited(
            "an alias region lost",
            &[(
                "load.i32 notrap aligned region0 v3+8",
                "load.i32 notrap aligned v3+8",
            )],
            "with another operand",
        ),
        edited(
            "notrap lost",
            &[(
                "load.i32 notrap aligned region0 v3+8",
                "load.i32 aligned region0 v3+8",
            )],
            "with another operand",
        ),
        edited(
            "the flags of another access",
            &[(
                "load.i32 notrap aligned region0 v3+8",
                "load.i32 notrap aligned readonly region0 v3+8",
            )],
            "with another operand",
        ),
        edited(
            "an alias region has another meaning",
            &[("region0 = 5 \"heap\"", "region0 = 6 \"heap\"")],
            "with another operand",
        ),
        edited(
            "an endianness lost",
            &[("store little v9, v8+4", "store v9, v8+4")],
            "with another operand",
        ),
        edited(
            "an endianness turned round",
            &[("store little v9, v8+4", "store big v9, v8+4")],
            "with another operand",
        ),
        edited(
            "an atomic operation changed",
            &[("atomic_rmw.i32 add v10, v13", "atomic_rmw.i32 sub v10, v13")],
            "became",
        ),
        edited(
            "an address and a value taken for each other",
            &[("store v22, v23", "store v23, v22")],
            "with another operand",
        ),
        edited(
            "a wrong function's address",
            &[("v15 = func_addr.i64 fn3", "v15 = func_addr.i64 fn2")],
            "with another operand",
        ),
        edited(
            "a callee is no longer colocated",
            &[("fn2 = colocated %extern sig2", "fn2 = %extern sig2")],
            "another callee",
        ),
        edited(
            "a call names the callee's function number",
            &[("v13 = call fn3(v12, v2)", "v13 = call fn0(v12, v2)")],
            "another callee",
        ),
        edited(
            "an indirect call through another signature",
            &[
                (
                    "sig2 = (i32, i32) -> i32 system_v\nfn0",
                    "sig2 = (i32, i32) -> i32 system_v\nsig3 = (i32, i32) -> i32 fast\nfn0",
                ),
                ("call_indirect sig2, v15", "call_indirect sig3, v15"),
            ],
            "another signature",
        ),
        edited(
            "arguments of an indirect call swapped",
            &[("v15(v14, v13)", "v15(v13, v14)")],
            "other arguments",
        ),
        edited(
            "a vector constant changed",
            &[(
                "const0 = 0x000102030405060708090a0b0c0d0e0f",
                "const0 = 0x000102030405060708090a0b0c0d0e0e",
            )],
            "with another operand",
        ),
        edited(
            "a shuffle mask changed",
            &[(
                "shuffle v17, v19, 0x17161514131211100706050403020100",
                "shuffle v17, v19, 0x17161514131211100706050403020101",
            )],
            "with another operand",
        ),
        edited(
            "a lane changed",
            &[("v21 = extractlane v20, 3", "v21 = extractlane v20, 2")],
            "became",
        ),
        edited(
            "a width of an extension changed",
            &[("v22 = uextend.i32 v21", "v22 = sextend.i32 v21")],
            "became",
        ),
        edited(
            "two copies share a stack slot",
            &[("v26 = stack_addr.i64 ss5", "v26 = stack_addr.i64 ss1")],
            "with another operand",
        ),
        edited(
            "a copy uses the caller's stack slot",
            &[("v8 = stack_addr.i64 ss1", "v8 = stack_addr.i64 ss0")],
            "with another operand",
        ),
        edited(
            "two slots of a copy taken for one",
            &[("v23 = stack_addr.i64 ss2", "v23 = stack_addr.i64 ss3")],
            "with another operand",
        ),
        edited(
            "a slot's size changed",
            &[(
                "ss1 = explicit_slot 8, align = 8",
                "ss1 = explicit_slot 4, align = 8",
            )],
            "with another operand",
        ),
        edited(
            "a slot's alignment lost",
            &[("ss1 = explicit_slot 8, align = 8", "ss1 = explicit_slot 8")],
            "with another operand",
        ),
        edited(
            "a slot's key lost",
            &[("ss2 = explicit_slot 4, key = 7", "ss2 = explicit_slot 4")],
            "with another operand",
        ),
        edited(
            "a key on the wrong slot",
            &[(
                "ss1 = explicit_slot 8, align = 8\nss2 = explicit_slot 4, key = 7",
                "ss1 = explicit_slot 8, align = 8, key = 7\nss2 = explicit_slot 4",
            )],
            "with another operand",
        ),
        edited(
            "keys of two slots swapped",
            &[(
                "ss2 = explicit_slot 4, key = 7\nss3 = explicit_slot 4, key = 8\nss4",
                "ss2 = explicit_slot 4, key = 8\nss3 = explicit_slot 4, key = 7\nss4",
            )],
            "with another operand",
        ),
        edited(
            "an unused slot with a key dropped",
            &[("ss7 = explicit_slot 4, key = 8\n", "")],
            "with key 8 is missing",
        ),
        edited(
            "an unused slot with a key has another size",
            &[(
                "ss7 = explicit_slot 4, key = 8\n",
                "ss7 = explicit_slot 16, key = 8\n",
            )],
            "with key 8 is missing",
        ),
        edited(
            "an unused slot with a key has another alignment",
            &[(
                "ss7 = explicit_slot 4, key = 8\n",
                "ss7 = explicit_slot 4, align = 4, key = 8\n",
            )],
            "with key 8 is missing",
        ),
        edited(
            "a keyed slot of an empty body dropped",
            &[(
                "ss4 = explicit_slot 16, key = 99\n",
                "ss4 = explicit_slot 16\n",
            )],
            "with key 99 is missing",
        ),
        edited(
            "a slot with a key from nowhere",
            &[(
                "ss7 = explicit_slot 4, key = 8\n",
                "ss7 = explicit_slot 4, key = 8\nss8 = explicit_slot 4, key = 8\n",
            )],
            "comes from nowhere",
        ),
        edited(
            "the caller's vmctx instead of the argument",
            &[(
                "v28 = load.i64 notrap aligned readonly v5+16",
                "v28 = symbol_value.i64 gv1",
            )],
            "computed in another way",
        ),
        edited(
            "the base of a global value is wrong",
            &[(
                "v28 = load.i64 notrap aligned readonly v5+16",
                "v28 = load.i64 notrap aligned readonly v1+16",
            )],
            "computed in another way",
        ),
        edited(
            "the offset of a global value is wrong",
            &[(
                "v28 = load.i64 notrap aligned readonly v5+16",
                "v28 = load.i64 notrap aligned readonly v5+8",
            )],
            "computed in another way",
        ),
        edited(
            "the flags of a global value lost",
            &[(
                "v28 = load.i64 notrap aligned readonly v5+16",
                "v28 = load.i64 notrap aligned v5+16",
            )],
            "computed in another way",
        ),
        edited(
            "a global value has another offset",
            &[(
                "gv2 = symbol colocated %data+8",
                "gv2 = symbol colocated %data",
            )],
            "with another operand",
        ),
        edited(
            "a global value is another symbol",
            &[(
                "gv2 = symbol colocated %data+8",
                "gv2 = symbol colocated %date+8",
            )],
            "with another operand",
        ),
        edited(
            "a symbol is no longer colocated",
            &[("gv2 = symbol colocated %data+8", "gv2 = symbol %data+8")],
            "with another operand",
        ),
        edited(
            "a load moved past a store",
            &[(
                "store v2, v3\nv8 = stack_addr.i64 ss1\nv9 = load.i32 notrap aligned region0 v3+8\n",
                "v8 = stack_addr.i64 ss1\nv9 = load.i32 notrap aligned region0 v3+8\nstore v2, v3\n",
            )],
            "became",
        ),
        edited(
            "a load moved across a call",
            &[
                (
                    "v12 = call fn2(v9, v2)\n",
                    "v5 = load.i64 v0\nv12 = call fn2(v9, v2)\n",
                ),
                ("v4 -> v25\nv5 = load.i64 v0\n", "v4 -> v25\n"),
            ],
            "did not become a call",
        ),
        edited(
            "two calls exchanged",
            &[(
                "v12 = call fn2(v9, v2)\nv13 = call fn3(v12, v2)",
                "v13 = call fn3(v9, v2)\nv12 = call fn2(v13, v2)",
            )],
            "became",
        ),
        edited(
            "the width of a load changed",
            &[(
                "v24 = load.i32 v11\nv25 = iadd v24, v22",
                "v24 = uload16.i32 v11\nv25 = iadd v24, v22",
            )],
            "became",
        ),
        edited(
            "a float constant changed",
            &[(
                "f64const 0x1.8000000000000p0",
                "f64const 0x1.0000000000000p0",
            )],
            "became",
        ),
        edited(
            "a store dropped",
            &[("store v22, v23\n", "")],
            "became `v24 = load",
        ),
        edited(
            "a store done twice",
            &[("store v22, v23\n", "store v22, v23\nstore v22, v23\n")],
            "became",
        ),
        edited(
            "the result of the first copy returned",
            &[("return v6", "return v4")],
            "with another operand",
        ),
    ],
};

pub(super) const MEMORY_CLEANED_UP: Base = Base {
    module: include_str!("../modules/memory.clif"),
    shares_slots: false,
    for_program: true,
    cleaned_up: true,
    faults: &[
        edited(
            "a keyed slot that nothing names dropped by clean-up",
            &[("ss7 = explicit_slot 4, key = 8\n", "")],
            "with key 8 is missing",
        ),
        edited(
            "slots renumbered in one place only",
            &[("v26 = stack_addr.i64 ss5", "v26 = stack_addr.i64 ss0")],
            "with another operand",
        ),
    ],
};

pub(super) const STRUCTURES: Base = Base {
    module: include_str!("../modules/structures.clif"),
    shares_slots: false,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "a structure is copied short",
            &[("v12 = load.i32 notrap v0+8\nstore notrap v12, v10+8\n", "")],
            "structure",
        ),
        edited(
            "a structure is not copied: shared with the caller",
            &[(
                "v10 = stack_addr.i64 ss0\nv11 = load.i64 notrap v0\nstore notrap v11, v10\nv12 = load.i32 notrap v0+8\nstore notrap v12, v10+8\n",
                "v10 -> v0\n",
            )],
            "not copied to a slot",
        ),
        edited(
            "a structure is copied from another argument",
            &[("v11 = load.i64 notrap v0\n", "v11 = load.i64 notrap v1\n")],
            "not loaded",
        ),
        edited(
            "a structure is copied to another structure's slot",
            &[("v14 = stack_addr.i64 ss1", "v14 = stack_addr.i64 ss0")],
            "not its own",
        ),
        edited(
            "a structure's slot is too small",
            &[(
                "ss0 = explicit_slot 12, align = 16",
                "ss0 = explicit_slot 8, align = 16",
            )],
            "not its own",
        ),
        edited(
            "a structure's slot is not aligned",
            &[(
                "ss0 = explicit_slot 12, align = 16",
                "ss0 = explicit_slot 12",
            )],
            "aligned",
        ),
        edited(
            "a structure is copied to the wrong offset",
            &[("store notrap v12, v10+8", "store notrap v12, v10+4")],
            "not stored",
        ),
        edited(
            "a structure is stored where it came from",
            &[("store notrap v11, v10\n", "store notrap v11, v0\n")],
            "not stored",
        ),
        edited(
            "the body works on the original",
            &[("v13 = load.i32 v10", "v13 = load.i32 v0")],
            "with another operand",
        ),
        edited(
            "a copying loop ends early",
            &[("v26 = iconst.i64 136", "v26 = iconst.i64 128")],
            "structure",
        ),
        edited(
            "a copying loop starts late",
            &[("v20 = iconst.i64 0", "v20 = iconst.i64 8")],
            "structure",
        ),
        edited(
            "a copying loop skips words",
            &[("v24 = iconst.i64 8", "v24 = iconst.i64 16")],
            "structure",
        ),
        edited(
            "a copying loop does not go on",
            &[(
                "brif v27, block7(v25), block8",
                "brif v27, block7(v19), block8",
            )],
            "structure",
        ),
        edited(
            "a copying loop starts from another value",
            &[("jump block7(v20) ; v20 = 0", "jump block7(v18)")],
            "structure",
        ),
        edited(
            "a copying loop counts with a sign",
            &[("v27 = icmp ult v25, v26", "v27 = icmp slt v25, v26")],
            "structure",
        ),
        edited(
            "a copying loop writes elsewhere",
            &[("v22 = iadd.i64 v18, v19", "v22 = iadd.i64 v0, v19")],
            "structure",
        ),
        edited(
            "a structure is read with another byte order",
            &[(
                "v11 = load.i64 notrap v0\n",
                "v11 = load.i64 big notrap v0\n",
            )],
            "structure",
        ),
        edited(
            "a structure is read as if it never changed",
            &[(
                "v15 = load.i64 notrap v1\nstore notrap v15",
                "v15 = load.i64 notrap aligned readonly can_move v1\nstore notrap v15",
            )],
            "structure",
        ),
    ],
};
