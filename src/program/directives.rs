//! An embedder's statements about functions and calls: linkage, demands, and expected coldness.

use super::Program;
use super::attributes::{Attributes, SiteHint};
use super::error::ProgramError;
use super::function::{FunctionId, Linkage, ProgramFunction};
use super::name::FunctionName;
use cranelift_codegen::ir;
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// A function of a program, by its id or its name.
///
/// ```
/// use cranelift_inliner::program::{Attributes, FunctionName, Linkage, Program};
///
/// let mut program = Program::from_clif("function %f() {\nblock0:\n return\n}", "f.clif")?;
/// let name: FunctionName = "f".parse()?;
/// program.set_attributes(&name, Attributes::default().with_cold(true))?;
/// let id = program.id(&name).ok_or("no %f")?;
/// program.set_linkage(id, Linkage::Local)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionRef<'n> {
    /// The function's id.
    Id(FunctionId),
    /// The function's name.
    Name(&'n FunctionName),
}

impl From<FunctionId> for FunctionRef<'_> {
    fn from(id: FunctionId) -> Self {
        FunctionRef::Id(id)
    }
}

impl<'n> From<&'n FunctionName> for FunctionRef<'n> {
    fn from(name: &'n FunctionName) -> Self {
        FunctionRef::Name(name)
    }
}

impl Program {
    /// Sets the linkage of a function.
    ///
    /// # Errors
    ///
    /// [`ProgramError::UnknownName`] or [`ProgramError::UnknownId`] if the program does not define
    /// it.
    pub fn set_linkage<'n>(
        &mut self,
        function: impl Into<FunctionRef<'n>>,
        linkage: Linkage,
    ) -> Result<(), ProgramError> {
        self.function_mut(function.into())?.linkage = linkage;
        Ok(())
    }

    /// Sets the attributes of a function.
    ///
    /// # Errors
    ///
    /// As for [`set_linkage`](Self::set_linkage).
    pub fn set_attributes<'n>(
        &mut self,
        function: impl Into<FunctionRef<'n>>,
        attributes: Attributes,
    ) -> Result<(), ProgramError> {
        self.function_mut(function.into())?.attributes = attributes;
        Ok(())
    }

    /// Sets the hint of one call: the instruction `call` of the function `caller`. An earlier hint
    /// is replaced.
    ///
    /// To hint a site by its [`SiteName`](crate::graph::SiteName), look it up with
    /// [`CallGraph::find_site`](crate::graph::CallGraph::find_site) first.
    ///
    /// # Errors
    ///
    /// As for [`set_linkage`](Self::set_linkage), and [`ProgramError::NoCall`] if the instruction
    /// is not a direct call in the caller's layout.
    pub fn set_hint<'n>(
        &mut self,
        caller: impl Into<FunctionRef<'n>>,
        call: ir::Inst,
        hint: SiteHint,
    ) -> Result<(), ProgramError> {
        let function = self.function_mut(caller.into())?;
        if !function.is_direct_call(call) {
            return Err(ProgramError::NoCall {
                function: function.name().clone(),
                call,
            });
        }
        function.set_hint(call, hint);
        Ok(())
    }

    /// Makes the functions called `names` exported and all others local. Interposable functions and
    /// those that are available externally are left unchanged.
    ///
    /// # Errors
    ///
    /// [`ProgramError::UnknownName`] for a name that the program does not define. Then no linkage
    /// has changed.
    pub fn export_only(&mut self, names: &[FunctionName]) -> Result<(), ProgramError> {
        let mut exported = FxHashSet::default();
        for name in names {
            let id = self.id(name).ok_or_else(|| unknown(name))?;
            exported.insert(id);
        }
        for (id, function) in Arc::make_mut(&mut self.functions).iter_mut() {
            if matches!(function.linkage, Linkage::Exported | Linkage::Local) {
                function.linkage = if exported.contains(&id) {
                    Linkage::Exported
                } else {
                    Linkage::Local
                };
            }
        }
        Ok(())
    }

    fn function_mut(
        &mut self,
        function: FunctionRef<'_>,
    ) -> Result<&mut ProgramFunction, ProgramError> {
        let id = match function {
            FunctionRef::Id(id) => Some(id).filter(|&id| self.functions.is_valid(id)),
            FunctionRef::Name(name) => self.id(name),
        };
        id.and_then(|id| Arc::make_mut(&mut self.functions).get_mut(id))
            .ok_or_else(|| match function {
                FunctionRef::Id(id) => ProgramError::UnknownId { id },
                FunctionRef::Name(name) => unknown(name),
            })
    }
}

fn unknown(name: &FunctionName) -> ProgramError {
    ProgramError::UnknownName { name: name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::InlineAttribute;

    const TEXT: &str = "function %a() {\nblock0:\n    return\n}\n\
                        function %b() {\nblock0:\n    return\n}\n";

    fn name(text: &str) -> FunctionName {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn linkage_and_attributes_are_set_by_name() {
        let mut program =
            Program::from_clif(TEXT, "t.clif").unwrap_or_else(|error| panic!("{error}"));
        let linkages = |program: &Program| -> Vec<Linkage> {
            program
                .iter()
                .map(|(_, function)| function.linkage())
                .collect()
        };
        assert_eq!(linkages(&program), [Linkage::Exported; 2]);
        let error = program.export_only(&[name("a"), name("nope")]).unwrap_err();
        assert_eq!(error.to_string(), "the program defines no function %nope");
        assert_eq!(linkages(&program), [Linkage::Exported; 2]);
        program
            .export_only(&[name("a")])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(linkages(&program), [Linkage::Exported, Linkage::Local]);
        program
            .set_linkage(&name("b"), Linkage::Interposable)
            .unwrap_or_else(|error| panic!("{error}"));
        program
            .export_only(&[])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(linkages(&program), [Linkage::Local, Linkage::Interposable]);

        let cold = Attributes {
            inline: InlineAttribute::Never,
            cold: true,
            flatten: true,
        };
        program
            .set_attributes(&name("b"), cold)
            .unwrap_or_else(|error| panic!("{error}"));
        let seen: Vec<Attributes> = program.iter().map(|(_, f)| f.attributes()).collect();
        assert_eq!(seen, [Attributes::default(), cold]);
        assert!(program.set_attributes(&name("c"), cold).is_err());
    }

    #[test]
    fn a_function_is_set_by_its_id_as_well() {
        let mut program =
            Program::from_clif(TEXT, "t.clif").unwrap_or_else(|error| panic!("{error}"));
        let before = program.clone();
        let b = program.id(&name("b")).unwrap_or_else(|| panic!("no %b"));
        let cold = Attributes::default().with_cold(true);
        program
            .set_attributes(b, cold)
            .and_then(|()| program.set_linkage(b, Linkage::Local))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(program[b].attributes(), cold);
        assert_eq!(program[b].linkage(), Linkage::Local);
        assert_eq!(before[b].linkage(), Linkage::Exported, "a clone is apart");
        let none = FunctionId::from_u32(2);
        let error = program.set_linkage(none, Linkage::Local).unwrap_err();
        assert_eq!(error.to_string(), "the program has no function number 2");
        let call = ir::Inst::from_u32(0);
        let error = program.set_hint(b, call, SiteHint::Never).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inst0 of function %b is not a direct call"
        );
    }
}
