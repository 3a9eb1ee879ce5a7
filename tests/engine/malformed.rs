//! Functions that no verifier would accept: for any defect of a callee or a caller, there is a
//! typed error or a result, never a panic, and a refused caller is unchanged.

use crate::body::Body;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::InstructionMapper;
use cranelift_codegen::ir::{
    self, Block, BlockCall, Function, Inst, InstructionData, Opcode, Value, types,
};
use cranelift_inliner::cleanup::{
    CleanupContext, MemoryFunctions, OptimizeOptions, clean_up, optimize,
};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::{Program, ProgramFunction};
use cranelift_inliner::splice::{
    Callee, Refusal, SpliceContext, SpliceOptions, inline_calls, splice,
};
use std::path::Path;

fn parse(text: &str) -> Function {
    cranelift_reader::parse_functions(text).unwrap().remove(0)
}

/// Returns the functions of all filetests, before their steps. The functions of each file about
/// splices and tidying.
fn functions() -> Vec<Vec<Function>> {
    functions_in(|folder| !ABOUT_OPTIMIZING.contains(&folder))
}

/// The folders of files about optimizing, which are about one function at a time.
const ABOUT_OPTIMIZING: [&str; 2] = ["optimize", "promote"];

fn functions_in(is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<Function>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    let mut files = Vec::new();
    for folder in std::fs::read_dir(folder).unwrap() {
        if !is_wanted(folder.as_ref().unwrap().file_name().to_str().unwrap()) {
            continue;
        }
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    let before = |file| {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("; ==>").next().unwrap_or_default();
        cranelift_reader::parse_functions(text).unwrap()
    };
    files.iter().map(before).collect()
}

fn insts_of(func: &Function) -> Vec<Inst> {
    let blocks = func.layout.blocks();
    blocks
        .flat_map(|block| func.layout.block_insts(block))
        .collect()
}

/// Moves references of one kind to another number.
struct Shift<'f> {
    func: &'f mut Function,
    kind: usize,
    by: usize,
}

const KINDS: usize = 13;

impl Shift<'_> {
    fn shift<K: EntityRef>(&self, kind: usize, entity: K) -> K {
        if self.kind == kind {
            K::new((entity.index() + self.by) % 60_000)
        } else {
            entity
        }
    }
}

impl InstructionMapper for Shift<'_> {
    fn map_value(&mut self, value: Value) -> Value {
        self.shift(0, value)
    }
    fn map_value_list(&mut self, list: ir::ValueList) -> ir::ValueList {
        let values = list.as_slice(&self.func.dfg.value_lists).to_vec();
        let values: Vec<_> = values
            .into_iter()
            .map(|value| self.shift(0, value))
            .collect();
        ir::ValueList::from_iter(values, &mut self.func.dfg.value_lists)
    }
    fn map_global_value(&mut self, global: ir::GlobalValue) -> ir::GlobalValue {
        self.shift(1, global)
    }
    fn map_jump_table(&mut self, table: ir::JumpTable) -> ir::JumpTable {
        self.shift(2, table)
    }
    fn map_exception_table(&mut self, table: ir::ExceptionTable) -> ir::ExceptionTable {
        self.shift(3, table)
    }
    fn map_block_call(&mut self, call: BlockCall) -> BlockCall {
        let pool = &self.func.dfg.value_lists;
        let block = self.shift(4, call.block(pool));
        let args: Vec<_> = call.args(pool).collect();
        let args = args
            .into_iter()
            .map(|arg| arg.map_value(|value| self.shift(5, value)));
        let args: Vec<_> = args.collect();
        BlockCall::new(block, args, &mut self.func.dfg.value_lists)
    }
    fn map_block(&mut self, block: Block) -> Block {
        self.shift(4, block)
    }
    fn map_func_ref(&mut self, func_ref: ir::FuncRef) -> ir::FuncRef {
        self.shift(6, func_ref)
    }
    fn map_sig_ref(&mut self, sig_ref: ir::SigRef) -> ir::SigRef {
        self.shift(7, sig_ref)
    }
    fn map_stack_slot(&mut self, slot: ir::StackSlot) -> ir::StackSlot {
        self.shift(8, slot)
    }
    fn map_dynamic_stack_slot(&mut self, slot: ir::DynamicStackSlot) -> ir::DynamicStackSlot {
        self.shift(9, slot)
    }
    fn map_constant(&mut self, constant: ir::Constant) -> ir::Constant {
        self.shift(10, constant)
    }
    fn map_immediate(&mut self, immediate: ir::Immediate) -> ir::Immediate {
        self.shift(11, immediate)
    }
    fn map_mem_flags(&mut self, flags: ir::MemFlags) -> ir::MemFlags {
        self.shift(12, flags)
    }
}

/// Returns every function that one small step makes out of `func`.
fn corruptions(func: &Function) -> Vec<(String, Function)> {
    let mut corrupted = Vec::new();
    let mut add = |what: String, change: &mut dyn FnMut(&mut Function)| {
        let mut func = func.clone();
        change(&mut func);
        corrupted.push((what, func));
    };
    let insts = insts_of(func);
    for (index, &inst) in insts.iter().enumerate() {
        for kind in 0..KINDS {
            for by in [1, 5000] {
                add(
                    format!("{inst}: kind {kind} shifted by {by}"),
                    &mut |func| {
                        let data = func.dfg.insts[inst];
                        func.dfg.insts[inst] = data.map(Shift { func, kind, by });
                    },
                );
            }
        }
        add(format!("{inst} without results"), &mut |func| {
            func.dfg.detach_inst_results(inst)
        });
        add(format!("{inst} removed"), &mut |func| {
            func.layout.remove_inst(inst)
        });
        let other = insts[(index + 1) % insts.len()];
        add(format!("{inst} and {other} exchanged"), &mut |func| {
            let data = func.dfg.insts[inst];
            func.dfg.insts[inst] = func.dfg.insts[other];
            func.dfg.insts[other] = data;
        });
        add(format!("{inst} moved to the end"), &mut |func| {
            let block = func.layout.last_block().unwrap();
            func.layout.remove_inst(inst);
            func.layout.append_inst(inst, block);
        });
        add(
            format!("{inst} with an opcode of another format"),
            &mut |func| {
                func.dfg.insts[inst] = InstructionData::NullAry {
                    opcode: Opcode::Iadd,
                };
            },
        );
        add(format!("{inst} as a trap"), &mut |func| {
            func.dfg.insts[inst] = InstructionData::Trap {
                opcode: Opcode::Trap,
                code: ir::TrapCode::STACK_OVERFLOW,
            };
        });
        add(format!("{inst} tagged with a missing slot"), &mut |func| {
            let tag = ir::DebugTag::StackSlot(ir::StackSlot::new(99));
            func.debug_tags.set(inst, [tag]);
        });
        add(
            format!("{inst} with a missing slot in its stack map"),
            &mut |func| {
                if func.dfg.insts[inst].opcode().is_safepoint() {
                    func.dfg.append_user_stack_map_entry(
                        inst,
                        ir::UserStackMapEntry {
                            ty: types::I64,
                            slot: ir::StackSlot::new(99),
                            offset: 0,
                        },
                    );
                }
            },
        );
    }
    for value in func.dfg.values() {
        for target in [value, Value::new(0), Value::new(1), Value::new(7000)] {
            add(format!("{value} as an alias of {target}"), &mut |func| {
                func.dfg.make_value_alias_for_serialization(target, value);
            });
        }
    }
    for block in func.layout.blocks() {
        add(format!("{block} without parameters"), &mut |func| {
            func.dfg.detach_block_params(block);
        });
        add(format!("{block} with one more parameter"), &mut |func| {
            func.dfg.append_block_param(block, types::F32);
        });
        add(format!("{block} empty"), &mut |func| {
            while let Some(inst) = func.layout.first_inst(block) {
                func.layout.remove_inst(inst);
            }
        });
        add(format!("{block} gone"), &mut |func| {
            func.layout.remove_block_and_insts(block)
        });
        add(format!("{block} cold"), &mut |func| {
            func.layout.set_cold(block)
        });
    }
    add("no signatures".into(), &mut |func| {
        func.dfg.signatures.clear()
    });
    add("no functions".into(), &mut |func| {
        func.dfg.ext_funcs.clear()
    });
    add("no slots".into(), &mut |func| {
        func.sized_stack_slots.clear()
    });
    add("no jump tables".into(), &mut |func| {
        func.dfg.jump_tables.clear()
    });
    add("no exception tables".into(), &mut |func| {
        func.dfg.exception_tables.clear()
    });
    add("empty exception tables".into(), &mut |func| {
        func.dfg
            .exception_tables
            .values_mut()
            .for_each(|table| table.clear());
    });
    add("no global values".into(), &mut |func| {
        func.global_values.clear()
    });
    add("no lists".into(), &mut |func| func.dfg.value_lists.clear());
    add("no immediates".into(), &mut |func| {
        func.dfg.immediates.clear()
    });
    add("no alias regions".into(), &mut |func| {
        func.dfg.alias_regions.clear()
    });
    add("no names".into(), &mut |func| {
        func.params = ir::function::FunctionParameters::new()
    });
    add("no parameters".into(), &mut |func| {
        func.signature.params.clear()
    });
    add("no returns".into(), &mut |func| {
        func.signature.returns.clear()
    });
    add("other returns".into(), &mut |func| {
        func.signature.returns.push(ir::AbiParam::new(types::I8X16));
    });
    add("a structure at no address".into(), &mut |func| {
        if let Some(param) = func.signature.params.first_mut() {
            param.purpose = ir::ArgumentPurpose::StructArgument(12);
        }
    });
    add("a structure without end".into(), &mut |func| {
        if let Some(param) = func.signature.params.first_mut() {
            param.purpose = ir::ArgumentPurpose::StructArgument(u32::MAX);
        }
    });
    add("a limit that does not exist".into(), &mut |func| {
        func.stack_limit = Some(ir::GlobalValue::new(50));
    });
    add("a global value of itself".into(), &mut |func| {
        let flags = func
            .dfg
            .mem_flags
            .insert(ir::MemFlagsData::trusted())
            .unwrap();
        let global = ir::GlobalValueData::Load {
            base: func.global_values.next_key(),
            offset: 0.into(),
            global_type: types::I64,
            flags,
        };
        let global = func.create_global_value(global);
        func.stack_limit = Some(global);
    });
    corrupted
}

/// Makes every call of `caller` one of a function like `callee`, so that a
/// change of the signature does not end the matter.
fn call_with_the_signature_of(caller: &mut Function, callee: &Function) {
    for signature in caller.dfg.signatures.values_mut() {
        *signature = callee.signature.clone();
    }
}

fn splice_everywhere(what: &str, caller: &Function, callee: &Function) {
    for call in caller.dfg.insts_in_layout(caller) {
        let mut func = caller.clone();
        if splice(&mut func, call, callee, &SpliceOptions::default()).is_err() {
            assert!(
                func == *caller,
                "{what}: a refused splice changed its caller"
            );
        }
    }
    let mut func = caller.clone();
    inline_calls(&mut func, Body(callee)).unwrap();
    clean_up(&mut func, &mut CleanupContext::new());
}

/// Instructions of the layout that exist.
trait InLayout {
    fn insts_in_layout(&self, func: &Function) -> Vec<Inst>;
}

impl InLayout for ir::DataFlowGraph {
    fn insts_in_layout(&self, func: &Function) -> Vec<Inst> {
        let insts = insts_of(func).into_iter();
        insts
            .filter(|&inst| self.inst_is_valid(inst) && self.insts[inst].opcode().is_call())
            .collect()
    }
}

/// Fails with a description of the change to the function if `check` panics.
fn without_panic(what: &str, check: impl FnOnce()) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    assert!(result.is_ok(), "panics: {what}");
}

/// Optimizes a malformed function. The result may be anything.
fn optimize_malformed(func: &Function) {
    let mut options = OptimizeOptions::default();
    options.memory_functions = MemoryFunctions::of_c();
    options.endianness = Some(ir::Endianness::Little);
    optimize(&mut func.clone(), &options, &mut CleanupContext::new());
}

#[test]
fn malformed_callees() {
    for file in functions() {
        for callee in &file {
            for (what, corrupted) in corruptions(callee) {
                let what = format!("callee {} with {what}", callee.name);
                for caller in &file {
                    without_panic(&what, || {
                        splice_everywhere(&what, caller, &corrupted);
                        let mut caller = caller.clone();
                        call_with_the_signature_of(&mut caller, &corrupted);
                        splice_everywhere(&what, &caller, &corrupted);
                    });
                }
            }
        }
    }
}

#[test]
fn malformed_callers() {
    for file in functions() {
        for caller in &file {
            for (what, corrupted) in corruptions(caller) {
                let what = format!("caller {} with {what}", caller.name);
                for callee in &file {
                    without_panic(&what, || splice_everywhere(&what, &corrupted, callee));
                }
                without_panic(&what, || {
                    clean_up(&mut corrupted.clone(), &mut CleanupContext::new());
                    optimize_malformed(&corrupted);
                });
            }
        }
    }
}

#[test]
fn malformed_functions_to_optimize() {
    let files = functions_in(|folder| ABOUT_OPTIMIZING.contains(&folder));
    for func in files.iter().flatten() {
        for (what, corrupted) in corruptions(func) {
            let what = format!("{} with {what}", func.name);
            without_panic(&what, || optimize_malformed(&corrupted));
        }
    }
}

#[test]
fn the_pass_ends_with_any_fault_in_one_function() {
    for file in functions() {
        for (index, func) in file.iter().enumerate() {
            for (what, corrupted) in corruptions(func) {
                let what = format!("{} with {what}", func.name);
                let mut program = Program::new();
                for (other, func) in file.iter().enumerate() {
                    let func = if other == index { &corrupted } else { func };
                    let added = program.add_function(ProgramFunction::new(func.clone()));
                    assert!(added.is_ok(), "{what}: {:?}", added.err());
                }
                without_panic(&what, || {
                    let inliner = Inliner::new(CostModel::default()).optimize(Optimize::All);
                    let inlined = inliner.run(&program);
                    assert!(inlined.is_ok(), "{what}");
                });
            }
        }
    }
}

/// A table with an entry for each number up to the slot's would take all memory.
#[test]
fn a_missing_slot_with_a_large_number_takes_no_memory() {
    let text = "
    function %leaf(i64) -> i64 system_v {
    block0(v0: i64):
        v1 = load.i64 v0
        return v1
    }
    function %main(i64) -> i64 system_v {
        ss0 = explicit_slot 8
        ss1 = explicit_slot 8
        fn0 = %leaf(i64) -> i64 system_v
    block0(v0: i64):
        v1 = stack_addr.i64 ss1
        v2 = stack_addr.i64 ss1
        store v0, v2
        v3 = call fn0(v1)
        v4 = call fn0(v2)
        v5 = iadd v3, v4
        return v5
    }";
    let missing = ir::StackSlot::from_u32(u32::MAX - 1);
    let names_it: [fn(&mut Function, Inst, ir::StackSlot); 3] = [
        |func, inst, slot| {
            if let InstructionData::StackAddr { stack_slot, .. } = &mut func.dfg.insts[inst] {
                *stack_slot = slot;
            }
        },
        |func, inst, slot| func.debug_tags.set(inst, [ir::DebugTag::StackSlot(slot)]),
        |func, inst, slot| {
            if func.dfg.insts[inst].opcode().is_call() {
                let (ty, offset) = (types::I64, 0);
                let entry = ir::UserStackMapEntry { ty, slot, offset };
                func.dfg.append_user_stack_map_entry(inst, entry);
            }
        },
    ];
    let [leaf, main]: [Function; 2] = cranelift_reader::parse_functions(text)
        .unwrap()
        .try_into()
        .unwrap();
    for (how, name_it) in names_it.into_iter().enumerate() {
        for inst in insts_of(&main) {
            let mut func = main.clone();
            name_it(&mut func, inst, missing);
            let what = format!("{inst} names it in way {how}");
            clean_up(&mut func.clone(), &mut CleanupContext::new());
            let mut program = Program::new();
            for func in [leaf.clone(), func] {
                program.add(func).unwrap();
            }
            without_panic(&what, || {
                let inliner = Inliner::new(CostModel::default()).optimize(Optimize::All);
                assert!(inliner.run(&program).is_ok(), "{what}");
            });
        }
    }
}

#[test]
fn refusals_name_the_fault() {
    let refusal = |text: &str| {
        Callee::new(&parse(text))
            .err()
            .map(|refusal| refusal.to_string())
    };
    let empty = Function::new();
    assert_eq!(
        Callee::new(&empty).err(),
        Some(Refusal::MalformedCallee("it has no entry block".into()))
    );
    assert_eq!(
        refusal("function %f() system_v {\nblock0:\n jump block0\n}").unwrap(),
        "the callee is malformed: block0 branches to the entry block"
    );
    assert_eq!(
        refusal("function %f(i32) -> i64 system_v {\nblock0(v0: i32):\n return v0\n}").unwrap(),
        "the callee is malformed: inst0 does not return the types of the signature"
    );
}

#[test]
fn a_session_of_a_malformed_caller_refuses_everything() {
    let callee = parse("function %callee() system_v {\nblock0:\n return\n}");
    let mut func = parse(
        "function %caller() system_v {
             fn0 = %callee() system_v
         block0:
             call fn0()
             return
         }",
    );
    let insts = insts_of(&func);
    func.layout.remove_inst(insts[1]);
    let before = func.clone();
    let callee = Callee::new(&callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut func, &options);
    let refusal = session.splice(insts[0], &callee).unwrap_err();
    assert_eq!(refusal.slug(), "malformed-caller");
    session.finish();
    assert!(func == before);
}

#[test]
fn results_outside_of_their_lists_are_left_alone() {
    let text =
        "function %f() system_v {\nblock0:\n v0 = iconst.i64 1\n v1 = iadd v0, v0\n return\n}";
    let mut func = parse(text);
    func.dfg.value_lists.clear();
    let before = func.clone();
    without_panic("results", || optimize_malformed(&func));
    optimize(
        &mut func,
        &OptimizeOptions::default(),
        &mut CleanupContext::new(),
    );
    assert!(func == before);
}
