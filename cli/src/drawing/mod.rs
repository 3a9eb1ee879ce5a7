//! Pictures of a call graph with its decisions.
//!
//! [`dot`] writes the graph for Graphviz, with an arrow for each call site. [`svg`] draws it
//! without Graphviz, with an arrow for all sites between two functions with the same verdict.
//! [`layout`] places its nodes, and those of the report's picture. [`Look`] is their common style
//! of verdicts.

pub(crate) mod dot;
mod layers;
pub(crate) mod layout;
pub(crate) mod picture;
pub(crate) mod svg;

use crate::verdict::Verdict;

/// The style of an arrow.
#[derive(Clone, Copy)]
struct Look {
    color: &'static str,
    /// The name in Graphviz.
    style: &'static str,
    /// The same as SVG's `stroke-dasharray`.
    dashes: &'static str,
    meaning: &'static str,
}

impl Look {
    fn of(verdict: Verdict) -> Self {
        let (color, style, dashes, meaning) = match verdict {
            Verdict::Inlined => ("#2e7d32", "solid", "none", "inlined"),
            Verdict::Kept => ("#757575", "dashed", "6 4", "kept by policy or attribute"),
            Verdict::Refused => (
                "#c62828",
                "dotted",
                "2 3",
                "refused: illegal or beyond a limit",
            ),
            Verdict::External => ("#9e9e9e", "solid", "none", "external"),
        };
        Self {
            color,
            style,
            dashes,
            meaning,
        }
    }
}
