//! Suggestions for misspelt names of functions.

use crate::failure::Failure;
use cranelift_inliner::program::{FunctionName, Program};
use strsim::normalized_damerau_levenshtein;

/// The least similarity of a suggestion.
const ALIKE: f64 = 0.6;

/// Returns the error for an option's function that `program` does not define.
pub(crate) fn unknown(option: &str, name: &FunctionName, program: &Program) -> Failure {
    let names = program
        .iter()
        .map(|(_, function)| function.name().to_string());
    let meant = did_you_mean(name, names);
    Failure::new(format!(
        "{option} {name}: no input defines this function{meant}"
    ))
}

/// Returns `; did you mean %f?` if a name of `defined` is similar to `name`. Numbers are all
/// similar, so they get no suggestion.
pub(crate) fn did_you_mean(name: &FunctionName, defined: impl Iterator<Item = String>) -> String {
    let is_number = |name: &str| !name.starts_with('%');
    let name = name.to_string();
    if is_number(&name) {
        return String::new();
    }
    let mut best: Option<(f64, String)> = None;
    for other in defined {
        let alike = normalized_damerau_levenshtein(&name, &other);
        let is_better = best.as_ref().is_none_or(|(least, _)| alike > *least);
        if alike >= ALIKE && is_better && !is_number(&other) {
            best = Some((alike, other));
        }
    }
    best.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}
