//! Source locations through inlining and compilation.

use cranelift_codegen::ir::{
    Function, Inst, InstructionData, RelSourceLoc, SourceLoc, Value, ValueLabel,
    ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::backend::{CompiledFunction, TargetSettings, target};
use cranelift_inliner::decide::{Always, Limits, Never};
use cranelift_inliner::locations::{CodeLocations, LocationBuilder, LocationMode, LocationTable};
use cranelift_inliner::pass::{Inlined, Inliner, Optimize};
use cranelift_inliner::program::{FunctionId, Program};
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};

const TARGETS: [&str; 4] = ["x64", "aarch64", "riscv64", "s390x"];

/// `%main` calls `%norm` twice, which calls `%square` twice, which may trap
/// and calls out.
const NESTED: &str = "
function %square(i32) -> i32 fast {
    fn0 = %out(i32) fast
block0(v0: i32):
@0001   trapz v0, user3
@0002   call fn0(v0)
@0003   v1 = imul v0, v0
@0003   v2 = bnot v1
@0004   return v2
}
function %norm(i32, i32) -> i32 fast {
    fn0 = %square(i32) -> i32 fast
block0(v0: i32, v1: i32):
@0011   v2 = call fn0(v0)
@0012   v3 = call fn0(v1)
@0013   v4 = udiv v2, v3
@0014   return v4
}
function %main(i32, i32, i32, i32) -> i32 fast {
    fn0 = %norm(i32, i32) -> i32 fast
    fn1 = %last(i32) fast
block0(v0: i32, v1: i32, v2: i32, v3: i32):
@0021   v4 = call fn0(v0, v1)
@0022   v5 = call fn0(v2, v3)
        v6 = isub v4, v5
@0023   trapz v6, user9
@0024   call fn1(v6)
@0025   return v6
}";

fn parse(text: &str) -> Program {
    Program::from_clif(text, "test.clif").unwrap()
}

fn find(program: &Program, name: &str) -> FunctionId {
    program.id(&name.parse().unwrap()).unwrap()
}

fn inlined_at() -> Inliner<'static> {
    // Instructions that are optimized away have no locations to compare.
    let inliner = Inliner::new(Always).optimize(Optimize::None);
    inliner.locations(LocationMode::InlinedAt)
}

fn table(text: &str, name: &str) -> String {
    let program = parse(text);
    let inlined = inlined_at().run(&program).unwrap();
    let table = inlined.locations(find(&program, name)).unwrap();
    table.to_string()
}

fn places(chain: impl Iterator<Item = impl ToString>) -> Vec<String> {
    chain.map(|place| place.to_string()).collect()
}

/// Returns the places of each instruction of a body, in layout order.
fn chains(body: &Function, table: &LocationTable) -> Vec<String> {
    insts(body)
        .map(|inst| places(table.chain(body.srcloc(inst))).join(" < "))
        .collect()
}

fn insts(body: &Function) -> impl Iterator<Item = Inst> + '_ {
    let blocks = body.layout.blocks();
    blocks.flat_map(|block| body.layout.block_insts(block))
}

fn calls(body: &Function) -> Vec<Inst> {
    let is_call = |inst: &Inst| matches!(body.dfg.insts[*inst], InstructionData::Call { .. });
    insts(body).filter(is_call).collect()
}

#[test]
fn entries_nest_tell_copies_apart_and_are_shared_by_instructions() {
    assert_eq!(
        table(NESTED, "%norm"),
        "@0000: %norm @0011
@0001: %norm @0012
@0002: %norm @0013
@0003: %norm @0014
@0004: %square @0001 inlined at %norm @0011
@0005: %square @0002 inlined at %norm @0011
@0006: %square @0003 inlined at %norm @0011
@0007: %square @0001 inlined at %norm @0012
@0008: %square @0002 inlined at %norm @0012
@0009: %square @0003 inlined at %norm @0012
"
    );
    let main = table(NESTED, "%main");
    let through = |call: &str| {
        let callee = ["@0001", "@0002", "@0003"];
        let square = |site: &str| {
            callee
                .map(|at| format!(": %square {at} inlined at %norm {site} inlined at %main {call}"))
        };
        let norm = |at: &str| format!(": %norm {at} inlined at %main {call}");
        let mut lines = vec![norm("@0011")];
        lines.extend(square("@0011"));
        lines.push(norm("@0012"));
        lines.extend(square("@0012"));
        lines.push(norm("@0013"));
        lines
    };
    let own = ["@0021", "@0022", "@0023", "@0024", "@0025"];
    let mut expected: Vec<String> = own.map(|at| format!(": %main {at}")).into();
    expected.extend(through("@0021"));
    expected.extend(through("@0022"));
    let lines: Vec<&str> = main.lines().map(|line| &line[5..]).collect();
    assert_eq!(lines, expected);
}

#[test]
fn each_instruction_has_the_chain_of_its_copy() {
    let program = parse(NESTED);
    let inlined = inlined_at().run(&program).unwrap();
    let norm = find(&program, "%norm");
    let body = inlined.body(norm).unwrap();
    assert_eq!(
        chains(body, inlined.locations(norm).unwrap()),
        [
            "%square @0001 < %norm @0011",
            "%square @0002 < %norm @0011",
            "%square @0003 < %norm @0011",
            "%square @0003 < %norm @0011",
            "%square @0001 < %norm @0012",
            "%square @0002 < %norm @0012",
            "%square @0003 < %norm @0012",
            "%square @0003 < %norm @0012",
            "%norm @0013",
            "%norm @0014",
        ]
    );
}

#[test]
fn entries_of_code_that_went_away_are_dropped_and_the_names_with_them() {
    let text = "
function %never() fast {
block0:
@0005   trap user5
}
function %choose(i8) -> i32 fast {
    fn0 = %never() fast
block0(v0: i8):
@0001   brif v0, block1, block2
block1:
@0002   v1 = iconst.i32 2
@0003   return v1
block2:
@0004   call fn0()
        v2 = iconst.i32 3
        return v2
}
function %main() -> i32 fast {
    fn0 = %choose(i8) -> i32 fast
block0:
@0011   v0 = iconst.i8 1
@0012   v1 = call fn0(v0)
@0013   return v1
}";
    // The branch was folded and its jump merged away, so that only the
    // constant is left of `%choose`, and nothing of `%never`.
    assert_eq!(
        table(text, "%main"),
        "@0000: %main @0011
@0001: %main @0012
@0002: %main @0013
@0003: %choose @0002 inlined at %main @0012
"
    );
    let program = parse(text);
    let inlined = inlined_at().run(&program).unwrap();
    let table = inlined.locations(find(&program, "%main")).unwrap();
    assert_eq!(places(table.functions().iter()), ["%main", "%choose"]);
}

#[test]
fn instructions_without_a_location_keep_their_history() {
    let text = "
function %leaf(i32) fast {
block0(v0: i32):
    trapz v0, user1
    return
}
function %middle(i32) fast {
    fn0 = %leaf(i32) fast
block0(v0: i32):
@0007   call fn0(v0)
    return
}
function %main(i32) fast {
    fn0 = %middle(i32) fast
block0(v0: i32):
    call fn0(v0)
    return
}";
    let program = parse(text);
    let inlined = inlined_at().run(&program).unwrap();
    let main = find(&program, "%main");
    let body = inlined.body(main).unwrap();
    assert_eq!(
        chains(body, inlined.locations(main).unwrap()),
        ["%leaf < %middle @0007 < %main", "%main"]
    );
}

/// Two calls on one line are two calls for a debugger.
#[test]
fn bodies_at_calls_with_the_same_location_have_entries_of_their_own() {
    let text = "
function %leaf(i32) fast {
block0(v0: i32):
@0001   trapz v0, user1
        return
}
function %main(i32) fast {
    fn0 = %leaf(i32) fast
block0(v0: i32):
@0002   call fn0(v0)
@0002   call fn0(v0)
        return
}";
    let leaf = "%leaf @0001 inlined at %main @0002";
    let expected =
        format!("@0000: %main @0002\n@0001: {leaf}\n@0002: %main @0002\n@0003: {leaf}\n");
    assert_eq!(table(text, "%main"), expected);
    // Without locations too.
    let unplaced = text.replace("@0002", "").replace("@0001", "");
    let expected = "@0000: %main\n@0001: %leaf inlined at %main\n@0002: %main\n\
                    @0003: %leaf inlined at %main\n";
    assert_eq!(table(&unplaced, "%main"), expected);
}

/// Returns the numbers of the calls at which the bodies around each trap were inlined, innermost
/// first.
fn bodies_around_traps(body: &Function, table: &LocationTable) -> Vec<Vec<SourceLoc>> {
    let is_trap = |inst: &Inst| matches!(body.dfg.insts[*inst], InstructionData::CondTrap { .. });
    insts(body)
        .filter(is_trap)
        .map(|inst| {
            let chain = table.chain(body.srcloc(inst));
            chain.filter_map(|place| place.call).collect()
        })
        .collect()
}

#[test]
fn copies_of_a_body_with_two_calls_on_one_line_stay_apart_at_every_depth() {
    let text = "
function %leaf(i32) fast {
block0(v0: i32):
@0001   trapz v0, user1
        return
}
function %middle(i32) fast {
    fn0 = %leaf(i32) fast
block0(v0: i32):
@0002   call fn0(v0)
@0002   call fn0(v0)
        return
}
function %main(i32) fast {
    fn0 = %middle(i32) fast
block0(v0: i32):
@0003   call fn0(v0)
@0003   call fn0(v0)
        return
}";
    let program = parse(text);
    let inlined = inlined_at().run(&program).unwrap();
    let main = find(&program, "%main");
    let (body, table) = (
        inlined.body(main).unwrap(),
        inlined.locations(main).unwrap(),
    );
    let bodies = bodies_around_traps(body, table);
    let [[a, x], [b, y], [c, z], [d, w]] = [0, 1, 2, 3].map(|n| [bodies[n][0], bodies[n][1]]);
    assert_eq!((x, z), (y, w), "two copies of %middle");
    assert_ne!(x, z);
    let mut leaves = vec![a, b, c, d];
    leaves.sort_by_key(|call| call.bits());
    leaves.dedup();
    assert_eq!(leaves.len(), 4);
    assert!(
        chains(body, table)[..4]
            .iter()
            .all(|chain| chain == "%leaf @0001 < %middle @0002 < %main @0003")
    );

    // A session that goes on with a finished table adds a third copy beside the two.
    let own = |id| LocationTable::own(program.get(id).unwrap().name().clone());
    let leaf = find(&program, "%leaf");
    let callee = Callee::new(program[leaf].body()).unwrap();
    let original = program[find(&program, "%middle")].body();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut func = (**original).clone();
    let mut builder = LocationBuilder::begin(&mut func);
    for (step, call) in calls(original).into_iter().enumerate() {
        let mut session = context.session(&mut func, &options);
        session
            .splice_with(call, &callee, &mut builder.inlining(&own(leaf)))
            .unwrap();
        session.finish();
        if step == 0 {
            let table = builder.finish(&mut func);
            builder = LocationBuilder::resume(table, &mut func);
        }
    }
    let table = builder.finish(&mut func);
    let bodies = bodies_around_traps(&func, &table);
    assert_ne!(bodies[0], bodies[1]);
}

/// Any location is possible, and Cranelift stores them relative to each other.
#[test]
fn the_numbers_of_locations_do_not_matter() {
    for (first, second) in [(0, 1), (1, 0), (9, 8), (u32::MAX - 1, 0), (0, u32::MAX - 1)] {
        let text = format!(
            "
function %leaf(i32) fast {{
block0(v0: i32):
@{second:x}   trapz v0, user1
@{first:x}    return
}}
function %main(i32) fast {{
    fn0 = %leaf(i32) fast
block0(v0: i32):
@{first:x}    trapz v0, user2
@{first:x}    call fn0(v0)
@{first:x}    return
}}"
        );
        let program = parse(&text);
        let [first, second] = [first, second].map(SourceLoc::new);
        let main = find(&program, "%main");
        let kept = Inliner::new(Always).run(&program).unwrap();
        let body = kept.body(main).unwrap();
        let locations: Vec<_> = insts(body).map(|inst| body.srcloc(inst)).collect();
        assert_eq!(locations, [first, second, first]);
        let inlined = inlined_at().run(&program).unwrap();
        let body = inlined.body(main).unwrap();
        assert_eq!(
            chains(body, inlined.locations(main).unwrap()),
            [
                format!("%main {first}"),
                format!("%leaf {second} < %main {first}"),
                format!("%main {first}"),
            ]
        );
    }
}

/// A callee with a table of its own, and the same bodies spliced from the
/// outside in, give the same chains.
#[test]
fn the_order_of_splices_does_not_matter() {
    let functions = cranelift_reader::parse_functions(NESTED).unwrap();
    let [square, norm, main] = [0, 1, 2].map(|index: usize| functions[index].clone());
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let own = |func: &Function| LocationTable::own(func.name.clone().into());

    let mut inner = norm.clone();
    let mut builder = LocationBuilder::begin(&mut inner);
    let mut session = context.session(&mut inner, &options);
    for call in calls(&norm) {
        let (callee, table) = (Callee::new(&square).unwrap(), own(&square));
        session
            .splice_with(call, &callee, &mut builder.inlining(&table))
            .unwrap();
    }
    session.finish();
    let inner_table = builder.finish(&mut inner);

    let mut inside_out = main.clone();
    let mut builder = LocationBuilder::begin(&mut inside_out);
    let mut session = context.session(&mut inside_out, &options);
    for call in calls(&main).into_iter().take(2) {
        let callee = Callee::new(&inner).unwrap();
        session
            .splice_with(call, &callee, &mut builder.inlining(&inner_table))
            .unwrap();
    }
    session.finish();
    let inside_out_table = builder.finish(&mut inside_out);

    let mut outside_in = main.clone();
    let mut builder = LocationBuilder::begin(&mut outside_in);
    let mut came_in = Vec::new();
    for (step, call) in calls(&main).into_iter().take(2).enumerate() {
        let mut session = context.session(&mut outside_in, &options);
        let (callee, table) = (Callee::new(&norm).unwrap(), own(&norm));
        let copied = session
            .splice_with(call, &callee, &mut builder.inlining(&table))
            .unwrap();
        came_in.extend(copied.iter().map(|copied| copied.inst));
        session.finish();
        if step == 0 {
            // A finished table can be taken up again.
            let table = builder.finish(&mut outside_in);
            builder = LocationBuilder::resume(table, &mut outside_in);
        }
    }
    let mut session = context.session(&mut outside_in, &options);
    for call in came_in {
        let (callee, table) = (Callee::new(&square).unwrap(), own(&square));
        session
            .splice_with(call, &callee, &mut builder.inlining(&table))
            .unwrap();
    }
    session.finish();
    let outside_in_table = builder.finish(&mut outside_in);

    let expected = chains(&inside_out, &inside_out_table);
    assert_eq!(expected.len(), 2 * 9 + 4);
    assert_eq!(chains(&outside_in, &outside_in_table), expected);
    assert_eq!(outside_in_table.len(), inside_out_table.len());
}

#[test]
fn a_copy_of_a_structure_is_the_callers_deed() {
    let text = "
function %leaf(i64 sarg(16)) -> i64 system_v {
block0(v0: i64):
@0001   v1 = load.i64 v0
@0002   return v1
}
function %main(i64) -> i64 system_v {
    fn0 = %leaf(i64 sarg(16)) -> i64 system_v
block0(v0: i64):
@0011   v1 = call fn0(v0)
@0012   return v1
}";
    let program = parse(text);
    let inlined = inlined_at().run(&program).unwrap();
    let main = find(&program, "%main");
    let body = inlined.body(main).unwrap();
    let chains = chains(body, inlined.locations(main).unwrap());
    let (copies, last) = chains.split_last_chunk::<2>().unwrap();
    assert!(copies.len() >= 5, "{copies:?}");
    assert!(
        copies.iter().all(|chain| chain == "%main @0011"),
        "{copies:?}"
    );
    assert_eq!(*last, ["%leaf @0001 < %main @0011", "%main @0012"]);
}

#[test]
fn keeping_locations_is_the_default_and_leaves_no_table() {
    let program = parse(NESTED);
    let isa = target("host", &TargetSettings::new()).unwrap();
    let (kept, compiled) = Inliner::new(Always)
        .run_and_compile(&program, &*isa)
        .unwrap();
    let norm = find(&program, "%norm");
    let body = kept.body(norm).unwrap();
    let locations: Vec<u32> = insts(body).map(|inst| body.srcloc(inst).bits()).collect();
    assert_eq!(locations, [1, 2, 3, 3, 1, 2, 3, 3, 0x13, 0x14]);
    for id in program.ids() {
        assert!(kept.locations(id).is_none() && compiled.locations(id).is_none());
    }
}

#[test]
fn decisions_and_their_records_know_the_front_ends_locations() {
    let program = parse(
        "
function %even(i32) -> i32 fast {
    fn0 = %odd(i32) -> i32 fast
block0(v0: i32):
@0001   v1 = call fn0(v0)
@0002   return v1
}
function %odd(i32) -> i32 fast {
    fn0 = %even(i32) -> i32 fast
block0(v0: i32):
@0003   v1 = call fn0(v0)
@0004   return v1
}
function %main(i32) -> i32 fast {
    fn0 = %even(i32) -> i32 fast
block0(v0: i32):
@0005   v1 = call fn0(v0)
@0006   return v1
}",
    );
    let records = |inliner: Inliner<'_>| -> Inlined { inliner.run(&program).unwrap() };
    let kept = records(Inliner::new(Always));
    let at = records(inlined_at());
    assert!(kept.sites().eq(at.sites()));
    let came_in: Vec<_> = at.sites().filter(|site| !site.via().is_empty()).collect();
    let locations: Vec<u32> = came_in.iter().map(|site| site.srcloc.bits()).collect();
    assert_eq!(locations, [1, 1, 1]);
}

#[test]
fn tables_are_the_same_for_any_number_of_threads() {
    let program = parse(NESTED);
    let tables = |threads: usize| -> Vec<LocationTable> {
        let pool = rayon::ThreadPoolBuilder::new();
        let pool = pool.num_threads(threads).build().unwrap();
        let inlined = pool.install(|| inlined_at().run(&program)).unwrap();
        let table = |id| (**inlined.locations(id).unwrap()).clone();
        program.ids().map(table).collect()
    };
    assert_eq!(tables(1), tables(4));
}

struct Compiled {
    code: CompiledFunction,
    table: LocationTable,
}

impl Compiled {
    fn places(&self) -> CodeLocations<'_> {
        CodeLocations::new(&self.code, &self.table)
    }

    fn traps(&self) -> Vec<String> {
        let traps = self.code.traps().iter().map(|trap| {
            let places = places(self.places().lookup(trap.offset)).join(" < ");
            format!("{}: {places}", trap.code)
        });
        let mut traps: Vec<_> = traps.collect();
        traps.sort();
        traps
    }

    fn calls(&self) -> Vec<String> {
        let sites = self.code.call_sites();
        sites
            .map(|site| places(self.places().lookup_return_address(site.ret_addr)).join(" < "))
            .collect()
    }
}

fn compile(program: &Program, name: &str, target_name: &str, opt: &str) -> Compiled {
    let settings = TargetSettings::new().setting(&format!("opt_level={opt}"));
    let isa = target(target_name, &settings).unwrap();
    let (_, compiled) = inlined_at().run_and_compile(program, &*isa).unwrap();
    let id = find(program, name);
    Compiled {
        code: compiled.get(id).unwrap().clone(),
        table: (**compiled.locations(id).unwrap()).clone(),
    }
}

/// In order of execution, which is the order of the code here.
const CALLS: [&str; 5] = [
    "%square @0002 < %norm @0011 < %main @0021",
    "%square @0002 < %norm @0012 < %main @0021",
    "%square @0002 < %norm @0011 < %main @0022",
    "%square @0002 < %norm @0012 < %main @0022",
    "%main @0024",
];

#[test]
fn calls_and_traps_of_the_code_have_their_chains() {
    let program = parse(NESTED);
    for target_name in TARGETS {
        for opt in ["none", "speed", "speed_and_size"] {
            let main = compile(&program, "%main", target_name, opt);
            assert_eq!(main.calls(), CALLS, "{target_name} {opt}");
            let mut expected = vec!["user9: %main @0023".to_owned()];
            for call in ["@0021", "@0022"] {
                expected.push(format!("int_divz: %norm @0013 < %main {call}"));
                for site in ["@0011", "@0012"] {
                    expected.push(format!(
                        "user3: %square @0001 < %norm {site} < %main {call}"
                    ));
                }
            }
            expected.sort();
            let traps: Vec<_> = main.traps();
            let traps: Vec<_> = traps
                .into_iter()
                .filter(|trap| !trap.starts_with("stk_ovf"))
                .collect();
            assert_eq!(traps, expected, "{target_name} {opt}");
        }
    }
}

#[test]
fn every_byte_has_a_chain_that_ends_in_the_compiled_function() {
    let program = parse(NESTED);
    for target_name in TARGETS {
        for opt in ["none", "speed"] {
            let main = compile(&program, "%main", target_name, opt);
            let size = main.code.code().len() as u32;
            let mut known = 0;
            for offset in 0..size + 10 {
                let chain: Vec<_> = main.places().lookup(offset).collect();
                let (outermost, inner) = chain.split_last().unwrap();
                assert_eq!(outermost.function.to_string(), "%main");
                assert!(outermost.call.is_none());
                for (place, around) in inner.iter().zip(&chain[1..]) {
                    let expected = match place.function.to_string().as_str() {
                        "%square" => "%norm",
                        "%norm" => "%main",
                        other => panic!("{other}"),
                    };
                    assert_eq!(around.function.to_string(), expected);
                }
                known += usize::from(!chain[0].location.is_default());
            }
            assert!(known > 40, "{target_name} {opt}: {known}");
            let mut end = 0;
            let mut previous = None;
            for (range, location) in main.places().ranges() {
                assert_eq!(range.start, end);
                assert!(range.end > range.start && previous != Some(location));
                for offset in range.clone() {
                    assert_eq!(main.places().location(offset), location);
                }
                end = range.end;
                previous = Some(location);
            }
            assert_eq!(end, size, "{target_name} {opt}");
        }
    }
}

#[test]
fn the_mode_does_not_change_the_code() {
    let program = parse(NESTED);
    let isa = target("host", &TargetSettings::new()).unwrap();
    let code = |inliner: Inliner<'_>| {
        let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
        let code = compiled.iter().map(|(_, code)| code.code().to_vec());
        code.collect::<Vec<_>>()
    };
    assert_eq!(code(Inliner::new(Always)), code(inlined_at()));
}

#[test]
fn a_function_without_inlined_calls_has_a_table_too() {
    let program = parse(NESTED);
    let inlined = Inliner::new(Never)
        .locations(LocationMode::InlinedAt)
        .run(&program)
        .unwrap();
    let square = find(&program, "%square");
    let table = inlined.locations(square).unwrap();
    assert!(!table.is_own());
    assert_eq!(
        table.to_string(),
        "@0000: %square @0001\n@0001: %square @0002\n@0002: %square @0003\n@0003: %square @0004\n"
    );
}

#[test]
fn a_function_that_falls_back_to_its_original_has_its_own_locations() {
    let text = "
function %leaf(i64) -> i64 fast {
    ss0 = explicit_slot 500000000
block0(v0: i64):
@0001   v1 = stack_addr.i64 ss0
@0002   store v0, v1
@0003   v2 = load.i64 v1
        return v2
}
function %main(i64) -> i64 fast {
    fn0 = %leaf(i64) -> i64 fast
block0(v0: i64):
@0011   v1 = call fn0(v0)
@0012   v2 = call fn0(v1)
@0013   v3 = call fn0(v2)
@0014   v4 = call fn0(v3)
@0015   v5 = call fn0(v4)
@0016   trapz v5, user7
@0017   return v5
}";
    let mut program = Program::new();
    for mut func in cranelift_reader::parse_functions(text).unwrap() {
        // Text cannot express labels: 0 in `%leaf`, and 1 in `%main`.
        let starts = ValueLabelAssignments::Starts(vec![ValueLabelStart {
            from: RelSourceLoc::default(),
            label: ValueLabel::from_u32(program.len() as u32),
        }]);
        let labels = func.dfg.values_labels.get_or_insert_default();
        labels.insert(Value::from_u32(1), starts);
        program.add(func).unwrap();
    }
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let mut limits = Limits::default();
    limits.function_insts = 1000;
    limits.frame_bytes = u64::MAX;
    let mut options = SpliceOptions::default();
    options.share_slots = false;
    let inliner = inlined_at().limits(limits).splice_options(options);
    let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let main = find(&program, "%main");
    assert_eq!(inlined.stats(main).inlined, 5);
    assert_eq!(
        compiled.fallbacks().map(|(id, _)| id).collect::<Vec<_>>(),
        [main]
    );
    let table = compiled.locations(main).unwrap();
    assert!(table.is_own());
    let code = compiled.get(main).unwrap();
    let trap = code
        .traps()
        .iter()
        .find(|trap| trap.code.to_string() == "user7");
    let chain = CodeLocations::new(code, table).lookup(trap.unwrap().offset);
    assert_eq!(places(chain), ["%main @0016"]);
    assert!(!inlined.locations(main).unwrap().is_own());
    let labels = compiled.labels(main).unwrap().iter();
    let labels: Vec<_> = labels.map(|variable| variable.label.as_u32()).collect();
    assert_eq!(labels, [1], "that of `%main` alone");
}

#[test]
fn entries_grow_with_the_code_and_no_faster() {
    let calls = 2000;
    let mut text = String::from(
        "function %leaf(i32) fast {\nblock0(v0: i32):\n@0001 trapz v0, user1\n@0001 trapz v0, user2\n return\n}\n\
         function %main(i32) fast {\n fn0 = %leaf(i32) fast\nblock0(v0: i32):\n",
    );
    for call in 0..calls {
        text.push_str(&format!("@{:x} call fn0(v0)\n", call + 16));
    }
    text.push_str(" return\n}");
    let program = parse(&text);
    let mut limits = Limits::default();
    limits.function_insts = 1_000_000;
    limits.function_growth = 1000.0;
    limits.program_growth = 1000.0;
    let inlined = inlined_at().limits(limits).run(&program).unwrap();
    let main = find(&program, "%main");
    let table = inlined.locations(main).unwrap();
    assert_eq!(inlined.stats(main).inlined, calls);
    assert_eq!(table.len(), 2 * calls);
}
