//! An embedder's attributes of functions and hints for calls.

use std::fmt;

/// An embedder's demand for the calls of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum InlineAttribute {
    /// Nothing: the policy decides.
    #[default]
    None,
    /// Inline it wherever that is legal.
    Always,
    /// Never inline it.
    Never,
}

/// An embedder's attributes of a function.
///
/// ```
/// use cranelift_inliner::program::{Attributes, InlineAttribute};
///
/// let never = Attributes::default().with_inline(InlineAttribute::Never);
/// let panicking = never.with_cold(true);
/// assert!(!panicking.flatten);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct Attributes {
    /// Whether its calls are to be inlined.
    pub inline: InlineAttribute,
    /// It seldom runs, and so do the calls in it.
    pub cold: bool,
    /// Inline all functions below it that the program defines: its callees, their callees, and so
    /// on, wherever that is legal. Functions with [`InlineAttribute::Never`] are not inlined. GCC's
    /// `flatten`.
    pub flatten: bool,
}

settings!(Attributes {
    with_inline: inline: InlineAttribute,
    with_cold: cold: bool,
    with_flatten: flatten: bool,
});

/// An embedder's hint for one call. It takes precedence over the attributes of the callee.
///
/// A hint goes with the call: where the body around the call is inlined elsewhere, the hint holds
/// for the copy.
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
