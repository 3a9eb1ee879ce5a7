//! The size limits of a page. Browsers get slow with pages of tens of megabytes, so the page of a
//! large module leaves things out, by rules that it states.

use super::Names;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::FunctionId;
use std::cmp::Reverse;

/// The bytes of a page, at most.
pub(super) const PAGE: usize = 10_000_000;
/// Bytes for the rows of functions and the heads of their trees.
const FUNCTIONS: usize = 3_500_000;
/// Bytes for the rows of call sites.
pub(super) const SITES: usize = 2_000_000;
/// Bytes for the sites in trees.
pub(super) const TREES: usize = 1_500_000;
/// Arrows in the data, and so in the picture.
pub(super) const ARROWS: usize = 10_000;
/// Drawn arrows.
pub(super) const LINES: usize = 3_000;
/// Drawn functions.
pub(super) const DISCS: usize = 2_000;

/// The functions of a page, in the order of the input.
pub(super) struct Shown {
    pub(super) functions: Vec<FunctionId>,
    /// The place of each function of the program among `functions`.
    places: Vec<Option<usize>>,
}

impl Shown {
    /// Returns as many functions as fit: those whose sizes changed most come first, and among
    /// equals the largest.
    pub(super) fn of(inlined: &Inlined, names: &Names<'_>) -> Self {
        let program = inlined.input();
        let importance = |&id: &FunctionId| {
            let stats = inlined.stats(id);
            let change = stats.insts_after.abs_diff(stats.insts_before);
            Reverse((change, stats.insts_before))
        };
        let mut order: Vec<FunctionId> = program.ids().collect();
        order.sort_by_key(importance);
        let mut left = FUNCTIONS;
        let fits = |id: &FunctionId| {
            let name = program.get(*id).map_or(0, |f| name_bytes(&names(f.name())));
            // A row of the table, the head of a tree, and the name in the data.
            match left.checked_sub(750 + 5 * name) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => false,
            }
        };
        let mut functions: Vec<_> = order.into_iter().take_while(fits).collect();
        functions.sort_unstable();
        let mut places = vec![None; program.len()];
        for (place, id) in functions.iter().enumerate() {
            if let Some(of_function) = places.get_mut(id.as_u32() as usize) {
                *of_function = Some(place);
            }
        }
        Self { functions, places }
    }

    /// Returns the number of a function in the page; `None` if it is left out.
    pub(super) fn number(&self, id: FunctionId) -> Option<usize> {
        self.places.get(id.as_u32() as usize).copied().flatten()
    }

    /// Returns the number of functions left out.
    pub(super) fn left_out(&self) -> usize {
        self.places.len() - self.functions.len()
    }
}

/// Returns the bytes of a name in markup.
pub(super) fn name_bytes(name: &str) -> usize {
    let escaped = name.bytes().filter(|byte| b"<>&\"".contains(byte)).count();
    name.len() + 5 * escaped
}
