//! The report: the decision at each call site, with its reason.

use crate::cleanup::CleanupStats;
use crate::decide::PolicyReason;
use crate::graph::{CallKind, PathStep, SiteId};
use crate::program::{FunctionId, FunctionName, InlineAttribute, SiteHint};
use crate::splice::{DroppedPromises, Refusal};
use cranelift_codegen::ir::{Inst, SourceLoc};
use std::fmt;

/// One decision about one call site.
///
/// A call that came into its caller with an inlined body is a site of its own: [`SiteRecord::via`]
/// names the bodies that it came with.
///
/// There is one for each call of a program, so rare data is kept apart, and read by methods.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SiteRecord {
    /// The function into which the callee was, or would have been, inlined.
    pub caller: FunctionId,
    /// The name of the callee.
    pub callee: FunctionName,
    /// The callee in the program; `None` for an external one.
    pub callee_id: Option<FunctionId>,
    /// The call, an instruction of the caller when the site was decided.
    pub inst: Inst,
    /// The kind of the call.
    pub kind: CallKind,
    /// The call's source location.
    pub srcloc: SourceLoc,
    /// Whether the call was replaced by the callee's body.
    pub inlined: bool,
    /// Why.
    pub reason: Reason,
    pub(super) origin: Origin,
    pub(super) outside: Outside,
    pub(super) callee_insts: u32,
    pub(super) caller_insts: u32,
}

impl SiteRecord {
    /// Returns the same call in the body that it comes from: the caller's own, or the final body of
    /// the last function of [`SiteRecord::via`].
    pub fn source_inst(&self) -> Inst {
        match &self.origin {
            Origin::Own(_) | Origin::Resolved(_) => self.inst,
            Origin::CameIn(came_in) => came_in.source_inst,
        }
    }

    /// Returns the record of the call that brought this one into the caller, as an index among the
    /// records of the same caller; `None` for a call of the caller's own, or one that became direct
    /// there.
    pub fn parent(&self) -> Option<usize> {
        match &self.origin {
            Origin::Own(_) | Origin::Resolved(_) => None,
            Origin::CameIn(came_in) => Some(came_in.parent),
        }
    }

    /// Returns the callees inlined around the call, outermost first; empty for a call of the
    /// caller's own.
    pub fn via(&self) -> &[FunctionId] {
        match &self.origin {
            Origin::Own(_) | Origin::Resolved(_) => &[],
            Origin::CameIn(came_in) => &came_in.via,
        }
    }

    /// Returns the chain of inlined sites that leads from the caller to this call, as edges of the
    /// original call graph: for a call of the caller's own, that call alone; for one that came in
    /// with a body, the sites of the bodies around it and then its own. Each site's callee is the
    /// next one's caller.
    ///
    /// It does not depend on the order in which the bodies were inlined, nor on other decisions;
    /// [`Inlined::path`](super::Inlined::path) gives the names.
    pub fn path(&self) -> &[PathStep] {
        self.origin.path()
    }

    /// Returns whether the call was indirect in its original body until its target became known.
    pub fn is_resolved(&self) -> bool {
        match &self.origin {
            Origin::Own(_) => false,
            Origin::Resolved(_) => true,
            Origin::CameIn(came_in) => {
                matches!(came_in.path.last(), Some(PathStep::Resolved { .. }))
            }
        }
    }

    /// Returns the stage in which it was decided: 0, or the number of a later one, after calls
    /// became direct. [`SiteRecord::source_inst`] and [`SiteRecord::parent`] refer to the body with
    /// which that stage began.
    pub fn stage(&self) -> u32 {
        match &self.origin {
            Origin::Own(_) => 0,
            Origin::Resolved(resolved) => resolved.stage.into(),
            Origin::CameIn(came_in) => came_in.stage.into(),
        }
    }

    /// Returns the embedder's demand for the site, met or [unmet](super::Inlined::unmet); `None` if
    /// the policy was to decide.
    pub fn demand(&self) -> Option<Demand> {
        self.outside.0.as_ref()?.demand
    }

    /// Returns the number of executions of the call in the caller, by the profile; `None` if
    /// unknown.
    pub fn count(&self) -> Option<u64> {
        self.outside.0.as_ref()?.count
    }

    /// Returns the callee's size as it would be copied, in instructions; 0 for an external one.
    pub fn callee_insts(&self) -> usize {
        usize::try_from(self.callee_insts).unwrap_or(usize::MAX)
    }

    /// Returns the caller's size when the site was decided, in instructions.
    pub fn caller_insts(&self) -> usize {
        usize::try_from(self.caller_insts).unwrap_or(usize::MAX)
    }
}

/// The calls for which the pass keeps a [`SiteRecord`]; set with
/// [`Inliner::records`](super::Inliner::records).
///
/// A record takes 96 bytes, and most calls of a large program stay calls, so that their records may
/// need more memory than all inlined bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordLevel {
    /// Every call that was decided.
    #[default]
    All,
    /// Every call, except a function's own calls that stay calls without a demand or a hint. The
    /// call graph has the omitted ones; their reasons are lost.
    Changes,
}

/// The origin of a call. Most are the caller's own, with little data.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// A site of the call graph.
    Own(PathStep),
    CameIn(Box<CameInWith>),
    Resolved(Box<ResolvedAt>),
}

/// The data of a call that came in with a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CameInWith {
    pub(super) source_inst: Inst,
    pub(super) parent: usize,
    pub(super) via: Box<[FunctionId]>,
    pub(super) path: Box<[PathStep]>,
    pub(super) stage: u8,
}

/// The data of a call that became direct in its caller.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ResolvedAt {
    pub(super) stage: u8,
    /// Empty where the call cannot be a candidate.
    pub(super) path: Option<PathStep>,
}

impl Origin {
    pub(super) fn path(&self) -> &[PathStep] {
        match self {
            Origin::Own(site) => std::slice::from_ref(site),
            Origin::Resolved(resolved) => resolved.path.as_slice(),
            Origin::CameIn(came_in) => &came_in.path,
        }
    }
}

/// Data about a site from outside the program, if any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outside(Option<Box<Said>>);

#[derive(Clone, Debug, PartialEq)]
struct Said {
    demand: Option<Demand>,
    count: Option<u64>,
}

impl Outside {
    pub(super) fn new(demand: Option<Demand>, count: Option<u64>) -> Self {
        let is_said = demand.is_some() || count.is_some();
        Self(is_said.then(|| Box::new(Said { demand, count })))
    }
}

/// Returns a size as records keep it. CLIF cannot number more instructions.
pub(super) fn record_size(insts: usize) -> u32 {
    u32::try_from(insts).unwrap_or(u32::MAX)
}

/// Why an embedder wants a call inlined, regardless of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Demand {
    /// The callee has the attribute [`InlineAttribute::Always`].
    Attribute,
    /// The call has the hint [`SiteHint::Always`] or [`SiteHint::Flatten`].
    Hint(SiteHint),
    /// The call is in this function or came in with a body below it, and the function has the
    /// attribute [`flatten`](crate::program::Attributes::flatten).
    Flatten(FunctionId),
    /// The call came in with a body below this site, and the site has the hint
    /// [`SiteHint::Flatten`].
    FlattenCall(SiteId),
}

/// Why a call was inlined or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The policy decided, with this reason.
    Policy(PolicyReason),
    /// The policy left the site undecided.
    Undecided,
    /// The callee's attribute decided.
    Attribute(InlineAttribute),
    /// A hint on the call decided.
    Hint(SiteHint),
    /// A function or a call above has the `flatten` demand.
    Flatten,
    /// The splicing engine refused.
    Refused(Box<Refusal>),
    /// The callee is the caller, is being inlined around the call already, or is in the caller's
    /// component and not final yet.
    Recursion,
    /// The callee may be replaced at link time.
    Interposable,
    /// The callee copies or fills memory, and the optimizer expands calls of it.
    MemoryFunction,
    /// The program does not define the callee.
    External,
    /// The caller would exceed [`Limits::function_insts`](crate::decide::Limits::function_insts).
    FunctionSize,
    /// The caller's stack slots would exceed
    /// [`Limits::frame_bytes`](crate::decide::Limits::frame_bytes) or, where the caller may be
    /// active many times at once,
    /// [`Limits::recursive_frame_bytes`](crate::decide::Limits::recursive_frame_bytes).
    FrameSize,
    /// The caller's share of [`Limits::program_growth`](crate::decide::Limits::program_growth) is
    /// used up.
    ProgramGrowth,
    /// The bodies would nest beyond [`Limits::depth`](crate::decide::Limits::depth).
    Depth,
    /// The call is indirect, its target is known, and the target has another signature.
    OtherSignature,
    /// The call became direct after the last stage of the pass.
    Stages,
    /// The call was accepted, but the verifier or the checker rejected the caller's body with its
    /// copies. The caller keeps its original body. Only a [stream](super::Inliner::stream) goes on
    /// after such an error.
    Rejected,
}

impl Reason {
    /// Returns a short, stable, lower-case name, such as `policy` or `signature-mismatch`, for
    /// tables and machine-readable output.
    pub fn slug(&self) -> &'static str {
        match self {
            Reason::Policy(_) => "policy",
            Reason::Undecided => "undecided",
            Reason::Attribute(_) => "attribute",
            Reason::Hint(_) => "hint",
            Reason::Flatten => "flatten",
            Reason::Refused(refusal) => refusal.slug(),
            Reason::Recursion => "recursion",
            Reason::Interposable => "interposable",
            Reason::MemoryFunction => "memory-function",
            Reason::External => "external",
            Reason::FunctionSize => "function-size",
            Reason::FrameSize => "frame-size",
            Reason::ProgramGrowth => "program-growth",
            Reason::Depth => "depth",
            Reason::OtherSignature => "other-signature",
            Reason::Stages => "stages",
            Reason::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Policy(reason) => reason.fmt(f),
            Reason::Undecided => f.write_str("no policy decided"),
            Reason::Attribute(InlineAttribute::Always) => f.write_str("attribute always"),
            Reason::Attribute(InlineAttribute::Never) => f.write_str("attribute never"),
            Reason::Attribute(InlineAttribute::None) => f.write_str("no attribute"),
            Reason::Hint(hint) => write!(f, "hint {hint}"),
            Reason::Flatten => f.write_str("everything here is flattened"),
            Reason::Refused(refusal) => refusal.fmt(f),
            Reason::Recursion => f.write_str("recursion"),
            Reason::Interposable => f.write_str("the callee may be replaced at link time"),
            Reason::MemoryFunction => f.write_str("the callee copies or fills memory"),
            Reason::External => f.write_str("the callee is external"),
            Reason::FunctionSize => f.write_str("the caller would become too large"),
            Reason::FrameSize => f.write_str("the caller's frame would become too large"),
            Reason::ProgramGrowth => f.write_str("the caller's share of growth is used up"),
            Reason::Depth => f.write_str("bodies would nest too deeply"),
            Reason::OtherSignature => {
                f.write_str("the call is indirect, and its signature is not the callee's")
            }
            Reason::Stages => f.write_str("the call became direct after the last stage"),
            Reason::Rejected => {
                f.write_str("the caller stays as it was, because its result was rejected")
            }
        }
    }
}

/// The statistics of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionStats {
    /// Its instructions before.
    pub insts_before: usize,
    /// Its instructions after clean-up.
    pub insts_after: usize,
    /// Its stack slots' bytes before.
    pub slot_bytes_before: u64,
    /// Its stack slots' bytes after clean-up.
    pub slot_bytes_after: u64,
    /// Calls that were inlined into it.
    pub inlined: usize,
    /// The longest chain of bodies inlined into each other in it.
    pub depth: u32,
    /// Accesses that have lost promises of their flags; see
    /// [`MemoryPromises`](crate::splice::MemoryPromises).
    pub promises: DroppedPromises,
    /// The changes by clean-up after the splices.
    pub cleanup: CleanupStats,
    /// Whether it was dropped: it is local and without remaining references.
    pub dropped: bool,
}

/// Time spent in each step, added up over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepTimes {
    /// Building the call graph.
    pub graph: std::time::Duration,
    /// Deciding and splicing.
    pub inline: std::time::Duration,
    /// Cleaning up.
    pub cleanup: std::time::Duration,
    /// Verifying results.
    pub verify: std::time::Duration,
    /// Compiling.
    pub compile: std::time::Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_little_room() {
        assert!(size_of::<SiteRecord>() <= 96);
    }
}
