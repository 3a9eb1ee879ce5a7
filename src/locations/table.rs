//! The table of one function.

use crate::program::FunctionName;
use cranelift_codegen::ir::SourceLoc;
use std::fmt;
use std::iter::FusedIterator;

/// The inlining history of one function's source locations.
///
/// See the head of the module. The locations of the function's instructions are indices into this
/// table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationTable {
    /// Each function once, the one that the table belongs to first.
    pub(super) names: Vec<FunctionName>,
    /// `None` if locations are the function's own, without entries.
    pub(super) entries: Option<Vec<Entry>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    /// Index of the function's name.
    pub(super) name: u32,
    pub(super) location: SourceLoc,
    /// The entry of the call, which comes before this one.
    pub(super) call: Option<u32>,
}

/// The source of an instruction: one level of its inlining history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place<'t> {
    /// The function in whose source the instruction is.
    pub function: &'t FunctionName,
    /// The front end's location in the function; it may be unknown.
    pub location: SourceLoc,
    /// The entry, in the same table, of the call at which `function` was inlined; `None` where it
    /// is the function that was compiled.
    pub call: Option<SourceLoc>,
}

impl LocationTable {
    /// Returns the table of a function called `name` before inlining, whose locations are its front
    /// end's and not entries.
    pub fn own(name: FunctionName) -> Self {
        LocationTable {
            names: vec![name],
            entries: None,
        }
    }

    /// Returns whether locations are the function's own; see [`LocationTable::own`].
    pub fn is_own(&self) -> bool {
        self.entries.is_none()
    }

    /// Returns the function that the table belongs to.
    pub fn function(&self) -> &FunctionName {
        // Every constructor puts it there.
        &self.names[0]
    }

    /// Returns the names of the functions that occur, each once, beginning with
    /// [`LocationTable::function`].
    pub fn functions(&self) -> &[FunctionName] {
        &self.names
    }

    /// Returns the number of entries: valid locations are less than it.
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, Vec::len)
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the places that `location` of the function stands for, innermost first.
    ///
    /// There is at least one, and the last one's function is the table's. An unknown location, or
    /// one that is not an entry, is an unknown location in the table's function.
    pub fn chain(&self, location: SourceLoc) -> Chain<'_> {
        Chain {
            table: self,
            next: Some(location),
        }
    }

    /// Returns the innermost place of `location`.
    pub fn innermost(&self, location: SourceLoc) -> Place<'_> {
        let own = |location| Place {
            function: self.function(),
            location,
            call: None,
        };
        let Some(entries) = &self.entries else {
            return own(location);
        };
        let Some(entry) = entries.get(location.bits() as usize) else {
            return own(SourceLoc::default());
        };
        Place {
            function: self
                .names
                .get(entry.name as usize)
                .unwrap_or(self.function()),
            location: entry.location,
            call: entry.call.map(SourceLoc::new),
        }
    }
}

/// The places of one location, innermost first: see [`LocationTable::chain`].
#[derive(Clone, Debug)]
pub struct Chain<'t> {
    table: &'t LocationTable,
    next: Option<SourceLoc>,
}

impl<'t> Iterator for Chain<'t> {
    type Item = Place<'t>;

    fn next(&mut self) -> Option<Place<'t>> {
        let place = self.table.innermost(self.next?);
        self.next = place.call;
        Some(place)
    }
}

impl FusedIterator for Chain<'_> {}

/// Writes `%f @0007`, or `%f` where the location is unknown.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if !self.location.is_default() {
            write!(f, " {}", self.location)?;
        }
        Ok(())
    }
}

/// Writes one line per entry: its number and its places, innermost first.
impl fmt::Display for LocationTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in (0u32..).take(self.len()) {
            let location = SourceLoc::new(number);
            write!(f, "{location}:")?;
            for (depth, place) in self.chain(location).enumerate() {
                let at = if depth == 0 { " " } else { " inlined at " };
                write!(f, "{at}{place}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
