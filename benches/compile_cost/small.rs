//! Small modules, like those of a JIT that compiles a few functions at a time.

use cranelift_inliner::program::{Linkage, Program, ProgramFunction};
use std::fmt::Write as _;

const SIZES: [usize; 4] = [5, 10, 20, 50];

pub(crate) fn names() -> Vec<String> {
    let sizes = SIZES.into_iter();
    sizes
        .flat_map(|size| ["exported", "local"].map(|linkage| format!("{size}-{linkage}")))
        .collect()
}

/// Returns the module of this name: its functions are all exported, or only the last one.
pub(crate) fn program(name: &str) -> Option<Program> {
    let (size, linkage) = name.split_once('-')?;
    let size: usize = size.parse().ok()?;
    let mut text = String::new();
    for index in 0..size {
        function(index, size, &mut text);
    }
    let mut program = Program::new();
    for (index, body) in cranelift_reader::parse_functions(&text)
        .ok()?
        .into_iter()
        .enumerate()
    {
        let linkage = match linkage == "local" && index + 1 < size {
            true => Linkage::Local,
            false => Linkage::Exported,
        };
        let function = ProgramFunction::new(body).with_linkage(linkage);
        program.add_function(function).ok()?;
    }
    Some(program)
}

/// Writes a function of one of seven kinds, which calls some of those before it.
fn function(index: usize, size: usize, text: &mut String) {
    let (near, far) = (index.saturating_sub(1), index / 2);
    let kind = match index + 1 == size {
        true => 6,
        false => index % 6,
    };
    let _ = writeln!(text, "function %f{index}(i64, i64) -> i64 fast {{");
    for (number, callee) in [near, far, index].into_iter().enumerate() {
        let _ = writeln!(text, "    fn{number} = %f{callee}(i64, i64) -> i64 fast");
    }
    text.push_str(BODIES[kind]);
    text.push_str("}\n");
}

const BODIES: [&str; 7] = [
    // Arithmetic.
    "block0(v0: i64, v1: i64):
        v9 = iconst.i64 31
        v2 = imul v0, v9
        v3 = bxor v2, v1
        v4 = ushr v3, v9
        v5 = iadd v3, v4
        return v5
    ",
    // A field that is read, changed and written.
    "block0(v0: i64, v1: i64):
        v2 = load.i64 v0+8
        v3 = icmp ult v2, v1
        brif v3, block1, block2
    block1:
        v4 = iadd v2, v1
        store v4, v0+8
        return v4
    block2:
        v5 = load.i64 v0+16
        v9 = iconst.i64 1
        v6 = iadd v5, v9
        store v6, v0+16
        return v6
    ",
    // A loop with a call.
    "block0(v0: i64, v1: i64):
        v2 = iconst.i64 0
        jump block1(v2, v2)
    block1(v3: i64, v4: i64):
        v5 = icmp slt v3, v1
        brif v5, block2, block3
    block2:
        v6 = call fn0(v0, v3)
        v7 = iadd v4, v6
        v9 = iconst.i64 1
        v8 = iadd v3, v9
        jump block1(v8, v7)
    block3:
        return v4
    ",
    // Recursion.
    "block0(v0: i64, v1: i64):
        v2 = iconst.i64 2
        v3 = icmp slt v0, v2
        brif v3, block1, block2
    block1:
        return v1
    block2:
        v9 = iconst.i64 -1
        v4 = iadd v0, v9
        v5 = call fn2(v4, v1)
        v6 = iadd v4, v9
        v7 = call fn2(v6, v5)
        v8 = iadd v5, v7
        return v8
    ",
    // Two calls and a choice.
    "block0(v0: i64, v1: i64):
        v2 = call fn0(v0, v1)
        v3 = icmp sgt v2, v1
        brif v3, block1, block2(v2)
    block1:
        v4 = call fn1(v1, v0)
        v5 = isub v2, v4
        jump block2(v5)
    block2(v6: i64):
        v7 = iconst.i64 1000
        v8 = srem v6, v7
        return v8
    ",
    // A table of cases.
    "block0(v0: i64, v1: i64):
        v9 = iconst.i64 3
        v2 = band v0, v9
        v3 = ireduce.i32 v2
        br_table v3, block4, [block1, block2, block3]
    block1:
        v4 = iadd v0, v1
        return v4
    block2:
        v5 = isub v0, v1
        return v5
    block3:
        v6 = imul v0, v1
        return v6
    block4:
        v7 = call fn0(v1, v0)
        return v7
    ",
    // The entry.
    "block0(v0: i64, v1: i64):
        v2 = iconst.i64 25
        v3 = call fn0(v2, v1)
        v4 = call fn1(v3, v2)
        v5 = iadd v3, v4
        return v5
    ",
];
