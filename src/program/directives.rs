//! An embedder's statements about functions and calls: linkage, demands, and expected coldness.

use super::Program;
use super::attributes::{Attributes, SiteHint};
use super::error::ProgramError;
use super::function::{Linkage, ProgramFunction};
use super::name::FunctionName;
use cranelift_codegen::ir;
use rustc_hash::FxHashSet;

impl Program {
    /// Sets the linkage of the function `name`.
    ///
    /// # Errors
    ///
    /// [`ProgramError::UnknownName`] if the program does not define it.
    pub fn set_linkage(
        &mut self,
        name: &FunctionName,
        linkage: Linkage,
    ) -> Result<(), ProgramError> {
        self.named_mut(name)?.linkage = linkage;
        Ok(())
    }

    /// Sets the attributes of the function `name`.
    ///
    /// # Errors
    ///
    /// [`ProgramError::UnknownName`] if the program does not define it.
    pub fn set_attributes(
        &mut self,
        name: &FunctionName,
        attributes: Attributes,
    ) -> Result<(), ProgramError> {
        self.named_mut(name)?.attributes = attributes;
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
    /// [`ProgramError::UnknownName`] if the program does not define the caller, and
    /// [`ProgramError::NoCall`] if the instruction is not a direct call in its layout.
    pub fn set_hint(
        &mut self,
        caller: &FunctionName,
        call: ir::Inst,
        hint: SiteHint,
    ) -> Result<(), ProgramError> {
        let function = self.named_mut(caller)?;
        if !function.is_direct_call(call) {
            return Err(ProgramError::NoCall {
                function: caller.clone(),
                call,
            });
        }
        function.hints.insert(call, hint);
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
        for (id, function) in self.functions.iter_mut() {
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

    fn named_mut(&mut self, name: &FunctionName) -> Result<&mut ProgramFunction, ProgramError> {
        self.id(name)
            .and_then(|id| self.functions.get_mut(id))
            .ok_or_else(|| unknown(name))
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
}
