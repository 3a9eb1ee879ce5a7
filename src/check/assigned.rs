//! The assignments of the source in a gap.

use super::place::Terms;
use super::tree::CopyId;
use cranelift_codegen::ir::Value;
use rustc_hash::FxHashMap;

/// Longer gaps are looked up by hash: a block of thousands of calls that do nothing is one gap.
const MAX_SEARCHED: usize = 16;

/// The values that a gap assigned so far, in order, each as it was assigned last.
#[derive(Clone, Default)]
pub(super) struct Assigned {
    list: Vec<(CopyId, Value, Terms)>,
    /// The index of each value; empty while the list is short.
    last: FxHashMap<(CopyId, Value), usize>,
    /// Whether the assignments hold on several ways together.
    joins: bool,
    /// Whether fewer facts hold for some value than before.
    is_less: bool,
}

impl Assigned {
    /// Joins ways from here on: a value that is assigned again keeps only the terms that it had
    /// before and still has.
    pub(super) fn join_from_here(&mut self) {
        self.joins = true;
    }

    /// Returns whether fewer facts hold for some value than at the last call of this.
    pub(super) fn take_less(&mut self) -> bool {
        std::mem::take(&mut self.is_less)
    }

    pub(super) fn push(&mut self, copy: CopyId, value: Value, terms: Terms) {
        let found = self.find(copy, value);
        if let Some((_, _, known)) = found.and_then(|index| self.list.get_mut(index)) {
            if !self.joins {
                *known = terms;
                return;
            }
            let before = known.len();
            known.retain(|term| terms.contains(term));
            self.is_less |= known.len() != before;
            return;
        }
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

    fn find(&self, copy: CopyId, value: Value) -> Option<usize> {
        if self.last.is_empty() {
            let is_it =
                |&(of, assigned, _): &(CopyId, Value, Terms)| (of, assigned) == (copy, value);
            self.list.iter().position(is_it)
        } else {
            self.last.get(&(copy, value)).copied()
        }
    }

    pub(super) fn get(&self, copy: CopyId, value: Value) -> Option<&Terms> {
        let found = self.find(copy, value)?;
        self.list.get(found).map(|(_, _, terms)| terms)
    }

    /// Returns whether the same values have the same terms, in the same order.
    pub(super) fn is_same(&self, other: &Assigned) -> bool {
        self.list == other.list
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the values added after the first `before` ones.
    pub(super) fn added_since(&self, before: usize) -> impl Iterator<Item = (CopyId, Value)> {
        let added = self.list.get(before..).unwrap_or_default().iter();
        added.map(|&(copy, value, _)| (copy, value))
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
    use super::super::place::one;
    use super::*;

    #[test]
    fn the_last_assignment_counts_in_short_and_long_gaps() {
        let (a, b) = (Value::from_u32(1), Value::from_u32(2));
        let mut assigned = Assigned::default();
        for round in 0..40 {
            assigned.push(CopyTree::ROOT, Value::from_u32(9 + round), one(b));
            assigned.push(CopyTree::ROOT, a, one(Value::from_u32(round)));
            let found = assigned.get(CopyTree::ROOT, a);
            assert_eq!(found, Some(&one(Value::from_u32(round))), "{round}");
            assert_eq!(assigned.get(CopyTree::ROOT, b), None);
        }
        assert_eq!(assigned.into_iter().count(), 41);
    }

    #[test]
    fn joined_facts_hold_on_all_ways() {
        let value = Value::from_u32;
        let terms = |values: &[u32]| values.iter().map(|&index| value(index).into()).collect();
        let mut assigned = Assigned::default();
        assigned.push(CopyTree::ROOT, value(1), terms(&[5, 6, 7]));
        assigned.join_from_here();
        assigned.push(CopyTree::ROOT, value(2), terms(&[5]));
        assert!(!assigned.take_less());
        assigned.push(CopyTree::ROOT, value(1), terms(&[7, 6, 8]));
        assert!(assigned.take_less());
        assert!(!assigned.take_less());
        assert_eq!(
            assigned.get(CopyTree::ROOT, value(1)),
            Some(&terms(&[6, 7]))
        );
        assert_eq!(assigned.into_iter().count(), 2);
    }
}
