//! The replaced calls and the bodies in their place.

use cranelift_codegen::ir::{ExceptionTable, Function, Inst, InstructionData, Opcode};
use cranelift_entity::{PrimaryMap, entity_impl};
use rustc_hash::FxHashMap;

/// A copy of a body, or the caller itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(u32);
entity_impl!(CopyId, "copy");

/// A caller and the copies of bodies in it.
///
/// The tree is the claim to check: a copy of this callee replaces this call of that body.
pub struct CopyTree<'f> {
    pub(super) copies: PrimaryMap<CopyId, CopyNode<'f>>,
    children: FxHashMap<(CopyId, Inst), CopyId>,
    pub(super) keeps_locations: bool,
    pub(super) shares_slots: bool,
    pub(super) limits_are_per_thread: bool,
    pub(super) holds_for_program: bool,
}

pub(super) struct CopyNode<'f> {
    pub(super) func: &'f Function,
    pub(super) site: Option<Site>,
}

/// The replaced call.
#[derive(Clone, Copy)]
pub(super) struct Site {
    pub(super) parent: CopyId,
    pub(super) call: Inst,
    pub(super) kind: SiteKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SiteKind {
    Call,
    ReturnCall,
    TryCall(ExceptionTable),
}

impl<'f> CopyTree<'f> {
    /// The caller itself.
    pub const ROOT: CopyId = CopyId(0);

    /// Returns the caller as it was, with nothing replaced.
    pub fn new(caller: &'f Function) -> Self {
        let mut copies = PrimaryMap::new();
        copies.push(CopyNode {
            func: caller,
            site: None,
        });
        CopyTree {
            copies,
            children: FxHashMap::default(),
            keeps_locations: true,
            shares_slots: true,
            limits_are_per_thread: false,
            holds_for_program: false,
        }
    }

    /// Leaves source locations out of the comparison: for functions whose locations are entries of
    /// a [table](crate::locations), which differ between functions.
    pub fn ignore_locations(&mut self) {
        self.keeps_locations = false;
    }

    /// Demands that each copy has stack slots of its own.
    pub fn forbid_shared_slots(&mut self) {
        self.shares_slots = false;
    }

    /// Takes the same loads from any `vmctx` for the same stack limit, as
    /// [`SpliceOptions::stack_limit_is_per_thread`](crate::splice::SpliceOptions) promises.
    pub fn stack_limits_are_per_thread(&mut self) {
        self.limits_are_per_thread = true;
    }

    /// Assumes that the promises of memory flags hold for the whole program, so that copies may
    /// make them too: see
    /// [`MemoryPromises::WholeProgram`](crate::splice::MemoryPromises::WholeProgram).
    pub fn promise_for_whole_program(&mut self) {
        self.holds_for_program = true;
    }

    /// Claims that `call`, an instruction of the body of `parent`, was replaced by a copy of
    /// `callee`.
    ///
    /// `call` must be a direct call; if it is not, [`check`](super::check) finds a difference.
    pub fn add(&mut self, parent: CopyId, call: Inst, callee: &'f Function) -> CopyId {
        let around = self.copies.get(parent).map(|around| &around.func.dfg);
        let around = around.filter(|dfg| dfg.inst_is_valid(call));
        let kind = match around.map(|dfg| dfg.insts[call]) {
            Some(InstructionData::TryCall { exception, .. }) => SiteKind::TryCall(exception),
            Some(data) if data.opcode() == Opcode::ReturnCall => SiteKind::ReturnCall,
            _ => SiteKind::Call,
        };
        let copy = self.copies.push(CopyNode {
            func: callee,
            site: Some(Site { parent, call, kind }),
        });
        self.children.insert((parent, call), copy);
        copy
    }

    /// Returns the copy that replaced `call` in `parent`.
    pub(super) fn child(&self, parent: CopyId, call: Inst) -> Option<CopyId> {
        self.children.get(&(parent, call)).copied()
    }

    pub(super) fn func(&self, copy: CopyId) -> &'f Function {
        self.copies[copy].func
    }

    pub(super) fn site(&self, copy: CopyId) -> Option<Site> {
        self.copies[copy].site
    }

    /// Returns the site at which a `return` of `copy` goes on, past tail calls; `None` where it
    /// returns from the caller itself.
    pub(super) fn returns_to(&self, mut copy: CopyId) -> Option<Site> {
        loop {
            let site = self.site(copy)?;
            if site.kind != SiteKind::ReturnCall {
                return Some(site);
            }
            copy = site.parent;
        }
    }
}
