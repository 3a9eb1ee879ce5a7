//! Backtrace tables.

use cranelift_codegen::ir::SourceLoc;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::backtrace::{
    Backtrace, BacktraceError, BacktraceReader, BacktraceTable, BacktraceWalker,
    FunctionBacktraces, LinkError,
};
use cranelift_inliner::decide::{Always, CostModel, Never};
use cranelift_inliner::frames::CopiedMemory;
use cranelift_inliner::locations::{CodeLocations, LocationMode};
use cranelift_inliner::pass::{CompiledProgram, Inliner};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use std::collections::BTreeMap;
use std::fmt::Write;

const TEXT: &str = "
    function %check(i32) fast {
    block0(v0: i32):
    @0001   trapz v0, user7
    @0002   return
    }
    function u1:2(i32) fast {
        fn0 = %check(i32) fast
        fn1 = %host(i32) fast
    block0(v0: i32):
    @0003   call fn0(v0)
    @0004   call fn1(v0)
    @0005   call fn0(v0)
            return
    }
    function %main(i32, i32) -> i32 fast {
        fn0 = u1:2(i32) fast
        fn1 = %host(i32) fast
    block0(v0: i32, v1: i32):
    @0006   call fn0(v0)
            call fn0(v1)
    @0007   v2 = sdiv v0, v1
            call fn1(v2)
    @0008   return v2
    }";

/// Returns a function with many calls, nearly all at equal distances.
fn repeated(calls: usize) -> String {
    let mut text = String::from(
        "function %repeats() fast {
            fn0 = %host() fast
            fn1 = %other(i32) fast
        block0:
            v0 = iconst.i32 7\n",
    );
    for call in 1..=calls {
        match call % 50 {
            0 => writeln!(text, "@{:04x}   call fn1(v0)", 3 * call),
            _ => writeln!(text, "@{:04x}   call fn0()", 3 * call),
        }
        .unwrap();
    }
    text + "return\n}"
}

struct Built {
    compiled: CompiledProgram,
    starts: BTreeMap<FunctionId, u32>,
    table: BacktraceTable,
}

fn build(text: &str, target_name: &str, inliner: Inliner<'_>) -> Built {
    let program = Program::from_clif(text, "test").unwrap();
    let isa: OwnedTargetIsa = target(target_name, &TargetSettings::new()).unwrap();
    let inliner = inliner.locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let mut starts = BTreeMap::new();
    let mut functions = Vec::new();
    let mut end = 16;
    for (id, code) in compiled.iter() {
        starts.insert(id, end);
        functions.push((
            u64::from(end),
            FunctionBacktraces::of(code, compiled.locations(id).unwrap()).unwrap(),
        ));
        end += u32::try_from(code.code().len()).unwrap();
    }
    // In any order.
    let table = BacktraceTable::link(functions.iter().rev().map(|(at, f)| (*at, f))).unwrap();
    Built {
        compiled,
        starts,
        table,
    }
}

fn places(found: Option<Backtrace<'_>>) -> Option<Vec<(FunctionName, SourceLoc)>> {
    let found = found?.map(|place| {
        let place = place.unwrap();
        (place.function.to_name(), place.location)
    });
    Some(found.collect())
}

/// Looks every offset up in the table, and asks the compiled code itself.
fn check(built: &Built) -> usize {
    let reader = built.table.reader();
    let mut points = 0;
    for (id, code) in built.compiled.iter() {
        let locations = CodeLocations::new(code, built.compiled.locations(id).unwrap());
        let start = built.starts[&id];
        let end = u32::try_from(code.code().len()).unwrap();
        let chain = |places: cranelift_inliner::locations::Chain<'_>| {
            Some(
                places
                    .map(|place| (place.function.clone(), place.location))
                    .collect::<Vec<_>>(),
            )
        };
        for offset in 0..=end {
            let is_call = code.call_sites().any(|call| call.ret_addr == offset);
            if offset > 0 {
                let expected = is_call
                    .then(|| chain(locations.lookup_return_address(offset)))
                    .flatten();
                let found = places(reader.return_address(start + offset).unwrap());
                assert_eq!(found, expected, "after the call before {offset:#x}");
                points += usize::from(is_call);
            }
            let is_trap = code.traps().iter().any(|trap| trap.offset == offset);
            if offset < end {
                let expected = is_trap.then(|| chain(locations.lookup(offset))).flatten();
                assert_eq!(places(reader.trap(start + offset).unwrap()), expected);
                points += usize::from(is_trap);
            }
        }
    }
    assert_eq!(points, reader.point_count() as usize);
    points
}

#[test]
fn each_call_and_trap_has_its_places_on_every_target() {
    for target_name in ["x86_64", "aarch64", "riscv64", "s390x"] {
        let never = check(&build(TEXT, target_name, Inliner::new(Never)));
        let always = check(&build(TEXT, target_name, Inliner::new(Always)));
        assert!(never > 5 && always > 5);
    }
}

#[test]
fn the_modules_that_are_shipped_have_theirs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/modules");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        check(&build(&text, "x86_64", Inliner::new(Always)));
        check(&build(&text, "aarch64", Inliner::new(CostModel::default())));
    }
}

#[test]
fn a_backtrace_has_the_inlined_calls() {
    let built = build(TEXT, "x86_64", Inliner::new(Always));
    let main = built.compiled.iter().next_back().unwrap().0;
    let reader = built.table.reader();
    let code = built.compiled.get(main).unwrap();
    let mut found: Vec<String> = code
        .traps()
        .iter()
        .map(|trap| {
            let places = reader
                .trap(built.starts[&main] + trap.offset)
                .unwrap()
                .unwrap();
            let places = places.map(|place| place.unwrap().to_string());
            places.collect::<Vec<_>>().join(" < ")
        })
        .collect();
    found.sort();
    found.dedup();
    // The second check of a value needs no code.
    assert_eq!(
        found,
        [
            "%check @0001 < u1:2 @0003 < %main",
            "%check @0001 < u1:2 @0003 < %main @0006",
            "%main @0007",
        ]
    );
}

#[test]
fn a_common_step_takes_one_byte() {
    let never = || Inliner::new(Never);
    let [few, many] = [200, 1200].map(|calls| build(&repeated(calls), "x86_64", never()));
    assert_eq!([check(&few), check(&many)], [200, 1200]);
    let grown = many.table.bytes().len() - few.table.bytes().len();
    // A byte per call, 20 steps that occur twice in 50, and 8 blocks of 11 bytes at most.
    assert!(
        grown < 1000 + 20 * 2 * 2 + 8 * 11,
        "{grown} bytes for 1000 calls"
    );
}

/// Whatever the bytes are, reading ends, and without a panic.
#[test]
fn corrupt_bytes_are_errors_or_other_places() {
    for text in [TEXT.to_owned(), repeated(20)] {
        read_corrupt(&build(&text, "x86_64", Inliner::new(Always)).table);
    }
}

fn read_corrupt(table: &BacktraceTable) {
    let bytes = table.bytes();
    let read_all = |bytes: &[u8]| -> Result<(), BacktraceError> {
        let reader = BacktraceReader::new(bytes)?;
        let mut worst = Ok(());
        for offset in 0..reader.text_bytes().min(2000) {
            for found in [reader.trap(offset), reader.return_address(offset)] {
                match found {
                    Ok(Some(mut places)) => {
                        // A chain is never longer than there are places.
                        let error = places.by_ref().take(1000).find_map(Result::err);
                        assert!(places.next().is_none());
                        worst = worst.and(error.map_or(Ok(()), Err));
                    }
                    Ok(None) => {}
                    Err(error) => worst = Err(error),
                }
            }
        }
        worst
    };
    assert_eq!(read_all(bytes), Ok(()));
    let mut refused = 0;
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= change;
            refused += usize::from(read_all(&bytes).is_err());
        }
        assert!(
            BacktraceReader::new(&bytes[..at]).is_err(),
            "the first {at} bytes"
        );
    }
    assert!(
        refused > bytes.len() / 4,
        "{refused} of {} refused",
        3 * bytes.len()
    );
    assert_eq!(
        BacktraceReader::new(b"CLIFRAME").err(),
        Some(BacktraceError::NotATable)
    );
}

#[test]
fn functions_must_not_overlap_or_lie_too_far() {
    let built = build(TEXT, "x86_64", Inliner::new(Never));
    let functions: Vec<FunctionBacktraces> = built
        .compiled
        .iter()
        .map(|(id, code)| {
            FunctionBacktraces::of(code, built.compiled.locations(id).unwrap()).unwrap()
        })
        .collect();
    let error = BacktraceTable::link([(0, &functions[0]), (1, &functions[1])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "%check and u1:2 overlap at text offset 0x1"
    );
    let far = BacktraceTable::link([((1 << 31) - 1, &functions[0])]).unwrap_err();
    assert!(matches!(far, LinkError::TooLarge { .. }));
    assert!(BacktraceTable::link([(u64::MAX, &functions[0])]).is_err());
}

#[test]
fn the_same_functions_give_the_same_bytes() {
    let one = build(TEXT, "aarch64", Inliner::new(Always)).table;
    let other = build(TEXT, "aarch64", Inliner::new(Always)).table;
    assert_eq!(one, other);
    let mut longer = one.bytes().to_vec();
    longer.extend([0xff; 7]);
    let reader = BacktraceReader::new(&longer).unwrap();
    assert_eq!(reader.table_bytes(), one.bytes().len());
}

#[test]
fn a_walk_goes_from_the_trap_to_the_outermost_frame() {
    let built = build(TEXT, "x86_64", Inliner::new(Never));
    let ids: Vec<FunctionId> = built.compiled.iter().map(|(id, _)| id).collect();
    let [check, middle, main] = ids[..] else {
        panic!()
    };
    let start = |id| u64::from(built.starts[&id]);
    let trap = built.compiled.get(check).unwrap().traps()[0].offset;
    let return_to = |id, index: usize| {
        let code = built.compiled.get(id).unwrap();
        let call = code.call_sites().nth(index).unwrap();
        start(id) + u64::from(call.ret_addr)
    };
    const TEXT_AT: u64 = 0x40_0000;
    // Three frames, and one of the host.
    let words = [
        0x9020,
        TEXT_AT + return_to(middle, 0),
        0,
        0,
        0x9040,
        TEXT_AT + return_to(main, 0),
        0,
        0,
        0x9060,
        0x10,
    ];
    let stack: Vec<u8> = words
        .iter()
        .flat_map(|word: &u64| word.to_le_bytes())
        .collect();
    let stack = CopiedMemory::new(0x9000, &stack);
    let pc = TEXT_AT + start(check) + u64::from(trap);
    let walk = BacktraceWalker::from_trap(built.table.reader(), TEXT_AT, stack, pc, 0x9000);
    let frames: Vec<String> = walk
        .flat_map(|frame| frame.unwrap().places.unwrap())
        .map(|place| place.unwrap().to_string())
        .collect();
    assert_eq!(frames, ["%check @0001", "u1:2 @0003", "%main @0006"]);
    // The stack ends where the second frame should be.
    let short = CopiedMemory::new(0x9000, &[0x20, 0x90, 0, 0, 0, 0, 0, 0]);
    let mut walk = BacktraceWalker::from_trap(built.table.reader(), TEXT_AT, short, pc, 0x9000);
    assert!(walk.next().unwrap().is_err());
    assert!(walk.next().is_none());
}
