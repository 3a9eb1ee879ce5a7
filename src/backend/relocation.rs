//! Relocations with their targets by name, so that they do not depend on the body.
//!
//! Cranelift's relocations refer to entries of the body's tables, and they do not tell a function
//! from a datum. Both are settled here, while the body is still at hand.

use super::error::CompileError;
use crate::program::FunctionName;
use cranelift_codegen::binemit::{Addend, CodeOffset, Reloc};
use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValueData, KnownSymbol, LibCall, UserFuncName,
};
use cranelift_codegen::{CompiledCode, FinalizedRelocTarget};
use rustc_hash::FxHashMap;

/// A place in the code that the linker or loader fills in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Relocation {
    /// The place, in bytes from the start of the function's code.
    pub offset: CodeOffset,
    /// The form in which the target's address is written.
    pub kind: Reloc,
    /// The target.
    pub target: RelocationTarget,
    /// The number that is added to that address, in bytes.
    pub addend: Addend,
}

/// The target of a [`Relocation`]. A linker must handle all kinds, so a new one is a breaking
/// change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RelocationTarget {
    /// A function that the body declares (`fn0 = …`), of this program or external.
    Function(UserFuncName),
    /// A symbol that the body only takes the address of (`gv0 = symbol …`): most often data, but it
    /// may be a function's name.
    Data(UserFuncName),
    /// A thread-local symbol (`gv0 = symbol tls …`).
    ThreadLocal(UserFuncName),
    /// A function of the runtime library that the code generator calls.
    LibCall(LibCall),
    /// A symbol that linkers know.
    KnownSymbol(KnownSymbol),
    /// The function's own code, at this many bytes from its start.
    FunctionOffset(CodeOffset),
}

impl RelocationTarget {
    /// Returns the name that the body gave, where it gave one.
    pub fn name(&self) -> Option<&UserFuncName> {
        match self {
            RelocationTarget::Function(name)
            | RelocationTarget::Data(name)
            | RelocationTarget::ThreadLocal(name) => Some(name),
            RelocationTarget::LibCall(_)
            | RelocationTarget::KnownSymbol(_)
            | RelocationTarget::FunctionOffset(_) => None,
        }
    }
}

/// Returns the default symbol for a function's name: `%name` is `name`, and `u1:2` is `u1_2`.
pub fn default_symbol(name: &UserFuncName) -> String {
    match name {
        UserFuncName::User(user) => format!("u{}_{}", user.namespace, user.index),
        UserFuncName::Testcase(testcase) => String::from_utf8_lossy(testcase.raw()).into_owned(),
    }
}

/// Checks the names that a body refers to, before it is compiled.
///
/// # Errors
///
/// A name that is not UTF-8 (Cranelift panics when it prints such a name) or not declared.
pub(super) fn check_names(function: &Function) -> Result<(), CompileError> {
    check_utf8(function, &function.name)?;
    for global in function.global_values.values() {
        if let GlobalValueData::Symbol { name, .. } = global {
            check_name(function, name)?;
        }
    }
    let mut functions = function.dfg.ext_funcs.values();
    functions.try_for_each(|external| check_name(function, &external.name))
}

/// Bodies with fewer names are searched without a map.
const WORTH_MAP: usize = 8;

/// Returns the relocations of `code`, which was compiled from `function`, in Cranelift's order.
pub(super) fn relocations(
    function: &Function,
    code: &CompiledCode,
) -> Result<Vec<Relocation>, CompileError> {
    let relocations = code.buffer.relocs();
    if relocations.is_empty() {
        return Ok(Vec::new());
    }
    let names = NamesUsed::of(function);
    let relocations = relocations.iter().map(|relocation| {
        Ok(Relocation {
            offset: relocation.offset,
            kind: relocation.kind,
            target: names.target(&relocation.target)?,
            addend: relocation.addend,
        })
    });
    relocations.collect()
}

/// The names that a body refers to, by their kinds.
struct NamesUsed<'a> {
    function: &'a Function,
    /// `None` where there are few.
    kinds: Option<FxHashMap<&'a ExternalName, Kind>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Function,
    Data,
    ThreadLocal,
}

impl<'a> NamesUsed<'a> {
    fn of(function: &'a Function) -> Self {
        let count = function.global_values.len() + function.dfg.ext_funcs.len();
        // A name of both kinds is a function's, which comes last.
        let kinds = (count >= WORTH_MAP).then(|| kinds(function).collect());
        NamesUsed { function, kinds }
    }

    fn kind(&self, name: &ExternalName) -> Option<Kind> {
        match &self.kinds {
            Some(kinds) => kinds.get(name).copied(),
            None => {
                let mut kinds = kinds(self.function).filter(|(known, _)| *known == name);
                kinds.next_back().map(|(_, kind)| kind)
            }
        }
    }

    fn target(&self, target: &FinalizedRelocTarget) -> Result<RelocationTarget, CompileError> {
        Ok(match target {
            FinalizedRelocTarget::Func(offset) => RelocationTarget::FunctionOffset(*offset),
            FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => {
                RelocationTarget::LibCall(*call)
            }
            FinalizedRelocTarget::ExternalName(ExternalName::KnownSymbol(symbol)) => {
                RelocationTarget::KnownSymbol(*symbol)
            }
            FinalizedRelocTarget::ExternalName(name) => {
                let dangling = || CompileError::DanglingName {
                    function: FunctionName::from(self.function.name.clone()),
                    reference: name.clone(),
                };
                let kind = self.kind(name).ok_or_else(dangling)?;
                let name = user_name(self.function, name).ok_or_else(dangling)?;
                match kind {
                    Kind::Function => RelocationTarget::Function(name),
                    Kind::Data => RelocationTarget::Data(name),
                    Kind::ThreadLocal => RelocationTarget::ThreadLocal(name),
                }
            }
        })
    }
}

/// Returns the names of a body with their kinds, functions last.
fn kinds(function: &Function) -> impl DoubleEndedIterator<Item = (&ExternalName, Kind)> {
    let globals = function.global_values.values();
    let globals = globals.filter_map(|global| match global {
        GlobalValueData::Symbol { name, tls, .. } => {
            let kind = if *tls { Kind::ThreadLocal } else { Kind::Data };
            Some((name, kind))
        }
        _ => None,
    });
    let functions = function.dfg.ext_funcs.values();
    globals.chain(functions.map(|external| (&external.name, Kind::Function)))
}

/// Returns the name that a reference stands for; `None` for one that is not declared, and for
/// Cranelift's own.
fn user_name(function: &Function, name: &ExternalName) -> Option<UserFuncName> {
    match name {
        ExternalName::User(reference) => {
            let user = function.params.user_named_funcs().get(*reference)?;
            Some(UserFuncName::User(user.clone()))
        }
        ExternalName::TestCase(testcase) => Some(UserFuncName::Testcase(testcase.clone())),
        ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => None,
    }
}

fn check_name(function: &Function, name: &ExternalName) -> Result<(), CompileError> {
    match name {
        ExternalName::User(reference) => {
            match function.params.user_named_funcs().is_valid(*reference) {
                true => Ok(()),
                false => Err(CompileError::DanglingName {
                    function: FunctionName::from(function.name.clone()),
                    reference: name.clone(),
                }),
            }
        }
        ExternalName::TestCase(testcase) if std::str::from_utf8(testcase.raw()).is_err() => {
            check_utf8(function, &UserFuncName::Testcase(testcase.clone()))
        }
        ExternalName::TestCase(_) | ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => {
            Ok(())
        }
    }
}

fn check_utf8(function: &Function, name: &UserFuncName) -> Result<(), CompileError> {
    match name {
        UserFuncName::Testcase(testcase) if std::str::from_utf8(testcase.raw()).is_err() => {
            Err(CompileError::NameNotUtf8 {
                function: FunctionName::from(function.name.clone()),
                name: FunctionName::from(name.clone()).to_string(),
            })
        }
        _ => Ok(()),
    }
}
