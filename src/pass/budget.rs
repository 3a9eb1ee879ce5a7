//! The growth that each function is allowed.

use crate::decide::Limits;
use crate::program::FunctionId;
use cranelift_entity::SecondaryMap;

/// Splits the growth of the program among its functions.
///
/// With a common budget, one function's decisions would depend on the progress of the others, hence
/// on threads. So each function gets a share beforehand: the growth that [`Limits`] allow for its
/// size, lowered in proportion if the shares add up to more than the growth of the program.
pub(crate) fn growth_shares(
    sizes: &SecondaryMap<FunctionId, usize>,
    ids: &[FunctionId],
    limits: &Limits,
) -> SecondaryMap<FunctionId, usize> {
    let size = ids
        .iter()
        .map(|&id| sizes[id])
        .fold(0, usize::saturating_add);
    let wanted = |id: FunctionId| limits.growth_of_function(sizes[id]) as u128;
    let total = ids
        .iter()
        .map(|&id| wanted(id))
        .fold(0, u128::saturating_add);
    let available = limits.growth_of_program(size) as u128;
    let mut shares = SecondaryMap::new();
    for &id in ids {
        let share = if total <= available {
            wanted(id)
        } else {
            // Both factors are less than 2^64.
            wanted(id) * available / total
        };
        shares[id] = usize::try_from(share).unwrap_or(usize::MAX);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_entity::EntityRef;

    fn shares(sizes: &[usize], limits: &Limits) -> Vec<usize> {
        let ids: Vec<_> = (0..sizes.len()).map(FunctionId::new).collect();
        let mut sizes_of = SecondaryMap::new();
        for (&id, &size) in ids.iter().zip(sizes) {
            sizes_of[id] = size;
        }
        let shares = growth_shares(&sizes_of, &ids, limits);
        ids.iter().map(|&id| shares[id]).collect()
    }

    #[test]
    fn shares_never_add_up_to_more_than_the_program_may_grow() {
        let limits = Limits {
            function_growth: 10.0,
            function_growth_floor: 50,
            program_growth: 2.0,
            program_growth_floor: 0,
            ..Limits::default()
        };
        // Wanted: 50, 1000 and 2000; available: 610.
        assert_eq!(shares(&[5, 100, 200], &limits), [10, 200, 400]);
    }

    #[test]
    fn shares_are_the_limits_of_functions_where_these_fit() {
        let limits = Limits {
            function_growth: 1.5,
            function_growth_floor: 10,
            program_growth: 100.0,
            ..Limits::default()
        };
        assert_eq!(shares(&[2, 100], &limits), [10, 150]);
        assert_eq!(shares(&[], &limits), [0usize; 0]);
    }
}
