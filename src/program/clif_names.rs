//! Names that CLIF can express, for programs with others.

use super::{FunctionName, Program, Table, referenced_names};
use cranelift_codegen::ir::{self, ExternalName, GlobalValueData, UserFuncName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Program {
    /// Returns this program with names that CLIF can express, and the new name of each that it
    /// cannot: for looking at programs whose front end has other names, and for the tools that read
    /// CLIF.
    ///
    /// In CLIF, a test-case name has only ASCII letters, digits and `_`, and a call of a function
    /// with a name such as `%FloorF32` is one of a routine of Cranelift's own. Other characters
    /// become `_`, and a number is added where the name is taken, so that different names stay
    /// different. All names are renamed alike: of functions, of data and in
    /// [tables](Self::add_table). The functions keep their ids, and the same program gets the same
    /// names.
    ///
    /// ```
    /// use cranelift_codegen::ir::{Function, Signature, UserFuncName};
    /// use cranelift_codegen::isa::CallConv;
    /// use cranelift_inliner::program::{FunctionName, Program};
    ///
    /// let mut program = Program::new();
    /// for name in ["pkg.half", "pkg/half"] {
    ///     let signature = Signature::new(CallConv::Fast);
    ///     let name = UserFuncName::testcase(name);
    ///     program.add(Function::with_name_signature(name, signature))?;
    /// }
    /// assert!(program.to_clif().is_err());
    /// let (printable, renamed) = program.with_clif_names();
    /// assert!(printable.to_clif()?.starts_with("function %pkg_half() fast"));
    /// assert_eq!(renamed[&FunctionName::testcase("pkg/half")].to_string(), "%pkg_half_2");
    /// # Ok::<(), cranelift_inliner::program::ProgramError>(())
    /// ```
    pub fn with_clif_names(&self) -> (Program, BTreeMap<FunctionName, FunctionName>) {
        let renamed = new_names(self);
        if renamed.is_empty() {
            return (self.clone(), renamed);
        }
        let new = |name: &FunctionName| renamed.get(name).unwrap_or(name).clone();
        let program = self.with_bodies(|_, function| {
            let body = function.body();
            let mut names = names_of(body);
            match names.any(|name| renamed.contains_key(&name)) {
                true => Some(Arc::new(with_names(body, &renamed))),
                false => Some(Arc::clone(body)),
            }
        });
        debug_assert!(program.is_ok(), "the new names are UTF-8, and unique");
        let mut program = program.unwrap_or_else(|_| self.clone());
        // New bodies come without hints. Here the calls are the same.
        for (id, function) in self.iter() {
            for (call, hint) in function.hints() {
                let set = program.set_hint(id, call, hint);
                debug_assert!(set.is_ok(), "it is a hint of the same call: {set:?}");
            }
        }
        let tables = self.tables.iter().map(|(name, table)| {
            let entries = table.iter().map(|(at, function)| (*at, new(function)));
            (new(name), entries.collect::<Table>())
        });
        program.tables = Arc::new(tables.collect());
        (program, renamed)
    }
}

/// Returns a new name for each name of `program` that CLIF cannot express.
fn new_names(program: &Program) -> BTreeMap<FunctionName, FunctionName> {
    let bodies = program.iter().map(|(_, function)| function.body());
    let tables = program.tables.iter();
    let in_tables = tables.flat_map(|(name, table)| table.values().chain([name]).cloned());
    let all = bodies.flat_map(|body| names_of(body)).chain(in_tables);
    let (mut taken, others): (BTreeSet<FunctionName>, BTreeSet<FunctionName>) =
        all.partition(reads_back);
    let renamed = others.into_iter().map(|name| {
        let plain = plain(&name);
        let numbered = (2..).map(|number| format!("{plain}_{number}"));
        let candidates = [plain.clone()].into_iter().chain(numbered);
        let mut candidates = candidates.map(FunctionName::testcase);
        let is_free = |new: &FunctionName| reads_back(new) && !taken.contains(new);
        let new = candidates.find(is_free);
        debug_assert!(new.is_some(), "there are more numbers than names");
        let new = new.unwrap_or_else(|| name.clone());
        taken.insert(new.clone());
        (name, new)
    });
    renamed.collect()
}

/// Returns the name of `body` and those that it refers to, except Cranelift's own.
fn names_of(body: &ir::Function) -> impl Iterator<Item = FunctionName> {
    let referenced =
        referenced_names(body).filter_map(|name| FunctionName::of_external(body, name));
    referenced.chain([FunctionName::from(body.name.clone())])
}

/// Returns whether the reader takes a call of the printed name for one of this function.
fn reads_back(name: &FunctionName) -> bool {
    let UserFuncName::Testcase(bytes) = name.as_user_func_name() else {
        return true;
    };
    let text = std::str::from_utf8(bytes.raw()).ok();
    let read = text.and_then(|text| text.parse::<ExternalName>().ok());
    name.is_clif() && read == Some(ExternalName::TestCase(bytes.clone()))
}

fn plain(name: &FunctionName) -> String {
    let UserFuncName::Testcase(bytes) = name.as_user_func_name() else {
        return String::new();
    };
    let text = String::from_utf8_lossy(bytes.raw());
    let is_clif = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars()
        .map(|c| if is_clif(c) { c } else { '_' })
        .collect()
}

fn with_names(body: &ir::Function, renamed: &BTreeMap<FunctionName, FunctionName>) -> ir::Function {
    let mut body = body.clone();
    if let Some(new) = renamed.get(&FunctionName::from(body.name.clone())) {
        body.name = new.clone().into();
    }
    let rename = |name: &mut ExternalName| {
        // No other names are renamed.
        if let ExternalName::TestCase(old) = name
            && let Some(new) = renamed.get(&FunctionName::testcase(old.raw()))
            && let UserFuncName::Testcase(new) = new.as_user_func_name()
        {
            *name = ExternalName::TestCase(new.clone());
        }
    };
    for function in body.dfg.ext_funcs.values_mut() {
        rename(&mut function.name);
    }
    for global in body.global_values.values_mut() {
        if let GlobalValueData::Symbol { name, .. } = global {
            rename(name);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Linkage, SiteHint};
    use cranelift_codegen::ir::Inst;

    /// Functions with the names of CLIF, of which some get others.
    const TEXT: &str = "\
function %half(i64) -> i64 fast {
    gv0 = symbol colocated %table
block0(v0: i64):
    v1 = symbol_value.i64 gv0
    return v1
}

function %half_2() fast {
block0:
    return
}

function %main(i64) -> i64 fast {
    fn0 = %half(i64) -> i64 fast
    fn1 = %floor(i64) -> i64 fast
    fn2 = u0:7(i64) -> i64 fast
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = call fn2(v2)
    return v3
}
";

    fn named(names: &[(&str, &str)]) -> Program {
        let mut program =
            Program::from_clif(TEXT, "test").unwrap_or_else(|error| panic!("{error}"));
        let half = FunctionName::testcase("half");
        program.add_table(FunctionName::testcase("table"), [(8, half)]);
        let renamed = names.iter().map(|(old, new)| {
            let name = |name: &str| FunctionName::testcase(name);
            (name(old), name(new))
        });
        let renamed: BTreeMap<_, _> = renamed.collect();
        let result = program
            .with_bodies(|_, function| Some(Arc::new(with_names(function.body(), &renamed))));
        let mut result = result.unwrap_or_else(|error| panic!("{error}"));
        let tables = program.tables.iter().map(|(name, table)| {
            let new = |name: &FunctionName| renamed.get(name).unwrap_or(name).clone();
            let entries = table.iter().map(|(at, function)| (*at, new(function)));
            (new(name), entries.collect())
        });
        result.tables = Arc::new(tables.collect());
        result
    }

    #[test]
    fn every_name_that_clif_lacks_is_renamed_everywhere() {
        let mut program = named(&[
            ("half", "pkg.half"),
            ("half_2", "pkg_half"),
            ("floor", "FloorF32"),
            ("table", "a table"),
        ]);
        let main = FunctionName::testcase("main");
        let set = program.set_linkage(&main, Linkage::Local);
        let call = Inst::from_u32(0);
        let set = set.and_then(|()| program.set_hint(&main, call, SiteHint::Never));
        set.unwrap_or_else(|error| panic!("{error}"));
        assert!(program.to_clif().is_err());
        let (printable, renamed) = program.with_clif_names();
        let renamed = renamed.iter().map(|(old, new)| format!("{old} {new}"));
        let expected = [
            "%FloorF32 %FloorF32_2",
            "%a table %a_table",
            "%pkg.half %pkg_half_2",
        ];
        assert_eq!(renamed.collect::<Vec<_>>(), expected);
        let text = printable
            .to_clif()
            .unwrap_or_else(|error| panic!("{error}"));
        let expected = TEXT
            .replace("%half_2", "%pkg_half")
            .replace("%half", "%pkg_half_2")
            .replace("%floor", "%FloorF32_2")
            .replace("%table", "%a_table");
        let expected = format!("; table: %a_table 8=%pkg_half_2\n\n{expected}");
        let expected = Program::from_clif(&expected, "expected");
        let expected = expected.and_then(|expected| expected.to_clif());
        assert_eq!(Some(&text), expected.ok().as_ref());
        let read = Program::from_clif(&text, "text").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.to_clif().ok(), Some(text));
        let id = printable.id(&main).unwrap_or_else(|| panic!("no main"));
        assert_eq!(program.id(&main), Some(id));
        assert_eq!(printable[id].linkage(), Linkage::Local);
        assert_eq!(printable[id].hint(call), Some(SiteHint::Never));
    }

    #[test]
    fn a_program_of_clif_stays_as_it_is() {
        let program = named(&[]);
        let (same, renamed) = program.with_clif_names();
        assert!(renamed.is_empty());
        assert!(Arc::ptr_eq(&same.functions, &program.functions));
    }
}
