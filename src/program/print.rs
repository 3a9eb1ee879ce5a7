//! Prints a program as CLIF text.

use super::{
    FunctionName, Program, ProgramError, ProgramFunction, referenced_names, tables, text_writer,
};
use crate::panics;
use cranelift_codegen::ir::{self, ExternalName};
use rayon::prelude::*;
use std::io;

/// The number of functions that are held as text at a time.
const BATCH: usize = 256;

impl Program {
    /// Writes all functions as CLIF text, in input order with a blank line between them.
    ///
    /// The text reads back as the same program, apart from linkage, attributes and headers, which
    /// CLIF cannot express, and from comments. [Tables](Self::add_table) come first, as comments
    /// that [`from_clif`](Self::from_clif) reads.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Unprintable`] for a function that has no such text, for example because a
    /// test-case name holds something else than ASCII letters, digits and `_`
    /// ([`with_clif_names`](Self::with_clif_names) renames it), and [`ProgramError::Write`] where
    /// `out` fails. In both cases a part of the text may already have been written.
    pub fn write_clif(&self, out: &mut impl io::Write) -> Result<(), ProgramError> {
        tables::write(self, out)?;
        let mut first = true;
        for batch in self.functions.as_values_slice().chunks(BATCH) {
            let texts: Vec<Result<String, ProgramError>> =
                batch.par_iter().map(text_that_reads_back).collect();
            for text in texts {
                if !first {
                    out.write_all(b"\n")?;
                }
                first = false;
                out.write_all(text?.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Returns the text that [`write_clif`](Self::write_clif) writes.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Unprintable`] as there.
    pub fn to_clif(&self) -> Result<String, ProgramError> {
        let mut bytes = Vec::new();
        self.write_clif(&mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|error| ProgramError::Write(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

fn text_that_reads_back(function: &ProgramFunction) -> Result<String, ProgramError> {
    let unprintable = |message| ProgramError::Unprintable {
        function: function.name().clone(),
        origin: function.origin().cloned(),
        message,
    };
    if let Some(message) = misread_part(function.body()) {
        return Err(unprintable(message));
    }
    body_text(function.body()).map_err(unprintable)
}

/// Prints `func` in full, with the dynamic types, memory flags and names of symbols that
/// Cranelift's own printer leaves out.
///
/// The text is for comparing and showing. It need not read back, unlike that of
/// [`Program::to_clif`].
///
/// ```
/// use cranelift_inliner::program::function_text;
///
/// let text = "function %f() fast {\nblock0:\n    return\n}\n";
/// let functions = cranelift_reader::parse_functions(text)?;
/// assert_eq!(function_text(&functions[0])?, text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`ProgramError::Unprintable`] if Cranelift's printer fails, as it may for a function that is not
/// valid.
pub fn function_text(func: &ir::Function) -> Result<String, ProgramError> {
    body_text(func).map_err(|message| ProgramError::Unprintable {
        function: FunctionName::from(func.name.clone()),
        origin: None,
        message,
    })
}

fn body_text(func: &ir::Function) -> Result<String, String> {
    match panics::catch(|| text_writer::function_text(func)) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("the printer gave up: {error}")),
        Err(panic) => Err(format!("the printer gave up: {panic}")),
    }
}

fn not_clif(name: &FunctionName) -> String {
    format!("the name {name} is not a CLIF name; `Program::with_clif_names` renames it")
}

/// Returns the part of `func` that the reader would take for something else in the printed text.
fn misread_part(func: &ir::Function) -> Option<String> {
    let own_name = FunctionName::from(func.name.clone());
    if !own_name.is_clif() {
        return Some(not_clif(&own_name));
    }
    for name in referenced_names(func) {
        let ExternalName::TestCase(text) = name else {
            continue;
        };
        let shown = FunctionName::testcase(text.raw());
        if !shown.is_clif() {
            return Some(not_clif(&shown));
        }
        let read_back = std::str::from_utf8(text.raw())
            .ok()
            .and_then(|text| text.parse::<ExternalName>().ok());
        if read_back.as_ref() != Some(name) {
            return Some(format!(
                "{shown} reads as a name of Cranelift's own; `Program::with_clif_names` renames it"
            ));
        }
    }
    let quoted =
        |(_, region): &(ir::AliasRegion, &ir::AliasRegionData)| region.description.contains('"');
    if let Some((region, _)) = func.dfg.alias_regions.iter().find(quoted) {
        return Some(format!(
            "the description of {region} holds a quotation mark"
        ));
    }
    // The types of values that do not exist cannot be asked for; the printer reports those values.
    panics::catch(|| dynamic_type_that_does_not_read_back(func)).unwrap_or_default()
}

/// Finds a value of a dynamic type that does not read back: CLIF names such a type only at
/// instructions, by its declaration.
fn dynamic_type_that_does_not_read_back(func: &ir::Function) -> Option<String> {
    let is_dynamic = |value: &ir::Value| func.dfg.value_type(*value).is_dynamic_vector();
    for block in func.layout.blocks() {
        let params = func.dfg.block_params(block);
        if let Some(param) = params.iter().copied().find(|param| is_dynamic(param)) {
            return Some(format!("the parameter {param} has a dynamic type"));
        }
        let insts = func.layout.block_insts(block);
        let results = insts.flat_map(|inst| func.dfg.inst_results(inst).iter().copied());
        for value in results.filter(is_dynamic) {
            if text_writer::dynamic_type(func, func.dfg.value_type(value)).is_none() {
                return Some(format!("the dynamic type of {value} is not declared"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::{Signature, UserFuncName};
    use cranelift_codegen::isa::CallConv;

    fn named(name: UserFuncName) -> ir::Function {
        ir::Function::with_name_signature(name, Signature::new(CallConv::SystemV))
    }

    fn program_of(body: ir::Function) -> Program {
        let mut program = Program::new();
        program.add(body).unwrap_or_else(|error| panic!("{error}"));
        program
    }

    #[test]
    fn locations_of_removed_instructions_leave_no_margin() {
        let text = "\
function %f() system_v {
block0:
    return
}
";
        let located = "\
function %f() system_v {
block0:
<7> @2001 sequence_point
    return
}
";
        let functions = cranelift_reader::parse_functions(located);
        let mut func = functions
            .unwrap_or_else(|error| panic!("{error}"))
            .remove(0);
        let removed = func
            .layout
            .entry_block()
            .and_then(|entry| func.layout.first_inst(entry));
        func.layout
            .remove_inst(removed.unwrap_or_else(|| panic!("it has an instruction")));
        let printed = program_of(func).to_clif();
        assert_eq!(printed.unwrap_or_else(|error| panic!("{error}")), text);
    }

    /// With two dynamic types, the right one is written wherever the type appears.
    #[test]
    fn dynamic_types_of_instructions_read_back() {
        let text = "\
function %f(i32) -> i32 system_v {
    gv0 = dyn_scale_target_const.i64x2
    gv1 = dyn_scale_target_const.i32x4
    dt0 = i64x2*gv0
    dt1 = i32x4*gv1
    dss0 = explicit_dynamic_slot dt1

block0(v0: i32):
    v1 = splat.dt1 v0
    v2 = dynamic_stack_addr.i64 dss0
@0001 store v1, v2
    jump block1

block1:
    v3 = load.dt1 v2
    v4 = iadd.dt1 v1, v3
    v5 = extract_vector v4, 0
    v6 = extractlane v5, 0
    return v6
}
";
        let read = |text: &str| {
            Program::from_clif(text, "f.clif").unwrap_or_else(|error| panic!("{error}"))
        };
        let printed = read(text)
            .to_clif()
            .unwrap_or_else(|error| panic!("{error}"));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&printed), words(text));
        let again = read(&printed).to_clif();
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), printed);
    }

    #[test]
    fn dynamic_types_that_clif_has_no_name_for_are_errors() {
        let text = "function %f(i32) {\n    gv0 = dyn_scale_target_const.i32x4\n    dt0 = i32x4*gv0\n\
                    block0(v0: i32):\n    v1 = splat.dt0 v0\n    return\n}";
        let body = || {
            let mut functions =
                cranelift_reader::parse_functions(text).unwrap_or_else(|error| panic!("{error}"));
            functions.remove(0)
        };
        let error = |body: ir::Function| match program_of(body).to_clif() {
            Err(ProgramError::Unprintable { message, .. }) => message,
            other => panic!("{other:?}"),
        };
        let mut undeclared = body();
        undeclared.dfg.dynamic_types.clear();
        assert_eq!(error(undeclared), "the dynamic type of v1 is not declared");
        let mut passed = body();
        let block = passed.dfg.make_block();
        passed.layout.append_block(block);
        let ty = passed.dfg.value_type(ir::Value::from_u32(1));
        let param = passed.dfg.append_block_param(block, ty);
        assert_eq!(
            error(passed),
            format!("the parameter {param} has a dynamic type")
        );
    }

    #[test]
    fn details_that_cranelift_does_not_print_read_back_too() {
        let text = "\
function %f() -> i64 system_v {
    gv0 = symbol colocated u3:9+16
    gv1 = dyn_scale_target_const.i32x4
    dt0 = i32x4*gv1
    dss0 = explicit_dynamic_slot dt0

block0:
    v0 = symbol_value.i64 gv0
    v1 = dynamic_stack_addr.i64 dss0
    v2 = iadd v0, v1
    return v2
}
";
        let program = Program::from_clif(text, "f.clif").unwrap_or_else(|error| panic!("{error}"));
        let printed = program.to_clif().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(printed, text);
        // With another name first, the index in the table is not 0.
        let other = text.replace("    gv0 = ", "    gv2 = symbol colocated u1:1\n    gv0 = ");
        let program =
            Program::from_clif(&other, "f.clif").unwrap_or_else(|error| panic!("{error}"));
        let printed = program.to_clif().unwrap_or_else(|error| panic!("{error}"));
        assert!(
            printed.contains("gv0 = symbol colocated u3:9+16"),
            "{printed}"
        );
        assert!(printed.contains("gv2 = symbol colocated u1:1"), "{printed}");
    }

    #[test]
    fn the_byte_order_of_atomics_reads_back() {
        let text = "\
function %f(i64, i32) -> i32 system_v {
    region0 = 7 \"shared\"

block0(v0: i64, v1: i32):
    v2 = atomic_rmw.i32 notrap big region0 add v0, v1
    v3 = atomic_cas little v0, v1, v2
    return v3
}
";
        let program = Program::from_clif(text, "f.clif").unwrap_or_else(|error| panic!("{error}"));
        let printed = program.to_clif().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(printed, text);
    }

    #[test]
    fn the_text_reads_back_and_prints_the_same() {
        let text = "\
function %b(i64 vmctx, i32) -> i32 tail {
    ss0 = explicit_slot 8, align = 8, key = 5
    region0 = 8 \"VMContext+0x8\"
    gv0 = vmctx
    sig0 = (i32) -> i32 tail
    fn0 = colocated u0:4 sig0
    const0 = 0x01020304

block0(v0: i64, v1: i32):
    v2 = load.i32 notrap aligned region0 v0+8
    try_call fn0(v2), sig0, block1(ret0), [ tag1: block2(exn0), default: block2(exn0) ]

block1(v3: i32):
    return v3

block2(v4: i64) cold:
    v5 = ireduce.i32 v4
    return v5
}

; a comment between

function u0:4(i32) -> i32 tail {
block0(v0: i32):
    return_call_indirect_is_not_here
}
";
        let text = text.replace("return_call_indirect_is_not_here", "return v0");
        let once = Program::from_clif(&text, "in").unwrap_or_else(|e| panic!("{e}"));
        let printed = once.to_clif().unwrap_or_else(|e| panic!("{e}"));
        let twice = Program::from_clif(&printed, "out").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(printed, twice.to_clif().unwrap_or_default());
        assert_eq!(twice.len(), 2);
        assert!(printed.contains("}\n\nfunction u0:4("), "{printed}");
        assert!(printed.starts_with("function %b("), "{printed}");
        assert!(!printed.contains("a comment"));
    }

    #[test]
    fn names_that_would_read_back_differently_are_refused() {
        let dotted = program_of(named(UserFuncName::testcase("a.b")));
        let error = dotted.to_clif().unwrap_err().to_string();
        assert_eq!(
            error,
            "function %a.b (in memory) cannot be written as text: the name %a.b is not a CLIF name; \
             `Program::with_clif_names` renames it"
        );

        let mut body = named(UserFuncName::testcase("f"));
        let signature = body.import_signature(Signature::new(CallConv::SystemV));
        body.import_function(ir::ExtFuncData {
            name: ExternalName::testcase("FloorF32"),
            signature,
            colocated: false,
            patchable: false,
        });
        let error = program_of(body).to_clif().unwrap_err().to_string();
        assert!(error.contains("%FloorF32 reads as"), "{error}");
    }

    #[test]
    fn a_reference_that_dangles_is_an_error_and_no_panic() {
        let mut body = named(UserFuncName::testcase("f"));
        let signature = body.import_signature(Signature::new(CallConv::SystemV));
        body.import_function(ir::ExtFuncData {
            name: ExternalName::user(ir::UserExternalNameRef::from_u32(9)),
            signature,
            colocated: false,
            patchable: false,
        });
        assert!(matches!(
            program_of(body).to_clif(),
            Err(ProgramError::Unprintable { .. })
        ));
    }

    #[test]
    fn the_error_of_the_writer_is_passed_on() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let program = program_of(named(UserFuncName::user(0, 0)));
        assert!(matches!(
            program.write_clif(&mut Full),
            Err(ProgramError::Write(error)) if error.to_string() == "full"
        ));
    }
}
