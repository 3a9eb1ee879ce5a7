//! Pairs of functions, and how they are proved.

use cranelift_codegen::ir::{Endianness, Function};
use cranelift_inliner::check::{MemoryCall, Surroundings, Unproved, check_optimized};
use cranelift_inliner::program::{FunctionName, Program};

/// A correct pair and possible mistakes in it.
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    /// Other functions of the program.
    pub(crate) program: &'static str,
    pub(crate) faults: &'static [Fault],
}

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Whether the body before is changed, so that the one after is wrong for it.
    pub(crate) is_in_before: bool,
    /// A part of the text that occurs once, and its replacement.
    pub(crate) edits: &'static [(&'static str, &'static str)],
    /// Part of the checker's message.
    pub(crate) message: &'static str,
}

/// Returns a mistake in the body after.
pub(crate) const fn fault(
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    message: &'static str,
) -> Fault {
    Fault {
        name,
        is_in_before: false,
        edits,
        message,
    }
}

/// Returns a body before for which the one after is wrong.
pub(crate) const fn before(
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    message: &'static str,
) -> Fault {
    Fault {
        name,
        is_in_before: true,
        edits,
        message,
    }
}

/// The functions of a program, in a byte order.
pub(crate) struct Whole {
    pub(crate) program: Program,
    pub(crate) endianness: Option<Endianness>,
}

impl Surroundings for Whole {
    fn endianness(&self) -> Option<Endianness> {
        self.endianness
    }

    fn body(&self, name: &FunctionName) -> Option<&Function> {
        Some(&**self.program[self.program.id(name)?].body())
    }

    fn never_throws(&self, name: &FunctionName) -> bool {
        name.to_string() == "%quiet"
    }

    fn memory_call(&self, name: &FunctionName) -> Option<MemoryCall> {
        (name.to_string() == "%copy_bytes").then_some(MemoryCall::Copy)
    }

    fn address_in_data(&self, data: &FunctionName, offset: i64) -> Option<FunctionName> {
        (data.to_string() == "%vtable" && offset == 8).then(|| "one".parse().unwrap())
    }
}

pub(crate) fn read(text: &str) -> Result<Function, String> {
    let mut functions =
        cranelift_reader::parse_functions(text).map_err(|error| error.to_string())?;
    match functions.len() {
        1 => Ok(functions.remove(0)),
        many => Err(format!("{many} functions")),
    }
}

/// Returns a text that starts with `; big` is of a big-endian target.
pub(crate) fn prove(before: &str, after: &str, program: &str) -> Result<(), Unproved> {
    let endianness = match before.trim_start().starts_with("; big") {
        true => Endianness::Big,
        false => Endianness::Little,
    };
    let surroundings = Whole {
        program: match program {
            "" => Program::new(),
            _ => Program::from_clif(program, "program.clif").unwrap(),
        },
        endianness: Some(endianness),
    };
    check_optimized(&read(before).unwrap(), &read(after).unwrap(), &surroundings)
}

/// Expects that the checker proves a pair of functions without others.
pub(crate) fn accept(before: &str, after: &str) {
    if let Err(unproved) = prove(before, after, "") {
        panic!("{unproved}\n{before}\n{after}");
    }
}
