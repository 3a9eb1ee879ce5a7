//! Recording source locations so that none is lost.
//!
//! A function keeps its locations relative to one of them, and the relative value of all ones means
//! "none". So a location one below the base reads as none, and so does every location where the
//! base itself is unknown. Here the base moves to 0 when that happens; relative to 0, each location
//! is itself.

use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::ir::{
    Function, Inst, RelSourceLoc, SourceLoc, UserExternalName, ValueLabelAssignments,
};

/// Gives `inst` the location `location`; an unknown one leaves it as it is.
pub(crate) fn set_srcloc(func: &mut Function, inst: Inst, location: SourceLoc) {
    if !location.is_default() {
        let relative = relative_srcloc(func, location);
        func.stencil.srclocs[inst] = relative;
    }
}

/// Returns `location` as `func` stores it. May change the base of all stored locations.
pub(crate) fn relative_srcloc(func: &mut Function, location: SourceLoc) -> RelSourceLoc {
    if location.is_default() {
        return RelSourceLoc::default();
    }
    let base = func.params.ensure_base_srcloc(location);
    let relative = RelSourceLoc::from_base_offset(base, location);
    if !relative.is_default() {
        return relative;
    }
    rebase_srclocs(func, SourceLoc::new(0));
    RelSourceLoc::from_base_offset(func.params.base_srcloc(), location)
}

/// Makes all locations of `func` relative to `base`, which must be known.
pub(crate) fn rebase_srclocs(func: &mut Function, base: SourceLoc) {
    let old = func.params.base_srcloc();
    if old == base {
        return;
    }
    let rebase = |relative: &mut RelSourceLoc| {
        *relative = RelSourceLoc::from_base_offset(base, relative.expand(old));
    };
    func.stencil.srclocs.values_mut().for_each(rebase);
    for assignments in func
        .dfg
        .values_labels
        .iter_mut()
        .flat_map(|map| map.values_mut())
    {
        for_each_label_srcloc(assignments, rebase);
    }
    set_base(func, base);
}

/// Visits the locations from which labels hold.
pub(crate) fn for_each_label_srcloc(
    assignments: &mut ValueLabelAssignments,
    mut visit: impl FnMut(&mut RelSourceLoc),
) {
    match assignments {
        ValueLabelAssignments::Starts(starts) => {
            starts.iter_mut().for_each(|start| visit(&mut start.from));
        }
        ValueLabelAssignments::Alias { from, .. } => visit(from),
    }
}

/// Sets the base of locations. Cranelift sets it only once, so this takes fresh parameters with the
/// same names.
fn set_base(func: &mut Function, base: SourceLoc) {
    let mut fresh = FunctionParameters::new();
    fresh.ensure_base_srcloc(base);
    let names = func.params.user_named_funcs();
    // Two references may have the same name, and adding that twice would give one reference. So
    // each gets a name of its own first.
    for name_ref in names.keys() {
        fresh.ensure_user_func_name(UserExternalName::new(u32::MAX, name_ref.as_u32()));
    }
    for (name_ref, name) in names {
        fresh.reset_user_func_name(name_ref, name.clone());
    }
    func.params = fresh;
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::{InstBuilder, UserExternalNameRef, types};

    fn with_insts(count: usize) -> (Function, Vec<Inst>) {
        let mut func = Function::new();
        let block = func.dfg.make_block();
        func.layout.append_block(block);
        let mut cursor = FuncCursor::new(&mut func).at_bottom(block);
        for _ in 0..count {
            cursor.ins().iconst(types::I8, 0);
        }
        let insts = func.layout.block_insts(block).collect();
        (func, insts)
    }

    #[test]
    fn locations_around_the_base_are_kept() {
        let (mut func, insts) = with_insts(4);
        for (inst, bits) in insts.iter().zip([5, 4, 0, u32::MAX - 1]) {
            set_srcloc(&mut func, *inst, SourceLoc::new(bits));
        }
        set_srcloc(&mut func, insts[0], SourceLoc::default());
        let bits: Vec<_> = insts.iter().map(|&inst| func.srcloc(inst).bits()).collect();
        assert_eq!(bits, [5, 4, 0, u32::MAX - 1]);
    }

    #[test]
    fn an_unknown_base_is_replaced_and_names_keep_their_numbers() {
        let (mut func, insts) = with_insts(2);
        let name = |index| UserExternalName::new(7, index);
        for index in 0..3 {
            func.params.ensure_user_func_name(name(index));
        }
        let last = UserExternalNameRef::from_u32(2);
        func.params.reset_user_func_name(last, name(0));
        func.params.ensure_base_srcloc(SourceLoc::default());
        set_srcloc(&mut func, insts[1], SourceLoc::new(9));
        assert_eq!(func.srcloc(insts[1]), SourceLoc::new(9));
        assert!(func.srcloc(insts[0]).is_default());
        let names: Vec<_> = func.params.user_named_funcs().values().cloned().collect();
        assert_eq!(names, [name(0), name(1), name(0)]);
    }
}
