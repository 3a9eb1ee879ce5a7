//! Builds a table while bodies are spliced.

use super::table::{Entry, LocationTable};
use crate::body::{for_each_label_srcloc, rebase_srclocs};
use crate::program::FunctionName;
use crate::splice::SpliceLocations;
use cranelift_codegen::ir::{Function, RelSourceLoc, SourceLoc};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

/// The table of a function during inlining.
///
/// ```
/// use cranelift_inliner::locations::{LocationBuilder, LocationTable};
/// use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
///
/// let functions = cranelift_reader::parse_functions("
/// function %twice(i32) -> i32 fast {
/// block0(v0: i32):
/// @0001   v1 = iadd v0, v0
/// @0002   return v1
/// }
/// function %main(i32) -> i32 fast {
///     fn0 = %twice(i32) -> i32 fast
/// block0(v0: i32):
/// @0001   v1 = call fn0(v0)
/// @0002   return v1
/// }")?;
/// let (callee, mut caller) = (&functions[0], functions[1].clone());
/// let mut builder = LocationBuilder::begin(&mut caller);
/// let entry = caller.layout.entry_block().ok_or("no block")?;
/// let call = caller.layout.first_inst(entry).ok_or("no call")?;
/// let own = LocationTable::own(callee.name.clone().into());
/// let options = SpliceOptions::default();
/// let mut context = SpliceContext::new();
/// let mut session = context.session(&mut caller, &options);
/// session.splice_with(call, &Callee::new(callee)?, &mut builder.inlining(&own))?;
/// session.finish();
/// let table = builder.finish(&mut caller);
/// assert_eq!(
///     table.to_string(),
///     "@0000: %main @0001\n\
///      @0001: %main @0002\n\
///      @0002: %twice @0001 inlined at %main @0001\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocationBuilder {
    names: Vec<FunctionName>,
    name_numbers: FxHashMap<FunctionName, u32>,
    entries: Vec<Entry>,
    entry_numbers: FxHashMap<Entry, u32>,
    /// By entry, whether a body is inlined at it.
    has_body: Vec<bool>,
    translation: Translation,
}

/// The new numbers of a callee's entries and names during one splice.
#[derive(Default)]
struct Translation {
    entries: Vec<Option<u32>>,
    names: Vec<Option<u32>>,
    /// The last location of a callee without entries.
    last: Option<(SourceLoc, u32)>,
}

impl Translation {
    fn restart(&mut self, callee: &LocationTable) {
        self.entries.clear();
        self.entries.resize(callee.len(), None);
        self.names.clear();
        self.names.resize(callee.functions().len(), None);
        self.last = None;
    }
}

impl LocationBuilder {
    /// Turns the locations of `func`, which must be the front end's, into entries.
    pub fn begin(func: &mut Function) -> Self {
        let name = FunctionName::from(func.name.clone());
        let mut builder = LocationBuilder {
            names: vec![name.clone()],
            name_numbers: FxHashMap::from_iter([(name, 0)]),
            entries: Vec::new(),
            entry_numbers: FxHashMap::with_capacity_and_hasher(func.dfg.num_insts(), FxBuildHasher),
            has_body: Vec::new(),
            translation: Translation::default(),
        };
        let mut last = None;
        rewrite(func, |location| match last {
            Some((known, entry)) if known == location => entry,
            _ => {
                let entry = builder.entry(Entry {
                    name: 0,
                    location,
                    call: None,
                });
                last = Some((location, entry));
                entry
            }
        });
        builder
    }

    /// Turns the locations of `func`, into which nothing is inlined, into the entries of a table.
    pub(crate) fn number(func: &mut Function) -> LocationTable {
        // All entries are in use, in the order of their numbers.
        let LocationBuilder { names, entries, .. } = Self::begin(func);
        LocationTable {
            names,
            entries: Some(entries),
        }
    }

    /// Takes up a finished table again, to inline further into its function.
    ///
    /// `func` is the function that the table was made for, with the locations that
    /// [`LocationBuilder::finish`] gave it, or for [`LocationTable::own`] with its own.
    pub fn resume(table: LocationTable, func: &mut Function) -> Self {
        let LocationTable { names, entries } = table;
        let Some(entries) = entries else {
            return Self::begin(func);
        };
        let mut has_body = vec![false; entries.len()];
        for call in entries.iter().filter_map(|entry| entry.call) {
            has_body[call as usize] = true;
        }
        LocationBuilder {
            name_numbers: (0..)
                .zip(&names)
                .map(|(n, name)| (name.clone(), n))
                .collect(),
            names,
            entry_numbers: (0..).zip(&entries).map(|(n, &entry)| (entry, n)).collect(),
            entries,
            has_body,
            translation: Translation::default(),
        }
    }

    /// Returns the translation of locations for one splice of the function that `callee` belongs
    /// to, for [`Session::splice_with`](crate::splice::Session::splice_with).
    pub fn inlining<'b>(&'b mut self, callee: &'b LocationTable) -> InlinedLocations<'b> {
        self.translation.restart(callee);
        InlinedLocations {
            builder: self,
            callees: &[],
            callee: Some(callee),
            call: None,
            unknown: None,
        }
    }

    /// Returns the translation of locations for several splices, for
    /// [`Session::splice_all_with`](crate::splice::Session::splice_all_with). `callees` has the
    /// table of each callee, in the order of the splices; locations of splices beyond its end
    /// become unknown.
    pub fn inlining_all<'b>(
        &'b mut self,
        callees: &'b [&'b LocationTable],
    ) -> InlinedLocations<'b> {
        InlinedLocations {
            builder: self,
            callees,
            callee: None,
            call: None,
            unknown: None,
        }
    }

    /// Returns the location that an entry of the table so far stands for, in the function that it
    /// comes from.
    pub(crate) fn own_location(&self, location: SourceLoc) -> SourceLoc {
        let entry = self.entries.get(location.bits() as usize);
        entry.map_or(SourceLoc::default(), |entry| entry.location)
    }

    /// Returns the table of `func` as it is: entries that nothing in it uses are dropped, and the
    /// others get new numbers, which `func` then has.
    pub fn finish(self, func: &mut Function) -> LocationTable {
        let mut used = vec![false; self.entries.len()];
        for_each_location(func, |location| {
            if let Some(used) = used.get_mut(location.bits() as usize) {
                *used = true;
            }
        });
        // A call's entry comes before those that were inlined at it.
        for (number, entry) in self.entries.iter().enumerate().rev() {
            if let Some(call) = entry.call.filter(|_| used[number]) {
                used[call as usize] = true;
            }
        }
        let mut kept_names = Vec::new();
        let mut entries = Vec::with_capacity(used.iter().filter(|used| **used).count());
        let mut numbers = vec![None; self.entries.len()];
        let mut names: Vec<Option<u32>> = vec![None; self.names.len()];
        kept_names.push(self.names[0].clone());
        names[0] = Some(0);
        for (number, entry) in self.entries.iter().enumerate() {
            if !used[number] {
                continue;
            }
            let name = entry.name as usize;
            let name = *names[name].get_or_insert_with(|| {
                kept_names.push(self.names[name].clone());
                kept_names.len() as u32 - 1
            });
            numbers[number] = Some(entries.len() as u32);
            entries.push(Entry {
                name,
                location: entry.location,
                call: entry.call.and_then(|call| numbers[call as usize]),
            });
        }
        rewrite(func, |location| {
            numbers.get(location.bits() as usize).copied().flatten()
        });
        LocationTable {
            names: kept_names,
            entries: Some(entries),
        }
    }

    fn name(&mut self, name: &FunctionName) -> u32 {
        if let Some(&number) = self.name_numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.clone());
        self.name_numbers.insert(name.clone(), number);
        number
    }

    /// Returns the number of an entry with this content; `None` if no number is left.
    fn entry(&mut self, entry: Entry) -> Option<u32> {
        if let Some(&number) = self.entry_numbers.get(&entry) {
            return Some(number);
        }
        let number = self.new_entry(entry)?;
        self.entry_numbers.insert(entry, number);
        Some(number)
    }

    /// Returns the number of a new entry, even if an equal one exists; `None` if no number is left.
    fn new_entry(&mut self, entry: Entry) -> Option<u32> {
        let number = u32::try_from(self.entries.len()).ok()?;
        if SourceLoc::new(number).is_default() {
            return None;
        }
        self.entries.push(entry);
        self.has_body.push(false);
        Some(number)
    }

    /// Returns the entry for one more body inlined at a call with the entry `call`: a duplicate of
    /// it if another body is inlined there already.
    fn body_at(&mut self, call: u32) -> Option<u32> {
        let has_body = self.has_body.get(call as usize).copied()?;
        let number = match has_body {
            true => self.new_entry(self.entries[call as usize])?,
            false => call,
        };
        self.has_body[number as usize] = true;
        Some(number)
    }
}

/// Replaces the locations of the instructions in the layout of `func` and of its value labels; all
/// others become unknown.
fn rewrite(func: &mut Function, mut entry: impl FnMut(SourceLoc) -> Option<u32>) {
    // Relative to 0 each number is itself, and only the unknown one is unknown.
    rebase_srclocs(func, SourceLoc::new(0));
    let old = std::mem::take(&mut func.stencil.srclocs);
    let stencil = &mut func.stencil;
    // One entry after the other would let the table grow again and again.
    stencil.srclocs.resize(stencil.dfg.num_insts());
    let mut rewrite = |relative: RelSourceLoc| {
        let location = relative.expand(SourceLoc::new(0));
        let new = if location.is_default() {
            None
        } else {
            entry(location)
        };
        new.map_or_else(RelSourceLoc::default, RelSourceLoc::new)
    };
    for block in stencil.layout.blocks() {
        for inst in stencil.layout.block_insts(block) {
            if !old[inst].is_default() {
                stencil.srclocs[inst] = rewrite(old[inst]);
            }
        }
    }
    let labels = stencil.dfg.values_labels.iter_mut();
    for assignments in labels.flat_map(|labels| labels.values_mut()) {
        for_each_label_srcloc(assignments, |from| *from = rewrite(*from));
    }
}

/// Calls `visit` with each location that [`rewrite`] would pass on.
fn for_each_location(func: &mut Function, mut visit: impl FnMut(SourceLoc)) {
    let base = SourceLoc::new(0);
    rebase_srclocs(func, base);
    let mut visit = |relative: RelSourceLoc| {
        let location = relative.expand(base);
        if !location.is_default() {
            visit(location);
        }
    };
    let stencil = &mut func.stencil;
    for block in stencil.layout.blocks() {
        for inst in stencil.layout.block_insts(block) {
            visit(stencil.srclocs[inst]);
        }
    }
    let labels = stencil.dfg.values_labels.iter_mut();
    for assignments in labels.flat_map(|labels| labels.values_mut()) {
        for_each_label_srcloc(assignments, |from| visit(*from));
    }
}

/// The translation of a callee's locations for one splice.
pub struct InlinedLocations<'b> {
    builder: &'b mut LocationBuilder,
    /// Of the splices still to come.
    callees: &'b [&'b LocationTable],
    /// Of this splice.
    callee: Option<&'b LocationTable>,
    call: Option<u32>,
    /// The entry of the callee's instructions without a location.
    unknown: Option<u32>,
}

impl SpliceLocations for InlinedLocations<'_> {
    fn start(&mut self, splice: usize) {
        if !self.callees.is_empty() {
            self.callee = self.callees.get(splice).copied();
        }
        self.call = None;
        self.unknown = None;
        if let Some(callee) = self.callee {
            self.builder.translation.restart(callee);
        }
    }

    fn spliced(&mut self, own: SourceLoc, call: SourceLoc) -> SourceLoc {
        let entry = self.entry(own, call);
        entry.map_or_else(SourceLoc::default, SourceLoc::new)
    }

    fn places_unknown(&self) -> bool {
        true
    }
}

impl InlinedLocations<'_> {
    fn entry(&mut self, own: SourceLoc, call: SourceLoc) -> Option<u32> {
        let callee = self.callee?;
        let call = self.call(call)?;
        match &callee.entries {
            Some(entries) if entries.get(own.bits() as usize).is_some() => {
                self.translate(callee, entries, own.bits(), call)
            }
            None if !own.is_default() => self.own(callee, own, call),
            _ => self.unknown(callee, call),
        }
    }

    fn call(&mut self, location: SourceLoc) -> Option<u32> {
        if self.call.is_none() {
            let known = self.builder.entries.len() > location.bits() as usize;
            let call = if known {
                Some(location.bits())
            } else {
                self.builder.entry(Entry {
                    name: 0,
                    location: SourceLoc::default(),
                    call: None,
                })
            };
            self.call = call.and_then(|call| self.builder.body_at(call));
        }
        self.call
    }

    fn unknown(&mut self, callee: &LocationTable, call: u32) -> Option<u32> {
        if self.unknown.is_none() {
            self.unknown = self.own(callee, SourceLoc::default(), call);
        }
        self.unknown
    }

    /// Returns the entry of a location of the callee's own code.
    fn own(&mut self, callee: &LocationTable, location: SourceLoc, call: u32) -> Option<u32> {
        if let Some((last, entry)) = self.builder.translation.last
            && last == location
        {
            return Some(entry);
        }
        let name = self.name(callee, 0);
        let entry = self.builder.entry(Entry {
            name,
            location,
            call: Some(call),
        })?;
        self.builder.translation.last = Some((location, entry));
        Some(entry)
    }

    /// Returns the entry that stands for an entry of the callee, after those that it is inlined at.
    fn translate(
        &mut self,
        callee: &LocationTable,
        entries: &[Entry],
        number: u32,
        call: u32,
    ) -> Option<u32> {
        let mut missing: SmallVec<[u32; 8]> = SmallVec::new();
        let mut at = number;
        let mut result = loop {
            if let Some(known) = self.builder.translation.entries[at as usize] {
                break known;
            }
            missing.push(at);
            match entries[at as usize].call {
                Some(next) => at = next,
                None => break call,
            }
        };
        while let Some(at) = missing.pop() {
            let entry = &entries[at as usize];
            let name = self.name(callee, entry.name);
            self.builder.has_body[result as usize] = true;
            // The call has no other body, so no entry from before this splice is equal. Equal
            // entries of the callee are calls with bodies of their own.
            result = self.builder.new_entry(Entry {
                name,
                location: entry.location,
                call: Some(result),
            })?;
            self.builder.translation.entries[at as usize] = Some(result);
        }
        Some(result)
    }

    fn name(&mut self, callee: &LocationTable, number: u32) -> u32 {
        let number = number as usize;
        if let Some(known) = self.builder.translation.names[number] {
            return known;
        }
        let name = self.builder.name(&callee.names[number]);
        self.builder.translation.names[number] = Some(name);
        name
    }
}
