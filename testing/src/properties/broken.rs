//! A broken property, and its place.

use cranelift_inliner::program::FunctionName;
use std::fmt;
use thiserror::Error;

/// A property that a program violates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Broken {
    property: Property,
    function: Option<FunctionName>,
    place: String,
    difference: String,
}

/// A property of a program after inlining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Property {
    /// The pass ends without an error.
    Finishes,
    /// The result verifies and compiles wherever the input does.
    Compiles,
    /// The result behaves like the input.
    Behaves,
    /// A debugger sees the same frames.
    Frames,
    /// Nothing of the input is lost, doubled or invented.
    Accounted,
    /// The printed result reads back as itself.
    Text,
    /// The result depends only on the functions.
    Deterministic,
    /// The order of splices does not matter.
    Orders,
    /// Growth stays within the limits.
    Limits,
    /// A refused splice has not touched its caller.
    Refusals,
    /// Valid functions are not refused as malformed.
    Malformed,
    /// The program in shards does the same as the whole.
    Shards,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Property::Finishes => "the pass fails",
            Property::Compiles => "the result does not compile",
            Property::Behaves => "the result does something else",
            Property::Frames => "a debugger sees other frames",
            Property::Accounted => "the result is not the input with calls replaced",
            Property::Text => "the printed result does not read back",
            Property::Deterministic => "the result depends on more than the functions",
            Property::Orders => "the order of splices matters",
            Property::Limits => "a limit is exceeded",
            Property::Shards => "the program in shards does something else",
            Property::Malformed => "a valid function is refused as malformed",
            Property::Refusals => "a refused splice changed its caller",
        })
    }
}

impl Broken {
    pub(super) fn new(property: Property, difference: impl Into<String>) -> Self {
        Broken {
            property,
            function: None,
            place: String::new(),
            difference: difference.into(),
        }
    }

    pub(super) fn in_function(mut self, function: &FunctionName) -> Self {
        self.function = Some(function.clone());
        self
    }

    pub(super) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// Returns the broken property.
    pub fn property(&self) -> Property {
        self.property
    }

    /// Returns the function that breaks it; `None` if it is unknown.
    pub fn function(&self) -> Option<&FunctionName> {
        self.function.as_ref()
    }

    /// Returns the place in the function, or the build or run; may be empty.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns a description of the first difference.
    pub fn difference(&self) -> &str {
        &self.difference
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.property)?;
        if let Some(function) = &self.function {
            write!(f, "{function}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.difference)
    }
}

/// Returns the number of the first line in which two texts differ, from 1, and the line in each;
/// empty past the end.
pub(super) fn first_difference<'t>(
    one: &'t str,
    other: &'t str,
) -> Option<(usize, &'t str, &'t str)> {
    let (mut ones, mut others) = (one.lines(), other.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (ones.next(), others.next()) {
            (None, None) => return (one != other).then_some((number, "", "")),
            (a, b) if a == b => {}
            (a, b) => return Some((number, a.unwrap_or_default(), b.unwrap_or_default())),
        }
    }
}
