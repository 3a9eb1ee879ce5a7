//! An embedder's statements about functions and calls: linkage, demands, and expected coldness.

use super::Program;
use super::error::ProgramError;
use super::function::{Linkage, ProgramFunction};
use super::name::FunctionName;
use cranelift_codegen::ir;
use rustc_hash::FxHashSet;
use std::fmt;

/// An embedder's demand for the calls of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum InlineAttribute {
    /// Nothing: the policy decides.
    #[default]
    None,
    /// Inline it wherever that is legal.
    Always,
    /// Never inline it.
    Never,
}

/// An embedder's attributes of a function.
///
/// ```
/// use cranelift_inliner::program::{Attributes, InlineAttribute};
///
/// let never = Attributes::default().with_inline(InlineAttribute::Never);
/// let panicking = never.with_cold(true);
/// assert!(!panicking.flatten);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct Attributes {
    /// Whether its calls are to be inlined.
    pub inline: InlineAttribute,
    /// It seldom runs, and so do the calls in it.
    pub cold: bool,
    /// Inline all functions below it that the program defines: its callees, their callees, and so
    /// on, wherever that is legal. Functions with [`InlineAttribute::Never`] are not inlined. GCC's
    /// `flatten`.
    pub flatten: bool,
}

impl Attributes {
    /// Returns the attributes with another answer to whether its calls are to be inlined.
    #[must_use]
    pub const fn with_inline(mut self, inline: InlineAttribute) -> Self {
        self.inline = inline;
        self
    }

    /// Returns the attributes with another answer to whether it seldom runs.
    #[must_use]
    pub const fn with_cold(mut self, cold: bool) -> Self {
        self.cold = cold;
        self
    }

    /// Returns the attributes with another answer to whether all below it is inlined.
    #[must_use]
    pub const fn with_flatten(mut self, flatten: bool) -> Self {
        self.flatten = flatten;
        self
    }
}

/// An embedder's hint for one call. It takes precedence over the attributes of the callee.
///
/// A hint goes with the call: where the body around the call is inlined elsewhere, the hint holds
/// for the copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum SiteHint {
    /// Inline this call if that is legal.
    Always,
    /// Leave this call.
    Never,
    /// It is seldom executed, and so are the calls in the body if it is inlined.
    Cold,
    /// Inline this call and everything below it, as far as that is legal.
    Flatten,
}

impl fmt::Display for SiteHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SiteHint::Always => "always",
            SiteHint::Never => "never",
            SiteHint::Cold => "cold",
            SiteHint::Flatten => "flatten",
        })
    }
}

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
