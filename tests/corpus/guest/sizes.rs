//! The size of the frame table, and of Wasmtime's own for the same code.
//!
//! Wasmtime's table, in the section `.wasmtime.frame`, has four numbers; for each slot of a
//! compiled function a range of descriptor bytes and a distance, 12 bytes; for each program point
//! its offset and where its frames begin, 8 bytes; for each frame of each point 12 bytes; and the
//! descriptors, padded to 4 bytes. A descriptor has 16 bytes, 5 for each local and 9 for each shape
//! of the operand stack. It is there once for each slot. This is the format of `wasmtime_environ`'s
//! `FrameTableBuilder`, without its table of breakpoint patches.

use super::for_each_debugged;
use cranelift_codegen::ir::{DebugTag, Function, InstructionData, Opcode, StackSlot};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{Always, CostModel, Inline, Never};
use cranelift_inliner::frames::{FrameTableBuilder, FrameTag, WasmtimeFrames};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Sizes in bytes.
struct Sizes {
    code: usize,
    points: usize,
    frames: usize,
    ours: usize,
    theirs: usize,
}

/// Returns the bytes of the descriptor of the slot that a function's tags refer to, by its key.
fn descriptor(body: &Function) -> Option<(u64, usize)> {
    let mut slot: Option<StackSlot> = None;
    let (mut locals, mut shapes) = (BTreeSet::new(), 0);
    let blocks = body.layout.blocks();
    for inst in blocks.flat_map(|block| body.layout.block_insts(block)) {
        if let &[.., DebugTag::StackSlot(tagged), _, DebugTag::User(shape)] =
            body.debug_tags.get(inst)
        {
            slot = Some(tagged);
            shapes = shapes.max(shape.wrapping_add(1));
        }
        // The locals are stored first, each at its own address.
        if let InstructionData::StackAddr { offset, .. } = body.dfg.insts[inst]
            && slot.is_none()
        {
            debug_assert_eq!(body.dfg.insts[inst].opcode(), Opcode::StackAddr);
            locals.insert(i32::from(offset));
        }
    }
    let key = body.sized_stack_slots.get(slot?)?.key?.bits();
    Some((key, 16 + 5 * locals.len() + 9 * shapes as usize))
}

fn measure(program: &Program, policy: impl Inline + 'static) -> Sizes {
    let isa = target("x64", &TargetSettings::new().opt_level(OptLevel::Speed)).unwrap();
    let mut options = SpliceOptions::default();
    options.allow_stack_pointer = true;
    let inliner = Inliner::new(policy)
        .splice_options(options)
        .optimize(Optimize::All);
    let (_, compiled) = inliner.run_and_compile(program, &*isa).unwrap();
    let bodies = program.iter().map(|(_, function)| function.body());
    let descriptors: BTreeMap<u64, usize> = bodies.filter_map(|body| descriptor(body)).collect();

    let mut builder = FrameTableBuilder::new(WasmtimeFrames);
    for (_, function) in program.iter() {
        let described = builder.describe_slots(function.body(), |_, slot| {
            let key = slot.key?.bits();
            let mut bytes = key.to_le_bytes().to_vec();
            bytes.resize(*descriptors.get(&key)?, 0);
            Some(bytes)
        });
        described.unwrap();
    }
    let mut offsets = BTreeMap::new();
    let mut code = 0;
    for (id, function) in compiled.iter() {
        builder.add(id.as_u32().into(), function).unwrap();
        offsets.insert(u64::from(id.as_u32()), code as u64);
        code += function.code().len().next_multiple_of(16);
    }
    let table = builder.link(|id| offsets.get(&id).copied()).unwrap();

    let reader = table.reader();
    let mut places = BTreeSet::new();
    let mut slots = BTreeSet::new();
    let mut frames = 0;
    for point in reader.points() {
        let point = point.unwrap();
        // Of several points at one place Wasmtime keeps one.
        if !places.insert((point.offset, format!("{:?}", point.position))) {
            continue;
        }
        let function = reader.function_at(point.offset.saturating_sub(1)).unwrap();
        let function = function.unwrap().identity;
        for frame in point.frames.outermost_first() {
            frames += 1;
            let tag = frame.unwrap().tags().next().unwrap().unwrap();
            let FrameTag::Slot(slot) = tag else {
                panic!("{tag:?}")
            };
            slots.insert((function, slot.fp_offset, slot.key.unwrap().bits()));
        }
    }
    let of_slots = slots.iter().map(|(_, _, key)| descriptors[key]);
    let of_slots: usize = of_slots.sum();
    Sizes {
        code,
        points: places.len(),
        frames,
        ours: table.bytes().len(),
        theirs: 16
            + 12 * slots.len()
            + 8 * places.len()
            + 12 * frames
            + of_slots.next_multiple_of(4),
    }
}

fn report(name: &str, text: &str) {
    let program = Program::from_clif(text, name).unwrap();
    let sizes = [
        ("never", measure(&program, Never)),
        ("cost", measure(&program, CostModel::default())),
        ("always", measure(&program, Always)),
    ];
    for (policy, sizes) in sizes {
        println!(
            "| `{name}` | `{policy}` | {} | {} | {} | {} | {} | {:.1} % |",
            sizes.code,
            sizes.points,
            sizes.frames,
            sizes.theirs,
            sizes.ours,
            100.0 * sizes.ours as f64 / sizes.theirs as f64
        );
        assert!(sizes.ours < sizes.theirs, "{name}, {policy}");
    }
}

#[test]
fn the_table_is_smaller_than_wasmtimes() {
    for_each_debugged(report);
}

/// A module of this repository, so small that both headers show.
#[test]
fn a_small_table_is_not_much_larger_than_wasmtimes() {
    let path = Path::new(crate::ROOT).join("examples/modules/checked_debug.clif");
    let text = std::fs::read_to_string(path).unwrap();
    let program = Program::from_clif(&text, "checked_debug.clif").unwrap();
    let (never, always) = (measure(&program, Never), measure(&program, Always));
    for sizes in [&never, &always] {
        assert!(sizes.points > 0 && sizes.frames >= sizes.points);
        println!("{} of {} bytes", sizes.ours, sizes.theirs);
    }
    assert!(never.ours < never.theirs + 128);
    assert!(always.frames > never.frames && always.ours < always.theirs);
}
