//! Makes the checker's tree of copies from records.

use super::report::SiteRecord;
use crate::check::{CopyId, CopyTree};
use crate::program::FunctionId;
use cranelift_codegen::ir::Function;

/// Returns the tree of copies by the records of a stage, which start at the index `first`.
/// `original` is the body with which the stage began. `body_of` gives the final body of a callee.
pub(super) fn copy_tree<'f>(
    original: &'f Function,
    records: &[SiteRecord],
    first: usize,
    body_of: impl Fn(FunctionId) -> Option<&'f Function>,
) -> CopyTree<'f> {
    let mut tree = CopyTree::new(original);
    let mut copies: Vec<Option<CopyId>> = Vec::with_capacity(records.len());
    for record in records {
        let callee = record.callee_id.and_then(&body_of);
        let parent = match record.parent() {
            Some(parent) => {
                let parent = parent.checked_sub(first);
                parent.and_then(|parent| copies.get(parent).copied().flatten())
            }
            None => Some(CopyTree::ROOT),
        };
        copies.push(match (callee, parent) {
            (Some(callee), Some(parent)) if record.inlined => {
                Some(tree.add(parent, record.source_inst(), callee))
            }
            _ => None,
        });
    }
    tree
}
