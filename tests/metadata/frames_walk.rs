//! Walking stacks that were made by hand, sound ones and broken ones.

use cranelift_codegen::MachDebugTagPos;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, TargetSettings, compile_function, target,
};
use cranelift_inliner::frames::{
    CopiedMemory, FixedFrames, FrameTable, FrameTableBuilder, FrameTag, SlotReadError, StackWalker,
    UnreadableMemory, WalkError, WalkStart,
};

const TEXT: u64 = 0x40_0000;
const STACK: u64 = 0x7000;

/// Returns `%f` with one tagged call, at the text's start, and where that call returns to.
fn table() -> (FrameTable, u64) {
    let function = cranelift_reader::parse_functions(
        "function %f(i64) -> i64 fast {
             ss0 = explicit_slot 16, key = 3
             fn0 = colocated %g(i64) -> i64 fast
         block0(v0: i64):
             <ss0, 7> v1 = call fn0(v0)
             return v1
         }",
    )
    .unwrap()
    .remove(0);
    let isa = target("host", &TargetSettings::new()).unwrap();
    let compiled: CompiledFunction =
        compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
    let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
    builder.add(9, &compiled).unwrap();
    let call = compiled.call_sites().next().unwrap().ret_addr;
    let table = builder.link(|_| Some(0)).unwrap();
    (table, TEXT + u64::from(call))
}

/// Returns a stack of words from [`STACK`] on.
fn stack(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn walk(table: &FrameTable, bytes: &[u8], pc: u64, fp: u64) -> Vec<Result<u64, WalkError>> {
    let memory = CopiedMemory::new(STACK, bytes);
    let start = WalkStart {
        pc,
        fp,
        position: MachDebugTagPos::Post,
    };
    let walker = StackWalker::new(table.reader(), TEXT, memory, start).limit(4);
    walker.map(|frame| frame.map(|frame| frame.fp)).collect()
}

#[test]
fn frames_are_followed_to_the_end_of_the_text() {
    let (table, call) = table();
    // Two frames of %f, 32 bytes apart, then one of unknown code.
    let bytes = stack(&[STACK + 32, call, 0, 0, 0xdead_beef, 0x1234]);
    assert_eq!(
        walk(&table, &bytes, call, STACK),
        [Ok(STACK), Ok(STACK + 32)]
    );
    assert_eq!(walk(&table, &bytes, TEXT - 1, STACK), []);
    assert_eq!(
        walk(&table, &bytes, TEXT, STACK),
        [],
        "before the first byte"
    );
    assert_eq!(walk(&table, &bytes, u64::MAX, STACK), []);

    let memory = CopiedMemory::new(STACK, &bytes);
    let start = WalkStart {
        pc: call,
        fp: STACK,
        position: MachDebugTagPos::Post,
    };
    let walker = || StackWalker::new(table.reader(), TEXT, memory, start);
    let identities = walker().map(|frame| frame.unwrap().function.identity);
    assert_eq!(identities.collect::<Vec<_>>(), [9, 9]);
    assert_eq!(walker().stop_at(STACK + 32).count(), 1);
    assert_eq!(walker().stop_at(STACK).count(), 0);
    assert_eq!(walker().virtual_frames().count(), 2);

    // The same address as that of an instruction has no tags, but it is in the text.
    let start = WalkStart {
        position: MachDebugTagPos::Pre,
        ..start
    };
    let mut walker = StackWalker::new(table.reader(), TEXT, memory, start);
    assert!(walker.next().unwrap().unwrap().frames.is_none());
}

#[test]
fn slots_are_read_within_their_bounds() {
    let (table, call) = table();
    let point = table
        .reader()
        .lookup((call - TEXT) as u32, MachDebugTagPos::Post);
    let frame = point.unwrap().unwrap().innermost_first().next().unwrap();
    let FrameTag::Slot(slot) = frame.unwrap().tags().next().unwrap().unwrap() else {
        panic!("the first tag is a slot")
    };
    assert_eq!(slot.size, 16);
    let fp = STACK + 64;
    let base = slot.address(fp).unwrap();
    let memory = CopiedMemory::new(base, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let mut word = [0; 4];
    slot.read(fp, &memory, 4, &mut word).unwrap();
    assert_eq!(word, [5, 6, 7, 8]);
    // A reference to memory is memory, too.
    slot.read(fp, &&memory, 0, &mut word).unwrap();
    assert_eq!(word, [1, 2, 3, 4]);
    let unreadable = UnreadableMemory {
        address: base + 8,
        length: 4,
    };
    assert_eq!(
        slot.read(fp, &memory, 8, &mut word),
        Err(SlotReadError::Memory(unreadable))
    );
    // The last word is in the slot still.
    let last = UnreadableMemory {
        address: base + 12,
        length: 4,
    };
    assert_eq!(
        slot.read(fp, &memory, 12, &mut word),
        Err(SlotReadError::Memory(last))
    );
    let outside = SlotReadError::OutOfSlot {
        start: 14,
        end: 18,
        size: 16,
    };
    assert_eq!(slot.read(fp, &memory, 14, &mut word), Err(outside));
    assert!(slot.read(fp, &memory, u64::MAX, &mut word).is_err());
    let overflow = SlotReadError::AddressOverflow {
        fp: 0,
        fp_offset: slot.fp_offset,
    };
    assert_eq!(slot.read(0, &memory, 0, &mut word), Err(overflow));
}

#[test]
fn broken_chains_are_errors() {
    let (table, call) = table();
    let misaligned = walk(&table, &stack(&[STACK + 20, call, 0, 0]), call, STACK);
    assert_eq!(
        misaligned,
        [Ok(STACK), Err(WalkError::Misaligned { fp: STACK + 20 })]
    );
    let itself = walk(&table, &stack(&[STACK, call]), call, STACK);
    let looped = WalkError::NotAscending {
        fp: STACK,
        next: STACK,
    };
    assert_eq!(itself, [Err(looped)]);
    let unreadable = UnreadableMemory {
        address: STACK + 1024,
        length: 16,
    };
    let beyond = walk(&table, &stack(&[STACK + 1024, call]), call, STACK);
    assert_eq!(beyond, [Ok(STACK), Err(WalkError::Memory(unreadable))]);
    let mut words = Vec::new();
    for frame in 1..10 {
        words.extend([STACK + frame * 16, call]);
    }
    let long = walk(&table, &stack(&words), call, STACK);
    assert_eq!(long.len(), 5);
    assert_eq!(long[4], Err(WalkError::TooManyFrames { limit: 4 }));
}
