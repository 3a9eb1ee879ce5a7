//! Variables in keyed slots belong to the body that the slot came with.

use crate::dwarf::read;
use cranelift_codegen::ir::{Function, Inst, StackSlotKey};
use cranelift_inliner::backend::{
    CompileScratch, ObjectFunction, ObjectLinkage, TargetSettings, build_object, compile_function,
    default_symbol, target,
};
use cranelift_inliner::debug_info::{
    DebugFunction, DebugInfo, LineIsLocation, Variable, VariableEncoding, VariableSchema,
    VariableType,
};
use cranelift_inliner::locations::{LocationBuilder, LocationTable};
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};

/// A slot with the key 9 is a variable of `%f`.
struct Schema;

impl VariableSchema for Schema {
    fn variables(&self, key: StackSlotKey) -> Vec<Variable> {
        assert_eq!(key.bits(), 9);
        Vec::from([Variable::new(
            "%f".parse().unwrap(),
            "slot",
            VariableType::new("u64", 8, VariableEncoding::Unsigned),
            0,
        )])
    }
}

fn calls(function: &Function) -> Vec<Inst> {
    let blocks = function.layout.blocks();
    let insts = blocks.flat_map(|block| function.layout.block_insts(block));
    insts
        .filter(|inst| function.dfg.insts[*inst].opcode().is_call())
        .collect()
}

/// Splices `callee` at a call, in a session of its own.
fn splice(caller: &mut Function, call: Inst, callee: &Function, builder: &mut LocationBuilder) {
    let mut context = SpliceContext::new();
    let options = SpliceOptions::default();
    let mut session = context.session(caller, &options);
    let own = LocationTable::own(callee.name.clone().into());
    let callee = Callee::new(callee).unwrap();
    session
        .splice_with(call, &callee, &mut builder.inlining(&own))
        .unwrap();
    session.finish();
}

/// Returns the distances of each body's variables from the frame pointer, and those of all slots,
/// in their order.
fn variables(mut body: Function, builder: LocationBuilder) -> (Vec<Vec<i64>>, Vec<i64>) {
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let locations = builder.finish(&mut body);
    let code = compile_function(&*isa, &body, &mut CompileScratch::new()).unwrap();
    let top = i64::from(code.frame_to_fp_offset().unwrap());
    let slots = code.frame_slots();
    let slots = slots.map(|slot| i64::from(slot.offset) - top).collect();
    let functions = [ObjectFunction::new(
        default_symbol(code.name()),
        ObjectLinkage::Export,
        &code,
    )];
    let mut product = build_object(&isa, "slots", &functions, default_symbol).unwrap();
    let lines = LineIsLocation::new("slots.src", "/project");
    DebugInfo::new(&*isa, &lines)
        .variables(&Schema)
        .add_to(&mut product, &[DebugFunction::new(&code, &locations)])
        .unwrap();
    let dwarf = read(&product.emit().unwrap());
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let mut entries = unit.entries();
    let mut bodies: Vec<(isize, Vec<i64>)> = Vec::new();
    while let Some(entry) = entries.next_dfs().unwrap() {
        match entry.tag() {
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => {
                bodies.push((entry.depth(), Vec::new()));
            }
            gimli::DW_TAG_variable => {
                let place = entry.attr_value(gimli::DW_AT_location).unwrap();
                let gimli::AttributeValue::Exprloc(place) = place else {
                    panic!("{place:?}");
                };
                let mut operations = place.operations(unit.encoding());
                let operation = operations.next().unwrap().unwrap();
                let gimli::Operation::FrameOffset { offset } = operation else {
                    panic!("{operation:?}");
                };
                let around = bodies.iter_mut().rev();
                let mut around = around.filter(|(depth, _)| *depth < entry.depth());
                around.next().unwrap().1.push(offset);
            }
            _ => {}
        }
    }
    let bodies = bodies.into_iter().map(|(_, variables)| variables);
    (bodies.collect(), slots)
}

#[test]
fn a_body_inside_another_of_its_function_has_its_own_slot() {
    let text = "
function %f(i32) system_v {
    ss0 = explicit_slot 8, key = 9
    fn0 = %probe(i32) system_v
    fn1 = colocated %f(i32) system_v
block0(v0: i32):
<ss0> @0001 call fn0(v0)
<ss0> @0002 call fn1(v0)
<ss0> @0003 call fn0(v0)
    return
}";
    let callee = cranelift_reader::parse_functions(text).unwrap().remove(0);
    let mut caller = callee.clone();
    let mut builder = LocationBuilder::begin(&mut caller);
    let call = calls(&caller)[1];
    splice(&mut caller, call, &callee, &mut builder);
    let (bodies, slots) = variables(caller, builder);
    // The first is abstract.
    assert_eq!(bodies[1..], [vec![slots[0]], vec![slots[1]]]);
}

/// The first copy of `%f` has no code left, but its slot stays.
#[test]
fn a_slot_of_a_body_without_code_is_not_that_of_another_body() {
    for tag in ["<ss0>", ""] {
        let text = format!(
            "
function %f() system_v {{
    ss0 = explicit_slot 8, key = 9
    fn0 = %probe() system_v
block0:
{tag} @0001 call fn0()
    return
}}
function %main() system_v {{
    fn0 = %f() system_v
block0:
{tag} @0002 call fn0()
{tag} @0003 call fn0()
    return
}}"
        )
        .replace("<ss0> @0002", "<1> @0002")
        .replace("<ss0> @0003", "<1> @0003");
        let functions = cranelift_reader::parse_functions(&text).unwrap();
        let (callee, mut caller) = (&functions[0], functions[1].clone());
        let mut builder = LocationBuilder::begin(&mut caller);
        for number in 0..2 {
            let call = calls(&caller)[number];
            splice(&mut caller, call, callee, &mut builder);
        }
        let first = calls(&caller)[0];
        caller.layout.remove_inst(first);
        let (bodies, slots) = variables(caller, builder);
        // The first is abstract, and the second is that of `%main`. Without tags it is not known
        // which slot belongs to the body.
        let expected = match tag {
            "" => vec![],
            _ => vec![slots[1]],
        };
        let inlined = bodies.last().unwrap();
        assert_eq!(*inlined, expected, "{tag:?}, {bodies:?} {slots:?}");
    }
}
