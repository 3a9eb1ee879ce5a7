//! What became of the functions of a module.

use crate::locations::LocationTable;
use crate::pass::{Inlined, Recorded};
use crate::profile::{Instrumented, Profile, WrongLength};
use crate::program::{FunctionId, FunctionName, Program};
use cranelift_entity::SecondaryMap;
use cranelift_module::{DataId, FuncId};
use std::fmt;
use std::sync::Arc;

/// What one [flush](super::InliningModule::flush) did, or the
/// [last one](super::InliningModule::finish).
///
/// Displayed, it lists every call with its decision and the reason, says of demands that could not
/// be met what they were, and at its end what became of the module.
pub struct ModuleReport {
    program: Program,
    inlined: Inlined,
    defined: Vec<FuncId>,
    dropped: Vec<FuncId>,
    ids: SecondaryMap<FuncId, Option<FunctionId>>,
    fallbacks: Vec<(FuncId, String)>,
    counters: Option<Counters>,
}

/// Counters at calls.
pub(super) struct Counters {
    pub(super) table: DataId,
    pub(super) instrumented: Instrumented,
}

impl ModuleReport {
    pub(super) fn new(program: Program, inlined: Inlined) -> Self {
        Self {
            program,
            inlined,
            defined: Vec::new(),
            dropped: Vec::new(),
            ids: SecondaryMap::new(),
            fallbacks: Vec::new(),
            counters: None,
        }
    }

    pub(super) fn add_defined(
        &mut self,
        function: FuncId,
        id: FunctionId,
        fallback: Option<String>,
    ) {
        self.defined.push(function);
        self.ids[function] = Some(id);
        self.fallbacks.extend(fallback.map(|why| (function, why)));
    }

    pub(super) fn add_dropped(&mut self, function: FuncId) {
        self.dropped.push(function);
    }

    pub(super) fn set_counters(&mut self, counters: Option<Counters>) {
        self.counters = counters;
    }

    /// The table of counters, if calls are [counted](super::InliningModule::count_calls): 64-bit
    /// numbers in the byte order of the machine.
    pub fn counters(&self) -> Option<DataId> {
        self.counters.as_ref().map(|counters| counters.table)
    }

    /// The profile that the table of [`ModuleReport::counters`] holds when the program has run. It
    /// is empty if calls are not counted.
    ///
    /// # Errors
    ///
    /// [`WrongLength`] if it is another table.
    pub fn profile(&self, table: &[u64]) -> Result<Profile, WrongLength> {
        match &self.counters {
            Some(counters) => counters.instrumented.profile(table),
            None if table.is_empty() => Ok(Profile::new()),
            None => Err(WrongLength {
                counters: table.len(),
                sites: 0,
            }),
        }
    }

    /// The functions as they were held back, named by their symbols, and with counters if calls are
    /// [counted](super::InliningModule::count_calls). Those that an earlier flush
    /// defined are
    /// [available externally](crate::program::Linkage::AvailableExternally), as far as they matter.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What the pass made of [`ModuleReport::program`]: every decision with its reason, sizes, and
    /// times.
    pub fn inlined(&self) -> &Inlined {
        &self.inlined
    }

    /// The functions that were defined, in this order.
    pub fn defined(&self) -> &[FuncId] {
        &self.defined
    }

    /// The local functions that nothing used, in the order of their definition. They have a trap in
    /// place of their code.
    pub fn dropped(&self) -> &[FuncId] {
        &self.dropped
    }

    /// The functions that were defined as they were before inlining, with what Cranelift had
    /// against what inlining made of them.
    pub fn fallbacks(&self) -> &[(FuncId, String)] {
        &self.fallbacks
    }

    /// The function of [`ModuleReport::program`] that was defined as `function`; `None` if it was
    /// not defined now.
    pub fn function(&self, function: FuncId) -> Option<FunctionId> {
        self.ids[function]
    }

    /// What the source locations in the code of `function` stand for; `None` if the pass was to
    /// keep them as they are, and for a function that was not defined now.
    pub fn locations(&self, function: FuncId) -> Option<Arc<LocationTable>> {
        let id = self.function(function)?;
        let table = self.inlined.locations(id)?;
        let fell_back = self.fallbacks.iter().any(|(id, _)| *id == function);
        Some(if fell_back {
            Arc::new(LocationTable::own(self.program.get(id)?.name().clone()))
        } else {
            Arc::clone(table)
        })
    }

    fn symbol(&self, id: FunctionId) -> impl fmt::Display + '_ {
        self.program
            .get(id)
            .map_or("?".into(), |function| symbol(function.name()))
    }
}

/// A function's name without the `%` that CLIF puts before it.
fn symbol(name: &FunctionName) -> String {
    let name = name.to_string();
    match name.strip_prefix('%') {
        Some(symbol) => symbol.to_owned(),
        None => name,
    }
}

impl fmt::Display for ModuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut inlined, mut calls) = (0, 0);
        let mut last = None;
        for site in self.inlined.sites() {
            calls += 1;
            inlined += usize::from(site.inlined);
            if last != Some(site.caller) {
                last = Some(site.caller);
                let stats = self.inlined.stats(site.caller);
                writeln!(
                    f,
                    "{}: {} -> {} instructions",
                    self.symbol(site.caller),
                    stats.insts_before,
                    stats.insts_after
                )?;
            }
            let decision = if site.inlined { "inlined" } else { "kept" };
            let via: String = site
                .via()
                .iter()
                .map(|&id| format!("{} > ", self.symbol(id)))
                .collect();
            let callee = symbol(&site.callee);
            write!(f, "    {decision:7} {via}{callee}: {}", site.reason)?;
            let unmet = self.inlined.demand(&self.program, site);
            match unmet.filter(|_| !site.inlined) {
                Some(demand) => writeln!(f, ", though {demand}")?,
                None => writeln!(f)?,
            }
        }
        write!(f, "{inlined} ")?;
        // Without a record of every call nobody knows of how many.
        if self.inlined.recorded() == Recorded::All {
            write!(f, "of {calls} ")?;
        }
        write!(
            f,
            "calls inlined; {} functions defined, {} dropped",
            self.defined.len(),
            self.dropped.len()
        )?;
        if !self.fallbacks.is_empty() {
            write!(f, ", {} as they were", self.fallbacks.len())?;
        }
        Ok(())
    }
}
