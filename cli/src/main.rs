//! The tool's binary; its code is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    clif_inline::main()
}
