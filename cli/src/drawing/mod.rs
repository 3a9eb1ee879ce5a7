//! Pictures of a call graph with the decisions that were made on it.
//!
//! [`dot`] writes the graph for Graphviz, an arrow for each call site. [`svg`] draws it without
//! Graphviz, an arrow for all sites between two functions with the same verdict, where [`layout`]
//! says; so does the report's picture.
//! Both draw verdicts alike, as [`Look`] has it.

pub(crate) mod dot;
mod layers;
pub(crate) mod layout;
pub(crate) mod picture;
pub(crate) mod svg;

use crate::verdict::Verdict;

/// How an arrow is drawn.
#[derive(Clone, Copy)]
struct Look {
    color: &'static str,
    /// As Graphviz names it.
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
