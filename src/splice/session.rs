//! Splices many calls of one caller.

use super::caller_checks::CheckedCaller;
use super::capacity::Growth;
use super::context::SpliceContext;
use super::copy::BodyCopier;
use super::facts::CalleeView;
use super::in_place::goes_in_place;
use super::segments::{Opening, Segments, Shape};
use super::site::{LegalSite, SiteKind, check_call, check_site};
use super::tables::{CopiedCall, DroppedPromises};
use super::{Callee, KeepLocations, Refusal, SpliceLocations, SpliceOptions};
use crate::body::{HandlerAddresses, drop_unreachable_blocks};
use crate::trace::Name;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{self, Inst, Opcode, Value};

impl SpliceContext {
    /// Creates an empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts splicing calls of `caller`.
    ///
    /// Costs nothing that grows with the caller, unless it has exception tables:
    /// blocks are looked at when a call of theirs is. Call [`Session::finish`]
    /// at the end; dropping the session does the same.
    pub fn session<'s>(
        &'s mut self,
        caller: &'s mut ir::Function,
        options: &'s SpliceOptions,
    ) -> Session<'s> {
        // Without exception tables there is no handler whose address could be
        // taken.
        if !caller.dfg.exception_tables.is_empty() {
            let checked = CheckedCaller::new(caller);
            return self.session_of_checked(caller, checked, options);
        }
        self.checks.start(caller);
        self.start(caller, HandlerAddresses::default(), options)
    }

    /// Returns whether the caller of the last, finished session has handler addresses. Some may be
    /// in removed blocks.
    pub(crate) fn left_handler_addresses(&self) -> bool {
        !self.handler_addresses.is_empty()
    }

    /// Like [`SpliceContext::session`], but for a checked caller: `checked` is from a function with
    /// the same instructions as `caller`.
    pub(crate) fn session_of_checked<'s>(
        &'s mut self,
        caller: &'s mut ir::Function,
        checked: CheckedCaller,
        options: &'s SpliceOptions,
    ) -> Session<'s> {
        self.checks.start_checked(checked.error);
        self.start(caller, checked.handler_addresses, options)
    }

    fn start<'s>(
        &'s mut self,
        caller: &'s mut ir::Function,
        handler_addresses: HandlerAddresses,
        options: &'s SpliceOptions,
    ) -> Session<'s> {
        self.entities.start(options);
        self.segments.clear();
        self.inherited_tags.clear();
        self.shared_slots.start(options);
        self.aliases.clear();
        self.copied_calls.clear();
        self.handler_addresses = handler_addresses;
        Session {
            context: self,
            own_insts: caller.dfg.num_insts(),
            caller,
            options,
            leaves_unreachable: false,
        }
    }
}

/// Splices calls of one caller, one after the other, in any order.
///
/// Between splices the caller is valid CLIF, but blocks with spliced calls are split into several;
/// [`Session::finish`], or dropping the session, joins them again. N splices cost O(N) plus the
/// size of the copies.
///
/// An embedder's own loop needs only this type. For each direct call, it prepares the body with
/// [`Callee::new`], tries [`Session::splice`], goes on with the [`CopiedCall`]s if they are to be
/// visited, and [forgets](Session::forget) a callee that it does not keep. If it knows several
/// calls beforehand, [`Session::splice_all`] replaces them with less work.
///
/// Calls that came in with a body can be spliced in the same session:
///
/// ```
/// use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
///
/// let functions = cranelift_reader::parse_functions("
/// function %inner() system_v {
/// block0:
///     return
/// }
/// function %middle() system_v {
///     fn0 = %inner() system_v
/// block0:
///     call fn0()
///     return
/// }
/// function %outer() system_v {
///     fn0 = %middle() system_v
/// block0:
///     call fn0()
///     return
/// }")?;
/// let (inner, middle) = (Callee::new(&functions[0])?, Callee::new(&functions[1])?);
/// let mut outer = functions[2].clone();
/// let entry = outer.layout.entry_block().unwrap();
/// let call = outer.layout.first_inst(entry).unwrap();
///
/// let options = SpliceOptions::default();
/// let mut context = SpliceContext::new();
/// let mut session = context.session(&mut outer, &options);
/// let copied = session.splice(call, &middle)?[0];
/// assert!(session.check(copied.inst, &inner).is_ok());
/// session.splice(copied.inst, &inner)?;
/// session.finish();
/// assert_eq!(outer.layout.block_insts(entry).count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session<'s> {
    context: &'s mut SpliceContext,
    caller: &'s mut ir::Function,
    /// The caller's own instructions have lower numbers.
    own_insts: usize,
    options: &'s SpliceOptions,
    leaves_unreachable: bool,
}

impl Session<'_> {
    /// Returns the caller as it stands.
    pub fn caller(&self) -> &ir::Function {
        self.caller
    }

    /// Checks whether `callee` can replace `call` now.
    ///
    /// # Errors
    ///
    /// The reason for which [`Session::splice`] would refuse.
    pub fn check(&self, call: Inst, callee: &Callee<'_>) -> Result<(), Refusal> {
        self.check_view(call, callee.view())
    }

    /// Like [`Session::check`], but for a callee that is not prepared.
    pub(crate) fn check_view(&self, call: Inst, callee: CalleeView<'_>) -> Result<(), Refusal> {
        self.plan(call, callee).map(|_| ())
    }

    /// Like [`Session::check`], but only by the signatures and the caller's declaration of the
    /// callee.
    pub(crate) fn check_call(&self, call: Inst, callee: &ir::Function) -> Result<(), Refusal> {
        check_call(self.caller, call, callee).map(|_| ())
    }

    /// Replaces `call` by a copy of `callee`'s body.
    ///
    /// Returns the direct calls that came in with the body, in the callee's
    /// layout order; they can be spliced in turn.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], with the caller untouched.
    pub fn splice(&mut self, call: Inst, callee: &Callee<'_>) -> Result<&[CopiedCall], Refusal> {
        self.splice_with(call, callee, &mut KeepLocations)
    }

    /// Like [`Session::splice`], but `locations` chooses the source locations of the copied
    /// instructions.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], with the caller untouched.
    pub fn splice_with(
        &mut self,
        call: Inst,
        callee: &Callee<'_>,
        locations: &mut dyn SpliceLocations,
    ) -> Result<&[CopiedCall], Refusal> {
        let result = self.replace(call, callee, locations);
        let caller = Name(&self.caller.name);
        match &result {
            Ok(()) => trace!("{caller}: {call} becomes {}", Name(&callee.function().name)),
            Err(refusal) => trace!("{caller}: {call} is refused: {refusal}"),
        }
        result.map(|()| &self.context.copied_calls[..])
    }

    /// Replaces several calls, in the order of the list, each like [`Session::splice`].
    ///
    /// `each` gets the index of every splice with its result: the direct calls that came in, or the
    /// refusal. A refusal does not end the list.
    ///
    /// The result is the same as from single splices. But a block in which few of many calls are
    /// spliced is then split only at these, which saves work, and unused numbers of blocks and
    /// instructions.
    ///
    /// ```
    /// # use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
    /// let mut functions = cranelift_reader::parse_functions("
    /// function %callee(i32) system_v {
    /// block0(v0: i32):
    ///     brif v0, block1, block1
    /// block1:
    ///     return
    /// }
    /// function %caller(i32) system_v {
    ///     fn0 = %callee(i32) system_v
    /// block0(v0: i32):
    ///     call fn0(v0)
    ///     call fn0(v0)
    ///     call fn0(v0)
    ///     return
    /// }")?;
    /// let mut caller = functions.pop().unwrap();
    /// let callee = Callee::new(&functions[0])?;
    /// let entry = caller.layout.entry_block().unwrap();
    /// let calls: Vec<_> = caller.layout.block_insts(entry).take(2).collect();
    ///
    /// let options = SpliceOptions::default();
    /// let mut context = SpliceContext::new();
    /// let mut session = context.session(&mut caller, &options);
    /// let mut refusals = Vec::new();
    /// session.splice_all(&[(calls[0], &callee), (calls[1], &callee)], |_, copied| {
    ///     refusals.extend(copied.err());
    /// });
    /// session.finish();
    /// assert!(refusals.is_empty());
    /// // Each copy brought the callee's second block, and each call cut off the code behind it.
    /// assert_eq!(caller.dfg.num_blocks(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn splice_all(
        &mut self,
        splices: &[(Inst, &Callee<'_>)],
        each: impl FnMut(usize, Result<&[CopiedCall], Refusal>),
    ) {
        self.splice_all_with(splices, &mut KeepLocations, each);
    }

    /// Like [`Session::splice_all`], but `locations` chooses the source locations of the copied
    /// instructions. It is [told](SpliceLocations::start) which splice begins.
    pub fn splice_all_with(
        &mut self,
        splices: &[(Inst, &Callee<'_>)],
        locations: &mut dyn SpliceLocations,
        mut each: impl FnMut(usize, Result<&[CopiedCall], Refusal>),
    ) {
        for &(call, callee) in splices {
            // A call whose copy goes in place does not end a segment.
            if !self.goes_in_place(call, callee) {
                self.context.segments.expect(call);
            }
        }
        for (index, &(call, callee)) in splices.iter().enumerate() {
            locations.start(index);
            each(index, self.splice_with(call, callee, locations));
        }
    }

    fn goes_in_place(&self, call: Inst, callee: &Callee<'_>) -> bool {
        let dfg = &self.caller.dfg;
        call.index() < dfg.num_insts()
            && dfg.insts[call].opcode() == Opcode::Call
            && goes_in_place(self.caller, self.own_insts, call, &callee.tables().facts)
    }

    fn replace(
        &mut self,
        call: Inst,
        callee: &Callee<'_>,
        locations: &mut dyn SpliceLocations,
    ) -> Result<(), Refusal> {
        let (site, shape) = self.plan(call, callee.view())?;
        let mut site = site.with_metadata(self.caller, call);
        if site.tags.is_empty() {
            site.tags = self.context.inherited_tags.of(call).to_vec();
        }
        let context = &mut *self.context;
        context
            .entities
            .translate(self.caller, callee, site.shares_vmctx)?;
        context.entities.promises.start_copy(self.caller, call);
        let opening = context.segments.open(
            self.caller,
            &mut context.handler_addresses,
            call,
            site.block,
            shape,
        );
        let before = match opening {
            Opening::Before(next) => Some(next),
            Opening::AtEnd | Opening::Onward(_) => None,
        };
        let start = Growth::until(self.caller);
        let copied =
            BodyCopier::new(self.caller, context, callee, &site, call, before, locations).run();
        debug_assert!(
            Growth::of(callee.view(), matches!(site.kind, SiteKind::TryCall(_)))
                .covers(&start, self.caller),
            "a copy of {} adds more than was counted",
            callee.func.name
        );
        context.checks.came_in(context.copied_calls.len());
        context.entities.promises.finish_copy(
            self.caller,
            callee,
            call,
            &context.values,
            &context.copied_calls,
        );
        self.leaves_unreachable |= copied.leaves_unreachable;
        self.caller.debug_tags.set(call, []);
        if let (Opening::Onward(jump), Some(block)) = (opening, copied.continues_in) {
            Segments::close(self.caller, jump, block);
        }
        Ok(())
    }

    /// Frees the memory kept for further copies of `callee` in this caller.
    ///
    /// The session keeps a table from a callee's entities to the caller's. If each callee is
    /// prepared for one call only and dropped, these tables are useless and grow with the calls. A
    /// forgotten callee can be copied again, with the same result.
    pub fn forget(&mut self, callee: &Callee<'_>) {
        self.context.entities.forget(callee);
    }

    /// Joins the segments and removes unreachable blocks.
    ///
    /// Returns the numbers of accesses of the caller and its copies that have lost promises of
    /// their flags; see [`MemoryPromises`](super::MemoryPromises).
    pub fn finish(mut self) -> DroppedPromises {
        self.close();
        self.context.entities.promises.dropped()
    }

    fn close(&mut self) {
        let context = &mut *self.context;
        context
            .segments
            .join(self.caller, &mut context.handler_addresses);
        let promises = &mut context.entities.promises;
        promises.finish(self.caller, self.own_insts);
        shorten_aliases(self.caller, &context.aliases);
        context.aliases.clear();
        if std::mem::take(&mut self.leaves_unreachable) {
            drop_unreachable_blocks(self.caller, &mut context.handler_addresses);
        }
    }

    fn plan(&self, call: Inst, callee: CalleeView<'_>) -> Result<(LegalSite, Shape), Refusal> {
        let context = &*self.context;
        context.checks.check(self.caller, call, callee)?;
        let addresses = &context.handler_addresses;
        let site = check_in_caller(self.caller, addresses, call, callee, self.options)?;
        if context.segments.is_dead(site.block) {
            return Err(Refusal::Unreachable);
        }
        let growth = Growth::of(callee, matches!(site.kind, SiteKind::TryCall(_)));
        context.limits.check(self.caller, &growth)?;
        let facts = callee.facts;
        let shape = match site.kind {
            SiteKind::Call if facts.returns == 0 => Shape::Ends,
            SiteKind::Call if goes_in_place(self.caller, self.own_insts, call, facts) => {
                Shape::InPlace
            }
            _ => Shape::Returns,
        };
        let cuts = shape == Shape::Returns;
        context.checks.check_numbers(self.caller, &growth, cuts)?;
        context
            .entities
            .check(self.caller, callee, site.shares_vmctx)?;
        Ok((site, shape))
    }
}

/// Checks a call without a session: everything except whether it is still reachable and whether the
/// caller's tables have room.
fn check_in_caller(
    caller: &ir::Function,
    handler_addresses: &HandlerAddresses,
    call: Inst,
    callee: CalleeView<'_>,
    options: &SpliceOptions,
) -> Result<LegalSite, Refusal> {
    if !callee.is_consistent() {
        return Err(Refusal::MalformedCallee(
            "it is not the function that was prepared".into(),
        ));
    }
    let site = check_site(caller, call, callee, options)?;
    if let SiteKind::TryCall(_) = site.kind
        && handler_addresses.contains(site.block)
    {
        return Err(Refusal::HandlerAddress(site.block));
    }
    Ok(site)
}

/// Checks whether calls in an unmodified caller can be spliced.
///
/// It is for embedders that decide about many calls before the first splice, and may not splice
/// any. It does not account for resources used up by earlier splices: memory flags and entity
/// numbers.
pub struct Checker<'c> {
    caller: &'c ir::Function,
    options: &'c SpliceOptions,
    checked: CheckedCaller,
}

impl<'c> Checker<'c> {
    /// Costs one walk over the caller, which checks all of it, not only the parts that a splice
    /// relies on.
    pub fn new(caller: &'c ir::Function, options: &'c SpliceOptions) -> Self {
        Checker {
            caller,
            options,
            checked: CheckedCaller::new(caller),
        }
    }

    /// Returns the results for a session on a copy of the caller.
    pub(crate) fn into_checked(self) -> CheckedCaller {
        self.checked
    }

    /// Checks whether `callee` can replace `call`.
    ///
    /// # Errors
    ///
    /// The reason for which [`Session::splice`] would refuse.
    pub fn check(&self, call: Inst, callee: &Callee<'_>) -> Result<(), Refusal> {
        self.check_view(call, callee.view())
    }

    /// Like [`Checker::check`], but only by the signatures and the caller's declaration of the
    /// callee.
    pub(crate) fn check_call(&self, call: Inst, callee: &ir::Function) -> Result<(), Refusal> {
        if let Some(error) = &self.checked.error {
            return Err(Refusal::MalformedCaller(error.clone()));
        }
        check_call(self.caller, call, callee).map(|_| ())
    }

    /// Like [`Checker::check`], but for a callee that is not prepared.
    pub(crate) fn check_view(&self, call: Inst, callee: CalleeView<'_>) -> Result<(), Refusal> {
        if let Some(error) = &self.checked.error {
            return Err(Refusal::MalformedCaller(error.clone()));
        }
        let addresses = &self.checked.handler_addresses;
        check_in_caller(self.caller, addresses, call, callee, self.options).map(|_| ())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // This does nothing if the session was finished.
        self.close();
    }
}

/// Makes each alias one of a value that is not an alias.
///
/// Each was made an alias of such a value, which may have become an alias later. So in reverse
/// order the later ones are short already when an earlier one comes.
fn shorten_aliases(func: &mut ir::Function, aliases: &[Value]) {
    let dfg = &mut func.dfg;
    for &alias in aliases.iter().rev() {
        if let Some(value) = dfg.value_alias_dest_for_serialization(alias)
            && let Some(target) = dfg.value_alias_dest_for_serialization(value)
        {
            dfg.change_to_alias(alias, target);
        }
    }
}
