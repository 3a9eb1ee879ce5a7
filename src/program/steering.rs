//! What an embedder says of functions and calls: demands, and what it knows of how often they run.

use std::fmt;

/// What an embedder demands for the calls of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum InlineAttribute {
    /// Nothing: the policy decides.
    #[default]
    None,
    /// Inline it wherever that is legal.
    Always,
    /// Never inline it.
    Never,
}

/// What an embedder says of a function beside its body.
///
/// ```
/// use cranelift_inliner::program::{Attributes, InlineAttribute};
///
/// let panicking = Attributes {
///     inline: InlineAttribute::Never,
///     cold: true,
///     ..Attributes::default()
/// };
/// assert!(!panicking.flatten);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes {
    /// Whether its calls are to be inlined.
    pub inline: InlineAttribute,
    /// It seldom runs, and so do the calls in it.
    pub cold: bool,
    /// Inline everything below it that the program defines: the functions that it calls, those that
    /// they call, and so on, wherever that is legal. Functions that are
    /// [never](InlineAttribute::Never) to be inlined are not. GCC's `flatten`.
    pub flatten: bool,
}

/// What an embedder says of one call. It says more than the attributes of the callee, and comes
/// first where the two disagree.
///
/// A hint goes with the call: where the body that has the call is inlined elsewhere, it holds for
/// the call's copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum SiteHint {
    /// Inline this call if that is legal.
    Always,
    /// Leave this call.
    Never,
    /// It is seldom executed, and so are the calls in the body if it is inlined.
    Cold,
    /// Inline this call and everything below it, as far as that is legal.
    Flatten,
}

impl fmt::Display for SiteHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SiteHint::Always => "always",
            SiteHint::Never => "never",
            SiteHint::Cold => "cold",
            SiteHint::Flatten => "flatten",
        })
    }
}
