//! Growth stays within the limits.

use super::broken::{Broken, Property};
use cranelift_codegen::ir::{ArgumentPurpose, Function, GlobalValueData, InstructionData};
use cranelift_entity::SecondaryMap;
use cranelift_inliner::cleanup::CleanupStats;
use cranelift_inliner::decide::Limits;
use cranelift_inliner::graph::CallKind;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Linkage, Program};

/// Checks that no function of the result, and not the program as a whole, grows or nests beyond
/// `limits`.
///
/// The bodies themselves are counted, and the report must have the same numbers.
///
/// # Errors
///
/// The first exceeded limit, or the first wrong number in the report.
pub fn within_limits(before: &Program, inlined: &Inlined, limits: &Limits) -> Result<(), Broken> {
    let mut depths: SecondaryMap<FunctionId, u32> = SecondaryMap::new();
    let mut program_insts = 0_usize;
    let mut program_growth = 0_usize;
    for &id in inlined.graph().bottom_up().flatten() {
        let Some(function) = before.get(id) else {
            continue;
        };
        let broken = |difference: String| {
            Err(Broken::new(Property::Limits, difference).in_function(function.name()))
        };
        let insts = size_of(function.body());
        let mut growth = 0_usize;
        // Copies that took the place of their originals are not growth.
        let mut moved = 0_usize;
        let mut glue = Some(0_usize);
        for site in inlined.sites_of(id).iter().filter(|site| site.inlined) {
            let body = site.callee_id.and_then(|callee| inlined.body(callee));
            let Some((callee, body)) = site.callee_id.zip(body) else {
                return broken(format!("{}: a call of nothing was inlined", site.inst));
            };
            let size = size_of(body);
            if site.callee_insts() != size {
                let said = site.callee_insts();
                return broken(format!(
                    "{}: the callee's size is {size}, the report says {said}",
                    site.inst
                ));
            }
            growth = growth.saturating_add(size);
            if moves(before, inlined, site, callee) {
                moved = moved.saturating_add(size);
            }
            glue = glue.zip(glue_of(site, body)).map(|(all, one)| all + one);
            depths[id] = depths[id].max(nesting(site) + depths[callee]);
        }
        program_insts = program_insts.saturating_add(insts);
        program_growth = program_growth.saturating_add(growth - moved);
        let limit = limits.function_insts;
        // A later stage begins with the optimized body, which may be smaller than the sum: its size
        // then is only known from the report.
        let is_staged = inlined.sites_of(id).iter().any(|site| site.stage() > 0);
        let mut copies = inlined.sites_of(id).iter().filter(|site| site.inlined);
        let is_large = |site: &SiteRecord| {
            let sum = site.caller_insts().saturating_add(site.callee_insts());
            sum > limit
        };
        if let Some(site) = copies.find(|site| is_large(site)) {
            let (caller, callee) = (site.caller_insts(), site.callee_insts());
            return broken(format!("{caller} + {callee} instructions of {limit}"));
        }
        if growth > 0 && !is_staged && insts.saturating_add(growth) > limit {
            return broken(format!("{insts} + {growth} instructions of {limit}"));
        }
        let allowed = limits.growth_of_function(insts);
        let counted = growth - moved;
        if counted > allowed {
            return broken(format!(
                "{insts} instructions grew by {counted} instead of {allowed}"
            ));
        }
        if depths[id] > limits.depth {
            let limit = limits.depth;
            return broken(format!(
                "bodies nest {} deep instead of {limit}",
                depths[id]
            ));
        }
        let graph = inlined.graph();
        let may_recur = graph.recursion(id).is_recursive() || graph.is_address_taken(id);
        let allowed = match may_recur {
            true => limits.recursive_frame_bytes.min(limits.frame_bytes),
            false => limits.frame_bytes,
        };
        let frame = inlined.body(id).map_or(0, |body| slot_bytes(body));
        if frame > allowed.max(slot_bytes(function.body())) {
            return broken(format!("{frame} bytes of stack slots instead of {allowed}"));
        }
        let after = inlined.body(id).map_or(0, |body| size_of(body));
        if let Some(glue) = glue {
            let spliced = insts.saturating_add(growth).saturating_add(glue);
            let stages = inlined.sites_of(id).iter().map(|site| site.stage()).max();
            let made = made_by_transforms(&inlined.stats(id).cleanup, spliced, stages.unwrap_or(0));
            if after > spliced.saturating_add(made) {
                return broken(format!(
                    "{insts} + {growth} instructions came to {after}, of which {made} may be new"
                ));
            }
        }
    }
    let allowed = limits.growth_of_program(program_insts);
    if program_growth > allowed {
        let difference =
            format!("{program_insts} instructions grew by {program_growth} instead of {allowed}");
        return Err(Broken::new(Property::Limits, difference));
    }
    Ok(())
}

/// Returns whether a copy took the place of its original: the call is the only reference to a local
/// function, in the body that the front end made.
fn moves(before: &Program, inlined: &Inlined, site: &SiteRecord, callee: FunctionId) -> bool {
    let graph = inlined.graph();
    site.via().is_empty()
        && !site.is_resolved()
        && before[callee].linkage() == Linkage::Local
        && graph.call_count(callee) == 1
        && !graph.is_address_taken(callee)
}

/// Returns the number of instructions that the optimizer may have added to a body of `spliced`
/// instructions, in the stages up to this one.
fn made_by_transforms(cleanup: &CleanupStats, spliced: usize, stages: u32) -> usize {
    let mut most = spliced;
    // Joins are copied for ways on which their branch is decided: 64 instructions and a fourth of
    // the body in each stage.
    if cleanup.branches_decided > 0 {
        for _ in 0..=stages {
            most = most.saturating_add(64 + most / 4);
        }
    }
    // A copy of 256 bytes takes 32 loads and as many stores.
    most = most.saturating_add(cleanup.memory_calls_replaced.saturating_mul(80));
    // A parameter that is the same constant on all ways becomes an instruction, and a call that
    // loses its handlers is followed by a jump.
    most = most.saturating_add(cleanup.params_dropped + cleanup.try_calls_replaced);
    // A test and its branches lead to a copy of the call.
    if cleanup.calls_guarded > 0 {
        most = most.saturating_add(spliced + cleanup.calls_guarded.saturating_mul(8));
    }
    // An access that becomes a value is cut or widened. If others overlap, it is composed of parts,
    // or cut into them: up to 16, and each takes up to five instructions.
    if cleanup.slots_promoted > 0 {
        let accesses = cleanup.loads_replaced + cleanup.stores_replaced;
        most = most.saturating_mul(2);
        most = most.saturating_add(accesses.saturating_mul(80));
    }
    most - spliced
}

/// Returns the nesting of the body that replaced `site` in its caller.
fn nesting(site: &SiteRecord) -> u32 {
    u32::try_from(site.via().len()).map_or(u32::MAX, |around| around.saturating_add(1))
}

/// Returns the number by which a copy of `body` may be larger than `body`: a tail call that becomes
/// a call is followed by a jump with its results. `None` if it depends on more: handlers that calls
/// get, structures that are copied, and global values that are computed from an argument.
fn glue_of(site: &SiteRecord, body: &Function) -> Option<usize> {
    let by_value = |param: &cranelift_codegen::ir::AbiParam| {
        matches!(param.purpose, ArgumentPurpose::StructArgument(_))
    };
    let from_context = |data: &GlobalValueData| matches!(data, GlobalValueData::VMContext);
    if site.kind == CallKind::TryCall
        || body.signature.params.iter().any(by_value)
        || body.global_values.values().any(from_context)
    {
        return None;
    }
    let insts = body
        .layout
        .blocks()
        .flat_map(|block| body.layout.block_insts(block));
    let tail_calls = insts.filter(|&inst| {
        let opcode = body.dfg.insts[inst].opcode();
        opcode.is_call() && opcode.is_return()
    });
    let jump = 1 + body.signature.returns.len().saturating_sub(8);
    Some(tail_calls.count() * jump)
}

/// Returns the size in the unit of [`Limits`], counted differently than in the pass: values that an
/// instruction names beyond eight in one place.
fn size_of(func: &Function) -> usize {
    let dfg = &func.dfg;
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    let sizes = insts.map(|inst| {
        let data = &dfg.insts[inst];
        let edges = data.branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        let args = edges.iter().map(|edge| edge.args(&dfg.value_lists).len());
        let mut lists = vec![dfg.inst_args(inst).len()];
        match data {
            InstructionData::BranchTable { .. } => lists.extend([edges.len(), args.sum()]),
            InstructionData::TryCall { exception, .. }
            | InstructionData::TryCallIndirect { exception, .. } => {
                let table = &dfg.exception_tables[*exception];
                let returns = dfg.signatures[table.signature()].returns.len();
                // The normal edge is not one of the items.
                lists.extend([1 + table.items().count(), args.sum(), returns]);
            }
            _ => lists.extend(args),
        }
        if data.opcode().is_call()
            && let Some(signature) = dfg.call_signature(inst)
            && edges.is_empty()
        {
            lists.push(dfg.signatures[signature].returns.len());
        }
        let more = lists.into_iter().map(|entries| entries.saturating_sub(8));
        1 + more.sum::<usize>()
    });
    sizes.sum()
}

fn slot_bytes(func: &Function) -> u64 {
    let slots = func.sized_stack_slots.values();
    slots.map(|slot| u64::from(slot.size)).sum()
}
