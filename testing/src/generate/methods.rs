//! Objects with the address of a table of functions, like those of front ends with classes.
//!
//! An object is like a [closure](super::closures), with the address of a table in place of a
//! function's. The table is a slot of the same function, or read-only data of the
//! program. All functions in tables are those of closures.

use super::body::Body;
use super::choices::Choices;
use super::closures::{Closure, SIZE};
use super::features::Feature;
use super::helpers::Helper;
use super::plan::Plan;
use cranelift_codegen::ir::{
    ExternalName, GlobalValueData, InstBuilder, MemFlagsData, StackSlot, Value, types,
};
use cranelift_inliner::program::FunctionName;
use std::ops::Range;

/// The most functions in a table.
const MOST_ENTRIES: usize = 3;

/// The most calls of a method in a loop.
const MOST_ROUNDS: usize = 3;

/// A read-only table of the program.
pub(super) struct Table {
    /// The offset of the first function from the table's symbol, in bytes.
    start: i64,
    functions: Vec<usize>,
    is_used: bool,
}

/// A table of functions at an address.
struct Methods {
    address: Value,
    functions: Vec<usize>,
    /// The slot; `None` for data, which nothing writes.
    slot: Option<StackSlot>,
}

impl Methods {
    fn is_data(&self) -> bool {
        self.slot.is_none()
    }
}

impl Table {
    /// Plans some tables of these functions.
    pub(super) fn some(functions: Range<usize>, choices: &mut Choices<'_, '_>) -> Vec<Self> {
        let table = |choices: &mut Choices<'_, '_>| {
            let start = choices.one_of(&[0, 16, -8]).unwrap_or(0);
            let count = 1 + choices.below(MOST_ENTRIES);
            let entries = (0..count).map(|_| functions.start + choices.below(functions.len()));
            Table {
                start,
                functions: entries.collect(),
                is_used: false,
            }
        };
        (0..1 + choices.below(2)).map(|_| table(choices)).collect()
    }
}

fn table_name(number: usize) -> FunctionName {
    FunctionName::testcase(format!("methods{number}"))
}

/// Returns the tables that the program needs, with the offsets of their entries.
pub(super) fn tables(plan: &Plan) -> Vec<(FunctionName, Vec<(i64, FunctionName)>)> {
    let tables = plan.closures.iter().flat_map(|closures| &closures.tables);
    let used = tables.enumerate().filter(|(_, table)| table.is_used);
    let entries = used.map(|(number, table)| {
        let offsets = (table.start..).step_by(8);
        let names = table.functions.iter().filter_map(|&function| {
            let function = plan.functions.get(function)?;
            Some(function.name.clone())
        });
        (table_name(number), offsets.zip(names).collect())
    });
    entries.collect()
}

impl Body<'_, '_, '_> {
    /// Returns whether statements with objects are made.
    pub(super) fn has_method_tables(&self) -> bool {
        self.has_closures() && self.plan.features.has(Feature::MethodTables)
    }

    /// Makes a statement with an object.
    pub(super) fn object(&mut self) {
        let known = self.values.len();
        let way = self.choices.below(8);
        let rounds = match way {
            4 | 5 => 1 + self.choices.below(MOST_ROUNDS) as u64,
            _ => 2,
        };
        let methods = match self.may_repeat(rounds) {
            true => self.methods(rounds),
            false => None,
        };
        let Some(mut methods) = methods else {
            return self.instruction();
        };
        if matches!(way, 2 | 3)
            && let Some(other) = self.methods(rounds)
        {
            methods = self.one_of_tables(methods, other);
        }
        let object = match way {
            // Callees find the environment behind the address.
            6 => self.with_environment(SIZE, methods.address),
            _ => self.with_some_environment(methods.address),
        };
        match way {
            4 | 5 => self.repeated(rounds, |body, given| {
                body.call_method(object, &methods, given)
            }),
            6 => {
                self.call_helper(Helper::Invoke, object);
            }
            7 => self.replaced_table(object, &methods),
            _ => {
                for _ in 0..1 + self.choices.below(2) {
                    self.call_some_method(object, &methods);
                }
            }
        }
        self.read_environment(object);
        self.observe_since(known);
    }

    fn call_some_method(&mut self, object: Closure, methods: &Methods) {
        let given = self.value(types::I64);
        let result = self.call_method(object, methods, given);
        self.define([result]);
    }

    /// Makes a table whose functions are called up to `times` times each; `None` if there is none.
    fn methods(&mut self, times: u64) -> Option<Methods> {
        let possible = self.closure_functions(times);
        let tables = self.plan.closures.as_ref().map(|closures| &closures.tables);
        let tables = tables.into_iter().flatten().enumerate();
        let fits = |table: &Table| table.functions.iter().all(|one| possible.contains(one));
        let numbers: Vec<usize> = tables
            .filter(|(_, table)| fits(table))
            .map(|(number, _)| number)
            .collect();
        let is_data = self.choices.chance(128);
        let number = self.choices.one_of(&numbers).filter(|_| is_data);
        let methods = match number {
            Some(number) => self.data_table(number)?,
            None => self.slot_table(&possible)?,
        };
        let mut called = methods.functions.clone();
        called.sort_unstable();
        called.dedup();
        self.count_calls(&called, times);
        Some(methods)
    }

    /// Makes the address of the first function in a table of the program.
    fn data_table(&mut self, number: usize) -> Option<Methods> {
        let tables = &mut self.plan.closures.as_mut()?.tables;
        let table = tables.get_mut(number)?;
        table.is_used = true;
        let (start, functions) = (table.start, table.functions.clone());
        let name = ExternalName::testcase(table_name(number).to_string().trim_start_matches('%'));
        let in_symbol = self.choices.chance(128);
        let global = self.func.create_global_value(GlobalValueData::Symbol {
            name,
            offset: if in_symbol { start } else { 0 }.into(),
            colocated: self.choices.chance(128),
            tls: false,
        });
        let mut address = self.at().ins().symbol_value(types::I64, global);
        if !in_symbol {
            let start = self.at().ins().iconst(types::I64, start);
            address = self.at().ins().iadd(address, start);
        }
        Some(Methods {
            address,
            functions,
            slot: None,
        })
    }

    /// Makes a table in a slot, of `possible` functions.
    fn slot_table(&mut self, possible: &[usize]) -> Option<Methods> {
        let count = 1 + self.choices.below(MOST_ENTRIES);
        let mut functions = Vec::new();
        for _ in 0..count {
            functions.push(self.choices.one_of(possible)?);
        }
        let table = self.new_slot(8 * count as u32);
        for (offset, &function) in (0..).step_by(8).zip(&functions) {
            let address = self.function_address(function);
            self.write_plainly(table, offset, address);
        }
        Some(Methods {
            address: self.at().ins().stack_addr(types::I64, table, 0),
            functions,
            slot: Some(table),
        })
    }

    /// Makes one of two tables, with the functions that both have.
    fn one_of_tables(&mut self, one: Methods, other: Methods) -> Methods {
        let address = self.one_of_two(|_| one.address, |_| other.address);
        let count = one.functions.len().min(other.functions.len());
        Methods {
            address,
            functions: one.functions[..count].to_vec(),
            slot: one.slot.or(other.slot),
        }
    }

    /// Makes a call of one of the functions in an object's table; returns its result.
    fn call_method(&mut self, object: Closure, methods: &Methods, given: Value) -> Value {
        let table = self.read_plainly(object.slot, 0, types::I64);
        let mut flags = MemFlagsData::trusted();
        if methods.is_data() && self.choices.chance(160) {
            flags = flags.with_readonly().with_can_move();
        }
        let count = methods.functions.len();
        let code = if count > 1 && self.choices.chance(64) {
            // One of the first two, chosen by a number.
            let index = self.value(types::I64);
            let mask = self.at().ins().iconst(types::I64, 8);
            let offset = self.at().ins().band(index, mask);
            let place = self.at().ins().iadd(table, offset);
            self.at().ins().load(types::I64, flags, place, 0)
        } else {
            let offset = 8 * self.choices.below(count) as i32;
            self.at().ins().load(types::I64, flags, table, offset)
        };
        if self.choices.chance(24) {
            // Such a call is never executed: no function is at zero.
            let join = self.branched_to(code, &[types::I64], |body, taken| {
                vec![match taken {
                    true => body.call_code(code, object, given),
                    false => body.call_wrongly(code, given),
                }]
            });
            return self.func.dfg.block_params(join)[0];
        }
        self.call_code(code, object, given)
    }

    /// Makes two calls of an object's methods, and another table for the object between them, on
    /// all ways or on some.
    fn replaced_table(&mut self, object: Closure, methods: &Methods) {
        self.call_some_method(object, methods);
        if let (Some(slot), true) = (methods.slot, self.choices.chance(128)) {
            self.replace_entry(slot, methods);
            return self.call_some_method(object, methods);
        }
        let Some(other) = self.methods(1) else {
            return;
        };
        if self.choices.chance(96) {
            let condition = self.condition();
            self.branched(condition, |body, taken| {
                if taken {
                    body.write_plainly(object.slot, 0, other.address);
                }
            });
        } else {
            self.write_plainly(object.slot, 0, other.address);
        }
        let count = methods.functions.len().min(other.functions.len());
        let both = Methods {
            address: other.address,
            functions: other.functions[..count].to_vec(),
            slot: methods.slot.or(other.slot),
        };
        self.call_some_method(object, &both);
    }

    /// Puts another function into a table, at one of the first two places.
    fn replace_entry(&mut self, table: StackSlot, methods: &Methods) {
        let function = self.choices.one_of(&methods.functions);
        let Some(function) = function else { return };
        let address = self.function_address(function);
        if methods.functions.len() > 1 && self.choices.chance(160) {
            let index = self.value(types::I64);
            let mask = self.at().ins().iconst(types::I64, 8);
            let offset = self.at().ins().band(index, mask);
            let start = self.at().ins().stack_addr(types::I64, table, 0);
            let place = self.at().ins().iadd(start, offset);
            let flags = MemFlagsData::trusted();
            self.at().ins().store(flags, address, place, 0);
        } else {
            self.write_plainly(table, 0, address);
        }
    }
}
