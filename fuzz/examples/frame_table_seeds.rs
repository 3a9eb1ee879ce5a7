//! Writes the frame table of each named module to the folder named last, as seeds for the target
//! `frame_table`.
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example frame_table_seeds -- \
//!     fuzz/seeds/clif_text/tags.clif fuzz/seeds/frame_table
//! ```

use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::Always;
use cranelift_inliner::frames::{FixedFrames, FrameTableBuilder};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let folder = paths
        .pop()
        .ok_or("usage: frame_table_seeds MODULE.clif… FOLDER")?;
    for path in &paths {
        let program = Program::from_clif(&std::fs::read_to_string(path)?, path)?;
        let name = Path::new(path).file_stem().ok_or("a module has a name")?;
        std::fs::write(Path::new(&folder).join(name), table(&program)?)?;
    }
    Ok(())
}

fn table(program: &Program) -> Result<Vec<u8>, Box<dyn Error>> {
    let isa = target("x64", &TargetSettings::new())?;
    let (_, compiled) = Inliner::new(Always).run_and_compile(program, &*isa)?;

    // Each tag is a separate frame, so that few tags make deep stacks.
    let mut builder = FrameTableBuilder::new(FixedFrames::new(1));
    for (_, function) in program.iter() {
        let name = function.name().to_string();
        builder.describe_slots(function.body(), |_, _| Some(name.as_bytes()))?;
    }
    let mut offsets = vec![None; program.len()];
    let mut next = 0_u64;
    for (id, function) in compiled.iter() {
        builder.add(u64::from(id.as_u32()), function)?;
        offsets[id.as_u32() as usize] = Some(next);
        next += function.code().len() as u64;
    }
    let offset = |identity| {
        let index = usize::try_from(identity).ok()?;
        offsets.get(index).copied().flatten()
    };
    Ok(builder.link(offset)?.into_bytes())
}
