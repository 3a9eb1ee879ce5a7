//! Nothing of the input is lost, doubled or invented.

use super::broken::{Broken, Property};
use cranelift_inliner::check::{CheckError, check};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionName, Program};

/// Checks that each function of the result matches the report: it is the input function, with each
/// inlined call replaced by the final body of its callee.
///
/// The [checker](cranelift_inliner::check), whose documentation lists what it proves, proves this
/// for instructions, operands and edges, and with them tags, slot keys, source locations, value
/// labels and stack maps. A function that the checker cannot decide does not break the property;
/// see [`unproved`].
///
/// # Errors
///
/// The first difference, in the first function in input order that has one.
pub fn accounted_for(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    unproved(before, inlined).map(drop)
}

/// Like [`accounted_for`], but returns the functions that the checker [cannot
/// decide](cranelift_inliner::check::Undecided), in input order. Tests that rely on the checker
/// should count them: there should be hardly any.
///
/// # Errors
///
/// See [`accounted_for`].
pub fn unproved(before: &Program, inlined: &Inlined) -> Result<Vec<FunctionName>, Broken> {
    let mut unproved = Vec::new();
    for (id, function) in before.iter() {
        let broken = |difference: String| {
            Err(Broken::new(Property::Accounted, difference).in_function(function.name()))
        };
        let Some(after) = inlined.body(id) else {
            return broken("there is no body".into());
        };
        let Some(copies) = inlined.copies(id) else {
            return broken("there are no records".into());
        };
        match check(&copies, after) {
            Ok(()) => {}
            Err(CheckError::Undecided(_)) => unproved.push(function.name().clone()),
            Err(error) => return broken(error.to_string()),
        }
    }
    Ok(unproved)
}
