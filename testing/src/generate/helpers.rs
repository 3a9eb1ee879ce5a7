//! Functions that programs with closures call: some call a closure of their caller, and some put
//! another function into it.
//!
//! All have the signature of closures, so that they can be called by address as well.

use super::closures::Closures;
use super::features::Feature;
use super::plan::Plan;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    Block, DebugTag, ExtFuncData, ExternalName, FuncRef, Function, Inst, InstBuilder, MemFlagsData,
    UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

/// A function that uses closures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Helper {
    /// Gets a number and a closure, and calls the closure with the number, at most twice.
    Apply,
    /// Gets a number and an object, and calls the first function of the object's table with the
    /// number, at most twice.
    Invoke,
    /// Gets a number and a closure, and may put another function into the closure.
    Rebind,
    /// The function of a closure, which puts [`Helper::OtherState`] in its own place.
    OneState,
    /// The function of a closure, which may put [`Helper::OneState`] in its own place.
    OtherState,
}

/// The distance of an environment from the address of its function.
const ENVIRONMENT: i32 = super::closures::ENVIRONMENT as i32;

const FLAGS: MemFlagsData = MemFlagsData::trusted();

impl Helper {
    /// Returns the functions that a call of this one needs.
    pub(super) fn needed(self) -> impl Iterator<Item = Helper> {
        let other = match self {
            Helper::OneState => Some(Helper::OtherState),
            _ => None,
        };
        [self].into_iter().chain(other)
    }

    pub(super) fn name(self) -> FunctionName {
        FunctionName::testcase(match self {
            Helper::Apply => "apply",
            Helper::Invoke => "invoke",
            Helper::Rebind => "rebind",
            Helper::OneState => "one_state",
            Helper::OtherState => "other_state",
        })
    }
}

/// Makes the helpers that the program needs.
pub(super) fn functions(plan: &Plan) -> Vec<Function> {
    let Some(closures) = &plan.closures else {
        return Vec::new();
    };
    let make = |&helper: &Helper| function(helper, closures, plan);
    closures.helpers.iter().map(make).collect()
}

fn function(helper: Helper, closures: &Closures, plan: &Plan) -> Function {
    let mut func = Function::with_name_signature(helper.name().into(), closures.signature.clone());
    let entry = func.dfg.make_block();
    func.layout.append_block(entry);
    let given = func.dfg.append_block_param(entry, types::I64);
    let address = func.dfg.append_block_param(entry, types::I64);
    let mut maker = Maker {
        func,
        block: entry,
        given,
        address,
        form: closures.form,
        tags: plan.features.has(Feature::Tags),
    };
    let rebound = plan.functions.get(closures.rebound);
    match helper {
        Helper::Apply => maker.apply(|maker| maker.load(maker.address)),
        Helper::Invoke => maker.apply(|maker| {
            let table = maker.load(maker.address);
            maker.load(table)
        }),
        Helper::Rebind => {
            if let Some(function) = rebound {
                maker.rebind(&function.name);
            }
        }
        Helper::OneState => maker.change(&Helper::OtherState.name(), true),
        Helper::OtherState => maker.change(&Helper::OneState.name(), closures.form != 1),
    }
    maker.func
}

/// A helper under construction.
struct Maker {
    func: Function,
    block: Block,
    given: Value,
    /// The address of a closure, an object or an environment.
    address: Value,
    form: usize,
    /// Whether calls get tags.
    tags: bool,
}

impl Maker {
    fn at(&mut self) -> FuncCursor<'_> {
        FuncCursor::new(&mut self.func).at_bottom(self.block)
    }

    fn load(&mut self, address: Value) -> Value {
        self.at().ins().load(types::I64, FLAGS, address, 0)
    }

    fn number(&mut self, number: i64) -> Value {
        self.at().ins().iconst(types::I64, number)
    }

    fn declare(&mut self, name: &FunctionName) -> FuncRef {
        let name = match name.as_user_func_name() {
            UserFuncName::User(name) => {
                ExternalName::user(self.func.declare_imported_user_function(name.clone()))
            }
            UserFuncName::Testcase(name) => ExternalName::TestCase(name.clone()),
        };
        let signature = self.func.signature.clone();
        let signature = self.func.import_signature(signature);
        self.func.import_function(ExtFuncData {
            name,
            signature,
            colocated: self.form.is_multiple_of(2),
            patchable: false,
        })
    }

    /// Makes the two blocks after a test of the lowest bit of the number, and continues in the one
    /// for odd numbers. Returns the other one.
    fn if_odd(&mut self) -> Block {
        let one = self.number(1);
        let given = self.given;
        let is_odd = self.at().ins().band(given, one);
        let [odd, even] = [(); 2].map(|()| self.func.dfg.make_block());
        self.at().ins().brif(is_odd, odd, &[], even, &[]);
        for block in [odd, even] {
            self.func.layout.append_block(block);
        }
        self.block = odd;
        even
    }

    /// Makes calls of the function whose address `code` returns.
    fn apply(&mut self, code: impl Fn(&mut Self) -> Value) {
        let signature = self.func.signature.clone();
        let is_tail = signature.call_conv == CallConv::Tail;
        let signature = self.func.import_signature(signature);
        let address = self.address;
        let bytes = self.number(ENVIRONMENT.into());
        let environment = self.at().ins().iadd(address, bytes);
        let mut result = self.given;
        let otherwise = (self.form == 1).then(|| self.if_odd());
        let calls = if self.form == 2 { 2 } else { 1 };
        for _ in 0..calls {
            let code = code(self);
            let args = [result, environment];
            if self.form == 3 && is_tail {
                let mut cursor = self.at();
                let call = cursor.ins().return_call_indirect(signature, code, &args);
                self.tag(call);
                return;
            }
            let call = self.at().ins().call_indirect(signature, code, &args);
            self.tag(call);
            result = self.func.dfg.first_result(call);
        }
        self.at().ins().return_(&[result]);
        if let Some(otherwise) = otherwise {
            self.block = otherwise;
            let given = self.given;
            self.at().ins().return_(&[given]);
        }
    }

    /// Gives a call a frame that stands for none: an inlined call without tags would lose the
    /// frames around it.
    fn tag(&mut self, call: Inst) {
        if self.tags {
            self.func.debug_tags.set(call, [DebugTag::User(0)]);
        }
    }

    /// Makes a store of a function's address into the closure, on all ways or on some.
    fn rebind(&mut self, function: &FunctionName) {
        let function = self.declare(function);
        let otherwise = (self.form == 3).then(|| self.if_odd());
        let code = self.at().ins().func_addr(types::I64, function);
        let (address, given) = (self.address, self.given);
        self.at().ins().store(FLAGS, code, address, 0);
        let one = self.number(1);
        let sum = self.at().ins().iadd(given, one);
        self.at().ins().return_(&[sum]);
        if let Some(otherwise) = otherwise {
            self.block = otherwise;
            self.at().ins().return_(&[given]);
        }
    }

    /// Makes the body of a closure's function that may put another one in its own place.
    fn change(&mut self, next: &FunctionName, changes: bool) {
        let function = self.declare(next);
        let (environment, given) = (self.address, self.given);
        if changes {
            let code = self.at().ins().func_addr(types::I64, function);
            // The interpreter takes a negative offset of a store for a large one.
            let bytes = self.number(ENVIRONMENT.into());
            let start = self.at().ins().isub(environment, bytes);
            self.at().ins().store(FLAGS, code, start, 0);
        }
        let captured = self.load(environment);
        let sum = self.at().ins().iadd(captured, given);
        self.at().ins().store(FLAGS, sum, environment, 0);
        let factor = self.number(if changes { 3 } else { 5 });
        let product = self.at().ins().imul(sum, factor);
        self.at().ins().return_(&[product]);
    }
}
