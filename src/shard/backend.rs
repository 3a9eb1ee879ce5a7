//! A shard with its imports, and the run of the pass that follows its plan.

use super::bodies::ShardFunctions;
use super::error::LinkError;
use super::shard_plan::{ShardPlan, Visibility};
#[cfg(feature = "object")]
use crate::backend::ObjectLinkage;
use crate::decide::{CallSite, Decision, EarlyCallee, Inline, PolicyReason};
use crate::pass::{CompiledProgram, Inlined, Inliner, PassError};
use crate::plan::{Deviation, DeviationKind, NOT_LISTED, SitePath};
#[cfg(feature = "object")]
use crate::program::FunctionId;
use crate::program::{Attributes, FunctionName, Linkage, Program, ProgramFunction};
use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValueData, UserExternalName, UserFuncName,
};
use cranelift_codegen::isa::TargetIsa;
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A shard with the bodies that its plan imports, ready to be compiled.
#[derive(Clone, Debug)]
pub struct LinkedShard {
    program: Program,
    plan: ShardPlan,
    /// The functions with hidden symbols, by their names in the program.
    #[cfg(feature = "object")]
    hidden: FxHashSet<FunctionName>,
    missing: Vec<MissingImport>,
}

/// A function that a plan imports and that is not there as the plan expects. Calls of it stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingImport {
    /// The shard that should have it.
    pub shard: String,
    /// Its name there.
    pub function: FunctionName,
    /// The reason.
    pub reason: MissingReason,
}

/// Why a function cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingReason {
    /// The shard is not at hand.
    NoShard,
    /// The shard does not define it.
    NoFunction,
    /// Its content is another one than when the plan was made.
    Changed,
    /// Its name is taken by a function of this shard.
    NameTaken,
    /// It refers to a local function of its shard that is missing.
    Incomplete,
}

impl fmt::Display for MissingImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingImport {
            shard,
            function,
            reason,
        } = self;
        match reason {
            MissingReason::NoShard => write!(f, "{function}: {shard} was not given"),
            MissingReason::NoFunction => write!(f, "{function}: {shard} does not define it"),
            MissingReason::Changed => write!(f, "{function}: {shard} has another version of it"),
            MissingReason::Incomplete => {
                write!(
                    f,
                    "{function} of {shard}: a function that it needs is missing"
                )
            }
            MissingReason::NameTaken => write!(f, "{function} of {shard}: the name is taken"),
        }
    }
}

impl ShardPlan {
    /// Puts a shard and its imports together. `import` gives a [`Program`] or [`ShardFunctions`]
    /// with at least the functions that [`imports`](ShardPlan::imports) lists for a shard, in any
    /// order; `None` if that shard is not at hand.
    ///
    /// Attributes and hints were met when the plan was made, so they are dropped here.
    ///
    /// # Errors
    ///
    /// [`LinkError::Undefined`] if the plan is for another version of the shard.
    pub fn link<F: Into<ShardFunctions>>(
        &self,
        shard: &Program,
        mut import: impl FnMut(&str) -> Option<F>,
    ) -> Result<LinkedShard, LinkError> {
        for name in self.changes.keys() {
            if shard.id(name).is_none() {
                return Err(LinkError::Undefined {
                    shard: self.shard.clone(),
                    name: name.clone(),
                });
            }
        }
        let own_names: BTreeMap<&FunctionName, &FunctionName> = self
            .changes
            .iter()
            .filter_map(|(name, change)| Some((name, change.name.as_ref()?)))
            .collect();
        let mut linked = LinkedShard {
            program: Program::new(),
            plan: self.clone(),
            #[cfg(feature = "object")]
            hidden: self.hidden().cloned().collect(),
            missing: Vec::new(),
        };
        for (_, function) in shard.iter() {
            let visibility = self
                .changes
                .get(function.name())
                .map(|change| change.visibility);
            let linkage = match visibility {
                Some(Visibility::Discarded) => continue,
                Some(Visibility::Local) => Linkage::Local,
                Some(Visibility::Interposable) => Linkage::Interposable,
                Some(Visibility::Elsewhere) => Linkage::AvailableExternally,
                Some(Visibility::Hidden | Visibility::Exported) | None => Linkage::Exported,
            };
            linked.program.add_function(
                renamed(function, &own_names)
                    .with_linkage(linkage)
                    .with_attributes(Attributes::default()),
            )?;
        }
        for name in shard.tables() {
            let entries: Vec<_> = shard
                .table(name)
                .map(|(offset, function)| {
                    let new = own_names.get(function).copied().unwrap_or(function);
                    (offset, new.clone())
                })
                .collect();
            linked.program.add_table(name.clone(), entries);
        }
        linked.import(&mut |shard| import(shard).map(Into::into))?;
        Ok(linked)
    }
}

/// An import on its way into a shard.
struct Found {
    shard: String,
    /// Its name there.
    original: FunctionName,
    /// Its name in the program.
    name: FunctionName,
    function: Result<ProgramFunction, MissingReason>,
    is_copy: bool,
}

impl LinkedShard {
    /// Adds all imports that are there.
    fn import(
        &mut self,
        import: &mut dyn FnMut(&str) -> Option<ShardFunctions>,
    ) -> Result<(), LinkError> {
        let mut all = Vec::new();
        for (from, imports) in &self.plan.imports {
            let other = import(from);
            let mut names: BTreeMap<&FunctionName, &FunctionName> = imports.names.iter().collect();
            for (name, import) in &imports.functions {
                names.insert(name, &import.name);
            }
            for (name, import) in &imports.functions {
                let found = match &other {
                    None => Err(MissingReason::NoShard),
                    Some(other) => {
                        let program = other.program();
                        let id = program.id(name);
                        let function = id.and_then(|id| Some((program.get(id)?, other.hash(id)?)));
                        function.ok_or(MissingReason::NoFunction)
                    }
                };
                let function = found.and_then(|(function, hash)| {
                    let is_same = hash == import.hash;
                    let is_free = self.program.id(&import.name).is_none();
                    match (is_same, is_free) {
                        (false, _) => Err(MissingReason::Changed),
                        (true, false) => Err(MissingReason::NameTaken),
                        (true, true) => Ok(renamed(function, &names)),
                    }
                });
                all.push(Found {
                    shard: from.clone(),
                    original: name.clone(),
                    name: import.name.clone(),
                    function,
                    is_copy: import.is_copy,
                });
            }
        }
        drop_incomplete(&mut all);
        for found in all {
            match found.function {
                Ok(function) => {
                    let linkage = match found.is_copy {
                        true => Linkage::Local,
                        false => Linkage::AvailableExternally,
                    };
                    let function = function.with_linkage(linkage);
                    let function = function.with_attributes(Attributes::default());
                    self.program.add_function(function)?;
                }
                Err(reason) => self.missing.push(MissingImport {
                    shard: found.shard,
                    function: found.original,
                    reason,
                }),
            }
        }
        Ok(())
    }

    /// Returns the functions of the shard, and after them those that are imported, which are
    /// [available externally](Linkage::AvailableExternally) or local.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the plan that put it together.
    pub fn plan(&self) -> &ShardPlan {
        &self.plan
    }

    /// Returns the functions that the plan expects and that are not there.
    pub fn missing(&self) -> &[MissingImport] {
        &self.missing
    }

    /// Returns the visibility of a function's symbol in the object file of the shard: that of its
    /// linkage, or hidden if only other shards refer to it. `None` for a function that is defined
    /// elsewhere and never compiled here, or that [`program`](Self::program) does not have.
    #[cfg(feature = "object")]
    pub fn object_linkage(&self, function: FunctionId) -> Option<ObjectLinkage> {
        let function = self.program.get(function)?;
        match function.linkage() {
            Linkage::Exported if self.hidden.contains(function.name()) => {
                Some(ObjectLinkage::Hidden)
            }
            Linkage::Exported => Some(ObjectLinkage::Export),
            Linkage::Local => Some(ObjectLinkage::Local),
            Linkage::Interposable => Some(ObjectLinkage::Preemptible),
            Linkage::AvailableExternally => None,
        }
    }

    /// Inlines as the plan says, and compiles the shard for `isa`. `inliner` must have the settings
    /// with which the plan was made. Its policy decides only about indirect calls whose target
    /// becomes known on the way, for plans are made without bodies and cannot list them.
    ///
    /// # Errors
    ///
    /// Those of [`Inliner::run_and_compile`].
    pub fn run_and_compile(
        &self,
        inliner: &Inliner<'_>,
        isa: &dyn TargetIsa,
    ) -> Result<(Inlined, CompiledProgram), PassError> {
        self.followed(inliner).run_and_compile(&self.program, isa)
    }

    /// Like [`run_and_compile`](Self::run_and_compile), but does not compile.
    ///
    /// # Errors
    ///
    /// Those of [`Inliner::run`].
    pub fn run(&self, inliner: &Inliner<'_>) -> Result<Inlined, PassError> {
        self.followed(inliner).run(&self.program)
    }

    /// Returns the pass that follows the plan.
    fn followed<'s>(&'s self, inliner: &'s Inliner<'_>) -> Inliner<'s> {
        let sites = self.plan.plan.iter();
        let inlined = sites.filter(|(_, site)| site.inline);
        let policy = Followed {
            plan: &self.plan,
            inlined: inlined.map(|(path, _)| path.callee()).collect(),
            others: inliner.policy(),
        };
        let mut options = inliner.optimization().clone();
        if !self.plan.never_throw.is_empty() {
            let known = options.never_throws.iter();
            let known = known.chain(&self.plan.never_throw).cloned();
            options.never_throws = Arc::new(known.collect());
        }
        inliner.following(policy).optimize_options(options)
    }

    /// Returns the planned calls that stayed calls, or were not there, with the reason.
    pub fn deviations(&self, inlined: &Inlined) -> Vec<Deviation> {
        let mut deviations = self.plan.plan.deviations(inlined);
        deviations.retain(|deviation| !matches!(deviation.kind, DeviationKind::Unlisted { .. }));
        deviations
    }
}

/// Drops imports that refer to a local function of their shard which is missing: no symbol stands
/// for it, so their calls must stay calls.
fn drop_incomplete(all: &mut [Found]) {
    loop {
        let missing: BTreeSet<FunctionName> = all
            .iter()
            .filter(|found| found.is_copy && found.function.is_err())
            .map(|found| found.name.clone())
            .collect();
        let mut changed = false;
        for found in all.iter_mut() {
            let Ok(function) = &found.function else {
                continue;
            };
            let lacks = refers_to(function.body(), &missing);
            if lacks {
                found.function = Err(MissingReason::Incomplete);
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

fn refers_to(body: &Function, names: &BTreeSet<FunctionName>) -> bool {
    mentioned(body).any(|name| {
        let name = FunctionName::of_external(body, name);
        name.is_some_and(|name| names.contains(&name))
    })
}

/// Returns the names that a body declares, of functions and of symbols.
fn mentioned(body: &Function) -> impl Iterator<Item = &ExternalName> {
    let symbols = body.global_values.values().filter_map(|data| match data {
        GlobalValueData::Symbol { name, .. } => Some(name),
        _ => None,
    });
    let functions = body.dfg.ext_funcs.values().map(|data| &data.name);
    functions.chain(symbols)
}

/// Follows the plan of a shard.
struct Followed<'s> {
    plan: &'s ShardPlan,
    /// The functions that planned calls inline.
    inlined: FxHashSet<&'s FunctionName>,
    others: &'s dyn Inline,
}

impl Inline for Followed<'_> {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let names = site.path_names();
        let became_direct = names.iter().any(|name| name.stage > 0);
        if became_direct {
            return self.others.decide(site);
        }
        let planned = SitePath::from_names(&names);
        match planned.and_then(|path| self.plan.plan.get(&path)) {
            Some(planned) if planned.inline => Decision::inline("planned"),
            Some(_) => Decision::keep("planned"),
            None => Decision::keep(NOT_LISTED),
        }
    }

    /// Rules out functions that the plan never inlines, unless an indirect call may turn out to
    /// call them.
    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        if self.inlined.contains(callee.name()) {
            return None;
        }
        match callee.is_address_taken() {
            true => self.others.rules_out(callee),
            false => Some(NOT_LISTED.into()),
        }
    }
}

/// Returns the function with other names for itself and for those that it refers to.
fn renamed(
    function: &ProgramFunction,
    names: &BTreeMap<&FunctionName, &FunctionName>,
) -> ProgramFunction {
    let body = function.body();
    let is_concerned =
        |name: Option<FunctionName>| name.is_some_and(|name| names.contains_key(&name));
    if !names.contains_key(function.name())
        && !mentioned(body).any(|name| is_concerned(FunctionName::of_external(body, name)))
    {
        return function.clone();
    }
    let mut body = Function::clone(body);
    if let Some(name) = names.get(function.name()) {
        body.name = UserFuncName::from((*name).clone());
    }
    let new_name = |name: Option<FunctionName>| name.and_then(|name| names.get(&name).copied());
    let functions: Vec<_> = body.dfg.ext_funcs.keys().collect();
    for func_ref in functions {
        let name = FunctionName::of_callee(&body, func_ref);
        if let Some(new) = new_name(name) {
            let new = external_name(&mut body, new);
            body.dfg.ext_funcs[func_ref].name = new;
        }
    }
    let values: Vec<_> = body.global_values.keys().collect();
    for value in values {
        let name = match &body.global_values[value] {
            GlobalValueData::Symbol { name, .. } => FunctionName::of_external(&body, name),
            _ => None,
        };
        if let Some(new) = new_name(name) {
            let new = external_name(&mut body, new);
            if let GlobalValueData::Symbol { name, .. } = &mut body.global_values[value] {
                *name = new;
            }
        }
    }
    function.clone().with_body(body)
}

fn external_name(body: &mut Function, name: &FunctionName) -> ExternalName {
    match name.as_user_func_name() {
        UserFuncName::Testcase(name) => ExternalName::TestCase(name.clone()),
        UserFuncName::User(name) => {
            let UserExternalName { namespace, index } = *name;
            let reference =
                body.declare_imported_user_function(UserExternalName::new(namespace, index));
            ExternalName::User(reference)
        }
    }
}
