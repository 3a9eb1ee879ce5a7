//! What the source assigns in a gap.

use super::place::Terms;
use super::tree::CopyId;
use cranelift_codegen::ir::Value;
use rustc_hash::FxHashMap;

/// Longer gaps are looked up by hash: a block of thousands of calls that do
/// nothing is one gap.
const MAX_SEARCHED: usize = 16;

/// The values that a gap assigned so far, in order.
#[derive(Clone, Default)]
pub(super) struct Assigned {
    list: Vec<(CopyId, Value, Terms)>,
    /// Where each value was assigned last; empty while the list is short.
    last: FxHashMap<(CopyId, Value), usize>,
}

impl Assigned {
    pub(super) fn push(&mut self, copy: CopyId, value: Value, terms: Terms) {
        self.list.push((copy, value, terms));
        if self.list.len() > MAX_SEARCHED {
            let from = match self.last.is_empty() {
                true => 0,
                false => self.list.len() - 1,
            };
            let added = self.list.iter().enumerate().skip(from);
            self.last
                .extend(added.map(|(index, &(copy, value, _))| ((copy, value), index)));
        }
    }

    /// What a value was assigned last.
    pub(super) fn get(&self, copy: CopyId, value: Value) -> Option<&Terms> {
        let found = if self.last.is_empty() {
            let is_it =
                |&(of, assigned, _): &(CopyId, Value, Terms)| (of, assigned) == (copy, value);
            self.list.iter().rposition(is_it)
        } else {
            self.last.get(&(copy, value)).copied()
        };
        self.list.get(found?).map(|(_, _, terms)| terms)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(CopyId, Value, Terms)> {
        self.list.iter()
    }

    pub(super) fn terms_mut(&mut self) -> impl Iterator<Item = &mut Terms> {
        self.list.iter_mut().map(|(_, _, terms)| terms)
    }
}

impl IntoIterator for Assigned {
    type Item = (CopyId, Value, Terms);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::CopyTree;
    use super::super::walk::one;
    use super::*;

    #[test]
    fn the_last_assignment_counts_in_short_and_long_gaps() {
        let (a, b) = (Value::from_u32(1), Value::from_u32(2));
        let mut assigned = Assigned::default();
        for round in 0..40 {
            assigned.push(CopyTree::ROOT, a, one(Value::from_u32(round)));
            let found = assigned.get(CopyTree::ROOT, a);
            assert_eq!(found, Some(&one(Value::from_u32(round))), "{round}");
            assert_eq!(assigned.get(CopyTree::ROOT, b), None);
        }
        assert_eq!(assigned.len(), 40);
    }
}
