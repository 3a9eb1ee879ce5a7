//! Metadata of inlined code after compilation: labels, stack maps, traps and
//! relocations.

use cranelift_codegen::ir::{
    Function, RelSourceLoc, StackSlotKey, UserFuncName, Value, ValueLabel, ValueLabelAssignments,
    ValueLabelStart, types,
};
use cranelift_inliner::backend::{CompiledFunction, RelocationTarget, TargetSettings, target};
use cranelift_inliner::decide::Always;
use cranelift_inliner::locations::{CodeLocations, LabelTable, LocationMode, LocationTable};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use std::collections::BTreeSet;

/// s390x saves registers in another way, which Cranelift's labels do not see.
const TARGETS: [&str; 3] = ["x64", "aarch64", "riscv64"];
const LEVELS: [&str; 2] = ["none", "speed"];

fn parse(text: &str) -> Vec<Function> {
    cranelift_reader::parse_functions(text).unwrap()
}

/// Returns the last function, with everything inlined into it.
fn compile(functions: Vec<Function>, target_name: &str, level: &str) -> Compiled {
    let mut program = Program::new();
    let mut last = None;
    for function in functions {
        last = Some(program.add(function).unwrap());
    }
    let settings = TargetSettings::new().setting(&format!("opt_level={level}"));
    let isa = target(target_name, &settings).unwrap();
    let inliner = Inliner::new(Always)
        .locations(LocationMode::InlinedAt)
        .verify_with(&*isa);
    let (_, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
    let id = last.unwrap();
    Compiled {
        code: compiled.get(id).unwrap().clone(),
        table: (**compiled.locations(id).unwrap()).clone(),
        labels: compiled.labels(id).unwrap().clone(),
    }
}

struct Compiled {
    code: CompiledFunction,
    table: LocationTable,
    labels: LabelTable,
}

impl Compiled {
    fn return_addresses(&self) -> Vec<u32> {
        self.code.call_sites().map(|site| site.ret_addr).collect()
    }

    fn innermost(&self, offset: u32) -> String {
        let places = CodeLocations::new(&self.code, &self.table);
        places.lookup(offset).next().unwrap().to_string()
    }

    /// Returns the front ends' labels of the values that are somewhere at `offset`.
    fn labels_at(&self, offset: u32) -> BTreeSet<u32> {
        let ranges = self.code.value_label_ranges().iter();
        let here = ranges.filter(|(_, ranges)| {
            let mut ranges = ranges.iter();
            ranges.any(|range| range.start <= offset && offset < range.end)
        });
        here.map(|(number, _)| {
            let mut labels = self.labels.iter();
            let variable = labels.find(|variable| variable.number == *number);
            variable.unwrap().label.as_u32()
        })
        .collect()
    }
}

/// Adds a label, which text cannot express.
fn label(func: &mut Function, value: u32, label: u32) {
    let labels = func.dfg.values_labels.get_or_insert_default();
    let start = ValueLabelStart {
        from: RelSourceLoc::default(),
        label: ValueLabel::from_u32(label),
    };
    labels.insert(
        Value::from_u32(value),
        ValueLabelAssignments::Starts(vec![start]),
    );
}

fn alias_label(func: &mut Function, alias: u32, of: u32) {
    let labels = func.dfg.values_labels.get_or_insert_default();
    let assignment = ValueLabelAssignments::Alias {
        from: RelSourceLoc::default(),
        value: Value::from_u32(of),
    };
    labels.insert(Value::from_u32(alias), assignment);
}

#[test]
fn ranges_name_the_callees_variables() {
    let functions = parse(
        "
function %callee(i64, i64) -> i64 fast {
    fn0 = %out(i64) fast
block0(v0: i64, v1: i64):
    v2 = imul v0, v1
    v3 -> v2
@0001   call fn0(v2)
    v4 = bxor v3, v0
@0002   call fn0(v4)
    v5 = iadd v4, v1
    return v5
}
function %caller(i64, i64) -> i64 fast {
    fn0 = %callee(i64, i64) -> i64 fast
    fn1 = %out(i64) fast
block0(v0: i64, v1: i64):
    v2 = bxor v0, v1
@0003   v3 = call fn0(v2, v1)
@0004   call fn1(v3)
    v4 = iadd v3, v2
    return v4
}",
    );
    for target_name in TARGETS {
        for level in LEVELS {
            let mut functions = functions.clone();
            let [callee, caller] = &mut functions[..] else {
                panic!()
            };
            // Parameters, a result, an alias with a label of its own and one
            // that has its value's.
            for (value, number) in [(0, 10), (1, 11), (3, 13), (4, 14)] {
                label(callee, value, number);
            }
            label(callee, 2, 12);
            alias_label(callee, 5, 4);
            // The arguments and results of a call.
            label(caller, 2, 22);
            label(caller, 3, 23);
            let compiled = compile(functions, target_name, level);
            let points = compiled.return_addresses();
            let places: Vec<_> = points.iter().map(|at| compiled.innermost(at - 1)).collect();
            let expected = ["%callee @0001", "%callee @0002", "%caller @0004"];
            assert_eq!(places, expected, "{target_name} {level}");
            // Right after a call, live labelled values have the labels of both functions.
            let live: Vec<_> = points.iter().map(|&at| compiled.labels_at(at)).collect();
            let has = |index: usize, labels: &[u32]| {
                for label in labels {
                    assert!(
                        live[index].contains(label),
                        "{label} at {index} of {live:?}: {target_name} {level}"
                    );
                }
            };
            has(0, &[10, 22, 11, 12, 13]);
            has(1, &[10, 22, 11, 14]);
            has(2, &[22, 23]);
            assert!(!live[2].contains(&12), "{target_name} {level}: {live:?}");
        }
    }
}

/// Both functions have a label 1, and `%callee` is inlined twice.
#[test]
fn equal_labels_of_several_bodies_are_several_variables() {
    let functions = parse(
        "
function %callee(i64) -> i64 fast {
    fn0 = %out(i64) fast
block0(v0: i64):
    v1 = imul v0, v0
@0001   call fn0(v1)
    v2 = bxor v1, v0
    return v2
}
function %caller(i64) -> i64 fast {
    fn0 = %callee(i64) -> i64 fast
block0(v0: i64):
@0003   v1 = call fn0(v0)
    v2 = call fn0(v1)
    return v2
}",
    );
    for level in LEVELS {
        let mut functions = functions.clone();
        label(&mut functions[0], 1, 1);
        label(&mut functions[1], 1, 1);
        let compiled = compile(functions, "x64", level);
        let variables: Vec<_> = compiled
            .labels
            .iter()
            .map(|variable| {
                let body = compiled.table.chain(variable.body);
                let functions: Vec<_> = body.map(|place| place.function.to_string()).collect();
                (
                    variable.number.as_u32(),
                    variable.label.as_u32(),
                    functions.join(" in "),
                )
            })
            .collect();
        let expected = ["%callee in %caller", "%caller", "%callee in %caller"];
        let expected: Vec<_> = (0..)
            .zip(expected)
            .map(|(number, body)| (number, 1, body.to_owned()))
            .collect();
        assert_eq!(variables, expected);
        let bodies: BTreeSet<_> = compiled
            .labels
            .iter()
            .map(|variable| {
                compiled
                    .table
                    .innermost(variable.body)
                    .call
                    .map(|call| call.bits())
            })
            .collect();
        assert_eq!(bodies.len(), 3);
    }
}

#[test]
fn an_inlined_safepoint_has_the_callers_entries_and_its_own() {
    let functions = parse(
        "
function %callee(i64) -> i64 fast {
    ss0 = explicit_slot 32
    ss1 = explicit_slot 16, key = 71
    fn0 = %collect() fast
block0(v0: i64):
    v1 = stack_addr.i64 ss1
    store v0, v1+8
@0001   call fn0(), stack_map=[i64 @ ss1+8]
    v2 = load.i64 v1+8
    v3 = stack_addr.i64 ss0
    store v2, v3
@0002   call fn0()
    v4 = load.i64 v3
    return v4
}
function %caller(i64, i32) -> i64, i32 fast {
    ss0 = explicit_slot 64, key = 80
    fn0 = %callee(i64) -> i64 fast
    fn1 = %collect() fast
block0(v0: i64, v1: i32):
    v2 = stack_addr.i64 ss0
    store v0, v2
    store v1, v2+16
@0011   call fn1(), stack_map=[i64 @ ss0+0, i32 @ ss0+16]
@0012   v3 = call fn0(v0), stack_map=[i64 @ ss0+0, i32 @ ss0+16]
@0013   v4 = call fn0(v3), stack_map=[i32 @ ss0+16]
    v5 = load.i64 v2
    v6 = load.i32 v2+16
    v7 = iadd v4, v5
    return v7, v6
}",
    );
    for target_name in ["x64", "aarch64", "riscv64", "s390x"] {
        for level in LEVELS {
            let compiled = compile(functions.clone(), target_name, level);
            let slots: Vec<_> = compiled.code.frame_slots().collect();
            let keyed = |key: u64| {
                let key = Some(StackSlotKey::new(key));
                let slots = slots.iter().filter(|slot| slot.key == key);
                slots.map(|slot| slot.offset).collect::<Vec<_>>()
            };
            // Both copies use the same slot.
            let ([own], [copies]) = (&keyed(80)[..], &keyed(71)[..]) else {
                panic!("{slots:?}")
            };
            let mut maps = Vec::new();
            for (offset, _, map) in compiled.code.user_stack_maps() {
                let mut entries: Vec<_> = map.entries().collect();
                entries.sort_by_key(|(_, offset)| *offset);
                maps.push((compiled.innermost(offset - 1), entries));
            }
            let map = |place: &str, entries: &[(types::Type, u32)]| {
                let mut entries = entries.to_vec();
                entries.sort_by_key(|(_, offset)| *offset);
                (place.to_owned(), entries)
            };
            let (root, count) = ((types::I64, *own), (types::I32, own + 16));
            let expected = [
                map("%caller @0011", &[root, count]),
                map("%callee @0001", &[root, count, (types::I64, copies + 8)]),
                map("%callee @0002", &[root, count]),
                map("%callee @0001", &[count, (types::I64, copies + 8)]),
                map("%callee @0002", &[count]),
            ];
            assert_eq!(maps, expected, "{target_name} {level}");
        }
    }
}

#[test]
fn trap_codes_stay_with_their_instructions() {
    let functions = parse(
        "
function %callee(i64, i32) -> i32 fast {
block0(v0: i64, v1: i32):
@0001   trapnz v1, user2
@0002   v2 = load.i32 user7 v0
@0003   v3 = sdiv v2, v1
        ; A second use, for s390x would divide by what is in memory else.
@0004   v4 = bxor v2, v3
@0005   return v4
}
function %caller(i64, i32) -> i32 fast {
    fn0 = %callee(i64, i32) -> i32 fast
block0(v0: i64, v1: i32):
@0011   v2 = load.i32 user8 v0+8
@0012   v3 = call fn0(v0, v1)
@0013   trapnz v2, user3
        return v3
}",
    );
    for target_name in ["x64", "aarch64", "riscv64", "s390x"] {
        for level in LEVELS {
            let compiled = compile(functions.clone(), target_name, level);
            let traps: BTreeSet<_> = compiled
                .code
                .traps()
                .iter()
                .map(|trap| (compiled.innermost(trap.offset), trap.code.to_string()))
                .collect();
            for (place, code) in [
                ("%callee @0001", "user2"),
                ("%callee @0002", "user7"),
                ("%callee @0003", "int_divz"),
                ("%callee @0003", "int_ovf"),
                ("%caller @0011", "user8"),
                ("%caller @0013", "user3"),
            ] {
                let trap = (place.to_owned(), code.to_owned());
                assert!(
                    traps.contains(&trap),
                    "{trap:?} of {traps:?}: {target_name} {level}"
                );
            }
            let names: BTreeSet<_> = traps.iter().map(|(_, code)| code.as_str()).collect();
            assert_eq!(names.len(), 6, "{target_name} {level}: {traps:?}");
        }
    }
}

#[test]
fn relocations_of_inlined_calls_name_the_callees_functions() {
    // The numbers of the references differ between the two bodies, and so do
    // those of the names.
    let functions = parse(
        "
function u0:1(i64) -> i64 fast {
    gv0 = symbol u9:2
    fn0 = u5:1(i64) fast
    fn1 = %texted(i64) fast
    fn2 = u5:2(i64) fast
block0(v0: i64):
    call fn2(v0)
    call fn1(v0)
    call fn0(v0)
    v1 = symbol_value.i64 gv0
    return v1
}
function u0:2(i64) -> i64 fast {
    fn0 = u5:2(i64) fast
    fn1 = u0:1(i64) -> i64 fast
    fn2 = u5:3(i64) fast
block0(v0: i64):
    call fn2(v0)
    v1 = call fn1(v0)
    call fn0(v1)
    return v1
}",
    );
    let user = |namespace, index| UserFuncName::user(namespace, index);
    let called = [
        user(5, 3),
        user(5, 2),
        UserFuncName::testcase("texted"),
        user(5, 1),
        user(5, 2),
    ];
    for target_name in ["x64", "aarch64", "riscv64", "s390x"] {
        for level in LEVELS {
            let compiled = compile(functions.clone(), target_name, level);
            let mut data = BTreeSet::new();
            let mut names = Vec::new();
            for relocation in compiled.code.relocations() {
                match &relocation.target {
                    RelocationTarget::Function(name) => names.push(name.clone()),
                    RelocationTarget::Data(name) => {
                        data.insert(name.to_string());
                    }
                    _ => {}
                }
            }
            // Some targets need two relocations for one address.
            names.dedup();
            assert_eq!(names, called, "{target_name} {level}");
            assert_eq!(
                data,
                BTreeSet::from(["u9:2".to_owned()]),
                "{target_name} {level}"
            );
            assert_eq!(compiled.return_addresses().len(), called.len());
        }
    }
}
