//! The report about the functions of a module.

use crate::backtrace::FunctionBacktraces;
use crate::locations::{LabelTable, LocationTable};
use crate::pass::{Inlined, RecordLevel, SiteRecord};
use crate::profile::{Instrumented, Profile, WrongLength};
use crate::program::{FunctionId, FunctionName, Program};
use cranelift_entity::SecondaryMap;
use cranelift_module::{DataId, FuncId};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// The report of a [flush](super::InliningModule::flush), or of the [last
/// one](super::InliningModule::finish).
///
/// Displayed, it is one line with the numbers of inlined calls, of kept calls by the short names of
/// their reasons, and of defined and dropped functions. Another line follows for each
/// [warning](Inlined::warnings) and for each unmet demand. The alternate form, `{:#}`, lists every
/// call with its decision and the reason first.
pub struct ModuleReport {
    inlined: Inlined,
    defined: Vec<FuncId>,
    dropped: Vec<FuncId>,
    unused: Vec<FuncId>,
    ids: SecondaryMap<FuncId, Option<FunctionId>>,
    fallbacks: Vec<(FuncId, String)>,
    counters: Option<Counters>,
    backtraces: SecondaryMap<FuncId, Option<FunctionBacktraces>>,
    /// Those that are not empty.
    labels: FxHashMap<FuncId, LabelTable>,
    from_background: bool,
}

/// Counters at calls.
pub(super) struct Counters {
    pub(super) table: DataId,
    pub(super) instrumented: Instrumented,
}

impl ModuleReport {
    pub(super) fn new(inlined: Inlined) -> Self {
        Self {
            inlined,
            defined: Vec::new(),
            dropped: Vec::new(),
            unused: Vec::new(),
            ids: SecondaryMap::new(),
            fallbacks: Vec::new(),
            counters: None,
            backtraces: SecondaryMap::new(),
            labels: FxHashMap::default(),
            from_background: false,
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

    pub(super) fn set_unused(&mut self, unused: Vec<FuncId>) {
        self.unused = unused;
    }

    pub(super) fn set_from_background(&mut self) {
        self.from_background = true;
    }

    /// Returns whether the work was done in the background, after a
    /// [`start`](super::InliningModule::start). The result is the same without.
    pub fn is_from_background(&self) -> bool {
        self.from_background
    }

    pub(super) fn set_counters(&mut self, counters: Option<Counters>) {
        self.counters = counters;
    }

    /// Returns the table of counters, if calls are [counted](super::InliningModule::count_calls):
    /// 64-bit numbers in the byte order of the machine.
    pub fn counters(&self) -> Option<DataId> {
        self.counters.as_ref().map(|counters| counters.table)
    }

    /// Returns the profile that the table of [`ModuleReport::counters`] holds when the program has
    /// run. It is empty if calls are not counted.
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

    /// Returns the functions as they were held back, named by their symbols, and with counters if
    /// calls are [counted](super::InliningModule::count_calls). Those that an earlier flush defined
    /// are [available externally](crate::program::Linkage::AvailableExternally), as far as they
    /// matter.
    pub fn program(&self) -> &Program {
        self.inlined.input()
    }

    /// Returns the result of the pass over [`ModuleReport::program`]: every decision with its
    /// reason, sizes, and times.
    pub fn inlined(&self) -> &Inlined {
        &self.inlined
    }

    /// Returns the functions that were defined, in this order.
    pub fn defined(&self) -> &[FuncId] {
        &self.defined
    }

    /// Returns the local functions that were defined though nothing in the module refers to them:
    /// they are there to be asked for. [`drop_unused`](super::InliningModule::drop_unused) would
    /// save their code.
    ///
    /// Functions that are not flushed yet may come to use them.
    pub fn unused(&self) -> &[FuncId] {
        &self.unused
    }

    /// Returns the local functions that nothing used, in the order of their definition. They have a
    /// trap in place of their code.
    pub fn dropped(&self) -> &[FuncId] {
        &self.dropped
    }

    /// Returns the functions that were defined with their original bodies, with Cranelift's error
    /// about the inlined ones.
    pub fn fallbacks(&self) -> &[(FuncId, String)] {
        &self.fallbacks
    }

    /// Returns the function of [`ModuleReport::program`] that was defined as `function`; `None` if
    /// it was not defined now.
    pub fn function(&self, function: FuncId) -> Option<FunctionId> {
        self.ids[function]
    }

    /// Returns the table of the source locations in the code of `function`; `None` if the pass
    /// keeps locations as they are, or if the function was not defined in this flush.
    pub fn locations(&self, function: FuncId) -> Option<Arc<LocationTable>> {
        let id = self.function(function)?;
        let table = self.inlined.locations(id)?;
        let fell_back = self.fallbacks.iter().any(|(id, _)| *id == function);
        Some(if fell_back {
            Arc::new(LocationTable::own(
                self.inlined.input().get(id)?.name().clone(),
            ))
        } else {
            Arc::clone(table)
        })
    }

    pub(super) fn set_labels(&mut self, function: FuncId, labels: LabelTable) {
        if !labels.is_empty() {
            self.labels.insert(function, labels);
        }
    }

    /// Returns the variables that the value labels in the code of `function` stand for; `None` if
    /// it has none. If the pass keeps locations as they are, there is no table, and labels are the
    /// front end's.
    ///
    /// Labels of two bodies in one function may have the same number. So
    /// [`on_define`](super::InliningModule::on_define) and
    /// [`on_compiled`](super::InliningModule::on_compiled) see the numbers of this table.
    pub fn labels(&self, function: FuncId) -> Option<&LabelTable> {
        self.labels.get(&function)
    }

    pub(super) fn set_backtraces(&mut self, function: FuncId, backtraces: FunctionBacktraces) {
        self.backtraces[function] = Some(backtraces);
    }

    /// Returns the chains of source places in the code of `function`, for a
    /// [`BacktraceTable`](crate::backtrace::BacktraceTable) of the module; `None` if they are not
    /// [kept](super::InliningModule::keep_backtraces), or if the function was not defined in this
    /// flush.
    ///
    /// Functions have the names of [`ModuleReport::program`], which are their symbols.
    pub fn backtraces(&self, function: FuncId) -> Option<&FunctionBacktraces> {
        self.backtraces[function].as_ref()
    }

    fn symbol(&self, id: FunctionId) -> impl fmt::Display + '_ {
        self.inlined
            .input()
            .get(id)
            .map_or("?".into(), |function| symbol(function.name()))
    }
}

/// Returns a function's name without the `%` that CLIF puts before it.
fn symbol(name: &FunctionName) -> String {
    let name = name.to_string();
    match name.strip_prefix('%') {
        Some(symbol) => symbol.to_owned(),
        None => name,
    }
}

impl fmt::Display for ModuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            self.write_calls(f)?;
        }
        let mut inlined = 0;
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for site in self.inlined.sites() {
            match site.inlined {
                true => inlined += 1,
                false => *kept.entry(site.reason.slug()).or_default() += 1,
            }
        }
        write!(f, "{} inlined", count(inlined, "call"))?;
        // Without a record of every call, the number of those that stayed is not known.
        if self.inlined.recorded() == RecordLevel::All {
            write!(f, ", {} kept", kept.values().sum::<usize>())?;
            let mut reasons: Vec<(&str, usize)> = kept.into_iter().collect();
            reasons.sort_by_key(|&(_, count)| Reverse(count));
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            if !reasons.is_empty() {
                write!(f, " ({})", reasons.join(", "))?;
            }
        }
        let defined = count(self.defined.len(), "function");
        write!(f, "; {defined} defined")?;
        if !self.unused.is_empty() {
            write!(f, " ({} of them unused)", self.unused.len())?;
        }
        write!(f, ", {} dropped", self.dropped.len())?;
        if !self.fallbacks.is_empty() {
            write!(f, ", {} as they were", self.fallbacks.len())?;
        }
        for warning in self.inlined.warnings() {
            write!(f, "\nwarning: {warning}")?;
        }
        if !f.alternate() {
            for site in self.inlined.unmet() {
                write!(f, "\n{}: ", self.symbol(site.caller))?;
                self.write_call(f, site)?;
            }
        }
        Ok(())
    }
}

impl ModuleReport {
    /// Writes every call with its decision, by caller.
    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for site in self.inlined.sites() {
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
            f.write_str("    ")?;
            self.write_call(f, site)?;
            f.write_char('\n')?;
        }
        Ok(())
    }

    fn write_call(&self, f: &mut fmt::Formatter<'_>, site: &SiteRecord) -> fmt::Result {
        let decision = if site.inlined { "inlined" } else { "kept" };
        write!(f, "{decision:7} ")?;
        for &id in site.via() {
            write!(f, "{} > ", self.symbol(id))?;
        }
        write!(f, "{}: {}", symbol(&site.callee), site.reason)?;
        let unmet = self.inlined.demand(site);
        match unmet.filter(|_| !site.inlined) {
            Some(demand) => write!(f, ", though {demand}"),
            None => Ok(()),
        }
    }
}

/// Formats a number with its noun: `1 call`, `2 calls`.
fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
