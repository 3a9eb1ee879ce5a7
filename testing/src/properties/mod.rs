//! Properties of a program after inlining, each a function for your own programs.
//!
//! | property | meaning |
//! |---|---|
//! | [`compiles`] | the result verifies, and compiles on four architectures, wherever the input does |
//! | [`behaves`] | it has the same results, traps and calls of the host, interpreted and natively |
//! | [`same_frames`] | a debugger sees the same tags and slots at each call of the host |
//! | [`accounted_for`] | nothing of the input is lost, doubled or invented |
//! | [`reads_back`] | the printed result reads back as itself |
//! | [`deterministic`] | the same for any number of threads and any order of the input |
//! | [`any_order`] | splicing all calls at once equals splicing them one by one in any order |
//! | [`within_limits`] | growth stays within the limits |
//! | [`refusals_change_nothing`] | a refused splice has not touched its caller |
//! | [`in_shards`] | the program in shards does the same as the whole |
//! | [`valid_functions_are_taken`] | valid functions are not refused as malformed |
//!
//! Each returns [`Broken`], which names the function, the place and the first difference.

mod accounted;
mod behaves;
mod broken;
mod code;
mod compiles;
mod deterministic;
mod frames;
mod limits;
mod malformed;
mod orders;
mod refusals;
mod shards;
mod text;

pub use crate::orders::seeded;
pub use accounted::{accounted_for, unproved};
pub use behaves::{behaves, behaves_at};
pub use broken::{Broken, Property};
pub use compiles::{compiles, compiles_for};
pub use deterministic::deterministic;
pub use frames::same_frames;
pub use limits::within_limits;
pub use malformed::valid_functions_are_taken;
pub use orders::any_order;
pub use refusals::refusals_change_nothing;
pub use shards::{in_shards, split};
pub use text::reads_back;

use crate::execute::Invocation;
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::splice;

/// Runs `inliner` over `program` and checks every property of the result, except [`in_shards`],
/// which needs the program in parts. Frames are compared if they are [counted](CountedFrames), like
/// those of generated programs.
///
/// # Errors
///
/// The first broken property, or the error of the pass.
pub fn all(
    program: &Program,
    invocations: &[Invocation],
    inliner: &Inliner<'_>,
) -> Result<(), Broken> {
    let inlined = inliner.run(program);
    let inlined = inlined.map_err(|error| Broken::new(Property::Finishes, error.to_string()))?;
    valid_functions_are_taken(program, &inlined)?;
    let plain = inliner.without_optimization();
    let spliced = plain.run(program);
    let spliced = spliced.map_err(|error| Broken::new(Property::Finishes, error.to_string()))?;
    accounted_for(program, &spliced)?;
    compiles(program, &inlined)?;
    behaves(program, &inlined, invocations)?;
    same_frames(program, &inlined, invocations, &CountedFrames)?;
    reads_back(program, &inlined)?;
    within_limits(program, &inlined, inliner.hard_limits())?;
    let options = inliner.splice_options_for(program);
    refusals_change_nothing(program, |caller, call, callee| {
        splice(caller, call, callee, &options)
    })?;
    deterministic(program, inliner)?;
    for seed in 0..3 {
        any_order(program, &inlined, inliner, seeded(seed))?;
        any_order(program, &spliced, &plain, seeded(seed))?;
    }
    Ok(())
}
