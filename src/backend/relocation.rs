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

/// The target of a [`Relocation`].
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

/// The names that a body refers to, by their kinds.
pub(super) struct NamesUsed {
    function: UserFuncName,
    targets: FxHashMap<ExternalName, RelocationTarget>,
}

impl NamesUsed {
    /// Collects the names of `function`.
    ///
    /// # Errors
    ///
    /// A name that is not UTF-8 (Cranelift panics when it prints such a name) or not declared.
    pub(super) fn of(function: &Function) -> Result<Self, CompileError> {
        check_utf8(function, &function.name)?;
        let mut targets = FxHashMap::default();
        for global in function.global_values.values() {
            if let GlobalValueData::Symbol { name, tls, .. } = global
                && let Some(user_name) = user_name(function, name)?
            {
                let target = if *tls {
                    RelocationTarget::ThreadLocal(user_name)
                } else {
                    RelocationTarget::Data(user_name)
                };
                targets.insert(name.clone(), target);
            }
        }
        for external in function.dfg.ext_funcs.values() {
            if let Some(user_name) = user_name(function, &external.name)? {
                targets.insert(external.name.clone(), RelocationTarget::Function(user_name));
            }
        }
        Ok(NamesUsed {
            function: function.name.clone(),
            targets,
        })
    }

    /// Returns the relocations of `code`, which was compiled from the function whose names these
    /// are, in Cranelift's order.
    pub(super) fn relocations(&self, code: &CompiledCode) -> Result<Vec<Relocation>, CompileError> {
        let relocations = code.buffer.relocs().iter();
        relocations
            .map(|relocation| {
                Ok(Relocation {
                    offset: relocation.offset,
                    kind: relocation.kind,
                    target: self.target(&relocation.target)?,
                    addend: relocation.addend,
                })
            })
            .collect()
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
                let declared = self.targets.get(name).cloned();
                declared.ok_or_else(|| CompileError::DanglingName {
                    function: FunctionName::from(self.function.clone()),
                    reference: name.clone(),
                })?
            }
        })
    }
}

fn user_name(
    function: &Function,
    name: &ExternalName,
) -> Result<Option<UserFuncName>, CompileError> {
    match name {
        ExternalName::User(reference) => match function.params.user_named_funcs().get(*reference) {
            Some(user) => Ok(Some(UserFuncName::User(user.clone()))),
            None => Err(CompileError::DanglingName {
                function: FunctionName::from(function.name.clone()),
                reference: name.clone(),
            }),
        },
        ExternalName::TestCase(testcase) => {
            let name = UserFuncName::Testcase(testcase.clone());
            check_utf8(function, &name)?;
            Ok(Some(name))
        }
        ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => Ok(None),
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
