//! How much each function may grow.

use crate::decide::Limits;
use crate::graph::CallGraph;
use crate::program::FunctionId;
use cranelift_entity::SecondaryMap;

/// Splits the growth of the program among its functions.
///
/// A common pot would make one function's decisions depend on how far the
/// others are, hence on threads. So each function gets a share beforehand, in
/// proportion to its own size and the sizes of what it calls: the functions
/// that have something to inline get room for it, and the shares add up to the
/// program's limit at most.
pub(super) fn growth_shares(
    graph: &CallGraph,
    insts: &SecondaryMap<FunctionId, usize>,
    ids: impl Iterator<Item = FunctionId> + Clone,
    limits: &Limits,
) -> SecondaryMap<FunctionId, usize> {
    let weight = |id: FunctionId| -> u128 {
        let callees = graph
            .callees(id)
            .filter_map(|site| site.callee_function())
            .map(|callee| insts[callee] as u128);
        insts[id] as u128 + callees.sum::<u128>()
    };
    let size = ids.clone().map(|id| insts[id]).sum();
    let growth = limits.growth(size) as u128;
    let mut weights = Vec::new();
    let mut total: u128 = 0;
    for id in ids.clone() {
        let weight = weight(id);
        weights.push(weight);
        total = total.saturating_add(weight);
    }
    let mut shares = SecondaryMap::new();
    for (id, weight) in ids.zip(weights) {
        let share = growth.saturating_mul(weight).checked_div(total);
        shares[id] = usize::try_from(share.unwrap_or(0)).unwrap_or(usize::MAX);
    }
    shares
}
