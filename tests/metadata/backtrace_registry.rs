//! The registry of tables of code that comes and goes.

use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::backtrace::{
    BacktraceFrame, BacktraceRegistry, BacktraceTable, BacktraceWalkError, FunctionBacktraces,
};
use cranelift_inliner::debug_info::{LineIsLocation, symbolize};
use cranelift_inliner::decide::Always;
use cranelift_inliner::frames::CopiedMemory;
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A table of a text, and the places in it.
struct Text {
    table: Arc<BacktraceTable>,
    size: u64,
    trap: u64,
    after_call: u64,
}

/// Makes a text in which `%check` traps at `line` and is inlined at the line 5; it ends with a
/// call.
fn text(line: u32) -> Text {
    let source = format!(
        "
function %check(i32) system_v {{
block0(v0: i32):
@{line:04x} trapz v0, user7
    return
}}
function %main(i32) system_v {{
    fn0 = %check(i32) system_v
    fn1 = %host() system_v
block0(v0: i32):
@0005 call fn0(v0)
@0006 call fn1()
    return
}}"
    );
    let program = Program::from_clif(&source, "text").unwrap();
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let main = program.id(&"%main".parse().unwrap()).unwrap();
    let (code, locations) = (
        compiled.get(main).unwrap(),
        compiled.locations(main).unwrap(),
    );
    let function = FunctionBacktraces::of(code, locations).unwrap();
    let after_call = code.call_sites().next().unwrap().ret_addr;
    Text {
        table: Arc::new(BacktraceTable::link([(0, &function)]).unwrap()),
        size: code.code().len() as u64,
        trap: u64::from(code.traps()[0].offset),
        after_call: u64::from(after_call),
    }
}

/// Returns the lines at a trap, innermost first; `None` if no text has the address.
fn trap_lines(registry: &BacktraceRegistry, pc: u64) -> Option<Vec<u64>> {
    let source = LineIsLocation::new("text", "/");
    registry.at_trap(pc, |text| {
        let places = text.reader.trap(text.offset).unwrap().unwrap();
        let frames = symbolize(places, &source).unwrap();
        frames.iter().map(|frame| frame.line).collect()
    })
}

#[test]
fn texts_are_found_by_their_addresses_until_they_go() {
    let registry = BacktraceRegistry::new();
    let texts: Vec<Text> = (16..116).map(text).collect();
    let address = |number: usize| 0x10_0000 + number as u64 * 0x1000;
    let mut registrations: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let start = address(number);
            Some(registry.register(start..start + text.size, Arc::clone(&text.table)))
        })
        .collect();
    let found = |number: usize| trap_lines(&registry, address(number) + texts[number].trap);
    for number in 0..texts.len() {
        assert_eq!(found(number), Some(vec![16 + number as u64, 5]));
    }
    assert_eq!(trap_lines(&registry, address(3) + texts[3].size), None);
    assert_eq!(trap_lines(&registry, 0), None);
    // Every second goes, and another takes the first one's place.
    for registration in registrations.iter_mut().step_by(2) {
        *registration = None;
    }
    for number in 0..texts.len() {
        assert_eq!(found(number).is_some(), number % 2 == 1);
    }
    let start = address(0);
    let _again = registry.register(start..start + texts[9].size, Arc::clone(&texts[9].table));
    assert_eq!(
        trap_lines(&registry, start + texts[9].trap),
        Some(vec![25, 5])
    );
}

/// A signal handler may look up, and allocating there is undefined behaviour.
#[test]
fn look_ups_and_walks_allocate_nothing() {
    let registry = BacktraceRegistry::new();
    let texts: Vec<Text> = (16..80).map(text).collect();
    let at = |number: usize| 0x10_0000 + number as u64 * 0x1000;
    let registrations: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let start = at(number);
            registry.register(start..start + text.size, Arc::clone(&text.table))
        })
        .collect();
    let stack: Vec<u8> = [0x9010, at(7) + texts[7].after_call, 0x9020, 0x10]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    let mut places = 0;
    let allocations = allocation_counter::measure(|| {
        for (number, text) in texts.iter().enumerate() {
            let pc = at(number) + text.trap;
            registry.at_trap(pc, |text| {
                let found = text.reader.trap(text.offset).unwrap().unwrap();
                found.for_each(|place| places += usize::from(place.is_ok()));
            });
            let pc = at(number) + text.after_call;
            registry.at_return_address(pc, |text| {
                let found = text.reader.return_address(text.offset).unwrap().unwrap();
                found.for_each(|place| places += usize::from(place.is_ok()));
            });
        }
        let memory = CopiedMemory::new(0x9000, &stack);
        let result = registry.walk_from_trap(memory, at(3) + texts[3].trap, 0x9000, |frame| {
            places += frame.places.unwrap().count();
        });
        assert_eq!(result, Ok(()));
    });
    assert_eq!(allocations.count_total, 0);
    assert_eq!(places, 64 * 3 + 3);
    drop(registrations);
}

/// Of two texts at one address, the one that stays is found after the other has gone.
#[test]
fn a_registration_removes_its_own_text_only() {
    let registry = BacktraceRegistry::new();
    let (one, other) = (text(16), text(17));
    let first = registry.register(0x1000..0x1000 + one.size, one.table);
    let second = registry.register(0x1000..0x1000 + other.size, Arc::clone(&other.table));
    // An empty text hides no other.
    let empty = registry.register(0x1001..0x1001, other.table);
    drop(first);
    assert_eq!(
        trap_lines(&registry, 0x1000 + other.trap),
        Some(vec![17, 5])
    );
    drop(second);
    assert_eq!(trap_lines(&registry, 0x1000 + other.trap), None);
    drop(empty);
}

#[test]
fn a_call_belongs_to_the_text_that_it_is_in() {
    let registry = BacktraceRegistry::new();
    let (one, other) = (text(16), text(17));
    // The second text begins where the call of the first returns to.
    let middle = 0x1000 + one.after_call;
    let _one = registry.register(0x1000..middle, one.table);
    let _other = registry.register(middle..middle + other.size, other.table);
    let after_call = registry.at_return_address(middle, |text| (text.address, text.offset));
    assert_eq!(after_call, Some((0x1000, one.after_call as u32)));
    let at_start = registry.at_trap(middle, |text| (text.address, text.offset));
    assert_eq!(at_start, Some((middle, 0)));
    assert!(registry.at_return_address(0, |_| ()).is_none());
}

/// A JIT that defines functions whenever some are due has many texts.
#[test]
fn a_walk_goes_across_texts() {
    let registry = BacktraceRegistry::new();
    let texts: Vec<Text> = (16..19).map(text).collect();
    let at = |number: usize| 0x4000 - number as u64 * 0x1000;
    let registrations: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            // The last has more addresses than its table.
            let end = at(number) + text.size + 64 * (number / 2) as u64;
            registry.register(at(number)..end, Arc::clone(&text.table))
        })
        .collect();
    let after_call = |number: usize| at(number) + texts[number].after_call;
    // The first text has two frames, and behind the last one is a host's.
    let words = [
        (0x9010u64, after_call(0)),
        (0x9020, after_call(1)),
        (0x9030, after_call(2)),
        (0x9040, 0x10),
    ];
    let words = words.iter().flat_map(|&(fp, pc)| [fp, pc]);
    let stack: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    let source = LineIsLocation::new("text", "/");
    let walk = |stack: &[u8], from_trap: bool| {
        let mut lines = Vec::new();
        let frame = |frame: BacktraceFrame<'_>| {
            let frames = symbolize(frame.places.unwrap(), &source).unwrap();
            lines.extend(frames.iter().map(|frame| frame.line));
        };
        let stack = CopiedMemory::new(0x9000, stack);
        let result = match from_trap {
            true => registry.walk_from_trap(stack, at(0) + texts[0].trap, 0x9000, frame),
            false => registry.walk_from_return_address(stack, after_call(0), 0x9010, frame),
        };
        (lines, result)
    };
    assert_eq!(walk(&stack, true), (vec![16, 5, 6, 6, 6], Ok(())));
    assert_eq!(walk(&stack, false), (vec![6, 6, 6], Ok(())));
    // The stack ends in the second frame.
    let (lines, result) = walk(&stack[..16], true);
    assert_eq!(lines, [16, 5]);
    assert!(matches!(result, Err(BacktraceWalkError::Memory(_))));
    // The end of the last one's addresses is not in its table.
    let nothing = CopiedMemory::new(0, &[]);
    let end = at(2) + texts[2].size + 8;
    let result = registry.walk_from_trap(nothing, end, 0x9000, |_| panic!("no frame"));
    assert_eq!(result, Ok(()));
    drop(registrations);
    assert_eq!(walk(&stack, true), (Vec::new(), Ok(())));
}

/// Texts come and go at two addresses while others look there: they find one of the texts that
/// were ever at that address, or none.
#[test]
fn a_look_up_beside_changes_finds_a_whole_text_or_none() {
    let registry = BacktraceRegistry::new();
    let texts: Vec<Text> = (16..20).map(text).collect();
    let is_over = AtomicBool::new(false);
    let (registry, texts, is_over) = (&registry, &texts, &is_over);
    thread::scope(|scope| {
        for half in 0..2_usize {
            scope.spawn(move || {
                let start = 0x1000 * (1 + half as u64);
                for round in 0..2_000 {
                    let text = &texts[2 * half + round % 2];
                    let table = Arc::clone(&text.table);
                    let registration = registry.register(start..start + text.size, table);
                    drop(registration);
                }
                is_over.store(true, Ordering::Release);
            });
        }
        for half in 0..2_usize {
            scope.spawn(move || {
                let pc = 0x1000 * (1 + half as u64) + texts[0].trap;
                while !is_over.load(Ordering::Acquire) {
                    if let Some(lines) = trap_lines(registry, pc) {
                        let own = 16 + 2 * half as u64;
                        assert!(lines == [own, 5] || lines == [own + 1, 5], "{lines:?}");
                    }
                }
            });
        }
    });
}

/// A text stays found while others come and go in the place before it, at higher addresses.
#[test]
fn texts_that_come_and_go_hide_no_other() {
    let registry = BacktraceRegistry::new();
    let (one, other) = (text(16), text(17));
    let first = registry.register(0x9000..0x9000 + one.size, Arc::clone(&one.table));
    let _stays = registry.register(0x1000..0x1000 + other.size, other.table);
    drop(first);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                drop(registry.register(0x9000..0x9000 + one.size, Arc::clone(&one.table)));
            }
        });
        let mut missed = 0;
        for _ in 0..200_000 {
            missed += u32::from(registry.at_trap(0x1000 + other.trap, |_| ()).is_none());
        }
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(missed, 0);
    });
}
