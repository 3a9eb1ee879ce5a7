//! Where a caller's table of memory flags is full, the pass keeps the calls and says why.

use super::support::{calls_left, id, isa, program, sites_of};
use cranelift_codegen::ir::{self, Function};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Reason};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::{MemoryPromises, Refusal};

/// `%main` calls `%first`, which needs one set of memory flags, and then `%second`, which needs
/// another.
const LOADS: &str = "
function %first(i64) -> i64 system_v {
    region0 = 17 \"first\"
block0(v0: i64):
    v1 = load.i64 notrap aligned region0 v0
    return v1
}
function %second(i64) -> i64 system_v {
    region0 = 18 \"second\"
block0(v0: i64):
    v1 = load.i64 notrap aligned region0 v0
    return v1
}
function %main(i64) -> i64 system_v {
    fn0 = %first(i64) -> i64 system_v
    fn1 = %second(i64) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}";

/// The capacities of a function.
const MEM_FLAGS: u32 = 65_535;

/// Adds flags to `func` until it holds `count`.
fn fill_mem_flags(func: &mut Function, count: u32) {
    let last = ir::MemFlags::from_u32(count - 1);
    for user_id in 1000.. {
        if func.dfg.mem_flags.is_valid(last) {
            return;
        }
        let region = func.dfg.alias_regions.insert(ir::AliasRegionData {
            user_id,
            description: "".into(),
        });
        let flags = ir::MemFlagsData::new().with_alias_region(Some(region));
        func.dfg.mem_flags.insert(flags).unwrap();
    }
}

/// Returns the program of `LOADS` where `%main` has room for `room` more memory flags.
fn with_room(room: u32) -> Program {
    let original = program(LOADS);
    let mut filled = Program::new();
    for (_, function) in original.iter() {
        let mut body = function.body().as_ref().clone();
        if function.name().to_string() == "%main" {
            fill_mem_flags(&mut body, MEM_FLAGS - room);
        }
        filled.add(body).unwrap();
    }
    filled
}

#[test]
fn calls_whose_memory_flags_have_no_room_stay_calls() {
    for (room, expected) in [(0, [false, false]), (1, [true, false]), (2, [true, true])] {
        let program = with_room(room);
        let main = id(&program, "main");
        let before = program[main].body().as_ref().clone();
        let isa = isa("x86_64");
        let (inlined, compiled) = Inliner::new(Always)
            .memory_promises(MemoryPromises::WholeProgram)
            .verify_with(&*isa)
            .check(true)
            .run_and_compile(&program, &*isa)
            .unwrap();
        let sites = sites_of(&inlined, &program, "main");
        let decisions: Vec<_> = sites.iter().map(|site| site.inlined).collect();
        assert_eq!(decisions, expected, "room for {room}");
        for site in sites.iter().filter(|site| !site.inlined) {
            assert_eq!(
                site.reason,
                Reason::Refused(Box::new(Refusal::MemFlagsFull))
            );
        }
        let left = expected.iter().filter(|&&inlined| !inlined).count();
        assert_eq!(calls_left(&inlined, &program, "main"), left);
        assert!(compiled.get(main).is_some());
        assert!(*program[main].body().as_ref() == before);
        if room == 0 {
            // Not even a copy of it.
            let body = inlined.body(main).unwrap();
            assert!(std::sync::Arc::ptr_eq(body, program[main].body()));
        }
    }
}
