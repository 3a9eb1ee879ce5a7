//! The bodies around calls that came in.

use crate::program::FunctionId;

/// The chains of inlined bodies, sharing their beginnings.
#[derive(Default)]
pub(super) struct Chains(Vec<(Option<usize>, FunctionId)>);

impl Chains {
    pub(super) fn push(&mut self, around: Option<usize>, callee: FunctionId) -> usize {
        self.0.push((around, callee));
        self.0.len() - 1
    }

    /// Iterates from the innermost body outwards.
    pub(super) fn walk(&self, mut link: Option<usize>) -> impl Iterator<Item = FunctionId> + '_ {
        std::iter::from_fn(move || {
            let (around, callee) = *self.0.get(link?)?;
            link = around;
            Some(callee)
        })
    }

    pub(super) fn list(&self, link: Option<usize>) -> Vec<FunctionId> {
        let mut list: Vec<_> = self.walk(link).collect();
        list.reverse();
        list
    }
}
