//! Nothing of the input is lost, doubled or invented.

use super::broken::{Broken, Property};
use cranelift_inliner::check::check;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::Program;

/// Each function of the result is what the report says: the function that went in, with the calls
/// that were inlined replaced by the final bodies of their callees.
///
/// That is proved by the [checker](cranelift_inliner::check), which tells what it proves and what it does not:
/// instructions, operands and edges, and with them tags, slot keys, source locations, value labels
/// and stack maps.
///
/// # Errors
///
/// The first difference, in the first function in input order that has one.
pub fn accounted_for(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    for (id, function) in before.iter() {
        let broken = |difference: String| {
            Err(Broken::new(Property::Accounted, difference).in_function(function.name()))
        };
        let Some(after) = inlined.body(id) else {
            return broken("there is no body".into());
        };
        let Some(copies) = inlined.copies(before, id) else {
            return broken("there are no records".into());
        };
        if let Err(difference) = check(&copies, after) {
            return broken(difference.to_string());
        }
    }
    Ok(())
}
