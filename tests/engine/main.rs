//! Splicing and clean-up: results, refusals, and properties that must not break.
//!
//! The filetests show each rule on a file of CLIF; the other files test facts that text does not
//! show.

mod body;
mod broken_references;
mod caller_checks;
#[cfg(feature = "all-arch")]
mod checks;
mod cleanup_constants;
mod cleanup_labels;
mod entities;
#[cfg(feature = "all-arch")]
mod filetests;
mod functions;
mod in_place;
mod interfaces;
mod malformed;
mod malformed_told;
mod many;
mod metadata;
mod optimize_labels;
mod optimize_shared;
mod refusals;
mod stack_limits;
#[cfg(feature = "all-arch")]
mod steps;
#[cfg(feature = "all-arch")]
mod upstream_defects;
