//! One function as bytes, and back.
//!
//! Cranelift's parts of a function have a form for serde. Two are encoded here instead. The layout,
//! because Cranelift's own form of it trusts its input. And the tables of memory flags and alias
//! regions, because Cranelift writes maps in them in the order of their hashes.

use super::hash::hash_of_bytes;
use super::summary::Name;
use crate::body::{check_definitions, check_structure};
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::ir::{
    AliasRegionData, AliasRegionSet, Block, DataFlowGraph, DebugTags, DynamicStackSlots, Function,
    GlobalValue, GlobalValueData, Inst, MemFlags, MemFlagsData, MemFlagsSet, RelSourceLoc,
    Signature, SourceLoc, StackSlots, UserExternalName, UserFuncName, Value, ValueDef,
};
use cranelift_entity::packed_option::ReservedValue;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use std::mem;

/// The parts of a function, borrowed to be written.
#[derive(Serialize)]
struct Written<'f> {
    name: Name,
    /// The first source location, to which the others are relative.
    first_location: u32,
    user_names: Vec<(u32, u32)>,
    signature: &'f Signature,
    sized_stack_slots: &'f StackSlots,
    dynamic_stack_slots: &'f DynamicStackSlots,
    global_values: &'f PrimaryMap<GlobalValue, GlobalValueData>,
    /// Without flags and regions.
    dfg: DataFlowGraph,
    mem_flags: Vec<MemFlagsData>,
    alias_regions: Vec<&'f AliasRegionData>,
    /// In the order of the layout, with the number of their instructions.
    blocks: Vec<(Block, bool, u32)>,
    insts: Vec<Inst>,
    locations: &'f SecondaryMap<Inst, RelSourceLoc>,
    debug_tags: &'f DebugTags,
    stack_limit: Option<GlobalValue>,
}

/// The same parts, read.
#[derive(Deserialize)]
struct Read {
    name: Name,
    first_location: u32,
    user_names: Vec<(u32, u32)>,
    signature: Signature,
    sized_stack_slots: StackSlots,
    dynamic_stack_slots: DynamicStackSlots,
    global_values: PrimaryMap<GlobalValue, GlobalValueData>,
    dfg: DataFlowGraph,
    mem_flags: Vec<MemFlagsData>,
    alias_regions: Vec<AliasRegionData>,
    blocks: Vec<(Block, bool, u32)>,
    insts: Vec<Inst>,
    locations: SecondaryMap<Inst, RelSourceLoc>,
    debug_tags: DebugTags,
    stack_limit: Option<GlobalValue>,
}

/// Returns the function as bytes: the same bytes for the same function, built in the same way.
pub(super) fn to_bytes(func: &Function) -> Vec<u8> {
    let mut dfg = func.dfg.clone();
    let flags = mem::replace(&mut dfg.mem_flags, MemFlagsSet::new());
    let regions = mem::replace(&mut dfg.alias_regions, AliasRegionSet::new());
    let numbers = (0..).map_while(MemFlags::with_number);
    let numbers = numbers.take_while(|&number| flags.is_valid(number));
    let user_names = func.params.user_named_funcs().values();
    let (mut blocks, mut insts) = (Vec::new(), Vec::with_capacity(dfg.num_insts()));
    for block in func.layout.blocks() {
        let before = insts.len();
        insts.extend(func.layout.block_insts(block));
        let count = u32::try_from(insts.len() - before).unwrap_or(u32::MAX);
        blocks.push((block, func.layout.is_cold(block), count));
    }
    let written = Written {
        name: Name::of(&FunctionName::from(func.name.clone())),
        first_location: func.params.base_srcloc().bits(),
        user_names: user_names
            .map(|name| (name.namespace, name.index))
            .collect(),
        signature: &func.signature,
        sized_stack_slots: &func.sized_stack_slots,
        dynamic_stack_slots: &func.dynamic_stack_slots,
        global_values: &func.global_values,
        mem_flags: numbers.map(|number| flags[number]).collect(),
        alias_regions: regions.iter().map(|(_, region)| region).collect(),
        dfg,
        blocks,
        insts,
        locations: &func.srclocs,
        debug_tags: &func.debug_tags,
        stack_limit: func.stack_limit,
    };
    // An instruction, its results and its place are seldom more.
    let bytes = Vec::with_capacity(64 + 40 * func.dfg.num_insts());
    let bytes = postcard::serialize_with_flavor(&written, Bytes(bytes));
    debug_assert!(bytes.is_ok(), "memory has no bound: {bytes:?}");
    bytes.unwrap_or_default()
}

/// Collects bytes. Nearly all come in pieces of a few, for which a loop is faster than a copy.
struct Bytes(Vec<u8>);

impl Flavor for Bytes {
    type Output = Vec<u8>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Returns the hash of all that the compilation of `func` depends on: that of its bytes. Equal
/// functions have equal hashes in builds with the same versions of this crate and of Cranelift; it
/// is not for hostile inputs.
pub(super) fn content_hash(func: &Function) -> u128 {
    hash_of_bytes(&to_bytes(func))
}

/// Reads a function. Any bytes are safe; the error says why they are not a function. Types and
/// dominance are the verifier's, as for any function.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Function, String> {
    let (read, behind): (Read, &[u8]) =
        postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
    if !behind.is_empty() {
        return Err("there are bytes behind its end".to_owned());
    }
    let name = UserFuncName::from(read.name.function_name());
    let mut func = Function::with_name_signature(name, read.signature);
    func.params = parameters(&read.user_names, read.first_location);
    let stencil = &mut func.stencil;
    stencil.sized_stack_slots = read.sized_stack_slots;
    stencil.dynamic_stack_slots = read.dynamic_stack_slots;
    stencil.global_values = read.global_values;
    stencil.dfg = read.dfg;
    stencil.srclocs = read.locations;
    stencil.debug_tags = read.debug_tags;
    stencil.stack_limit = read.stack_limit;
    for (number, data) in (0..).zip(read.mem_flags) {
        let inserted = stencil.dfg.mem_flags.insert(data);
        if inserted.ok() != MemFlags::with_number(number) {
            return Err("its memory flags repeat".to_owned());
        }
    }
    for region in read.alias_regions {
        stencil.dfg.alias_regions.push(region);
    }
    lay_out(&mut func, &read.blocks, &read.insts)?;
    check_structure(&func, |_| {})?;
    check_values(&func)?;
    if !check_definitions(&func) {
        return Err("a value is defined twice, or elsewhere".to_owned());
    }
    Ok(func)
}

/// Makes the part of a function that is not part of its stencil. Names keep their numbers.
fn parameters(names: &[(u32, u32)], first_location: u32) -> FunctionParameters {
    let mut parameters = FunctionParameters::new();
    for &(namespace, index) in names {
        parameters.ensure_user_func_name(UserExternalName::new(namespace, index));
    }
    if parameters.user_named_funcs().len() < names.len() {
        // Some are the same name under different numbers, which the map would join.
        parameters = FunctionParameters::new();
        let mut numbers = Vec::with_capacity(names.len());
        for index in (0..).take(names.len()) {
            numbers.push(parameters.ensure_user_func_name(UserExternalName::new(0, index)));
        }
        for (number, &(namespace, index)) in numbers.into_iter().zip(names) {
            parameters.reset_user_func_name(number, UserExternalName::new(namespace, index));
        }
    }
    let first = SourceLoc::new(first_location);
    if !first.is_default() {
        parameters.ensure_base_srcloc(first);
    }
    parameters
}

/// Puts the blocks and instructions in order. Each must exist, and have one place.
fn lay_out(
    func: &mut Function,
    blocks: &[(Block, bool, u32)],
    insts: &[Inst],
) -> Result<(), String> {
    let mut insts = insts.iter();
    for &(block, is_cold, count) in blocks {
        if !func.dfg.block_is_valid(block) || func.layout.is_block_inserted(block) {
            return Err(format!("{block} has no place, or two"));
        }
        func.layout.append_block(block);
        if is_cold {
            func.layout.set_cold(block);
        }
        for &inst in insts.by_ref().take(count as usize) {
            if !func.dfg.inst_is_valid(inst) || func.layout.inst_block(inst).is_some() {
                return Err(format!("{inst} has no place, or two"));
            }
            func.layout.append_inst(inst, block);
        }
    }
    match insts.next() {
        None => Ok(()),
        Some(inst) => Err(format!("{inst} is in no block")),
    }
}

/// Checks that the definitions of values exist.
fn check_values(func: &Function) -> Result<(), String> {
    let dfg = &func.dfg;
    let check = || {
        for value in (0..dfg.num_values()).map(Value::new) {
            let is_there = match dfg.value_alias_dest_for_serialization(value) {
                // The reader leaves aliases of nothing where a text leaves numbers out.
                Some(target) if target.is_reserved_value() => dfg.value_type(value).is_invalid(),
                Some(target) if !dfg.value_is_valid(target) => false,
                Some(target) => dfg.value_is_real(dfg.resolve_aliases(target)),
                None => match dfg.value_def(value) {
                    ValueDef::Result(inst, _) => dfg.inst_is_valid(inst),
                    ValueDef::Param(block, _) => dfg.block_is_valid(block),
                    ValueDef::Union(x, y) => dfg.value_is_valid(x) && dfg.value_is_valid(y),
                },
            };
            if !is_there {
                return Err(format!("{value} has no definition"));
            }
        }
        Ok(())
    };
    // Cranelift's accessors panic over cycles of aliases.
    panics::catch(check).unwrap_or_else(Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::{CleanupContext, OptimizeOptions, optimize};
    use crate::program::{Program, function_text};
    use crate::shard::{ShardSummary, SummarizeOptions};

    fn use_like_any(mut func: Function) {
        drop(function_text(&func));
        let mut program = Program::new();
        if program.add(func.clone()).is_ok() {
            let summary = ShardSummary::summarize(&program, "s", &SummarizeOptions::default());
            let read = ShardSummary::from_bytes(&summary.to_bytes());
            assert!(read.as_ref() == Ok(&summary), "{read:?}");
        }
        optimize(
            &mut func,
            &OptimizeOptions::default(),
            &mut CleanupContext::new(),
        );
    }

    #[test]
    fn any_bytes_are_a_function_or_an_error() {
        let text = "function %f(i64, i32x4) -> i64 fast {
            ss0 = explicit_slot 8
            region0 = 1 \"r\"
            fn0 = %g(i64) -> i64 fast
            const0 = 0x00000001000000020000000300000004
        block0(v0: i64, v1: i32x4):
            v2 = vconst.i32x4 const0
            v3 = iadd v1, v2
            v4 = load.i64 notrap region0 v0+4
            v5 -> v4
            br_table v0, block2(v5), [block1, block2(v0)]
        block1:
            @5 v6 = call fn0(v4), stack_map=[i32 @ ss0+4]
            jump block2(v6)
        block2(v7: i64):
            return v7
        }";
        let program = Program::from_clif(text, "test").unwrap_or_else(|error| panic!("{error}"));
        for (_, function) in program.iter() {
            let bytes = to_bytes(function.body());
            let read = from_bytes(&bytes).unwrap_or_else(|error| panic!("{error}"));
            assert!(read == **function.body());
            let mut refused = 0;
            for place in 0..bytes.len() {
                for change in 1..=255_u8 {
                    let mut changed = bytes.clone();
                    changed[place] ^= change;
                    match from_bytes(&changed) {
                        Ok(func) if change.count_ones() == 1 => use_like_any(func),
                        Ok(func) => drop(function_text(&func)),
                        Err(_) => refused += 1,
                    }
                }
            }
            assert!(refused > bytes.len(), "{refused} of {} bytes", bytes.len());
        }
    }
}
