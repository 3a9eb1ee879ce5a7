//! The capacity of a caller for entities.
//!
//! CLIF numbers entities with 32 bits, and an argument of a block has two bits less for the number
//! of its value. Going beyond is a panic in Cranelift, in the middle of a copy. So the entities
//! that a copy adds are counted before, rounded up.

use super::Refusal;
use super::facts::CalleeView;
use cranelift_codegen::ir;

/// The capacity of a function: its number of entities of each kind stays below.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntityLimits {
    pub(super) values: usize,
    pub(super) blocks: usize,
    pub(super) insts: usize,
}

impl Default for EntityLimits {
    /// Returns CLIF's own limits. For blocks and instructions these are at most half of the range
    /// of an index, which leaves room for the segments into which a caller's block is split.
    fn default() -> Self {
        EntityLimits {
            values: 1 << 30,
            blocks: 1 << 30,
            insts: 1 << 31,
        }
    }
}

/// The most instructions that copying one structure passed by value adds: an unrolled copy of 127
/// bytes is 18 loads and stores and an address.
const INSTS_OF_STRUCTURE: usize = 40;
const VALUES_OF_STRUCTURE: usize = 20;
const BLOCKS_OF_STRUCTURE: usize = 2;

/// The most entities that a copy of a body adds to its caller.
pub(super) struct Growth {
    values: usize,
    pub(super) blocks: usize,
    pub(super) insts: usize,
}

impl Growth {
    /// Returns the growth by a copy of `callee` in the place of a call; `catches` tells whether the
    /// call catches exceptions.
    pub(super) fn of(callee: CalleeView<'_>, catches: bool) -> Self {
        let facts = callee.facts;
        let structures = facts.structures;
        let expanded = facts.vmctx_insts_added;
        // A call that becomes a `try_call` ends its block.
        let cuts = if catches { facts.insts } else { 0 };
        Growth {
            values: facts.values_added + expanded + structures * VALUES_OF_STRUCTURE,
            // The entry goes into the call's block. There may be one more block where several
            // returns meet, and one for the instructions after the call.
            blocks: facts.blocks + 1 + cuts + structures * BLOCKS_OF_STRUCTURE,
            // A tail call becomes a call and a jump; one more jump leads to the instructions after
            // the call.
            insts: facts.insts + facts.returns + 1 + expanded + structures * INSTS_OF_STRUCTURE,
        }
    }
}

impl Growth {
    /// Returns the growth from an empty function to `caller`.
    pub(super) fn until(caller: &ir::Function) -> Self {
        Growth {
            values: caller.dfg.num_values(),
            blocks: caller.dfg.num_blocks(),
            insts: caller.dfg.num_insts(),
        }
    }

    /// Returns whether `caller` has grown from `start` by no more than this.
    pub(super) fn covers(&self, start: &Growth, caller: &ir::Function) -> bool {
        let now = Growth::until(caller);
        now.values - start.values <= self.values
            && now.blocks - start.blocks <= self.blocks
            && now.insts - start.insts <= self.insts
    }
}

impl EntityLimits {
    /// Checks that `caller` has the capacity for a copy that adds `growth`.
    pub(super) fn check(&self, caller: &ir::Function, growth: &Growth) -> Result<(), Refusal> {
        let dfg = &caller.dfg;
        if dfg.num_values() + growth.values >= self.values {
            return Err(Refusal::TooManyEntities("values"));
        }
        if dfg.num_blocks() + growth.blocks >= self.blocks {
            return Err(Refusal::TooManyEntities("blocks"));
        }
        if dfg.num_insts() + growth.insts >= self.insts {
            return Err(Refusal::TooManyEntities("instructions"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::EntityLimits;
    use crate::splice::{Callee, Refusal, SpliceContext, SpliceOptions};
    use cranelift_codegen::ir::{Function, Inst};

    /// Each grows by something else: plain values, blocks with parameters, a
    /// block where returns meet, structures, calls that catch, tail calls, a
    /// chain of global values.
    const PAIRS: &[&str] = &[
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             v1 = iadd v0, v0
             v2 = imul v1, v1
             return v2
         }
         function %caller(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)
             return v1
         }",
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             brif v0, block1(v0, v0), block2(v0, v0, v0)
         block1(v1: i32, v2: i32):
             return v1
         block2(v3: i32, v4: i32, v5: i32):
             return v4
         }
         function %caller(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)
             return v1
         }",
        "function %callee(i64 sarg(127), i64 sarg(1023), i64 sarg(2048)) system_v {
         block0(v0: i64, v1: i64, v2: i64):
             return
         }
         function %caller(i64) system_v {
             fn0 = %callee(i64 sarg(127), i64 sarg(1023), i64 sarg(2048)) system_v
         block0(v0: i64):
             call fn0(v0, v0, v0)
             return
         }",
        "function %callee(i32) -> i32 tail {
             fn0 = %other(i32) -> i32 tail
         block0(v0: i32):
             v1 = call fn0(v0)
             v2 = call fn0(v1)
             return_call fn0(v2)
         }
         function %caller(i32) -> i32 tail {
             sig0 = (i32) -> i32 tail
             fn0 = %callee sig0
         block0(v0: i32):
             try_call fn0(v0), sig0, block1(ret0), [ default: block2 ]
         block1(v1: i32):
             return v1
         block2:
             return v0
         }",
        "function %callee(i32) -> i32 tail {
             fn0 = %other(i32) -> i32 tail
         block0(v0: i32):
             return_call fn0(v0)
         }
         function %caller(i32) -> i32 tail {
             fn0 = %callee(i32) -> i32 tail
         block0(v0: i32):
             v1 = call fn0(v0)
             return v1
         }",
        "function %callee(i64 vmctx) -> i64 system_v {
             gv0 = vmctx
             gv1 = iadd_imm.i64 gv0, 8
             gv2 = load.i64 notrap aligned gv1
             gv3 = iadd_imm.i64 gv2, 16
             gv4 = iadd_imm.i64 gv3, 24
         block0(v0: i64):
             v1 = symbol_value.i64 gv4
             return v1
         }
         function %caller(i64) -> i64 system_v {
             fn0 = %callee(i64 vmctx) -> i64 system_v
         block0(v0: i64):
             v1 = call fn0(v0)
             return v1
         }",
        "function %callee() system_v {
         block0:
             jump block1
         block1:
             jump block2
         block2:
             jump block3
         block3:
             jump block4
         block4:
             jump block5
         block5:
             jump block6
         block6:
             jump block7
         block7:
             jump block8
         block8:
             jump block9
         block9:
             jump block10
         block10:
             jump block11
         block11:
             jump block12
         block12:
             jump block13
         block13:
             jump block14
         block14:
             jump block15
         block15:
             return
         }
         function %caller() system_v {
             fn0 = %callee() system_v
         block0:
             call fn0()
             return
         }",
    ];

    fn first_call(func: &Function) -> Inst {
        let entry = func.layout.entry_block().unwrap();
        let mut insts = func.layout.block_insts(entry);
        insts
            .find(|&inst| func.dfg.insts[inst].opcode().is_call())
            .unwrap()
    }

    fn spliced(
        callee: &Function,
        caller: &Function,
        limits: EntityLimits,
    ) -> (Function, Result<(), Refusal>) {
        let mut func = caller.clone();
        let options = SpliceOptions::default();
        let callee = Callee::new(callee).unwrap();
        let mut context = SpliceContext::new();
        context.limits = limits;
        let mut session = context.session(&mut func, &options);
        let checked = session.check(first_call(caller), &callee);
        let result = session
            .splice(first_call(caller), &callee)
            .map(|_| ())
            .inspect_err(|refusal| assert_eq!(checked.as_ref(), Err(refusal)));
        session.finish();
        (func, result)
    }

    #[test]
    fn no_copy_goes_beyond_a_limit_and_a_refused_one_changes_nothing() {
        for text in PAIRS {
            let functions = cranelift_reader::parse_functions(text).unwrap();
            let (callee, caller) = (&functions[0], &functions[1]);
            let clif = EntityLimits::default();
            let (after, result) = spliced(callee, caller, clif);
            assert_eq!(result, Ok(()), "{text}");
            let cases = [
                ("values", after.dfg.num_values()),
                ("blocks", after.dfg.num_blocks()),
                ("instructions", after.dfg.num_insts()),
            ];
            for (kind, count) in cases {
                let with = |limit: usize| match kind {
                    "values" => EntityLimits {
                        values: limit,
                        ..clif
                    },
                    "blocks" => EntityLimits {
                        blocks: limit,
                        ..clif
                    },
                    _ => EntityLimits {
                        insts: limit,
                        ..clif
                    },
                };
                // The last number below the limit would just be used up.
                for limit in 0..=count {
                    let (func, result) = spliced(callee, caller, with(limit));
                    assert_eq!(result, Err(Refusal::TooManyEntities(kind)), "{text}");
                    assert!(func == *caller, "{kind}: {func}");
                }
                // The count is rounded up, but not by much.
                let (func, result) = spliced(callee, caller, with(count + 100));
                assert_eq!(result, Ok(()), "{kind}: {text}");
                assert!(func == after);
            }
        }
    }

    #[test]
    fn splices_stop_where_the_caller_is_full() {
        let text = "
            function %callee(i32) -> i32 system_v {
            block0(v0: i32):
                v1 = iadd v0, v0
                return v1
            }
            function %caller(i32) -> i32 system_v {
                fn0 = %callee(i32) -> i32 system_v
            block0(v0: i32):
                v1 = call fn0(v0)
                v2 = call fn0(v1)
                v3 = call fn0(v2)
                return v3
            }";
        let mut functions = cranelift_reader::parse_functions(text).unwrap();
        let mut caller = functions.pop().unwrap();
        let callee = Callee::new(&functions[0]).unwrap();
        let entry = caller.layout.entry_block().unwrap();
        let calls: Vec<Inst> = caller.layout.block_insts(entry).take(3).collect();
        let options = SpliceOptions::default();
        let mut context = SpliceContext::new();
        context.limits.values = caller.dfg.num_values() + 3;
        let mut session = context.session(&mut caller, &options);
        let full = Err(Refusal::TooManyEntities("values"));
        let results = calls
            .iter()
            .map(|&call| session.splice(call, &callee).map(|_| ()))
            .collect::<Vec<_>>();
        session.finish();
        assert_eq!(results, [Ok(()), Ok(()), full]);
        let left = caller.layout.block_insts(entry);
        let left = left.filter(|&inst| caller.dfg.insts[inst].opcode().is_call());
        assert_eq!(left.collect::<Vec<_>>(), [calls[2]]);
    }
}
