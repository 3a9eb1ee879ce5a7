//! Inlines across a CLIF module and prints the result.
//!
//! ```text
//! cargo run --example inline_module
//! ```
//!
//! The function [`inline_module`] contains all calls of the library; the rest prints.

use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::{CompiledProgram, Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::error::Error;

const NORM: &str = "
function %square(i32) -> i32 fast {
block0(v0: i32):
    v1 = imul v0, v0
    return v1
}

function %norm(i32, i32) -> i32 fast {
    fn0 = %square(i32) -> i32 fast
block0(v0: i32, v1: i32):
    v2 = call fn0(v0)
    v3 = call fn0(v1)
    v4 = iadd v2, v3
    return v4
}
";

/// Reads a module in which only `entry` is called from outside, inlines, verifies and compiles.
fn inline_module(text: &str, entry: &str) -> Result<(Inlined, CompiledProgram), Box<dyn Error>> {
    use cranelift_inliner::backend::{TargetSettings, target};

    let mut program = Program::from_clif(text, "module")?;
    program.export_only(&[entry.parse()?])?;
    let isa = target("host", &TargetSettings::new())?;
    let inliner = Inliner::new(CostModel::default()).verify_with(&*isa);
    Ok(inliner.run_and_compile(&program, &*isa)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (inlined, compiled) = inline_module(NORM, "norm")?;
    println!("{}", inlined.program().to_clif()?);
    for site in inlined.sites() {
        let verb = if site.inlined { "inlined" } else { "kept" };
        println!("; {} {verb}: {}", site.callee, site.reason);
    }
    println!("; {} bytes of code", compiled.code_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NORM, inline_module};

    #[test]
    fn one_function_without_calls_is_left() {
        let (inlined, compiled) = inline_module(NORM, "norm").unwrap();
        assert_eq!(inlined.program().len(), 1);
        assert_eq!(compiled.iter().len(), 1);
        assert!(!inlined.program().to_clif().unwrap().contains("call"));
        assert!(inlined.sites().all(|site| site.inlined));
    }
}
