//! A small language, compiled with inlining to an object file, linked by the system's `cc` and run.
//!
//! ```text
//! cargo run --release --example expressions_object
//! ```
//!
//! The program prints its result with the C library's `putchar`. The environment variable `CC`
//! names another linker.

mod expressions;

use cranelift_codegen::settings::{self, Configurable};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_module::default_libcall_names;
use cranelift_object::{ObjectBuilder, ObjectModule};
use expressions::compiler::compile;
use expressions::parser::parse;
use std::error::Error;
use std::fs;
use std::process::Command;

const PROGRAM: &str = "
    fn putchar(character);
    fn square(x) = x * x;
    fn digit(n) = putchar(48 + n % 10);
    fn number(n) = if n < 10 then digit(n) else number(n / 10) + digit(n);
    hidden fn squares(n) = sum i from 0 to n of square(i);
    export fn main() = number(squares(1000)) * 0 + putchar(10) * 0;
";

/// The program's output: the sum of the squares below 1000.
const EXPECTED: &str = "332833500\n";

fn main() -> Result<(), Box<dyn Error>> {
    let mut flags = settings::builder();
    flags.set("opt_level", "speed")?;
    flags.set("is_pic", "true")?;
    let isa = cranelift_native::builder()?.finish(settings::Flags::new(flags))?;
    let builder = ObjectBuilder::new(isa, "squares", default_libcall_names())?;

    let plain = ObjectModule::new(builder);
    let mut module = InliningModule::for_object_file(plain, Inliner::new(CostModel::default()));
    compile(&parse(PROGRAM)?, &mut module)?;
    let (plain, report) = module.finish()?;
    println!("{report:#}\n");

    let folder = tempfile::tempdir()?;
    let (object, program) = (
        folder.path().join("squares.o"),
        folder.path().join("squares"),
    );
    fs::write(&object, plain.finish().emit()?)?;
    let linker = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let linked = Command::new(&linker)
        .arg(&object)
        .arg("-o")
        .arg(&program)
        .status();
    let linked = linked.map_err(|error| format!("{}: {error}", linker.display()))?;
    if !linked.success() {
        return Err(format!("{} failed: {linked}", linker.display()).into());
    }
    let output = Command::new(&program).output()?;
    let printed = String::from_utf8(output.stdout)?;
    print!("the linked program prints {printed}");
    if !output.status.success() || printed != EXPECTED {
        return Err(format!("{} and not {EXPECTED:?}", output.status).into());
    }
    Ok(())
}
