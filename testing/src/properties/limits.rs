//! Growth stays within the limits.

use super::broken::{Broken, Property};
use cranelift_codegen::ir::{ArgumentPurpose, Function, GlobalValueData};
use cranelift_entity::SecondaryMap;
use cranelift_inliner::decide::Limits;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};

/// No function of the result, nor all together, grew or nest beyond `limits`.
///
/// Counted are the bodies themselves, not what the report says of them; and the report must say
/// the same.
///
/// # Errors
///
/// The first limit that is exceeded, or the first number in the report that is wrong.
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
        let insts = count_insts(function.body());
        let mut growth = 0_usize;
        let mut glue = Some(0_usize);
        for site in inlined.sites_of(id).iter().filter(|site| site.inlined) {
            let body = site.callee_id.and_then(|callee| inlined.body(callee));
            let Some((callee, body)) = site.callee_id.zip(body) else {
                return broken(format!("{}: a call of nothing was inlined", site.inst));
            };
            let size = count_insts(body);
            if site.callee_insts() != size {
                let said = site.callee_insts();
                return broken(format!(
                    "{}: the callee has {size} instructions, the report says {said}",
                    site.inst
                ));
            }
            growth = growth.saturating_add(size);
            glue = glue.zip(glue_of(body)).map(|(all, one)| all + one);
            depths[id] = depths[id].max(nesting(site) + depths[callee]);
        }
        program_insts = program_insts.saturating_add(insts);
        program_growth = program_growth.saturating_add(growth);
        if growth > 0 && insts.saturating_add(growth) > limits.function_insts {
            let limit = limits.function_insts;
            return broken(format!("{insts} + {growth} instructions of {limit}"));
        }
        let allowed = limits.growth_of_function(insts);
        if growth > allowed {
            return broken(format!(
                "{insts} instructions grew by {growth} instead of {allowed}"
            ));
        }
        if depths[id] > limits.depth {
            let limit = limits.depth;
            return broken(format!(
                "bodies nest {} deep instead of {limit}",
                depths[id]
            ));
        }
        let after = inlined.body(id).map_or(0, |body| count_insts(body));
        if let Some(glue) = glue
            && after > insts.saturating_add(growth).saturating_add(glue)
        {
            return broken(format!("{insts} + {growth} instructions came to {after}"));
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

/// How deep the body that replaced `site` lies in its caller.
fn nesting(site: &SiteRecord) -> u32 {
    u32::try_from(site.via().len()).map_or(u32::MAX, |around| around.saturating_add(1))
}

/// How many instructions a copy of `body` may have more than `body`: a tail call that becomes a
/// call is followed by a jump. `None` where that depends on more: structures that are copied, and
/// global values that are computed from an argument.
fn glue_of(body: &Function) -> Option<usize> {
    let by_value = |param: &cranelift_codegen::ir::AbiParam| {
        matches!(param.purpose, ArgumentPurpose::StructArgument(_))
    };
    let from_context = |data: &GlobalValueData| matches!(data, GlobalValueData::VMContext);
    if body.signature.params.iter().any(by_value) || body.global_values.values().any(from_context) {
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
    Some(tail_calls.count())
}

fn count_insts(func: &Function) -> usize {
    let blocks = func.layout.blocks();
    blocks
        .map(|block| func.layout.block_insts(block).count())
        .sum()
}
